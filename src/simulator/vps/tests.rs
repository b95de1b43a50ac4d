use super::*;

const START: f64 = 1_790_000_000.0;

fn vps(character: Character) -> (SimulatedVps, Story) {
    let story = Story::new(START, 60.0);
    let vps = SimulatedVps::new("x".to_owned(), 1_000_001, character, 7, &story, 576);
    (vps, story)
}

/// `hours` of the story, in wall time.
fn after(hours: f64) -> f64 {
    START + hours * 60.0
}

#[test]
fn the_same_seed_makes_the_same_vps_in_one_step_or_many() {
    let twins = || {
        let (mut vps, story) = vps(Character::Throttled);
        let description = "x".to_owned();
        vps.begin(&story, 0.0, Work::Snapshot(description));
        vps.cases.warn(0, 30.5 * 3600.0);
        (vps, story)
    };
    let (mut a, story) = twins();
    let (mut b, _) = twins();
    a.advance(&story, after(40.0));
    for minutes in 1..=2400 {
        b.advance(&story, START + f64::from(minutes));
    }
    assert_eq!(format!("{a:?}"), format!("{b:?}"));
    assert_eq!(a.key.len(), 32);
}

#[test]
fn rows_continue_the_history_with_the_story() {
    let (mut vps, story) = vps(Character::Healthy);
    assert_eq!(vps.usage.rows(&story).len(), 576);
    vps.advance(&story, after(1.0));
    let rows = vps.usage.rows(&story);
    assert_eq!(rows.len(), 576 + 12);
    assert!(rows.is_sorted_by_key(|row| row.timestamp));
    assert!(rows[575].timestamp < 1_790_000_000);
    assert_eq!(rows[576].timestamp, 1_790_000_005);
    assert_eq!(rows[587].timestamp, 1_790_000_060);
}

#[test]
fn a_busy_cpu_is_throttled_repeatedly_for_two_hours() {
    let (mut vps, story) = vps(Character::Throttled);
    assert!(vps.throttled(0.0), "throttled at the start");
    let mut changes = Vec::new();
    let mut before = true;
    for minute in 0..(24 * 60) {
        let hours = f64::from(minute) / 60.0;
        vps.advance(&story, after(hours));
        let throttled = vps.throttled(hours * 3600.0);
        if throttled != before {
            changes.push(hours);
            before = throttled;
        }
    }
    assert!(changes.len() >= 8, "{changes:?}");
    for pair in changes[1..].chunks_exact(2) {
        assert!((pair[1] - pair[0] - 2.0).abs() < 0.1, "{changes:?}");
    }
}

#[test]
fn a_used_up_allowance_suspends_until_the_reset() {
    let (mut vps, story) = vps(Character::NearAllowance);
    vps.cases.violations.clear();
    assert!(!vps.suspended());
    vps.advance(&story, after(4.0 * 24.0));
    assert!(vps.suspended() && !vps.running && vps.data_counter >= vps.monthly_data);
    assert!(
        vps.cases.suspensions.is_empty(),
        "a used-up allowance is no case"
    );
    vps.advance(&story, START + vps.next_reset / 60.0 + 10.0);
    assert!(!vps.suspended() && vps.running && vps.data_counter < vps.monthly_data / 100);
}

#[test]
fn the_reset_does_not_end_a_suspension_for_a_missed_deadline() {
    let (mut vps, story) = vps(Character::NearAllowance);
    vps.data_counter = 0;
    vps.advance(&story, after(71.0));
    assert!(!vps.suspended());
    vps.advance(&story, after(73.0));
    assert!(vps.suspended() && !vps.running);
    assert_eq!((vps.cases.suspensions.len(), vps.suspensions), (1, 1));
    vps.advance(&story, START + vps.next_reset / 60.0 + 10.0);
    assert!(vps.suspended() && !vps.running);
}

#[test]
fn a_locked_vps_has_one_task_after_the_other() {
    let (vps, _) = vps(Character::Locked);
    let percent = |at| vps.lock(at).map(|lock| lock.percent);
    assert_eq!(percent(0.0), Some(0));
    assert_eq!(percent(1650.0), Some(50));
    assert_eq!(percent(3400.0), None);
    assert_eq!(percent(3600.0), Some(0));
}

#[test]
fn a_migration_stops_moves_and_starts_the_vps() {
    let (mut vps, story) = vps(Character::Healthy);
    let old = vps.network.ipv4.clone();
    let work = Work::Migrate {
        to: &LOCATIONS[3],
        addresses: vps.network.next_addresses(),
    };
    vps.begin(&story, 0.0, work);
    assert!(!vps.running);
    vps.advance(&story, START + 14.9);
    assert_eq!((vps.lock(890.0).is_some(), &vps.network.ipv4), (true, &old));
    vps.advance(&story, START + 15.0);
    assert_eq!((vps.lock(900.0), vps.status()), (None, "starting"));
    assert_eq!(vps.location.id, "EUNL_3");
    assert_ne!(vps.network.ipv4, old);
    vps.advance(&story, START + 15.5);
    assert_eq!(vps.status(), "running");
    let last = vps.audit.newest().expect("there are entries");
    assert_eq!(last.summary, "VM started");
}

#[test]
fn a_stopped_vps_stays_off_after_a_restore() {
    let (mut vps, story) = vps(Character::Stopped);
    let snapshot = vps.disk_copies.snapshots[0].clone();
    vps.begin(&story, 0.0, Work::Restore(snapshot.clone()));
    vps.advance(&story, after(1.0));
    assert_eq!(
        (vps.status(), vps.disk_used),
        ("stopped", snapshot.uncompressed)
    );
}

#[test]
fn makes_no_backup_while_suspended() {
    let newest = |character| {
        let (mut vps, story) = vps(character);
        let newest = |vps: &SimulatedVps| {
            vps.disk_copies
                .backups
                .last()
                .expect("it has some")
                .timestamp
        };
        let before = newest(&vps);
        vps.advance(&story, after(30.0));
        (before, newest(&vps))
    };
    let (before, after) = newest(Character::Healthy);
    assert!(before < 1_790_000_000 && after > 1_790_000_000);
    let (before, after) = newest(Character::UsedUp);
    assert_eq!(before, after);
}

#[test]
fn spreads_resets_over_the_month() {
    let story = Story::new(START, 1.0);
    let mut per_week = [0; 4];
    for veid in 1_000_001..=1_000_040 {
        let name = "x".to_owned();
        let vps = SimulatedVps::new(name, veid, Character::Healthy, 7, &story, 10);
        let week = vps.next_reset / (MONTH / 4.0);
        let at = (0..4).find(|at| week < f64::from(*at) + 1.0);
        per_week[usize::try_from(at.expect("it is within a month")).expect("few weeks")] += 1;
    }
    assert!(per_week.iter().all(|count| *count >= 8), "{per_week:?}");
}

#[test]
fn real_time_transfer_keeps_the_pace_of_the_wall_clock() {
    let hour = |story: Story| {
        let name = "x".to_owned();
        let mut vps = SimulatedVps::new(name, 1_000_001, Character::NearAllowance, 7, &story, 10);
        let before = vps.data_counter;
        vps.advance(&story, START + 3600.0);
        let used = vps.data_counter - before;
        (vps.usage.next_step(), used, vps.suspended())
    };
    let usual = hour(Story::new(START, 1.0));
    let accelerated = hour(Story::new(START, 60.0));
    let real = hour(Story::new(START, 60.0).with_real_time_transfer());
    assert_eq!((usual.0, accelerated.0, real.0), (12, 720, 720));
    assert!(
        accelerated.1 > 20 * usual.1 && accelerated.2,
        "{accelerated:?}"
    );
    assert!(real.1.abs_diff(usual.1) < usual.1 / 3, "{real:?} {usual:?}");
    assert!(!real.2);
}
