//! P3: one key has one reply, and each actor has keys of its own.

use super::{Finding, Sorted};
use crate::history::Act;
use crate::op::{Op, Outcome};

/// The reason for a key that was used with another body.
pub(super) const CONFLICT: &str = "IDEMPOTENCY_CONFLICT";

pub(super) fn check(sorted: &Sorted<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for order in sorted.orders() {
        for attempts in sorted.acts_of(order).values() {
            // Asked for anew after its end, an order is no repetition.
            if !attempts.iter().any(|act| matches!(act.op, Op::Open(_))) {
                same(attempts, &mut findings);
            }
            for act in attempts {
                if let Outcome::Fail { reason } = &act.result
                    && reason == CONFLICT
                {
                    let text = format!("{} never used the key {} otherwise", act.actor, act.key);
                    findings.push(Finding::of_act("P3", act, text));
                }
            }
        }
    }
    findings
}

/// Checks that all successful replies are equal, and that a success is followed by no refusal.
fn same(attempts: &[&Act], findings: &mut Vec<Finding>) {
    let mut first: Option<&Act> = None;
    for act in attempts {
        match (&act.result, first) {
            (Outcome::Ok { .. }, None) => first = Some(act),
            (Outcome::Ok { seq: Some(now) }, Some(before)) => {
                if let Outcome::Ok { seq: Some(then) } = before.result
                    && *now != then
                {
                    let text = format!("answered with #{then}, and again with #{now}");
                    findings.push(Finding::of_act("P3", act, text));
                }
            }
            // A key that is said to be another's is found by itself.
            (Outcome::Fail { reason }, Some(_)) if reason == CONFLICT => {}
            (Outcome::Fail { reason }, Some(_)) => {
                let text = format!("answered with success, and again with {reason}");
                findings.push(Finding::of_act("P3", act, text));
            }
            (Outcome::Ok { seq: None } | Outcome::Unknown { .. }, Some(_))
            | (Outcome::Fail { .. } | Outcome::Unknown { .. }, None) => {}
        }
    }
}
