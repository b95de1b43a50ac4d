//! Values that the chart rejects, with their error messages.

use super::render::{chart, file, set, template};

/// A base set of values, values on top of it, and a part of the error message.
const REFUSED: &[(&str, &str, &str)] = &[
    (
        "minimal",
        "replicas: 2",
        "replicas must be 1: two exporters of the same VPSes would spend the API points twice. To divide the VPSes among exporters, set shards",
    ),
    ("minimal", "replicaCount: 0", "replicaCount must be 1"),
    (
        "minimal",
        "shards: 0",
        "at '/shards': minimum: got 0, want 1",
    ),
    (
        "minimal",
        "autoscaling: {enabled: true}",
        "additional properties 'autoscaling' not allowed",
    ),
    (
        "minimal",
        "persistance: {enabled: true}",
        "additional properties 'persistance' not allowed",
    ),
    (
        "minimal",
        "config: {interval: {live: 5m}}",
        "at '/config': additional properties 'interval' not allowed",
    ),
    (
        "minimal",
        "config: {intervals: {live: 300}}",
        "at '/config/intervals/live'",
    ),
    (
        "minimal",
        "config: {vps: [{name: a, veid: 1, api_key_flie: a}]}",
        "additional properties 'api_key_flie' not allowed",
    ),
    (
        "minimal",
        "config: {vps: [{name: a, veid: 0}]}",
        "at '/config/vps/0/veid'",
    ),
    ("minimal", "config: {vps: []}", "config.vps is empty"),
    ("minimal", "keys: {tokyo-1: ''}", "at '/keys/tokyo-1'"),
    (
        "minimal",
        "keys: {tokyo 1: x}",
        "'tokyo 1' does not match pattern",
    ),
    (
        "minimal",
        "keys: {osaka: private_canary}",
        "keys.osaka is the key of no VPS",
    ),
    (
        "minimal",
        "config: {vps: [{veid: 7}, {name: tokyo-1, veid: 8}]}",
        "VPS 7 has no key: add 7 to keys, or set existingSecret to a Secret with the file 7.key",
    ),
    (
        "minimal",
        "config: {vps: [{name: tokyo-1, veid: 7, api_key_file: tokyo-1}]}",
        "keys become files that end in .key. Set api_key_file to tokyo-1.key",
    ),
    (
        "minimal",
        "existingSecret: mine",
        "keys and existingSecret are both set",
    ),
    (
        "existing-secret",
        "config: {vps: [{name: a b, veid: 7}]}",
        "VPS a b: a Secret cannot have a file \"a b.key\"",
    ),
    (
        "existing-secret",
        "config: {vps: [{name: a, veid: 7, api_key_file: keys/a.key}]}",
        "a Secret cannot have a file",
    ),
    (
        "existing-secret",
        "persistence: {enabled: true}",
        "persistence.enabled needs config.state_file",
    ),
    (
        "shards",
        "persistence: {existingClaim: mine}",
        "persistence.existingClaim is for one exporter",
    ),
    ("shards", "demo: true", "demo has no shards"),
    (
        "web",
        "serviceMonitor: {scheme: ftp}",
        "at '/serviceMonitor/scheme'",
    ),
    (
        "web",
        "serviceMonitor: {basicAuth: {user: {}}}",
        "additional properties 'user' not allowed",
    ),
];

/// The error message of Helm for values on top of a valid set.
fn refusal(base: &str, values: &str) -> String {
    let values = file(values);
    let output = template(&chart(), &[&set(base), values.path()])
        .output()
        .expect("tests/run installs helm");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success(),
        "{base} with {values:?} was accepted\n{error}"
    );
    error
}

#[test]
fn invalid_values_are_refused_with_the_reason() {
    for (base, values, expected) in REFUSED {
        let error = refusal(base, values);
        assert!(error.contains(expected), "{values}: {expected}\n{error}");
        assert!(!error.contains("private_"), "{error}");
    }
}

#[test]
fn a_key_in_the_configuration_is_refused_and_not_shown() {
    for vps in [
        "{name: tokyo-1, veid: 7, api_key: private_canary}",
        // The text that the schema shows instead of a key.
        "{name: tokyo-1, veid: 7, api_key: 'absent here: keys belong into a Secret, see the values keys and existingSecret'}",
    ] {
        let error = refusal("minimal", &format!("config: {{vps: [{vps}]}}"));
        assert!(error.contains("keys belong into a Secret"), "{error}");
        assert!(!error.contains("private_canary"), "{error}");
    }
}
