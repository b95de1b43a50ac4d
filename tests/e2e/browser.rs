//! A headless Chromium, driven over the `WebDriver` protocol.

use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::exporter::{Exporter, http};

/// Tests may run as root, hence no sandbox. The browser must not make requests of its own.
const FLAGS: [&str; 8] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
];

/// A browser with its own profile, killed on drop.
pub struct Browser {
    session: String,
    process: Option<u64>,
    // Declared before the profile, so that the driver is dropped first.
    _driver: Exporter,
    _profile: TempDir,
}

impl Browser {
    pub async fn start() -> Self {
        let mut command = Command::new("sh");
        // It prints its port on standard output.
        command.args(["-c", "exec chromedriver --port=0 >&2"]);
        let version = Command::new("chromedriver").arg("--version").output();
        assert!(
            version.is_ok_and(|output| output.status.success()),
            "the packages chromium and chromium-driver are needed for this test: there is no chromedriver"
        );
        let driver = Exporter::wait_for_line(command, |line| {
            let port = line.split("successfully on port ").nth(1)?;
            Some(format!("http://127.0.0.1:{}", port.trim_end_matches('.')))
        });
        let profile = TempDir::new().expect("disk is writable");
        let profile_flag = format!("--user-data-dir={}", profile.path().display());
        let flags: Vec<&str> = FLAGS.into_iter().chain([profile_flag.as_str()]).collect();
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": {"binary": "/usr/bin/chromium", "args": flags},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }}});
        let started = post(&format!("{}/session", driver.url), &wanted).await;
        let id = started["sessionId"].as_str();
        let id = id.unwrap_or_else(|| {
            panic!("the packages chromium and chromium-driver are needed for this test: {started}")
        });
        Self {
            session: format!("{}/session/{id}", driver.url),
            process: started["capabilities"]["goog:processID"].as_u64(),
            _driver: driver,
            _profile: profile,
        }
    }

    pub async fn open(&self, url: &str) {
        self.command("url", &json!({"url": url})).await;
    }

    /// Runs a script as the body of a function. Returns its result.
    pub async fn run(&self, script: &str) -> Value {
        let call = json!({"script": script, "args": []});
        self.command("execute/sync", &call).await
    }

    /// Runs a command of the developer tools.
    pub async fn devtools(&self, command: &str, parameters: Value) -> Value {
        let call = json!({"cmd": command, "params": parameters});
        self.command("goog/cdp/execute", &call).await
    }

    /// Log entries of the console (`browser`) or the network (`performance`) since the last call.
    pub async fn log(&self, kind: &str) -> Vec<Value> {
        let entries = self.command("se/log", &json!({"type": kind})).await;
        entries.as_array().expect("it is a list").clone()
    }

    /// Shows the page as on a screen of this size.
    pub async fn resize(&self, width: u32, height: u32) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600});
        self.devtools("Emulation.setDeviceMetricsOverride", size)
            .await;
    }

    /// Emulates a medium, `screen` or `print`, and a preferred color scheme, `light` or `dark`.
    pub async fn media(&self, medium: &str, scheme: &str) {
        let preferred = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        let media = json!({"media": medium, "features": preferred});
        self.devtools("Emulation.setEmulatedMedia", media).await;
    }

    async fn command(&self, path: &str, body: &Value) -> Value {
        post(&format!("{}/{path}", self.session), body).await
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver alone would leave the browser running.
        if let Some(process) = self.process {
            let _ = Command::new("kill")
                .args(["-s", "KILL", &process.to_string()])
                .status();
        }
    }
}

async fn post(url: &str, body: &Value) -> Value {
    let request = http().post(url).body(body.to_string());
    let response = request.send().await.expect("the driver responds");
    let status = response.status();
    let text = response.text().await.expect("it is text");
    assert!(status.is_success(), "{url} {body}: {text}");
    let mut response: Value = serde_json::from_str(&text).expect("it is JSON");
    response["value"].take()
}
