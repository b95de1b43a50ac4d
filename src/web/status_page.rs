//! The page for people on `/`: one table row a VPS, no script, nothing secret.

use std::fmt::{self, Display, Write as _};
use std::time::Duration;

use crate::clock::{BEFORE_START, Moment};
use crate::fleet::{Fleet, VpsState};
use crate::kiwivm::model::{LiveInfo, ServiceInfo};

const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:75rem;padding:0 1rem}\
table{border-collapse:collapse;width:100%}\
th,td{text-align:left;padding:.35rem .6rem;border-bottom:1px solid #8884;vertical-align:top}\
.scroll{overflow-x:auto}\
.bad{font-weight:600;text-decoration:underline}\
progress{width:7rem}";

/// The whole page at one moment.
#[must_use]
pub fn status_page(fleet: &Fleet, telemetry_path: &str, now: Moment) -> String {
    let vps = fleet.vps();
    let up = vps.iter().filter(|v| v.up(fleet.staleness(), now)).count();
    let rows: String = vps
        .iter()
        .map(|vps| row(vps, fleet.staleness(), now))
        .collect();
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>KiwiVM exporter</title><style>{STYLE}</style></head><body>\n\
         <h1>KiwiVM exporter</h1>\n\
         <p>{up} of {} VPSes up. Version {}, running for {}.</p>\n\
         <p><a href=\"{}\">Metrics</a> · <a href=\"/-/healthy\">Health</a> · <a href=\"/-/ready\">Readiness</a></p>\n\
         <div class=\"scroll\"><table>\n<thead><tr><th scope=\"col\">VPS</th><th scope=\"col\">State</th>\
         <th scope=\"col\">Bandwidth</th><th scope=\"col\">Reset</th><th scope=\"col\">Memory available</th>\
         <th scope=\"col\">Disk used</th><th scope=\"col\">Answered</th><th scope=\"col\">Last error</th></tr></thead>\n\
         <tbody>\n{rows}</tbody></table></div>\n</body></html>\n",
        vps.len(),
        env!("CARGO_PKG_VERSION"),
        Ago(now.elapsed.saturating_sub(BEFORE_START)),
        Escaped(telemetry_path),
    )
}

fn row(vps: &VpsState, staleness: f64, now: Moment) -> String {
    let live = vps.live(staleness, now);
    let service = vps.service(staleness, now);
    let hostname = service.and_then(|info| info.hostname.as_deref());
    let mut row = String::new();
    // Writing to a String does not fail.
    let _ = writeln!(
        row,
        "<tr><th scope=\"row\">{}<br><small>{} {}</small></th><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
        Escaped(&vps.identity.name),
        vps.identity.veid,
        Escaped(hostname.unwrap_or_default()),
        state(vps, live, service),
        service.map(bandwidth).unwrap_or_default(),
        service
            .and_then(|info| info.data_next_reset)
            .map(|reset| reset_in(reset, now))
            .unwrap_or_default(),
        live.and_then(|live| live.memory_available)
            .map(|bytes| Bytes(bytes).to_string())
            .unwrap_or_default(),
        disk(live),
        vps.age(now)
            .map_or_else(|| "never".to_owned(), |age| format!("{} ago", Ago(age))),
        vps.last_error
            .as_ref()
            .map(|(_, error)| Escaped(&error.value).to_string())
            .unwrap_or_default(),
    );
    row
}

fn state(vps: &VpsState, live: Option<&LiveInfo>, service: Option<&ServiceInfo>) -> String {
    let status = live
        .and_then(|live| live.status)
        .map_or("unknown", |status| status.name());
    let flag = |on: Option<bool>, words| (on == Some(true)).then_some(words);
    let trouble = [
        flag(vps.authentication_failed, "key refused"),
        flag(service.and_then(|info| info.suspended), "suspended"),
        flag(
            service.and_then(|info| info.policy_violation),
            "policy case open",
        ),
        flag(live.and_then(|live| live.cpu_throttled), "CPU throttled"),
        flag(live.and_then(|live| live.disk_throttled), "disk throttled"),
    ];
    let mut text = status.to_owned();
    for words in trouble.into_iter().flatten() {
        let _ = write!(text, ", <span class=\"bad\">{words}</span>");
    }
    text
}

/// The multiplier scales both numbers: the share is that of the plain ones.
#[expect(clippy::cast_precision_loss, reason = "shown with one digit")]
fn bandwidth(info: &ServiceInfo) -> String {
    let (Some(used), Some(allowed)) = (info.data_counter, info.monthly_data) else {
        return String::new();
    };
    let share = if allowed == 0 {
        1.0
    } else {
        used as f64 / allowed as f64
    };
    let multiplier = info.data_multiplier.unwrap_or(1.0);
    format!(
        "<progress max=\"1\" value=\"{:.3}\"></progress> {:.1} % of {}",
        share.min(1.0),
        share * 100.0,
        Size(allowed as f64 * multiplier)
    )
}

fn disk(live: Option<&LiveInfo>) -> String {
    match live.map(|live| (live.disk_used, live.disk_size)) {
        Some((Some(used), Some(size))) => format!("{} of {}", Bytes(used), Bytes(size)),
        Some((Some(used), None)) => Bytes(used).to_string(),
        _ => String::new(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "days")]
fn reset_in(reset: i64, now: Moment) -> String {
    match Duration::try_from_secs_f64(reset as f64 - now.unix) {
        Ok(left) => format!("in {}", Ago(left)),
        Err(_) => "due".to_owned(),
    }
}

/// Text as it may stand in an element or an attribute.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// A duration with one unit: enough to see whether something is old.
struct Ago(Duration);

impl Display for Ago {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_secs() {
            seconds @ 0..=119 => write!(f, "{seconds} s"),
            seconds @ 120..=7199 => write!(f, "{} min", seconds / 60),
            seconds @ 7200..=172_799 => write!(f, "{} h", seconds / 3600),
            seconds => write!(f, "{} days", seconds / 86_400),
        }
    }
}

/// A size with a binary unit, as the vendor counts.
struct Size(f64);

impl Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut value = self.0;
        let mut unit = "B";
        for next in ["KiB", "MiB", "GiB", "TiB"] {
            if value < 1024.0 {
                break;
            }
            value /= 1024.0;
            unit = next;
        }
        write!(f, "{value:.1} {unit}")
    }
}

struct Bytes(u64);

impl Display for Bytes {
    #[expect(clippy::cast_precision_loss, reason = "shown with one digit")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Size(self.0 as f64).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Expect;
    use crate::fleet::Identity;
    use crate::kiwivm::Veid;

    #[test]
    fn names_are_escaped() {
        let identity = Identity {
            veid: Veid(1),
            name: "<script>alert(\"1\")</script>&'".to_owned(),
            labels: Vec::new(),
            expect: Expect::Any,
        };
        let now = Moment {
            elapsed: BEFORE_START + Duration::from_secs(200),
            unix: 1.0,
        };
        let page = status_page(&Fleet::new(vec![identity], 3.0), "/metrics", now);
        assert!(!page.contains("<script>"));
        assert!(page.contains("&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&amp;&#39;"));
        assert!(page.contains("0 of 1 VPSes up"));
        assert!(page.contains("running for 3 min"));
    }

    #[test]
    fn the_share_of_the_allowance_does_not_depend_on_the_multiplier() {
        let info = ServiceInfo {
            data_counter: Some(512 << 30),
            monthly_data: Some(1 << 40),
            data_multiplier: Some(0.5),
            ..ServiceInfo::default()
        };
        assert!(bandwidth(&info).contains("50.0 % of 512.0 GiB"));
    }
}
