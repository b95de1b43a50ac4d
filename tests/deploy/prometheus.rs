//! The examples for Prometheus and compose, checked by promtool and amtool and loaded by a real Prometheus.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use serde_json::Value;
use tempfile::TempDir;

use crate::tools::{PROGRAM, Started, repository, run, tool, wait_until};

const EXAMPLES: [&str; 4] = [
    "deploy/prometheus/prometheus.yml",
    "deploy/prometheus/prometheus-shards.yml",
    "deploy/prometheus/prometheus-tls.yml",
    "deploy/compose/prometheus.yml",
];
const PASSWORD: &str = "correct horse";

/// A folder like /etc/prometheus: the example, the rules, and certificates for client and exporter from one CA.
struct Folder(TempDir);

impl Folder {
    fn of(example: &str) -> Self {
        let folder = Self(TempDir::new().expect("there is a temporary directory"));
        fs::copy(repository(example), folder.path("prometheus.yml")).expect("disk is writable");
        fs::create_dir(folder.path("rules")).expect("disk is writable");
        let rules = repository("deploy/prometheus/rules/kiwivm.yml");
        fs::copy(rules, folder.path("rules/kiwivm.yml")).expect("disk is writable");
        let key = rcgen::KeyPair::generate().expect("there is randomness");
        let mut params =
            rcgen::CertificateParams::new(vec!["localhost".to_owned()]).expect("it is a name");
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let ca = params.self_signed(&key).expect("it can be signed");
        fs::write(folder.path("kiwivm-ca.pem"), ca.pem()).expect("disk is writable");
        let issuer = rcgen::Issuer::new(params, key);
        for (name, usage) in [
            ("server", rcgen::ExtendedKeyUsagePurpose::ServerAuth),
            ("kiwivm-client", rcgen::ExtendedKeyUsagePurpose::ClientAuth),
        ] {
            let key = rcgen::KeyPair::generate().expect("there is randomness");
            let mut params =
                rcgen::CertificateParams::new(vec!["localhost".to_owned()]).expect("it is a name");
            params.extended_key_usages = vec![usage];
            let certificate = params.signed_by(&key, &issuer).expect("it can be signed");
            fs::write(folder.path(&format!("{name}.pem")), certificate.pem())
                .expect("disk is writable");
            fs::write(folder.path(&format!("{name}.key")), key.serialize_pem())
                .expect("disk is writable");
        }
        fs::write(folder.path("kiwivm.password"), PASSWORD).expect("disk is writable");
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Replaces a name in the example.
    fn replace(&self, name: &str, other: &str) {
        let file = self.path("prometheus.yml");
        let text = fs::read_to_string(&file).expect("it is there");
        assert!(text.contains(name), "{name} is not in\n{text}");
        fs::write(file, text.replace(name, other)).expect("disk is writable");
    }
}

/// A running Prometheus, killed on drop.
struct Prometheus {
    child: Child,
    url: String,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Prometheus {
    fn start(folder: &Folder) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let address = free.expect("there is a port").to_string();
        let child = tool("prometheus")
            .arg(format!(
                "--config.file={}",
                folder.path("prometheus.yml").display()
            ))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.path("data").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("prometheus is needed for this test");
        Self {
            child,
            url: format!("http://{address}"),
        }
    }

    /// The value of an expression with one series.
    fn value(&self, expression: &str) -> Option<String> {
        let output = tool("curl")
            .args([
                "-sS",
                "--get",
                "--data-urlencode",
                &format!("query={expression}"),
            ])
            .arg(format!("{}/api/v1/query", self.url))
            .output()
            .expect("curl is needed for this test");
        let response: Value = serde_json::from_slice(&output.stdout).ok()?;
        Some(
            response["data"]["result"][0]["value"][1]
                .as_str()?
                .to_owned(),
        )
    }
}

fn demo(arguments: &[&str]) -> Started {
    let mut demo = Command::new(PROGRAM);
    demo.args([
        "--demo",
        "--web.listen-address=127.0.0.1:0",
        "--log.format=json",
    ])
    .args(arguments)
    .stdout(Stdio::null());
    Started::when(demo, "listening")
}

#[test]
fn promtool_accepts_every_example() {
    for example in EXAMPLES {
        let folder = Folder::of(example);
        let checked = run(tool("promtool")
            .args(["check", "config"])
            .arg(folder.path("prometheus.yml")));
        assert!(
            checked.contains("1 rule files found"),
            "{example}: {checked}"
        );
    }
}

#[test]
fn prometheus_scrapes_with_a_certificate_and_a_password() {
    let folder = Folder::of("deploy/prometheus/prometheus-tls.yml");
    let hash = bcrypt::hash(PASSWORD, 4).expect("it can be hashed");
    let web = format!(
        "tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\n  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: kiwivm-ca.pem\nbasic_auth_users:\n  prometheus: {hash}\n"
    );
    fs::write(folder.path("web.yml"), web).expect("disk is writable");
    let exporter = demo(&[&format!(
        "--web.config.file={}",
        folder.path("web.yml").display()
    )]);
    let address = exporter.field("address").replace("127.0.0.1", "localhost");
    folder.replace("exporter.example.com:10064", &address);
    folder.replace("scrape_interval: 1m", "scrape_interval: 1s");
    let prometheus = Prometheus::start(&folder);
    wait_until("it is scraped", || {
        prometheus.value("up{job=\"kiwivm\"}").as_deref() == Some("1")
    });
}

#[test]
fn the_prometheus_of_compose_scrapes_the_demo_and_evaluates_the_rules() {
    let exporter = demo(&[]);
    let folder = Folder::of("deploy/compose/prometheus.yml");
    folder.replace("exporter:10064", &exporter.field("address"));
    folder.replace("scrape_interval: 30s", "scrape_interval: 1s");
    folder.replace("evaluation_interval: 30s", "evaluation_interval: 1s");
    let prometheus = Prometheus::start(&folder);
    // One VPS of the demo is suspended, which alerts at once.
    wait_until("an alert is active", || {
        prometheus
            .value("count(ALERTS{alertname=\"KiwiVMSuspended\"})")
            .is_some()
    });
}

#[test]
fn every_file_mounted_by_compose_exists() {
    let compose = |files: &[&str]| -> Value {
        let mut command = tool("podman-compose");
        for file in files {
            command.arg("-f").arg(repository(file));
        }
        yaml_serde::from_str(&run(command.arg("config"))).expect("it is YAML")
    };
    let base = "deploy/compose/compose.yaml";
    let demo = compose(&[base]);
    let account = compose(&[base, "deploy/compose/compose.account.yaml"]);
    let command = |of: &Value| {
        of["services"]["exporter"]["command"][0]
            .as_str()
            .map(str::to_owned)
    };
    assert_eq!(command(&demo).as_deref(), Some("--demo"));
    assert_eq!(
        command(&account).as_deref(),
        Some("--config.file=/etc/kiwivm_exporter/config.yaml")
    );
    let folder = repository("deploy/compose");
    for (name, service) in demo["services"].as_object().expect("there are services") {
        assert_eq!(service["read_only"], true, "{name}");
        assert_eq!(service["cap_drop"][0], "ALL", "{name}");
        for port in service["ports"].as_array().expect("it has ports") {
            let port = port.as_str().expect("it is text");
            assert!(port.starts_with("127.0.0.1:"), "{name}: {port}");
        }
        for volume in service["volumes"].as_array().into_iter().flatten() {
            let source = volume
                .as_str()
                .and_then(|volume| volume.split(':').next())
                .expect("it is text");
            let named = demo["volumes"].get(source).is_some();
            assert!(
                named || folder.join(Path::new(source)).exists(),
                "{name}: {source}"
            );
        }
    }
    run(tool("amtool")
        .arg("check-config")
        .arg(folder.join("alertmanager.yml")));
    // Grafana's provisioning matches the paths and services of compose.
    let provisioned = |path: &str| fs::read_to_string(repository(path)).expect("it is there");
    assert!(
        provisioned("grafana/provisioning/datasources/kiwivm.yml")
            .contains("http://prometheus:9090")
    );
    assert!(
        provisioned("grafana/provisioning/dashboards/kiwivm.yml")
            .contains("path: /var/lib/grafana/dashboards/kiwivm")
    );
}

/// The fenced blocks of a language in a document.
fn snippets(document: &str, language: &str) -> Vec<String> {
    let text = fs::read_to_string(repository(document)).expect("it can be read");
    let fence = format!("```{language}\n");
    let blocks = text.split(&fence).skip(1);
    blocks
        .filter_map(|block| Some(block.split_once("```")?.0.to_owned()))
        .collect()
}

/// The block of YAML in a document that begins with a key.
fn snippet(document: &str, key: &str) -> String {
    let mut blocks = snippets(document, "yaml").into_iter();
    blocks
        .find(|text| text.starts_with(key))
        .unwrap_or_else(|| panic!("{document} has no {key}"))
}

/// As a reader does it: the files where docs/alerts.md says, then the commands that it has.
#[test]
fn the_guide_to_alerts_works_as_written() {
    const GUIDE: &str = "docs/alerts.md";
    let folder = Folder::of("deploy/prometheus/prometheus.yml");
    let prometheus = snippet(GUIDE, "rule_files:");
    assert_eq!(prometheus, snippet("README.md", "rule_files:"));
    fs::write(folder.path("prometheus.yml"), prometheus).expect("there is room");
    for name in ["alertmanager.yml", "kiwivm.tmpl", "kiwivm.zh.tmpl"] {
        let shipped = repository(&format!("deploy/alertmanager/{name}"));
        fs::copy(shipped, folder.path(name)).expect("disk is writable");
    }
    let commands = snippets(GUIDE, "sh").concat();
    let checks: Vec<_> = commands
        .lines()
        .filter(|line| line.contains("/etc/prometheus/"))
        .collect();
    assert_eq!(checks.len(), 2, "{commands}");
    for check in checks {
        let folder = format!("{}/", folder.path("").display());
        let check = check.replace("/etc/prometheus/", &folder);
        let (program, arguments) = check.split_once(' ').expect("it has arguments");
        run(tool(program).args(arguments.split(' ')));
    }
    // The receivers, in a configuration without others.
    let receivers = snippet(GUIDE, "receivers:");
    let alone = format!("templates: ['kiwivm*.tmpl']\nroute: {{receiver: chat}}\n{receivers}");
    let file = folder.path("receivers.yml");
    fs::write(&file, alone).expect("there is room");
    run(tool("amtool").arg("check-config").arg(&file));
    // The route, above the one that pages.
    let added = format!(
        "receivers: [{{name: chat}}, {{name: page}}]\nroute:\n  receiver: page\n  {}",
        snippet(GUIDE, "routes:").replace('\n', "\n  ")
    );
    let file = folder.path("routes.yml");
    fs::write(&file, added).expect("disk is writable");
    let config = format!("--config.file={}", file.display());
    let receiver = |env: &str| {
        run(tool("amtool").args([
            "config",
            "routes",
            "test",
            &config,
            "severity=critical",
            env,
        ]))
    };
    assert_eq!(receiver("env=dev").trim(), "chat");
    assert_eq!(receiver("env=prod").trim(), "page");
}

/// `/status.json` lists these beside the VPSes, and the VPSes have no concern of their own then.
#[test]
fn the_daily_report_lists_concerns_about_all_vpses() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    let server = thread::spawn(move || {
        let status = r#"{"summary": {"unknown": 1}, "concerns": [{"level": "critical", "text": "No VPS is monitored."}],
            "vps": [{"name": "tokyo-1", "state": "key_refused", "concerns": [], "bandwidth": {}}]}"#;
        let (mut client, _) = listener.accept().expect("the report connects");
        let mut request = BufReader::new(client.try_clone().expect("a socket"));
        let mut line = String::new();
        while request.read_line(&mut line).expect("a request") > 2 {
            line.clear();
        }
        write!(client, "HTTP/1.0 200 OK\r\n\r\n{status}").expect("the report reads");
    });
    let report = run(tool("sh")
        .arg(repository("deploy/alertmanager/daily-report"))
        .arg(&url));
    server.join().expect("it has responded");
    assert_eq!(
        report,
        "1 VPS, 1 unknown:\nCRITICAL: No VPS is monitored.\n\ntokyo-1: key refused\n"
    );
}

#[test]
fn the_daily_report_lists_every_vps_of_the_demo() {
    let exporter = demo(&[]);
    let url = format!("http://{}", exporter.field("address"));
    let report = || {
        run(tool("sh")
            .arg(repository("deploy/alertmanager/daily-report"))
            .arg(&url))
    };
    // Two VPSes of the demo have no data: one is locked, and the key of another is wrong.
    wait_until("every VPS is reported", || {
        report().matches(" GiB used, reset on ").count() == 6
    });
    let report = report();
    let (concerns, lines) = report.split_once("\n\n").expect("it has two parts");
    assert!(concerns.starts_with("8 VPSes"), "{report}");
    assert!(concerns.contains("CRITICAL "), "{report}");
    assert_eq!(lines.trim().lines().count(), 8, "{report}");
}
