//! The card of a VPS on the status page.

use std::fmt::{self, Display, Write as _};

use super::RUNBOOKS;
use super::facts::{Bandwidth, Concern, PowerState, Severity, Status, VpsFacts};
use super::words::{Escaped, Foreign, Percent, Size, Span, Utc, or_unknown};
use crate::units::{Bytes, UnixSeconds};

/// Width of a full bar, in units of its view box.
const FULL: f64 = 100.0;

/// A list of firing and pending concerns, if there are any.
pub(super) fn concerns(
    f: &mut fmt::Formatter<'_>,
    firing: &[Concern],
    pending: &[Concern],
    now: UnixSeconds<i64>,
) -> fmt::Result {
    if firing.is_empty() && pending.is_empty() {
        return Ok(());
    }
    f.write_str("<ul class=\"concerns\">\n")?;
    for concern in firing.iter().chain(pending) {
        let (class, urgency) = match concern.level {
            Severity::Critical => ("critical", "Critical"),
            Severity::Warning => ("warning", "Warning"),
            Severity::Info => ("info", "Note"),
        };
        let left = concern.fires_timestamp_seconds - now;
        let (class, when) = match left {
            1.. => ("pending", format!(" in {} if it lasts", Span(left))),
            _ => (class, String::new()),
        };
        writeln!(
            f,
            "<li class=\"{class}\"><b>{urgency}{when}</b> {} <a href=\"{RUNBOOKS}#{}\">What to do<span class=\"visually-hidden\"> about {}</span></a></li>",
            Escaped(&concern.text),
            concern.alert.to_ascii_lowercase(),
            concern.alert,
        )?;
    }
    f.write_str("</ul>\n")
}

/// Card of a VPS that needs attention, or may soon.
pub(super) fn card(f: &mut fmt::Formatter<'_>, vps: &VpsFacts, status: &Status) -> fmt::Result {
    let urgency = match vps.attention {
        Some(Severity::Critical) => " critical",
        Some(Severity::Warning) => " warning",
        _ => "",
    };
    write!(
        f,
        "<article class=\"vps{urgency}\" id=\"vps-{}\">\n<div class=\"identity\">\n<h3>{}</h3>\n<p class=\"state\">",
        vps.veid,
        Foreign(&vps.name),
    )?;
    state(f, vps)?;
    f.write_str("</p>\n")?;
    more(f, vps)?;
    f.write_str("</div>\n")?;
    concerns(f, &vps.concerns, &vps.pending, status.timestamp_seconds)?;
    details(f, vps, status)?;
    f.write_str("</article>\n")
}

/// Expandable row of a VPS that needs no attention.
pub(super) fn row(f: &mut fmt::Formatter<'_>, vps: &VpsFacts, status: &Status) -> fmt::Result {
    write!(
        f,
        "<article class=\"row\" id=\"vps-{}\">\n<details>\n<summary><h3>{}</h3><span class=\"state\">",
        vps.veid,
        Foreign(&vps.name),
    )?;
    state(f, vps)?;
    let Bandwidth {
        used_bytes,
        allowance_bytes,
        used_ratio,
        reset_timestamp_seconds,
        ..
    } = vps.bandwidth;
    write!(
        f,
        "</span><span>{}</span><span class=\"more\">",
        used_of(used_bytes, allowance_bytes, used_ratio)
    )?;
    let now = status.timestamp_seconds;
    if let Some(reset) = reset_timestamp_seconds.filter(|reset| *reset > now) {
        write!(f, "reset in {}", Span(reset - now))?;
    }
    f.write_str("</span></summary>\n<div class=\"vps\">\n<div class=\"identity\">\n")?;
    more(f, vps)?;
    f.write_str("</div>\n")?;
    concerns(f, &vps.concerns, &vps.pending, now)?;
    details(f, vps, status)?;
    f.write_str("</div>\n</details>\n</article>\n")
}

/// The state in words, with the task that holds the VPS.
fn state(f: &mut fmt::Formatter<'_>, vps: &VpsFacts) -> fmt::Result {
    let (symbol, state) = state_words(vps.state);
    write!(f, "<span class=\"{symbol}\"></span>{state}")?;
    if let Some(lock) = &vps.lock {
        if let Some(task) = &lock.task {
            write!(f, ": {}", Foreign(task))?;
        }
        if let Some(progress) = lock.progress_ratio {
            write!(f, ", {} done", Percent(progress))?;
        }
    }
    Ok(())
}

/// The VEID, host name, plan and location.
fn more(f: &mut fmt::Formatter<'_>, vps: &VpsFacts) -> fmt::Result {
    write!(f, "<p class=\"more\">VEID {}", vps.veid)?;
    for text in [&vps.hostname, &vps.plan, &vps.location]
        .into_iter()
        .flatten()
    {
        write!(f, " · {}", Foreign(text))?;
    }
    f.write_str("</p>\n")
}

/// Bandwidth, facts and the last error.
fn details(f: &mut fmt::Formatter<'_>, vps: &VpsFacts, status: &Status) -> fmt::Result {
    bandwidth(f, &vps.bandwidth, status.timestamp_seconds)?;
    f.write_str("<dl>\n")?;
    guest(f, vps)?;
    data(f, vps, status)?;
    f.write_str("</dl>\n")?;
    if let Some(error) = &vps.last_error {
        writeln!(
            f,
            "<p class=\"error\">Last error {} ago: {}</p>",
            Span(status.timestamp_seconds - error.timestamp_seconds),
            Foreign(&error.text)
        )?;
    }
    Ok(())
}

/// Symbol and words for a state.
const fn state_words(state: PowerState) -> (&'static str, &'static str) {
    match state {
        PowerState::Running => ("on", "running"),
        PowerState::Starting => ("busy", "starting"),
        PowerState::Stopped => ("off", "stopped"),
        PowerState::Other => ("off", "in an undocumented state"),
        PowerState::Locked => ("busy", "locked"),
        PowerState::Suspended => ("bad", "suspended"),
        PowerState::KeyRefused => ("bad", "key refused"),
        PowerState::NotAskedYet => ("none", "not polled yet"),
        PowerState::Unknown => ("none", "unknown"),
    }
}

fn bandwidth(
    f: &mut fmt::Formatter<'_>,
    bandwidth: &Bandwidth,
    now: UnixSeconds<i64>,
) -> fmt::Result {
    write!(
        f,
        "<div class=\"bandwidth\">\n<p><b>Bandwidth</b> {}</p>\n",
        used_of(
            bandwidth.used_bytes,
            bandwidth.allowance_bytes,
            bandwidth.used_ratio
        )
    )?;
    if let Some(used) = bandwidth.used_ratio {
        write!(
            f,
            "<svg class=\"bar{}\" viewBox=\"0 0 100 8\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{} of the allowance used",
            fullness(used),
            Percent(used)
        )?;
        if let Some(even) = bandwidth.even_pace_ratio {
            write!(f, ", {} at an even pace", Percent(even))?;
        }
        write!(f, "\"><rect width=\"{}\" height=\"8\"/>", Part(used))?;
        if let Some(even) = bandwidth.even_pace_ratio {
            write!(
                f,
                "<path d=\"M{0} 0v8\"/><path d=\"M{0} 0v8\"/>",
                Part(even)
            )?;
        }
        f.write_str("</svg>\n")?;
    }
    let Some(reset) = bandwidth.reset_timestamp_seconds else {
        return f.write_str("</div>\n");
    };
    if reset > now {
        writeln!(
            f,
            "<p class=\"more\">Reset in {}, {}.</p>",
            Span(reset - now),
            Utc(reset)
        )?;
    } else {
        writeln!(
            f,
            "<p class=\"more\">The reset was due {} ago.</p>",
            Span(now - reset)
        )?;
    }
    let forecast = match (bandwidth.used_ratio, bandwidth.forecast_ratio) {
        (Some(1.0..), _) => "Used up.".to_owned(),
        (_, Some(forecast)) => format!("Forecast: {} at the reset.", Percent(forecast)),
        (Some(_), None) if reset > now => "No forecast yet.".to_owned(),
        _ => return f.write_str("</div>\n"),
    };
    writeln!(f, "<p class=\"more\">{forecast}</p>\n</div>")
}

const fn fullness(used: f64) -> &'static str {
    match used {
        0.95.. => " critical",
        0.8.. => " warning",
        _ => "",
    }
}

/// A share as a length on a bar, at most its width.
struct Part(f64);

impl Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1}", (self.0 * FULL).clamp(0.0, FULL))
    }
}

fn used_of(used: Option<Bytes>, all: Option<Bytes>, share: Option<f64>) -> String {
    match (used, all) {
        (None, None) => "unknown".to_owned(),
        (Some(used), None) => Size(used).to_string(),
        (used, Some(all)) => {
            let mut text = format!("{} of {}", or_unknown(used.map(Size)), Size(all));
            if let Some(share) = share {
                let _ = write!(text, ", {}", Percent(share));
            }
            text
        }
    }
}

/// A fact with its name.
fn fact(f: &mut fmt::Formatter<'_>, name: &str, value: impl Display) -> fmt::Result {
    writeln!(f, "<div><dt>{name}</dt><dd>{value}</dd></div>")
}

fn guest(f: &mut fmt::Formatter<'_>, vps: &VpsFacts) -> fmt::Result {
    let (disk, memory) = (&vps.disk, &vps.memory);
    let values = [
        memory.available_bytes,
        memory.swap_total_bytes,
        disk.used_bytes,
    ];
    if values == [None; 3] && vps.load.is_none() && vps.cpu_throttled.is_none() {
        return fact(f, "Live data", "unknown");
    }
    let of = |part: Option<Bytes>, all: Option<Bytes>| used_of(part, all, None);
    fact(
        f,
        "Memory available",
        of(memory.available_bytes, memory.total_bytes),
    )?;
    let swap = match memory.swap_total_bytes {
        Some(Bytes(0)) => "none".to_owned(),
        total => of(memory.swap_free_bytes, total),
    };
    fact(f, "Swap free", swap)?;
    let name = match vps.vm_type {
        Some("kvm") => "Disk mapped",
        _ => "Disk used",
    };
    fact(f, name, of(disk.used_bytes, disk.size_bytes))?;
    let load = vps
        .load
        .map(|[one, five, fifteen]| format!("{one:.2}, {five:.2}, {fifteen:.2}"));
    fact(f, "Load", or_unknown(load))?;
    fact(
        f,
        "Throttled",
        throttled(vps.cpu_throttled, vps.disk_throttled),
    )
}

fn throttled(cpu: Option<bool>, disk: Option<bool>) -> &'static str {
    match (cpu, disk) {
        (Some(true), Some(true)) => "CPU and disk",
        (Some(true), _) => "CPU",
        (_, Some(true)) => "disk",
        // OpenVZ does not report disk throttling.
        (Some(false), _) => "no",
        (None, _) => "unknown",
    }
}

fn data(f: &mut fmt::Formatter<'_>, vps: &VpsFacts, status: &Status) -> fmt::Result {
    let now = status.timestamp_seconds;
    let cases = match (vps.policy_cases_open, vps.policy_deadline_timestamp_seconds) {
        (None, _) => "unknown".to_owned(),
        (Some(0), _) => "none".to_owned(),
        (Some(open), None) => format!("{open} open"),
        (Some(open), Some(deadline)) if deadline > now => {
            format!("{open} open, {} left", Span(deadline - now))
        }
        (Some(open), Some(_)) => format!("{open} open, overdue"),
    };
    fact(f, "Policy cases", cases)?;
    let age = |at: Option<UnixSeconds<i64>>| at.map(|at| Span(now - at));
    let last = match (
        age(vps.last_live_answer_timestamp_seconds),
        age(vps.last_answer_timestamp_seconds),
    ) {
        (_, None) => "never".to_owned(),
        (Some(live), Some(any)) if live.0 <= any.0 => format!("{any} ago"),
        (Some(live), Some(any)) => format!("{any} ago, live data {live} ago"),
        (None, Some(any)) => format!("{any} ago, live data never"),
    };
    fact(f, "Last response", last)?;
    let next = match vps.next_poll_timestamp_seconds {
        None => "unknown".to_owned(),
        Some(next) if next <= now => "now".to_owned(),
        Some(next) => format!("in {}", Span(next - now)),
    };
    fact(f, "Next poll", next)?;
    let quota = vps.quota.and_then(|at| status.api_points.quotas.get(at));
    if let Some(own) = quota.filter(|quota| quota.is_own(status)) {
        let points = match (own.remaining_15m, own.remaining_24h) {
            (None, None) => "unknown".to_owned(),
            (quarter, day) => {
                let [own_quarter, own_day] =
                    [own.allowed_15m, own.allowed_24h].map(|own| or_unknown(own.map(f64::floor)));
                let (quarter, day) = (or_unknown(quarter), or_unknown(day));
                format!("{quarter} ({own_quarter}), {day} ({own_day})")
            }
        };
        fact(f, "API points", points)?;
    }
    Ok(())
}
