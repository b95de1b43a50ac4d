//! Dashboard of the exporter: API points, overdue calls, failures, process.

mod calls;
mod points;
mod process;

use serde_json::json;

use crate::grafana::{Choice, Dashboard, GREEN, Mapping, NEUTRAL, ORANGE, Panel, RED, Row};
use crate::names::{
    BUILD_INFO, DECODE_PROBLEMS, POINTS_SPENT, POLLS, RELOAD_SUCCESSFUL, SCRAPE_UP, VPS_CONFIGURED,
};
use crate::promql::{exporter, exporter_where, threshold, vps, vps_where};
use crate::variables::variables;

pub fn dashboard() -> Dashboard {
    Dashboard {
        uid: "kiwivm-exporter",
        title: "KiwiVM: Exporter and API points",
        description: "API points spent and left, overdue and failed calls, the exporter process.",
        from: "now-24h",
        variables: variables(Choice::Any),
        vps: Choice::Any,
        rows: vec![
            Row::untitled(numbers()),
            Row::titled("API points", points::panels()),
            Row::titled("Calls", calls::panels()),
            Row::titled("Process", process::panels()),
        ],
    }
}

fn numbers() -> Vec<Panel> {
    let known = format!("last_over_time({}[1d])", exporter(BUILD_INFO));
    let up = format!(
        "min({} and on (job, instance) {known})",
        exporter(SCRAPE_UP)
    );
    let failed = format!(
        "sum(increase({}[1h])) / (sum(increase({}[1h])) > 0)",
        vps_where(POLLS, r#"outcome="failure""#),
        vps(POLLS)
    );
    let failing = format!("({failed}) >= min({})", threshold("api_failing_ratio"));
    let no_warning = format!("({failed}) > 1");
    vec![
        Panel::stat("Exporter", "Up if Prometheus can scrape all selected exporters.")
            .instant(up, "Exporter")
            .mappings(&[
                Mapping { value: 0, text: "Down", colour: RED },
                Mapping { value: 1, text: "Up", colour: GREEN },
            ])
            .no_value("No exporter")
.option("colorMode", json!("background"))
            .size(3, 4),
        Panel::stat(
            "Config",
            "Result of the last attempt to load the configuration. After a failure the previous one stays active.",
        )
        .instant(format!("min({})", exporter(RELOAD_SUCCESSFUL)), "Configuration")
        .mappings(&[
            Mapping { value: 0, text: "Rejected", colour: RED },
            Mapping { value: 1, text: "Loaded", colour: GREEN },
        ])
        .no_value("No exporter")
.option("colorMode", json!("background"))
        .size(3, 4),
        Panel::stat(
            "Points left for you",
            "API points of 24 hours that you can spend without slowing down the exporter: the points left minus those \
             that the exporter may still spend. Sum of all quotas.",
        )
        .instant(points::left_for_owner("24h"), "24 hours")
        .no_value("Not known yet")
.unit("locale")
        .decimals(0)
        .size(4, 4),
        Panel::stat(
            "Points spent",
            "API points that the exporter spent in the last 24 hours, as a share of the points that it may spend. It \
             keeps this below 100 %.",
        )
        .instant(points::spent_share("24h"), "24 hours")
        .no_value("Not known yet")
.unit("percentunit")
        .decimals(0)
        .size(4, 4),
        Panel::stat("Stale calls", "Planned calls that have returned no data for too long.")
            .instant(calls::stale(), "Stale")
            .no_value("No planned calls")
.unit("none")
            .thresholds(NEUTRAL, &[(1.0, ORANGE)])
            .size(3, 4),
        Panel::stat("Failed calls", "Share of failed calls in the last hour. Red above the threshold `api_failing_ratio`.")
            .by_severity(&failed, &[failing, no_warning], "Failed")
            .unit("percentunit")
            .decimals(1)
            .no_value("No calls")
            .size(3, 4),
        Panel::stat(
            "Decode problems",
            "Response fields with an unknown format in the last 24 hours. They have no samples.",
        )
        .instant(
            format!(
                "sum(increase({0}[24h])) or 0 * sum({1})",
                exporter(DECODE_PROBLEMS),
                exporter(VPS_CONFIGURED)
            ),
            "Decode problems",
        )
        .no_value("No exporter")
.unit("locale")
        .decimals(0)
        .thresholds(NEUTRAL, &[(1.0, ORANGE)])
        .size(4, 4),
    ]
}

/// Hourly rate of an exporter counter, by a label.
fn hourly(by: &str, counter: &str) -> String {
    format!(
        "3600 * sum by ({by}) (rate({}[$__rate_interval]))",
        exporter(counter)
    )
}

/// Points spent in a window, by exporter.
fn spent(window: &str) -> String {
    format!(
        "sum by (job, instance) (increase({}[{window}]))",
        exporter_where(POINTS_SPENT, "")
    )
}
