//! Shards of a fleet.

use super::*;

#[test]
fn a_shard_reads_only_the_keys_of_its_vpses() {
    let vps: Vec<_> = (1..=20)
        .map(|veid| format!("  - {{veid: {veid}, api_key_file: {veid}.key}}"))
        .collect();
    let yaml = format!("vps:\n{}\n", vps.join("\n"));
    let folder = folder(&yaml);
    let load = |ordinal| {
        load(&ConfigSource {
            file: folder.path().join("config.yaml"),
            file_is_explicit: true,
            environment: Vec::new(),
            shard: Shard::new(ordinal, 3).expect("below 3"),
        })
    };
    // Only VPSes of the shard have problems with missing keys.
    let missing = |ordinal| {
        let (config, _) = load(ordinal).expect("valid despite missing keys");
        assert_eq!(
            (config.vps.len(), config.vps_of_all_shards),
            (config.vps_without_key().count(), 20)
        );
        config.vps.len()
    };
    let sizes = [0, 1, 2].map(missing);
    assert_eq!(sizes.iter().sum::<usize>(), 20);
    assert!(sizes.iter().all(|size| *size > 0), "{sizes:?}");
    for veid in 1..=20 {
        if Shard::new(1, 3).is_some_and(|shard| shard.holds(Veid(veid))) {
            write(folder.path(), &format!("{veid}.key"), "private_x");
        }
    }
    let (config, _) = load(1).expect("valid");
    assert_eq!(config.vps_without_key().count(), 0);
    assert_eq!(missing(0), sizes[0]);
}

#[test]
fn every_shard_rejects_duplicate_names() {
    let folder = folder(
        "vps:\n  - {name: a, veid: 1, api_key: private_x}\n  - {name: a, veid: 2, api_key: private_y}\n",
    );
    for ordinal in 0..4 {
        let errors = load(&ConfigSource {
            file: folder.path().join("config.yaml"),
            file_is_explicit: true,
            environment: Vec::new(),
            shard: Shard::new(ordinal, 4).expect("below 4"),
        });
        let errors = errors.expect_err("invalid").to_string();
        assert!(errors.contains("vps[0] has the same name"), "{errors}");
    }
}
