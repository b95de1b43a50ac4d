//! Summary of the state of the VPS.

use serde_json::json;

use crate::fleet::{STATES, state};
use crate::grafana::{BLUE, Column, GREEN, Mapping, NEUTRAL, NO_COLOUR, ORANGE, Panel, RED};
use crate::names::{
    BACKUP_NEWEST, BANDWIDTH_ALLOWANCE, BANDWIDTH_EXHAUSTION, BANDWIDTH_FORECAST, BANDWIDTH_RESET,
    BANDWIDTH_USED, CPU_THROTTLED, DATA_STALE, DISK_THROTTLED, LAST_SUCCESS, LOCK_PROGRESS, LOCKED,
    NULLROUTED, POLICY_DEADLINE, POLICY_OPEN, POLICY_VIOLATION, SNAPSHOT_NEWEST, UP,
};
use crate::problems::{SEVERITIES, problems};
use crate::promql::{
    bandwidth_ratio, beyond, each_vps, exhaustion_severity, forecast_ratio, used_severity, vps,
    vps_where,
};

/// Colour of a VPS that is stopped as expected.
const GREY: &str = "#7b8087";

pub fn panels() -> Vec<Panel> {
    vec![
        state_now().size(4, 4),
        used().size(4, 4),
        left().size(4, 4),
        reset().size(4, 4),
        attention().size(8, 10),
        at_reset().size(4, 3),
        runs_out().size(4, 3),
        policy_case().size(4, 3),
        newest_copy().size(4, 3),
        throttled().size(4, 3),
        null_routed().size(4, 3),
        lock().size(4, 3),
        age().size(4, 3),
    ]
}

/// A number, with the instance if several exporters poll the VPS.
fn number(title: &str, description: &str, expression: String) -> Panel {
    stat(title, description).instant(expression, LEGEND)
}

fn stat(title: &str, description: &str) -> Panel {
    Panel::stat(title, description).option("textMode", json!("auto"))
}

/// Shown beside a number if there are several.
const LEGEND: &str = "{{instance}}";

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
        "From the latest API response. Red: not as expected.",
        state(),
    )
    .mappings(&states)
    .no_value("No such VPS")
    .option("colorMode", json!("background_solid"))
}

fn used() -> Panel {
    stat(
        "Transfer used",
        "Used share of the transfer allowance of this period, coloured by its thresholds. At 100 % the VPS is suspended.",
    )
    .by_severity(&bandwidth_ratio(), &used_severity(), LEGEND)
    .unit("percentunit")
    .decimals(1)
    .no_value("Not known yet")
}

fn left() -> Panel {
    number(
        "Transfer left",
        "Bytes left of the transfer allowance until the reset.",
        format!(
            "clamp_min({} - {}, 0)",
            vps(BANDWIDTH_ALLOWANCE),
            vps(BANDWIDTH_USED)
        ),
    )
    .unit("bytes")
    .decimals(1)
    .no_value("Not known yet")
}

fn reset() -> Panel {
    number(
        "Reset",
        "Next reset of the transfer allowance.",
        format!("1000 * {}", vps(BANDWIDTH_RESET)),
    )
    .unit("dateTimeFromNow")
    .no_value("Not known yet")
}

fn at_reset() -> Panel {
    stat(
        "At the reset",
        "Forecast share of the allowance used at the reset, from the usage history. Above 100 % the allowance does not last.",
    )
    .by_severity(&forecast_ratio(), &exhaustion_severity(), LEGEND)
    .unit("percentunit")
    .decimals(0)
    .no_value("No forecast")
}

fn runs_out() -> Panel {
    let lasts = [Mapping {
        value: -1,
        text: "Lasts",
        colour: GREEN,
    }];
    // "Lasts" requires a forecast.
    let when = format!(
        "1000 * {} or 0 * {} - 1",
        vps(BANDWIDTH_EXHAUSTION),
        vps(BANDWIDTH_FORECAST)
    );
    stat(
        "Runs out",
        "Forecast time at which the transfer allowance is used up. Coloured by the alert thresholds.",
    )
    .by_severity(&when, &exhaustion_severity(), LEGEND)
    .mappings(&lasts)
    .unit("dateTimeFromNow")
    .no_value("No forecast")
}

/// OpenVZ does not report disk throttling.
fn throttled() -> Panel {
    let texts = [
        Mapping {
            value: 0,
            text: "No",
            colour: NEUTRAL,
        },
        Mapping {
            value: 1,
            text: "Yes",
            colour: ORANGE,
        },
    ];
    stat(
        "Throttled",
        "Throttling of the CPU and, on KVM, disk I/O by the vendor after high usage.",
    )
    .instant(vps(CPU_THROTTLED), "CPU")
    .instant(vps(DISK_THROTTLED), "Disk I/O")
    .option("textMode", json!("value_and_name"))
    .option("text", json!({"titleSize": 14, "valueSize": 24}))
    .mappings(&texts)
    .no_value("Not known yet")
}

fn policy_case() -> Panel {
    let texts = [
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
    let near = beyond(
        &format!("({} - time())", vps(POLICY_DEADLINE)),
        "<=",
        "policy_deadline_seconds",
    );
    let severity = [format!("{open} and ({near})"), open.clone()];
    stat(
        "Policy deadline",
        "Time until the VPS is suspended for an open policy violation, unless it is settled.",
    )
    .by_severity(&case, &severity, LEGEND)
    .mappings(&texts)
    .unit("s")
    .decimals(1)
    .no_value("Not known yet")
}

fn newest_copy() -> Panel {
    let (backup, snapshot) = (vps(BACKUP_NEWEST), vps(SNAPSHOT_NEWEST));
    let age = format!("(time() - ({backup} >= {snapshot} or {snapshot} or {backup}))");
    let old = beyond(&age, ">=", "backup_age_seconds");
    stat(
        "Newest backup",
        "Age of the newest backup or snapshot. Orange above the threshold `backup_age_seconds`, which is off by default.",
    )
    .by_severity_or(NEUTRAL, &age, &[format!("{old} < 0"), old], LEGEND)
    .unit("s")
    .decimals(1)
    .no_value("None known")
}

fn null_routed() -> Panel {
    number(
        "Null-routed IPs",
        "IP addresses that the vendor has null-routed, mostly because of an attack.",
        vps(NULLROUTED),
    )
    .unit("none")
    .thresholds(NEUTRAL, &[(1.0, RED)])
    .no_value("Not known yet")
}

fn lock() -> Panel {
    let texts = [
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
        "Progress of the task that locks the VPS, for example a snapshot. The API returns no other data until it ends.",
        format!(
            "{} and {locked} == 1 or 0 * ({locked} == 1) - 2 or 0 * ({locked} == 0) - 1",
            vps(LOCK_PROGRESS),
        ),
    )
    .mappings(&texts)
    .unit("percentunit")
    .decimals(0)
    .thresholds(NEUTRAL, &[(0.0, BLUE)])
    .no_value("Not known yet")
}

fn age() -> Panel {
    let calls = r#"call=~"getLiveServiceInfo|getServiceInfo""#;
    let age = format!("time() - {}", each_vps(&vps_where(LAST_SUCCESS, calls)));
    let stale = each_vps(&format!("{} == 1", vps_where(DATA_STALE, calls)));
    stat(
        "Age of the data",
        "Time since the API last returned the state of the VPS. Orange if a planned call is stale, red if there is no data.",
    )
    .by_severity(&age, &[each_vps(&format!("{} == 0", vps(UP))), stale], LEGEND)
    .unit("s")
    .decimals(1)
    .no_value("No data yet")
}

fn attention() -> Panel {
    Panel::table(
        "Needs attention",
        "All current problems, by the thresholds of the alerts. An alert fires later, if the problem persists.",
        vec![
            Column::value("Severity", problems())
                .texts(SEVERITIES)
                .width(82),
            Column::label("Problem", "problem").with(
                "custom.cellOptions",
                json!({"type": "auto", "wrapText": true}),
            )
            .with("custom.wrapText", json!(true)),
        ],
        &["job", "instance", "veid", "vps"],
        "Severity",
    )
    .unit("none")
    .thresholds(NO_COLOUR, &[])
    .no_value("Nothing needs attention")
}
