//! The subject alternative names of a certificate.

use std::net::IpAddr;

use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

/// Returns the DNS names, mail addresses, URIs and IP addresses of a DER certificate, formatted as in Go. Invalid
/// certificates have none.
pub fn subject_alternative_names(certificate: &[u8]) -> Vec<String> {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else {
        return Vec::new();
    };
    let Ok(Some(extension)) = certificate.subject_alternative_name() else {
        return Vec::new();
    };
    extension
        .value
        .general_names
        .iter()
        .filter_map(name)
        .collect()
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::RFC822Name(name) | GeneralName::DNSName(name) | GeneralName::URI(name) => {
            Some((*name).to_owned())
        }
        GeneralName::IPAddress(bytes) => {
            let four = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
            let sixteen = <[u8; 16]>::try_from(*bytes).map(IpAddr::from);
            Some(four.or(sixteen).ok()?.to_canonical().to_string())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use rcgen::{CertificateParams, KeyPair, SanType};

    use super::*;

    #[test]
    fn finds_names_of_every_kind_and_none_in_invalid_input() {
        let mut params = CertificateParams::new(["a.example".to_owned()]).expect("a valid name");
        params.subject_alt_names.extend([
            SanType::Rfc822Name("who@example.com".try_into().expect("ASCII")),
            SanType::URI("spiffe://x/y".try_into().expect("ASCII")),
            SanType::IpAddress([192, 0, 2, 1].into()),
            SanType::IpAddress(Ipv6Addr::LOCALHOST.into()),
        ]);
        let key = KeyPair::generate().expect("random numbers");
        let certificate = params.self_signed(&key).expect("valid parameters");
        let names = [
            "a.example",
            "who@example.com",
            "spiffe://x/y",
            "192.0.2.1",
            "::1",
        ];
        assert_eq!(subject_alternative_names(certificate.der()), names);
        for end in 0..certificate.der().len() {
            // Truncated input must not panic.
            assert!(subject_alternative_names(&certificate.der()[..end]).len() <= names.len());
        }
        let nameless = CertificateParams::default()
            .self_signed(&key)
            .expect("valid parameters");
        assert_eq!(subject_alternative_names(nameless.der()), [""; 0]);
    }
}
