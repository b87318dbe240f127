//! Tests of plans: the same seed yields the same plan, and seeds cover every command, interface and
//! fault.

use std::collections::BTreeSet;

use super::*;

#[test]
fn seeds_always_draw_the_same_plan() {
    for seed in 0..50 {
        assert_eq!(plan(seed), plan(seed));
    }
    assert_ne!(plan(1).clients, plan(2).clients);
}

/// Seeds cover every interface, command, fault and topology.
#[test]
fn seeds_reach_every_kind_of_run() {
    let plans: Vec<TorturePlan> = (0..200).map(plan).collect();
    let variant_name =
        |debug: String| debug.split([' ', '(', '{']).next().unwrap_or_default().to_owned();
    let steps = || plans.iter().flat_map(|plan| &plan.clients).flat_map(|client| &client.steps);
    let commands: BTreeSet<String> =
        steps().map(|step| variant_name(format!("{:?}", step.command))).collect();
    assert_eq!(commands.len(), 16, "all but the opening: {commands:?}");
    let interfaces: BTreeSet<String> =
        steps().map(|step| variant_name(format!("{:?}", step.interface))).collect();
    assert_eq!(interfaces.len(), 6, "{interfaces:?}");
    let faults = || plans.iter().flat_map(|plan| &plan.faults);
    let fault_kinds: BTreeSet<String> =
        faults().map(|it| variant_name(format!("{:?}", it.kind))).collect();
    assert_eq!(fault_kinds.len(), 6, "{fault_kinds:?}");
    let topologies: BTreeSet<String> =
        plans.iter().map(|plan| format!("{:?}", plan.topology)).collect();
    assert_eq!(topologies.len(), 3);
}

#[test]
fn proposals_and_leases_name_their_act() {
    let plan = plan(7);
    let all = plan.clients.iter().flat_map(|client| &client.steps);
    let (mut ids, mut leases) = (BTreeSet::new(), BTreeSet::new());
    for step in all {
        if let ClientCommand::Propose { proposal, .. } = &step.command {
            assert!(ids.insert(proposal.clone()), "{proposal} twice");
        }
        if let ClientCommand::Lock { lease_ms, .. } = &step.command {
            assert!(leases.insert(*lease_ms), "{lease_ms} twice");
        }
    }
}
