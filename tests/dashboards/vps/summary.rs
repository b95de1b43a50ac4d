//! How the VPS stands, to be taken in within seconds.

use serde_json::json;

use crate::fleet::{STATES, state};
use crate::grafana::{BLUE, Column, GREEN, Mapping, NEUTRAL, NO_COLOUR, ORANGE, Panel, RED};
use crate::names::{
    BACKUP_NEWEST, BANDWIDTH_RESET, CPU_THROTTLED, DISK_THROTTLED, LAST_SUCCESS, LOCK_PROGRESS,
    LOCKED, NULLROUTED, POLICY_DEADLINE, POLICY_OPEN, POLICY_VIOLATION, SNAPSHOT_NEWEST, recorded,
};
use crate::problems::{SEVERITIES, problems};
use crate::promql::{bandwidth_ratio, each_vps, vps, vps_where};

/// The colour of a VPS that is stopped and may be.
const GREY: &str = "#7b8087";

pub fn panels() -> Vec<Panel> {
    vec![
        state_now().size(4, 4),
        used().size(4, 4),
        at_reset().size(4, 4),
        reset_in().size(4, 4),
        attention().size(8, 10),
        cpu_throttled().size(4, 3),
        disk_throttled().size(4, 3),
        policy_case().size(4, 3),
        lasts().size(4, 3),
        newest_copy().size(4, 3),
        null_routed().size(4, 3),
        lock().size(4, 3),
        age().size(4, 3),
    ]
}

/// A number of each VPS chosen, with its name where there are several.
fn number(title: &str, description: &str, expression: String) -> Panel {
    Panel::stat(title, description)
        .instant(expression, "{{vps}}")
        .option("textMode", json!("auto"))
}

fn state_now() -> Panel {
    let states: Vec<_> = STATES
        .iter()
        .map(|state| Mapping {
            colour: match (state.text, state.colour) {
                ("Running", _) => GREEN,
                (_, NO_COLOUR) => GREY,
                (_, colour) => colour,
            },
            ..*state
        })
        .collect();
    number(
        "State",
        "By the newest answer of the API. Red: not as it should be.",
        state(),
    )
    .mappings(&states)
    .option("colorMode", json!("background_solid"))
}

fn used() -> Panel {
    number(
        "Transfer used",
        "Used share of the transfer allowance of this period. When all of it is used, the VPS is suspended.",
        each_vps(&bandwidth_ratio()),
    )
    .unit("percentunit")
    .decimals(1)
    .thresholds(NEUTRAL, &[(0.0, GREEN), (0.8, ORANGE), (0.95, RED)])
    .no_value("Not told")
}

fn at_reset() -> Panel {
    number(
        "At the reset",
        "Share of the allowance that will be used at the reset, at the pace of the last days. Above 100 % it does not \
         last. Needs the recording rules, and some days of data.",
        vps(recorded::BANDWIDTH_PROJECTED),
    )
    .unit("percentunit")
    .decimals(0)
    .thresholds(NEUTRAL, &[(1.0, ORANGE)])
    .no_value("Not known yet")
}

fn reset_in() -> Panel {
    number(
        "Reset in",
        "Time to the next reset of the transfer allowance.",
        format!("({} - time()) / 86400", vps(BANDWIDTH_RESET)),
    )
    .unit("suffix: days")
    .decimals(1)
    .no_value("Not told")
}

fn lasts() -> Panel {
    number(
        "Allowance lasts",
        "How long the rest of the transfer allowance lasts at the pace of the last days, whether or not the reset comes \
         first. Needs the recording rules.",
        format!("{} / 86400", vps(recorded::BANDWIDTH_LEFT)),
    )
    .unit("suffix: days")
    .decimals(1)
    .no_value("Not known yet")
}

fn throttled(title: &str, description: &str, metric: &str) -> Panel {
    let words = [
        Mapping {
            value: 0,
            text: "No",
            colour: NEUTRAL,
        },
        Mapping {
            value: 1,
            text: "Throttled",
            colour: RED,
        },
    ];
    number(title, description, vps(metric))
        .mappings(&words)
        .no_value("Not told")
}

fn cpu_throttled() -> Panel {
    throttled(
        "CPU throttled",
        "Whether the vendor limits the CPU now, after long use.",
        CPU_THROTTLED,
    )
}

fn disk_throttled() -> Panel {
    throttled(
        "Disk I/O throttled",
        "Whether the vendor limits disk I/O now, after long use. OpenVZ does not tell.",
        DISK_THROTTLED,
    )
}

fn policy_case() -> Panel {
    let words = [
        Mapping {
            value: -2,
            text: "Open",
            colour: ORANGE,
        },
        Mapping {
            value: -1,
            text: "None",
            colour: NEUTRAL,
        },
        Mapping {
            value: 0,
            text: "Overdue",
            colour: RED,
        },
    ];
    let open = format!("({} > 0)", vps(POLICY_OPEN));
    let deadline = format!("clamp_min({} - time(), 0) and {open}", vps(POLICY_DEADLINE));
    let case = format!(
        "({deadline}) or 0 * {open} - 2 or 0 * ({} == 1) - 2 or 0 * {} - 1",
        vps(POLICY_VIOLATION),
        vps(POLICY_OPEN),
    );
    number(
        "Policy deadline",
        "Time until the VPS is suspended for an open policy violation, unless that is settled.",
        case,
    )
    .mappings(&words)
    .unit("s")
    .decimals(1)
    .thresholds(NEUTRAL, &[(0.0, RED), (86_400.0, ORANGE)])
    .no_value("Not told")
}

fn newest_copy() -> Panel {
    let (backup, snapshot) = (vps(BACKUP_NEWEST), vps(SNAPSHOT_NEWEST));
    number(
        "Newest backup",
        "Age of the newest backup or snapshot.",
        format!("time() - ({backup} >= {snapshot} or {snapshot} or {backup})"),
    )
    .unit("s")
    .decimals(1)
    .thresholds(NEUTRAL, &[(259_200.0, ORANGE)])
    .no_value("None known")
}

fn null_routed() -> Panel {
    number(
        "Null-routed IPs",
        "IP addresses that the vendor has taken off the network, mostly because of an attack.",
        vps(NULLROUTED),
    )
    .unit("none")
    .thresholds(NEUTRAL, &[(1.0, RED)])
    .no_value("Not told")
}

fn lock() -> Panel {
    let words = [
        Mapping {
            value: -1,
            text: "None",
            colour: NEUTRAL,
        },
        Mapping {
            value: -2,
            text: "Locked",
            colour: BLUE,
        },
    ];
    let locked = vps(LOCKED);
    number(
        "Lock",
        "Progress of the task that holds the VPS, for example a snapshot. Meanwhile the API tells nothing else.",
        format!(
            "{} and {locked} == 1 or 0 * ({locked} == 1) - 2 or 0 * ({locked} == 0) - 1",
            vps(LOCK_PROGRESS),
        ),
    )
    .mappings(&words)
    .unit("percentunit")
    .decimals(0)
    .thresholds(NEUTRAL, &[(0.0, BLUE)])
    .no_value("Not told")
}

fn age() -> Panel {
    let newest = each_vps(&vps_where(
        LAST_SUCCESS,
        r#"call=~"getLiveServiceInfo|getServiceInfo""#,
    ));
    number(
        "Age of the data",
        "Time since the API last told the state of the VPS.",
        format!("time() - {newest}"),
    )
    .unit("s")
    .decimals(0)
    .thresholds(NEUTRAL, &[(900.0, ORANGE)])
    .no_value("Never told")
}

fn attention() -> Panel {
    Panel::table(
        "Needs attention",
        "Every problem now, by the thresholds of the alerts, without their patience. What will be used up is known with \
         the recording rules only.",
        vec![
            Column::value("Severity", problems())
                .words(SEVERITIES)
                .width(82),
            Column::label("Problem", "problem").with(
                "custom.cellOptions",
                json!({"type": "auto", "wrapText": true}),
            )
            .with("custom.wrapText", json!(true)),
            Column::label("VPS", "vps").width(112),
        ],
        &["job", "instance", "veid"],
        "Severity",
    )
    .unit("none")
    .thresholds(NO_COLOUR, &[])
    .no_value("Nothing needs attention")
}
