//! P3: a key has one reply, and keys are scoped to their actor.

use super::{HistoryFinding, SortedHistory};
use crate::command::{ClientCommand, ClientOutcome};
use crate::history::ClientAttempt;

/// The refusal reason for a key that was used with another body.
pub(super) const CONFLICT: &str = "IDEMPOTENCY_CONFLICT";

pub(super) fn check(history: &SortedHistory<'_>) -> Vec<HistoryFinding> {
    let mut findings = Vec::new();
    for order in history.orders() {
        for attempts in history.commands_of(order).values() {
            // Opening an order again after its end is not a repetition.
            if !attempts.iter().any(|act| matches!(act.command, ClientCommand::Open(_))) {
                check_replies(attempts, &mut findings);
            }
            for attempt in attempts {
                if let ClientOutcome::Fail { reason } = &attempt.result
                    && reason == CONFLICT
                {
                    let text =
                        format!("{} never used the key {} otherwise", attempt.actor, attempt.key);
                    findings.push(HistoryFinding::of_command("P3", attempt, text));
                }
            }
        }
    }
    findings
}

/// Checks that all successful replies are equal, and that no refusal follows a success.
fn check_replies(attempts: &[&ClientAttempt], findings: &mut Vec<HistoryFinding>) {
    let mut first: Option<&ClientAttempt> = None;
    for attempt in attempts {
        match (&attempt.result, first) {
            (ClientOutcome::Ok { .. }, None) => first = Some(attempt),
            (ClientOutcome::Ok { seq: Some(now) }, Some(before)) => {
                if let ClientOutcome::Ok { seq: Some(then) } = before.result
                    && *now != then
                {
                    let text = format!("answered with #{then}, and again with #{now}");
                    findings.push(HistoryFinding::of_command("P3", attempt, text));
                }
            }
            // Key conflicts are reported separately.
            (ClientOutcome::Fail { reason }, Some(_)) if reason == CONFLICT => {}
            (ClientOutcome::Fail { reason }, Some(_)) => {
                let text = format!("answered with success, and again with {reason}");
                findings.push(HistoryFinding::of_command("P3", attempt, text));
            }
            (ClientOutcome::Ok { seq: None } | ClientOutcome::Unknown { .. }, Some(_))
            | (ClientOutcome::Fail { .. } | ClientOutcome::Unknown { .. }, None) => {}
        }
    }
}
