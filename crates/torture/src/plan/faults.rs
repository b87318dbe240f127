//! Draws faults and their durations.

use fastrand::Rng;

use super::clients::CALM_MS;
use super::{ACTING_MS, Fault, Link, Shape, Trouble, Weather, Whom};

/// The limit of faults in one run.
const FAULTS_MAX: usize = 6;
/// The pause between two faults, milliseconds.
const PAUSE_MS: std::ops::Range<u64> = 200..1_100;

/// Draws faults that fill the time in which clients act.
pub(super) fn draw(rng: &mut Rng, shape: Shape) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut spent = CALM_MS;
    while faults.len() < FAULTS_MAX {
        let (what, for_ms) = trouble(rng, shape);
        let calm_ms = if faults.is_empty() { CALM_MS } else { 0 };
        let fault = Fault { after_ms: calm_ms + rng.u64(PAUSE_MS), for_ms, what };
        spent += fault.after_ms + fault.for_ms;
        if spent > ACTING_MS {
            break;
        }
        faults.push(fault);
    }
    faults
}

fn trouble(rng: &mut Rng, shape: Shape) -> (Trouble, u64) {
    let processor = rng.usize(..shape.processors());
    let whom = match (shape, rng.u8(..5)) {
        (Shape::Pair | Shape::Peers, 0 | 1) => Whom::Requestor,
        (Shape::Pair | Shape::Peers | Shape::Dev, _) => Whom::Processor(processor),
    };
    match rng.u8(..12) {
        0..3 => (Trouble::Kill(whom), rng.u64(0..400)),
        3 | 4 => (Trouble::Terminate(whom), rng.u64(0..300)),
        5 | 6 => (Trouble::Stop(whom), rng.u64(300..2_500)),
        7..10 => (Trouble::Link(link(rng, shape, processor), weather(rng)), rng.u64(300..1_800)),
        10 => (Trouble::FullDisk(processor), rng.u64(300..1_500)),
        _ => (Trouble::FewDescriptors(whom), rng.u64(300..1_200)),
    }
}

fn link(rng: &mut Rng, shape: Shape, processor: usize) -> Link {
    match (shape, rng.u8(..4)) {
        (_, 0) => Link::Rest(processor),
        (_, 1) => Link::Grpc(processor),
        (_, 2) | (Shape::Dev, _) => Link::Requestor,
        (Shape::Pair | Shape::Peers, _) => Link::Between(processor),
    }
}

fn weather(rng: &mut Rng) -> Weather {
    match rng.u8(..4) {
        0 => Weather::Cut,
        1 => Weather::Stalled,
        2 => Weather::HalfOpen,
        _ => Weather::Bytewise,
    }
}
