//! The chart itself: lint, schemas, versions, packaging and notes.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::render::{
    RELEASE, chart, file, helm, read_yaml, rendered, rendered_with, set, sets, template,
};
use crate::tools::{repository, run, tool};

/// Kubernetes versions: the oldest that Chart.yaml allows, one in between, and the newest with schemas.
const VERSIONS: [&str; 3] = ["1.25", "1.29", "1.37"];

/// Resources of the Prometheus Operator. Kubernetes has no schemas for them.
const CUSTOM: [&str; 2] = ["PrometheusRule", "ServiceMonitor"];

/// Runs `kubernetes-validate`, which treats unknown fields as errors.
fn validate(objects: &Path) -> Command {
    let mut validate = tool("kubernetes-validate");
    validate.arg("--strict");
    for version in VERSIONS {
        validate.args(["-k", version]);
    }
    validate.arg(objects);
    validate
}

/// Validates a file of objects. Panics unless all of them were validated.
pub fn validate_all(objects: &Path, count_with_schema: usize) {
    let report = run(&mut validate(objects));
    for line in report.lines() {
        let custom = CUSTOM
            .iter()
            .any(|kind| line.contains(&format!("find schema for kind {kind} ")));
        assert!(line.starts_with("INFO ") || custom, "{line}");
    }
    let passed = report.matches(" passed for resource ").count();
    assert_eq!(passed, count_with_schema * VERSIONS.len(), "{report}");
}

#[test]
fn helm_lint_accepts_the_chart() {
    let lint = |values: Option<&Path>| {
        let mut lint = helm(&["lint", "--strict"]);
        lint.arg(chart());
        lint.args(values.map(|file| format!("--values={}", file.display())));
        let report = run(&mut lint);
        let other: Vec<_> = report
            .lines()
            .filter(|line| line.starts_with('[') && !line.contains("icon is recommended"))
            .collect();
        assert!(other.is_empty(), "{values:?}: {other:?}");
    };
    lint(None);
    for set in sets() {
        lint(Some(&set));
    }
}

#[test]
fn rendered_objects_match_the_kubernetes_schemas() {
    for set in sets() {
        let text = run(&mut template(&chart(), &[&set]));
        let objects = super::render::Objects::parse(&text).0;
        let with_schema = objects
            .iter()
            .filter(|object| !CUSTOM.contains(&object["kind"].as_str().unwrap_or_default()));
        validate_all(file(&text).path(), with_schema.count());
    }
}

#[test]
fn the_schemas_reject_unknown_fields() {
    let text = run(&mut template(&chart(), &[&set("minimal")]));
    let wrong = text.replace("readOnlyRootFilesystem", "readonlyRootFilesystem");
    assert_ne!(text, wrong);
    let output = validate(file(&wrong).path())
        .output()
        .expect("tests/run installs it");
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success(), "{report}");
    assert!(report.contains("'readonlyRootFilesystem'"), "{report}");
}

#[test]
fn versions_agree() {
    let about = read_yaml(&chart().join("Chart.yaml"));
    assert_eq!(about["appVersion"], env!("CARGO_PKG_VERSION"));
    assert_eq!(
        about["kubeVersion"],
        format!(">={}.0-0", VERSIONS[0]),
        "the oldest version is not tested"
    );
    let image = "ghcr.io/kiwivm-exporter/kiwivm_exporter";
    let objects = rendered(&set("minimal"));
    assert_eq!(
        objects.container()["image"],
        format!("{image}:{}", env!("CARGO_PKG_VERSION"))
    );
    let tagged = rendered_with(&set("minimal"), "image: {tag: '7'}");
    assert_eq!(tagged.container()["image"], format!("{image}:7"));
}

fn keys(value: &Value) -> BTreeSet<&str> {
    let map = value.as_object().expect("it is a map");
    map.keys().map(String::as_str).collect()
}

/// Checks that the schema allows exactly the keys of a file that contains every key, at each level.
fn assert_same_keys(schema: &Value, value: &Value, path: &str, not_named: &[&str]) {
    let properties = &schema["properties"];
    assert_eq!(
        schema["additionalProperties"], false,
        "{path}: a misspelled key would not be noticed"
    );
    let allowed: BTreeSet<_> = keys(properties)
        .into_iter()
        .filter(|key| !not_named.contains(key))
        .collect();
    assert_eq!(allowed, keys(value), "{path}");
    for key in allowed {
        if properties[key].get("properties").is_some() && value[key].is_object() {
            let below = format!("{path}.{key}");
            // The keys of maps that are empty by default are free.
            if keys(&value[key]).is_empty() {
                continue;
            }
            assert_same_keys(&properties[key], &value[key], &below, not_named);
        }
    }
}

#[test]
fn the_schema_has_the_keys_of_values_and_configuration() {
    let schema: Value = serde_json::from_slice(
        &fs::read(chart().join("values.schema.json")).expect("it can be read"),
    )
    .expect("it is JSON");
    let mut values = read_yaml(&chart().join("values.yaml"));
    let mut top = schema.clone();
    // The exporter's configuration is compared with its own example, which contains every key.
    values
        .as_object_mut()
        .expect("it is a map")
        .remove("config");
    let config = top["properties"]
        .as_object_mut()
        .and_then(|properties| properties.remove("config"))
        .expect("it is there");
    let others = ["global", "replicas", "replicaCount", "claims"];
    assert_same_keys(&top, &values, "values", &others);

    let example = read_yaml(&repository("config.example.yaml"));
    assert_same_keys(&config, &example, "config", &[]);
    let mut whole = example["vps"][0].clone();
    whole["api_key"] = "is in the other one".into();
    whole["api_key_env"] = "is in a comment".into();
    whole["intervals"] = example["intervals"].clone();
    whole["thresholds"] = example["thresholds"].clone();
    // This threshold is global.
    whole["thresholds"]
        .as_object_mut()
        .and_then(|thresholds| thresholds.remove("api_failing_ratio"))
        .expect("it is there");
    let vps = &config["properties"]["vps"]["items"];
    assert_same_keys(vps, &whole, "config.vps", &[]);
}

#[test]
fn the_packaged_chart_is_self_contained() {
    let folder = TempDir::new().expect("disk is writable");
    let mut package = helm(&["package", "--destination"]);
    run(package.arg(folder.path()).arg(chart()));
    let package = folder
        .path()
        .join(format!("kiwivm-exporter-{}.tgz", env!("CARGO_PKG_VERSION")));
    let listed = run(tool("tar").arg("tzf").arg(&package));
    assert!(!listed.contains("/ci/"), "{listed}");
    let from = |chart: &Path| run(&mut template(chart, &[&set("everything")]));
    assert_eq!(from(&package), from(&chart()));
}

fn notes(set: &Path) -> String {
    let mut install = helm(&[
        "install",
        RELEASE,
        "--dry-run=client",
        "--namespace=monitoring",
    ]);
    let output = run(install.arg(chart()).arg("--values").arg(set));
    let (_, notes) = output.split_once("NOTES:\n").expect("there are notes");
    notes.to_owned()
}

#[test]
fn the_notes_list_the_next_steps() {
    for (name, expected) in [
        (
            "minimal",
            &[
                "monitors 1 VPS.",
                "service/kiwi-kiwivm-exporter 10064:10064",
                "logs deployment/kiwi-kiwivm-exporter",
                "set serviceMonitor.enabled",
            ][..],
        ),
        (
            "shards",
            &[
                "monitors 3 VPSes, divided among 3 exporters.",
                "pod/kiwi-kiwivm-exporter-0 10064",
            ],
        ),
        ("web", &["https://localhost:10064/"]),
        ("demo", &["simulates an account"]),
    ] {
        let notes = notes(&set(name));
        for words in expected {
            assert!(notes.contains(words), "{name}: {words}\n{notes}");
        }
        assert!(notes.contains("kubectl -n monitoring "), "{notes}");
        assert!(!notes.contains("private_"), "{notes}");
    }
    assert!(!notes(&set("web")).contains("does not scrape the exporter yet"));
}
