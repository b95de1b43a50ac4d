//! Snapshots, backups and policy cases.

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

/// A time relative to now, such as "in 3 days".
fn when(title: &'static str, metric: &str) -> Column {
    Column::value(title, format!("1000 * {}", each_vps(&vps(metric)))).unit("dateTimeFromNow")
}

fn copies() -> Panel {
    Panel::table(
        "Snapshots and backups",
        "Backups and snapshots of the VPS. The vendor deletes a snapshot at its purge time unless it is sticky.",
        vec![
            count("Backups", BACKUPS),
            when("Newest backup", BACKUP_NEWEST),
            size("Backup size", BACKUP_NEWEST_SIZE),
            count("Snapshots", SNAPSHOTS),
            count("Sticky", SNAPSHOTS_STICKY),
            size("Snapshots size", SNAPSHOTS_SIZE),
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
    let yes_or_no = |yes| {
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
        "Cases opened by the vendor, and the totals of this calendar year. You can settle clearable cases in the control \
         panel. Only the vendor can settle the others.",
        vec![
            is("Suspended", SUSPENDED).texts(&yes_or_no(RED)).width(115),
            is("Policy violation", POLICY_VIOLATION)
                .texts(&yes_or_no(ORANGE))
                .width(140),
            count("Open violations", POLICY_OPEN).width(130).colours(&[(1.0, ORANGE)]),
            when("Deadline", POLICY_DEADLINE),
            Column::value("Clearable cases", cases("yes"))
                .unit("none")
                .width(130)
                .colours(&[(1.0, ORANGE)]),
            Column::value("Other cases", cases("no"))
                .unit("none")
                .width(110)
                .colours(&[(1.0, RED)]),
            count("Suspensions this year", SUSPENSIONS).width(180),
            Column::value("Abuse points", each_vps(&abuse))
                .unit("percentunit")
                .decimals(0)
                .colours(&[(1.0, RED)])
                .width(120),
        ],
        &["job", "instance", "veid", "vps"],
        "Open violations",
    )
    .thresholds(NO_COLOUR, &[])
    .no_value("Not known yet")
}
