//! API points: remaining, reserved and spent.

use serde_json::json;

use super::{hourly, spent};
use crate::grafana::{BLUE, GREEN, ORANGE, Panel};
use crate::names::{POINTS_ALLOWANCE, POINTS_REMAINING, POINTS_SHARED, POINTS_SPENT};
use crate::promql::{exporter, exporter_where, vps_where};

/// Sum over all quotas of an exporter. VPSes that share a quota all report the same number, which counts once.
fn pool(series: &str) -> String {
    let shared = |value: u32| format!("{} == {value}", exporter(POINTS_SHARED));
    format!(
        "(max by (job, instance) ({series}) and on (job, instance) {}) \
         or (sum by (job, instance) ({series}) and on (job, instance) {})",
        shared(1),
        shared(0)
    )
}

fn remaining(window: &str) -> String {
    exporter_where(POINTS_REMAINING, &window_is(window))
}

/// Points that the exporter may spend. Only VPSes with known remaining points, so that both sums have the same VPSes.
fn allowance(window: &str) -> String {
    let allowance = exporter_where(POINTS_ALLOWANCE, &window_is(window));
    format!("{allowance} and {}", remaining(window))
}

fn window_is(window: &str) -> String {
    format!(r#"window="{window}""#)
}

/// Points that the exporter may still spend in a window, by exporter.
fn reserved(window: &str) -> String {
    let left = format!("({}) - {}", pool(&allowance(window)), spent(window));
    format!("clamp_min({left}, 0)")
}

/// Points that others can spend without slowing down the exporter.
pub fn left_for_owner(window: &str) -> String {
    format!(
        "sum(clamp_min(({}) - {}, 0))",
        pool(&remaining(window)),
        reserved(window)
    )
}

/// Points that the exporter spent, as a share of the points that it may spend.
pub fn spent_share(window: &str) -> String {
    format!("sum({}) / sum({})", spent(window), pool(&allowance(window)))
}

pub fn panels() -> Vec<Panel> {
    vec![
        left("24h", "Points left of 24 hours"),
        left("15m", "Points left of 15 minutes"),
        tightest(),
        spend(),
    ]
}

/// Remaining points, split into the part that the exporter may still spend and the rest.
fn left(window: &str, title: &str) -> Panel {
    Panel::time_series(
        title,
        "Remaining API points in two parts: points that the exporter may still spend, and points left for you. Sum of all \
         quotas of the selected exporters.",
    )
    .range(left_for_owner(window), "left for you")
    .range(format!("sum({})", reserved(window)), "reserved for the exporter")
    .unit("locale")
    .no_value("Not known yet")
    .decimals(0)
    .min(0.0)
    .stacked()
    .coloured("left for you", GREEN)
    .coloured("reserved for the exporter", BLUE)
    .option("tooltip", json!({"mode": "multi", "sort": "none"}))
    .size(12, 8)
}

fn tightest() -> Panel {
    let lowest = |metric, window| format!("min({})", vps_where(metric, &window_is(window)));
    Panel::time_series(
        "Tightest quota",
        "Fewest API points of 24 hours left for any selected VPS, and the fewest that the exporter may spend of one quota. \
         The exporter's limit falls when others spend points.",
    )
    .range(lowest(POINTS_REMAINING, "24h"), "left")
    .range(lowest(POINTS_ALLOWANCE, "24h"), "exporter's limit")
    .unit("locale")
    .no_value("Not known yet")
    .decimals(0)
    .min(0.0)
    .coloured("left", GREEN)
    .named(
        "exporter's limit",
        &[
            ("color", json!({"mode": "fixed", "fixedColor": ORANGE})),
            ("custom.fillOpacity", json!(0)),
            ("custom.lineStyle", json!({"fill": "dash", "dash": [8, 6]})),
        ],
    )
    .size(12, 8)
}

fn spend() -> Panel {
    Panel::time_series(
        "Points spent per hour, by call",
        "Based on measured prices. Sum of the selected exporters, including all their VPSes.",
    )
    .range(hourly("call", POINTS_SPENT), "{{call}}")
    .interval("5m")
    .unit("locale")
    .no_value("Not known yet")
    .decimals(0)
    .min(0.0)
    .stacked()
    .legend_right()
    .size(12, 8)
}
