//! Calls that are made due early.

use super::account::Setup;
use super::simulation::{PACE, Simulation, fleet, limits};
use crate::budget::pace::Pace;
use crate::config::{Collect, Scope};
use crate::kiwivm::Call;

const CALL: Call = Call::PolicyViolations;

/// A fleet of three VPSes after half an hour.
fn settled(collect: Collect, setup: Setup) -> Simulation {
    let pace = Pace { collect, ..PACE };
    let mut simulation = Simulation::new(setup, fleet(0..3, pace), limits(3, Scope::Auto));
    simulation.run(1800.0);
    simulation
}

fn times(simulation: &Simulation) -> Vec<f64> {
    simulation.times(1, CALL)
}

#[test]
fn hastened_call_is_made_once_and_at_once() {
    let mut simulation = settled(Collect::EVERYTHING, Setup::new());
    let before = times(&simulation).len();
    simulation.hasten(1, CALL);
    simulation.run(1815.0);
    assert_eq!(times(&simulation).len(), before + 1);
    simulation.run(5400.0);
    let mut alone = settled(Collect::EVERYTHING, Setup::new());
    alone.run(5400.0);
    let more = times(&simulation).len() - times(&alone).len();
    assert!(more <= 1, "{:?} {:?}", times(&simulation), times(&alone));
}

#[test]
fn uncollected_calls_are_not_made() {
    let mut simulation = settled(Collect::NOTHING, Setup::new());
    simulation.hasten(1, CALL);
    simulation.run(3600.0);
    assert!(times(&simulation).is_empty());
}

#[test]
fn hastened_calls_wait_for_points() {
    let sizes = [40.0, 20_000.0];
    let mut simulation = settled(
        Collect::EVERYTHING,
        Setup {
            sizes,
            ..Setup::new()
        },
    );
    for second in 1800..5400 {
        simulation.hasten(1, CALL);
        simulation.run(f64::from(second));
    }
    let spent = simulation.most_spent(0, 0);
    // The share, the calls of the minimum pace, and a few more.
    assert!(spent <= 0.75 * sizes[0] + 3.0, "{spent}");
}
