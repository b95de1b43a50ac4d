//! Expressions that many panels share.

use crate::names::{
    BANDWIDTH_ALLOWANCE, BANDWIDTH_USED, BUILD_INFO, DISK_SIZE, DISK_USED, MEMORY_AVAILABLE,
    MEMORY_TOTAL, SCRAPE_UP, THRESHOLD,
};

/// The least step of rates of usage rows, a quarter of their window: with two months of history an answer weighs 2.6 MB, and
/// the usual limit of downloads lets one come every 36 minutes.
pub const USAGE_STEP: &str = "30m";

/// The labels that tell VPSes apart, also those that two exporters watch.
pub const VPS_KEY: &str = "job, instance, veid, vps";

/// A metric of the exporters chosen.
pub fn exporter(metric: &str) -> String {
    exporter_where(metric, "")
}

/// A metric of the exporters chosen, with further matchers: `window="24h"`.
pub fn exporter_where(metric: &str, matchers: &str) -> String {
    let comma = if matchers.is_empty() { "" } else { ", " };
    format!(r#"{metric}{{job=~"$job", instance=~"$instance"{comma}{matchers}}}"#)
}

/// A metric of the VPSes chosen.
pub fn vps(metric: &str) -> String {
    vps_where(metric, "")
}

/// A metric of the VPSes chosen, with further matchers: `call="getServiceInfo"`.
pub fn vps_where(metric: &str, matchers: &str) -> String {
    let comma = if matchers.is_empty() { "" } else { ", " };
    exporter_where(metric, &format!(r#"vps=~"$vps"{comma}{matchers}"#))
}

/// One sample a VPS, without any other label.
pub fn each_vps(expression: &str) -> String {
    format!("max by ({VPS_KEY}) ({expression})")
}

/// The exporters chosen that can not be scraped.
pub fn exporters_down() -> String {
    format!(
        "{} == 0 and on (job, instance) last_over_time({}[1d])",
        exporter(SCRAPE_UP),
        exporter(BUILD_INFO)
    )
}

/// 0 for every VPS chosen, also for those of which nothing is known, and those of an exporter that is down.
pub fn every_vps() -> String {
    let labels = vps(THRESHOLD);
    let known = format!(
        "{labels} or last_over_time({labels}[1d]) and on (job, instance) ({})",
        exporters_down()
    );
    format!("0 * {}", each_vps(&known))
}

/// One metric of the VPSes chosen as a share of another; none where that is 0.
pub fn share(part: &str, whole: &str) -> String {
    format!("{} / ({} > 0)", vps(part), vps(whole))
}

/// Used share of the transfer allowance.
pub fn bandwidth_ratio() -> String {
    share(BANDWIDTH_USED, BANDWIDTH_ALLOWANCE)
}

/// Used share of the disk: mapped blocks (KVM) or quota (OpenVZ).
pub fn disk_ratio() -> String {
    share(DISK_USED, DISK_SIZE)
}

/// Share of the memory that is not available to new programs.
pub fn memory_ratio() -> String {
    format!("1 - {}", share(MEMORY_AVAILABLE, MEMORY_TOTAL))
}
