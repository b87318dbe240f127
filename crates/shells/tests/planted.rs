//! Claims about bugs that are planted: the judge sees each within a few seeds, which are clean without.

use orderstream_core::plant::{Bug, plant};
use orderstream_shells::{Plan, Syncs, plan, run};
use orderstream_torture::check::check;

/// Seeds within which a planted bug is seen. All of them are among the seeds of every build.
const SEEDS: std::ops::RangeInclusive<u64> = 1..=10;

/// The first seed with a finding of these predicates, when plans are changed like this.
fn found(predicates: &[&str], change: impl Fn(Plan) -> Plan) -> Option<u64> {
    SEEDS.into_iter().find(|seed| {
        let findings = check(&run(&change(plan(*seed))).lines);
        findings.iter().any(|finding| predicates.contains(&finding.predicate))
    })
}

#[test]
fn processors_whose_disk_never_syncs_are_seen() {
    let change = |plan| Plan { processors_sync: Syncs::Nothing, ..plan };
    assert!(found(&["P1", "P2", "P6", "P12"], change).is_some());
}

#[test]
fn a_requestor_whose_disk_never_syncs_is_seen() {
    let change = |plan| Plan { requestor_syncs: Syncs::Nothing, ..plan };
    assert!(found(&["P1", "P6", "P12"], change).is_some());
}

#[test]
fn a_tracker_that_goes_on_one_event_too_late_is_seen() {
    plant(Some(Bug::ResumeOffByOne));
    let seen = found(&["P8"], |plan| plan);
    plant(None);
    assert!(seen.is_some());
}
