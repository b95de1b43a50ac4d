//! The names of Go's `crypto/tls` that the toolkit accepts, and their rustls counterparts.

use rustls::crypto::{CryptoProvider, SupportedKxGroup, ring};
use rustls::{NamedGroup, SupportedCipherSuite, SupportedProtocolVersion, version};
use thiserror::Error;

use crate::config::nearest;

/// The reason why a name cannot be used, with its replacement.
#[derive(Debug, Error)]
pub enum NameError {
    /// Go has the name, but rustls does not support it, or it is insecure.
    #[error("{name} is {reason}; use {replacement}")]
    Unsupported {
        name: String,
        reason: String,
        replacement: String,
    },
    /// No such name. The message does not repeat it, because it may be a misplaced secret.
    #[error("unknown name; {0}")]
    Unknown(String),
}

/// Policy for client certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// Clients are not asked for a certificate.
    NoClientCert,
    /// A certificate is optional and not verified.
    RequestClientCert,
    /// A certificate is required but not verified.
    RequireAnyClientCert,
    /// A certificate is optional but must be issued by a known CA.
    VerifyClientCertIfGiven,
    /// A certificate of a known CA is required.
    RequireAndVerifyClientCert,
}

impl ClientAuth {
    /// Returns true if certificates must be issued by a known CA.
    pub const fn verifies(self) -> bool {
        matches!(
            self,
            Self::VerifyClientCertIfGiven | Self::RequireAndVerifyClientCert
        )
    }

    /// Returns true if a certificate is required.
    pub const fn requires_certificate(self) -> bool {
        matches!(
            self,
            Self::RequireAnyClientCert | Self::RequireAndVerifyClientCert
        )
    }
}

const CLIENT_AUTH: [(&str, ClientAuth); 6] = [
    ("NoClientCert", ClientAuth::NoClientCert),
    ("RequestClientCert", ClientAuth::RequestClientCert),
    ("RequireAnyClientCert", ClientAuth::RequireAnyClientCert),
    // An old alias in the toolkit.
    ("RequireClientCert", ClientAuth::RequireAnyClientCert),
    (
        "VerifyClientCertIfGiven",
        ClientAuth::VerifyClientCertIfGiven,
    ),
    (
        "RequireAndVerifyClientCert",
        ClientAuth::RequireAndVerifyClientCert,
    ),
];

/// Parses a `client_auth_type`.
pub fn client_auth(name: &str) -> Result<ClientAuth, NameError> {
    find(name, &CLIENT_AUTH)
}

/// Parses a `min_version` or `max_version`.
pub fn tls_version(name: &str) -> Result<&'static SupportedProtocolVersion, NameError> {
    match name {
        "TLS10" | "TLS11" => Err(unsupported(
            name,
            "insecure and not supported",
            "TLS12 or TLS13",
        )),
        _ => find(
            name,
            &[("TLS12", &version::TLS12), ("TLS13", &version::TLS13)],
        ),
    }
}

/// Parses one of `curve_preferences`.
pub fn curve(name: &str) -> Result<&'static dyn SupportedKxGroup, NameError> {
    if name == "CurveP521" {
        let others = "X25519, CurveP256 or CurveP384";
        return Err(unsupported(name, "not supported", others));
    }
    let known = ring::ALL_KX_GROUPS.iter().filter_map(|group| {
        let name = match group.name() {
            NamedGroup::X25519 => "X25519",
            NamedGroup::secp256r1 => "CurveP256",
            NamedGroup::secp384r1 => "CurveP384",
            _ => return None,
        };
        Some((name, *group))
    });
    find(name, &known.collect::<Vec<_>>())
}

/// Parses one of `cipher_suites`.
pub fn cipher_suite(name: &str) -> Result<SupportedCipherSuite, NameError> {
    let known: Vec<(String, SupportedCipherSuite)> = ring::ALL_CIPHER_SUITES
        .iter()
        .map(|suite| {
            let name = format!("{:?}", suite.suite()).replace("TLS13_", "TLS_");
            (name, *suite)
        })
        .collect();
    let known: Vec<_> = known
        .iter()
        .map(|(name, suite)| (name.as_str(), *suite))
        .collect();
    match weakness(name) {
        Some(weakness) => {
            let key = if name.contains("_ECDSA_") {
                "ECDSA"
            } else {
                "RSA"
            };
            let cipher = if name.contains("_AES_256_") {
                "AES_256_GCM_SHA384"
            } else {
                "AES_128_GCM_SHA256"
            };
            let reason = format!("not supported because {weakness}");
            let replacement = format!("TLS_ECDHE_{key}_WITH_{cipher}");
            Err(unsupported(name, &reason, &replacement))
        }
        None => find(name, &known),
    }
}

/// Returns the weakness of a suite that Go supports and rustls does not.
fn weakness(name: &str) -> Option<&'static str> {
    let is_name = name.len() <= 48
        && name
            .bytes()
            .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == b'_');
    if !is_name || !name.starts_with("TLS_") {
        return None;
    }
    [
        ("_RC4_", "RC4 is broken"),
        ("_3DES_", "3DES is broken"),
        ("TLS_RSA_", "it has no forward secrecy"),
        ("_CBC_", "CBC is weak"),
    ]
    .iter()
    .find(|(part, _)| name.contains(part))
    .map(|(_, weakness)| *weakness)
}

fn unsupported(name: &str, reason: &str, replacement: &str) -> NameError {
    NameError::Unsupported {
        name: name.to_owned(),
        reason: reason.to_owned(),
        replacement: replacement.to_owned(),
    }
}

/// Looks up a name.
fn find<T: Copy>(name: &str, known: &[(&str, T)]) -> Result<T, NameError> {
    if let Some((_, found)) = known.iter().find(|(known, _)| *known == name) {
        return Ok(*found);
    }
    let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
    Err(NameError::Unknown(match nearest(name, &names) {
        Some(near) => format!("did you mean {near}?"),
        None => format!("known here: {}", names.join(", ")),
    }))
}

/// Returns the ring provider with these suites and curves, or with all of them by default.
pub fn provider(
    suites: Option<Vec<SupportedCipherSuite>>,
    curves: Option<Vec<&'static dyn SupportedKxGroup>>,
) -> CryptoProvider {
    let mut provider = ring::default_provider();
    if let Some(mut suites) = suites {
        // As in Go, TLS 1.3 suites are always enabled.
        let missing = ring::ALL_CIPHER_SUITES
            .iter()
            .filter(|suite| suite.tls13().is_some() && !suites.contains(suite));
        suites.extend(missing.collect::<Vec<_>>());
        provider.cipher_suites = suites;
    }
    if let Some(curves) = curves {
        provider.kx_groups = curves;
    }
    provider
}
