//! Tests that the rules agree with the table of conditions, and the descriptions of the alerts with the sentences of the
//! status page, in every story.
//!
//! promtool shows the alerts that fire at each time. Each must have the words of the page, apart from quantities, and
//! each of its quantities must be on the page or follow from those that are.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use kiwivm_exporter::web::Status;

use super::agreement::{metric_names, test_file};
use super::promtool_output;
use super::quantities::Text;
use super::stories::{STORIES, Story};
use super::world::{INTERVAL, START};

/// Alerts with other words than the page, and the reason. Their quantities must agree as well.
const OTHER_WORDS: [(&str, &str); 10] = [
    ("KiwiVMDiskNearlyFull", "share and rest instead of bytes"),
    ("KiwiVMDiskImageMapped", "a share instead of bytes"),
    ("KiwiVMMemoryLow", "a share instead of the total"),
    ("KiwiVMSwapBusy", "a share instead of bytes"),
    (
        "KiwiVMPolicyDeadlineNear",
        "the time left instead of the date",
    ),
    ("KiwiVMPolicyViolationOpen", "no number of cases"),
    ("KiwiVMAbusePointsHigh", "a share instead of points"),
    (
        "KiwiVMSnapshotPurgedSoon",
        "the time left instead of the date",
    ),
    (
        "KiwiVMAuthenticationFailed",
        "no metric tells a missing key",
    ),
    ("KiwiVMAPIFailing", "a share instead of numbers"),
];

/// The alert names calls for ten minutes after they have returned data, the page does not.
const RECOVERED: &str = "Calls returned no data until a moment ago.";

/// A firing alert: minute, name, severity and VPS, which is empty for alerts about the exporter.
type Key = (u64, String, String, String);

/// The sentences of the firing alerts on the page.
fn sentences(status: &Status, minute: u64) -> BTreeMap<Key, String> {
    let of_exporter = status.concerns.iter().map(|concern| ("", concern));
    let of_vps = status.vps.iter().flat_map(|vps| {
        let concerns = vps.concerns.iter();
        concerns.map(|concern| (vps.name.as_str(), concern))
    });
    let all = of_exporter.chain(of_vps).map(|(vps, concern)| {
        let (alert, severity) = (concern.alert.to_owned(), concern.level.name().to_owned());
        let key = (minute, alert, severity, vps.to_owned());
        (key, concern.text.clone())
    });
    all.collect()
}

/// Converts a time of promtool, such as `1h5m`.
fn minutes(time: &str) -> u64 {
    let mut total = 0;
    for part in time.split_inclusive(|c: char| c.is_ascii_alphabetic()) {
        let (number, unit) = part.split_at(part.len() - 1);
        let unit = match unit {
            "m" => 1,
            "h" => 60,
            "s" => 0,
            _ => panic!("{time}"),
        };
        total += unit * number.parse::<u64>().expect("a number");
    }
    total
}

/// The value of a label or annotation, as printed by promtool.
fn value<'a>(line: &'a str, name: &str) -> &'a str {
    let start = line.split_once(&format!(r#"{name}=""#));
    start.map_or("", |(_, rest)| rest.split('"').next().unwrap_or_default())
}

/// Descriptions of the alerts that promtool shows, with the subject as on the page.
fn descriptions(output: &str) -> BTreeMap<Key, String> {
    let mut found = BTreeMap::new();
    let (mut minute, mut labels) = (0, "");
    for line in output.lines().map(str::trim) {
        if let Some((_, time)) = line.split_once(", time: ") {
            minute = minutes(time.trim_end_matches([',', ' ']));
        } else if line.starts_with("Labels:") {
            labels = line;
        } else if line.starts_with("Annotations:") {
            let label = |name| value(labels, name).to_owned();
            let key = (minute, label("alertname"), label("severity"), label("vps"));
            let vps = format!("VPS {} ({})", label("vps"), label("veid"));
            found.insert(key, without_subject(value(line, "description"), &vps));
        }
    }
    found
}

/// The page shows each sentence beside its subject.
fn without_subject(description: &str, vps: &str) -> String {
    let mut text = description
        .replacen(" of the exporter at a:10064", "", 1)
        .replacen("exporter at a:10064", "exporter", 1)
        .replacen(&format!(" for {vps}"), "", 1)
        .replacen(&format!("the CPU of {vps}"), "its CPU", 1)
        .replacen(&format!("the disk I/O of {vps}"), "its disk I/O", 1);
    if let Some(rest) = text.strip_prefix(vps) {
        text = format!("It{rest}");
    }
    text.replacen(vps, "it", 1)
}

/// Compares the texts of a story. Returns the names of the alerts whose words differ.
fn compare(story: &Story, names: &BTreeSet<String>) -> BTreeSet<String> {
    let mut checks = "    alert_rule_test:\n".to_owned();
    let mut of_page = BTreeMap::new();
    let input = test_file(story, names, |world, minute| {
        if minute % INTERVAL == 0 {
            let mut sentences = sentences(&world.status(), minute);
            let firing: BTreeSet<_> = sentences.keys().map(|(_, alert, ..)| alert).collect();
            for alert in firing {
                let check = format!("eval_time: {minute}m, alertname: {alert}");
                writeln!(checks, "      - {{{check}, exp_alerts: []}}").expect("a string");
            }
            of_page.append(&mut sentences);
        }
    });
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), input + &checks).expect("it can be written");
    let (_, output) = promtool_output(&["test", "rules"], file.path());
    // promtool also reports the texts, as failures of the other checks.
    let disagreements = output.find("expr: ").map(|start| &output[start..]);
    assert_eq!(
        disagreements, None,
        "{}: alerts and table differ",
        story.name
    );
    let of_rules = descriptions(&output);
    let keys = |texts: &BTreeMap<Key, String>| texts.keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&of_rules), keys(&of_page), "{}: {output}", story.name);
    let mut differing = BTreeSet::new();
    for ((key, alert), page) in of_rules.iter().zip(of_page.values()) {
        #[expect(clippy::cast_precision_loss, reason = "dates")]
        let (start, elapsed) = (START as f64, (60 * key.0) as f64);
        let now = start + elapsed;
        // The clock of promtool starts at 0.
        let (alert, page) = (Text::new(alert, elapsed), Text::new(page, now));
        for quantity in &alert.quantities {
            assert!(
                page.implies(quantity.later(start), now),
                "{}: {key:?}: {quantity:?} of the alert is not on the page\n{alert:#?}\n{page:#?}",
                story.name
            );
        }
        // The page may add the age of the data.
        if !page.words.starts_with(&alert.words) && !page.words.starts_with(RECOVERED) {
            assert!(
                OTHER_WORDS.iter().any(|(name, _)| *name == key.1),
                "{}: {key:?}\nalert: {}\n page: {}",
                story.name,
                alert.words,
                page.words
            );
            differing.insert(key.1.clone());
        }
    }
    differing
}

#[test]
fn rules_agree_with_the_table_and_the_page_in_every_story() {
    let names = metric_names();
    let differing: BTreeSet<_> = std::thread::scope(|scope| {
        let stories: Vec<_> = STORIES
            .iter()
            .map(|story| scope.spawn(|| compare(story, &names)))
            .collect();
        let differing = stories
            .into_iter()
            .flat_map(|story| story.join().expect("a story agrees"));
        differing.collect()
    });
    let listed: BTreeSet<_> = OTHER_WORDS
        .iter()
        .map(|(name, _)| (*name).to_owned())
        .collect();
    assert_eq!(differing, listed, "alerts with other words than the page");
}
