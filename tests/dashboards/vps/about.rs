//! What the VPS is, and how old what is told about it.

use serde_json::json;

use crate::grafana::{Column, NO_COLOUR, Panel};
use crate::names::{LAST_SUCCESS, POLL_ERRORS, POLL_INTERVAL, POLLS, THRESHOLD, VPS_INFO};
use crate::promql::{VPS_KEY, vps, vps_where};

pub fn panels() -> Vec<Panel> {
    vec![
        identity().size(24, 4),
        calls().size(12, 12),
        ages().size(12, 7),
        errors().size(12, 5),
    ]
}

/// The labels of the owner follow the columns named here, whatever they are called.
fn identity() -> Panel {
    let (info, labels) = (
        vps(VPS_INFO),
        format!("max without (threshold) ({})", vps(THRESHOLD)),
    );
    Panel::table(
        "Plan and place",
        "What the API tells about the VPS, and the labels from the configuration.",
        vec![
            Column::value("Known", format!("{info} or on ({VPS_KEY}) {labels}")).hidden(),
            Column::label("VPS", "vps").width(115),
            Column::label("VEID", "veid").width(80),
            Column::label("Host name", "hostname").width(190),
            Column::label("Type", "vm_type").width(70),
            Column::label("Address", "ip_address").width(115),
            Column::label("Plan", "plan").width(245),
            Column::label("System", "os").width(140),
            Column::label("Node", "node").width(75),
            Column::label("Location", "location").width(125),
        ],
        &["job", "instance", "__name__"],
        "Known",
    )
    .thresholds(NO_COLOUR, &[])
}

fn calls() -> Panel {
    let (success, interval) = (vps(LAST_SUCCESS), vps(POLL_INTERVAL));
    let each_call = |series: &str| format!("max by ({VPS_KEY}, call) ({series})");
    let failures = vps_where(POLLS, r#"outcome="failure""#);
    Panel::table(
        "Calls",
        "How old the answers of each call are, against the interval that is planned for it. A call without an interval \
         is not made for want of points.",
        vec![
            Column::label("Call", "call"),
            Column::value("Last success", each_call(&format!("1000 * {success}")))
                .unit("dateTimeFromNow")
                .width(125),
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
            Column::label("VPS", "vps").width(110),
        ],
        &["job", "instance", "veid"],
        "Last success",
    )
    .thresholds(NO_COLOUR, &[])
}

fn ages() -> Panel {
    Panel::time_series(
        "Age of the data by call",
        "Time since the last success of each call, in planned intervals. From 5 on data are taken to be stale.",
    )
    .range(
        format!("(time() - {}) / {}", vps(LAST_SUCCESS), vps(POLL_INTERVAL)),
        "{{vps}} {{call}}",
    )
    .unit("suffix: intervals")
    .decimals(1)
    .min(0.0)
    .custom("fillOpacity", json!(0))
}

fn errors() -> Panel {
    Panel::time_series("Failed calls", "Calls that brought nothing, by reason.")
        .range(
            format!(
                "sum by (vps, reason) (increase({}[$__rate_interval]))",
                vps(POLL_ERRORS)
            ),
            "{{vps}} {{reason}}",
        )
        .unit("none")
        .decimals(0)
        .min(0.0)
        .no_value("No failures")
}
