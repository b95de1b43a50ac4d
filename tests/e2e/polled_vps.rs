//! An exporter for one simulated VPS named "one", with a clock fast enough to poll everything several times a second.

use tempfile::TempDir;

use crate::exporter::{Exporter, config};
use crate::owner::Owner;
use crate::page::Page;

/// A configuration for one VPS. Values stay fresh for long, in case the machine is slow.
pub fn yaml(endpoint: &str, veid: u64, more: &str) -> String {
    format!(
        "api: {{endpoint: \"{endpoint}\"}}\nbudget: {{share: 1, scope: vps, download: 1000GiB}}\nstaleness: 1000\n{more}\nvps: [{{name: one, veid: {veid}, api_key: private_test}}]\n"
    )
}

/// An exporter and the owner of its VPS.
pub struct PolledVps {
    pub owner: Owner,
    pub exporter: Exporter,
    arguments: [String; 2],
    _folder: TempDir,
}

impl PolledVps {
    /// Starts a simulator and an exporter, both `time_scale` times as fast as the clock.
    pub async fn start(veid: u64, time_scale: u32, more: &str) -> Self {
        Self::of(owner(veid, time_scale, &[]).await, time_scale, more)
    }

    /// Starts an exporter for the owner's VPS.
    pub fn of(owner: Owner, time_scale: u32, more: &str) -> Self {
        let endpoint = format!("{}/v1", owner.simulator.url);
        let (folder, flag) = config(&yaml(&endpoint, owner.veid, more));
        let arguments = [format!("--simulator.time-scale={time_scale}"), flag];
        Self {
            exporter: start_exporter(&arguments),
            owner,
            arguments,
            _folder: folder,
        }
    }

    /// Starts the exporter again with the same configuration.
    pub fn restart(&mut self) {
        self.exporter = start_exporter(&self.arguments);
    }

    pub async fn wait_for(&self, what: &str, is: impl Fn(&Page) -> bool) -> Page {
        self.exporter.wait_for(what, is).await
    }

    /// Halts or resumes the account.
    pub async fn halt(&self, halt: bool) {
        self.owner.control("halt", halt.to_string()).await;
    }

    /// Sets the simulator's faults, as JSON.
    pub async fn faults(&self, faults: &str) {
        self.owner.control("faults", faults.to_owned()).await;
    }

    /// Waits for so many more successful polls.
    pub async fn wait_for_polls(&self, call: &str, times: f64) -> Page {
        let wanted = successes(&self.exporter.scrape().await, call) + times;
        self.wait_for(&format!("{call} succeeds"), |page| {
            successes(page, call) >= wanted
        })
        .await
    }
}

/// The owner of a VPS whose account runs `time_scale` times as fast, with plenty of points.
pub async fn owner(veid: u64, time_scale: u32, more: &[&str]) -> Owner {
    let time_scale = format!("--time-scale={time_scale}");
    let mut arguments = vec![time_scale.as_str(), "--points.sizes=1000000,100000000"];
    arguments.extend(more);
    Owner::of(veid, &arguments).await
}

fn start_exporter(arguments: &[String; 2]) -> Exporter {
    Exporter::start(&arguments.each_ref().map(String::as_str))
}

/// The number of successful polls.
pub fn successes(page: &Page, call: &str) -> f64 {
    let labels = [("call", call), ("outcome", "success")];
    page.one("kiwivm_polls_total", &labels).unwrap_or_default()
}
