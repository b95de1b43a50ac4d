//! Metadata of the VPS and age of its data.

use crate::grafana::{Column, Mapping, NO_COLOUR, ORANGE, Panel};
use crate::names::{
    DATA_STALE, LAST_SUCCESS, POLL_ERRORS, POLL_INTERVAL, POLLS, THRESHOLD, VPS_INFO,
};
use crate::promql::{VPS_KEY, overdue, vps, vps_where};

pub fn panels() -> Vec<Panel> {
    vec![
        identity().size(24, 4),
        calls().size(12, 12),
        overdue_calls().size(12, 8),
        errors().size(12, 4),
    ]
}

/// Configured labels follow the columns listed here.
fn identity() -> Panel {
    let known = format!(
        "{} or on ({VPS_KEY}) max without (threshold) ({})",
        vps(VPS_INFO),
        vps(THRESHOLD)
    );
    Panel::table(
        "Plan and location",
        "VPS metadata from the API and labels from the configuration.",
        vec![
            Column::value("Known", known).hidden(),
            Column::label("VPS", "vps").width(118),
            Column::label("VEID", "veid").width(78),
            Column::label("Host name", "hostname").width(200),
            Column::label("Type", "vm_type").width(65),
            Column::label("Address", "ip_address").width(110),
            Column::label("Plan", "plan").width(250),
            Column::label("System", "os").width(140),
            Column::label("Node", "node").width(72),
            Column::label("Location", "location").width(120),
        ],
        &["job", "instance", "__name__", "location_id", "datacenter"],
        "Known",
    )
    .thresholds(NO_COLOUR, &[])
    .no_value("No such VPS")
}

const STALE: &[Mapping] = &[
    Mapping {
        value: 0,
        text: "Fresh",
        colour: NO_COLOUR,
    },
    Mapping {
        value: 1,
        text: "Stale",
        colour: ORANGE,
    },
];

fn calls() -> Panel {
    let (success, interval) = (vps(LAST_SUCCESS), vps(POLL_INTERVAL));
    let each_call = |series: &str| format!("max by ({VPS_KEY}, call) ({series})");
    let failures = vps_where(POLLS, r#"outcome="failure""#);
    Panel::table(
        "Calls",
        "Age of the last success of each call and its planned interval. A call without an interval is dropped for lack of \
         points.",
        vec![
            Column::label("Call", "call"),
            Column::value("Last success", each_call(&format!("1000 * {success}")))
                .unit("dateTimeFromNow")
                .width(140),
            Column::value("Interval", each_call(&interval))
                .unit("s")
                .decimals(1)
                .width(80),
            Column::value(
                "Failures",
                format!("sum by ({VPS_KEY}, call) (increase({failures}[$__range]))"),
            )
            .unit("none")
            .decimals(0)
            .width(75),
            Column::value("Data", each_call(&vps(DATA_STALE))).texts(STALE).width(80),
        ],
        &["job", "instance", "veid", "vps"],
        "Last success",
    )
    .thresholds(NO_COLOUR, &[])
    .no_value("No calls yet")
}

fn overdue_calls() -> Panel {
    Panel::overdue(
        "Overdue calls, in planned intervals",
        "Time since the last success of each overdue call. Data is stale after `staleness` \
         intervals, 5 by default.",
    )
    .range(overdue(), "{{call}}")
}

fn errors() -> Panel {
    Panel::time_series("Failed calls", "Failed calls, by reason.")
        .range(
            format!(
                "sum by (reason) (increase({}[$__rate_interval]))",
                vps(POLL_ERRORS)
            ),
            "{{reason}}",
        )
        .unit("none")
        .decimals(0)
        .min(0.0)
        .no_value("No failed calls")
}
