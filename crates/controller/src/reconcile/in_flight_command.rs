//! Commands in flight to the processor that a later edit may want to undo: until their outcome is
//! known, no later edit is shown as processed.

use orderstream_core::command::{Command, CommandKind};
use orderstream_core::order::Order;
use orderstream_core::{IdempotencyKey, Seq, TrackerSnapshot};

/// The last such command of an order. Commands are sent one after another, so once this one is
/// decided, all earlier ones are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct InFlightCommand {
    key: IdempotencyKey,
    baseline: CommandBaseline,
}

/// The order's state before a command.
#[derive(Clone, Debug, PartialEq, Eq)]
enum CommandBaseline {
    /// Before an award: the number of awards that were undone.
    Award(u32),
    /// Before the undoing of one: the number of awards that were undone.
    Undo(u32),
    /// Before a pause or a resume: the event that last paused or resumed the order.
    Steering(Seq),
}

impl InFlightCommand {
    /// Returns the record of a command on an order; `None` where no later edit may want to undo it,
    /// or it has no key.
    pub(super) fn of(command: &Command, order: &Order) -> Option<Self> {
        #[allow(clippy::wildcard_enum_match_arm, reason = "all others are for good")]
        let before = match command.kind {
            CommandKind::Finalise { .. } => CommandBaseline::Award(order.awards_undone),
            CommandKind::UndoAward { .. } => CommandBaseline::Undo(order.awards_undone),
            CommandKind::Pause { .. } | CommandKind::Resume => {
                CommandBaseline::Steering(order.suspension_seq)
            }
            _ => return None,
        };
        Some(Self { key: command.key.clone()?, baseline: before })
    }

    /// Reports whether its outcome is known.
    pub(super) fn is_decided(&self, snapshot: &TrackerSnapshot) -> bool {
        if snapshot.refused.iter().any(|(key, _)| *key == self.key) {
            return true;
        }
        let Some(order) = snapshot.order.as_deref() else { return false };
        order.phase.is_terminal()
            || match self.baseline {
                CommandBaseline::Award(undone) => {
                    order.pending_award.is_some() || order.awards_undone > undone
                }
                CommandBaseline::Undo(undone) => order.awards_undone > undone,
                CommandBaseline::Steering(at) => order.suspension_seq > at,
            }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use orderstream_core::event::{Event, EventKind, OrderOpened};
    use orderstream_core::tracker::{Tracker, TrackerInput};
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
        tracker.step(T0, TrackerInput::Received(Arc::new(event)));
    }

    fn in_flight(tracker: &Tracker, act: CommandKind) -> Option<InFlightCommand> {
        let key = IdempotencyKey::new("k").ok();
        let command = Command { key, ..Command::bare(act) };
        InFlightCommand::of(&command, tracker.snapshot().order.as_deref().unwrap())
    }

    fn award() -> CommandKind {
        CommandKind::Finalise { award: None, reason: None, undo_within_ms: Some(60_000) }
    }

    #[test]
    fn events_or_refusals_decide_awards() {
        let mut tracker = opened();
        let in_flight = in_flight(&tracker, award()).unwrap();
        assert!(!in_flight.is_decided(&tracker.snapshot()));
        let mut refused = tracker.clone();
        let refusal = Refusal::new(Reason::ProposalNotFound, "no");
        refused.step(T0, TrackerInput::CommandRefused { key: in_flight.key.clone(), refusal });
        assert!(in_flight.is_decided(&refused.snapshot()));
        let pending = EventKind::AwardPending { award: None, reason: None, effective_at: T0 };
        event(&mut tracker, 2, pending);
        assert!(in_flight.is_decided(&tracker.snapshot()));
        event(&mut tracker, 3, EventKind::AwardUndone { reason: None });
        assert!(in_flight.is_decided(&tracker.snapshot()), "it was done, and undone");
    }

    #[test]
    fn events_or_end_decide_pauses() {
        let mut tracker = opened();
        let in_flight = in_flight(&tracker, CommandKind::Pause { reason: None }).unwrap();
        assert!(!in_flight.is_decided(&tracker.snapshot()));
        let mut over = tracker.clone();
        event(&mut over, 2, EventKind::OrderClosed { reason: None });
        assert!(in_flight.is_decided(&over.snapshot()));
        event(
            &mut tracker,
            2,
            EventKind::OrderPaused { expired: false, reason: None, decide_by: None },
        );
        assert!(in_flight.is_decided(&tracker.snapshot()));
    }

    #[test]
    fn irrevocable_commands_are_not_awaited() {
        assert_eq!(in_flight(&opened(), CommandKind::Extend { expires_in_ms: 7_200_000 }), None);
    }
}
