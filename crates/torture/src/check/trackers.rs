//! P4 and P5: an order has one tracker at a time, and no command of a former tracker is accepted.

use super::{HistoryFinding, SortedHistory};
use crate::command::ClientOutcome;
use crate::history::{Micros, StreamSpan};

pub(super) fn check(history: &SortedHistory<'_>) -> Vec<HistoryFinding> {
    let mut findings = Vec::new();
    for stream in &history.streams {
        let Some(granted) = granted_above(history, stream) else { continue };
        // The stream was opened after a message of a stream with a higher epoch: it must not
        // receive any message.
        if stream.called_at > granted && stream.first_message_at.is_some() {
            let text = format!("{} with epoch {} after a higher one", stream.name, stream.epoch);
            findings.push(HistoryFinding::new("P4", &stream.order, text));
        }
        let is_superseded = matches!(stream.reason.as_str(), "SUPERSEDED" | "STALE_EPOCH");
        let is_over = stream.reason.is_empty() || stream.ended_at < granted;
        let is_broken = stream.reason.chars().any(char::is_lowercase);
        if !is_superseded && !is_over && !is_broken {
            let text = format!("{} ended with {}, superseded", stream.name, stream.reason);
            findings.push(HistoryFinding::new("P4", &stream.order, text));
        }
    }
    for attempt in history.attempts.iter().filter(|act| act.epoch > 0) {
        let higher = history
            .streams
            .iter()
            .filter(|stream| stream.order == attempt.order && stream.epoch > attempt.epoch);
        let granted = higher.filter_map(|stream| stream.first_message_at).min();
        let is_done = matches!(attempt.result, ClientOutcome::Ok { .. });
        if is_done && granted.is_some_and(|granted| granted < attempt.called_at) {
            let text = format!("done with epoch {} after a higher one was granted", attempt.epoch);
            findings.push(HistoryFinding::of_command("P5", attempt, text));
        }
    }
    findings
}

/// Returns the time of the first message of any stream of the same order with a higher epoch.
fn granted_above(history: &SortedHistory<'_>, stream: &StreamSpan) -> Option<Micros> {
    let higher = history
        .streams
        .iter()
        .filter(|other| other.order == stream.order && other.epoch > stream.epoch);
    higher.filter_map(|other| other.first_message_at).min()
}
