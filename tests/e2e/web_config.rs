//! The rest of the web configuration: passwords, headers, the rate limit, and errors in the file.

use std::path::Path;
use std::time::{Duration, Instant};

use reqwest::{Client, StatusCode};

use crate::exporter::{config, http, run, write};
use crate::server::start;
use crate::tls::{SERVER, Site, hash};

async fn get(client: &Client, url: &str, user: &str, password: &str) -> StatusCode {
    let request = client.get(url).basic_auth(user, Some(password));
    request.send().await.expect("it responds").status()
}

#[tokio::test]
async fn credentials_are_accepted_only_in_valid_form() {
    let hash = bcrypt::hash("a:b c\u{fc}", 4).expect("there is randomness");
    let site = Site::new(&format!(
        "basic_auth_users:\n  alice: {hash}\n  1234: {hash}\n"
    ));
    let url = format!("http://{}/", start(site.options(), 0).await);
    for (header, status) in [
        ("Basic YWxpY2U6YTpiIGPDvA==", 200),
        ("basic YWxpY2U6YTpiIGPDvA==", 200),
        ("BASIC MTIzNDphOmIgY8O8", 200),
        ("Basic YWxpY2U6YTpiIGPDvA", 401),
        ("Basic  YWxpY2U6YTpiIGPDvA==", 401),
        ("Bearer YWxpY2U6YTpiIGPDvA==", 401),
        ("Basic YWxpY2U=", 401),
        ("Basic ////", 401),
        ("Basic", 401),
        ("", 401),
    ] {
        let request = http().get(&url).header("authorization", header);
        let response = request.send().await.expect("it responds");
        assert_eq!(response.status().as_u16(), status, "{header}");
        let head = http()
            .head(&url)
            .header("authorization", header)
            .send()
            .await;
        assert_eq!(
            head.expect("it responds").status().as_u16(),
            status,
            "{header}"
        );
    }
}

/// Takes the minimum of a few attempts, because a slow machine only adds to it. Each password is new, since known ones
/// are not checked again.
#[tokio::test]
async fn an_unknown_user_takes_as_long_as_a_wrong_password() {
    let hash = bcrypt::hash("right", 9).expect("there is randomness");
    let site = Site::new(&format!("basic_auth_users: {{alice: {hash}}}\n"));
    let url = format!("http://{}/", start(site.options(), 0).await);
    let client = http();
    let (mut known, mut unknown) = (Duration::MAX, Duration::MAX);
    for number in 0..5 {
        for (user, least) in [("alice", &mut known), ("nobody", &mut unknown)] {
            let started = Instant::now();
            let status = get(&client, &url, user, &number.to_string()).await;
            assert_eq!(status, StatusCode::UNAUTHORIZED);
            *least = (*least).min(started.elapsed());
        }
    }
    assert!(
        unknown >= known / 2 && known >= unknown / 2,
        "{known:?}, {unknown:?}"
    );
}

/// YAML would read these as numbers or booleans.
#[tokio::test]
async fn user_names_are_taken_literally() {
    let names = [
        "0x10",
        "1e3",
        "1.50",
        "True",
        "0b11",
        "0o17",
        "007",
        "~",
        "yes",
        ".5",
        "2026-01-01",
        "1_000",
    ];
    let users = names.map(|name| format!("  {name}: {}\n", hash()));
    let site = Site::new(&format!("basic_auth_users:\n{}", users.concat()));
    let url = format!("http://{}/", start(site.options(), 0).await);
    for name in names {
        let status = get(&http(), &url, name, "right").await;
        assert_eq!(status, StatusCode::OK, "{name}");
    }
    for name in [
        "16", "1000", "1000.0", "1.5", "true", "3", "15", "7", "null", "0.5",
    ] {
        let status = get(&http(), &url, name, "right").await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{name}");
    }
}

/// Go's bcrypt treats all of these as the same version.
#[tokio::test]
async fn bcrypt_hashes_of_every_version_are_accepted() {
    let hash = hash();
    let tail = hash.trim_start_matches("$2b$");
    let versions = ["2", "2a", "2b", "2x", "2y"];
    let users = versions.map(|version| format!("  u{version}: ${version}${tail}\n"));
    let site = Site::new(&format!("basic_auth_users:\n{}", users.concat()));
    let url = format!("http://{}/", start(site.options(), 0).await);
    for version in versions {
        let name = format!("u{version}");
        let status = get(&http(), &url, &name, "right").await;
        assert_eq!(status, StatusCode::OK, "{version}");
        let status = get(&http(), &url, &name, "wrong").await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{version}");
    }
}

#[tokio::test]
async fn merge_keys_durations_and_bursts_follow_the_exporter_toolkit() {
    for interval in [
        "1.5s", "100us", "25h", "1h0.5m", "7ns", "2000000h", "\"1s\"",
    ] {
        for burst in ["1", "1000001", "9223372036854775807"] {
            let site = Site::new(&format!(
                "rate_limit: {{interval: {interval}, burst: {burst}}}\n"
            ));
            let url = format!("http://{}/-/healthy", start(site.options(), 0).await);
            let response = http().get(&url).send().await.expect("it responds");
            assert_eq!(response.status(), StatusCode::OK, "{interval} {burst}");
        }
    }
    let site = Site::new("rate_limit: {interval: 25h, burst: 1}\n");
    let url = format!("http://{}/-/healthy", start(site.options(), 0).await);
    for status in [StatusCode::OK, StatusCode::TOO_MANY_REQUESTS] {
        let response = http().get(&url).send().await.expect("it responds");
        assert_eq!(response.status(), status);
    }
    let site = Site::new(&format!(
        "basic_auth_users: {{<<: [&team {{alice: {0}}}, {{alice: x, bob: {0}}}], carol: {0}}}\n",
        hash()
    ));
    let url = format!("http://{}/", start(site.options(), 0).await);
    for name in ["alice", "bob", "carol"] {
        assert_eq!(get(&http(), &url, name, "right").await, StatusCode::OK);
    }
}

#[tokio::test]
async fn a_removed_user_is_rejected_on_open_connections_too() {
    let site = Site::new(&format!(
        "basic_auth_users: {{alice: {0}, bob: {0}}}\n",
        hash()
    ));
    let url = format!("http://{}/", start(site.options(), 0).await);
    let client = http();
    assert_eq!(get(&client, &url, "alice", "right").await, StatusCode::OK);
    let only_bob = format!("basic_auth_users: {{bob: {}}}\n", hash());
    write(site.path(), "web.yml", &only_bob);
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    while get(&client, &url, "alice", "right").await != StatusCode::UNAUTHORIZED {
        tick.tick().await;
    }
    assert_eq!(get(&client, &url, "bob", "right").await, StatusCode::OK);
}

#[tokio::test]
async fn a_changed_file_switches_from_http_to_https() {
    let site = Site::new("");
    let address = start(site.options(), 0).await;
    let plain = http().get(format!("http://{address}/")).send().await;
    assert_eq!(plain.expect("it responds").status(), StatusCode::OK);
    write(site.path(), "web.yml", SERVER);
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    let secure = format!("https://{address}/");
    while site.client().get(&secure).send().await.is_err() {
        tick.tick().await;
    }
}

#[tokio::test]
async fn configured_headers_are_on_every_response() {
    let site = Site::new(&format!(
        "basic_auth_users: {{alice: {}}}\nhttp_server_config: {{http2: true, headers: {{X-Frame-Options: deny, Content-Security-Policy: \"default-src 'self'\", X-XSS-Protection: 0}}}}\n",
        hash()
    ));
    let address = start(site.options(), 0).await;
    for (path, password, status) in [
        ("/", "right", 200),
        ("/nope", "right", 404),
        ("/", "wrong", 401),
    ] {
        let request = http().get(format!("http://{address}{path}"));
        let response = request.basic_auth("alice", Some(password)).send().await;
        let response = response.expect("it responds");
        assert_eq!(response.status().as_u16(), status);
        assert_eq!(response.headers()["x-frame-options"], "deny");
        assert_eq!(response.headers()["x-xss-protection"], "0");
        let policies: Vec<_> = response
            .headers()
            .get_all("content-security-policy")
            .iter()
            .collect();
        assert_eq!(policies, ["default-src 'self'"], "{path}");
    }
}

#[tokio::test]
async fn the_rate_limit_is_shared_by_all_clients() {
    let site = Site::new("rate_limit: {interval: 1h, burst: 2}\n");
    let url = format!("http://{}/-/healthy", start(site.options(), 0).await);
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(
            http()
                .get(&url)
                .send()
                .await
                .expect("it responds")
                .status()
                .as_u16(),
        );
    }
    assert_eq!(statuses, [200, 200, 429]);
}

#[tokio::test]
async fn a_reload_reports_errors_in_the_web_configuration() {
    let site = Site::new(&format!("basic_auth_users: {{alice: {}}}\n", hash()));
    let exporter =
        crate::exporter::Exporter::start(&["--demo", "--web.enable-lifecycle", &site.flag]);
    let reload = async || {
        let request = http().post(format!("{}/-/reload", exporter.url));
        let response = request.basic_auth("alice", Some("right")).send().await;
        let response = response.expect("it responds");
        (
            response.status().as_u16(),
            response.text().await.expect("it is text"),
        )
    };
    assert_eq!(reload().await.0, 200);
    write(
        site.path(),
        "web.yml",
        "basic_auth_users: {alice: right}\nrate_limit: []\n",
    );
    let (status, text) = reload().await;
    assert_eq!(status, 500, "{text}");
    assert!(
        text.contains("2 problems") && text.contains("web.yml:1: basic_auth_users.alice"),
        "{text}"
    );
    exporter.signal("HUP");
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    while exporter.log().matches("configuration not reloaded").count() < 2 {
        tick.tick().await;
    }
}

#[test]
fn config_check_includes_the_web_configuration() {
    let (folder, flag) = config("vps: [{name: one, veid: 1, api_key: private_x}]\n");
    let check = |web: &str| {
        let web = format!("--web.config.file={}", folder.path().join(web).display());
        let output = run(&["--config.check", &flag, &web]);
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    write(
        folder.path(),
        "good.yml",
        &format!("basic_auth_users: {{alice: {}}}\n", hash()),
    );
    write(folder.path(), "bad.yml", "basic_auth_user: {}\n");
    assert_eq!(check("good.yml").0, Some(0));
    let (code, error) = check("bad.yml");
    assert_eq!(code, Some(1));
    assert!(
        error.contains("bad.yml:1: basic_auth_user: unknown key; did you mean basic_auth_users?"),
        "{error}"
    );
    let (code, error) = check("missing.yml");
    assert_eq!(code, Some(1));
    assert!(
        error.contains("missing.yml: cannot be read: No such file"),
        "{error}"
    );
    write(folder.path(), "config.yaml", "vps: []\n");
    let (_, error) = check("bad.yml");
    assert!(
        error.contains("config.yaml") && error.contains("bad.yml"),
        "both files are reported: {error}"
    );
}

#[test]
fn the_example_of_the_documentation_is_valid() {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/tls.md");
    let document = std::fs::read_to_string(document).expect("it is there");
    let example = document
        .split("```yaml\n")
        .find(|block| block.starts_with("# web.yml"))
        .and_then(|block| block.split("```").next());
    let site = Site::new(example.expect("it has one"));
    write(site.path(), "clients-ca.pem", &site.authority.pem());
    assert!(site.options().gate.is_some_and(|gate| gate.uses_tls()));
}
