//! The owner of a VPS of a simulated account, who makes calls and sees the account's true state.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::exporter::{Exporter, TIMEOUT, get};
use crate::simulator::{control, post, set_key, simulator};

/// A VPS of a simulated account and its key.
pub struct Owner {
    pub simulator: Exporter,
    pub veid: u64,
    pub form: String,
}

impl Owner {
    /// Starts a simulator. Use a high `--time-scale` for tasks to take seconds.
    pub async fn of(veid: u64, arguments: &[&str]) -> Self {
        let mut all = vec!["--live.latency=0.01"];
        all.extend(arguments);
        let simulator = simulator(&all);
        let key = set_key(&simulator, veid).await;
        Self {
            simulator,
            veid,
            form: format!("veid={veid}&api_key={key}"),
        }
    }

    /// Makes a call by POST. Returns the response.
    pub async fn call(&self, call: &str, parameters: &str) -> Value {
        let form = format!("{}&{parameters}", self.form);
        let response = post(&self.simulator, call, &form).await;
        serde_json::from_str(&response)
            .unwrap_or_else(|error| panic!("{call}: {error}: {response}"))
    }

    /// Makes a call by GET. Returns the response.
    pub async fn get(&self, call: &str, parameters: &str) -> Value {
        let url = format!(
            "{}/v1/{call}?{}&{parameters}",
            self.simulator.url, self.form
        );
        serde_json::from_str(&get(&url).await).expect("it is JSON")
    }

    /// Makes a call that must succeed.
    pub async fn done(&self, call: &str, parameters: &str) -> Value {
        let response = self.call(call, parameters).await;
        assert_eq!(response["error"], 0, "{call}: {response}");
        response
    }

    /// Repeats a call until the response satisfies `is`.
    pub async fn until(&self, call: &str, is: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + TIMEOUT;
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        loop {
            tick.tick().await;
            let response = self.call(call, "").await;
            if is(&response) {
                return response;
            }
            assert!(Instant::now() < deadline, "{call}: {response}");
        }
    }

    /// The true state of the VPS.
    pub async fn truth(&self) -> Value {
        let url = format!(
            "{}/_simulator/account?veid={}",
            self.simulator.url, self.veid
        );
        let account: Value = serde_json::from_str(&get(&url).await).expect("it is JSON");
        assert_eq!(account["vps"].as_array().map(Vec::len), Some(1));
        account["vps"][0].clone()
    }

    /// Changes a field of the VPS.
    pub async fn set(&self, name: &str, value: Value) {
        self.control("vps", json!({"veid": self.veid, name: value}).to_string())
            .await;
    }

    pub async fn control(&self, route: &str, body: String) {
        control(&self.simulator, route, &body).await;
    }
}
