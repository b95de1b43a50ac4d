//! The plain manifests for clusters without Helm.

use std::fs;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::chart::validate_all;
use super::program::Scratch;
use super::render::{Objects, block, named, only, read_yaml, yaml};
use crate::tools::{repository, run, tool};

const FOLDER: &str = "deploy/kubernetes/manifests";
const EXPORTER: &str = "kiwivm-exporter.yaml";
const OPERATOR: &str = "prometheus-operator/prometheus-operator.yaml";

fn text(name: &str) -> String {
    let path = repository(FOLDER).join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All manifests that a user applies.
fn applied() -> Objects {
    let all = [EXPORTER, "secret.yaml"].map(text);
    Objects::parse(&all.join("---\n"))
}

#[test]
fn the_manifests_match_the_rendered_chart() {
    let folder = TempDir::new().expect("disk is writable");
    let mut generate = Command::new(repository("deploy/kubernetes/generate"));
    let helm = tool("helm");
    run(generate.arg(folder.path()).env("HELM", helm.get_program()));
    for name in [EXPORTER, OPERATOR] {
        let made = fs::read_to_string(folder.path().join(name)).expect("it was made");
        assert!(
            made == text(name),
            "{name} is not what the chart renders: run deploy/kubernetes/generate"
        );
        for word in ["Helm\n", "helm.sh", "checksum"] {
            assert!(!made.contains(word), "{name}: {word}");
        }
    }
}

#[test]
fn the_manifests_match_the_kubernetes_schemas() {
    for (name, count) in [(EXPORTER, 3), ("secret.yaml", 1)] {
        validate_all(&repository(FOLDER).join(name), count);
    }
    let operator = Objects::parse(&text(OPERATOR));
    let rules = repository("deploy/prometheus/rules/kiwivm.yml");
    assert_eq!(operator.one("PrometheusRule")["spec"], read_yaml(&rules));
    let selector = &operator.one("ServiceMonitor")["spec"]["selector"]["matchLabels"];
    let applied = applied();
    assert_eq!(*selector, applied.one("Service")["spec"]["selector"]);
}

#[test]
fn the_secret_is_a_placeholder_for_the_mounted_one() {
    let objects = applied();
    let secret = objects.one("Secret");
    assert_eq!(
        secret["stringData"],
        json!({"tokyo-1.key": "private_replace_me"})
    );
    let volume = named(&objects.pod()["volumes"], "keys");
    assert_eq!(volume["secret"]["secretName"], secret["metadata"]["name"]);
    assert_eq!(
        only(&yaml(objects.config())["vps"])["api_key_file"],
        "tokyo-1.key"
    );
}

#[test]
fn the_exporter_accepts_the_manifests() {
    Scratch::of(&applied()).check();
}

fn kustomize(folder: &std::path::Path) -> Option<Objects> {
    let kubectl = Command::new("kubectl")
        .args(["version", "--client"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if kubectl.is_err() {
        eprintln!("SKIPPED: kubectl is not installed");
        return None;
    }
    let built = run(Command::new("kubectl").arg("kustomize").arg(folder));
    Some(Objects::parse(&built))
}

fn sorted(objects: &Objects) -> Vec<String> {
    let mut all: Vec<_> = objects.0.iter().map(Value::to_string).collect();
    all.sort();
    all
}

#[test]
fn kustomize_builds_the_manifests() {
    let Some(built) = kustomize(&repository(FOLDER)) else {
        return;
    };
    assert_eq!(sorted(&built), sorted(&applied()));
}

/// Builds the overlay of deploy/kubernetes/README.md.
#[test]
fn an_overlay_replaces_configuration_and_keys() {
    let folder = TempDir::new().expect("disk is writable");
    let clone = folder.path().join("kiwivm_exporter/deploy/kubernetes");
    fs::create_dir_all(&clone).expect("disk is writable");
    run(Command::new("cp")
        .arg("-R")
        .arg(repository(FOLDER))
        .arg(&clone));
    let overlay =
        block("deploy/kubernetes/README.md", "# kustomization.yaml\n").replace("# - ", "- ");
    let config = "vps: [{name: osaka, veid: 7, api_key_file: osaka.key}]\n";
    for (name, text) in [
        ("kustomization.yaml", &*overlay),
        ("config.yaml", config),
        ("osaka.key", "private_osaka\n"),
    ] {
        fs::write(folder.path().join(name), text).expect("disk is writable");
    }
    let Some(built) = kustomize(folder.path()) else {
        return;
    };
    assert_eq!(built.config(), config);
    for object in &built.0 {
        assert_eq!(object["metadata"]["namespace"], "monitoring");
    }
    assert_eq!(
        built.one("ServiceMonitor")["spec"]["selector"]["matchLabels"],
        built.one("Service")["spec"]["selector"]
    );
    Scratch::of(&built).check();
}
