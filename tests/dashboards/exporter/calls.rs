//! API calls: planning and outcome.

use serde_json::json;

use super::hourly;
use crate::grafana::{Column, NO_COLOUR, ORANGE, Panel};
use crate::names::{
    CALL_POINTS, DATA_STALE, DECODE_PROBLEMS, LAST_SUCCESS, POLL_DURATION, POLL_ERRORS,
    POLL_INTERVAL, POLLS, POLLS_DEFERRED, RESPONSE_BYTES,
};
use crate::promql::{exporter, overdue, vps, vps_where};

fn age() -> String {
    format!("(time() - {})", vps(LAST_SUCCESS))
}

/// Age of the last success in planned intervals. Absent for a call that is not planned.
fn age_in_intervals() -> String {
    format!("{} / {}", age(), vps(POLL_INTERVAL))
}

/// Number of stale calls.
pub fn stale() -> String {
    format!("sum({})", vps(DATA_STALE))
}

pub fn panels() -> Vec<Panel> {
    vec![
        table(),
        overdue_calls(),
        intervals(),
        duration(),
        errors(),
        deferred(),
        received(),
        failing(),
        undecodable(),
    ]
}

/// 95th percentile of the duration. `>= 0` drops NaN, the result without calls.
fn percentile(function: &str, window: &str) -> String {
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
        "One row per API call, the most overdue first. Overdue: age of the oldest last success in planned intervals. \
         Stale: VPSes for which the call has returned no data for too long. Deferred: polls deferred for lack of points or \
         concurrency, or by backoff. Made, failed, deferred and 95 % cover the last hour. 95 %: 95th percentile of the \
         duration.",
        vec![
            Column::label("Call", "call").width(200),
            Column::value("VPSes", each("count", &vps(POLL_INTERVAL))).unit("none"),
            Column::value("Interval", each("max", &vps(POLL_INTERVAL))).unit("s").decimals(1),
            Column::value("Oldest", each("max", &format!("{} and {}", age(), vps(POLL_INTERVAL))))
                .unit("s")
                .decimals(1),
            Column::value("Overdue", each("max", &age_in_intervals()))
                .unit("none")
                .decimals(1),
            Column::value("Stale", each("sum", &vps(DATA_STALE)))
                .unit("none")
                .colours(&[(1.0, ORANGE)]),
            Column::value("Made", hour(vps(POLLS))).unit("locale").decimals(0),
            Column::value("Failed", failed)
                .unit("percentunit")
                .decimals(1),
            Column::value("Deferred", hour(exporter(POLLS_DEFERRED))).unit("locale").decimals(0),
            Column::value("95 %", percentile("increase", "1h")).unit("s").decimals(1),
            Column::value("Points", each("max", &exporter(CALL_POINTS))).unit("none").decimals(1),
        ],
        &[],
        "Overdue",
    )
    .no_value("No calls yet")
.thresholds(NO_COLOUR, &[])
    .size(24, 12)
}

fn overdue_calls() -> Panel {
    Panel::overdue(
        "Overdue calls, in planned intervals",
        "Time since the last success of each overdue call, for the VPS with the oldest data. Data is \
         stale after `staleness` intervals, 5 by default.",
    )
    .range(format!("max by (call) ({})", overdue()), "{{call}}")
    .size(12, 8)
}

fn intervals() -> Panel {
    Panel::time_series(
        "Planned intervals",
        "Longest planned interval of each call. It grows when points, bytes or the node do not allow more calls. \
         Logarithmic.",
    )
    // In minutes, because seconds put the lines of a logarithmic scale at 17 minutes and 3 hours.
    .range(
        format!("max by (call) ({}) / 60", vps(POLL_INTERVAL)),
        "{{call}}",
    )
    .no_value("No planned calls")
    .unit("suffix:min")
    .custom("scaleDistribution", json!({"type": "log", "log": 10}))
    .custom("lineInterpolation", json!("stepAfter"))
    .custom("fillOpacity", json!(0))
    .legend_right()
    .size(12, 8)
}

fn duration() -> Panel {
    Panel::time_series(
        "Duration of calls",
        "95th percentile, including failed calls.",
    )
    .range(percentile("rate", "$__rate_interval"), "{{call}}")
    .interval("5m")
    .no_value("No calls")
    .unit("s")
    .min(0.0)
    .custom("fillOpacity", json!(0))
    .legend_right()
    .size(12, 8)
}

fn errors() -> Panel {
    let errors = vps(POLL_ERRORS);
    areas(
        "Failed calls per hour, by reason",
        "Selected VPSes. A reason appears with its first failure.",
    )
    .range(
        format!("3600 * sum by (reason) (rate({errors}[$__rate_interval])) > 0"),
        "{{reason}}",
    )
    .interval("5m")
    .no_value("No failed calls")
}

fn deferred() -> Panel {
    areas(
        "Deferred polls per hour, by reason",
        "budget: not enough points or bytes. backoff: waiting after a failure. concurrency: too many calls in flight.",
    )
    .no_value("No deferred polls")
.range(hourly("reason", POLLS_DEFERRED), "{{reason}}")
    .interval("5m")
}

fn received() -> Panel {
    areas(
        "Bytes received per hour, by call",
        "API responses. Each getRawUsageStats response has the whole history.",
    )
    .no_value("No calls")
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
    .no_value("No failed calls")
    .size(12, 8)
}

fn undecodable() -> Panel {
    let problems = format!(
        "sum by (call, field) (increase({}[24h]))",
        exporter(DECODE_PROBLEMS)
    );
    Panel::table(
        "Undecodable fields",
        "Fields with an unknown format in the last 24 hours, which have no samples. See the exporter's log for details.",
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
    .no_value("No undecodable fields")
    .size(12, 8)
}
