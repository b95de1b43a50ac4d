//! TLS and basic auth through the port of the real program.

use std::path::Path;
use std::process::Command;

use reqwest::{Client, StatusCode};
use tempfile::TempDir;

use crate::certificates::Authority;
use crate::exporter::{Exporter, write};

/// A hash of `right`, cost 4.
fn hash() -> String {
    bcrypt::hash("right", 4).expect("there is chance")
}

const SERVER: &str = "tls_server_config: {cert_file: server.pem, key_file: server.key";

/// A folder with a CA, a certificate of 127.0.0.1 and a web configuration, and the flag for it.
struct Site {
    folder: TempDir,
    authority: Authority,
    flag: String,
}

impl Site {
    fn new(yaml: &str) -> Self {
        let folder = TempDir::new().expect("there is room");
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

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn start(&self, more: &[&str]) -> Exporter {
        let mut exporter = Exporter::start(&[&["--demo", self.flag.as_str()], more].concat());
        exporter.url = exporter.url.replace("http://", "https://");
        exporter
    }

    fn client(&self) -> Client {
        self.authority.client().build().expect("it is complete")
    }
}

#[tokio::test]
async fn everything_is_behind_tls_and_basic_auth() {
    let site = Site::new(&format!(
        "{SERVER}}}\nbasic_auth_users: {{alice: {}}}\n",
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
            let response = request.send().await.expect("it answers");
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
            .expect("it answers");
        assert_ne!(response.status(), StatusCode::UNAUTHORIZED, "{path}");
    }
}

#[tokio::test]
async fn curl_comes_in() {
    let site = Site::new(&format!(
        "{SERVER}}}\nbasic_auth_users: {{alice: {}}}\n",
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
            .expect("the package curl has it");
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
