//! Valid and invalid files from the toolkit's own tests, and the differences to the toolkit.

use std::path::Path;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use tempfile::TempDir;

use super::*;

/// A bcrypt hash of cost 10.
const HASH: &str = "$2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG";
const TLS: &str = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n";

/// Creates a folder with certificates of two servers.
fn folder() -> TempDir {
    let folder = TempDir::new().expect("a writable folder");
    for name in ["server", "other"] {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).expect("random numbers");
        for (end, text) in [("crt", cert.pem()), ("key", signing_key.serialize_pem())] {
            std::fs::write(folder.path().join(format!("{name}.{end}")), text)
                .expect("a writable folder");
        }
    }
    folder
}

fn load_text(folder: &Path, yaml: &str) -> Result<(WebConfig, Vec<Warning>), ConfigErrors> {
    let file = folder.join("web.yml");
    std::fs::write(&file, yaml).expect("a writable folder");
    load(&file).config
}

fn valid(folder: &TempDir, yaml: &str) -> WebConfig {
    load_text(folder.path(), yaml)
        .unwrap_or_else(|errors| panic!("{yaml}\n{errors}"))
        .0
}

/// Returns the problems of a configuration as text.
fn problems(folder: &TempDir, yaml: &str) -> String {
    match load_text(folder.path(), yaml) {
        Ok(_) => panic!("no problems in\n{yaml}"),
        Err(errors) => errors.to_string(),
    }
}

#[test]
fn accepts_files_that_the_toolkit_accepts() {
    let folder = folder();
    for more in [
        "",
        "  client_auth_type: NoClientCert\n",
        "  client_auth_type: RequestClientCert\n",
        "  client_auth_type: RequireClientCert\n",
        "  client_auth_type: RequireAnyClientCert\n",
        "  client_auth_type: VerifyClientCertIfGiven\n",
        "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: server.crt\n",
        "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: server.crt\n  client_allowed_sans: [one, two]\n",
        "  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384]\n  min_version: TLS12\n  max_version: TLS12\n",
        "  cipher_suites: [TLS_AES_128_GCM_SHA256, TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256]\n  prefer_server_cipher_suites: false\n",
        "  curve_preferences: [CurveP256, CurveP384, X25519]\n  min_version: TLS13\n",
        "  cipher_suites: []\n  client_ca_file: \"\"\n  client_auth_type: \"\"\n",
        "http_server_config: {http2: no}\n",
    ] {
        assert!(
            valid(&folder, &format!("{TLS}{more}")).tls.is_some(),
            "{more}"
        );
    }
    let indented = |name: &str| {
        let pem = std::fs::read_to_string(folder.path().join(name)).expect("an existing file");
        pem.lines()
            .fold(String::new(), |text, line| text + "    " + line + "\n")
    };
    let inline = format!(
        "tls_server_config:\n  cert: |\n{}  key: |\n{}",
        indented("server.crt"),
        indented("server.key")
    );
    assert!(valid(&folder, &inline).tls.is_some());
}

#[test]
fn an_empty_configuration_is_plain_http() {
    let folder = folder();
    for yaml in [
        "",
        "# nothing\n",
        "tls_server_config: {}\n",
        "basic_auth_users: {}\n",
        "rate_limit: {interval: 0, burst: 0}\n",
    ] {
        let config = valid(&folder, yaml);
        assert!(
            config.tls.is_none() && config.users.is_empty() && config.rate_limit.is_none(),
            "{yaml}"
        );
    }
    let (_, warnings) = load_text(folder.path(), "tls_server_config: {min_version: TLS13}\n")
        .expect("a valid file");
    assert!(
        warnings[0].to_string().contains("TLS is off"),
        "{warnings:?}"
    );
}

#[test]
fn reads_users_and_rejects_invalid_hashes() {
    let folder = folder();
    let tail = &HASH[4..];
    let yaml = format!(
        "basic_auth_users:\n  alice: {HASH}\n  bob: $2a${tail}\n  1234: $2b${tail}\n  \"c d\": {HASH}\n"
    );
    let users = valid(&folder, &yaml).users;
    for name in ["alice", "bob", "1234", "c d"] {
        assert!(users.get(name).is_some(), "{name}");
    }
    assert!(!format!("{users:?}").contains("X0h1"), "{users:?}");
    for hash in [
        "doe",
        "$3a$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG",
        "$2bb$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG",
        "$2y$03$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG",
        "$2y$32$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG",
        "$2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7z",
        "$2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zGG",
        "$apr1$X0h1gDsP$szWURQaxFhzoubFi6DXnc",
        "\"\"",
        "[a]",
    ] {
        let error = problems(
            &folder,
            &format!("basic_auth_users:\n  ok: {HASH}\n  john: {hash}\n"),
        );
        assert!(
            error.contains("web.yml:3: basic_auth_users.john: must be a bcrypt hash"),
            "{error}"
        );
        assert!(
            error.contains("htpasswd -nBC 10") && !error.contains("X0h1"),
            "{error}"
        );
    }
    let error = problems(&folder, &format!("basic_auth_users:\n  {HASH}: x\n"));
    assert!(error.contains("basic_auth_users.(not shown)"), "{error}");
}

#[test]
fn reads_the_headers_to_set() {
    let folder = folder();
    let yaml = "http_server_config:\n  headers:\n    X-Frame-Options: deny\n    Strict-Transport-Security: max-age=31536000; includeSubDomains\n    X-Content-Type-Options: nosniff\n    X-XSS-Protection: 1\n    Content-Security-Policy: \"\"\n";
    let headers = valid(&folder, yaml).headers;
    let values: Vec<_> = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_str().expect("text")))
        .collect();
    assert_eq!(
        values,
        [
            (
                "strict-transport-security",
                "max-age=31536000; includeSubDomains"
            ),
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "deny"),
            ("x-xss-protection", "1"),
        ]
    );
}

#[test]
fn errors_name_the_place_and_the_fix() {
    let folder = folder();
    std::fs::write(folder.path().join("junk"), "junk\n").expect("a writable folder");
    for (yaml, expected) in [
        (
            "hWkNKCp3fvIx3jKnsaBI\nTuEjdwNS8A2vYdFbiKqr\n",
            "web.yml:1: is not YAML with keys and values",
        ),
        (
            "tls_server_config:\n  cert_filse: server.crt\n",
            "web.yml:2: tls_server_config.cert_filse: unknown key; did you mean cert_file?",
        ),
        (
            "tls_config: {}\n",
            "web.yml:1: (not shown): unknown key; known here: tls_server_config",
        ),
        (
            "basic_auth_users: [a]\n",
            "basic_auth_users: must be a section",
        ),
        (
            "tls_server_config: {cert_file: \"\", key_file: server.key}\n",
            "has no certificate; set cert_file",
        ),
        (
            "tls_server_config: {cert: \"\", key_file: server.key}\n",
            "has no certificate",
        ),
        (
            "tls_server_config: {cert_file: server.crt}\n",
            "has no key; set key_file",
        ),
        (
            "tls_server_config: {client_auth_type: x}\n",
            "tls_server_config.client_auth_type: unknown name; known here: NoClientCert",
        ),
        (
            "tls_server_config: {cert_file: none, key_file: server.key}\n",
            "none cannot be read: No such file",
        ),
        (
            "tls_server_config: {cert_file: server.crt, key_file: other.key}\n",
            "tls_server_config.cert_file: does not match the key",
        ),
        (
            "tls_server_config: {cert_file: junk, key_file: junk}\n",
            "tls_server_config.cert_file: contains no certificate",
        ),
        (
            "tls_server_config: {cert_file: junk, key_file: junk}\n",
            "tls_server_config.key_file: contains no private key",
        ),
        (
            "http_server_config:\n  headers:\n    X-Content-Type-Options: sniff\n",
            "web.yml:3: http_server_config.headers.X-Content-Type-Options: must be nosniff",
        ),
        (
            "http_server_config: {headers: {X-Frame-Options: foo}}\n",
            "X-Frame-Options: must be deny or sameorigin",
        ),
        (
            "http_server_config: {headers: {Content-Type: foo}}\n",
            "headers.(not shown): unknown key; known here: Strict-Transport-Security",
        ),
        (
            "http_server_config: {headers: {Content-Security-Policy: \"a\\nb\"}}\n",
            "must be text of one line",
        ),
        (
            "http_server_config: {http2: maybe}\n",
            "http2: must be true or false",
        ),
        (
            "rate_limit: {interval: 1s, burst: 0}\n",
            "rate_limit.burst: must be 1 or more",
        ),
        (
            "rate_limit: {interval: 100, burst: 1}\n",
            "rate_limit.interval: must be a duration",
        ),
    ] {
        let error = problems(&folder, yaml);
        assert!(error.contains(expected), "{yaml}\n{error}");
    }
}

#[test]
fn refuses_features_that_rustls_lacks_by_name() {
    let folder = folder();
    for (more, expected) in [
        (
            "min_version: TLS10",
            "min_version: TLS10 is insecure and not supported; use TLS12 or TLS13",
        ),
        (
            "max_version: TLS11",
            "max_version: TLS11 is insecure and not supported",
        ),
        (
            "min_version: TLS111",
            "min_version: unknown name; known here: TLS12, TLS13",
        ),
        (
            "min_version: TLS13\n  max_version: TLS12",
            "is above max_version",
        ),
        (
            "max_version: TLS12\n  cipher_suites: [TLS_AES_128_GCM_SHA256]",
            "add a TLS 1.2 suite",
        ),
        (
            "curve_preferences: [X25519, CurveP521]",
            "curve_preferences[1]: CurveP521 is not supported; use X25519",
        ),
        ("curve_preferences: [CurveP257]", "did you mean CurveP256?"),
        ("curve_preferences: X25519", "must be a list"),
        (
            "cipher_suites:\n  - TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
            "web.yml:5: tls_server_config.cipher_suites[0]: TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA is not supported because CBC is weak; use TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        ),
        (
            "cipher_suites: [TLS_RSA_WITH_AES_128_GCM_SHA256]",
            "it has no forward secrecy; use TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        ),
        (
            "cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA2048]",
            "did you mean TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256?",
        ),
        (
            "client_ca_file: server.crt",
            "clients are not asked for a certificate; add client_auth_type",
        ),
        (
            "client_auth_type: RequireAndVerifyClientCert",
            "needs client_ca_file",
        ),
        (
            "client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: /dev/null",
            "client_ca_file: contains no certificate",
        ),
        (
            "client_allowed_sans: [a]",
            "has no effect while certificates are not verified",
        ),
        (
            "client_auth_type: RequireAnyClientCert\n  client_allowed_sans: [a]",
            "has no effect while",
        ),
        (
            "client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: server.crt\n  client_allowed_sans: []",
            "is empty, which admits no client",
        ),
    ] {
        let error = problems(&folder, &format!("{TLS}  {more}\n"));
        assert!(error.contains(expected), "{more}\n{error}");
    }
}

#[test]
fn reports_all_problems_at_once_without_repeating_values() {
    let folder = folder();
    let yaml = "tls_server_config:\n  cert: canary\n  key: canary\n  min_version: canary\n  client_auth_type: canary\n  curve_preferences: [canary]\nbasic_auth_users: {a: canary, b: canary}\nrate_limit: {interval: canary}\nhttp_server_config: {headers: {X-Frame-Options: canary}}\n";
    let error = problems(&folder, yaml);
    assert!(error.contains("9 problems"), "{error}");
    assert!(!error.contains("canary"), "{error}");
}

#[test]
fn detects_a_change_of_any_file() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("web.yml"), TLS).expect("a writable folder");
    let mut loaded = load(&path("web.yml"));
    for name in ["web.yml", "server.crt", "server.key"] {
        assert!(loaded.snapshot.is_current());
        let old = std::fs::read(path(name)).expect("an existing file");
        std::fs::write(path(name), [&old[..], b"\n"].concat()).expect("a writable folder");
        assert!(!loaded.snapshot.is_current(), "{name}");
        std::fs::remove_file(path(name)).expect("an existing file");
        assert!(!loaded.snapshot.is_current(), "{name}");
        loaded = load(&path("web.yml"));
        assert!(
            loaded.config.is_err() && loaded.snapshot.is_current(),
            "{name}"
        );
        std::fs::write(path(name), &old).expect("a writable folder");
        assert!(!loaded.snapshot.is_current(), "{name}");
        loaded = load(&path("web.yml"));
    }
}

#[test]
fn an_invalid_burst_is_one_problem() {
    let folder = folder();
    for burst in ["0x10", "1_0", "1e3", "-1", "many", "[]"] {
        let yaml = format!("rate_limit: {{interval: 1s, burst: {burst}}}\n");
        let error = load_text(folder.path(), &yaml).expect_err("an invalid burst");
        assert_eq!(error.0.len(), 1, "{burst}: {error}");
    }
}
