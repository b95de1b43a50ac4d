//! Retries of failing VPSes, and the time after refusals.

use std::time::Duration;

use super::account::{Fault, Others, Readings, Setup};
use super::checks::worst_silence;
use super::simulation::{PACE, Simulation, fleet, limits};
use crate::budget::pace::Pace;
use crate::config::{Collect, Scope};
use crate::kiwivm::Reason;

#[test]
fn retries_of_failing_vpses_leave_points_to_the_others() {
    let failing = [
        (4, Fault::Fails(Reason::Auth)),
        (12, Fault::Fails(Reason::Auth)),
        (17, Fault::Fails(Reason::HttpStatus)),
        (21, Fault::Fails(Reason::Timeout)),
    ];
    // The first readings come late, so the size of the quota and the share are taken as too small.
    let unreadable = [1, 9, 13, 16].map(|vps| (vps, Fault::ReadingsFail));
    let setup = Setup {
        faults: [&failing[..], &unreadable].concat(),
        latency: 3.08,
        ..Setup::new().with_live(12.0)
    };
    let pace = Pace {
        live: Duration::from_secs(60),
        collect: Collect::default(),
        ..PACE
    };
    let mut simulation = Simulation::new(setup, fleet(0..29, pace), limits(29, Scope::Account));
    simulation.run(3600.0);
    let (beyond, when) = worst_silence(&simulation);
    assert!(beyond <= 0.0, "{beyond} at {when}");
}

#[test]
fn polling_resumes_after_refusals_once_readings_show_points() {
    let setup = Setup {
        others: Some(Others {
            every: 120.0,
            points: 6.0,
        }),
        readings: Readings::Noisy(4.0),
        // The second one responds to live calls only, after the time-out of service info.
        faults: vec![(6, Fault::Slow(116.0)), (11, Fault::Slow(30.7))],
        outage: Some((2780.0, 3211.0, Reason::RateLimited)),
        ..Setup::new()
    };
    let mut simulation = Simulation::new(setup, fleet(0..40, PACE), limits(40, Scope::Auto));
    simulation.run(3018.0);
    simulation.restart(false);
    simulation.run(7200.0);
    let (beyond, when) = worst_silence(&simulation);
    assert!(beyond <= 60.0, "{beyond} at {when}");
}
