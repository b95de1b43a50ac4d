//! CPU, memory and disk.

use serde_json::json;

use crate::grafana::{BLUE, Column, GREEN, NEUTRAL, ORANGE, Panel, RED};
use crate::names::{
    CPU_THROTTLED, CPU_USAGE, DISK_READ, DISK_SIZE, DISK_THROTTLED, DISK_USED, DISK_WRITTEN,
    INODES_LIMIT, INODES_USED, LOAD1, LOAD5, LOAD15, MEMORY_AVAILABLE, MEMORY_TOTAL,
    OPENVZ_BARRIER, OPENVZ_HELD, PROCESSES, PROCESSES_RUNNABLE, SWAP_FREE, SWAP_TOTAL,
};
use crate::promql::{USAGE_STEP, VPS_KEY, beyond, share, threshold, vps};

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
    vec![inodes().size(4, 12), beancounters().size(20, 12)]
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
        .no_value("Not reported by the API")
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
    let used = share(INODES_USED, INODES_LIMIT);
    let warning = beyond(&used, ">=", "inodes_used_ratio");
    Panel::stat(
        "Inodes",
        "Used share of the inodes. Orange above the threshold `inodes_used_ratio`. OpenVZ only.",
    )
    .by_severity(&used, &[format!("{warning} < 0"), warning], "used")
    .unit("percentunit")
    .decimals(1)
    .no_value("OpenVZ only")
}

fn beancounters() -> Panel {
    let held = format!(
        "max by ({VPS_KEY}, resource) ({})",
        share(OPENVZ_HELD, OPENVZ_BARRIER)
    );
    let gauge = json!({"type": "gauge", "mode": "basic", "valueDisplayMode": "text"});
    // A bar gauge without data has an empty bar.
    Panel::table(
        "Resources held",
        "Held amount of each resource as a share of its barrier. OpenVZ only.",
        vec![
            Column::label("Resource", "resource").width(160),
            Column::value("Held", held)
                .unit("percentunit")
                .decimals(0)
                .with("custom.cellOptions", gauge)
                .with("min", json!(0))
                .with("max", json!(1)),
        ],
        &["job", "instance", "veid", "vps"],
        "Held",
    )
    .thresholds(BLUE, &[])
    .no_value("OpenVZ only")
}
