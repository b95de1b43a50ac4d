//! API points: what is left, for whom, and what spends them.

use serde_json::json;

use super::{hourly, spent};
use crate::grafana::{BLUE, GREEN, ORANGE, Panel};
use crate::names::{POINTS_ALLOWANCE, POINTS_REMAINING, POINTS_SHARED, POINTS_SPENT};
use crate::promql::{exporter, exporter_where, vps_where};

/// The sum over all allowances of an exporter. Where VPSes share one, their values are one number seen many times.
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

/// Of the VPSes whose remaining points are known, as the others can not be counted with.
fn allowance(window: &str) -> String {
    let allowance = exporter_where(POINTS_ALLOWANCE, &window_is(window));
    format!("{allowance} and {}", remaining(window))
}

fn window_is(window: &str) -> String {
    format!(r#"window="{window}""#)
}

/// What the exporter may still spend in a window. By exporter.
fn reserved(window: &str) -> String {
    let left = format!("({}) - {}", pool(&allowance(window)), spent(window));
    format!("clamp_min({left}, 0)")
}

/// What others can spend without the exporter having to slow down.
pub fn left_for_owner(window: &str) -> String {
    format!(
        "sum(clamp_min(({}) - {}, 0))",
        pool(&remaining(window)),
        reserved(window)
    )
}

/// What the exporter spent of what it allows itself.
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

/// The remaining points, parted into what the exporter may still take and what it leaves.
fn left(window: &str, title: &str) -> Panel {
    Panel::time_series(
        title,
        "The API points that are left, in two parts: what the exporter may still spend within what it allows itself, and \
         what it leaves to you. Over all allowances of the exporters chosen.",
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
        "Tightest allowance",
        "The fewest API points of 24 hours that any VPS chosen has left, beside the least that the exporter allows itself \
         for one allowance. The allowance falls when others spend.",
    )
    .range(lowest(POINTS_REMAINING, "24h"), "left")
    .range(lowest(POINTS_ALLOWANCE, "24h"), "exporter's allowance")
    .unit("locale")
    .no_value("Not known yet")
    .decimals(0)
    .min(0.0)
    .coloured("left", GREEN)
    .named(
        "exporter's allowance",
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
        "Points spent an hour, by call",
        "By the costs that the exporter has learned. Exporters chosen together, all their VPSes.",
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
