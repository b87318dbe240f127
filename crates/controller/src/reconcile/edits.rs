//! Edits of a resource on their way to the processor: one write of the status is to show an edit
//! together with its effect.

use orderstream_core::Timestamp;

use super::facts::ReconcileFacts;
use super::in_flight_command::InFlightCommand;
use super::publication::EDIT_GRACE_MS;
use super::reconciler::Reconciler;

/// The progress of the resource's edits to the processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EditProgress {
    /// A command is still on its way there.
    InFlight,
    /// All edits have reached it, or were refused.
    Settled,
}

impl Reconciler {
    /// Reports whether a command may still take effect that a later edit wants to undo.
    pub(super) fn is_command_in_flight(&self, facts: &ReconcileFacts) -> bool {
        let snapshot = facts.snapshot.as_deref();
        self.with_state(facts, |state| {
            let is_decided =
                |sent: &InFlightCommand| snapshot.is_some_and(|seen| sent.is_decided(seen));
            if state.in_flight.as_ref().is_some_and(is_decided) {
                state.in_flight = None;
            }
            state.in_flight.is_some()
        })
    }

    /// Returns the time until which an edit on its way to the processor is not shown as taken up,
    /// so that one write shows the edit and its effect, unless that takes too long.
    pub(super) fn edit_is_fresh(&self, facts: &ReconcileFacts) -> Option<Timestamp> {
        let generation = facts.generation();
        let is_observed = facts.known.observed_generation == Some(generation);
        self.with_state(facts, |state| {
            if is_observed {
                state.edit = None;
                return None;
            }
            let (_, since) = match state.edit {
                Some(edit) if edit.0 == generation => edit,
                Some(_) | None => *state.edit.insert((generation, facts.now)),
            };
            let due = since.plus_ms(EDIT_GRACE_MS);
            (facts.now < due).then_some(due)
        })
    }
}
