//! Several planners, each for a part of the fleet, before one account.

use super::*;
use crate::simulator::Points;

/// A fleet of twelve VPSes in equal shards, that share one account and half of its points.
struct Shards {
    rigs: Vec<Rig>,
    points: Points,
}

impl Shards {
    fn new(total: u32, options: &PointsOptions, live_takes: f64) -> Self {
        let share = 0.5 / f64::from(total);
        let part = |ordinal: u32| {
            let mut rig = Rig::new(u64::from(12 / total), options.clone(), share);
            rig.limits.siblings = 0.5 - share;
            rig.live_takes = live_takes;
            let fleet = fleet(rig.vps, Collect::NOTHING);
            rig.planner = Planner::new(&fleet, rig.limits, u64::from(ordinal), BEGIN);
            rig
        };
        Self {
            rigs: (0..total).map(part).collect(),
            points: Points::new(options.clone()),
        }
    }

    fn run(&mut self, until: f64) {
        while let Some(rig) = self
            .rigs
            .iter_mut()
            .filter(|rig| rig.now < until)
            .min_by(|a, b| a.now.total_cmp(&b.now))
        {
            std::mem::swap(&mut self.points, &mut rig.points);
            rig.step(until);
            std::mem::swap(&mut self.points, &mut rig.points);
        }
    }

    /// With a restart at noon, which loses nothing.
    fn run_a_day(&mut self) {
        self.run(12.0 * HOUR);
        self.rigs.iter_mut().for_each(|rig| rig.restart(true));
        self.run(24.0 * HOUR);
    }

    /// Points spent by all.
    fn spent(&self) -> f64 {
        self.rigs.iter().map(Rig::spent_in_all).sum()
    }

    /// Live calls of all.
    fn live(&self) -> f64 {
        let calls = self.rigs.iter().flat_map(|rig| &rig.calls);
        let live = calls.filter(|(_, due)| due.call == Call::LiveServiceInfo);
        f64::from(u32::try_from(live.count()).unwrap())
    }
}

/// Each sees what the others spend in its own brackets and readings, and must take it for theirs.
#[test]
fn shards_together_keep_the_share_and_use_it() {
    for (live, takes) in [(1.0, 3.0), (5.0, 3.0), (5.0, 12.0), (20.0, 3.0)] {
        for sliding in [false, true] {
            let options = PointsOptions {
                sliding,
                ..account(live, 1.0, PointsScope::Account)
            };
            let mut alone = Shards::new(1, &options, takes);
            alone.run_a_day();
            let mut shards = Shards::new(3, &options, takes);
            shards.run_a_day();
            let case = format!("live costs {live} and takes {takes} s, sliding: {sliding}");
            assert!(shards.spent() <= 10_000.0, "{case}: {}", shards.spent());
            let (few, many) = (shards.live(), alone.live());
            assert!(few >= 0.7 * many, "{case}: {few} live calls, not {many}");
            for rig in &shards.rigs {
                assert!(rig.planner.shared(), "{case}");
                let learned = rig.planner.learned_cost(Call::LiveServiceInfo).unwrap();
                assert!((live..live + 0.5).contains(&learned), "{case}: {learned}");
            }
        }
    }
}
