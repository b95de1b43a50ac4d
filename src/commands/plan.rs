//! `plan`: what the configuration costs in calls, points and bytes, and what the points allow.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

use super::{Failure, demo, load_config};
use crate::budget::{Learned, PACED, Pace, Plan, Shed, USUAL_SIZES, WINDOW_LENGTHS, Window, plan};
use crate::cli::Cli;
use crate::config::{Config, Scope};
use crate::kiwivm::{Call, PerCall};
use crate::poller::{StateFile, members, share};

const DAY: f64 = 24.0 * 3600.0;
/// A fleet that is not stretched at this size is not going to be.
const MANY: usize = 100_000;

/// Prints the plan for the configuration: with what was learned, if the state file tells, else for calls of one point
/// and for the prudent costs that are assumed until they are learned.
///
/// # Errors
///
/// A configuration that can not be used, or a standard output that can not be written.
pub fn run(cli: &Cli) -> Result<(), Failure> {
    let config = if cli.demo {
        demo::unpolled()?
    } else {
        load_config(cli)?
    };
    let learned = config
        .state_file
        .as_deref()
        .and_then(StateFile::peek)
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
        "{vps} VPS{}, {}; {} and {} points in 15 minutes and 24 hours ({}), of which the exporter takes {:.0} %.\n",
        if vps == 1 { "" } else { "es" },
        match (shared, config.budget.scope) {
            (true, Scope::Account) => "one allowance for all",
            (true, _) => "taken to share one allowance",
            (false, _) => "each with an allowance of its own",
        },
        sizes[0],
        sizes[1],
        if learned.is_some() {
            "the largest remaining seen"
        } else {
            "the usual sizes; none was read yet"
        },
        share(config).own * 100.0,
    );
    if let Some(part) = config.part() {
        // Writing to a String does not fail.
        let _ = writeln!(text, "{part}.");
    }
    if let Some(learned) = learned.filter(|learned| learned.prices[Call::LiveServiceInfo].is_some())
    {
        let prices = PerCall::from_fn(|call| learned.prices[call].unwrap_or(call.first_price()));
        table(
            &mut text,
            config,
            "With the costs learned",
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
            PerCall::all(1.0),
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
    prices: PerCall<f64>,
    sizes: [f64; 2],
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
    let allowances = if shared { 1.0 } else { vps };
    let mut in_all = 0.0;
    for call in Call::ALL
        .into_iter()
        .filter(|call| config.collect.wants(*call))
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
        let points = calls * prices[call];
        in_all += points;
        let _ = writeln!(
            text,
            "{:<22}{:>8}{:>12}{:>14}{:>14.0}{:>14.0}{:>11.1}%{:>9.1}%",
            call.name(),
            format!("{:.2}", prices[call]),
            span(&wants, "in need"),
            span(&gets, if wants.is_empty() { "in need" } else { "shed" }),
            calls,
            points,
            percent(points, sizes[0], WINDOW_LENGTHS[0], allowances),
            percent(points, sizes[1], WINDOW_LENGTHS[1], allowances),
        );
    }
    let _ = writeln!(
        text,
        "{:<70}{in_all:>14.0}{:>11.1}%{:>9.1}%",
        "in all",
        percent(in_all, sizes[0], WINDOW_LENGTHS[0], allowances),
        percent(in_all, sizes[1], WINDOW_LENGTHS[1], allowances)
    );
    match planned.shed {
        Shed::Nothing => {}
        Shed::Inventory => text.push_str("Shed: inventory.\n"),
        Shed::InventoryAndUsage => text.push_str("Shed: inventory and getRawUsageStats.\n"),
    }
    thresholds(text, &wanted, prices, sizes, share, shared);
    if let Some(learned) = learned {
        let bytes: f64 = planned
            .intervals
            .iter()
            .flat_map(|intervals| Call::ALL.map(|call| (call, intervals[call])))
            .filter_map(|(call, interval)| {
                Some(learned.bytes[call] * DAY / interval?.as_secs_f64())
            })
            .sum();
        let _ = writeln!(
            text,
            "Downloads: {:.0} MiB a day and VPS, by the sizes last seen; {:.0} MiB are allowed.",
            bytes / vps / f64::from(1 << 20),
            as_f64(usize::try_from(config.budget.download).unwrap_or(usize::MAX))
                / f64::from(1 << 20)
        );
    }
}

/// From how many VPSes on like the first the wanted intervals are not kept, and what is shed.
fn thresholds(
    text: &mut String,
    wanted: &[Pace],
    prices: PerCall<f64>,
    sizes: [f64; 2],
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
    for (what, is) in [
        (
            "Wanted intervals are stretched",
            (|plan| plan.stretched) as fn(&Plan) -> bool,
        ),
        ("Inventory is shed", |plan| plan.shed >= Shed::Inventory),
        ("Usage is shed", |plan| plan.shed == Shed::InventoryAndUsage),
    ] {
        let _ = match from(is) {
            Some(vps) => writeln!(
                text,
                "{what} from {vps} VPS{} on.",
                if vps == 1 { "" } else { "es" }
            ),
            None => writeln!(text, "{what} at no number of VPSes."),
        };
    }
}

fn plan_of(
    wanted: &[Pace],
    prices: PerCall<f64>,
    sizes: [f64; 2],
    share: f64,
    shared: bool,
) -> Plan {
    let rate = Window::ALL
        .into_iter()
        .map(|window| {
            PACED * share * sizes[window as usize] / WINDOW_LENGTHS[window as usize].as_secs_f64()
        })
        .fold(f64::INFINITY, f64::min);
    if shared {
        return plan(wanted, prices, rate, Shed::Nothing);
    }
    let mut all = Plan {
        intervals: Vec::new(),
        demand: 0.0,
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

/// What is wanted of each VPS, no more often than the sizes last seen allow.
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

/// The shortest and the longest of the intervals.
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

/// A day's points as a part of what a window brings in a day.
fn percent(points: f64, size: f64, length: Duration, allowances: f64) -> f64 {
    100.0 * points / (allowances * size * DAY / length.as_secs_f64()).max(1.0)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "numbers of VPSes, and bytes for people"
)]
const fn as_f64(count: usize) -> f64 {
    count as f64
}
