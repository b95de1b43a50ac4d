//! Options of `backfill`.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use clap::Args;

use super::InvalidArgument;
use crate::units::UnixSeconds;

/// Selection and destination of the history.
#[derive(Args, Clone, Debug)]
pub struct Backfill {
    /// Name of a VPS in the configuration; repeatable. Without it, all VPSes.
    #[arg(long = "vps", value_name = "NAME")]
    pub vps: Vec<String>,
    /// Start of the history: RFC 3339, a date (UTC), Unix seconds, or a duration ago, for example 30d.
    #[arg(long, value_name = "TIME", value_parser = Time::parse)]
    pub since: Option<Time>,
    /// End of the history, not after the start of the exporter that serves the same series.
    /// [default: 3h, the time that Prometheus keeps in memory]
    #[arg(long, value_name = "TIME", value_parser = Time::parse)]
    pub until: Option<Time>,
    /// Output file; - is standard output.
    #[arg(long, value_name = "PATH")]
    pub output: Option<PathBuf>,
    /// Label that Prometheus adds when it scrapes, for example job=kiwivm and instance=localhost:10064; repeatable.
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = label)]
    pub labels: Vec<(String, String)>,
}

/// The time that Prometheus keeps in memory: backfilled blocks would overlap with it.
const HEAD_BLOCK_SECONDS: i64 = 3 * 3600;

impl Backfill {
    /// The range of times to write.
    #[must_use]
    pub fn range(&self, now: UnixSeconds<i64>) -> RangeInclusive<UnixSeconds<i64>> {
        let since = self.since.map_or(UnixSeconds(0), |time| time.before(now));
        let until = self
            .until
            .map_or(now - HEAD_BLOCK_SECONDS, |time| time.before(now));
        since..=until
    }

    /// The conflict between flags that are valid on their own.
    pub(super) fn conflict(&self, now: UnixSeconds<i64>) -> Option<String> {
        let mut names: Vec<_> = self.labels.iter().map(|(name, _)| name).collect();
        names.sort_unstable();
        if let Some([twice, _]) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Some(format!("--label: {twice} is given twice"));
        }
        self.range(now).is_empty().then(|| {
            "--since is later than --until, which is three hours ago by default".to_owned()
        })
    }
}

/// A point in time on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Time {
    /// A time.
    At(UnixSeconds<i64>),
    /// Seconds before now.
    Ago(i64),
}

impl Time {
    /// Resolves to a time.
    #[must_use]
    pub const fn before(self, now: UnixSeconds<i64>) -> UnixSeconds<i64> {
        match self {
            Self::At(time) => time,
            Self::Ago(seconds) => UnixSeconds(now.0.saturating_sub(seconds)),
        }
    }

    fn parse(text: &str) -> Result<Self, InvalidArgument> {
        use time::format_description::well_known::Rfc3339;
        let midnight = || time::OffsetDateTime::parse(&format!("{text}T00:00:00Z"), &Rfc3339);
        // Prometheus shows times with a fraction.
        let seconds = text.split_once('.').map_or(text, |(seconds, _)| seconds);
        if let (Ok(seconds), Ok(_)) = (seconds.parse(), text.parse::<f64>()) {
            return Ok(Self::At(UnixSeconds(seconds)));
        }
        if let Ok(time) = time::OffsetDateTime::parse(text, &Rfc3339).or_else(|_| midnight()) {
            return Ok(Self::At(UnixSeconds(time.unix_timestamp())));
        }
        crate::config::parse_duration(text)
            .and_then(|ago| i64::try_from(ago.as_secs()).ok())
            .map(Self::Ago)
            .ok_or(InvalidArgument(
                "must be like 2026-11-01T00:00:00Z, 2026-11-01, 1793491200 or 30d",
            ))
    }
}

fn label(text: &str) -> Result<(String, String), InvalidArgument> {
    let (name, value) = text
        .split_once('=')
        .ok_or(InvalidArgument("must be NAME=VALUE"))?;
    let letters = name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_');
    if !letters || name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(InvalidArgument(
            "the name must be letters, digits and _, and not begin with a digit",
        ));
    }
    if name.starts_with("__") || ["veid", "vps"].contains(&name) {
        return Err(InvalidArgument("this name is reserved"));
    }
    Ok((name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_times() {
        for (text, time) in [
            ("1793491200", Time::At(UnixSeconds(1_793_491_200))),
            ("1793491200.75", Time::At(UnixSeconds(1_793_491_200))),
            ("2026-11-01", Time::At(UnixSeconds(1_793_491_200))),
            (
                "2026-11-01T01:00:00+01:00",
                Time::At(UnixSeconds(1_793_491_200)),
            ),
            ("30d", Time::Ago(30 * 86_400)),
            ("3h", Time::Ago(10_800)),
        ] {
            assert_eq!(Time::parse(text), Ok(time), "{text}");
        }
        assert_eq!(Time::Ago(10).before(UnixSeconds(100)), UnixSeconds(90));
    }
}
