//! Client certificates: which are accepted, and the log line for the others.

use std::process::Command;
use std::time::Duration;

use reqwest::StatusCode;

use crate::certificates::{Authority, Pair, self_signed};
use crate::exporter::{Exporter, write};
use crate::server::start;
use crate::tls::{SERVER, Site};

/// Reports whether a client with this certificate gets a response.
pub async fn is_accepted(site: &Site, address: &str, pair: Option<&Pair>) -> bool {
    let mut client = site.authority.client();
    if let Some(pair) = pair {
        client = client.identity(pair.identity());
    }
    let client = client.build().expect("it is complete");
    let response = client.get(format!("https://{address}/")).send().await;
    response.is_ok_and(|response| response.status() == StatusCode::OK)
}

#[tokio::test]
async fn client_certificates_are_checked_by_policy() {
    let foreign = Authority::new().issue(&["a.example"]);
    let own = self_signed(&["a.example"]);
    for (policy, none, ours, foreigners, self_made) in [
        ("NoClientCert", true, true, true, true),
        ("RequestClientCert", true, true, true, true),
        ("RequireAnyClientCert", false, true, true, true),
        ("RequireClientCert", false, true, true, true),
        ("VerifyClientCertIfGiven", true, true, false, true),
        ("RequireAndVerifyClientCert", false, true, false, true),
    ] {
        let ca = if policy == "NoClientCert" {
            ""
        } else {
            "  client_ca_file: clients.pem\n"
        };
        let site = Site::new(SERVER);
        let clients = format!("{}{}", site.authority.pem(), own.certificate);
        write(site.path(), "clients.pem", &clients);
        let yaml = format!("{SERVER}  client_auth_type: {policy}\n{ca}");
        write(site.path(), "web.yml", &yaml);
        let address = start(site.options(), 0).await;
        let pair = site.authority.issue(&["a.example"]);
        for (pair, expected) in [
            (None, none),
            (Some(&pair), ours),
            (Some(&foreign), foreigners),
            (Some(&own), self_made),
        ] {
            let accepted = is_accepted(&site, &address, pair).await;
            assert_eq!(accepted, expected, "{policy}, {}", pair.is_some());
        }
    }
}

/// The same with curl, which sends any certificate.
fn curl_is_accepted_with(site: &Site, exporter: &Exporter, pair: &Pair) -> bool {
    pair.write(site.path(), "client");
    let output = Command::new("curl")
        .args(["--silent", "--fail", "--noproxy", "*", "--cacert", "ca.pem"])
        .args(["--cert", "client.pem", "--key", "client.key"])
        .arg(&exporter.url)
        .current_dir(site.path())
        .output();
    output.expect("curl is installed").status.success()
}

/// Clients get no details. The owner finds the reason in the log.
#[tokio::test]
async fn a_refused_certificate_is_logged_with_the_reason() {
    let demands = "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.pem\n";
    let named = format!("{demands}  client_allowed_sans: [b.example]\n");
    let version = "X.509 version 1 is not supported";
    let itself: fn(&Authority) -> Pair = |_| self_signed(&["b.example"]);
    let foreign: fn(&Authority) -> Pair = |_| Authority::named("x").issue(&["b.example"]);
    let namesake: fn(&Authority) -> Pair = |_| Authority::new().issue(&["b.example"]);
    let unnamed: fn(&Authority) -> Pair = |authority| authority.issue(&["a.example"]);
    let any = "  client_auth_type: RequireAnyClientCert\n";
    for (policy, versions, pair, reason) in [
        (
            demands,
            "TLS13",
            Authority::issue_version_1 as fn(&_) -> _,
            version,
        ),
        (demands, "TLS12", Authority::issue_version_1, version),
        (any, "TLS13", Authority::issue_version_1, version),
        (
            demands,
            "TLS13",
            foreign,
            "it was not issued by a CA in client_ca",
        ),
        (
            demands,
            "TLS13",
            itself,
            "it is a CA certificate that is not in client_ca",
        ),
        (
            demands,
            "TLS13",
            namesake,
            "it was issued by another CA of the same name",
        ),
        (
            &named,
            "TLS13",
            unnamed,
            "none of its names is in client_allowed_sans",
        ),
    ] {
        let site = Site::new(SERVER);
        let yaml = format!("{SERVER}{policy}  max_version: {versions}\n");
        write(site.path(), "web.yml", &yaml);
        let exporter = site.start(&[]);
        let pair = pair(&site.authority);
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        for _ in 0..3 {
            assert!(!curl_is_accepted_with(&site, &exporter, &pair), "{yaml}");
        }
        while !exporter.log().contains("client certificate refused") {
            tick.tick().await;
        }
        let good = site.authority.issue(&["b.example"]);
        assert!(curl_is_accepted_with(&site, &exporter, &good), "{yaml}");
        let log = exporter.log();
        assert!(log.contains(reason), "{yaml}{log}");
        let lines = log.matches("client certificate refused").count();
        assert_eq!(lines, 1, "{log}");
    }
}

#[tokio::test]
async fn only_clients_with_an_allowed_name_are_accepted() {
    let site = Site::new(&format!(
        "{SERVER}  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.pem\n  client_allowed_sans: [scraper.example, 192.0.2.7]\n"
    ));
    let address = start(site.options(), 0).await;
    for (names, expected) in [
        (&["scraper.example"][..], true),
        (&["other.example", "192.0.2.7"], true),
        (&["other.example"], false),
        (&["x.scraper.example", "192.0.2.70"], false),
    ] {
        let pair = site.authority.issue(names);
        assert_eq!(
            is_accepted(&site, &address, Some(&pair)).await,
            expected,
            "{names:?}"
        );
    }
}
