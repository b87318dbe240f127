//! Tests with planted bugs: the checker finds each bug within a few seeds, which have no findings
//! without it.

use orderstream_core::plant::{Bug, plant};
use orderstream_shells::{SimulationPlan, SyncEffect, plan, run};
use orderstream_torture::check::check;

/// The seeds within which a planted bug must be found. Every build runs them without the bug.
const SEEDS: std::ops::RangeInclusive<u64> = 1..=10;

/// Returns the first seed with a finding of one of these predicates when plans are changed by
/// `change`.
fn found(predicates: &[&str], change: impl Fn(SimulationPlan) -> SimulationPlan) -> Option<u64> {
    SEEDS.into_iter().find(|seed| {
        let findings = check(&run(&change(plan(*seed))).lines);
        findings.iter().any(|finding| predicates.contains(&finding.predicate))
    })
}

#[test]
fn processors_without_syncs_are_found() {
    let change = |plan| SimulationPlan { processors_sync: SyncEffect::Ignored, ..plan };
    assert!(found(&["P1", "P2", "P6", "P12"], change).is_some());
}

#[test]
fn requestors_without_syncs_are_found() {
    let change = |plan| SimulationPlan { requestor_syncs: SyncEffect::Ignored, ..plan };
    assert!(found(&["P1", "P6", "P12"], change).is_some());
}

/// The planted bug makes trackers resume one event too late.
#[test]
fn trackers_that_skip_events_are_found() {
    plant(Some(Bug::ResumeOffByOne));
    let seed = found(&["P8"], |plan| plan);
    plant(None);
    assert!(seed.is_some());
}
