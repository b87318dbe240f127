//! Draws faults and their durations.

use fastrand::Rng;

use super::clients::WARMUP_MS;
use super::{
    InjectedFault, Link, LinkCondition, PlannedFault, ProcessTopology, TargetProcess, WORKLOAD_MS,
};

/// The largest number of faults in one run.
const FAULTS_MAX: usize = 6;
/// The time between two faults, milliseconds.
const GAP_MS: std::ops::Range<u64> = 200..1_100;

/// Draws faults that fill the time in which clients send commands.
pub(super) fn draw(rng: &mut Rng, topology: ProcessTopology) -> Vec<PlannedFault> {
    let mut faults = Vec::new();
    let mut spent = WARMUP_MS;
    while faults.len() < FAULTS_MAX {
        let (kind, for_ms) = draw_kind(rng, topology);
        let warmup_ms = if faults.is_empty() { WARMUP_MS } else { 0 };
        let fault = PlannedFault { after_ms: warmup_ms + rng.u64(GAP_MS), for_ms, kind };
        spent += fault.after_ms + fault.for_ms;
        if spent > WORKLOAD_MS {
            break;
        }
        faults.push(fault);
    }
    faults
}

fn draw_kind(rng: &mut Rng, topology: ProcessTopology) -> (InjectedFault, u64) {
    let processor = rng.usize(..topology.processors());
    let target = match (topology, rng.u8(..5)) {
        (ProcessTopology::Pair | ProcessTopology::Peers, 0 | 1) => TargetProcess::Requestor,
        (ProcessTopology::Pair | ProcessTopology::Peers | ProcessTopology::Dev, _) => {
            TargetProcess::Processor(processor)
        }
    };
    match rng.u8(..12) {
        0..3 => (InjectedFault::Kill(target), rng.u64(0..400)),
        3 | 4 => (InjectedFault::Terminate(target), rng.u64(0..300)),
        5 | 6 => (InjectedFault::Stop(target), rng.u64(300..2_500)),
        7..10 => (
            InjectedFault::Link(link(rng, topology, processor), condition(rng)),
            rng.u64(300..1_800),
        ),
        10 => (InjectedFault::FullDisk(processor), rng.u64(300..1_500)),
        _ => (InjectedFault::FewDescriptors(target), rng.u64(300..1_200)),
    }
}

fn link(rng: &mut Rng, topology: ProcessTopology, processor: usize) -> Link {
    match (topology, rng.u8(..4)) {
        (_, 0) => Link::Rest(processor),
        (_, 1) => Link::Grpc(processor),
        (_, 2) | (ProcessTopology::Dev, _) => Link::Requestor,
        (ProcessTopology::Pair | ProcessTopology::Peers, _) => Link::Between(processor),
    }
}

fn condition(rng: &mut Rng) -> LinkCondition {
    match rng.u8(..4) {
        0 => LinkCondition::Cut,
        1 => LinkCondition::Stalled,
        2 => LinkCondition::HalfOpen,
        _ => LinkCondition::Bytewise,
    }
}
