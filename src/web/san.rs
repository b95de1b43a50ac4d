//! The names in a certificate.

use std::net::IpAddr;

use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

/// Every DNS name, mail address, URI and IP address of a certificate (DER), in the words of Go; none of one that makes no
/// sense.
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
    fn names_of_every_kind_are_found_and_rubbish_has_none() {
        let mut params = CertificateParams::new(["a.example".to_owned()]).expect("it is a name");
        params.subject_alt_names.extend([
            SanType::Rfc822Name("who@example.com".try_into().expect("it is ASCII")),
            SanType::URI("spiffe://x/y".try_into().expect("it is ASCII")),
            SanType::IpAddress([192, 0, 2, 1].into()),
            SanType::IpAddress(Ipv6Addr::LOCALHOST.into()),
        ]);
        let key = KeyPair::generate().expect("there is chance");
        let certificate = params.self_signed(&key).expect("it is complete");
        let names = [
            "a.example",
            "who@example.com",
            "spiffe://x/y",
            "192.0.2.1",
            "::1",
        ];
        assert_eq!(subject_alternative_names(certificate.der()), names);
        for end in 0..certificate.der().len() {
            // Whatever is cut off, nothing panics.
            assert!(subject_alternative_names(&certificate.der()[..end]).len() <= names.len());
        }
        let nameless = CertificateParams::default()
            .self_signed(&key)
            .expect("it is complete");
        assert_eq!(subject_alternative_names(nameless.der()), [""; 0]);
    }
}
