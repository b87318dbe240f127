//! One order of the tracker: what is asked for, what is known, and the task that follows it.

use std::sync::Arc;

use orderstream_core::book::{after_an_end, after_the_end};
use orderstream_core::port::Assignment;
use orderstream_core::tracker::{Input, Output};
use orderstream_core::{
    Act, Epoch, OrderKey, OrderSpec, Phase, Reason, Refusal, Timestamp, Tracker,
};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::{Added, Address, Following};
use crate::act_queue::Origin;
use crate::handle::ended;
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
    /// Whether it has ended, and nobody follows it any more.
    pub(super) over: bool,
    /// What the order store holds of it.
    pub(super) stored: Holds,
    /// Why its processor does not open it, since it was last up.
    pub(super) refused: Option<Box<Refusal>>,
}

/// What the order store holds of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    /// No more than acts: a resource asked for it.
    Nothing,
    /// What was asked for.
    Order,
    /// Its end too, and what is shown of it from then on.
    End,
}

impl Entry {
    pub(super) fn place(&self) -> Place {
        Place {
            incarnation: self.tracker.incarnation().clone(),
            processor: Arc::clone(&self.processor),
            last_seq: self.tracker.snapshot().last_seq(),
        }
    }

    /// Where its acts go. Those of a caller wait for as long as it wants the order, whoever is in its way.
    pub(super) fn address(&self, origin: Origin) -> Address {
        let (processor, epoch) = (self.processor.to_string(), self.epoch);
        if !self.running || self.tracker.order().is_some() {
            return Address::At { processor, epoch };
        }
        // What would be refused as unknown waits, while somebody is about to open the order.
        match &self.refused {
            Some(refusal) if origin == Origin::Store => {
                Address::Refused { refusal: (**refusal).clone(), processor, epoch }
            }
            Some(_) | None => Address::NotYet(Arc::clone(&self.following.changed)),
        }
    }

    /// What was asked for: as the order says it, or as it was asked.
    pub(super) fn asked(&self) -> Option<&OrderSpec> {
        self.tracker.order().map(|order| &order.spec).or(self.asked.as_deref())
    }

    pub(super) fn spec(&self) -> OrderSpec {
        self.asked().cloned().unwrap_or_default()
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

    /// Whether the whole list was heard, to its end.
    pub(super) fn has_ended(&self) -> bool {
        self.over || self.tracker.order().is_some_and(|order| order.phase.is_terminal())
    }

    /// The order's end, also where its list is still read up to it: a former process showed it.
    pub(super) fn end(&self) -> Option<Phase> {
        self.tracker.end()
    }

    /// What an order that reached its end says to an act; `None` while it lives.
    pub(super) fn after_the_end(&self, key: &OrderKey, act: &Act) -> Option<Result<(), Refusal>> {
        let phase = self.end()?;
        let order = self.tracker.order().filter(|order| order.phase.is_terminal());
        let shown = || self.tracker.shown()?.order.as_ref();
        Some(match (order, shown()) {
            (Some(order), _) => after_the_end(order, act),
            (None, Some(shown)) => after_an_end((phase, shown.award.as_ref()), act),
            // Who won is not known: an earlier version wrote down the end alone.
            (None, None) => match after_an_end((phase, None), act) {
                Ok(()) if matches!(act, Act::Finalise { .. }) => Err(ended(key)),
                answer => answer,
            },
        })
    }

    pub(super) fn check_followed(&self, key: &OrderKey) -> Result<(), Refusal> {
        if self.end().is_some() {
            return Err(ended(key));
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
        if goes_up {
            self.refused = None;
        }
        if self.asked.is_some() && self.tracker.order().is_some() {
            self.asked = None;
        }
        if output != Output::Ignored {
            self.following.changed.notify_waiters();
        }
        output
    }
}
