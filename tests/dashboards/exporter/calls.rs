//! Calls of the API: when they are made, how they go.

use serde_json::json;

use super::hourly;
use crate::grafana::{Column, NO_COLOUR, ORANGE, Panel};
use crate::names::{
    CALL_POINTS, DATA_STALE, DECODE_PROBLEMS, LAST_SUCCESS, POLL_DURATION, POLL_ERRORS,
    POLL_INTERVAL, POLLS, POLLS_DEFERRED, RESPONSE_BYTES,
};
use crate::promql::{exporter, vps, vps_where};

fn age() -> String {
    format!("(time() - {})", vps(LAST_SUCCESS))
}

/// The age of the last success in planned intervals. A call that is not made has no interval.
fn age_in_intervals() -> String {
    format!("{} / {}", age(), vps(POLL_INTERVAL))
}

/// How many planned calls of the VPSes are stale.
pub fn stale() -> String {
    format!("sum({})", vps(DATA_STALE))
}

pub fn panels() -> Vec<Panel> {
    vec![
        table(),
        late_over_time(),
        intervals(),
        duration(),
        errors(),
        deferred(),
        received(),
        failing(),
        not_understood(),
    ]
}

/// What 95 % of the calls were quicker than; nothing where none was made.
fn slow(function: &str, window: &str) -> String {
    format!(
        "histogram_quantile(0.95, sum by (call, le) ({function}({}[{window}]))) >= 0",
        exporter(&format!("{POLL_DURATION}_bucket"))
    )
}

fn table() -> Panel {
    let each = |function: &str, series: &str| format!("{function} by (call) ({series})");
    let hour = |series: String| format!("sum by (call) (increase({series}[1h]))");
    let failed = format!(
        "{} / ({} > 0)",
        hour(vps_where(POLLS, r#"outcome="failure""#)),
        hour(vps(POLLS))
    );
    Panel::table(
        "Calls",
        "One row for each API call, the latest first. Late: age of the oldest last success in planned intervals. Stale: \
         VPSes for which the call has brought nothing for too long. Put off: by reason budget, backoff or concurrency. \
         Slow: 95 % of the calls were faster. Failed, put off, made and slow are of the last hour.",
        vec![
            Column::label("Call", "call").width(200),
            Column::value("VPSes", each("count", &vps(POLL_INTERVAL))).unit("none"),
            Column::value("Planned every", each("max", &vps(POLL_INTERVAL))).unit("s").decimals(0),
            Column::value("Oldest", each("max", &format!("{} and {}", age(), vps(POLL_INTERVAL))))
                .unit("s")
                .decimals(0),
            Column::value("Late", each("max", &age_in_intervals()))
                .unit("none")
                .decimals(1),
            Column::value("Stale", each("sum", &vps(DATA_STALE)))
                .unit("none")
                .colours(&[(1.0, ORANGE)]),
            Column::value("Made", hour(vps(POLLS))).unit("locale").decimals(0),
            Column::value("Failed", failed)
                .unit("percentunit")
                .decimals(1),
            Column::value("Put off", hour(exporter(POLLS_DEFERRED))).unit("locale").decimals(0),
            Column::value("Slow", slow("increase", "1h")).unit("s").decimals(2),
            Column::value("Points", each("max", &exporter(CALL_POINTS))).unit("none").decimals(1),
        ],
        &[],
        "Late",
    )
    .no_value("No call was made yet")
.thresholds(NO_COLOUR, &[])
    .size(24, 12)
}

fn late_over_time() -> Panel {
    Panel::time_series(
        "Age in planned intervals",
        "How many planned intervals ago the last success is, of the VPS that has waited longest.",
    )
    .range(
        format!("max by (call) ({})", age_in_intervals()),
        "{{call}}",
    )
    .no_value("No call succeeded yet")
    .unit("none")
    .decimals(1)
    .min(0.0)
    .custom("fillOpacity", json!(0))
    .legend_right()
    .size(12, 8)
}

fn intervals() -> Panel {
    Panel::time_series(
        "Planned intervals",
        "The longest interval of each call as planned, which grows when points, bytes or the node do not allow more. Logarithmic.",
    )
    .range(format!("max by (call) ({})", vps(POLL_INTERVAL)), "{{call}}")
    .no_value("No call is planned")
.unit("s")
    .decimals(0)
    .custom("scaleDistribution", json!({"type": "log", "log": 10}))
    .custom("lineInterpolation", json!("stepAfter"))
    .custom("fillOpacity", json!(0))
    .legend_right()
    .size(12, 8)
}

fn duration() -> Panel {
    Panel::time_series(
        "Duration of calls",
        "95 % of the calls were quicker, failed ones included.",
    )
    .range(slow("rate", "$__rate_interval"), "{{call}}")
    .interval("5m")
    .no_value("No call was made")
    .unit("s")
    .min(0.0)
    .custom("fillOpacity", json!(0))
    .legend_right()
    .size(12, 8)
}

fn errors() -> Panel {
    let errors = vps(POLL_ERRORS);
    areas(
        "Failed calls an hour, by reason",
        "Of the VPSes chosen. A reason appears with its first failure.",
    )
    .range(
        format!("3600 * sum by (reason) (rate({errors}[$__rate_interval])) > 0"),
        "{{reason}}",
    )
    .interval("5m")
    .no_value("No call failed")
}

fn deferred() -> Panel {
    areas(
        "Calls put off an hour, by reason",
        "budget: no points or bytes left for them; backoff: after a failure; concurrency: no place among the calls in flight.",
    )
    .no_value("No call was put off")
.range(hourly("reason", POLLS_DEFERRED), "{{reason}}")
    .interval("5m")
}

fn received() -> Panel {
    areas(
        "Bytes received an hour, by call",
        "Answers of the API. Usage answers carry their whole history.",
    )
    .no_value("No call was made")
    .range(hourly("call", RESPONSE_BYTES), "{{call}}")
    .interval("5m")
    .unit("bytes")
    .legend_right()
}

fn areas(title: &str, description: &str) -> Panel {
    Panel::time_series(title, description)
        .unit("locale")
        .decimals(0)
        .min(0.0)
        .stacked()
        .size(12, 8)
}

fn failing() -> Panel {
    let failed = format!(
        "sum by (vps, call, reason) (increase({}[1h]))",
        vps(POLL_ERRORS)
    );
    Panel::table(
        "Failing now",
        "The 50 most frequent failures of the last hour.",
        vec![
            Column::label("VPS", "vps").width(170),
            Column::label("Call", "call").width(180),
            Column::label("Reason", "reason"),
            Column::value("Failures", format!("topk(50, {failed} > 0)"))
                .unit("locale")
                .decimals(0)
                .width(100),
        ],
        &[],
        "Failures",
    )
    .thresholds(NO_COLOUR, &[])
    .no_value("No call failed")
    .size(12, 8)
}

fn not_understood() -> Panel {
    let problems = format!(
        "sum by (call, field) (increase({}[24h]))",
        exporter(DECODE_PROBLEMS)
    );
    Panel::table(
        "Fields not understood",
        "Fields that arrived in no known form in the last 24 hours and gave no sample. The exporter's log says more.",
        vec![
            Column::label("Call", "call").width(200),
            Column::label("Field", "field"),
            Column::value("Times", format!("ceil({problems} > 0)"))
                .unit("locale")
                .decimals(0)
                .width(100)
                .colours(&[(1.0, ORANGE)]),
        ],
        &[],
        "Times",
    )
    .thresholds(NO_COLOUR, &[])
    .no_value("Everything was understood")
    .size(12, 8)
}
