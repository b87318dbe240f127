//! One order of the tracker: what is asked for, what is known, and the task that follows it.

use std::sync::Arc;

use orderstream_core::port::Assignment;
use orderstream_core::tracker::{Input, Output};
use orderstream_core::{Epoch, OrderKey, OrderSpec, Reason, Refusal, Timestamp, Tracker};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::{Added, Following};
use crate::projector::Place;

#[derive(Debug)]
#[allow(clippy::struct_excessive_bools, reason = "four independent facts")]
pub(super) struct Entry {
    pub(super) epoch: Epoch,
    pub(super) processor: Arc<str>,
    /// What is asked for, until the order itself says it.
    pub(super) asked: Option<Box<OrderSpec>>,
    pub(super) tracker: Tracker,
    pub(super) following: Following,
    /// Ends the task; absent before it is known and after it ended.
    pub(super) task: Option<AbortHandle>,
    /// Whether the stream is up; as in the tracker, readable without a snapshot.
    pub(super) active: bool,
    /// Whether it was up before.
    pub(super) was_active: bool,
    /// Whether the order's task runs.
    pub(super) running: bool,
    /// Whether the order store holds the order.
    pub(super) stored: bool,
}

impl Entry {
    pub(super) fn place(&self) -> Place {
        Place {
            incarnation: self.tracker.incarnation().clone(),
            processor: Arc::clone(&self.processor),
            last_seq: self.tracker.last_seq(),
        }
    }

    pub(super) fn spec(&self) -> OrderSpec {
        let opened = self.tracker.order().map(|order| &order.spec);
        opened.or(self.asked.as_deref()).cloned().unwrap_or_default()
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

    pub(super) fn has_ended(&self) -> bool {
        self.tracker.order().is_some_and(|order| order.phase.is_terminal())
    }

    pub(super) fn check_followed(&self, key: &OrderKey) -> Result<(), Refusal> {
        if self.has_ended() {
            let id = &key.order_req_id;
            return Err(Refusal::new(
                Reason::OrderEnded,
                format!("order {id} has ended; use a new order_req_id"),
            ));
        }
        if !self.running {
            let message = "somebody else follows this order since; ask there";
            return Err(Refusal::new(Reason::StaleEpoch, message));
        }
        Ok(())
    }

    /// The order is asked for again: its epoch may have risen, its processor
    /// may be another one from the next connection on, its task may have ended.
    pub(super) fn again(&mut self, epoch: Epoch, processor: Arc<str>, life: u64) -> Added {
        self.epoch = self.epoch.max(epoch);
        self.processor = processor;
        if self.running || self.has_ended() {
            return Added::Known;
        }
        self.running = true;
        // Who waits on the former life waits on this one from now on.
        self.following.changed.notify_waiters();
        self.following = Following { life, changed: Arc::new(Notify::new()) };
        Added::Start(self.following.clone())
    }

    pub(super) fn step(&mut self, now: Timestamp, input: Input) -> Output {
        let goes_up = matches!(input, Input::Connected { .. });
        let goes_down = matches!(input, Input::Disconnected { .. });
        let output = self.tracker.step(now, input);
        self.active = (self.active || goes_up) && !goes_down && output != Output::Ended;
        self.was_active |= goes_up;
        if self.asked.is_some() && self.tracker.order().is_some() {
            self.asked = None;
        }
        if output != Output::Ignored {
            self.following.changed.notify_waiters();
        }
        output
    }
}
