//! The names in a certificate: DNS, mail, URI, IP. Of X.509 only what leads to them is read.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const SEQUENCE: u8 = 0x30;
const OBJECT_IDENTIFIER: u8 = 0x06;
const OCTET_STRING: u8 = 0x04;
/// The extensions, `[3]` of what is signed.
const EXTENSIONS: u8 = 0xa3;
/// 2.5.29.17.
const SUBJECT_ALTERNATIVE_NAME: &[u8] = &[0x55, 0x1d, 0x11];

/// Every subject alternative name of a certificate (DER), in the words of Go; none of one that makes no sense.
pub fn subject_alternative_names(certificate: &[u8]) -> Vec<String> {
    names(certificate).unwrap_or_default()
}

fn names(certificate: &[u8]) -> Option<Vec<String>> {
    let signed = inside(inside(certificate, SEQUENCE)?, SEQUENCE)?;
    let extensions = inside(
        elements(signed).find(|(tag, _)| *tag == EXTENSIONS)?.1,
        SEQUENCE,
    )?;
    let names = elements(extensions).find_map(|(_, extension)| {
        let mut parts = elements(extension);
        (parts.next()? == (OBJECT_IDENTIFIER, SUBJECT_ALTERNATIVE_NAME)).then_some(())?;
        parts
            .find(|(tag, _)| *tag == OCTET_STRING)
            .map(|(_, names)| names)
    })?;
    Some(
        elements(inside(names, SEQUENCE)?)
            .filter_map(name)
            .collect(),
    )
}

fn name((tag, content): (u8, &[u8])) -> Option<String> {
    match tag {
        // Mail, DNS, URI.
        0x81 | 0x82 | 0x86 => String::from_utf8(content.to_vec()).ok(),
        0x87 => {
            let address: IpAddr = match content.len() {
                4 => Ipv4Addr::from(<[u8; 4]>::try_from(content).ok()?).into(),
                _ => Ipv6Addr::from(<[u8; 16]>::try_from(content).ok()?).into(),
            };
            Some(address.to_canonical().to_string())
        }
        _ => None,
    }
}

/// The content of the first element, which must have this tag.
fn inside(der: &[u8], tag: u8) -> Option<&[u8]> {
    elements(der)
        .next()
        .filter(|(found, _)| *found == tag)
        .map(|(_, content)| content)
}

/// Tags and contents, up to the first that is broken.
fn elements(mut der: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let (&tag, rest) = der.split_first()?;
        let (&first, mut rest) = rest.split_first()?;
        let length = if first < 0x80 {
            usize::from(first)
        } else {
            let (digits, after) = rest.split_at_checked(usize::from(first & 0x7f))?;
            rest = after;
            (digits.len() <= 4).then_some(())?;
            digits
                .iter()
                .fold(0, |length, digit| (length << 8) | usize::from(*digit))
        };
        let (content, rest) = rest.split_at_checked(length)?;
        der = rest;
        Some((tag, content))
    })
}

#[cfg(test)]
mod tests {
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
