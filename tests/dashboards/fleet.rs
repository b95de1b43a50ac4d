//! Every VPS in a row, those first that need attention.

use serde_json::json;

use crate::grafana::{
    BLUE, Column, Dashboard, GREEN, Mapping, NEUTRAL, NO_COLOUR, ORANGE, Panel, RED, Range, Row,
};
use crate::names::{
    AUTHENTICATION_FAILED, BANDWIDTH_RESET, CPU_THROTTLED, CPU_USAGE, EXPECTED_RUNNING,
    LAST_SUCCESS, LOCKED, NETWORK_RECEIVE, NETWORK_TRANSMIT, POINTS_REMAINING, RUNNING, STATUS,
    SUSPENDED, THRESHOLD, UP, recorded,
};
use crate::problems::{CRITICAL, SEVERITIES, WARNING, problems, problems_of_vpses};
use crate::promql::{
    USAGE_STEP, VPS_KEY, bandwidth_ratio, disk_ratio, each_vps, every_vps, memory_ratio, vps,
    vps_where,
};
use crate::variables::variables;

/// The VPS of the row in its own dashboard.
const TO_VPS: &str = "/d/kiwivm-vps?var-vps=${__data.fields.VPS:percentencode}\
    &${datasource:queryparam}&${job:queryparam}&${instance:queryparam}&${__url_time_range}";
/// The same from a series.
const SERIES_TO_VPS: &str = "/d/kiwivm-vps?var-vps=${__field.labels.vps:percentencode}\
    &${datasource:queryparam}&${job:queryparam}&${instance:queryparam}&${__url_time_range}";

/// Of the problems.
const NEEDS_RULES: &str = "What will be used up is known with the recording rules only.";

pub fn dashboard() -> Dashboard {
    Dashboard {
        uid: "kiwivm-fleet",
        title: "KiwiVM: Fleet",
        description: "All VPSes at a glance, those first that need attention.",
        from: "now-24h",
        variables: variables(),
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
    let count = |series: &str| format!("count({series}) or 0 * count({})", vps(THRESHOLD));
    let highest = format!("topk(1, {})", each_vps(&bandwidth_ratio()));
    let points = vps_where(POINTS_REMAINING, r#"window="24h""#);
    vec![
        Panel::stat("Critical", &format!("Problems that need action now, by the thresholds of the alerts. {NEEDS_RULES}"))
            .instant(severity(CRITICAL), "Critical")
            .unit("none")
            .thresholds(GREEN, &[(1.0, RED)])
            .option("colorMode", json!("background"))
            .size(3, 4),
        Panel::stat("Warnings", &format!("Problems that need action soon, by the thresholds of the alerts. {NEEDS_RULES}"))
            .instant(severity(WARNING), "Warnings")
            .unit("none")
            .thresholds(GREEN, &[(1.0, ORANGE)])
            .option("colorMode", json!("background"))
            .size(3, 4),
        Panel::stat("VPSes", "VPSes in the configuration of the exporters chosen.")
            .instant(format!("count({})", every_vps()), "VPSes")
            .unit("none")
            .size(3, 4),
        Panel::stat("Running", "VPSes that run, by the newest answer of the API.")
            .instant(count(&format!("{} == 1", vps(RUNNING))), "Running")
            .unit("none")
            .size(3, 4),
        Panel::stat(
            "No data",
            "VPSes about which nothing is known now: wrong key, locked, no answer, or the exporter is down.",
        )
        .instant(no_data, "No data")
        .unit("none")
        .thresholds(NEUTRAL, &[(1.0, ORANGE)])
        .size(3, 4),
        Panel::stat(
            "Nearest to its allowance",
            "The highest used share of a transfer allowance, and whose it is.",
        )
        .instant(highest, "{{vps}}")
        .unit("percentunit")
        .decimals(0)
        .thresholds(NEUTRAL, &[(0.8, ORANGE), (0.95, RED)])
        .option("textMode", json!("value_and_name"))
        .size(5, 4),
        Panel::stat(
            "API points left",
            "API points left in 24 hours, where they are fewest. The exporter's dashboard tells more.",
        )
        .instant(format!("min({points})"), "24 hours")
        .unit("locale")
        .decimals(0)
        .size(4, 4),
    ]
}

fn attention() -> Panel {
    Panel::table(
        "Needs attention",
        &format!("Every problem of every VPS now, by the thresholds of the alerts, without their patience. {NEEDS_RULES}"),
        vec![
            Column::value("Severity", format!("sort_desc({})", problems()))
                .words(SEVERITIES)
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
    .size(14, 8)
}

fn problems_over_time() -> Panel {
    Panel::time_series("Problems", "How many VPSes had each problem. What will be used up is known with the recording rules only.")
        .range(
            format!("count by (problem) ({})", problems()),
            "{{problem}}",
        )
        .unit("none")
        .decimals(0)
        .min(0.0)
        .custom("lineWidth", json!(0))
        .custom("lineInterpolation", json!("stepAfter"))
        .stacked()
        .points(150)
        .no_value("No problems")
        .size(10, 8)
}

/// The states of a VPS in words.
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
        text: "Wrong key",
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

/// What the sum of 100 to the power of each problem's severity tells.
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
    // Most critical problems first, then most warnings, then who used most.
    let score = format!(
        "sum by ({VPS_KEY}) (100 ^ {} or label_replace({}, \"problem\", \"-\", \"\", \"\")) or {}",
        problems_of_vpses(),
        bandwidth_ratio(),
        every_vps()
    );
    let throttled = [
        Mapping {
            value: 0,
            text: "No",
            colour: NO_COLOUR,
        },
        Mapping {
            value: 1,
            text: "Yes",
            colour: ORANGE,
        },
    ];
    let last_success = vps_where(LAST_SUCCESS, r#"call=~"getLiveServiceInfo|getServiceInfo""#);
    let days_to_reset = format!("({} - time()) / 86400", vps(BANDWIDTH_RESET));
    Panel::table(
        "Fleet",
        "One row a VPS, those first that need attention; a name leads to the dashboard of the VPS. What the API did not \
         tell is empty. At reset: the share of the transfer allowance that will be used at the pace of the last days; \
         known with the recording rules only. Disk: on KVM what the image has mapped, which says little about file systems.",
        vec![
                        Column::label("VPS", "vps").link("Show this VPS", TO_VPS).width(170),
            Column::value("State", state()).words(STATES).width(105),
            Column::value("Attention", score)
                .ranges(ATTENTION)
                .width(100),
            Column::value("Transfer used", each_vps(&bandwidth_ratio()))
                .bar(GREEN, &[(0.8, ORANGE), (0.95, RED)]),
            Column::value("At reset", each_vps(&vps(recorded::BANDWIDTH_PROJECTED)))
                .unit("percentunit")
                .decimals(0)
                .colours(&[(1.0, ORANGE)])
                .width(85),
            Column::value("Reset in", each_vps(&days_to_reset))
                .unit("suffix:days")
                .decimals(0)
                .width(85),
            Column::value("CPU throttled", each_vps(&vps(CPU_THROTTLED)))
                .words(&throttled)
                .width(125),
            Column::value("Disk", each_vps(&disk_ratio())).bar(BLUE, &[(0.85, ORANGE)]),
            Column::value("Memory", each_vps(&memory_ratio()))
                .bar(BLUE, &[(0.9, ORANGE), (0.95, RED)]),
            Column::value("Last success", format!("1000 * {}", each_vps(&last_success)))
                .unit("dateTimeFromNow")
                .width(140),
        ],
        &["job", "instance", "veid"],
        "Attention",
    )
    .thresholds(NO_COLOUR, &[])
    .size(24, 12)
}

/// Bars of the ten VPSes with the highest values.
fn top_ten(title: &str, description: &str, series: &str) -> Panel {
    Panel::bar_gauge(title, description)
        .instant(format!("topk(10, {})", each_vps(series)), "{{vps}}")
        .unit("percentunit")
        .decimals(0)
        .min(0.0)
        .max(1.0)
        .default(
            "links",
            json!([{"title": "Show this VPS", "url": SERIES_TO_VPS, "targetBlank": false}]),
        )
        .size(8, 9)
}

fn most_used() -> Panel {
    top_ten(
        "Transfer used, ten highest",
        "Used share of the transfer allowance.",
        &bandwidth_ratio(),
    )
    .thresholds(GREEN, &[(0.8, ORANGE), (0.95, RED)])
}

fn busiest() -> Panel {
    top_ten(
        "CPU usage, ten highest",
        "Of the newest usage row, which covers five minutes. Whether 100 % is one core or all is not documented.",
        &vps(CPU_USAGE),
    )
    .thresholds(BLUE, &[])
}

fn traffic() -> Panel {
    let rate = |metric| format!("sum(rate({}[$__rate_interval]))", vps(metric));
    Panel::time_series(
        "Traffic",
        "Of all VPSes chosen together, from usage rows, over two hours: answers with a long history come seldom.",
    )
    .range(rate(NETWORK_RECEIVE), "in")
    .range(rate(NETWORK_TRANSMIT), "out")
    .interval(USAGE_STEP)
    .unit("Bps")
    .min(0.0)
    .coloured("in", BLUE)
    .coloured("out", GREEN)
    .size(8, 9)
}
