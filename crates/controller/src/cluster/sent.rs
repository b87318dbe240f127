//! Commands on their way to the processor that a later edit may want to undo: until their outcome
//! is known, no later edit is shown as taken up.

use orderstream_core::command::{Act, Command};
use orderstream_core::order::Order;
use orderstream_core::{IdempotencyKey, Seq, Snapshot};

/// The last such command of an order. Commands are sent one after another, so once this one is
/// decided, all earlier ones are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sent {
    key: IdempotencyKey,
    before: Before,
}

/// The order's state before a command.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Before {
    /// Before an award: the number of awards that were undone.
    Award(u32),
    /// Before the undoing of one: the number of awards that were undone.
    Undo(u32),
    /// Before a pause or its end: the event that last paused or resumed the order.
    Steering(Seq),
}

impl Sent {
    /// Notes a command for an order; `None` where no later edit may want it taken back, or it has
    /// no key.
    pub(super) fn of(command: &Command, order: &Order) -> Option<Self> {
        #[allow(clippy::wildcard_enum_match_arm, reason = "all others are for good")]
        let before = match command.act {
            Act::Finalise { .. } => Before::Award(order.awards_undone),
            Act::UndoAward { .. } => Before::Undo(order.awards_undone),
            Act::Pause { .. } | Act::Resume => Before::Steering(order.steered_at),
            _ => return None,
        };
        Some(Self { key: command.key.clone()?, before })
    }

    /// Reports whether its outcome is known.
    pub(super) fn is_decided(&self, snapshot: &Snapshot) -> bool {
        if snapshot.refused.iter().any(|(key, _)| *key == self.key) {
            return true;
        }
        let Some(order) = snapshot.order.as_deref() else { return false };
        order.phase.is_terminal()
            || match self.before {
                Before::Award(undone) => {
                    order.pending_award.is_some() || order.awards_undone > undone
                }
                Before::Undo(undone) => order.awards_undone > undone,
                Before::Steering(at) => order.steered_at > at,
            }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use orderstream_core::event::{Event, EventKind, OrderOpened};
    use orderstream_core::tracker::{Input, Tracker};
    use orderstream_core::{Incarnation, OrderKey, OrderSpec, Reason, Refusal, Timestamp};

    use super::*;

    const T0: Timestamp = Timestamp(1_800_000_000_000);

    fn opened() -> Tracker {
        let (key, incarnation) =
            (OrderKey::new("", "SB1").unwrap(), Incarnation::new("u1").unwrap());
        let mut tracker = Tracker::new(key.clone(), incarnation.clone());
        let (spec, expires_at) = (OrderSpec::default(), T0.plus_ms(1_800_000));
        let opened = OrderOpened { key, incarnation, spec, expires_at };
        event(&mut tracker, 1, EventKind::OrderOpened(Box::new(opened)));
        tracker
    }

    fn event(tracker: &mut Tracker, seq: u64, kind: EventKind) {
        let event = Event { seq: Seq(seq), at: T0, cause: None, kind };
        tracker.step(T0, Input::Received(Arc::new(event)));
    }

    fn sent(tracker: &Tracker, act: Act) -> Option<Sent> {
        let key = IdempotencyKey::new("k").ok();
        let command = Command { key, ..Command::bare(act) };
        Sent::of(&command, tracker.snapshot().order.as_deref().unwrap())
    }

    fn award() -> Act {
        Act::Finalise { award: None, reason: None, undo_within_ms: Some(60_000) }
    }

    #[test]
    fn events_or_refusals_decide_awards() {
        let mut tracker = opened();
        let sent = sent(&tracker, award()).unwrap();
        assert!(!sent.is_decided(&tracker.snapshot()));
        let mut refused = tracker.clone();
        let refusal = Refusal::new(Reason::ProposalNotFound, "no");
        refused.step(T0, Input::ActRefused { key: sent.key.clone(), refusal });
        assert!(sent.is_decided(&refused.snapshot()));
        let pending = EventKind::AwardPending { award: None, reason: None, effective_at: T0 };
        event(&mut tracker, 2, pending);
        assert!(sent.is_decided(&tracker.snapshot()));
        event(&mut tracker, 3, EventKind::AwardUndone { reason: None });
        assert!(sent.is_decided(&tracker.snapshot()), "it was done, and undone");
    }

    #[test]
    fn events_or_end_decide_pauses() {
        let mut tracker = opened();
        let sent = sent(&tracker, Act::Pause { reason: None }).unwrap();
        assert!(!sent.is_decided(&tracker.snapshot()));
        let mut over = tracker.clone();
        event(&mut over, 2, EventKind::OrderClosed { reason: None });
        assert!(sent.is_decided(&over.snapshot()));
        event(&mut tracker, 2, EventKind::OrderPaused { expired: false, reason: None });
        assert!(sent.is_decided(&tracker.snapshot()));
    }

    #[test]
    fn irrevocable_commands_are_not_awaited() {
        assert_eq!(sent(&opened(), Act::Extend { expires_in_ms: 7_200_000 }), None);
    }
}
