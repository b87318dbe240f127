//! One order of the tracker: its specification, its state, and the task that follows it.

use std::sync::Arc;

use orderstream_core::book::{check_after_end, check_after_end_phase};
use orderstream_core::port::Assignment;
use orderstream_core::tracker::{TrackerInput, TrackerOutput};
use orderstream_core::{
    CommandKind, Epoch, OrderKey, OrderSpec, Phase, Reason, Refusal, Timestamp, Tracker,
};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::{AddOrderResult, CommandRoute, FollowerHandle};
use crate::command_queue::Origin;
use crate::handle::order_ended;
use crate::projector::ListLocation;

#[derive(Debug)]
#[allow(clippy::struct_excessive_bools, reason = "four independent facts")]
pub(super) struct RegistryEntry {
    pub(super) epoch: Epoch,
    pub(super) processor: Arc<str>,
    /// The specification as it was requested; absent once the order's own events hold it.
    pub(super) requested_spec: Option<Box<OrderSpec>>,
    pub(super) tracker: Tracker,
    pub(super) follower: FollowerHandle,
    /// The handle that aborts the task; absent before the task is known and after it ended.
    pub(super) task: Option<AbortHandle>,
    /// The stream is up: as in the tracker, readable without a snapshot.
    pub(super) active: bool,
    /// The stream was up before.
    pub(super) was_active: bool,
    /// The order's task runs.
    pub(super) running: bool,
    /// The order has ended, and nobody follows it any more.
    pub(super) over: bool,
    /// The part of the order that the order store holds.
    pub(super) stored: StoredExtent,
    /// The processor's refusal to open the order, since its stream was last up.
    pub(super) opening_refusal: Option<Box<Refusal>>,
}

/// The part of an order that the order store holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StoredExtent {
    /// No more than commands: a resource requested the order.
    Nothing,
    /// The order's specification.
    Order,
    /// The order's end too, and its state as it is displayed from then on.
    End,
}

impl RegistryEntry {
    pub(super) fn list_location(&self) -> ListLocation {
        ListLocation {
            incarnation: self.tracker.incarnation().clone(),
            processor: Arc::clone(&self.processor),
            last_seq: self.tracker.snapshot().last_seq(),
        }
    }

    /// Returns the destination of the order's commands. A caller's commands wait for as long as the
    /// caller wants the order, whatever blocks it.
    pub(super) fn route(&self, origin: Origin) -> CommandRoute {
        let (processor, epoch) = (self.processor.to_string(), self.epoch);
        if !self.running || self.tracker.order().is_some() {
            return CommandRoute::Ready { processor, epoch };
        }
        // A command that would be refused as unknown waits while the order is about to be opened.
        match &self.opening_refusal {
            Some(refusal) if origin == Origin::Store => {
                CommandRoute::Refused { refusal: (**refusal).clone(), processor, epoch }
            }
            Some(_) | None => CommandRoute::Opening(Arc::clone(&self.follower.changed)),
        }
    }

    /// Returns the specification: the order's own, else the one that was requested.
    pub(super) fn known_spec(&self) -> Option<&OrderSpec> {
        self.tracker.order().map(|order| &order.spec).or(self.requested_spec.as_deref())
    }

    pub(super) fn spec(&self) -> OrderSpec {
        self.known_spec().cloned().unwrap_or_default()
    }

    pub(super) fn assignment(&self, key: &OrderKey) -> Assignment {
        Assignment {
            key: key.clone(),
            incarnation: self.tracker.incarnation().clone(),
            spec: self.spec(),
            epoch: self.epoch,
            processor: self.processor.to_string(),
        }
    }

    /// Reports whether the whole list was received, to its end.
    pub(super) fn has_ended(&self) -> bool {
        self.over || self.tracker.order().is_some_and(|order| order.phase.is_terminal())
    }

    /// Returns the order's end, also where its list is still read up to it, since a former process
    /// displayed it.
    pub(super) fn end(&self) -> Option<Phase> {
        self.tracker.end()
    }

    /// Returns the reply to a command on an order that has ended; `None` before its end.
    pub(super) fn reply_after_end(
        &self,
        key: &OrderKey,
        command: &CommandKind,
    ) -> Option<Result<(), Refusal>> {
        let phase = self.end()?;
        let order = self.tracker.order().filter(|order| order.phase.is_terminal());
        let displayed = || self.tracker.published()?.order.as_ref();
        Some(match (order, displayed()) {
            (Some(order), _) => check_after_end(order, command),
            (None, Some(displayed)) => {
                check_after_end_phase(phase, displayed.award.as_ref(), command)
            }
            // The winner is not known: an earlier version stored the end only.
            (None, None) => match check_after_end_phase(phase, None, command) {
                Ok(()) if matches!(command, CommandKind::Finalise { .. }) => Err(order_ended(key)),
                reply => reply,
            },
        })
    }

    pub(super) fn check_followed(&self, key: &OrderKey) -> Result<(), Refusal> {
        if self.end().is_some() {
            return Err(order_ended(key));
        }
        if !self.running {
            let message = "somebody else follows this order since; ask there";
            return Err(Refusal::new(Reason::StaleEpoch, message));
        }
        Ok(())
    }

    /// Handles a repeated request for the order: its epoch may have risen, its processor may be
    /// another one from the next connection on, its task may have ended.
    pub(super) fn reassign(
        &mut self,
        epoch: Epoch,
        processor: Arc<str>,
        generation: u64,
    ) -> AddOrderResult {
        self.epoch = self.epoch.max(epoch);
        self.processor = processor;
        if self.running || self.has_ended() {
            return AddOrderResult::Known;
        }
        self.running = true;
        // The waiters for the former task wait for this one from now on.
        self.follower.changed.notify_waiters();
        self.follower = FollowerHandle { generation, changed: Arc::new(Notify::new()) };
        AddOrderResult::Start(self.follower.clone())
    }

    pub(super) fn step(&mut self, now: Timestamp, input: TrackerInput) -> TrackerOutput {
        let goes_up = matches!(input, TrackerInput::Connected { .. });
        let goes_down = matches!(input, TrackerInput::Disconnected { .. });
        let output = self.tracker.step(now, input);
        self.active = (self.active || goes_up) && !goes_down && output != TrackerOutput::Ended;
        self.was_active |= goes_up;
        if goes_up {
            self.opening_refusal = None;
        }
        if self.requested_spec.is_some() && self.tracker.order().is_some() {
            self.requested_spec = None;
        }
        if output != TrackerOutput::Ignored {
            self.follower.changed.notify_waiters();
        }
        output
    }
}
