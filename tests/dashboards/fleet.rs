//! Every VPS in a row, those first that need attention.

use serde_json::json;

use crate::grafana::{
    BLUE, Column, Dashboard, GREEN, Mapping, NO_COLOUR, ORANGE, Panel, RED, Row,
    datasource_variable, label_variable,
};
use crate::names::{
    AUTHENTICATION_FAILED, BANDWIDTH_RESET, CPU_THROTTLED, EXPECTED_RUNNING, LAST_SUCCESS, LOCKED,
    NETWORK_RECEIVE, NETWORK_TRANSMIT, RUNNING, STATUS, SUSPENDED, UP, VPS_LABELS, recorded,
};
use crate::problems::{CRITICAL, WARNING, problems};
use crate::promql::{
    VPS_KEY, bandwidth_ratio, disk_ratio, each_vps, every_vps, memory_ratio, vps, vps_where,
};

/// The VPS of the row in its own dashboard.
const TO_VPS: &str = "/d/kiwivm-vps?var-vps=${__data.fields.VPS:percentencode}\
    &${datasource:queryparam}&${job:queryparam}&${instance:queryparam}&${__url_time_range}";

pub fn dashboard() -> Dashboard {
    Dashboard {
        uid: "kiwivm-fleet",
        title: "KiwiVM: Fleet",
        description: "All VPSes at a glance, those first that need attention.",
        from: "now-24h",
        variables: vec![
            datasource_variable(),
            label_variable("job", "Job", VPS_LABELS),
            label_variable(
                "instance",
                "Instance",
                &format!(r#"{VPS_LABELS}{{job=~"$job"}}"#),
            ),
            label_variable(
                "vps",
                "VPS",
                &format!(r#"{VPS_LABELS}{{job=~"$job", instance=~"$instance"}}"#),
            ),
        ],
        rows: vec![
            Row::untitled(numbers()),
            Row::untitled(vec![attention(), fleet()]),
            Row::titled("Transfer", vec![most_used(), traffic()]),
        ],
    }
}

fn numbers() -> Vec<Panel> {
    let severity = |value: u32| format!("count({} == {value}) or vector(0)", problems());
    vec![
        Panel::stat("VPSes", "VPSes in the configuration.")
            .instant(format!("count({})", vps(VPS_LABELS)), "VPSes")
            .unit("none")
            .size(4, 4),
        Panel::stat("Critical", "Problems that need action now.")
            .instant(severity(CRITICAL), "Critical")
            .unit("none")
            .thresholds(GREEN, &[(1.0, RED)])
            .option("colorMode", json!("background"))
            .size(4, 4),
        Panel::stat("Warnings", "Problems that need action soon.")
            .instant(severity(WARNING), "Warnings")
            .unit("none")
            .thresholds(GREEN, &[(1.0, ORANGE)])
            .option("colorMode", json!("background"))
            .size(4, 4),
    ]
}

fn attention() -> Panel {
    let severities = [
        Mapping {
            value: 2,
            text: "Critical",
            colour: RED,
        },
        Mapping {
            value: 1,
            text: "Warning",
            colour: ORANGE,
        },
    ];
    Panel::table(
        "Needs attention",
        "Every problem of every VPS, by the thresholds of the alerts. Empty when all is well.",
        vec![
            Column::value("Severity", problems())
                .words(&severities)
                .width(110),
            Column::label("VPS", "vps")
                .link("Show this VPS", TO_VPS)
                .width(220),
            Column::label("Problem", "problem"),
        ],
        &["job", "instance", "veid"],
        "Severity",
    )
    .unit("none")
    .thresholds(NO_COLOUR, &[])
    .no_value("Nothing needs attention")
    .size(24, 7)
}

const STATES: &[Mapping] = &[
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
        text: "Other",
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

/// The state of every VPS as one of [`STATES`].
fn state() -> String {
    let when = |value: u32, series: &str| format!("0 * {} + {value}", each_vps(series));
    let is = |metric| format!("({} == 1)", vps(metric));
    let status = |status| {
        format!(
            "({} == 1)",
            vps_where(STATUS, &format!(r#"status="{status}""#))
        )
    };
    [
        when(8, &is(SUSPENDED)),
        when(6, &is(AUTHENTICATION_FAILED)),
        when(5, &is(LOCKED)),
        when(4, &status("starting")),
        when(3, &status("other")),
        when(1, &is(RUNNING)),
        when(
            7,
            &format!("({} == 0 and {})", vps(RUNNING), is(EXPECTED_RUNNING)),
        ),
        when(2, &format!("({} == 0)", vps(RUNNING))),
        when(3, &is(UP)),
        every_vps(),
    ]
    .join(" or ")
}

fn fleet() -> Panel {
    let score = format!("sum by ({VPS_KEY}) ({}) or {}", problems(), every_vps());
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
        "One row a VPS, those first that need attention. An empty cell was not told by the API. \
         At reset needs the recording rules.",
        vec![
            Column::value("Attention", score).hidden(),
            Column::label("VPS", "vps")
                .link("Show this VPS", TO_VPS)
                .width(180),
            Column::value("State", state()).words(STATES).width(110),
            Column::value("Transfer used", each_vps(&bandwidth_ratio()))
                .bar(GREEN, &[(0.8, ORANGE), (0.95, RED)]),
            Column::value("At reset", each_vps(&vps(recorded::BANDWIDTH_PROJECTED)))
                .unit("percentunit")
                .decimals(0)
                .colours(&[(1.0, ORANGE)])
                .width(100),
            Column::value("Reset in", each_vps(&days_to_reset))
                .unit("suffix:d")
                .decimals(0)
                .width(100),
            Column::value("CPU throttled", each_vps(&vps(CPU_THROTTLED)))
                .words(&throttled)
                .width(130),
            Column::value("Disk", each_vps(&disk_ratio())).bar(BLUE, &[(0.85, ORANGE)]),
            Column::value("Memory", each_vps(&memory_ratio()))
                .bar(BLUE, &[(0.9, ORANGE), (0.95, RED)]),
            Column::value(
                "Last success",
                format!("1000 * {}", each_vps(&last_success)),
            )
            .unit("dateTimeFromNow")
            .width(150),
        ],
        &["job", "instance", "veid"],
        "Attention",
    )
    .thresholds(NO_COLOUR, &[])
    .size(24, 14)
}

fn most_used() -> Panel {
    Panel::bar_gauge(
        "Ten nearest to their allowance",
        "Used share of the transfer allowance.",
    )
    .instant(
        format!("topk(10, {})", each_vps(&bandwidth_ratio())),
        "{{vps}}",
    )
    .unit("percentunit")
    .decimals(0)
    .min(0.0)
    .max(1.0)
    .thresholds(GREEN, &[(0.8, ORANGE), (0.95, RED)])
    .size(12, 9)
}

fn traffic() -> Panel {
    let rate = |metric| format!("sum(rate({}[$__rate_interval]))", vps(metric));
    Panel::time_series(
        "Traffic",
        "Of all VPSes chosen together, from usage rows of five minutes.",
    )
    .range(rate(NETWORK_RECEIVE), "in")
    .range(rate(NETWORK_TRANSMIT), "out")
    .interval("5m")
    .unit("Bps")
    .coloured("in", BLUE)
    .coloured("out", GREEN)
    .size(12, 9)
}
