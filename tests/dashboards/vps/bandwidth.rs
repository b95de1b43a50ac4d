//! Transfer allowance: use, forecast and traffic.

use serde_json::{Value, json};

use crate::grafana::{BLUE, GREEN, NEUTRAL, NO_COLOUR, ORANGE, Panel, RED};
use crate::names::{
    BANDWIDTH_ALLOWANCE, BANDWIDTH_FORECAST, BANDWIDTH_PERIOD_START, BANDWIDTH_RESET,
    BANDWIDTH_USED, NETWORK_RECEIVE, NETWORK_TRANSMIT, SUSPENDED,
};
use crate::promql::{USAGE_STEP, bandwidth_ratio, each_vps, threshold, vps};

pub fn panels() -> Vec<Panel> {
    vec![
        used().size(12, 9),
        forecast().size(12, 9),
        days().size(9, 8),
        periods().size(6, 8),
        traffic().size(9, 8),
    ]
}

fn line(colour: &str, dash: &[u32]) -> Vec<(&'static str, Value)> {
    vec![
        ("color", json!({"mode": "fixed", "fixedColor": colour})),
        (
            "custom.lineStyle",
            json!({"fill": "dash", "dash": dash.to_vec()}),
        ),
        ("custom.lineWidth", json!(1)),
        ("custom.fillOpacity", json!(0)),
    ]
}

/// Shares of the allowance, on the same scale for past and future.
fn share_used(title: &str, description: &str) -> Panel {
    Panel::time_series(title, description)
        .unit("percentunit")
        .min(0.0)
        .custom("axisSoftMax", json!(1))
        .custom("lineWidth", json!(2))
        .coloured("used", BLUE)
        .coloured("forecast", BLUE)
        .named("even pace", &line(NEUTRAL, &[10, 8]))
        .named("warning", &line(ORANGE, &[2, 4]))
        .named("critical", &line(RED, &[2, 4]))
}

fn used() -> Panel {
    let (reset, start) = (vps(BANDWIDTH_RESET), vps(BANDWIDTH_PERIOD_START));
    share_used(
        "Used, last 31 days",
        "Used share of the transfer allowance, with an even pace from the start of the period to the reset and the alert \
         thresholds. At 100 % the VPS is suspended.",
    )
    .range(bandwidth_ratio(), "used")
    .range(
        format!("clamp_max((time() - {start}) / ({reset} - {start}), 1)"),
        "even pace",
    )
    .range(threshold("bandwidth_used_ratio_warning"), "warning")
    .range(threshold("bandwidth_used_ratio_critical"), "critical")
    .custom("fillOpacity", json!(25))
    .no_value("Not known yet")
    .time_from("31d")
}

/// The time range is in the future, which has no samples. All lines are computed from the values at its start.
fn forecast() -> Panel {
    let now = |metric: &str| format!("last_over_time({metric}[1d] @ start())");
    let [reset, start, used, forecast, allowance, suspended] = [
        BANDWIDTH_RESET,
        BANDWIDTH_PERIOD_START,
        BANDWIDTH_USED,
        BANDWIDTH_FORECAST,
        BANDWIDTH_ALLOWANCE,
        SUSPENDED,
    ]
    .map(|metric| now(&vps(metric)));
    let to_reset = format!("(({reset} > time()) - time())");
    let since_reset = format!("(time() - ({reset} <= time()))");
    let to_reset_now = format!("({reset} - timestamp({} @ start()))", vps(BANDWIDTH_RESET));
    share_used(
        "Forecast, next 31 days",
        "Forecast share of the transfer allowance, from the usage history: until the reset, and in the next period at the \
         same pace. Absent while the VPS is suspended.",
    )
    .range(
        format!(
            "(({forecast} - ({forecast} - {used}) * {to_reset} / {to_reset_now}) / {allowance} \
             or {forecast} * {since_reset} / ({reset} - {start}) / {allowance}) unless {suspended} == 1"
        ),
        "forecast",
    )
    .range(
        format!("1 - {to_reset} / ({reset} - {start}) or {since_reset} / ({reset} - {start})"),
        "even pace",
    )
    .range(now(&threshold("bandwidth_used_ratio_warning")), "warning")
    .range(now(&threshold("bandwidth_used_ratio_critical")), "critical")
    .custom("fillOpacity", json!(10))
    .no_value("No forecast in the first hours of a period")
    .time_from("+31d")
}

/// `offset -1d` draws each bar at the start of its day, so that today has a bar too.
fn days() -> Panel {
    let period = format!(
        "last_over_time({}[1d] @ end()) < time() + 86400",
        vps(BANDWIDTH_PERIOD_START)
    );
    Panel::bars(
        "By day, this period",
        "Transfer used per day since the last reset, as counted against the allowance.",
    )
    .range(
        format!(
            "increase({}[1d] offset -1d) and ({period})",
            vps(BANDWIDTH_USED)
        ),
        "used",
    )
    .interval("1d")
    .unit("bytes")
    .min(0.0)
    .coloured("used", BLUE)
    .no_value("Not known yet")
    .time_from("31d")
}

/// Periods are identified by their reset. The exporter reports the current one only, so past ones come from Prometheus.
fn periods() -> Panel {
    // Rounding to days keeps a reset that moves by hours from counting as another period.
    let period_of_reset = format!("round({}, 86400)", vps(BANDWIDTH_RESET));
    let of_query = |letter: &str| format!("Value #{letter}");
    let [period, until, used, share] = ["A", "B", "C", "D"].map(of_query);
    let group = json!({"operation": "groupby", "aggregations": []});
    let most = json!({"operation": "aggregate", "aggregations": ["max"]});
    let [latest, used_most, share_most] =
        [&until, &used, &share].map(|field| format!("{field} (max)"));
    Panel::plain_table(
        "By period",
        "Transfer used per period in the last year, as far back as Prometheus has data.",
    )
    .range_table(each_vps(&period_of_reset))
    .range_table(format!("1000 * {}", each_vps(&vps(BANDWIDTH_RESET))))
    .range_table(each_vps(&vps(BANDWIDTH_USED)))
    .range_table(each_vps(&bandwidth_ratio()))
    // A year has 2,920 of these steps. Transfer used after the last step of a period is not counted.
    .interval("3h")
    .points(3000)
    .time_from("1y")
    .transformation("joinByField", &json!({"byField": "Time", "mode": "outer"}))
    .transformation(
        "groupBy",
        &json!({"fields": {&period: group, &until: most, &used: most, &share: most}}),
    )
    .transformation(
        "sortBy",
        &json!({"sort": [{"field": period, "desc": true}]}),
    )
    .transformation(
        "organize",
        &json!({
            "renameByName": {&latest: "Until", &used_most: "Used", &share_most: "Share"},
            "indexByName": {&latest: 0, &used_most: 1, &share_most: 2},
            "excludeByName": {&period: true},
        }),
    )
    .named("Until", &[("unit", json!("time:YYYY-MM-DD"))])
    .named("Used", &[("unit", json!("bytes")), ("decimals", json!(0))])
    .named(
        "Share",
        &[("unit", json!("percentunit")), ("decimals", json!(0))],
    )
    .thresholds(NO_COLOUR, &[])
    .no_value("Not known yet")
}

fn traffic() -> Panel {
    let rate = |metric| format!("rate({}[$__rate_interval])", vps(metric));
    Panel::time_series(
        "Traffic",
        "From usage rows, averaged over two hours because long histories are polled rarely. Outgoing traffic is negative.",
    )
    .range(rate(NETWORK_RECEIVE), "in")
    .range(rate(NETWORK_TRANSMIT), "out")
    .interval(USAGE_STEP)
    .unit("Bps")
    .coloured("in", BLUE)
    .coloured("out", GREEN)
    .matching("^out$", &[("custom.transform", json!("negative-Y"))])
    .no_value("No usage rows yet")
}
