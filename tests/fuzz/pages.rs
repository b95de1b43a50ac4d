//! Pages of mutated responses: finite values, each series once, and no key.

use kiwivm_exporter::exposition::render;
use kiwivm_exporter::kiwivm::{Call, Response, Veid};
use kiwivm_exporter::poller::{fleet_of, lock};

use crate::decode::body;
use crate::keys::Key;
use crate::page;
use crate::run;
use crate::state::{configuration, moment, reloads};

#[test]
fn pages() {
    let config = configuration();
    run("pages", |dice| {
        let key = Key::any(dice);
        let fleet = fleet_of(&config);
        let mut bodies = Vec::new();
        for second in 0..10 {
            let veid = Veid(dice.roll() % 2 + 1);
            let call = Call::ALL[dice.below(Call::ALL.len())];
            let body = body(call, dice, &key);
            let now = moment(second);
            let mut fleet = lock(&fleet);
            let mut reading = fleet.start_usage(veid, now);
            let mut take = |row| reading.take(row);
            let response = Response::of_body(veid, &key.key, call, &body, &mut take);
            fleet.apply(veid, call, &response.result, now);
            if call == Call::RawUsageStats && response.result.is_ok() {
                fleet.apply_usage(veid, reading);
                fleet.publish_usage();
            }
            bodies.push(String::from_utf8_lossy(&body).into_owned());
        }
        let shown = render(&fleet, reloads(), Vec::new(), moment(10));
        page::check(&shown);
        key.assert_hidden_in(&shown, &bodies);
    });
}
