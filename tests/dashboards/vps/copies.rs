//! Snapshots, backups and the state of the VPS by the vendor's policy.

use crate::grafana::{Column, Mapping, NO_COLOUR, ORANGE, Panel, RED};
use crate::names::{
    ABUSE_POINTS, ABUSE_POINTS_LIMIT, BACKUP_NEWEST, BACKUP_NEWEST_SIZE, BACKUPS, POLICY_DEADLINE,
    POLICY_OPEN, POLICY_VIOLATION, SNAPSHOT_NEWEST, SNAPSHOT_NEXT_PURGE, SNAPSHOTS, SNAPSHOTS_SIZE,
    SNAPSHOTS_STICKY, SUSPENDED, SUSPENSION_CASES, SUSPENSIONS,
};
use crate::promql::{each_vps, vps, vps_where};

pub fn panels() -> Vec<Panel> {
    vec![copies().size(24, 4), policy().size(24, 4)]
}

fn count(title: &'static str, metric: &str) -> Column {
    Column::value(title, each_vps(&vps(metric)))
        .unit("none")
        .decimals(0)
        .width(100)
}

fn size(title: &'static str, metric: &str) -> Column {
    Column::value(title, each_vps(&vps(metric)))
        .unit("bytes")
        .decimals(1)
        .width(120)
}

/// A time as words from now, "in 3 days".
fn when(title: &'static str, metric: &str) -> Column {
    Column::value(title, format!("1000 * {}", each_vps(&vps(metric)))).unit("dateTimeFromNow")
}

fn copies() -> Panel {
    Panel::table(
        "Snapshots and backups",
        "Copies that can be restored. The vendor deletes a snapshot that is not sticky at its purge.",
        vec![
            count("Backups", BACKUPS),
            when("Newest backup", BACKUP_NEWEST),
            size("Size of it", BACKUP_NEWEST_SIZE),
            count("Snapshots", SNAPSHOTS),
            count("Sticky", SNAPSHOTS_STICKY),
            size("Size of all", SNAPSHOTS_SIZE),
            when("Newest snapshot", SNAPSHOT_NEWEST),
            when("Next purge", SNAPSHOT_NEXT_PURGE),
        ],
        &["job", "instance", "veid", "vps"],
        "Backups",
    )
    .thresholds(NO_COLOUR, &[])
    .no_value("Not known yet")
}

fn policy() -> Panel {
    let words = |yes| {
        [
            Mapping {
                value: 0,
                text: "No",
                colour: NO_COLOUR,
            },
            Mapping {
                value: 1,
                text: "Yes",
                colour: yes,
            },
        ]
    };
    let is = |title, metric: &str| Column::value(title, each_vps(&vps(metric)));
    let cases = |clearable| {
        each_vps(&vps_where(
            SUSPENSION_CASES,
            &format!(r#"clearable="{clearable}""#),
        ))
    };
    let abuse = format!("{} / ({} > 0)", vps(ABUSE_POINTS), vps(ABUSE_POINTS_LIMIT));
    Panel::table(
        "Policy",
        "Cases that the vendor has opened, and what has added up this calendar year. A case that can be cleared is \
         settled by the owner in the control panel, another by the vendor.",
        vec![
            is("Suspended", SUSPENDED).words(&words(RED)).width(115),
            is("Policy violation", POLICY_VIOLATION)
                .words(&words(ORANGE))
                .width(140),
            count("Open violations", POLICY_OPEN).width(130).colours(&[(1.0, ORANGE)]),
            when("Deadline", POLICY_DEADLINE),
            Column::value("Cases to clear", cases("yes"))
                .unit("none")
                .width(120)
                .colours(&[(1.0, ORANGE)]),
            Column::value("Other cases", cases("no"))
                .unit("none")
                .width(110)
                .colours(&[(1.0, RED)]),
            count("Suspensions this year", SUSPENSIONS).width(180),
            Column::value("Abuse points", each_vps(&abuse))
                .bar(),
        ],
        &["job", "instance", "veid", "vps"],
        "Open violations",
    )
    .thresholds(NO_COLOUR, &[])
    .no_value("Not known yet")
}
