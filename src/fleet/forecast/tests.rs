use proptest::prelude::*;

use super::*;

/// Days of rows before the period, and of the period.
const PAST: u32 = 35;
const PERIOD: u32 = 30;
/// Start of the period, in hours since 1970.
const START: u32 = 1_790_000_000 / 3600;
const ALLOWANCE: f64 = 1.0e12;
const DAY: f64 = 86_400.0;

/// A VPS that uses a given percentage of the allowance on each day, counted from the start of the period.
struct Vps<'a> {
    percent: &'a dyn Fn(i64) -> f64,
    /// Days of rows before the period.
    past: u32,
    /// Counter bytes for each byte of rows.
    ratio: f64,
    counter: Counter,
    hours: Option<HourlyUsage>,
}

impl<'a> Vps<'a> {
    fn new(past: u32, percent: &'a dyn Fn(i64) -> f64) -> Self {
        Self {
            percent,
            past,
            ratio: 1.0,
            counter: Counter::default(),
            hours: None,
        }
    }

    /// Bytes of the counter in an hour since 1970.
    fn bytes(&self, hour: u32) -> f64 {
        let day = (i64::from(hour) - i64::from(START)).div_euclid(24);
        (self.percent)(day) / 100.0 / 24.0 * ALLOWANCE
    }

    fn used(&self, hours: u32) -> f64 {
        (START..START + hours).map(|hour| self.bytes(hour)).sum()
    }

    /// Applies rows of the hours that `known` accepts, up to `hours` hours after the start of the period.
    fn poll_usage(&mut self, hours: u32, known: impl Fn(u32) -> bool) {
        let end = START + hours;
        let mut sums = HourSums::new(start_of(end));
        for hour in (START - 24 * self.past..end).filter(|hour| known(*hour)) {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "bytes"
            )]
            let bytes = Bytes((self.bytes(hour) / self.ratio) as u64);
            sums.add(UnixSeconds((hour + 1) * 3600), bytes);
        }
        self.hours = sums.merge(self.hours.as_ref());
    }

    fn reading(hours: u32, bytes: f64) -> CounterReading {
        CounterReading {
            at: start_of(START + hours),
            bytes: Bytes(bytes),
            allowance: Some(Bytes(ALLOWANCE)),
            start: start_of(START),
            reset: start_of(START + 24 * PERIOD),
        }
    }

    fn forecast_of(&mut self, reading: &CounterReading) -> Option<Forecast> {
        self.counter.observe(reading);
        let hours = self.hours.as_ref()?;
        self.counter.learn(hours, reading);
        Forecast::new(hours, &self.counter, reading)
    }

    /// Forecast with complete data, `hours` hours after the start of the period.
    fn forecast(&mut self, hours: u32) -> Option<Forecast> {
        self.poll_usage(hours, |_| true);
        let used = self.used(hours);
        self.forecast_of(&Self::reading(hours, used))
    }

    /// Hours of the period, in steps of three, at which an exhaustion is forecast.
    fn alerts(&mut self) -> Vec<u32> {
        let lasts = (3..24 * PERIOD)
            .step_by(3)
            .take_while(|hours| self.used(*hours) < ALLOWANCE);
        let hours: Vec<_> = lasts.collect();
        let exhaustion = |vps: &mut Self, hours: u32| {
            let forecast = vps.forecast(hours)?;
            forecast.exhaustion
        };
        hours
            .into_iter()
            .filter(|hours| exhaustion(self, *hours).is_some())
            .collect()
    }
}

fn percent(forecast: Option<Forecast>) -> f64 {
    forecast.expect("there is a forecast").bytes.0 / ALLOWANCE * 100.0
}

fn assert_near(value: f64, wanted: f64, off: f64) {
    assert!(
        (value - wanted).abs() <= off,
        "{value} is not near {wanted}"
    );
}

#[test]
fn ordinary_months_raise_no_alarm() {
    let stories: [(&str, &dyn Fn(i64) -> f64); 9] = [
        ("weekdays 4 %", &|day| {
            if day.rem_euclid(7) < 5 { 4.0 } else { 0.0 }
        }),
        ("weekends 9 %", &|day| {
            if day.rem_euclid(7) < 5 { 0.5 } else { 9.0 }
        }),
        ("three-day upload", &|day| {
            if (8..11).contains(&day) { 10.3 } else { 1.0 }
        }),
        ("early three-day upload", &|day| {
            if (0..3).contains(&day) { 10.3 } else { 1.0 }
        }),
        ("two-day upload", &|day| {
            if (12..14).contains(&day) { 10.0 } else { 1.0 }
        }),
        ("five-day upload", &|day| {
            if (5..10).contains(&day) { 7.0 } else { 1.0 }
        }),
        ("upload of the month before", &|day| {
            if (-5..-1).contains(&day) { 20.0 } else { 1.0 }
        }),
        ("steady 96 %", &|_| 3.2),
        ("idle", &|_| 0.0),
    ];
    for (name, story) in stories {
        for past in [0, 3, 10, PAST] {
            let alerts = Vps::new(past, story).alerts();
            assert!(
                alerts.is_empty(),
                "{name}, {past} days of rows before: {alerts:?}"
            );
        }
    }
}

#[test]
fn forecasts_an_exhaustion_two_days_ahead() {
    let stories: [(&str, &dyn Fn(i64) -> f64); 5] = [
        ("steady 120 %", &|_| 4.0),
        ("weekdays 5.5 %", &|day| {
            if day.rem_euclid(7) < 5 { 5.5 } else { 0.0 }
        }),
        ("late surge", &|day| if day < 18 { 2.0 } else { 10.0 }),
        ("early surge", &|day| if day < 5 { 1.0 } else { 8.0 }),
        ("new and busy", &|_| 15.0),
    ];
    for (name, story) in stories {
        for past in [0, 10, PAST] {
            let mut vps = Vps::new(past, story);
            let exhausted = (0..24 * PERIOD).find(|hours| vps.used(*hours) >= ALLOWANCE);
            let exhausted = exhausted.expect("it runs out");
            let alerts = vps.alerts();
            let first = *alerts.first().expect("an exhaustion is forecast");
            assert!(
                first + 48 <= exhausted,
                "{name}, {past}: {first} of {exhausted}"
            );
            // Once forecast, the exhaustion stays forecast. Near the end it is exact to two hours if the rhythm is
            // known.
            let steps = usize::try_from((exhausted - first).div_ceil(3)).expect("a month");
            assert!(alerts.len() + 1 >= steps, "{name}, {past}: {alerts:?}");
            if past < PAST {
                continue;
            }
            let exhaustion = vps
                .forecast(exhausted - 6)
                .and_then(|forecast| forecast.exhaustion);
            assert_near(
                exhaustion.expect("an exhaustion is forecast").0,
                f64::from(START + exhausted) * HOUR,
                2.0 * HOUR,
            );
        }
    }
}

#[test]
fn the_weekly_rhythm_is_known_within_a_week() {
    let mut vps = Vps::new(PAST, &|day| if day.rem_euclid(7) < 5 { 4.0 } else { 0.0 });
    let total = vps.used(24 * PERIOD) / ALLOWANCE * 100.0;
    for day in 2..PERIOD {
        assert_near(percent(vps.forecast(24 * day)), total, 0.5);
    }
}

#[test]
fn a_counter_of_one_direction_does_not_double_the_forecast() {
    let mut vps = Vps::new(PAST, &|_| 2.0);
    vps.ratio = 0.4;
    assert_near(percent(vps.forecast(24 * 3)), 60.0, 2.0);
    assert_near(percent(vps.forecast(24 * 15)), 60.0, 0.5);
}

#[test]
fn a_new_vps_gets_an_even_pace_and_no_exhaustion_beyond_its_data() {
    let mut vps = Vps::new(0, &|_| 4.0);
    assert_eq!(vps.forecast(23), None);
    let forecast = vps.forecast(3 * 24).expect("a day is over");
    assert_near(percent(Some(forecast)), 120.0, 2.0);
    assert_eq!(forecast.exhaustion, None);
    let exhaustion = vps
        .forecast(15 * 24)
        .and_then(|forecast| forecast.exhaustion);
    assert_near(
        exhaustion.expect("an exhaustion is forecast").0,
        f64::from(START) * HOUR + 25.0 * DAY,
        HOUR,
    );
}

#[test]
fn a_vps_younger_than_its_period_gets_the_pace_of_its_own_days() {
    let mut vps = Vps::new(0, &|day| if day < 20 { 0.0 } else { 2.0 });
    vps.poll_usage(24 * 23, |hour| hour >= START + 24 * 20);
    let reading = Vps::reading(24 * 23, vps.used(24 * 23));
    assert_near(percent(vps.forecast_of(&reading)), 20.0, 0.5);
}

#[test]
fn a_new_period_keeps_the_learned_ratio() {
    let mut vps = Vps::new(PAST, &|_| 2.0);
    vps.ratio = 0.5;
    let before = CounterReading {
        start: start_of(START - 24 * 31),
        reset: start_of(START),
        ..Vps::reading(0, 0.0)
    };
    vps.poll_usage(0, |_| true);
    let last = CounterReading {
        at: before.reset - HOUR,
        bytes: Bytes(0.62 * ALLOWANCE),
        ..before
    };
    assert_near(percent(vps.forecast_of(&last)), 62.0, 0.5);
    // No forecast after the end of the old period and in the first hours of the new one.
    assert_eq!(vps.forecast_of(&before), None);
    assert_eq!(vps.forecast(5), None);
    assert_near(percent(vps.forecast(7)), 60.0, 1.0);
}

#[test]
fn a_moved_reset_does_not_change_the_pace() {
    for (days, wanted) in [(5, 70.0), (12, 84.0), (-8, 44.0)] {
        let mut vps = Vps::new(PAST, &|_| 2.0);
        assert_near(percent(vps.forecast(24 * 10)), 60.0, 0.5);
        for hours in [24 * 10 + 1, 24 * 11, 24 * 13, 24 * 20] {
            vps.poll_usage(hours, |_| true);
            let mut reading = Vps::reading(hours, vps.used(hours));
            for time in [&mut reading.start, &mut reading.reset] {
                *time = *time + f64::from(days) * DAY;
            }
            // No forecast before the start of the moved period.
            if reading.at > reading.start + FIRST_HOURS * HOUR {
                assert_near(percent(vps.forecast_of(&reading)), wanted, 1.0);
            } else {
                assert_eq!(vps.forecast_of(&reading), None);
            }
        }
    }
}

/// The start of a period is a month before its reset: 30 March for 30 April, even after a reset on 31 March.
#[test]
fn a_start_before_the_reset_does_not_change_the_pace() {
    let mut vps = Vps::new(PAST, &|_| 2.0);
    vps.poll_usage(0, |_| true);
    let last = CounterReading {
        at: start_of(START) - HOUR,
        start: start_of(START - 24 * 31),
        reset: start_of(START),
        ..Vps::reading(0, 0.62 * ALLOWANCE)
    };
    assert_near(percent(vps.forecast_of(&last)), 62.0, 0.5);
    for hours in [1, 7, 24, 48, 24 * 10] {
        vps.poll_usage(hours, |_| true);
        let mut reading = Vps::reading(hours, vps.used(hours));
        reading.start = reading.start - DAY;
        assert_near(percent(vps.forecast_of(&reading)), 60.0, 1.0);
    }
}

#[test]
fn the_forecast_continues_after_the_counter_falls() {
    let mut vps = Vps::new(PAST, &|_| 2.0);
    assert_near(percent(vps.forecast(24 * 10)), 60.0, 0.5);
    // A migration sets it back by 15 %.
    let after = |hours: u32, vps: &Vps<'_>| Vps::reading(hours, vps.used(hours) - 0.15 * ALLOWANCE);
    for hours in [24 * 10 + 1, 24 * 11, 24 * 13, 24 * 20] {
        vps.poll_usage(hours, |_| true);
        let reading = after(hours, &vps);
        assert_near(percent(vps.forecast_of(&reading)), 45.0, 1.0);
    }
}

#[test]
fn missing_rows_are_extrapolated_from_the_others() {
    let mut vps = Vps::new(PAST, &|_| 2.0);
    // Three whole days and every third hour are missing.
    vps.poll_usage(24 * 15, |hour| {
        !(START + 24 * 8..START + 24 * 11).contains(&hour) && hour % 3 != 0
    });
    let reading = Vps::reading(24 * 15, vps.used(24 * 15));
    assert_near(percent(vps.forecast_of(&reading)), 60.0, 3.0);
}

#[test]
fn a_past_exhaustion_is_when_the_counter_passed_the_allowance() {
    let mut vps = Vps::new(PAST, &|day| if day < 25 { 4.4 } else { 0.0 });
    let exhaustion = vps
        .forecast(24 * 27)
        .and_then(|forecast| forecast.exhaustion);
    assert_near(
        exhaustion.expect("it was used up").0,
        f64::from(START) * HOUR + 100.0 / 4.4 * DAY,
        2.0 * HOUR,
    );
}

#[test]
fn without_an_allowance_no_exhaustion_is_forecast() {
    let mut vps = Vps::new(PAST, &|_| 4.0);
    vps.poll_usage(240, |_| true);
    let reading = CounterReading {
        allowance: None,
        ..Vps::reading(240, vps.used(240))
    };
    let forecast = vps.forecast_of(&reading);
    assert_near(percent(forecast), 120.0, 1.0);
    assert_eq!(forecast.and_then(|forecast| forecast.exhaustion), None);
}

/// Random hours of rows, some of them missing.
fn any_hours() -> impl Strategy<Value = Vec<Option<u64>>> {
    let hour = prop_oneof![
        1 => Just(None),
        6 => (0..2_000_000_000_u64).prop_map(Some),
        1 => (0..1_u64 << 50).prop_map(Some),
    ];
    prop::collection::vec(hour, 1..1000)
}

fn usage_of(rows: &[Option<u64>], hours: u32) -> Option<HourlyUsage> {
    let end = START + hours;
    let mut sums = HourSums::new(start_of(end));
    for (back, bytes) in (0_u32..).zip(rows) {
        if let Some(bytes) = bytes {
            sums.add(UnixSeconds((end - back) * 3600), Bytes(*bytes));
        }
    }
    sums.merge(None)
}

proptest! {
    #[test]
    fn a_forecast_is_finite_and_not_below_the_use(
        rows in any_hours(),
        hours in 0_u32..24 * PERIOD + 48,
        bytes in prop_oneof![0.0..2.0e12, 0.0..1.0e19],
        more in prop_oneof![Just(0.0), 0.0..1.0e12],
        allowance in prop_oneof![Just(None), (0.0..2.0e12).prop_map(Some)],
    ) {
        let Some(usage) = usage_of(&rows, hours) else { return Ok(()) };
        let forecast = |bytes| {
            let reading = CounterReading { allowance: allowance.map(Bytes), ..Vps::reading(hours, bytes) };
            let mut counter = Counter::default();
            counter.observe(&reading);
            counter.learn(&usage, &reading);
            Forecast::new(&usage, &counter, &reading)
        };
        let reading = Vps::reading(hours, bytes);
        let (forecast, other) = (forecast(bytes), forecast(bytes + more));
        prop_assert_eq!(forecast.is_some(), other.is_some());
        let Some(forecast) = forecast else { return Ok(()) };
        prop_assert!(reading.at >= reading.start && reading.at < reading.reset);
        prop_assert!(forecast.bytes.0.is_finite() && forecast.bytes.0 >= bytes);
        prop_assert!(other.is_some_and(|other| other.bytes >= forecast.bytes));
        if let Some(exhaustion) = forecast.exhaustion {
            let allowance = allowance.unwrap_or(f64::INFINITY);
            prop_assert!(forecast.bytes.0 >= allowance);
            prop_assert!((reading.start..=reading.reset).contains(&exhaustion), "{exhaustion:?}");
            prop_assert_eq!(exhaustion > reading.at, bytes < allowance);
        }
    }
}
