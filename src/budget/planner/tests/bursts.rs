//! Others who spend much while costs and lag are found out.

use super::*;

#[test]
fn a_burst_over_the_first_controls_starves_nobody() {
    for (lag, sliding, burst) in [
        (10.0, false, 50),
        (10.0, true, 600),
        (0.0, false, 600),
        (0.0, true, 50),
    ] {
        let options = PointsOptions {
            sliding,
            lag,
            ..account(0.0, 0.0, PointsScope::Account)
        };
        let mut rig = Rig::new(4, options, 0.1);
        let mut others = (0..burst)
            .map(|second| (47.1 + f64::from(second), Veid(0), 4.0))
            .collect();
        rig.run(4.0 * HOUR, &mut others);
        let before = rig.calls.len();
        rig.run(8.0 * HOUR, &mut others);
        let live = |veid| {
            let due = Due {
                veid: Veid(veid),
                call: Call::LiveServiceInfo,
            };
            let since = rig.calls[before..].iter();
            since.filter(|(_, call)| *call == due).count()
        };
        let calls = [0, 1, 2, 3].map(live);
        // A tenth of the points is a call every five minutes.
        assert!(
            calls.into_iter().all(|calls| calls >= 30),
            "lag {lag}, sliding {sliding}, burst {burst}: {calls:?}"
        );
    }
}

#[test]
fn a_burst_over_the_first_looks_does_not_hide_that_readings_come_late() {
    for points in [16, 40, 100] {
        let options = PointsOptions {
            sliding: false,
            lag: 10.0,
            ..account(20.0, 0.0, PointsScope::Account)
        };
        let mut rig = Rig::new(3, options, 0.1);
        let mut others = (0..points)
            .map(|second| (6.9 + f64::from(second), Veid(0), 4.0))
            .collect();
        let excess = rig.run(2.0 * HOUR, &mut others);
        assert!(excess <= 0.0, "{points}: {excess} points too many");
        assert!(rig.planner.lag.known());
    }
}
