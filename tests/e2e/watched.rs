//! The exporter before one VPS, named "one", whose time runs so fast that everything is polled several times a second.

use tempfile::TempDir;

use crate::exporter::{Exporter, config};
use crate::owner::Owner;
use crate::page::Page;

/// A configuration for one VPS. Values outlast a machine that is busy for a while.
pub fn yaml(endpoint: &str, veid: u64, more: &str) -> String {
    format!(
        "api: {{endpoint: \"{endpoint}\"}}\nbudget: {{share: 1, scope: vps, download: 1000GiB}}\nstaleness: 1000\n{more}\nvps: [{{name: one, veid: {veid}, api_key: private_test}}]\n"
    )
}

/// An exporter, and the owner of what it watches.
pub struct Watched {
    pub owner: Owner,
    pub exporter: Exporter,
    arguments: [String; 2],
    _folder: TempDir,
}

impl Watched {
    /// Both begin at the same time, and time runs for both `time_scale` times as fast.
    pub async fn start(veid: u64, time_scale: u32, more: &str) -> Self {
        Self::of(owner(veid, time_scale, &[]).await, time_scale, more)
    }

    /// An exporter that begins now.
    pub fn of(owner: Owner, time_scale: u32, more: &str) -> Self {
        let endpoint = format!("{}/v1", owner.simulator.url);
        let (folder, flag) = config(&yaml(&endpoint, owner.veid, more));
        let arguments = [format!("--simulator.time-scale={time_scale}"), flag];
        Self {
            exporter: begin(&arguments),
            owner,
            arguments,
            _folder: folder,
        }
    }

    /// Starts the exporter again, as it was configured before.
    pub fn start_again(&mut self) {
        self.exporter = begin(&self.arguments);
    }

    pub async fn wait_for(&self, what: &str, is: impl Fn(&Page) -> bool) -> Page {
        self.exporter.wait_for(what, is).await
    }

    /// Halts the story of the account, or lets it go on.
    pub async fn halt(&self, halt: bool) {
        self.owner.control("halt", halt.to_string()).await;
    }

    /// Sets what goes wrong from now on, as JSON.
    pub async fn faults(&self, faults: &str) {
        self.owner.control("faults", faults.to_owned()).await;
    }

    /// Waits until a call was answered so many times more.
    pub async fn polled(&self, call: &str, times: f64) -> Page {
        let wanted = answered(&self.exporter.scrape().await, call) + times;
        self.wait_for(&format!("{call} is answered"), |page| {
            answered(page, call) >= wanted
        })
        .await
    }
}

/// The owner of a VPS whose time runs `time_scale` times as fast. Points are not the subject, so there are plenty.
pub async fn owner(veid: u64, time_scale: u32, more: &[&str]) -> Owner {
    let time_scale = format!("--time-scale={time_scale}");
    let mut arguments = vec![time_scale.as_str(), "--points.sizes=1000000,100000000"];
    arguments.extend(more);
    Owner::of(veid, &arguments).await
}

fn begin(arguments: &[String; 2]) -> Exporter {
    Exporter::start(&arguments.each_ref().map(String::as_str))
}

/// How often a call was answered.
pub fn answered(page: &Page, call: &str) -> f64 {
    let labels = [("call", call), ("outcome", "success")];
    page.one("kiwivm_polls_total", &labels).unwrap_or_default()
}
