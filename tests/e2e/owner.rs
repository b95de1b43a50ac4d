//! The owner of a VPS of a simulated account: makes calls, and knows what the account truly holds.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::exporter::{Exporter, PATIENCE, get, http};
use crate::simulator::{post, set_key, simulator};

/// A VPS of a simulated account and the key to it.
pub struct Owner {
    pub simulator: Exporter,
    pub veid: u64,
    pub form: String,
}

impl Owner {
    /// A VPS of the demo's account. With a `--time-scale` that is fast enough tasks take seconds.
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

    /// The answer to a call with more parameters, by POST.
    pub async fn call(&self, call: &str, parameters: &str) -> Value {
        let form = format!("{}&{parameters}", self.form);
        let answer = post(&self.simulator, call, &form).await;
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{call}: {error}: {answer}"))
    }

    /// The answer to a call with more parameters, by GET.
    pub async fn get(&self, call: &str, parameters: &str) -> Value {
        let url = format!(
            "{}/v1/{call}?{}&{parameters}",
            self.simulator.url, self.form
        );
        serde_json::from_str(&get(&url).await).expect("it is JSON")
    }

    /// Calls that must succeed.
    pub async fn done(&self, call: &str, parameters: &str) -> Value {
        let answer = self.call(call, parameters).await;
        assert_eq!(answer["error"], 0, "{call}: {answer}");
        answer
    }

    /// Calls until the answer is as it should be.
    pub async fn until(&self, call: &str, is: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        loop {
            tick.tick().await;
            let answer = self.call(call, "").await;
            if is(&answer) {
                return answer;
            }
            assert!(Instant::now() < deadline, "{call}: {answer}");
        }
    }

    /// What the account truly holds.
    pub async fn truth(&self) -> Value {
        let url = format!(
            "{}/_simulator/account?veid={}",
            self.simulator.url, self.veid
        );
        let account: Value = serde_json::from_str(&get(&url).await).expect("it is JSON");
        assert_eq!(account["vps"].as_array().map(Vec::len), Some(1));
        account["vps"][0].clone()
    }

    /// Makes something happen that no call of the owner does.
    pub async fn set(&self, name: &str, value: Value) {
        self.control("vps", json!({"veid": self.veid, name: value}).to_string())
            .await;
    }

    pub async fn control(&self, route: &str, body: String) {
        let url = format!("{}/_simulator/{route}", self.simulator.url);
        let answer = http()
            .post(url)
            .body(body)
            .send()
            .await
            .expect("it answers");
        assert!(answer.status().is_success(), "{:?}", answer.text().await);
    }
}
