//! CPU, memory and disk.

use serde_json::json;

use crate::grafana::{BLUE, GREEN, NEUTRAL, ORANGE, Panel, RED};
use crate::names::{
    CPU_THROTTLED, CPU_USAGE, DISK_READ, DISK_SIZE, DISK_THROTTLED, DISK_USED, DISK_WRITTEN,
    INODES_LIMIT, INODES_USED, LOAD1, LOAD5, LOAD15, MEMORY_AVAILABLE, MEMORY_TOTAL,
    OPENVZ_BARRIER, OPENVZ_HELD, PROCESSES, PROCESSES_RUNNABLE, SWAP_FREE, SWAP_TOTAL,
};
use crate::promql::{USAGE_STEP, share, threshold, vps};

pub fn cpu_and_memory() -> Vec<Panel> {
    vec![
        cpu().size(12, 8),
        load().size(12, 8),
        memory().size(8, 8),
        swap().size(8, 8),
        processes().size(8, 8),
    ]
}

pub fn disk() -> Vec<Panel> {
    vec![disk_space().size(12, 8), disk_io().size(12, 8)]
}

pub fn openvz() -> Vec<Panel> {
    vec![inodes().size(24, 3), beancounters().size(24, 9)]
}

/// Adds a red band over the panel while this metric is 1.
fn band(panel: Panel, metric: &str) -> Panel {
    let properties = [
        ("color", json!({"mode": "fixed", "fixedColor": RED})),
        ("unit", json!("bool_yes_no")),
        ("min", json!(0)),
        ("max", json!(1)),
        ("custom.axisPlacement", json!("hidden")),
        ("custom.lineInterpolation", json!("stepAfter")),
        ("custom.lineWidth", json!(0)),
        ("custom.fillOpacity", json!(25)),
    ];
    panel
        .range(vps(metric), "throttled")
        .matching("^throttled$", &properties)
}

/// Adds a dashed line for the total.
fn limit(panel: Panel, metric: &str) -> Panel {
    let properties = [
        ("color", json!({"mode": "fixed", "fixedColor": NEUTRAL})),
        ("custom.fillOpacity", json!(0)),
        ("custom.lineStyle", json!({"fill": "dash", "dash": [10, 8]})),
    ];
    panel
        .range(vps(metric), "total")
        .matching("^total$", &properties)
}

fn cpu() -> Panel {
    let panel = Panel::time_series(
        "CPU usage",
        "From usage rows of five minutes. The vendor does not document if 100 % is one core or all. Red: throttled by the vendor.",
    )
    .range(vps(CPU_USAGE), "usage")
    .unit("percentunit")
    .min(0.0)
    .no_value("No usage rows yet")
    .custom("axisSoftMax", json!(0.1));
    band(panel, CPU_THROTTLED)
}

fn load() -> Panel {
    Panel::time_series("Load", "Load averages over 1, 5 and 15 minutes.")
        .range(vps(LOAD1), "1 min")
        .range(vps(LOAD5), "5 min")
        .range(vps(LOAD15), "15 min")
        .unit("none")
        .decimals(2)
        .min(0.0)
        .no_value("Not reported by the API")
        .custom("fillOpacity", json!(0))
}

fn memory() -> Panel {
    let panel = Panel::time_series(
        "Memory",
        "In use: memory not available to new programs without swapping.",
    )
    .range(
        format!("{} - {}", vps(MEMORY_TOTAL), vps(MEMORY_AVAILABLE)),
        "in use",
    )
    .range(
        format!(
            "{} * ignoring (threshold) (1 - {})",
            vps(MEMORY_TOTAL),
            threshold("memory_available_ratio_warning")
        ),
        "warning",
    )
    .named(
        "warning",
        &[
            ("color", json!({"mode": "fixed", "fixedColor": ORANGE})),
            ("custom.fillOpacity", json!(0)),
            ("custom.lineStyle", json!({"fill": "dash", "dash": [2, 4]})),
        ],
    )
    .unit("bytes")
    .min(0.0)
    .no_value("Known only while the VPS runs")
    .custom("fillOpacity", json!(25));
    limit(panel, MEMORY_TOTAL)
}

fn swap() -> Panel {
    let panel = Panel::time_series(
        "Swap",
        "A full swap alone is harmless. With little available memory, processes wait for the disk.",
    )
    .range(
        format!("{} - {}", vps(SWAP_TOTAL), vps(SWAP_FREE)),
        "in use",
    )
    .unit("bytes")
    .min(0.0)
    .no_value("Known only while the VPS runs")
    .custom("fillOpacity", json!(25));
    limit(panel, SWAP_TOTAL)
}

fn processes() -> Panel {
    Panel::time_series("Processes", "All processes, and runnable processes.")
        .range(vps(PROCESSES), "all")
        .range(vps(PROCESSES_RUNNABLE), "runnable")
        .unit("none")
        .decimals(0)
        .min(0.0)
        .coloured("all", BLUE)
        .coloured("runnable", GREEN)
        .no_value("Known only while the VPS runs")
}

fn disk_space() -> Panel {
    let panel = Panel::time_series(
        "Disk space",
        "OpenVZ: used part of the quota. KVM: mapped blocks of the disk image. They only grow until the guest runs \
         fstrim, and are no measure of how full its file systems are.",
    )
    .range(vps(DISK_USED), "in use")
    .unit("bytes")
    .min(0.0)
    .no_value("Not reported by the API")
    .custom("fillOpacity", json!(25));
    limit(panel, DISK_SIZE)
}

fn disk_io() -> Panel {
    let rate = |metric| format!("rate({}[$__rate_interval])", vps(metric));
    let panel = Panel::time_series(
        "Disk I/O",
        "From usage rows, averaged over two hours because long histories are polled rarely. Writes are negative. Red: throttled \
         by the vendor.",
    )
    .range(rate(DISK_READ), "read")
    .range(rate(DISK_WRITTEN), "written")
    .interval(USAGE_STEP)
    .unit("Bps")
    .coloured("read", BLUE)
    .coloured("written", GREEN)
    .no_value("No usage rows yet")
    .matching("^written$", &[("custom.transform", json!("negative-Y"))]);
    band(panel, DISK_THROTTLED)
}

fn inodes() -> Panel {
    Panel::bar_gauge("Inodes", "Used share of the inodes. OpenVZ only.")
        .instant(share(INODES_USED, INODES_LIMIT), "used")
        .unit("percentunit")
        .decimals(1)
        .min(0.0)
        .max(1.0)
        .thresholds(BLUE, &[])
        .no_value("Only OpenVZ has it")
}

fn beancounters() -> Panel {
    Panel::bar_gauge(
        "Resources held",
        "Held amount of each resource as a share of its barrier. OpenVZ only.",
    )
    .instant(share(OPENVZ_HELD, OPENVZ_BARRIER), "{{resource}}")
    .unit("percentunit")
    .decimals(0)
    .min(0.0)
    .max(1.0)
    .thresholds(BLUE, &[])
    .no_value("Only OpenVZ has it")
}
