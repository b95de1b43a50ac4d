//! Reasons for a suspension.

use super::*;
use crate::kiwivm::model::{ServiceInfo, SuspensionCases};
use SuspensionReason::{Bandwidth, Policy, Unknown};

fn reasons(
    used: u64,
    info: ServiceInfo,
    inventory: &[(Call, Inventory)],
) -> Option<Vec<SuspensionReason>> {
    let mut fleet = fleet(60);
    let info = ServiceInfo {
        data_counter: Some(Bytes(used)),
        monthly_data: Some(Bytes(1000)),
        ..info
    };
    fleet.apply(
        VEID,
        Call::ServiceInfo,
        &response(Payload::Service(Box::new(info))),
        at(0),
    );
    for (call, inventory) in inventory {
        let listed = response(Payload::Inventory(Some(inventory.clone())));
        fleet.apply(VEID, *call, &listed, at(0));
    }
    fleet.vps()[0].suspension_reasons(STALENESS, at(0))
}

#[test]
fn finds_the_reasons_for_a_suspension() {
    let suspended = || ServiceInfo {
        suspended: Some(true),
        ..ServiceInfo::default()
    };
    let violating = || ServiceInfo {
        policy_violation: Some(true),
        ..suspended()
    };
    let case = (
        Call::SuspensionDetails,
        Inventory::SuspensionCases(SuspensionCases {
            clearable: 1,
            not_clearable: 0,
        }),
    );
    let no_case = (
        Call::SuspensionDetails,
        Inventory::SuspensionCases(SuspensionCases::default()),
    );
    let violation = (
        Call::PolicyViolations,
        Inventory::PolicyViolations(PolicyViolations {
            open: 1,
            deadline: None,
        }),
    );
    for (used, info, inventory, expected) in [
        (999, suspended(), vec![], vec![Unknown]),
        (999, suspended(), vec![no_case.clone()], vec![Unknown]),
        (1000, suspended(), vec![no_case], vec![Bandwidth]),
        (1000, violating(), vec![violation.clone()], vec![Bandwidth]),
        (
            1001,
            suspended(),
            vec![case.clone()],
            vec![Bandwidth, Policy],
        ),
        (5, suspended(), vec![case], vec![Policy]),
        (5, suspended(), vec![violation], vec![Policy]),
        (5, violating(), vec![], vec![Policy]),
    ] {
        assert_eq!(reasons(used, info, &inventory), Some(expected));
    }
    let running = ServiceInfo {
        suspended: Some(false),
        ..ServiceInfo::default()
    };
    assert_eq!(reasons(2000, running, &[]), None);
    assert_eq!(reasons(2000, ServiceInfo::default(), &[]), None);
}
