//! Certificates made for a test, and clients that trust them.

use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};
use reqwest::{Certificate, ClientBuilder, Identity};

use crate::exporter::write;

/// A CA of a test.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate and its key, PEM.
#[derive(Clone)]
pub struct Pair {
    pub certificate: String,
    pub key: String,
}

impl Pair {
    /// Writes `NAME.pem` and `NAME.key`.
    pub fn write(&self, folder: &Path, name: &str) {
        write(folder, &format!("{name}.pem"), &self.certificate);
        write(folder, &format!("{name}.key"), &self.key);
    }

    pub fn identity(&self) -> Identity {
        let pem = format!("{}{}", self.key, self.certificate);
        Identity::from_pem(pem.as_bytes()).expect("it is PEM")
    }
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("there is chance");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("it is complete");
        Self { issuer }
    }

    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// For a server or a client of these names.
    pub fn issue(&self, names: &[&str]) -> Pair {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).expect("they are names");
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let key = KeyPair::generate().expect("there is chance");
        let certificate = params
            .signed_by(&key, &self.issuer)
            .expect("it is complete");
        Pair {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }

    /// A client that trusts nobody else.
    pub fn client(&self) -> ClientBuilder {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let root = Certificate::from_pem(self.pem().as_bytes()).expect("it is PEM");
        reqwest::Client::builder()
            .no_proxy()
            .no_gzip()
            .tls_certs_only([root])
    }
}
