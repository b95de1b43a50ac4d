//! Which certificates of clients are taken.

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

/// Go's policies for certificates of clients, which rustls has but in part.
#[derive(Debug)]
pub struct Policy {
    mandatory: bool,
    trust: Trust,
    allowed_names: Option<Vec<String>>,
    algorithms: WebPkiSupportedAlgorithms,
}

#[derive(Debug)]
enum Trust {
    /// Any certificate will do.
    Everybody,
    /// No certificate will do.
    Nobody,
    /// Those that a CA has signed.
    Authorities {
        verifier: Arc<dyn ClientCertVerifier>,
        authorities: Vec<CertificateDer<'static>>,
    },
}

impl Policy {
    /// Certificates `of_known_ca` are of one of these CAs, and have one of the names allowed.
    ///
    /// # Errors
    ///
    /// What is wrong with the CAs.
    pub fn new(
        mandatory: bool,
        of_known_ca: bool,
        authorities: Vec<CertificateDer<'static>>,
        allowed_names: Option<Vec<String>>,
    ) -> Result<Self, String> {
        let provider = ring::default_provider();
        let algorithms = provider.signature_verification_algorithms;
        let trust = if !of_known_ca {
            Trust::Everybody
        } else if authorities.is_empty() {
            Trust::Nobody
        } else {
            let mut roots = RootCertStore::empty();
            let unusable = "holds a certificate that cannot be used as a CA";
            for authority in &authorities {
                roots
                    .add(authority.clone())
                    .map_err(|_| unusable.to_owned())?;
            }
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(provider))
                    .build()
                    .map_err(|_| unusable.to_owned())?;
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

/// Tells why a client's certificate is refused; `None` of any other error of a handshake.
pub fn why_refused(error: &Error) -> Option<String> {
    let Error::InvalidCertificate(reason) = error else {
        return None;
    };
    let other = match reason {
        CertificateError::Other(other) => other.0.downcast_ref(),
        _ => None,
    };
    let words = match reason {
        _ if matches!(other, Some(webpki::Error::UnsupportedCertVersion)) => {
            "it is X.509 version 1, and only version 3 is supported: issue it again with extensions (openssl x509 -req -extfile FILE)"
        }
        _ if matches!(other, Some(webpki::Error::CaUsedAsEndEntity)) => {
            "it is the certificate of a CA, and client_ca does not hold it"
        }
        CertificateError::BadSignature => {
            "another CA of the same name has issued it, or the client does not have its key"
        }
        CertificateError::UnknownIssuer => "no CA of client_ca has issued it",
        CertificateError::ApplicationVerificationFailure => {
            "none of its names is in client_allowed_sans"
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "it has expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "it is not valid yet"
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "its extended key usage does not include clients"
        }
        _ => return Some(error.to_string()),
    };
    Some(words.to_owned())
}

/// A certificate that signed itself, as `openssl req -x509` makes it, is a CA by its own words. Go takes it for a client's
/// when it is in the list of CAs; its time was checked before this error comes.
fn is_authority_itself(error: &Error) -> bool {
    let Error::InvalidCertificate(CertificateError::Other(other)) = error else {
        return false;
    };
    matches!(
        other.0.downcast_ref::<webpki::Error>(),
        Some(webpki::Error::CaUsedAsEndEntity)
    )
}
