//! Alert thresholds.

use super::*;

#[test]
fn a_vps_overrides_single_thresholds() {
    let yaml = "\
thresholds:
  bandwidth_used_ratio_warning: 0.7
  backup_age_seconds: 3d
  swap_used_ratio: off
vps:
- {veid: 1, api_key_file: a.key}
- {veid: 2, api_key_file: a.key, thresholds: {bandwidth_used_ratio_warning: 0.9, disk_full_seconds_critical: 3600, backup_age_seconds: 'off'}}
";
    let (config, _) = load_yaml(yaml).expect("valid");
    let of = |threshold| {
        config
            .vps
            .iter()
            .map(move |vps| vps.thresholds.get(threshold))
    };
    for (threshold, [one, two]) in [
        (Threshold::BandwidthUsedWarning, [Some(0.7), Some(0.9)]),
        (Threshold::BandwidthUsedCritical, [Some(0.95), Some(0.95)]),
        (Threshold::DiskFullCritical, [Some(43_200.0), Some(3600.0)]),
        (Threshold::BackupAge, [Some(3.0 * 86_400.0), None]),
        (Threshold::SwapUsed, [None, None]),
        (Threshold::SnapshotPurge, [None, None]),
    ] {
        let name = threshold.name();
        assert_eq!(of(threshold).collect::<Vec<_>>(), [one, two], "{name}");
    }
}

#[test]
fn rejects_invalid_thresholds() {
    let yaml = "\
thresholds:
  bandwidth_used_ratio_warnin: 0.7
  bandwidth_used_ratio_critical: 95
  memory_available_ratio_critical: 0.2
  policy_deadline_seconds: soon
  throttle_starts: 0
vps:
- {veid: 1, api_key_file: a.key}
- veid: 2
  api_key_file: a.key
  thresholds:
    bandwidth_used_ratio_warning: 0.97
    api_failing_ratio: 0.1
";
    assert_eq!(
        errors(yaml),
        [
            "config.yaml:2: thresholds.bandwidth_used_ratio_warnin: unknown key; did you mean bandwidth_used_ratio_warning?",
            "config.yaml:3: thresholds.bandwidth_used_ratio_critical: must be a number from 0 to 1, or off",
            "config.yaml:6: thresholds.throttle_starts: must be a number from 1 to 1000, or off",
            "config.yaml:5: thresholds.policy_deadline_seconds: must be a duration such as 12h or 3d, or seconds, up to 3650d, or off",
            "config.yaml:4: thresholds.memory_available_ratio_critical: memory_available_ratio_critical must not be above memory_available_ratio_warning: change one of them",
            "config.yaml:13: vps[1].thresholds.api_failing_ratio: applies to all VPSes: set it in the top-level thresholds section",
            "config.yaml:12: vps[1].thresholds.bandwidth_used_ratio_warning: bandwidth_used_ratio_warning must not be above bandwidth_used_ratio_critical: change one of them",
        ]
    );
}
