//! TLS on the listening port: versions and cipher suites, server certificates, and passwords.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use kiwivm_exporter::web::{Gate, Options};
use reqwest::{Client, StatusCode};
use rustls::crypto::{CryptoProvider, ring};
use rustls::{ALL_VERSIONS, CipherSuite, NamedGroup, SupportedProtocolVersion, version};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::certificates::{Authority, local};
use crate::client_certificates::is_accepted;
use crate::exporter::{Exporter, TIMEOUT, run_without_blocking, write};
use crate::prometheus::Prometheus;
use crate::server::{options, read_to_end, start};

/// A bcrypt hash of `right` with the lowest cost.
pub fn hash() -> String {
    bcrypt::hash("right", 4).expect("there is randomness")
}

const ONLY_12: [&SupportedProtocolVersion; 1] = [&version::TLS12];
const ONLY_13: [&SupportedProtocolVersion; 1] = [&version::TLS13];

pub const SERVER: &str = "tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\n";

/// A folder with a CA, a certificate for 127.0.0.1 and a web configuration, and the flag for it.
pub struct Site {
    folder: TempDir,
    pub authority: Authority,
    pub flag: String,
}

impl Site {
    pub fn new(yaml: &str) -> Self {
        let folder = TempDir::new().expect("disk is writable");
        let authority = Authority::new();
        authority
            .issue(&["127.0.0.1", "localhost"])
            .write(folder.path(), "server");
        write(folder.path(), "ca.pem", &authority.pem());
        let file = write(folder.path(), "web.yml", yaml);
        Self {
            flag: format!("--web.config.file={file}"),
            folder,
            authority,
        }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Starts the real program with its demo.
    pub fn start(&self, more: &[&str]) -> Exporter {
        let mut exporter = Exporter::start(&[&["--demo", self.flag.as_str()], more].concat());
        exporter.url = exporter.url.replace("http://", "https://");
        exporter
    }

    /// Server options with the web configuration.
    pub fn options(&self) -> Options {
        let gate = Gate::open(&self.path().join("web.yml")).expect("it is valid");
        Options {
            gate: Some(Arc::new(gate)),
            ..options()
        }
    }

    pub fn client(&self) -> Client {
        self.authority.client().build().expect("it is complete")
    }
}

#[tokio::test]
async fn every_path_requires_tls_and_basic_auth() {
    let site = Site::new(&format!(
        "{SERVER}basic_auth_users: {{alice: {}}}\n",
        hash()
    ));
    let exporter = site.start(&["--web.enable-lifecycle"]);
    let client = site.client();
    for path in [
        "/",
        "/metrics",
        "/-/healthy",
        "/-/ready",
        "/-/reload",
        "/nope",
    ] {
        for (user, password) in [
            (None, ""),
            (Some("alice"), "wrong"),
            (Some("bob"), "right"),
            (Some("alice"), ""),
            (Some(""), "right"),
        ] {
            let mut request = client.get(format!("{}{path}", exporter.url));
            if let Some(user) = user {
                request = request.basic_auth(user, Some(password));
            }
            let response = request.send().await.expect("it responds");
            assert_eq!(
                response.status(),
                StatusCode::UNAUTHORIZED,
                "{path} {user:?}"
            );
            let challenge = response.headers()["www-authenticate"].to_str();
            assert!(challenge.expect("it is text").starts_with("Basic "));
        }
        let response = client
            .get(format!("{}{path}", exporter.url))
            .basic_auth("alice", Some("right"))
            .send()
            .await
            .expect("it responds");
        assert_ne!(response.status(), StatusCode::UNAUTHORIZED, "{path}");
    }
}

#[tokio::test]
async fn curl_can_connect() {
    let site = Site::new(&format!(
        "{SERVER}basic_auth_users: {{alice: {}}}\n",
        hash()
    ));
    let exporter = site.start(&[]);
    let ca = site.path().join("ca.pem");
    let curl = |more: &[&str]| {
        let output = Command::new("curl")
            .args(["--silent", "--show-error", "--noproxy", "*", "--cacert"])
            .arg(&ca)
            .args(more)
            .output()
            .expect("curl is installed");
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    };
    let metrics = format!("{}/metrics", exporter.url);
    for more in [&[][..], &["--http1.0"], &["--tls-max", "1.2"], &["--http2"]] {
        let page = curl(&[&["--user", "alice:right", metrics.as_str()], more].concat());
        assert!(
            page.contains("kiwivm_exporter_build_info"),
            "{more:?} {page}"
        );
    }
    let page = curl(&["--head", "--write-out", "%{http_code}", &metrics]);
    assert!(page.ends_with("401"), "{page}");
    let page = curl(&[&metrics.replace("https", "http")]);
    assert!(page.contains("HTTP request to an HTTPS server"), "{page}");
}

#[tokio::test]
async fn configured_versions_suites_and_curves_are_used() {
    let site = Site::new(&format!(
        "{SERVER}  cipher_suites: [TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]\n  max_version: TLS12\n  curve_preferences: [CurveP384]\n"
    ));
    let address = start(site.options(), 0).await;
    let connect = async |provider: CryptoProvider,
                         versions: &[&'static SupportedProtocolVersion]| {
        let connector = site.authority.connector(provider, versions);
        let stream = TcpStream::connect(&address).await.expect("it accepts");
        connector.connect(local(), stream).await
    };
    let stream = connect(ring::default_provider(), ALL_VERSIONS)
        .await
        .expect("it speaks TLS");
    let connection = stream.get_ref().1;
    let negotiated = connection.negotiated_cipher_suite().expect("there is one");
    assert_eq!(
        negotiated.suite(),
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
    );
    let group = connection.negotiated_key_exchange_group();
    assert_eq!(group.expect("there is one").name(), NamedGroup::secp384r1);
    assert!(connect(ring::default_provider(), &ONLY_13).await.is_err());
    let mut other = ring::default_provider();
    other.cipher_suites = vec![ring::cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384];
    assert!(connect(other, &ONLY_12).await.is_err());
}

#[tokio::test]
async fn a_new_certificate_is_loaded_without_a_restart_unless_it_is_broken() {
    let site = Site::new(SERVER);
    let exporter = site.start(&[]);
    let address = exporter.url.trim_start_matches("https://").to_owned();
    let shown = async || {
        let stream = site.authority.connect(&address).await;
        let chain = stream.get_ref().1.peer_certificates().expect("it has one");
        chain[0].to_vec()
    };
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    let first = shown().await;
    assert_eq!(shown().await, first);

    write(site.path(), "server.key", "broken");
    while !exporter.log().contains("web configuration not reloaded") {
        assert_eq!(shown().await, first);
        tick.tick().await;
    }
    let again = tokio::time::Instant::now() + Duration::from_secs(3);
    while tokio::time::Instant::now() < again {
        assert_eq!(shown().await, first);
        tick.tick().await;
    }
    let log = exporter.log();
    assert_eq!(log.matches("not reloaded").count(), 1, "{log}");
    assert!(
        log.contains("tls_server_config.key_file: contains no private key"),
        "{log}"
    );

    site.authority
        .issue(&["127.0.0.1"])
        .write(site.path(), "server");
    while shown().await == first {
        tick.tick().await;
    }
    // The log arrives through a pipe.
    while !exporter.log().contains("web configuration reloaded") {
        tick.tick().await;
    }
}

#[tokio::test]
async fn healthcheck_works_without_password_or_certificate() {
    let users = format!("basic_auth_users: {{alice: {}}}\n", hash());
    let demands = "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.pem\n";
    for yaml in [
        String::new(),
        users.clone(),
        SERVER.to_owned(),
        format!("{SERVER}{users}"),
        format!("{SERVER}{demands}"),
        format!("{SERVER}  max_version: TLS12\n{demands}"),
        "rate_limit: {interval: 1h, burst: 1}\n".to_owned(),
    ] {
        let site = Site::new(&yaml);
        let address = start(site.options(), 0).await;
        let listen = format!("--web.listen-address={address}");
        let check = async || run_without_blocking(&["healthcheck", &listen, &site.flag]).await;
        for _ in 0..2 {
            let output = check().await;
            assert!(output.status.success(), "{yaml}{output:?}");
        }
        // The server still uses the file as it was.
        write(site.path(), "web.yml", "broken");
        let output = check().await;
        assert!(output.status.success(), "{yaml}{output:?}");
    }
    // Without credentials an exporter with a password is reported as unhealthy.
    let site = Site::new(&users);
    let address = start(site.options(), 0).await;
    let listen = format!("--web.listen-address={address}");
    let output = run_without_blocking(&["healthcheck", &listen]).await;
    assert_eq!(output.status.code(), Some(1));
}

/// As docs/tls.md has it.
#[tokio::test]
async fn prometheus_scrapes_over_tls_with_a_password_and_a_certificate() {
    let site = Site::new(SERVER);
    let yaml = format!(
        "{SERVER}  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.pem\nbasic_auth_users: {{alice: {}}}\n",
        hash()
    );
    write(site.path(), "web.yml", &yaml);
    site.authority
        .issue(&["prometheus.example"])
        .write(site.path(), "prometheus");
    let exporter = site.start(&[]);
    let target = exporter.url.trim_start_matches("https://");
    let folder = site.path().display();
    let job = |name: &str, more: &str| {
        format!(
            "- job_name: {name}\n  scheme: https\n  static_configs: [{{targets: [\"{target}\"]}}]\n{more}"
        )
    };
    let password = "  basic_auth: {username: alice, password: right}\n";
    let certificate = format!(
        "  tls_config: {{ca_file: {folder}/ca.pem, cert_file: {folder}/prometheus.pem, key_file: {folder}/prometheus.key}}\n"
    );
    let no_certificate = format!("  tls_config: {{ca_file: {folder}/ca.pem}}\n");
    let config = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs:\n{}{}{}",
        job("both", &format!("{password}{certificate}")),
        job("no_password", &certificate),
        job("no_certificate", &format!("{password}{no_certificate}")),
    );
    let data = TempDir::new().expect("disk is writable");
    let prometheus = Prometheus::start_configured(data, &config);
    let expected = [("both", "1"), ("no_certificate", "0"), ("no_password", "0")];
    let mut tick = tokio::time::interval(Duration::from_millis(200));
    let deadline = std::time::Instant::now() + TIMEOUT;
    loop {
        tick.tick().await;
        let up = prometheus.query("up").await;
        let mut up: Vec<(&str, &str)> = up
            .iter()
            .filter_map(|up| Some((up["metric"]["job"].as_str()?, up["value"][1].as_str()?)))
            .collect();
        up.sort_unstable();
        if up == expected {
            break;
        }
        assert!(
            std::time::Instant::now() < deadline,
            "{up:?}\n{}",
            exporter.log()
        );
    }
    let samples = prometheus
        .query("kiwivm_exporter_build_info{job=\"both\"}")
        .await;
    assert_eq!(samples.len(), 1);
}

/// Connections accepted under an older configuration are closed after their next response.
#[tokio::test]
async fn a_configuration_change_closes_old_connections_after_a_response() {
    let site = Site::new(SERVER);
    let address = start(site.options(), 0).await;
    let mut kept = site.authority.connect(&address).await;
    let yaml = format!(
        "{SERVER}  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.pem\n"
    );
    write(site.path(), "web.yml", &yaml);
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    while is_accepted(&site, &address, None).await {
        tick.tick().await;
    }
    let request = b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n";
    kept.write_all(request).await.expect("it is open");
    let response = read_to_end(&mut kept).await;
    assert!(
        response.contains(" 200 ") && response.contains("connection: close"),
        "{response}"
    );
}
