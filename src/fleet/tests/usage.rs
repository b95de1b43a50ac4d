//! Counters of usage rows.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn counted(fleet: &Fleet) -> u64 {
    let totals = fleet.vps()[0].usage_totals().expect("usage was polled");
    let Bytes(received) = totals.network_in;
    assert_eq!(totals.network_out, Bytes(2 * received));
    assert_eq!(totals.disk_written, Bytes(3 * received));
    assert_eq!(totals.disk_read, Bytes(0));
    received
}

fn ignored(fleet: &Fleet) -> u64 {
    fleet.vps()[0]
        .usage_totals()
        .expect("usage was polled")
        .rows_ignored
}

#[test]
fn older_rows_and_rows_from_the_future_are_not_the_newest() {
    let mut fleet = fleet(600);
    let now = 1_790_000_000;
    for timestamp in [now - 300, now - 600, now + 86_400] {
        poll(&mut fleet, &[row(timestamp, 1)], at(0));
    }
    let newest = fleet.vps()[0].usage(STALENESS, at(0));
    assert_eq!(
        newest.map(|row| row.timestamp),
        Some(UnixSeconds(now - 300))
    );
}

#[test]
fn counting_starts_with_the_first_response_and_each_row_counts_once() {
    let mut fleet = fleet(600);
    let now = 1_790_000_000;
    let mut rows: Vec<_> = (1..100).map(|at| row(now - 300 * at, 7)).collect();
    poll(&mut fleet, &rows, at(0));
    assert_eq!(counted(&fleet), 0);
    rows.insert(3, row(now + 10, 5));
    rows.push(row(now + 10, 5));
    for _ in 0..3 {
        poll(&mut fleet, &rows, at(300));
        assert_eq!((counted(&fleet), ignored(&fleet)), (5, 0));
    }
}

#[test]
fn rows_of_an_outage_longer_than_a_day_are_all_counted() {
    let mut fleet = fleet(600);
    let now = 1_790_000_000;
    poll(&mut fleet, &[row(now, 1)], at(0));
    let rows: Vec<_> = (0..3000).map(|at| row(now + 300 * at, 1)).collect();
    poll(&mut fleet, &rows, at(900_000));
    assert_eq!((counted(&fleet), ignored(&fleet)), (2999, 0));
}

#[test]
fn a_late_row_counts_only_within_a_day() {
    let mut fleet = fleet(600);
    let begin = 1_790_000_000;
    let now = begin + 200_000;
    poll(&mut fleet, &[row(begin, 1)], at(0));
    let mut rows = vec![row(begin, 1), row(now, 1)];
    poll(&mut fleet, &rows, at(200_000));
    assert_eq!(counted(&fleet), 1);
    rows.push(row(now - LATE + 1, 10));
    poll(&mut fleet, &rows, at(200_300));
    assert_eq!((counted(&fleet), ignored(&fleet)), (11, 0));
    rows.push(row(now - LATE, 100));
    for _ in 0..3 {
        poll(&mut fleet, &rows, at(200_600));
        assert_eq!((counted(&fleet), ignored(&fleet)), (11, 1));
    }
    // Counted rows that become old are not late.
    rows.push(row(now + 100_000, 1000));
    for _ in 0..3 {
        poll(&mut fleet, &rows, at(300_000));
        assert_eq!((counted(&fleet), ignored(&fleet)), (1011, 1));
    }
}

#[test]
fn rows_before_the_first_response_are_never_counted() {
    let now = 1_790_000_000;
    let day: Vec<_> = (0..288).map(|at| row(now - 300 * at, 7)).collect();
    // The first response has one row, half of the rows, or all rows in reverse order.
    let half: Vec<_> = day.iter().step_by(2).copied().collect();
    let back: Vec<_> = day.iter().rev().copied().collect();
    for first in [&day[..1], &half, &back] {
        let mut fleet = fleet(600);
        poll(&mut fleet, first, at(0));
        for rows in [&day, &back, &half, &day] {
            poll(&mut fleet, rows, at(300));
            assert_eq!((counted(&fleet), ignored(&fleet)), (0, 0));
        }
    }
}

#[test]
fn only_a_valid_row_starts_the_counting() {
    let now = 1_790_000_000;
    let day: Vec<_> = (0..288).map(|at| row(now - 300 * at, 7)).collect();
    let future = [row(now + 86_400, 7), row(now + 90_000, 7)];
    for none in [&[][..], &future, &[row(now, 1 << 60)]] {
        let mut fleet = fleet(600);
        for seconds in [0, 300] {
            poll(&mut fleet, none, at(seconds));
            assert!(fleet.vps()[0].usage_totals().is_none(), "{none:?}");
        }
        poll(&mut fleet, &day, at(600));
        assert_eq!((counted(&fleet), ignored(&fleet)), (0, 0), "{none:?}");
        poll(&mut fleet, &[row(now + 300, 5)], at(900));
        assert_eq!(counted(&fleet), 5);
    }
}

#[test]
fn repeated_or_reordered_old_rows_are_not_late() {
    let begin = 1_790_000_000;
    let rows: Vec<_> = (1..3000).map(|at| row(begin + 300 * at, 1)).collect();
    let twice: Vec<_> = rows.iter().rev().chain(&rows).copied().collect();
    for first in [&rows, &twice] {
        let mut fleet = fleet(600);
        poll(&mut fleet, &[row(begin, 1)], at(0));
        for response in [first, &twice, &rows, &twice] {
            poll(&mut fleet, response, at(900_000));
            assert_eq!((counted(&fleet), ignored(&fleet)), (2999, 0));
        }
    }
}

#[test]
fn a_day_of_rows_every_second_counts_in_any_order() {
    let begin = 1_790_000_000;
    let rows: Vec<_> = (1..=86_400).map(|at| row(begin + at, 3)).collect();
    let mut shuffled = rows.clone();
    // The step shares no factor with the length, so this visits every row.
    for (at, row) in rows.iter().enumerate() {
        shuffled[at * 52_711 % rows.len()] = *row;
    }
    let mut fleet = fleet(600);
    poll(&mut fleet, &[row(begin, 1)], at(0));
    poll(&mut fleet, &shuffled, at(86_400));
    assert_eq!((counted(&fleet), ignored(&fleet)), (3 * 86_400, 0));
    poll(&mut fleet, &rows, at(86_700));
    assert_eq!((counted(&fleet), ignored(&fleet)), (3 * 86_400, 0));
}

#[test]
fn impossible_rows_are_ignored_and_counted_once() {
    let mut fleet = fleet(600);
    let now = 1_790_000_000;
    poll(&mut fleet, &[row(now, 1)], at(0));
    let rows = [row(now, 1), row(now + 7200, 3), row(now + 300, 1 << 60)];
    for _ in 0..2 {
        poll(&mut fleet, &rows, at(300));
        assert_eq!((counted(&fleet), ignored(&fleet)), (0, 2));
    }
    // The row is no longer in the future.
    poll(&mut fleet, &rows[..2], at(7200));
    assert_eq!(counted(&fleet), 3);
}

#[test]
fn counting_continues_when_the_history_starts_over() {
    let mut fleet = fleet(600);
    let now = 1_790_000_000;
    poll(&mut fleet, &[row(now - 20, 1), row(now + 280, 2)], at(300));
    poll(&mut fleet, &[row(now + 580, 3)], at(600));
    assert_eq!(counted(&fleet), 3);
    // After a reinstallation the previous rows are gone.
    poll(&mut fleet, &[], at(600));
    poll(&mut fleet, &[row(now + 880, 4)], at(900));
    assert_eq!((counted(&fleet), ignored(&fleet)), (7, 0));
}

#[test]
fn counters_change_only_when_they_are_published() {
    let mut fleet = fleet(600);
    poll(&mut fleet, &[row(1_790_000_000, 1)], at(0));
    let mut reading = fleet.start_usage(VEID, at(300));
    reading.take(row(1_790_000_300, 5));
    fleet.apply_usage(VEID, reading);
    assert_eq!(counted(&fleet), 0);
    fleet.publish_usage();
    assert_eq!(counted(&fleet), 5);
}

/// An event in the life of one VPS.
#[derive(Clone, Debug)]
enum Event {
    /// New rows, each a number of seconds after the last.
    Rows(Vec<i64>),
    /// The API holds back this number of newest rows for a while.
    HoldBack(usize),
    /// A response in random order, with some rows twice.
    Poll(u64),
    /// The process restarts from its state file.
    Restart,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => prop::collection::vec(200..900_i64, 0..40).prop_map(Event::Rows),
        1 => (0..5_usize).prop_map(Event::HoldBack),
        4 => any::<u64>().prop_map(Event::Poll),
        1 => Just(Event::Restart),
    ]
}

proptest! {
    /// The counter is the sum of the rows, through any order, repetitions, outages and restarts.
    #[test]
    fn every_row_counts_exactly_once(events in prop::collection::vec(event(), 1..60)) {
        let begin = 1_790_000_000_i64;
        let mut fleet = fleet(600);
        // Counting starts with the first response.
        let first: Vec<_> = (0..400).map(|at| row(begin - 300 * at, 1_000_000_007)).collect();
        poll(&mut fleet, &first, at(0));
        let (mut rows, mut held, mut bytes) = (first, Vec::<UsageRow>::new(), 1);
        // All rows that the API ever returned.
        let mut returned = BTreeMap::new();
        let mut newest = begin;
        let elapsed = |newest: i64| at(u64::try_from(newest - begin).unwrap() + 60);
        for event in events.into_iter().chain([Event::HoldBack(0), Event::Poll(1)]) {
            match event {
                Event::Rows(distances) => {
                    for distance in distances {
                        newest += distance;
                        bytes = bytes * 3 % 1_000_003;
                        rows.push(row(newest, bytes));
                    }
                }
                Event::HoldBack(count) => {
                    rows.append(&mut held);
                    rows.sort_by_key(|row| row.timestamp);
                    // Release them before they are more than a day late.
                    let from = rows.len().saturating_sub(count + 1).max(400);
                    held = rows.split_off(from.min(rows.len()));
                    if let Some(last) = held.pop() {
                        rows.push(last);
                    }
                    let late = held.iter().any(|row| newest - row.timestamp.0 > LATE - 40 * 900);
                    if late {
                        rows.append(&mut held);
                    }
                }
                Event::Poll(seed) => {
                    let mut response = rows.clone();
                    for (swap, row) in rows.iter().enumerate() {
                        let draw = seed.wrapping_mul(swap as u64 + 1).rotate_left(17);
                        if draw % 5 == 0 {
                            response.push(*row);
                        }
                        let other = usize::try_from(draw % response.len() as u64).unwrap();
                        response.swap(swap, other);
                    }
                    poll(&mut fleet, &response, elapsed(newest));
                    let new = rows.iter().filter(|row| row.timestamp.0 > begin);
                    returned.extend(new.map(|row| (row.timestamp, row.network_in.unwrap().0)));
                    prop_assert_eq!(counted(&fleet), returned.values().sum::<u64>());
                }
                Event::Restart => {
                    let saved = serde_json::to_string(&fleet.save_state(elapsed(newest))).unwrap();
                    fleet = self::fleet(600);
                    fleet.restore_state(serde_json::from_str(&saved).unwrap(), Duration::ZERO, elapsed(newest));
                }
            }
            if held.iter().any(|row| newest - row.timestamp.0 > LATE - 40 * 900) {
                rows.append(&mut held);
                let new = rows.iter().filter(|row| row.timestamp.0 > begin);
                returned.extend(new.map(|row| (row.timestamp, row.network_in.unwrap().0)));
                poll(&mut fleet, &rows, elapsed(newest));
            }
        }
    }
}
