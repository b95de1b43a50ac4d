//! `plan`: prints the cost of the configuration in calls, points and bytes, and the intervals that the points allow.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

use super::{Failure, demo, load_config};
use crate::budget::{
    Learned, PACED_FRACTION, Pace, Plan, Shed, USUAL_SIZES, WINDOW_LENGTHS, Window, plan,
};
use crate::cli::Cli;
use crate::config::{Config, Scope};
use crate::kiwivm::{Call, PerCall};
use crate::poller::{StateFile, members, share};
use crate::units::{Bytes, Points, PointsPerSecond};

const DAY: f64 = 24.0 * 3600.0;
/// Largest fleet tried: one that fits at this size fits at any.
const MANY: usize = 100_000;

/// Prints the plan for the configuration: with the learned costs of the state file, else for calls of one point and for
/// the conservative costs that are assumed until they are learned.
///
/// # Errors
///
/// An invalid configuration, or an unwritable standard output.
pub fn run(cli: &Cli) -> Result<(), Failure> {
    let config = if cli.demo {
        demo::unpolled()?
    } else {
        load_config(cli)?
    };
    let learned = config
        .state_file
        .as_deref()
        .and_then(StateFile::read_unlocked)
        .map(|state| state.budget.learned());
    std::io::stdout()
        .write_all(page(&config, learned.as_ref()).as_bytes())
        .map_err(|error| Failure(format!("standard output could not be written: {error}")))
}

fn page(config: &Config, learned: Option<&Learned>) -> String {
    let sizes = learned.map_or(USUAL_SIZES, |learned| learned.sizes);
    let shared = match config.budget.scope {
        Scope::Vps => false,
        Scope::Account => true,
        Scope::Auto => learned.is_none_or(|learned| learned.shared),
    };
    let vps = config.vps.len();
    let mut text = format!(
        "{vps} VPS{}, {}; {} and {} points in 15 minutes and 24 hours ({}), of which the exporter may spend {:.0} %.\n",
        if vps == 1 { "" } else { "es" },
        match (shared, config.budget.scope) {
            (true, Scope::Account) => "one quota for all",
            (true, _) => "assumed to share one quota",
            (false, _) => "each with its own quota",
        },
        sizes[0].0,
        sizes[1].0,
        if learned.is_some() {
            "the largest remaining seen"
        } else {
            "the usual sizes; none read yet"
        },
        share(config).own * 100.0,
    );
    if let Some(shard) = config.shard_summary() {
        // Writing to a String does not fail.
        let _ = writeln!(text, "{shard}.");
    }
    if let Some(learned) = learned.filter(|learned| learned.prices[Call::LiveServiceInfo].is_some())
    {
        let prices = PerCall::from_fn(|call| learned.prices[call].unwrap_or(call.first_price()));
        table(
            &mut text,
            config,
            "With the learned costs",
            prices,
            sizes,
            shared,
            Some(learned),
        );
    } else {
        table(
            &mut text,
            config,
            "If every call costs 1 point",
            PerCall::all(Points(1.0)),
            sizes,
            shared,
            learned,
        );
        let prices = PerCall::from_fn(Call::first_price);
        table(
            &mut text,
            config,
            "Until costs are learned",
            prices,
            sizes,
            shared,
            learned,
        );
    }
    text
}

fn table(
    text: &mut String,
    config: &Config,
    title: &str,
    prices: PerCall<Points>,
    sizes: [Points; 2],
    shared: bool,
    learned: Option<&Learned>,
) {
    let share = share(config).own;
    let wanted = wanted(config, learned);
    let planned = plan_of(&wanted, prices, sizes, share, shared);
    // Writing to a String does not fail.
    let _ = writeln!(
        text,
        "\n{title}\n{:<22}{:>8}{:>12}{:>14}{:>14}{:>14}{:>12}{:>10}",
        "call",
        "points",
        "wanted",
        "planned",
        "calls a day",
        "points a day",
        "of 15 min",
        "of 24 h"
    );
    let vps = as_f64(wanted.len());
    let quotas = if shared { 1.0 } else { vps };
    let mut total = Points::ZERO;
    for call in Call::ALL
        .into_iter()
        .filter(|call| config.collect.includes(*call))
    {
        let wants: Vec<Duration> = wanted
            .iter()
            .filter_map(|wanted| interval_wanted(wanted, call))
            .collect();
        let gets: Vec<Duration> = planned
            .intervals
            .iter()
            .filter_map(|intervals| intervals[call])
            .collect();
        let calls: f64 = gets
            .iter()
            .map(|interval| DAY / interval.as_secs_f64())
            .fold(0.0, |sum, calls| sum + calls);
        let points = prices[call] * calls;
        total += points;
        let _ = writeln!(
            text,
            "{:<22}{:>8}{:>12}{:>14}{:>14.0}{:>14.0}{:>11.1}%{:>9.1}%",
            call.name(),
            format!("{:.2}", prices[call].0),
            span(&wants, "on demand"),
            span(
                &gets,
                if wants.is_empty() {
                    "on demand"
                } else {
                    "dropped"
                }
            ),
            calls,
            points.0,
            percent(points, sizes[0], WINDOW_LENGTHS[0], quotas),
            percent(points, sizes[1], WINDOW_LENGTHS[1], quotas),
        );
    }
    let _ = writeln!(
        text,
        "{:<70}{:>14.0}{:>11.1}%{:>9.1}%",
        "total",
        total.0,
        percent(total, sizes[0], WINDOW_LENGTHS[0], quotas),
        percent(total, sizes[1], WINDOW_LENGTHS[1], quotas)
    );
    match planned.shed {
        Shed::Nothing => {}
        Shed::Inventory => text.push_str("Dropped: inventory.\n"),
        Shed::InventoryAndUsage => text.push_str("Dropped: inventory and getRawUsageStats.\n"),
    }
    thresholds(text, &wanted, prices, sizes, share, shared);
    if let Some(learned) = learned {
        let bytes: f64 = planned
            .intervals
            .iter()
            .flat_map(|intervals| Call::ALL.map(|call| (call, intervals[call])))
            .filter_map(|(call, interval)| {
                Some(learned.bytes[call].0 * DAY / interval?.as_secs_f64())
            })
            .sum();
        let _ = writeln!(
            text,
            "Downloads: {:.0} MiB a day and VPS at the sizes last seen; the limit is {:.0} MiB.",
            bytes / vps / f64::from(1 << 20),
            Bytes::<f64>::from(config.budget.download).0 / f64::from(1 << 20)
        );
    }
}

/// Writes the fleet sizes, for VPSes like the first, from which intervals are stretched and calls dropped.
fn thresholds(
    text: &mut String,
    wanted: &[Pace],
    prices: PerCall<Points>,
    sizes: [Points; 2],
    share: f64,
    shared: bool,
) {
    let Some(one) = wanted.first() else { return };
    let from = |is: fn(&Plan) -> bool| {
        let (mut fits, mut fails) = (0, 1);
        while !is(&plan_of(&vec![*one; fails], prices, sizes, share, shared)) {
            fits = fails;
            fails *= 2;
            if fails > MANY || !shared {
                return None;
            }
        }
        while fails - fits > 1 {
            let middle = usize::midpoint(fits, fails);
            if is(&plan_of(&vec![*one; middle], prices, sizes, share, shared)) {
                fails = middle;
            } else {
                fits = middle;
            }
        }
        Some(fails)
    };
    for (subject, change, is) in [
        (
            "Intervals are",
            "stretched",
            (|plan| plan.stretched) as fn(&Plan) -> bool,
        ),
        ("Inventory is", "dropped", |plan| {
            plan.shed >= Shed::Inventory
        }),
        ("Usage is", "dropped", |plan| {
            plan.shed == Shed::InventoryAndUsage
        }),
    ] {
        let _ = match from(is) {
            Some(vps) => writeln!(
                text,
                "{subject} {change} from {vps} VPS{} on.",
                if vps == 1 { "" } else { "es" }
            ),
            None => writeln!(text, "{subject} never {change}, at any fleet size."),
        };
    }
}

fn plan_of(
    wanted: &[Pace],
    prices: PerCall<Points>,
    sizes: [Points; 2],
    share: f64,
    shared: bool,
) -> Plan {
    let rate = Window::ALL
        .into_iter()
        .map(|window| sizes[window as usize] * share * PACED_FRACTION / window.length())
        .fold(PointsPerSecond(f64::INFINITY), PointsPerSecond::min);
    if shared {
        return plan(wanted, prices, rate, Shed::Nothing);
    }
    let mut all = Plan {
        intervals: Vec::new(),
        demand: PointsPerSecond::ZERO,
        stretched: false,
        shed: Shed::Nothing,
    };
    for one in wanted {
        let planned = plan(&[*one], prices, rate, Shed::Nothing);
        all.intervals.extend(planned.intervals);
        all.demand += planned.demand;
        all.stretched |= planned.stretched;
        all.shed = all.shed.max(planned.shed);
    }
    all
}

/// The wanted intervals of each VPS, limited by the download budget for the response sizes last seen.
fn wanted(config: &Config, learned: Option<&Learned>) -> Vec<Pace> {
    members(config)
        .into_iter()
        .map(|member| {
            learned.map_or(member.pace, |learned| {
                learned.affordable(member.veid, member.pace, config.budget.download)
            })
        })
        .collect()
}

fn interval_wanted(pace: &Pace, call: Call) -> Option<Duration> {
    match call {
        Call::LiveServiceInfo => Some(pace.live),
        Call::RateLimitStatus => Some(pace.points),
        Call::RawUsageStats => Some(pace.usage),
        Call::ServiceInfo => None,
        _ => pace
            .inventory_calls()
            .any(|collected| collected == call)
            .then_some(pace.inventory),
    }
}

/// Formats the range of the intervals.
fn span(intervals: &[Duration], none: &str) -> String {
    let short = |interval: &Duration| match interval.as_secs_f64().round() {
        seconds if seconds < 600.0 => format!("{seconds}s"),
        seconds if seconds < 36_000.0 => format!("{:.0}m", seconds / 60.0),
        seconds => format!("{:.0}h", seconds / 3600.0),
    };
    match (intervals.iter().min(), intervals.iter().max()) {
        (Some(least), Some(most)) if short(least) == short(most) => short(least),
        (Some(least), Some(most)) => format!("{}..{}", short(least), short(most)),
        _ => none.to_owned(),
    }
}

/// A day's points as a percentage of the points that a window grants in a day.
fn percent(points: Points, size: Points, length: Duration, quotas: f64) -> f64 {
    let granted = size * quotas * DAY / length.as_secs_f64();
    100.0 * (points / granted.max(Points(1.0)))
}

#[expect(clippy::cast_precision_loss, reason = "numbers of VPSes")]
const fn as_f64(count: usize) -> f64 {
    count as f64
}
