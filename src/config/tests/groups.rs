//! Groups of VPSes that share a quota.

use super::*;

#[test]
fn vpses_of_a_group_share_a_quota() {
    let yaml = "\
vps:
  - {veid: 1, api_key: x, budget: {group: first account}}
  - {veid: 2, api_key: x, budget: {group: 7}}
  - {veid: 3, api_key: x, budget: {group: null}}
  - {veid: 4, api_key: x, budget: null}
  - {veid: 5, api_key: x}
";
    let (config, _) = load_yaml(yaml).expect("valid");
    let groups: Vec<_> = config
        .vps
        .iter()
        .map(|vps| vps.quota_group.as_deref())
        .collect();
    assert_eq!(groups, [Some("first account"), Some("7"), None, None, None]);
    let summary = config.summary();
    assert!(
        summary.contains("inventory every 1h; quota group first account; key"),
        "{summary}"
    );
    assert_eq!(summary.matches("quota group").count(), 2, "{summary}");
}

#[test]
fn an_invalid_group_is_reported_with_its_line() {
    let yaml = "\
vps:
  - veid: 1
    api_key: x
    budget:
      group: ''
  - veid: 2
    api_key: x
    budget:
      share: 0.3
      grup: a
  - veid: 3
    api_key: x
    budget: a
  - veid: 4
    api_key: x
    budget:
      group: [a, b]
";
    let name = "must be text of 1 to 100 characters without control characters or API keys";
    assert_eq!(
        errors(yaml),
        [
            format!("config.yaml:5: vps[0].budget.group: {name}"),
            "config.yaml:10: vps[1].budget.grup: unknown key; did you mean group?".to_owned(),
            "config.yaml:9: vps[1].budget.share: unknown key; known here: group".to_owned(),
            "config.yaml:13: vps[2].budget: must be a section with keys (group)".to_owned(),
            format!("config.yaml:17: vps[3].budget.group: {name}"),
        ]
    );
    let warnings = load_with(&folder(VPS), &[("KIWIVM_EXPORTER_BUDGET__GROUP", "a")]);
    let (config, warnings) = warnings.expect("variable ignored");
    assert_eq!(config.vps[0].quota_group, None);
    assert_eq!(warnings[0].key, "KIWIVM_EXPORTER_BUDGET__GROUP");
}
