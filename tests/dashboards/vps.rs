//! Dashboard of a single VPS.

mod about;
mod bandwidth;
mod copies;
mod resources;
mod summary;

use crate::grafana::{Choice, Dashboard, Row};
use crate::variables::variables;

pub fn dashboard() -> Dashboard {
    Dashboard {
        uid: "kiwivm-vps",
        title: "KiwiVM: VPS",
        description: "Details of one VPS.",
        from: "now-24h",
        variables: variables(Choice::One),
        vps: Choice::One,
        rows: vec![
            Row::untitled(summary::panels()),
            Row::titled("Transfer allowance", bandwidth::panels()),
            Row::titled("CPU and memory", resources::cpu_and_memory()),
            Row::titled("Disk", resources::disk()),
            Row::titled("Snapshots, backups and policy", copies::panels()),
            Row::titled("About this VPS and its data", about::panels()),
            Row::folded("OpenVZ", resources::openvz()),
        ],
    }
}
