//! Acts on their way to the processor that a later edit may want taken back: until it is known what came
//! of them, no later edit is shown as taken up.

use orderstream_core::command::{Act, Command};
use orderstream_core::order::Order;
use orderstream_core::{IdempotencyKey, Seq, Snapshot};

/// The last such act of an order. They are sent one after another: what was sent before it is decided
/// when it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sent {
    key: IdempotencyKey,
    before: Before,
}

/// How the order was before an act.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Before {
    /// An award: so many were undone.
    Award(u32),
    /// The undoing of one: so many were undone.
    Undo(u32),
    /// A pause or its end: this event did the last one.
    Steering(Seq),
}

impl Sent {
    /// A command for an order, if a later edit may want it taken back.
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

    /// Whether it is known what came of it.
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
    fn an_award_is_on_its_way_until_the_order_shows_it_or_it_is_refused() {
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
    fn a_pause_is_on_its_way_until_the_order_shows_it_or_ends() {
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
    fn what_no_edit_takes_back_is_not_waited_for() {
        assert_eq!(sent(&opened(), Act::Extend { expires_in_ms: 7_200_000 }), None);
    }
}
