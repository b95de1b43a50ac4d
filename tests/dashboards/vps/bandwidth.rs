//! The transfer allowance: what is left of it, how long it lasts, and where it goes.

use serde_json::{Value, json};

use crate::grafana::{BLUE, GREEN, NEUTRAL, ORANGE, Panel, RED, thresholds};
use crate::names::{
    BANDWIDTH_ALLOWANCE, BANDWIDTH_PERIOD_START, BANDWIDTH_RESET, BANDWIDTH_USED, NETWORK_RECEIVE,
    NETWORK_TRANSMIT, recorded,
};
use crate::promql::{USAGE_STEP, bandwidth_ratio, vps};

pub fn panels() -> Vec<Panel> {
    vec![
        burn_down().size(12, 9),
        forecast().size(12, 9),
        shares().size(6, 7),
        paces().size(6, 7),
        traffic().size(12, 7),
    ]
}

fn line(dash: &[u32]) -> Value {
    json!({"fill": "dash", "dash": dash})
}

/// Shares of the allowance on a scale that past and future have in common.
fn share_left(title: &str, description: &str) -> Panel {
    Panel::time_series(title, description)
        .unit("percentunit")
        .decimals(0)
        .min(0.0)
        .max(1.0)
        .custom("lineWidth", json!(2))
        .matching(
            " even pace$",
            &[
                ("color", json!({"mode": "fixed", "fixedColor": NEUTRAL})),
                ("custom.lineStyle", line(&[10, 8])),
                ("custom.lineWidth", json!(1)),
                ("custom.fillOpacity", json!(0)),
            ],
        )
}

fn burn_down() -> Panel {
    let (reset, start) = (vps(BANDWIDTH_RESET), vps(BANDWIDTH_PERIOD_START));
    share_left(
        "Allowance left, last 31 days",
        "What is left of the transfer allowance, against the line of an even pace from the start of the period to the \
         reset. Above the line it lasts; at 0 the VPS is suspended.",
    )
    .range(format!("1 - {}", bandwidth_ratio()), "{{vps}} left")
    .range(
        format!("clamp_min({reset} - time(), 0) / ({reset} - {start})"),
        "{{vps}} even pace",
    )
    .custom("fillOpacity", json!(25))
    .time_from("31d")
}

/// The time range lies ahead, where nothing has a value yet: all lines come from the values known last within a day.
fn forecast() -> Panel {
    let known = |metric| format!("last_over_time({}[32d] @ end())", vps(metric));
    let reset = known(BANDWIDTH_RESET);
    let length = format!("({reset} - {})", known(BANDWIDTH_PERIOD_START));
    let (pace, projected) = (
        known(recorded::BANDWIDTH_PACE),
        known(recorded::BANDWIDTH_PROJECTED),
    );
    let to_reset = format!("(({reset} > time()) - time())");
    let since_reset = format!("(time() - ({reset} <= time()))");
    share_left(
        "Allowance left, next 31 days",
        "What will be left of the transfer allowance at the pace of the last days, until the reset and in the period \
         after it, against the lines of an even pace. Needs the recording rules, and some days of data.",
    )
    .range(
        format!(
            "clamp_min(1 - {projected} + {pace} * {to_reset} / 86400, 0) \
             or clamp_min(1 - {pace} * {since_reset} / 86400, 0)"
        ),
        "{{vps}} left",
    )
    .range(
        format!("clamp_min({to_reset} / {length} or 1 - {since_reset} / {length}, 0)"),
        "{{vps}} even pace",
    )
    .custom("lineStyle", line(&[2, 6]))
    .custom("fillOpacity", json!(10))
    .time_from("+31d")
}

fn shares() -> Panel {
    let (reset, start) = (vps(BANDWIDTH_RESET), vps(BANDWIDTH_PERIOD_START));
    Panel::bar_gauge(
        "Share of the allowance",
        "What is used, what an even pace would have used by now, and what will be used at the reset. The last needs \
         the recording rules.",
    )
    .instant(bandwidth_ratio(), "{{vps}} used")
    .instant(
        format!("(time() - {start}) / ({reset} - {start})"),
        "{{vps}} even pace",
    )
    .instant(vps(recorded::BANDWIDTH_PROJECTED), "{{vps}} at reset")
    .option("namePlacement", json!("top"))
    .option("minVizHeight", json!(44))
    .option("maxVizHeight", json!(52))
    .unit("percentunit")
    .decimals(0)
    .min(0.0)
    .max(1.0)
    .thresholds(NEUTRAL, &[(0.0, GREEN), (0.8, ORANGE), (0.95, RED)])
    .matching(
        " even pace$",
        &[("color", json!({"mode": "fixed", "fixedColor": "gray"}))],
    )
    .matching(
        " at reset$",
        &[("thresholds", thresholds(GREEN, &[(1.0, ORANGE)]))],
    )
}

fn paces() -> Panel {
    let allowance = vps(BANDWIDTH_ALLOWANCE);
    Panel::bar_gauge(
        "Bytes a day",
        "What is used a day at the pace of the last days, and what may be used a day until the reset. The first needs \
         the recording rules.",
    )
    .instant(
        format!("{} * {allowance}", vps(recorded::BANDWIDTH_PACE)),
        "{{vps}} uses",
    )
    .instant(
        format!(
            "clamp_min({allowance} - {}, 0) / clamp_min(({} - time()) / 86400, 1)",
            vps(BANDWIDTH_USED),
            vps(BANDWIDTH_RESET),
        ),
        "{{vps}} may use",
    )
    .option("namePlacement", json!("top"))
    .option("minVizHeight", json!(44))
    .option("maxVizHeight", json!(52))
    .unit("bytes")
    .decimals(1)
    .min(0.0)
    .thresholds(NEUTRAL, &[(0.0, BLUE)])
    .matching(
        " may use$",
        &[("color", json!({"mode": "fixed", "fixedColor": "gray"}))],
    )
}

fn traffic() -> Panel {
    let rate = |metric| format!("rate({}[$__rate_interval])", vps(metric));
    Panel::time_series(
        "Traffic",
        "From usage rows, over two hours: answers with a long history come seldom. Outgoing traffic is drawn downwards.",
    )
    .range(rate(NETWORK_RECEIVE), "{{vps}} in")
    .range(rate(NETWORK_TRANSMIT), "{{vps}} out")
    .interval(USAGE_STEP)
    .unit("Bps")
    .shaded(" in$", BLUE)
    .shaded(" out$", GREEN)
    .matching(" out$", &[("custom.transform", json!("negative-Y"))])
}
