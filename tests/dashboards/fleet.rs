//! Dashboard of all VPSes.

use serde_json::json;

use crate::grafana::{
    BLUE, Choice, Column, Dashboard, GREEN, Mapping, NEUTRAL, NO_COLOUR, ORANGE, Panel, RED, Range,
    Row,
};
use crate::names::{
    AUTHENTICATION_FAILED, BANDWIDTH_ALLOWANCE, BANDWIDTH_EXHAUSTION, BANDWIDTH_RESET,
    BANDWIDTH_USED, CPU_USAGE, EXPECTED_RUNNING, LAST_SUCCESS, LOCKED, NETWORK_RECEIVE,
    NETWORK_TRANSMIT, POINTS_EXHAUSTED, POINTS_REMAINING, RUNNING, STATUS, SUSPENDED, UP, VPS_INFO,
};
use crate::problems::{CRITICAL, SEVERITIES, WARNING, problems, problems_of_vpses};
use crate::promql::{
    USAGE_STEP, VPS_KEY, bandwidth_ratio, disk_ratio, each_vps, every_vps, forecast_ratio,
    memory_ratio, used_severity, vps, vps_where,
};
use crate::variables::variables;

/// Link from a table row to the dashboard of its VPS.
const TO_VPS: &str = "/d/kiwivm-vps?var-vps=${__data.fields.VPS:percentencode}\
    &${datasource:queryparam}&${job:queryparam}&${instance:queryparam}&${__url_time_range}";
/// Link from a series to the dashboard of its VPS.
const SERIES_TO_VPS: &str = "/d/kiwivm-vps?var-vps=${__field.labels.vps:percentencode}\
    &${datasource:queryparam}&${job:queryparam}&${instance:queryparam}&${__url_time_range}";

/// Text for a count without any VPS.
const NO_VPS: &str = "No VPS";

pub fn dashboard() -> Dashboard {
    Dashboard {
        uid: "kiwivm-fleet",
        title: "KiwiVM: Fleet",
        description: "Overview of all VPSes, those that need attention first.",
        from: "now-24h",
        variables: variables(Choice::Any),
        vps: Choice::Any,
        rows: vec![
            Row::untitled(numbers()),
            Row::untitled(vec![attention(), problems_over_time(), fleet()]),
            Row::untitled(vec![most_used(), busiest(), traffic()]),
        ],
    }
}

fn numbers() -> Vec<Panel> {
    let severity = |value: u32| {
        format!(
            "count(({}) == {value}) or 0 * count({})",
            problems(),
            every_vps()
        )
    };
    let no_data = format!(
        "count({0} unless {1}) or 0 * count({0})",
        every_vps(),
        each_vps(&format!("{} == 1", vps(UP)))
    );
    let running = format!("count({} == 1) or 0 * count({})", vps(RUNNING), every_vps());
    let highest = format!("topk(1, {})", bandwidth_ratio());
    let points = format!("min({})", vps_where(POINTS_REMAINING, r#"window="24h""#));
    let exhausted = format!("count({} == 1)", vps(POINTS_EXHAUSTED));
    let no_critical = format!("{exhausted} < 0");
    vec![
        Panel::stat(
            "Critical",
            "Problems that need action now, by the thresholds of the alerts.",
        )
        .instant(severity(CRITICAL), "Critical")
        .unit("none")
        .thresholds(GREEN, &[(1.0, RED)])
        .option("colorMode", json!("background"))
        .no_value(NO_VPS)
        .size(3, 4),
        Panel::stat(
            "Warnings",
            "Problems that need action soon, by the thresholds of the alerts.",
        )
        .instant(severity(WARNING), "Warnings")
        .unit("none")
        .thresholds(GREEN, &[(1.0, ORANGE)])
        .option("colorMode", json!("background"))
        .no_value(NO_VPS)
        .size(3, 4),
        Panel::stat(
            "VPSes",
            "VPSes configured in the selected exporters.",
        )
        .instant(format!("count({})", every_vps()), "VPSes")
        .unit("none")
        .no_value(NO_VPS)
        .size(3, 4),
        Panel::stat("Running", "Running VPSes, from the latest API response.")
            .instant(running, "Running")
            .unit("none")
            .no_value(NO_VPS)
            .size(3, 4),
        Panel::stat(
            "No data",
            "VPSes without current data: key refused, locked, no response, or exporter down.",
        )
        .instant(no_data, "No data")
        .unit("none")
        .thresholds(NEUTRAL, &[(1.0, ORANGE)])
        .no_value(NO_VPS)
        .size(3, 4),
        Panel::stat(
            "Nearest to its allowance",
            "Highest used share of a transfer allowance, with the name of the VPS. Coloured by its thresholds.",
        )
        .by_severity(&highest, &used_severity(), "{{vps}}")
        .unit("percentunit")
        .decimals(0)
        .option("textMode", json!("value_and_name"))
        .no_value("Not known yet")
        .size(5, 4),
        Panel::stat(
            "API points left",
            "Fewest API points of 24 hours left for any VPS. Orange if a VPS has none left. See the exporter dashboard \
             for details.",
        )
        .by_severity_or(NEUTRAL, &points, &[no_critical, exhausted], "24 hours")
        .unit("locale")
        .decimals(0)
        .no_value("Not known yet")
        .size(4, 4),
    ]
}

fn attention() -> Panel {
    Panel::table(
        "Needs attention",
        "All current problems of all VPSes, by the thresholds of the alerts. An alert fires later, if the problem persists.",
        vec![
            Column::value("Severity", format!("sort_desc({})", problems()))
                .texts(SEVERITIES)
                .width(110),
            Column::label("VPS", "vps")
                .link("Show this VPS", TO_VPS)
                .width(200),
            Column::label("Problem", "problem"),
        ],
        &["job", "instance", "veid"],
        "Severity",
    )
    .unit("none")
    .thresholds(NO_COLOUR, &[])
    .no_value("Nothing needs attention")
    .size(12, 9)
}

fn problems_over_time() -> Panel {
    let named = |series: &str, severity: u32, name: &str| {
        format!(r#"label_replace({series}, "level", "{name}", "level", "{severity}")"#)
    };
    // Prometheus sorts series by their labels. `level` comes before `problem`, so critical problems are at the bottom.
    let counts = format!(r#"count_values by (problem) ("level", {})"#, problems());
    let counts = named(&counts, WARNING, "warning");
    Panel::time_series("Problems", "Number of VPSes with each problem.")
        .range(
            named(&counts, CRITICAL, "critical"),
            "{{level}}: {{problem}}",
        )
        .shaded("^critical: ", RED)
        .shaded("^warning: ", ORANGE)
        .unit("none")
        .decimals(0)
        .min(0.0)
        .custom("lineInterpolation", json!("stepAfter"))
        .stacked()
        // Opaque enough to tell shades of one colour apart.
        .custom("fillOpacity", json!(70))
        .points(150)
        .legend_right()
        .no_value("No problems")
        .size(12, 9)
}

/// Texts and colours of the states of a VPS.
pub const STATES: &[Mapping] = &[
    Mapping {
        value: 8,
        text: "Suspended",
        colour: RED,
    },
    Mapping {
        value: 7,
        text: "Stopped",
        colour: RED,
    },
    Mapping {
        value: 6,
        text: "Key refused",
        colour: ORANGE,
    },
    Mapping {
        value: 5,
        text: "Locked",
        colour: BLUE,
    },
    Mapping {
        value: 4,
        text: "Starting",
        colour: BLUE,
    },
    Mapping {
        value: 3,
        text: "Unknown",
        colour: ORANGE,
    },
    Mapping {
        value: 2,
        text: "Stopped",
        colour: NO_COLOUR,
    },
    Mapping {
        value: 1,
        text: "Running",
        colour: NO_COLOUR,
    },
    Mapping {
        value: 0,
        text: "No data",
        colour: ORANGE,
    },
];

/// Ranges of the score, the sum of 100 to the power of each problem's severity.
const ATTENTION: &[Range] = &[
    Range {
        from: 10_000.0,
        text: "Critical",
        colour: RED,
    },
    Range {
        from: 100.0,
        text: "Warning",
        colour: ORANGE,
    },
    Range {
        from: 0.0,
        text: "\u{2013}",
        colour: NO_COLOUR,
    },
];

/// The state of every VPS as one of [`STATES`].
pub fn state() -> String {
    let when = |value: u32, series: &str| format!("0 * {} + {value}", each_vps(series));
    let is = |metric| format!("({} == 1)", vps(metric));
    let stopped = format!("{} == 0", vps(RUNNING));
    let starting = format!("{} == 1", vps_where(STATUS, r#"status="starting""#));
    [
        when(8, &is(SUSPENDED)),
        when(6, &is(AUTHENTICATION_FAILED)),
        when(5, &is(LOCKED)),
        when(4, &starting),
        when(1, &is(RUNNING)),
        when(7, &format!("{stopped} and {}", is(EXPECTED_RUNNING))),
        when(2, &stopped),
        when(3, &is(UP)),
        every_vps(),
    ]
    .join(" or ")
}

fn fleet() -> Panel {
    // Sorts by critical problems, then warnings, then used share. 100 keeps up to 99 warnings below a critical problem.
    let score = format!(
        "sum by ({VPS_KEY}) (100 ^ {} or label_replace({}, \"problem\", \"-\", \"\", \"\")) or {}",
        problems_of_vpses(),
        bandwidth_ratio(),
        every_vps()
    );
    let location = format!("max by ({VPS_KEY}, location) ({})", vps(VPS_INFO));
    let left = format!(
        "clamp_min({} - {}, 0)",
        vps(BANDWIDTH_ALLOWANCE),
        vps(BANDWIDTH_USED)
    );
    let last_success = vps_where(LAST_SUCCESS, r#"call=~"getLiveServiceInfo|getServiceInfo""#);
    let when = |metric| format!("1000 * {}", each_vps(&vps(metric)));
    Panel::table(
        "Fleet",
        "One row per VPS, those that need attention first. A name links to the dashboard of the VPS. A cell is empty if \
         the API did not send the value. Used and left: transfer allowance of this period. At reset: forecast share of the transfer allowance used at the reset. Runs out: \
         time at which the allowance is used up, if before the reset. Disk: on KVM the mapped part of the image, which is \
         no measure of how full the file systems are.",
        vec![
            Column::label("VPS", "vps")
                .link("Show this VPS", TO_VPS),
            Column::value("Located", location).hidden(),
            Column::label("Location", "location"),
            Column::value("State", state()).texts(STATES).width(95),
            Column::value("Attention", score)
                .ranges(ATTENTION)
                .width(90),
            Column::value("Used", each_vps(&bandwidth_ratio()))
                .unit("percentunit")
                .decimals(0)
                .colours(&[(1.0, RED)])
                .width(72),
            Column::value("Left", each_vps(&left))
                .unit("bytes")
                .decimals(0)
                .width(82),
            Column::value("At reset", each_vps(&forecast_ratio()))
                .unit("percentunit")
                .decimals(0)
                .colours(&[(1.0, ORANGE)])
                .width(80),
            Column::value("Runs out", when(BANDWIDTH_EXHAUSTION))
                .unit("dateTimeFromNow")
                .width(100),
            Column::value("Reset", when(BANDWIDTH_RESET))
                .unit("time:YYYY-MM-DD")
                .width(100),
            Column::value("Disk", each_vps(&disk_ratio()))
                .unit("percentunit")
                .decimals(0)
                .width(60),
            Column::value("Memory", each_vps(&memory_ratio()))
                .unit("percentunit")
                .decimals(0)
                .width(72),
            Column::value("Last success", format!("1000 * {}", each_vps(&last_success)))
                .unit("dateTimeFromNow")
                .width(140),
        ],
        &["job", "instance", "veid"],
        "Attention",
    )
    .thresholds(NO_COLOUR, &[])
    .no_value("No VPS")
    .size(24, 14)
}

/// Bars of the ten VPSes with the highest values.
fn top_ten(title: &str, description: &str) -> Panel {
    Panel::bar_gauge(title, description)
        .unit("percentunit")
        .decimals(0)
        .min(0.0)
        .max(1.0)
        .no_value("Not known yet")
        // Grafana omits the legend of a single bar, but not a display name.
        .default("displayName", json!("${__field.labels.vps}"))
        .default(
            "links",
            json!([{"title": "Show this VPS", "url": SERIES_TO_VPS, "targetBlank": false}]),
        )
        .size(8, 9)
}

fn most_used() -> Panel {
    let highest = format!("topk(10, {})", bandwidth_ratio());
    top_ten(
        "Transfer used, ten highest",
        "Used share of the transfer allowance. Coloured by the thresholds of the VPS.",
    )
    .by_severity(&highest, &used_severity(), "{{vps}}")
}

fn busiest() -> Panel {
    top_ten(
        "CPU usage, ten highest",
        "From the latest usage row, which covers five minutes. The vendor does not document if 100 % is one core or all.",
    )
    .instant(
        format!("topk(10, {})", each_vps(&vps(CPU_USAGE))),
        "{{vps}}",
    )
    .thresholds(BLUE, &[])
}

fn traffic() -> Panel {
    let rate = |metric| format!("sum(rate({}[$__rate_interval]))", vps(metric));
    Panel::time_series(
        "Traffic",
        "Sum of the selected VPSes, from usage rows, averaged over two hours because long histories are polled rarely.",
    )
    .range(rate(NETWORK_RECEIVE), "in")
    .range(rate(NETWORK_TRANSMIT), "out")
    .interval(USAGE_STEP)
    .unit("Bps")
    .min(0.0)
    .coloured("in", BLUE)
    .coloured("out", GREEN)
    .no_value("No usage rows yet")
    .size(8, 9)
}
