//! Certificates for tests, and clients that trust them.

use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, SigningKey as _,
};
use reqwest::{Certificate, ClientBuilder, Identity};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ALL_VERSIONS, ClientConfig, RootCertStore, SupportedProtocolVersion};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use x509_parser::asn1_rs::{Any, Class, FromDer as _, Tag, ToDer as _};

use crate::exporter::write;

/// A self-signed certificate marked as a CA, like those of `openssl req -x509`.
pub fn self_signed(names: &[&str]) -> Pair {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).expect("they are names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("there is randomness");
    let certificate = params.self_signed(&key).expect("it is complete");
    Pair {
        certificate: certificate.pem(),
        key: key.serialize_pem(),
    }
}

/// A CA for tests.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    key: KeyPair,
}

/// Server name of the server under test.
pub fn local() -> ServerName<'static> {
    ServerName::try_from("127.0.0.1").expect("it is an address")
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

fn called(name: &str) -> DistinguishedName {
    let mut called = DistinguishedName::new();
    called.push(DnType::CommonName, name);
    called
}

impl Authority {
    pub fn new() -> Self {
        Self::named("the CA of a test")
    }

    pub fn named(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name = called(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("there is randomness");
        let same = KeyPair::from_pem(&key.serialize_pem()).expect("it is PEM");
        let issuer = CertifiedIssuer::self_signed(params, same).expect("it is complete");
        Self { issuer, key }
    }

    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A certificate with these names, for a server or a client.
    pub fn issue(&self, names: &[&str]) -> Pair {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).expect("they are names");
        params.distinguished_name = called("not a CA");
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let key = KeyPair::generate().expect("there is randomness");
        let certificate = params
            .signed_by(&key, &self.issuer)
            .expect("it is complete");
        Pair {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }

    /// The same as X.509 version 1, which has no extensions and so no names. `openssl x509 -req` made these before 3.2.
    pub fn issue_version_1(&self) -> Pair {
        let pair = self.issue(&["a.example"]);
        let certificate = CertificateDer::from_pem_slice(pair.certificate.as_bytes());
        let certificate = certificate.expect("it is PEM");
        let (_, whole) = Any::from_der(&certificate).expect("it is a sequence");
        let (after, signed) = Any::from_der(whole.data).expect("it is a sequence");
        let (_, algorithm) = Any::from_der(after).expect("it is a sequence");
        let mut fields = signed.data;
        let mut kept = Vec::new();
        while let Ok((rest, field)) = Any::from_der(fields) {
            // Drop the version, [0], and the extensions, [3].
            if field.class() == Class::Universal {
                kept.extend_from_slice(&fields[..fields.len() - rest.len()]);
            }
            fields = rest;
        }
        let element = |tag, content: Vec<u8>| {
            let element = Any::from_tag_and_data(tag, &content);
            element.to_der_vec().expect("it fits")
        };
        let signed = element(Tag::Sequence, kept);
        let signature = self.key.sign(&signed).expect("there is randomness");
        let algorithm = element(Tag::Sequence, algorithm.data.to_vec());
        let signature = element(Tag::BitString, [vec![0], signature].concat());
        let certificate = element(Tag::Sequence, [signed, algorithm, signature].concat());
        Pair {
            certificate: format!(
                "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
                BASE64_STANDARD.encode(certificate)
            ),
            key: pair.key,
        }
    }

    /// A TLS connector with these versions and suites.
    pub fn connector(
        &self,
        provider: CryptoProvider,
        versions: &[&'static SupportedProtocolVersion],
    ) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).expect("it is a CA");
        let config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(versions)
            .expect("they are compatible")
            .with_root_certificates(roots)
            .with_no_client_auth();
        TlsConnector::from(Arc::new(config))
    }

    /// Does a TLS handshake with 127.0.0.1.
    pub async fn connect(&self, address: &str) -> TlsStream<TcpStream> {
        let connector = self.connector(ring::default_provider(), ALL_VERSIONS);
        let stream = TcpStream::connect(address).await.expect("it accepts");
        connector
            .connect(local(), stream)
            .await
            .expect("it speaks TLS")
    }

    /// A client that trusts only this CA.
    pub fn client(&self) -> ClientBuilder {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let root = Certificate::from_pem(self.pem().as_bytes()).expect("it is PEM");
        reqwest::Client::builder()
            .no_proxy()
            .no_gzip()
            .tls_certs_only([root])
    }
}
