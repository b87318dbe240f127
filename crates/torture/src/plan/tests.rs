//! The properties of plans: the same seed gives the same plan, and seeds reach every command,
//! interface and fault.

use std::collections::BTreeSet;

use super::*;

#[test]
fn seeds_always_draw_the_same_plan() {
    for seed in 0..50 {
        assert_eq!(plan(seed), plan(seed));
    }
    assert_ne!(plan(1).clients, plan(2).clients);
}

/// Seeds draw every interface, command, fault and shape.
#[test]
fn seeds_reach_every_kind_of_run() {
    let plans: Vec<Plan> = (0..200).map(plan).collect();
    let word = |debug: String| debug.split([' ', '(', '{']).next().unwrap_or_default().to_owned();
    let steps = || plans.iter().flat_map(|plan| &plan.clients).flat_map(|client| &client.steps);
    let ops: BTreeSet<String> = steps().map(|step| word(format!("{:?}", step.op))).collect();
    assert_eq!(ops.len(), 16, "all but the opening: {ops:?}");
    let ways: BTreeSet<String> = steps().map(|step| word(format!("{:?}", step.over))).collect();
    assert_eq!(ways.len(), 6, "{ways:?}");
    let faults = || plans.iter().flat_map(|plan| &plan.faults);
    let troubles: BTreeSet<String> = faults().map(|it| word(format!("{:?}", it.what))).collect();
    assert_eq!(troubles.len(), 6, "{troubles:?}");
    let shapes: BTreeSet<String> = plans.iter().map(|plan| format!("{:?}", plan.shape)).collect();
    assert_eq!(shapes.len(), 3);
}

#[test]
fn proposals_and_leases_name_their_act() {
    let plan = plan(7);
    let all = plan.clients.iter().flat_map(|client| &client.steps);
    let (mut ids, mut leases) = (BTreeSet::new(), BTreeSet::new());
    for step in all {
        if let Op::Propose { proposal } = &step.op {
            assert!(ids.insert(proposal.clone()), "{proposal} twice");
        }
        if let Op::Lock { lease_ms, .. } = &step.op {
            assert!(leases.insert(*lease_ms), "{lease_ms} twice");
        }
    }
}
