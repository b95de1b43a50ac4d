//! The chart as such: lint, schemas, versions, packaging, notes.

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

/// The oldest Kubernetes that Chart.yaml allows, one in between, and the newest that there are schemas of.
const VERSIONS: [&str; 3] = ["1.25", "1.29", "1.37"];

/// Resources of the Prometheus Operator, which are no part of Kubernetes: there is no schema.
const CUSTOM: [&str; 2] = ["PrometheusRule", "ServiceMonitor"];

/// `kubernetes-validate`, to which unknown fields are errors.
fn validate(objects: &Path) -> Command {
    let mut validate = tool("kubernetes-validate");
    validate.arg("--strict");
    for version in VERSIONS {
        validate.args(["-k", version]);
    }
    validate.arg(objects);
    validate
}

/// Validates a file of objects and makes sure that each of them was.
pub fn validate_all(objects: &Path, count_with_schema: usize) {
    let said = run(&mut validate(objects));
    for line in said.lines() {
        let custom = CUSTOM
            .iter()
            .any(|kind| line.contains(&format!("find schema for kind {kind} ")));
        assert!(line.starts_with("INFO ") || custom, "{line}");
    }
    let passed = said.matches(" passed for resource ").count();
    assert_eq!(passed, count_with_schema * VERSIONS.len(), "{said}");
}

#[test]
fn helm_lint_has_nothing_to_say() {
    let lint = |values: Option<&Path>| {
        let mut lint = helm(&["lint", "--strict"]);
        lint.arg(chart());
        lint.args(values.map(|file| format!("--values={}", file.display())));
        let said = run(&mut lint);
        let other: Vec<_> = said
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
fn what_is_rendered_is_what_kubernetes_takes() {
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
fn the_schemas_know_every_field() {
    let text = run(&mut template(&chart(), &[&set("minimal")]));
    let wrong = text.replace("readOnlyRootFilesystem", "readonlyRootFilesystem");
    assert_ne!(text, wrong);
    let output = validate(file(&wrong).path())
        .output()
        .expect("tests/run installs it");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("'readonlyRootFilesystem'"), "{said}");
}

#[test]
fn versions_agree() {
    let about = read_yaml(&chart().join("Chart.yaml"));
    assert_eq!(about["appVersion"], env!("CARGO_PKG_VERSION"));
    assert_eq!(
        about["kubeVersion"],
        format!(">={}.0-0", VERSIONS[0]),
        "the oldest version is tested"
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

/// What the schema allows, level by level, is what stands in a file that names everything.
fn assert_same_keys(schema: &Value, value: &Value, path: &str, not_named: &[&str]) {
    let properties = &schema["properties"];
    assert_eq!(
        schema["additionalProperties"], false,
        "{path}: a typing error would go unseen"
    );
    let allowed: BTreeSet<_> = keys(properties)
        .into_iter()
        .filter(|key| !not_named.contains(key))
        .collect();
    assert_eq!(allowed, keys(value), "{path}");
    for key in allowed {
        if properties[key].get("properties").is_some() && value[key].is_object() {
            let below = format!("{path}.{key}");
            // Maps that are empty by default name nothing.
            if keys(&value[key]).is_empty() {
                continue;
            }
            assert_same_keys(&properties[key], &value[key], &below, not_named);
        }
    }
}

#[test]
fn the_schema_has_the_keys_of_the_values_and_of_the_configuration() {
    let schema: Value = serde_json::from_slice(
        &fs::read(chart().join("values.schema.json")).expect("it can be read"),
    )
    .expect("it is JSON");
    let mut values = read_yaml(&chart().join("values.yaml"));
    let mut top = schema.clone();
    // The configuration of the exporter has its own example, which names everything.
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
    // For all VPSes together.
    whole["thresholds"]
        .as_object_mut()
        .and_then(|thresholds| thresholds.remove("api_failing_ratio"))
        .expect("it is there");
    let vps = &config["properties"]["vps"]["items"];
    assert_same_keys(vps, &whole, "config.vps", &[]);
}

#[test]
fn a_package_stands_on_its_own() {
    let folder = TempDir::new().expect("there is room");
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
    let said = run(install.arg(chart()).arg("--values").arg(set));
    let (_, notes) = said.split_once("NOTES:\n").expect("there are notes");
    notes.to_owned()
}

#[test]
fn the_notes_tell_what_to_do_next() {
    for (name, told) in [
        (
            "minimal",
            &[
                "watches 1 VPS.",
                "service/kiwi-kiwivm-exporter 10064:10064",
                "logs deployment/kiwi-kiwivm-exporter",
                "set serviceMonitor.enabled",
            ][..],
        ),
        (
            "shards",
            &[
                "watches 3 VPSes, divided among 3 exporters.",
                "pod/kiwi-kiwivm-exporter-0 10064",
            ],
        ),
        ("web", &["https://localhost:10064/"]),
        ("demo", &["a simulated account"]),
    ] {
        let notes = notes(&set(name));
        for told in told {
            assert!(notes.contains(told), "{name}: {told}\n{notes}");
        }
        assert!(notes.contains("kubectl -n monitoring "), "{notes}");
        assert!(!notes.contains("private_"), "{notes}");
    }
    assert!(!notes(&set("web")).contains("does not scrape it yet"));
}
