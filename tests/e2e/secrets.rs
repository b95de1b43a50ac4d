//! Secrets that must not show up anywhere: the key, which belongs only in request bodies, and the confidential parts of
//! API responses.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::exporter::{Exporter, config, run, run_without_blocking, write};
use crate::mock::{Mock, Reply, sample};
use crate::page::Page;
use crate::tls::{SERVER, Site};

const CANARY: &str = "private_CanaryCanaryCanary012345";

fn yaml(mock: &Mock, count: u64, budget: &str) -> String {
    let vps =
        (1..=count).map(|veid| format!("  - {{name: v{veid}, veid: {veid}, api_key: {CANARY}}}\n"));
    format!(
        "api: {{endpoint: {}}}\nintervals: {{live: 10m, usage: 10m, points: 10m, inventory: 10m}}\nstate_file: state.json\ncollect: {{audit: true, locations: true}}\nbudget: {{{budget}}}\nvps:\n{}",
        mock.endpoint,
        vps.collect::<String>()
    )
}

fn assert_no_canary(surface: &str, text: &str) {
    assert!(!text.contains("Canary"), "{surface}:\n{text}");
}

/// Serves with each log format until `tried` holds, then runs the commands. Checks every output.
async fn check_all_outputs(folder: &Path, flag: &str, tried: impl Fn(&Page) -> bool) {
    for (format, level) in [("json", "trace"), ("logfmt", "debug")] {
        let mut command = Command::new(crate::exporter::PROGRAM);
        command.stdout(std::process::Stdio::null()).args([
            "--web.listen-address=127.0.0.1:0",
            &format!("--log.level={level}"),
            &format!("--log.format={format}"),
            "--web.enable-lifecycle",
            // Learns costs and polls inventory sooner.
            "--simulator.time-scale=60",
            flag,
        ]);
        let mut exporter = Exporter::wait_for_line(command, |line| {
            let address = line.split("127.0.0.1:").nth(1)?;
            let port: String = address.chars().take_while(char::is_ascii_digit).collect();
            line.contains("listening")
                .then(|| format!("http://127.0.0.1:{port}"))
        });
        exporter.wait_for("all are polled", &tried).await;
        for path in [
            "/",
            "/status.json",
            "/metrics",
            "/metrics?vps=v1",
            "/metrics?vps=nope",
            "/-/healthy",
            "/-/ready",
            "/nope",
        ] {
            assert_no_canary(path, &exporter.get(path).await);
        }
        let yaml = std::fs::read_to_string(folder.join("config.yaml")).expect("it is there");
        let broken = format!("vps: [{{veid: 1, api_key: [{CANARY}], {CANARY}: 1}}]\n");
        write(folder, "config.yaml", &broken);
        exporter.signal("HUP");
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        while !exporter.log().contains("configuration not reloaded") {
            tick.tick().await;
        }
        write(folder, "config.yaml", &yaml);
        assert!(
            exporter.log().contains("call succeeded"),
            "the log was at {level}:\n{}",
            exporter.log()
        );
        let plan = run(&["plan", flag]);
        assert!(plan.status.success());
        assert_no_canary("plan", &String::from_utf8_lossy(&plan.stdout));
        // A clean shutdown writes the file for the last time.
        exporter.signal("TERM");
        exporter.ended();
        assert_no_canary("the log", &exporter.log());
        let state_file = folder.join("state.json");
        let state = std::fs::read_to_string(&state_file).expect("it was written");
        assert!(state.contains("\"vps\""), "{state}");
        assert_no_canary("the state file", &state);
        std::fs::remove_file(state_file).expect("it can be removed");
    }
    for command in [
        &["check"][..],
        &["once"],
        &["backfill", "--output=-"],
        &["--config.check"],
        &["--help"],
        &["--version"],
    ] {
        let output = run_without_blocking(&[command, &["--log.level=trace", flag]].concat()).await;
        assert_no_canary(command[0], &String::from_utf8_lossy(&output.stdout));
        assert_no_canary(command[0], &String::from_utf8_lossy(&output.stderr));
    }
    let recorded = tempfile::TempDir::new().expect("there is room");
    let to = format!("--output={}", recorded.path().display());
    let output = run_without_blocking(&["record", &to, "--log.level=trace", flag]).await;
    assert_no_canary("record", &String::from_utf8_lossy(&output.stderr));
    let files = std::fs::read_dir(recorded.path()).expect("it is there");
    let mut count = 0;
    for file in files {
        let path = file.expect("it can be listed").path();
        let text = std::fs::read(&path).expect("it can be read");
        let surface = format!("{} {}", path.display(), text.len());
        assert_no_canary(&surface, &String::from_utf8_lossy(&text));
        count += 1;
    }
    assert!(
        count > 8,
        "{count} files: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[tokio::test]
async fn no_output_contains_a_key() {
    let mock = Mock::start(1..=8).await;
    // Responses that repeat the key are the worst case: in an error, in a label, in an error page of a proxy.
    let repeats = |field: &str| Reply::Body(format!("{{\"error\":0,\"{field}\":\"{CANARY}\"}}"));
    mock.reply_to_everything(
        2,
        Reply::Body(format!(
            "{{\"error\":788888,\"message\":\"{CANARY}\",\"additionalErrorInfo\":\"{CANARY}\"}}"
        )),
    );
    mock.reply_to_everything(3, repeats("data_counter"));
    mock.reply_to_everything(4, Reply::Body(format!("<html>{CANARY}</html>")));
    mock.reply_to_everything(5, sample("error_auth.json"));
    mock.reply_to_everything(6, Reply::Drop);
    // Messages are truncated, here in the middle of the key.
    let long = format!("{}{CANARY}", "x".repeat(178));
    mock.reply_to_everything(
        7,
        Reply::Body(format!("{{\"error\":5,\"message\":\"{long}\"}}")),
    );
    mock.reply_to_everything(
        8,
        Reply::Body(format!(
            "{{\"error\":788888,\"additionalErrorInfo\":\"{long}\"}}"
        )),
    );
    let (folder, flag) = config(&yaml(&mock, 8, ""));
    let tried = |page: &Page| page.series("kiwivm_up", &[]).count() == 8;
    check_all_outputs(folder.path(), &flag, tried).await;
    let carried = mock.requests();
    assert!(
        carried
            .iter()
            .all(|request| request.form["api_key"] == CANARY && !request.line.contains("Canary"))
    );
}

/// A key with every character that encodings change, encoded, each with a part that would give it away.
fn encoded(key: &str) -> Vec<(String, &'static str)> {
    let each = |encode: fn(char) -> String| key.chars().map(encode).collect::<String>();
    let html = key
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('"', "&quot;");
    vec![
        (key.to_owned(), "Canary"),
        (each(|c| format!("%{:02X}", u32::from(c))), "%43%61%6E"),
        (html.replace('\'', "&#039;"), "Canary"),
        (each(|c| format!("&#x{:x};", u32::from(c))), "x43;"),
        (each(|c| format!("&#{};", u32::from(c))), "#67;"),
        (each(|c| format!("\\u{:04x}", u32::from(c))), "u0043"),
        (json!(key).to_string().replace('/', "\\/"), "Canary"),
        (BASE64_STANDARD.encode(key), "Q2FuYXJ5"),
        (BASE64_STANDARD.encode(format!("1:{key}")), "Q2FuYXJ5"),
    ]
}

#[tokio::test]
async fn no_output_contains_an_encoded_key() {
    const KEY: &str = "private_/Canary<&\"+%'CanaryCanary";
    let encoded = encoded(KEY);
    let count = encoded.len() as u64;
    let mock = Mock::start(1..=count).await;
    let mut yaml = format!(
        "api: {{endpoint: {}}}\ncollect: {{locations: true}}\nstate_file: state.json\nvps:\n",
        mock.endpoint
    );
    for (veid, (text, _)) in (1..).zip(&encoded) {
        let key = KEY.replace('\'', "''");
        let vps = format!("  - {{name: v{veid}, veid: {veid}, api_key: '{key}'}}\n");
        yaml.push_str(&vps);
        mock.plenty_of_points(veid);
        let mut service = json!({"error": 0, "vm_type": "kvm", "node_location": "somewhere"});
        for field in [
            "hostname",
            "plan",
            "os",
            "node_alias",
            "node_location_id",
            "node_datacenter",
        ] {
            service[field] = format!("a {text} b").into();
        }
        service["ip_addresses"] = json!([text]);
        let failure = json!({"error": 5, "message": format!("no {text}!")});
        let lock = json!({"error": 788_888, "message": text, "additionalErrorInfo": format!("Task {text}!")});
        let locations = json!({"error": 0, "dataTransferMultipliers": {text: 1, "USCA_2": 1}});
        for (call, reply) in [
            ("getServiceInfo", service),
            (
                "getLiveServiceInfo",
                if veid % 2 == 0 { failure.clone() } else { lock },
            ),
            ("migrate/getLocations", locations),
            ("snapshot/list", failure),
        ] {
            mock.reply(veid, call, Reply::Body(reply.to_string()));
        }
    }
    let (folder, flag) = config(&yaml);
    let mut exporter = Exporter::start(&["--log.level=trace", "--simulator.time-scale=60", &flag]);
    let arrived = |page: &Page| {
        let located = [("location", "USCA_2")];
        page.series("kiwivm_vps_info", &[]).count() == encoded.len()
            && page
                .series("kiwivm_location_bandwidth_multiplier", &located)
                .count()
                == encoded.len()
    };
    exporter.wait_for("all data arrive", arrived).await;
    let mut surfaces = Vec::new();
    for path in ["/", "/status.json", "/metrics"] {
        surfaces.push((path, exporter.get(path).await));
    }
    exporter.signal("TERM");
    exporter.ended();
    surfaces.push(("the log", exporter.log()));
    let recorded = folder.path().join("recorded");
    let to = format!("--output={}", recorded.display());
    let output = run_without_blocking(&["record", &to, &flag]).await;
    let mut files = String::from_utf8(output.stderr).expect("it is text");
    for file in std::fs::read_dir(recorded).expect("it was made") {
        let path = file.expect("it can be listed").path();
        files += &std::fs::read_to_string(path).expect("it is text");
    }
    assert!(files.contains("1-getServiceInfo.json"), "{files}");
    surfaces.push(("the recording", files));
    let state = std::fs::read_to_string(folder.path().join("state.json"));
    surfaces.push(("the state file", state.expect("it was written")));
    for (surface, text) in &surfaces {
        let shows_something =
            matches!(*surface, "the log" | "the recording") || text.contains("[redacted]");
        assert!(shows_something, "{surface}:\n{text}");
        for (_, left) in &encoded {
            assert!(!text.contains(left), "{left} in {surface}:\n{text}");
        }
    }
}

#[tokio::test]
async fn no_output_contains_confidential_parts_of_responses() {
    let mock = Mock::start(1..=8).await;
    for (call, response) in confidential() {
        let whole = response.to_string();
        let but_for = |error: Value| {
            let mut response = response.clone();
            response["error"] = error;
            Reply::Body(response.to_string())
        };
        for (veid, reply) in [
            (1, Reply::Body(whole.clone())),
            (2, Reply::Body(malformed(&response).to_string())),
            // Malformed after the secrets, and truncated after them.
            (3, Reply::Body(format!("{whole},"))),
            (
                4,
                Reply::Truncated(format!("{whole}{}", " ".repeat(whole.len()))),
            ),
            (5, but_for(json!(1))),
            (6, but_for(json!(CANARY))),
            (7, Reply::Body(json!([response]).to_string())),
            (8, Reply::Status(500, whole.leak())),
        ] {
            mock.reply(veid, call, reply);
        }
    }
    for veid in 1..=8 {
        mock.plenty_of_points(veid);
    }
    let (folder, flag) = config(&yaml(&mock, 8, "scope: vps, share: 1"));
    let tried = |page: &Page| {
        confidential().iter().all(|(call, _)| {
            let made = [("call", *call)];
            let tried_of = |veid: u64| {
                let name = format!("v{veid}");
                let labels = [made[0], ("vps", name.as_str())];
                page.series("kiwivm_polls_total", &labels)
                    .any(|(_, count)| count > 0.0)
            };
            // Service info is only requested after the live call fails.
            *call == "getServiceInfo" || (1..=8).all(tried_of)
        })
    };
    check_all_outputs(folder.path(), &flag, tried).await;
}

/// Responses with the canary in every secret or private field: links and hashes that let anyone download a disk,
/// tokens, abuse reports, users and their addresses, keys of the guest, mail, console, packets.
fn confidential() -> [(&'static str, Value); 9] {
    let service = json!({
        "vm_type": "kvm", "hostname": "a.example.com", "email": CANARY, "ptr": {"192.0.2.10": CANARY},
        "ip_addresses": ["192.0.2.10"], "available_isos": [CANARY], "iso1": CANARY,
        "ip_nullroutes": {"192.0.2.10": {"nullroute_timestamp": 1, "log": CANARY}},
        "root_password": CANARY, "ssh_keys_veid": CANARY, "ssh_keys_preferred": CANARY, "error": 0,
    });
    let mut live = service.clone();
    live["ve_status"] = json!("running");
    live["screendump_png_base64"] = json!(CANARY);
    live["live_hostname"] = json!(CANARY);
    [
        ("getServiceInfo", service),
        ("getLiveServiceInfo", live),
        (
            "snapshot/list",
            json!({"error": 0, "snapshots": [{
                "fileName": format!("snapshot-1-1790640000-2026-09-29-{CANARY}.tar.gz"),
                "description": CANARY, "size": "5", "md5": CANARY, "sticky": false, "purgesIn": 100,
                "downloadLink": format!("http://192.0.2.200/{CANARY}"),
                "downloadLinkSSL": format!("https://node.example.com/{CANARY}"), "token": CANARY,
            }]}),
        ),
        (
            "backup/list",
            json!({"error": 0, "backups": {CANARY: {"size": 5, "os": CANARY, "md5": CANARY, "timestamp": 1_790_640_000}}}),
        ),
        (
            "getSuspensionDetails",
            json!({"error": 0, "evidence": {"3301": CANARY, CANARY: CANARY}, "suspensions": [
                {"record_id": 1, "flag": CANARY, "is_soft": 1, "evidence_record_id": 3301},
            ]}),
        ),
        (
            "getPolicyViolations",
            json!({"error": 0, "policy_violations": [
                {"record_id": 1, "suspend_at": 1_790_872_800, "flag": CANARY, "evidence_data": CANARY},
            ]}),
        ),
        (
            "getAuditLog",
            json!({"error": 0, "log_entries": [
                {"timestamp": 1_790_640_000, "requestor_ipv4": CANARY, "type": 1, "summary": CANARY},
            ]}),
        ),
        (
            "migrate/getLocations",
            json!({"error": 0, "currentLocation": CANARY, "locations": [CANARY],
                "descriptions": {"USCA_2": CANARY}, "dataTransferMultipliers": {"USCA_2": 1}}),
        ),
        (
            "getRawUsageStats",
            json!({"error": 0, "vm_type": CANARY, "data": [{"timestamp": 1_790_640_000, "note": CANARY}]}),
        ),
    ]
}

/// Replaces every value that may be secret by the canary, so that no field has its usual form.
fn malformed(value: &Value) -> Value {
    const PUBLIC: [&str; 3] = ["error", "hostname", "ip_addresses"];
    match value {
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| {
                let public = PUBLIC.contains(&name.as_str());
                let value = if public {
                    value.clone()
                } else {
                    malformed(value)
                };
                (name.clone(), value)
            })
            .collect(),
        Value::Array(items) => items.iter().map(malformed).chain([json!(CANARY)]).collect(),
        _ => json!(CANARY),
    }
}

/// Covers a password, its hash and the key of the certificate, with valid and invalid credentials.
#[tokio::test]
async fn no_output_contains_a_password_or_a_certificate_key() {
    const PASSWORD: &str = "CanaryPassword";
    let hash = bcrypt::hash(PASSWORD, 4).expect("there is randomness");
    let site = Site::new(&format!("{SERVER}basic_auth_users: {{alice: {hash}}}\n"));
    let key = std::fs::read_to_string(site.path().join("server.key")).expect("it is there");
    let line = key.lines().nth(1).expect("it has lines");
    let encoded = BASE64_STANDARD.encode(format!("alice:{PASSWORD}"));
    let assert_no_canary = |surface: &str, text: &str| {
        let secrets = ["Canary", &hash[29..], line, &encoded];
        let seen = secrets.iter().any(|secret| text.contains(secret));
        assert!(!seen, "{surface}:\n{text}");
    };
    let mut exporter = site.start(&["--log.level=trace", "--web.enable-lifecycle"]);
    let client = site.client();
    let request = async |path: &str, user: &str, password: &str| {
        let builder = client.get(format!("{}{path}", exporter.url));
        let response = builder.basic_auth(user, Some(password)).send().await;
        let response = response.expect("it responds");
        format!(
            "{:?} {}",
            response.headers().clone(),
            response.text().await.expect("it is text")
        )
    };
    for path in ["/", "/metrics", "/nope"] {
        for (user, password) in [("alice", PASSWORD), (PASSWORD, &hash), ("alice", line)] {
            assert_no_canary(path, &request(path, user, password).await);
        }
    }
    let broken = [
        format!("basic_auth_users: {{alice: {PASSWORD}}}\n"),
        format!("basic_auth_users: {{\"{hash}\": {PASSWORD}}}\n"),
        format!("{hash}: {PASSWORD}\n{PASSWORD}: 1\n"),
        format!("basic_auth_users: {{alice: {hash}\n"),
        format!("tls_server_config:\n  cert_file: server.pem\n  key: {line}\n"),
        format!(
            "tls_server_config: {{cert: {line}, key: {line}, min_version: {PASSWORD}, client_auth_type: {line}}}\n"
        ),
        format!(
            "tls_server_config: {{cert_file: server.key, key_file: server.pem, {PASSWORD}: {line}}}\n"
        ),
        format!("{}\n", key.replace("PRIVATE", "PUBLIC")),
    ];
    let (_folder, config) = config("vps: [{name: one, veid: 1, api_key: private_x}]\n");
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    for (number, yaml) in broken.iter().enumerate() {
        write(site.path(), "web.yml", yaml);
        exporter.signal("HUP");
        while exporter
            .log()
            .matches("\"configuration not reloaded")
            .count()
            <= number
        {
            tick.tick().await;
        }
        let output = run(&["--config.check", "--log.level=trace", &config, &site.flag]);
        assert_eq!(output.status.code(), Some(1), "{yaml}");
        assert_no_canary(
            yaml,
            &String::from_utf8_lossy(&[output.stdout, output.stderr].concat()),
        );
    }
    exporter.signal("TERM");
    exporter.ended();
    assert_no_canary("the log", &exporter.log());
}
