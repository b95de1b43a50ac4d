//! Tests that the table of conditions and the Prometheus rules agree, minute by minute.
//!
//! The fleet applies the responses of a story and evaluates its conditions, and its metrics of each minute become the
//! input of promtool. `ALERTS` must then match the table: alert, VPS, severity and state. `texts` runs promtool.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use kiwivm_exporter::fleet::CONDITIONS;

use super::stories::{STORIES, Story};
use super::world::{INTERVAL, POLLED_AT, START, World, at};
use super::{alerts, files};

/// Alerts that the exporter cannot evaluate, with the reason.
const ONLY_PROMETHEUS: [(&str, &str); 6] = [
    ("KiwiVMExporterDown", "the exporter does not run"),
    ("KiwiVMExporterAbsent", "Prometheus has no target"),
    ("KiwiVMShardMissing", "a shard does not know of the others"),
    ("KiwiVMThrottlingRecurs", "needs a day of history"),
    ("KiwiVMDiskWillFill", "needs a day of history"),
    ("KiwiVMDecodeProblems", "needs a day of history"),
];

/// Converts a duration of the rules to seconds.
fn seconds(duration: &str) -> u64 {
    let (number, unit) = duration.split_at(duration.len() - 1);
    let unit = match unit {
        "m" => 60,
        "h" => 3600,
        _ => panic!("{duration}"),
    };
    unit * number.parse::<u64>().expect("it is a number")
}

#[test]
fn table_and_rules_have_the_same_alerts() {
    let excluded: BTreeSet<_> = ONLY_PROMETHEUS.iter().map(|(name, _)| *name).collect();
    let of_rules: BTreeSet<_> = alerts()
        .into_iter()
        .filter(|(name, _)| !excluded.contains(name.as_str()))
        .map(|(name, rule)| {
            let hold = rule.hold.as_deref().map_or(0, seconds);
            (name, rule.labels["severity"].clone(), hold)
        })
        .collect();
    let of_table: BTreeSet<_> = CONDITIONS
        .iter()
        .map(|condition| {
            let (alert, severity) = (condition.alert.name(), condition.severity.name());
            let hold = condition.hold.as_secs();
            (alert.to_owned(), severity.to_owned(), hold)
        })
        .collect();
    assert_eq!(of_table, of_rules);
    let known: BTreeSet<_> = alerts().into_iter().map(|(name, _)| name).collect();
    for name in excluded {
        assert!(known.contains(name), "{name} is no longer an alert");
    }
}

/// Names of the metrics in the rules.
pub(super) fn metric_names() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for rule in super::rules() {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let texts = rule.annotations.values().chain([&rule.expr]);
        for word in texts.flat_map(|text| text.split(|c| !is_name(c))) {
            if word.starts_with("kiwivm_") {
                names.insert(word.to_owned());
            }
        }
    }
    names
}

/// Values of a series, minute by minute.
type Values = Vec<Option<f64>>;

/// Formats values for promtool: runs, and a stale marker where a series ends.
fn format_values(values: &[Option<f64>]) -> String {
    let mut text = String::new();
    let mut rest = values;
    let mut before = None;
    while let Some(first) = rest.first() {
        let run = rest.iter().take_while(|value| *value == first).count();
        // `1x4` is five samples, but `_x4` is four.
        let written = match first {
            Some(value) => write!(text, "{value}x{} ", run - 1),
            None if before.is_none() => write!(text, "_x{run} "),
            None if run == 1 => write!(text, "stale "),
            None => write!(text, "stale _x{} ", run - 1),
        };
        written.expect("a string takes everything");
        before = *first;
        rest = &rest[run..];
    }
    text
}

/// Adds the samples of a page. Timestamp values become relative to the start of the story.
fn collect(
    page: &str,
    minute: usize,
    names: &BTreeSet<String>,
    all: &mut BTreeMap<String, Values>,
) {
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ').expect("a value");
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        if !names.contains(name) {
            continue;
        }
        let mut value: f64 = value.parse().expect("a number");
        if name.ends_with("_timestamp_seconds") {
            #[expect(clippy::cast_precision_loss, reason = "a date")]
            let start = START as f64;
            value -= start;
        }
        let comma = if labels == "}" { "" } else { "," };
        let series = format!(r#"{name}{{job="kiwivm",instance="a:10064"{comma}{labels}"#);
        let values = all.entry(series).or_default();
        values.resize(minute, None);
        values.push(Some(value));
    }
}

/// Runs a story and calls a function at each minute. Returns promtool's test file, which lacks only the tests.
fn run_story(
    story: &Story,
    names: &BTreeSet<String>,
    mut minute_passed: impl FnMut(&World, u64),
) -> String {
    let minutes = 60 * story.hours;
    let mut world = World::new(story.vps, story.thresholds);
    let mut series = BTreeMap::new();
    for minute in 0..=minutes {
        world.now = at(minute);
        (story.script)(&mut world, minute);
        if minute % INTERVAL == POLLED_AT {
            world.poll();
        }
        let page = world.page();
        let position = usize::try_from(minute).expect("a few hours");
        collect(&page, position, names, &mut series);
        world.evaluate();
        minute_passed(&world, minute);
    }
    let rules = files("rules");
    let rules: Vec<_> = rules
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    let mut text = format!(
        "rule_files: {rules:?}\nevaluation_interval: 1m\ngroup_eval_order: [kiwivm-past, kiwivm, kiwivm-slow]\ntests:\n  - name: {}\n    interval: 1m\n    input_series:\n      \
         - {{series: 'up{{job=\"kiwivm\",instance=\"a:10064\"}}', values: '1x{minutes}'}}\n",
        story.name
    );
    for (series, mut values) in series {
        values.resize(usize::try_from(minutes).expect("a few hours") + 1, None);
        let values = format_values(&values);
        writeln!(text, "      - {{series: '{series}', values: '{values}'}}").expect("a string");
    }
    text
}

/// Creates promtool's test file for a story: `ALERTS` must match the table. Calls a function at each minute.
pub(super) fn test_file(
    story: &Story,
    names: &BTreeSet<String>,
    mut minute_passed: impl FnMut(&World, u64),
) -> String {
    let mut checks = String::new();
    let mut fired = BTreeSet::new();
    let text = run_story(story, names, |world, minute| {
        minute_passed(world, minute);
        let alerts = world.alerts();
        for alert in alerts.iter().filter(|alert| alert.contains("firing")) {
            fired.insert(alert.split('"').nth(1).unwrap_or_default().to_owned());
        }
        if minute % INTERVAL == 0 {
            write!(
                checks,
                "      - eval_time: {minute}m\n        expr: '{}'\n        exp_samples: [",
                shown_alerts()
            )
            .expect("a string takes everything");
            for alert in alerts {
                write!(checks, "{{labels: '{alert}', value: 1}}, ").expect("a string");
            }
            checks += "]\n";
        }
    });
    let expected: BTreeSet<_> = story.fired.iter().map(|name| (*name).to_owned()).collect();
    let missing: Vec<_> = expected.difference(&fired).collect();
    assert!(
        missing.is_empty(),
        "{}: {missing:?} did not fire",
        story.name
    );
    text + "    promql_expr_test:\n" + &checks
}

fn shown_alerts() -> String {
    let hidden: Vec<_> = ONLY_PROMETHEUS.iter().map(|(name, _)| *name).collect();
    format!(
        r#"group by (alertname, alertstate, severity, vps) (ALERTS{{alertname!~"{}"}})"#,
        hidden.join("|")
    )
}

#[test]
fn every_condition_fires_in_a_story() {
    let fired: BTreeSet<_> = STORIES
        .iter()
        .flat_map(|story| story.fired)
        .copied()
        .collect();
    let all: BTreeSet<_> = CONDITIONS
        .iter()
        .map(|condition| condition.alert.name())
        .collect();
    assert_eq!(fired, all);
}
