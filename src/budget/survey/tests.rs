use proptest::prelude::*;

use super::*;

/// An account of several allowances, read through the VPSes of a survey.
struct World {
    /// Of each VPS, the allowance that it draws on.
    allowance: Vec<usize>,
    spent: Vec<f64>,
    own: Vec<f64>,
    group: f64,
    /// What others spend of each allowance a reading, and at every how manieth.
    others: Vec<f64>,
    others_every: u64,
    readings: u64,
    /// Points of a reading.
    reading: f64,
    /// How many times dearer it is taken to be: it was measured while others were at work.
    overrated: f64,
}

impl World {
    fn new(allowance: &[usize]) -> Self {
        let allowances = allowance.iter().max().map_or(0, |most| most + 1);
        Self {
            allowance: allowance.to_vec(),
            // Each has been used differently before.
            spent: (0..allowances)
                .map(|at| 137.0 * as_f64(at as u64))
                .collect(),
            own: vec![0.0; allowance.len()],
            group: 0.0,
            others: vec![0.0; allowances],
            others_every: 1,
            readings: 0,
            reading: 1.0,
            overrated: 1.0,
        }
    }

    fn read(&mut self, survey: &mut Survey, veid: Veid) -> Option<Verdict> {
        let vps = usize::try_from(veid.0).expect("small");
        let allowance = self.allowance[vps];
        self.readings += 1;
        if self.readings.is_multiple_of(self.others_every) {
            for (spent, others) in self.spent.iter_mut().zip(&self.others) {
                *spent += others * as_f64(self.others_every);
            }
        }
        let remaining = [
            1000.0 - self.spent[allowance],
            20_000.0 - self.spent[allowance],
        ];
        self.spent[allowance] += self.reading;
        let price = self.overrated * self.reading;
        self.own[vps] += price;
        self.group += price;
        let spent = Spent {
            own: self.own[vps],
            group: self.group,
        };
        survey.read(veid, remaining, spent)
    }

    fn survey(&mut self) -> Verdict {
        let members: Vec<Veid> = (0..self.allowance.len() as u64).map(Veid).collect();
        let mut now = Duration::from_secs(1000);
        let mut survey = Survey::new(members, Veid(0), now);
        loop {
            assert!(!survey.expired(now), "it takes too long");
            let own = self.own.clone();
            let of = |veid: Veid| own[usize::try_from(veid.0).expect("small")];
            match survey.step(self.group, of, now) {
                Step::Wait(until) => now = until,
                Step::Spend(veid) => {
                    now += Duration::from_secs(1);
                    assert_eq!(self.read(&mut survey, veid), None);
                }
                Step::Read => {
                    for veid in survey.pending().to_vec() {
                        now += Duration::from_millis(200);
                        if let Some(verdict) = self.read(&mut survey, veid) {
                            return verdict;
                        }
                    }
                }
            }
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a few")]
const fn as_f64(count: u64) -> f64 {
    count as f64
}

fn veids(of: &[u64]) -> Vec<Veid> {
    of.iter().map(|veid| Veid(*veid)).collect()
}

#[test]
fn who_shares_one_allowance_is_together_for_certain() {
    let verdict = World::new(&[0; 12]).survey();
    assert_eq!(verdict.alone, []);
    assert_eq!(verdict.together, [((0..12).map(Veid).collect(), true)]);
}

#[test]
fn who_has_its_own_is_alone() {
    let mut verdict =
        World::new(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17]).survey();
    verdict.alone.sort_unstable();
    assert_eq!(verdict.alone, (0..18).map(Veid).collect::<Vec<_>>());
    assert_eq!(verdict.together, []);
}

#[test]
fn of_two_too_few_points_are_spent_to_part_the_one_that_was_only_read() {
    // The other one's counter does not fall: of nobody else could it have.
    let mut verdict = World::new(&[0, 1]).survey();
    verdict.alone.sort_unstable();
    assert_eq!(verdict.alone, veids(&[0, 1]));
}

#[test]
fn the_group_of_the_spender_is_found() {
    let verdict = World::new(&[0, 0, 0, 1, 1, 1]).survey();
    let with_spender = verdict
        .together
        .iter()
        .find(|(group, _)| group.contains(&Veid(0)))
        .expect("it is in one");
    assert_eq!(with_spender.0, veids(&[0, 1, 2]));
}

proptest! {
    /// What is parted by mistake would be spent several times over.
    #[test]
    fn nobody_is_parted_from_those_it_shares_with(
        allowance in prop::collection::vec(0_usize..4, 2..24),
        others in prop::collection::vec(prop_oneof![Just(0.0), 0.0_f64..3.0], 4),
        reading in prop_oneof![Just(1.0), 0.5_f64..3.0],
        // Readings are taken to be dearer than they are when others were at work, who come and go.
        (overrated, others_every) in prop_oneof![(Just(1.0), 1..8_u64), (1.0_f64..8.0, 3..8_u64)],
    ) {
        let mut world = World::new(&allowance);
        for (of, others) in world.others.iter_mut().zip(others) {
            *of = others;
        }
        world.reading = reading;
        world.overrated = overrated;
        world.others_every = others_every;
        let verdict = world.survey();
        let mut parts: Vec<Vec<Veid>> = verdict.alone.iter().map(|veid| vec![*veid]).collect();
        parts.extend(verdict.together.iter().map(|(group, _)| group.clone()));
        let part_of = |vps: usize| {
            parts
                .iter()
                .position(|part| part.contains(&Veid(vps as u64)))
        };
        for (vps, of) in allowance.iter().enumerate() {
            prop_assert!(part_of(vps).is_some());
            for (other, of_other) in allowance.iter().enumerate() {
                prop_assert!(of != of_other || part_of(vps) == part_of(other), "{verdict:?}");
            }
        }
    }
}
