//! P4 and P5: one stream is an order's tracker at a time, and no command of a former one is
//! accepted.

use super::{Finding, Sorted};
use crate::history::{Micros, Stream};
use crate::op::Outcome;

pub(super) fn check(sorted: &Sorted<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for stream in &sorted.streams {
        let Some(granted) = granted_above(sorted, stream) else { continue };
        // Asked for after somebody with a higher epoch was heard: it must not get a word.
        if stream.t_call > granted && stream.t_first.is_some() {
            let text = format!("{} with epoch {} after a higher one", stream.name, stream.epoch);
            findings.push(Finding::new("P4", &stream.order, text));
        }
        let is_told = matches!(stream.reason.as_str(), "SUPERSEDED" | "STALE_EPOCH");
        let is_over = stream.reason.is_empty() || stream.t_end < granted;
        let is_broken = stream.reason.chars().any(char::is_lowercase);
        if !is_told && !is_over && !is_broken {
            let text = format!("{} ended with {}, superseded", stream.name, stream.reason);
            findings.push(Finding::new("P4", &stream.order, text));
        }
    }
    for act in sorted.acts.iter().filter(|act| act.epoch > 0) {
        let higher = sorted
            .streams
            .iter()
            .filter(|stream| stream.order == act.order && stream.epoch > act.epoch);
        let granted = higher.filter_map(|stream| stream.t_first).min();
        let is_done = matches!(act.result, Outcome::Ok { .. });
        if is_done && granted.is_some_and(|granted| granted < act.t_call) {
            let text = format!("done with epoch {} after a higher one was granted", act.epoch);
            findings.push(Finding::of_act("P5", act, text));
        }
    }
    findings
}

/// Returns the time of the first message of any stream of the same order with a higher epoch.
fn granted_above(sorted: &Sorted<'_>, stream: &Stream) -> Option<Micros> {
    let higher = sorted
        .streams
        .iter()
        .filter(|other| other.order == stream.order && other.epoch > stream.epoch);
    higher.filter_map(|other| other.t_first).min()
}
