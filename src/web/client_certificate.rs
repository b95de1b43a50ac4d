//! Verification of client certificates.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{
    WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    SignatureScheme,
};

use super::san::subject_alternative_names;

/// A certificate of the list of CAs that rustls does not accept as a CA.
#[derive(Debug, thiserror::Error)]
#[error("contains a certificate that cannot be used as a CA")]
pub struct UnusableAuthority;

/// Go's policies for client certificates, which rustls supports only in part.
#[derive(Debug)]
pub struct Policy {
    mandatory: bool,
    trust: Trust,
    allowed_names: Option<Vec<String>>,
    algorithms: WebPkiSupportedAlgorithms,
}

#[derive(Debug)]
enum Trust {
    /// Accept any certificate.
    Everybody,
    /// Accept no certificate.
    Nobody,
    /// Accept certificates signed by one of these CAs.
    Authorities {
        verifier: Arc<dyn ClientCertVerifier>,
        authorities: Vec<CertificateDer<'static>>,
    },
}

impl Policy {
    /// Creates a policy. With `of_known_ca`, one of these CAs must issue the certificates. They need an allowed name.
    ///
    /// # Errors
    ///
    /// If a certificate of the list cannot be used as a CA.
    pub fn new(
        mandatory: bool,
        of_known_ca: bool,
        authorities: Vec<CertificateDer<'static>>,
        allowed_names: Option<Vec<String>>,
    ) -> Result<Self, UnusableAuthority> {
        let provider = ring::default_provider();
        let algorithms = provider.signature_verification_algorithms;
        let trust = if !of_known_ca {
            Trust::Everybody
        } else if authorities.is_empty() {
            Trust::Nobody
        } else {
            let mut roots = RootCertStore::empty();
            for authority in &authorities {
                roots
                    .add(authority.clone())
                    .map_err(|_| UnusableAuthority)?;
            }
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(provider))
                    .build()
                    .map_err(|_| UnusableAuthority)?;
            Trust::Authorities {
                verifier,
                authorities,
            }
        };
        Ok(Self {
            mandatory,
            trust,
            allowed_names,
            algorithms,
        })
    }
}

impl ClientCertVerifier for Policy {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        match &self.trust {
            Trust::Authorities { verifier, .. } => verifier.root_hint_subjects(),
            Trust::Everybody | Trust::Nobody => &[],
        }
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        match &self.trust {
            Trust::Everybody => {}
            Trust::Nobody => return Err(CertificateError::UnknownIssuer.into()),
            Trust::Authorities {
                verifier,
                authorities,
            } => match verifier.verify_client_cert(end_entity, intermediates, now) {
                Err(error) if is_authority_itself(&error) && authorities.contains(end_entity) => {}
                verified => {
                    verified?;
                }
            },
        }
        if let Some(allowed) = &self.allowed_names {
            let names = subject_alternative_names(end_entity);
            if !names.iter().any(|name| allowed.contains(name)) {
                return Err(CertificateError::ApplicationVerificationFailure.into());
            }
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Returns the reason for refusing a client certificate, or `None` for other handshake errors.
pub fn refusal_reason(error: &Error) -> Option<String> {
    let Error::InvalidCertificate(reason) = error else {
        return None;
    };
    let other = match reason {
        CertificateError::Other(other) => other.0.downcast_ref(),
        _ => None,
    };
    let words = match reason {
        _ if matches!(other, Some(webpki::Error::UnsupportedCertVersion)) => {
            "X.509 version 1 is not supported; reissue it as version 3 with extensions (openssl x509 -req -extfile FILE)"
        }
        _ if matches!(other, Some(webpki::Error::CaUsedAsEndEntity)) => {
            "it is a CA certificate that is not in client_ca"
        }
        CertificateError::BadSignature => {
            "it was issued by another CA of the same name, or the client does not have its key"
        }
        CertificateError::UnknownIssuer => "it was not issued by a CA in client_ca",
        CertificateError::ApplicationVerificationFailure => {
            "none of its names is in client_allowed_sans"
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "it has expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "it is not valid yet"
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "its extended key usage does not include client authentication"
        }
        _ => return Some(error.to_string()),
    };
    Some(words.to_owned())
}

/// Returns true for the error of a self-signed certificate as `openssl req -x509` makes it, which is marked as a CA. Go
/// accepts it from a client if it is in the list of CAs. Its validity period is checked before this error is returned.
fn is_authority_itself(error: &Error) -> bool {
    let Error::InvalidCertificate(CertificateError::Other(other)) = error else {
        return false;
    };
    matches!(
        other.0.downcast_ref::<webpki::Error>(),
        Some(webpki::Error::CaUsedAsEndEntity)
    )
}
