//! Which alerts are silent because of which others, asked of an Alertmanager with the example's rules: every alert that
//! is shipped against every other one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::alertmanager::{Alertmanager, Rule, example, rules};
use crate::exporter::PATIENCE;
use crate::webhook::Webhook;

/// Who silences whom. A name without severity stands for all alerts of this name.
const SILENCES: &[(&str, &[&str])] = &[
    (
        "KiwiVMBandwidthNearlyUsed/critical",
        &["KiwiVMBandwidthNearlyUsed/warning"],
    ),
    (
        "KiwiVMDiskNearlyFull/critical",
        &["KiwiVMDiskNearlyFull/warning"],
    ),
    (
        "KiwiVMDiskWillFill/critical",
        &["KiwiVMDiskWillFill/warning", "KiwiVMDiskNearlyFull"],
    ),
    ("KiwiVMMemoryLow/critical", &["KiwiVMMemoryLow/warning"]),
    (
        "KiwiVMNotAsExpected/critical",
        &["KiwiVMNotAsExpected/warning"],
    ),
    (
        "KiwiVMAbusePointsHigh/critical",
        &["KiwiVMAbusePointsHigh/warning"],
    ),
    (
        "KiwiVMExporterDown",
        &[
            "KiwiVMAPIFailing",
            "KiwiVMAPIPointsLow",
            "KiwiVMDataStale",
            "KiwiVMExporterAbsent",
        ],
    ),
    ("KiwiVMAPIFailing", &["KiwiVMDataStale"]),
    ("KiwiVMAuthenticationFailed", &["KiwiVMDataStale"]),
    (
        "KiwiVMSuspended",
        &[
            "KiwiVMNotAsExpected",
            "KiwiVMBandwidthNearlyUsed",
            "KiwiVMBandwidthWillRunOut",
            "KiwiVMBandwidthRunsOutSoon",
            "KiwiVMBackupTooOld",
        ],
    ),
    (
        "KiwiVMBandwidthRunsOutSoon",
        &["KiwiVMBandwidthWillRunOut", "KiwiVMBandwidthNearlyUsed"],
    ),
    ("KiwiVMPolicyDeadlineNear", &["KiwiVMPolicyViolationOpen"]),
    (
        "KiwiVMThrottlingRecurs/warning/cpu",
        &["KiwiVMCPUThrottled"],
    ),
    (
        "KiwiVMThrottlingRecurs/warning/disk",
        &["KiwiVMDiskThrottled"],
    ),
    ("KiwiVMMemoryLow", &["KiwiVMSwapBusy"]),
];

/// What an alert is about, which its labels tell.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Subject {
    Vps,
    Exporter,
    /// There is none that it could be about.
    NoExporter,
}

/// A kind of alert: that of a rule, without a VPS or an exporter.
#[derive(Clone)]
struct Kind {
    rule: Rule,
    subject: Subject,
}

impl Kind {
    /// Name, severity and what else tells kinds apart, as in the table.
    fn id(&self) -> String {
        let mut id = format!("{}/{}", self.rule.name, self.rule.severity);
        if let Some(resource) = &self.rule.resource {
            id = format!("{id}/{resource}");
        }
        // The one that is about either.
        if self.rule.name == "KiwiVMAPIPointsLow" && self.subject == Subject::Exporter {
            id += "/shared";
        }
        id
    }

    fn is(&self, entry: &str) -> bool {
        let id = self.id();
        id.strip_prefix(entry)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    fn alert(&self, place: &Place) -> Value {
        let mut labels = json!({
            "alertname": self.rule.name, "severity": self.rule.severity, "cluster": place.cluster,
        });
        if self.subject != Subject::NoExporter {
            labels["job"] = json!(place.job);
            labels["instance"] = json!(place.instance);
        }
        if self.subject == Subject::Vps {
            labels["veid"] = json!(place.veid);
            labels["vps"] = json!(format!("vps-{}", place.veid));
        }
        if let Some(resource) = &self.rule.resource {
            labels["resource"] = json!(resource);
        }
        json!({ "labels": labels })
    }
}

/// Where an alert is.
#[derive(Clone)]
struct Place {
    cluster: String,
    job: String,
    instance: String,
    veid: String,
}

/// Every kind of alert that is shipped.
fn kinds() -> Vec<Kind> {
    const OF_A_VPS: &str = "vps:kiwivm_vps_labels:known *";
    let mut kinds = Vec::new();
    for rule in rules() {
        let expr = rule.expr.trim_start();
        let kind = |subject| Kind {
            rule: rule.clone(),
            subject,
        };
        if expr.contains(OF_A_VPS) {
            kinds.push(kind(Subject::Vps));
        }
        if expr.starts_with("absent(") {
            kinds.push(kind(Subject::NoExporter));
        } else if !expr.starts_with(OF_A_VPS) {
            kinds.push(kind(Subject::Exporter));
        }
    }
    kinds
}

/// Alerts to post. Each target has a label that tells what is tested with it.
#[derive(Default)]
struct Alerts {
    posted: Vec<Value>,
}

impl Alerts {
    /// A source, and a target that is elsewhere in one respect or in none. Pairs do not meet: each
    /// has VPSes, exporters and clusters of its own.
    fn pair(&mut self, source: &Kind, target: &Kind, elsewhere: &str) {
        self.named_pair(
            source,
            target,
            elsewhere,
            &format!("{} > {}{elsewhere}", source.id(), target.id()),
        );
    }

    fn named_pair(&mut self, source: &Kind, target: &Kind, elsewhere: &str, name: &str) {
        let here = Place {
            cluster: name.to_owned(),
            job: name.to_owned(),
            instance: name.to_owned(),
            veid: name.to_owned(),
        };
        let mut there = here.clone();
        let moved = match elsewhere {
            HERE => &mut String::new(),
            OTHER_VPS => &mut there.veid,
            OTHER_EXPORTER => &mut there.instance,
            OTHER_JOB => &mut there.job,
            OTHER_CLUSTER => &mut there.cluster,
            other => unreachable!("{other}"),
        };
        *moved += elsewhere;
        let mut target = target.alert(&there);
        target["labels"]["test"] = json!(name);
        self.posted.extend([source.alert(&here), target]);
    }
}

const HERE: &str = "";
const OTHER_VPS: &str = " of another VPS";
const OTHER_EXPORTER: &str = " of another exporter";
const OTHER_JOB: &str = " of another job";
const OTHER_CLUSTER: &str = " of another cluster";

/// By what each target tests: whether it is silent.
async fn silent(alertmanager: &Alertmanager) -> BTreeMap<String, bool> {
    let alerts = alertmanager.alerts().await;
    let test = |alert: &Value| {
        let inhibited = alert["status"]["inhibitedBy"].as_array()?;
        let test = alert["labels"]["test"].as_str()?;
        Some((test.to_owned(), !inhibited.is_empty()))
    };
    alerts.iter().filter_map(test).collect()
}

/// Posts the alerts and tells which targets are silent. Alertmanager takes a moment for sources, in the order in which
/// they come: when the pair that is posted last has its effect, all others had it.
async fn silent_of(alerts: &Alerts) -> BTreeSet<String> {
    let webhook = Webhook::start().await;
    let alertmanager = Alertmanager::start(&example(&webhook.url));
    alertmanager.post(&alerts.posted).await;
    let kinds = kinds();
    let kind = |id| kinds.iter().find(|kind| kind.is(id)).expect("it exists");
    let mut last = Alerts::default();
    let (source, target) = (kind("KiwiVMSuspended"), kind("KiwiVMBackupTooOld"));
    last.named_pair(source, target, HERE, "last");
    alertmanager.post(&last.posted).await;
    let deadline = Instant::now() + PATIENCE;
    let mut tick = tokio::time::interval(Duration::from_millis(100));
    let mut silent = loop {
        tick.tick().await;
        let silent = silent(&alertmanager).await;
        if silent.get("last") == Some(&true) {
            break silent;
        }
        assert!(Instant::now() < deadline, "no alert is ever silent");
    };
    silent.remove("last");
    assert_eq!(silent.len(), alerts.posted.len() / 2, "all were posted");
    silent.retain(|_, is_silent| *is_silent);
    silent.into_keys().collect()
}

/// The table with every alert that its entries stand for.
fn expected(kinds: &[Kind]) -> Vec<(&Kind, &Kind)> {
    let all = |entry: &str| -> Vec<&Kind> {
        let found: Vec<_> = kinds.iter().filter(|kind| kind.is(entry)).collect();
        assert!(!found.is_empty(), "{entry} is no alert");
        found
    };
    let mut expected = Vec::new();
    for (source, targets) in SILENCES {
        for source in all(source) {
            for target in targets.iter().copied().flat_map(all) {
                expected.push((source, target));
            }
        }
    }
    expected
}

#[tokio::test]
async fn alerts_silence_those_of_the_table_and_no_others() {
    let kinds = kinds();
    let mut alerts = Alerts::default();
    for source in &kinds {
        for target in kinds.iter().filter(|kind| kind.id() != source.id()) {
            alerts.pair(source, target, HERE);
        }
    }
    let expected: BTreeSet<_> = expected(&kinds)
        .iter()
        .map(|(source, target)| format!("{} > {}", source.id(), target.id()))
        .collect();
    let silent = silent_of(&alerts).await;
    let missing: Vec<_> = expected.difference(&silent).collect();
    let surplus: Vec<_> = silent.difference(&expected).collect();
    assert!(
        missing.is_empty() && surplus.is_empty(),
        "not silent: {missing:#?}\nsilent, and not in the table: {surplus:#?}"
    );
}

#[tokio::test]
async fn what_happens_elsewhere_silences_nothing() {
    let kinds = kinds();
    let mut alerts = Alerts::default();
    for (source, target) in expected(&kinds) {
        if target.subject != Subject::NoExporter {
            alerts.pair(source, target, OTHER_EXPORTER);
            alerts.pair(source, target, OTHER_JOB);
        }
        if source.subject == Subject::Vps {
            alerts.pair(source, target, OTHER_VPS);
        } else {
            alerts.pair(source, target, OTHER_CLUSTER);
        }
    }
    assert_eq!(silent_of(&alerts).await, BTreeSet::new());
}

#[test]
fn it_is_known_what_each_alert_is_about() {
    let kinds = kinds();
    let of = |subject| -> Vec<String> {
        let kinds = kinds.iter().filter(|kind| kind.subject == subject);
        kinds.map(Kind::id).collect()
    };
    let of_exporters = [
        "KiwiVMAPIFailing/critical",
        "KiwiVMAPIPointsLow/warning/shared",
        "KiwiVMAnswersNotUnderstood/info",
        "KiwiVMExporterDown/critical",
        "KiwiVMShardMissing/critical",
        "KiwiVMReloadFailed/warning",
    ];
    assert_eq!(of(Subject::Exporter), of_exporters);
    assert_eq!(of(Subject::NoExporter), ["KiwiVMExporterAbsent/critical"]);
}

#[test]
fn no_alert_silences_a_graver_one() {
    let rank = |kind: &Kind| {
        let ranks = ["info", "warning", "critical"];
        ranks
            .iter()
            .position(|severity| *severity == kind.rule.severity)
            .expect("it is known")
    };
    for (source, target) in expected(&kinds()) {
        assert!(
            rank(source) >= rank(target),
            "{} > {}",
            source.id(),
            target.id()
        );
    }
}
