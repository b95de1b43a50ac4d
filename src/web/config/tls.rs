//! `tls_server_config`: builds the rustls configuration from its keys and files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use figment::value::{Dict, Value};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, ServerConfig};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{Error, InconsistentKeys, SupportedProtocolVersion, version};

use super::inputs::Inputs;
use super::names::{self, ClientAuth, NameError};
use super::{non_empty, yes_or_no};
use crate::config::{Reader, join, text};
use crate::web::client_certificate::Policy;

const SECTION: &str = "tls_server_config";
const KEYS: &[&str] = &[
    "cert",
    "key",
    "client_ca",
    "cert_file",
    "key_file",
    "client_auth_type",
    "client_ca_file",
    "cipher_suites",
    "curve_preferences",
    "min_version",
    "max_version",
    "prefer_server_cipher_suites",
    "client_allowed_sans",
];

/// The TLS configuration of the server.
#[derive(Debug)]
pub struct Tls {
    /// Certificate, versions, suites and client policy.
    pub server: Arc<ServerConfig>,
    /// True if clients must present a certificate.
    pub requires_certificate: bool,
}

/// Reads the TLS configuration. Returns `None` if TLS is off or the section has problems, which are recorded.
pub fn tls(reader: &mut Reader, top: &Dict, folder: &Path, inputs: &mut Inputs) -> Option<Tls> {
    let section = reader.section(top.get(SECTION), SECTION, KEYS);
    let mut source = TlsSection {
        reader,
        section: &section,
        folder,
        inputs,
    };
    let certificate = source.pem("cert");
    let key = source.pem("key");
    let ca = source.pem("client_ca");
    let (suites, curves) = (
        source.list("cipher_suites", names::cipher_suite),
        source.list("curve_preferences", names::curve),
    );
    let lowest = source
        .name("min_version", names::tls_version)
        .unwrap_or(&version::TLS12);
    let highest = source
        .name("max_version", names::tls_version)
        .unwrap_or(&version::TLS13);
    let client_auth_given = non_empty(source.reader, &section, SECTION, "client_auth_type");
    let client_auth = source
        .name("client_auth_type", names::client_auth)
        .unwrap_or(ClientAuth::NoClientCert);
    let prefer = source.reader.read(
        &section,
        SECTION,
        "prefer_server_cipher_suites",
        "true or false",
        yes_or_no,
    );
    let sans = source.list("client_allowed_sans", |name| Ok(name.to_owned()));

    if certificate == Pem::None
        && key == Pem::None
        && ca == Pem::None
        && client_auth_given.is_none()
    {
        if !section.is_empty() {
            source
                .reader
                .warn(SECTION, "has no cert_file and key_file, so TLS is off");
        }
        return None;
    }
    let certificate = source.certificates("cert", certificate);
    let key = source.key(key);
    let policy = source.policy(client_auth, ca, sans);

    let versions: Vec<&'static SupportedProtocolVersion> = [&version::TLS13, &version::TLS12]
        .into_iter()
        .filter(|version| (number(lowest)..=number(highest)).contains(&number(version)))
        .collect();
    if versions.is_empty() {
        source.problem(
            "min_version",
            "is above max_version, so no client could connect",
        );
    }
    let named_for_tls12 = suites
        .as_ref()
        .is_none_or(|suites| suites.iter().any(|suite| suite.tls13().is_none()));
    if highest.version == version::TLS12.version && !named_for_tls12 {
        source.problem(
            "cipher_suites",
            "has only TLS 1.3 suites, which max_version forbids; add a TLS 1.2 suite such as TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        );
    }
    if !source.reader.problems.is_empty() {
        return None;
    }

    let provider = names::provider(suites, curves);
    let certified = match CertifiedKey::from_der(certificate?, key?, &provider) {
        Ok(certified) => certified,
        Err(error) => {
            source.problem_of("cert", &unusable(&error));
            return None;
        }
    };
    let builder = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&versions)
        .map_err(|error| source.problem("cipher_suites", &format!("cannot be used: {error}")))
        .ok()?;
    let builder = match policy {
        Some(policy) => builder.with_client_cert_verifier(Arc::new(policy)),
        None => builder.with_no_client_auth(),
    };
    let mut server = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    server.ignore_client_order = prefer.unwrap_or(true);
    server.alpn_protocols = vec![b"http/1.1".to_vec(), b"http/1.0".to_vec()];
    // Scrapers keep their connections. Sessions would only take memory and outlive the policy that admitted them.
    server.session_storage = Arc::new(NoServerSessionStorage {});
    server.send_tls13_tickets = 0;
    Some(Tls {
        server: Arc::new(server),
        requires_certificate: client_auth.requires_certificate(),
    })
}

fn number(version: &SupportedProtocolVersion) -> u16 {
    version.version.into()
}

/// Describes the problem with a certificate and its key. Omits library errors, which could contain key material.
fn unusable(error: &Error) -> String {
    match error {
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            "does not match the key; use the key that the certificate was issued for"
                .to_owned()
        }
        Error::InvalidCertificate(_) => {
            "is not a usable certificate; it must be X.509 version 3".to_owned()
        }
        _ => {
            "has an unusable key; it must be RSA (2048 bits or more), ECDSA (P-256, P-384) or Ed25519"
                .to_owned()
        }
    }
}

/// PEM text from a key or a file.
#[derive(PartialEq, Eq)]
enum Pem {
    /// Not given.
    None,
    /// In an unreadable file, which is recorded as a problem.
    Unreadable,
    /// The text.
    Text(Vec<u8>),
}

/// The section, with access to the files that it names.
struct TlsSection<'a> {
    reader: &'a mut Reader,
    section: &'a Dict,
    folder: &'a Path,
    inputs: &'a mut Inputs,
}

impl TlsSection<'_> {
    fn problem(&mut self, key: &str, problem: &str) {
        self.reader.problem(&join(SECTION, key), problem);
    }

    /// Records a problem at `NAME_file` or `NAME`, whichever is set.
    fn problem_of(&mut self, name: &str, problem: &str) {
        let file = format!("{name}_file");
        let key = if non_empty(self.reader, self.section, SECTION, &file).is_some() {
            &file
        } else {
            name
        };
        self.problem(key, problem);
    }

    /// Reads PEM text from the file in `NAME_file`, or else from `NAME` itself.
    fn pem(&mut self, name: &str) -> Pem {
        let file_key = format!("{name}_file");
        let inline = non_empty(self.reader, self.section, SECTION, name);
        let Some(file) = non_empty(self.reader, self.section, SECTION, &file_key) else {
            return inline.map_or(Pem::None, |text| Pem::Text(text.into_bytes()));
        };
        if inline.is_some() {
            let key = join(SECTION, name);
            self.reader
                .warn(&key, format!("is ignored because {file_key} is set"));
        }
        let path: PathBuf = self.folder.join(file);
        match self.inputs.read(&path) {
            Ok(bytes) => Pem::Text(bytes),
            Err(error) => {
                self.problem(
                    &file_key,
                    &format!("{} cannot be read: {error}", path.display()),
                );
                Pem::Unreadable
            }
        }
    }

    fn certificates(&mut self, name: &str, pem: Pem) -> Option<Vec<CertificateDer<'static>>> {
        let text = match pem {
            Pem::None => {
                self.problem(
                    "",
                    &format!("has no certificate; set {name}_file or {name}"),
                );
                return None;
            }
            Pem::Unreadable => return None,
            Pem::Text(text) => text,
        };
        let certificates: Vec<_> = CertificateDer::pem_slice_iter(&text)
            .map_while(Result::ok)
            .collect();
        if certificates.is_empty() {
            self.problem_of(
                name,
                "contains no certificate; it must be PEM with BEGIN CERTIFICATE",
            );
            return None;
        }
        Some(certificates)
    }

    fn key(&mut self, pem: Pem) -> Option<PrivateKeyDer<'static>> {
        match pem {
            Pem::None => {
                self.problem("", "has no key; set key_file or key");
                None
            }
            Pem::Unreadable => None,
            Pem::Text(text) => {
                let key = PrivateKeyDer::from_pem_slice(&text).ok();
                if key.is_none() {
                    self.problem_of(
                        "key",
                        "contains no private key; it must be unencrypted PEM with BEGIN PRIVATE KEY",
                    );
                }
                key
            }
        }
    }

    /// Builds the policy for client certificates. Unless a problem is recorded, `None` admits all clients.
    fn policy(
        &mut self,
        client_auth: ClientAuth,
        ca: Pem,
        sans: Option<Vec<String>>,
    ) -> Option<Policy> {
        let ca = match ca {
            Pem::None => Vec::new(),
            ca => self.certificates("client_ca", ca)?,
        };
        if !ca.is_empty() && client_auth == ClientAuth::NoClientCert {
            self.problem_of(
                "client_ca",
                "is set, but clients are not asked for a certificate; add client_auth_type: RequireAndVerifyClientCert",
            );
        } else if !ca.is_empty() && !client_auth.verifies() {
            let key = join(SECTION, "client_auth_type");
            self.reader.warn(
                &key,
                "does not verify certificates, so the client CA has no effect; use RequireAndVerifyClientCert",
            );
        }
        if ca.is_empty() && client_auth == ClientAuth::RequireAndVerifyClientCert {
            self.problem(
                "client_auth_type",
                "needs client_ca_file with the CA of the clients; the CAs that browsers trust are not used",
            );
        }
        if ca.is_empty() && client_auth == ClientAuth::VerifyClientCertIfGiven {
            let key = join(SECTION, "client_auth_type");
            self.reader.warn(
                &key,
                "has no client_ca_file, so clients that present a certificate are refused",
            );
        }
        match &sans {
            Some(sans) if sans.is_empty() => self.problem(
                "client_allowed_sans",
                "is empty, which admits no client; list the allowed names or remove it",
            ),
            Some(_) if !client_auth.verifies() => self.problem(
                "client_allowed_sans",
                "has no effect while certificates are not verified; add client_auth_type: RequireAndVerifyClientCert",
            ),
            _ => {}
        }
        if client_auth == ClientAuth::NoClientCert {
            return None;
        }
        match Policy::new(
            client_auth.requires_certificate(),
            client_auth.verifies(),
            ca,
            sans,
        ) {
            Ok(policy) => Some(policy),
            Err(error) => {
                self.problem_of("client_ca", &error.to_string());
                None
            }
        }
    }

    /// Reads one of Go's names.
    fn name<T>(&mut self, key: &str, find: impl Fn(&str) -> Result<T, NameError>) -> Option<T> {
        let name = self
            .reader
            .read(self.section, SECTION, key, "a name", text)?;
        if name.is_empty() && key == "client_auth_type" {
            return None;
        }
        find(&name)
            .map_err(|error| self.problem(key, &error.to_string()))
            .ok()
    }

    /// Reads a list of names. Invalid names are recorded as problems and skipped. Returns `None` if there is no list.
    fn list<T>(
        &mut self,
        key: &str,
        find: impl Fn(&str) -> Result<T, NameError>,
    ) -> Option<Vec<T>> {
        let items = self
            .reader
            .read(self.section, SECTION, key, "a list", |value: &Value| {
                value
                    .as_array()?
                    .iter()
                    .map(text)
                    .collect::<Option<Vec<_>>>()
            })?;
        let mut found = Vec::new();
        for (index, item) in items.iter().enumerate() {
            match find(item) {
                Ok(item) => found.push(item),
                Err(error) => self.problem(&format!("{key}[{index}]"), &error.to_string()),
            }
        }
        // The toolkit treats an empty list as missing, except that an empty `client_allowed_sans` admits no client.
        (!items.is_empty() || key == "client_allowed_sans").then_some(found)
    }
}
