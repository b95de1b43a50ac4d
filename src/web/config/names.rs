//! The names of Go's `crypto/tls` that the toolkit takes, and what rustls has for them.

use rustls::crypto::{CryptoProvider, SupportedKxGroup, ring};
use rustls::{NamedGroup, SupportedCipherSuite, SupportedProtocolVersion, version};

use crate::config::nearest;

/// What is wrong with a name, and what to write instead.
type Refused = String;

/// Who is asked for a certificate, and whether it has to be one of a known CA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// Nobody is asked.
    NoClientCert,
    /// Any certificate, or none.
    RequestClientCert,
    /// Any certificate.
    RequireAnyClientCert,
    /// None, or one of a known CA.
    VerifyClientCertIfGiven,
    /// One of a known CA.
    RequireAndVerifyClientCert,
}

impl ClientAuth {
    /// Whether certificates have to be of a known CA.
    pub const fn verifies(self) -> bool {
        matches!(
            self,
            Self::VerifyClientCertIfGiven | Self::RequireAndVerifyClientCert
        )
    }

    /// Whether nobody comes in without a certificate.
    pub const fn demands(self) -> bool {
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
    // An old name of the toolkit.
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

/// A `client_auth_type`.
pub fn client_auth(name: &str) -> Result<ClientAuth, Refused> {
    find(name, &CLIENT_AUTH)
}

/// A `min_version` or `max_version`.
pub fn tls_version(name: &str) -> Result<&'static SupportedProtocolVersion, Refused> {
    match name {
        "TLS10" | "TLS11" => Err(format!(
            "{name} is not supported, it is broken: write TLS12 or TLS13"
        )),
        _ => find(
            name,
            &[("TLS12", &version::TLS12), ("TLS13", &version::TLS13)],
        ),
    }
}

/// One of `curve_preferences`.
pub fn curve(name: &str) -> Result<&'static dyn SupportedKxGroup, Refused> {
    if name == "CurveP521" {
        return Err(
            "CurveP521 is not supported: write X25519, CurveP256 or CurveP384 instead".to_owned(),
        );
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

/// One of `cipher_suites`.
pub fn cipher_suite(name: &str) -> Result<SupportedCipherSuite, Refused> {
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
            Err(format!(
                "{name} is not supported, {weakness}: write TLS_ECDHE_{key}_WITH_{cipher} instead"
            ))
        }
        None => find(name, &known),
    }
}

/// Why a suite that Go has is not one of ours.
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

/// What is written is not repeated: it may stand in the wrong place and be a secret.
fn find<T: Copy>(name: &str, known: &[(&str, T)]) -> Result<T, Refused> {
    if let Some((_, found)) = known.iter().find(|(known, _)| *known == name) {
        return Ok(*found);
    }
    let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
    Err(match nearest(name, &names) {
        Some(near) => format!("unknown name; did you mean {near}?"),
        None => format!("unknown name; known here: {}", names.join(", ")),
    })
}

/// ring, with these suites and curves; all of them where none are named.
pub fn provider(
    suites: Option<Vec<SupportedCipherSuite>>,
    curves: Option<Vec<&'static dyn SupportedKxGroup>>,
) -> CryptoProvider {
    let mut provider = ring::default_provider();
    if let Some(mut suites) = suites {
        // As in Go, where the suites of TLS 1.3 cannot be chosen.
        let left_out = ring::ALL_CIPHER_SUITES
            .iter()
            .filter(|suite| suite.tls13().is_some() && !suites.contains(suite));
        suites.extend(left_out.collect::<Vec<_>>());
        provider.cipher_suites = suites;
    }
    if let Some(curves) = curves {
        provider.kx_groups = curves;
    }
    provider
}
