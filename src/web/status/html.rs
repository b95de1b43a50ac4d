//! Renders the status page, without scripts and without inline styles.

use std::fmt::{self, Display};

use super::card::{card, concerns, row};
use super::derive::Group;
use super::facts::{ApiPoints, ExporterFacts, QuotaFacts, Status, Summary, VpsFacts};
use super::words::{Escaped, Span, Utc, or_unknown};
use super::{DOCUMENTATION, STYLE};
use crate::kiwivm::Call;
use crate::units::UnixSeconds;

/// The page.
pub struct StatusPage<'a> {
    pub status: &'a Status,
    /// Prefix of links to other routes.
    pub links: &'a str,
}

impl Display for StatusPage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status, links } = *self;
        write!(
            f,
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n\
             <title>{title} · KiwiVM</title>\n<style>{STYLE}</style>\n</head>\n<body>\n\
             <header>\n<p class=\"product\">KiwiVM exporter</p>\n<h1>{title}</h1>\n<p>{} \
             As of <time datetime=\"{}\">{}</time>; reload the page for newer data.</p>\n",
            Groups(status.summary),
            Utc(status.timestamp_seconds).iso(),
            Utc(status.timestamp_seconds),
            title = Title(status),
        )?;
        concerns(
            f,
            &status.concerns,
            &status.pending,
            status.timestamp_seconds,
        )?;
        f.write_str("</header>\n<main>\n")?;
        let needs = |group| matches!(group, Group::Critical | Group::Warning);
        section(f, status, "Needs attention", needs, card)?;
        section(f, status, "Pending", |group| group == Group::Pending, card)?;
        section(
            f,
            status,
            "Locked by a task",
            |group| group == Group::Locked,
            card,
        )?;
        section(f, status, "Healthy", |group| group == Group::Well, row)?;
        section(f, status, "Unknown", |group| group == Group::Unknown, row)?;
        api_points(f, &status.api_points, status)?;
        f.write_str(LEGEND)?;
        write!(f, "</main>\n{}</body>\n</html>\n", Footer { status, links })
    }
}

const LEGEND: &str = "<section class=\"notes\">\n<h2>How to read this page</h2>\n<ul>\n\
<li>The mark on a bar is the use at an even pace. The forecast for the reset is based on the usage history.</li>\n\
<li>Disk mapped (KVM) is the size of the image blocks in use. It shrinks only when the guest trims, so the files in the guest may take less space.</li>\n\
<li>Values that were not confirmed for a while are unknown. Live data are throttling, memory, swap, disk and load. The API reports no \
memory, swap or load of a VPS that is off.</li>\n\
<li>API points: the points left within 15 minutes and 24 hours, and in parentheses the points that the exporter may spend.</li>\n\
<li>Conditions, severities and times match the alerts. A condition is pending until it has lasted as long as its alert \
requires. An incomplete or missing response does not end it.</li>\n</ul>\n</section>\n";

/// The title: a summary in a few words.
struct Title<'a>(&'a Status);

impl Display for Title<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Summary {
            vps,
            critical,
            warning,
            pending,
            well,
            unknown,
            ..
        } = self.0.summary;
        let attention = critical + warning;
        let is_unknown = |vps: &VpsFacts| vps.last_answer_timestamp_seconds.is_none();
        match (attention, vps) {
            (0, 0) => f.write_str("No VPS is configured"),
            (0, 1) if well == 1 => f.write_str("The VPS is healthy"),
            (0, _) if well == vps => write!(f, "All {vps} VPSes are healthy"),
            (0, _) if self.0.vps.iter().all(is_unknown) => f.write_str("No data yet"),
            (0, 1) if unknown == 1 => f.write_str("The state of the VPS is unknown"),
            (0, _) if unknown > 0 => write!(f, "The state of {unknown} of {vps} VPSes is unknown"),
            (0, _) if pending > 0 => f.write_str("No VPS needs attention yet"),
            (0, _) => f.write_str("No VPS needs attention"),
            (1, 1) => f.write_str("The VPS needs attention"),
            _ => {
                let verb = if attention == 1 { "needs" } else { "need" };
                write!(f, "{attention} of {vps} VPSes {verb} attention")
            }
        }
    }
}

/// Numbers of VPSes by group.
struct Groups(Summary);

impl Display for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let groups = [
            (self.0.critical, "critical"),
            (self.0.warning, "warning"),
            (self.0.pending, "pending"),
            (self.0.locked, "locked by a task"),
            (self.0.well, "healthy"),
            (self.0.unknown, "unknown"),
        ];
        let mut separator = "";
        for (count, words) in groups.into_iter().filter(|(count, _)| *count > 0) {
            write!(f, "{separator}{count} {words}")?;
            separator = ", ";
        }
        f.write_str(if separator.is_empty() { "" } else { "." })
    }
}

fn section(
    f: &mut fmt::Formatter<'_>,
    status: &Status,
    title: &str,
    is_in: impl Fn(Group) -> bool,
    show: fn(&mut fmt::Formatter<'_>, &VpsFacts, &Status) -> fmt::Result,
) -> fmt::Result {
    let members = || status.vps.iter().filter(|vps| is_in(vps.group()));
    let count = members().count();
    if count == 0 {
        return Ok(());
    }
    write!(
        f,
        "<section>\n<h2>{title} <span class=\"count\">{count}</span></h2>\n"
    )?;
    for vps in members() {
        show(f, vps, status)?;
    }
    f.write_str("</section>\n")
}

fn api_points(f: &mut fmt::Formatter<'_>, points: &ApiPoints, status: &Status) -> fmt::Result {
    f.write_str("<section class=\"points\">\n<h2>API points</h2>\n")?;
    let own = points.quotas.iter().filter(|quota| quota.is_own(status));
    let own = own.count();
    if own > 0 {
        let subject = if own == status.vps.len() {
            "Each VPS appears to have"
        } else {
            "Some VPSes appear to have"
        };
        writeln!(f, "<p>{subject} a separate quota, shown with the VPS.</p>")?;
    }
    for quota in &points.quotas {
        if !quota.is_own(status) {
            shared_points(f, quota, status.timestamp_seconds)?;
        }
    }
    planned_calls(f, points)?;
    f.write_str("</section>\n")
}

fn shared_points(
    f: &mut fmt::Formatter<'_>,
    quota: &QuotaFacts,
    now: UnixSeconds<i64>,
) -> fmt::Result {
    f.write_str("<div><table>\n<caption>")?;
    if quota.vps > 1 {
        write!(f, "Assumed to be shared by {} VPSes; ", quota.vps)?;
    }
    match quota.read_timestamp_seconds {
        Some(read) => write!(f, "read {} ago", Span(now - read))?,
        None => f.write_str("not read yet")?,
    }
    f.write_str("</caption>\n<tr><th scope=\"col\">Within</th><th scope=\"col\">Left</th><th scope=\"col\">Allowed</th></tr>\n")?;
    for (window, left, allowed) in [
        ("15 minutes", quota.remaining_15m, quota.allowed_15m),
        ("24 hours", quota.remaining_24h, quota.allowed_24h),
    ] {
        writeln!(
            f,
            "<tr><th scope=\"row\">{window}</th><td>{}</td><td>{}</td></tr>",
            or_unknown(left),
            or_unknown(allowed.map(f64::floor))
        )?;
    }
    f.write_str("</table></div>\n")
}

fn planned_calls(f: &mut fmt::Formatter<'_>, points: &ApiPoints) -> fmt::Result {
    if points.calls.is_empty() {
        return Ok(());
    }
    f.write_str("<div><table>\n<caption>Planned calls of a VPS</caption>\n<tr><th scope=\"col\">Call</th><th scope=\"col\">Every</th><th scope=\"col\">Points</th></tr>\n")?;
    let live = points.calls.get(Call::LiveServiceInfo.name());
    for (name, call) in &points.calls {
        write!(f, "<tr><th scope=\"row\">{name}</th><td>")?;
        if *name == Call::ServiceInfo.name() && live.is_some_and(|live| live.as_often_as(call)) {
            f.write_str("instead of live")?;
        } else {
            write!(f, "{}", whole(call.shortest_interval_seconds))?;
            if call.longest_interval_seconds > call.shortest_interval_seconds {
                write!(f, " to {}", whole(call.longest_interval_seconds))?;
            }
        }
        let cost = call.points.map(|points| (points * 10.0).round() / 10.0);
        writeln!(f, "</td><td>{}</td></tr>", or_unknown(cost))?;
    }
    f.write_str("</table></div>\n")
}

#[expect(clippy::cast_possible_truncation, reason = "whole seconds are shown")]
fn whole(seconds: f64) -> Span {
    Span(seconds.round() as i64)
}

/// Facts about the exporter, and links.
struct Footer<'a> {
    status: &'a Status,
    links: &'a str,
}

impl Display for Footer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ExporterFacts {
            version,
            revision,
            uptime_seconds,
            config_loaded_timestamp_seconds: loaded,
            config_last_reload_successful: successful,
            shard_ordinal,
            total_shards,
            telemetry_path,
        } = &self.status.exporter;
        let uptime = Span(i64::try_from(*uptime_seconds).unwrap_or(i64::MAX));
        write!(
            f,
            "<footer>\n<p>kiwivm_exporter {} ({}), running for {uptime}. Configuration loaded {} ago{}.{}</p>\n\
             <nav aria-label=\"Exporter\">\n<a href=\"{links}{}\">Metrics</a> <a href=\"{links}/status.json\">This page as JSON</a> \
             <a href=\"{links}/-/healthy\">Health</a> <a href=\"{links}/-/ready\">Readiness</a> \
             <a href=\"{DOCUMENTATION}\">Documentation</a>\n</nav>\n</footer>\n",
            Escaped(version),
            Escaped(revision),
            Span(self.status.timestamp_seconds - *loaded),
            if *successful {
                ""
            } else {
                "; the last reload failed"
            },
            if *total_shards == 1 {
                String::new()
            } else {
                format!(" This page shows shard {shard_ordinal} of {total_shards}.")
            },
            Escaped(telemetry_path),
            links = Escaped(self.links),
        )
    }
}
