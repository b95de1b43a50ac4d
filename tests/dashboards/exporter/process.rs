//! Exporter processes.

use crate::grafana::{Column, Mapping, NO_COLOUR, Panel, RED};
use crate::names::{
    BUILD_INFO, POINTS_SHARED, PROCESS_CPU, PROCESS_FDS, PROCESS_MAX_FDS, PROCESS_MEMORY,
    PROCESS_START, RELOAD_SUCCESSFUL, RELOAD_TIMESTAMP, SCRAPE_DURATION, VPS_CONFIGURED,
};
use crate::promql::{exporter, exporter_where};

pub fn panels() -> Vec<Panel> {
    vec![table(), memory(), cpu(), scrapes()]
}

fn each(series: &str) -> String {
    format!("max by (job, instance) ({series})")
}

fn table() -> Panel {
    let build = format!(
        "max by (job, instance, version, revision) ({})",
        exporter(BUILD_INFO)
    );
    let milliseconds = |metric| format!("1000 * {}", each(&exporter(metric)));
    let open = format!("{} / {}", exporter(PROCESS_FDS), exporter(PROCESS_MAX_FDS));
    let loaded = [
        Mapping {
            value: 0,
            text: "Rejected",
            colour: RED,
        },
        Mapping {
            value: 1,
            text: "Loaded",
            colour: NO_COLOUR,
        },
    ];
    let shared = [
        Mapping {
            value: 0,
            text: "Per VPS",
            colour: NO_COLOUR,
        },
        Mapping {
            value: 1,
            text: "Shared",
            colour: NO_COLOUR,
        },
    ];
    Panel::table(
        "Exporters",
        "One row per exporter. Quota: API points shared by VPSes, or per VPS, as the exporter assumes. Config: result of \
         the last attempt to load it. Loaded: time of the last success.",
        vec![
            Column::value("Build", build).hidden(),
            Column::label("Instance", "instance").width(190),
            Column::label("Version", "version"),
            Column::label("Revision", "revision"),
            Column::value("VPSes", each(&exporter(VPS_CONFIGURED))).unit("none"),
            Column::value("Started", milliseconds(PROCESS_START)).unit("dateTimeFromNow"),
            Column::value("Config", each(&exporter(RELOAD_SUCCESSFUL))).texts(&loaded),
            Column::value("Loaded", milliseconds(RELOAD_TIMESTAMP)).unit("dateTimeFromNow"),
            Column::value("Quota", each(&exporter(POINTS_SHARED))).texts(&shared),
            Column::value("Memory", each(&exporter(PROCESS_MEMORY))).unit("bytes").decimals(1),
            Column::value("Open files", each(&open)).unit("percentunit").decimals(1),
        ],
        &["job"],
        "VPSes",
    )
    .thresholds(NO_COLOUR, &[])
    .no_value("No exporter")
    .size(24, 5)
}

fn memory() -> Panel {
    Panel::time_series("Memory", "Resident memory of the process.")
        .range(exporter(PROCESS_MEMORY), "{{instance}}")
        .unit("bytes")
        .no_value("No exporter")
        .min(0.0)
        .size(8, 7)
}

fn cpu() -> Panel {
    Panel::time_series("CPU", "CPU time of the process; 100 % is one core.")
        .range(
            format!("rate({}[$__rate_interval])", exporter(PROCESS_CPU)),
            "{{instance}}",
        )
        .unit("percentunit")
        .no_value("No exporter")
        .min(0.0)
        .size(8, 7)
}

fn scrapes() -> Panel {
    let ours = format!(
        "{} and on (job, instance) {}",
        exporter_where(SCRAPE_DURATION, ""),
        exporter(BUILD_INFO)
    );
    Panel::time_series(
        "Duration of scrapes",
        "Measured by Prometheus. A scrape never calls the API.",
    )
    .range(ours, "{{instance}}")
    .unit("s")
    .no_value("No scrapes")
    .min(0.0)
    .size(8, 7)
}
