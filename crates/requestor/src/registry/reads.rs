//! Reads of followed orders, each under one short lock.

use std::sync::Arc;

use orderstream_core::book::outcome_after_end;
use orderstream_core::buyer::TrackerTotals;
use orderstream_core::{Command, CommandKind, Incarnation, OrderKey, Refusal};
use tokio::sync::Notify;

use super::{CommandRoute, FollowerHandle, Registry, stopping};
use crate::command_queue::{FinalOutcome, Origin};

impl Registry {
    /// Returns the numbers of orders and of streams that are up, and the orders' keys.
    pub(crate) fn counts(&self) -> TrackerTotals {
        let orders = self.orders.lock();
        TrackerTotals {
            total_orders: orders.map.len(),
            active_streams: orders.active,
            tracked: orders.map.keys().cloned().collect(),
        }
    }

    /// Reports whether the order has ended, for good.
    pub(crate) fn has_ended(&self, key: &OrderKey) -> bool {
        self.orders.lock().map.get(key).is_some_and(|entry| entry.end().is_some())
    }

    /// Returns the notifier of the order's changes.
    pub(crate) fn changed(&self, key: &OrderKey) -> Option<Arc<Notify>> {
        self.orders.lock().map.get(key).map(|entry| Arc::clone(&entry.follower.changed))
    }

    /// Refuses a command that the order could not accept now; called before the command is stored.
    /// An order that is not here accepts every command. While the requestor stops, a stream that is
    /// down does not prove that another one leads.
    pub(crate) fn check_command(&self, key: &OrderKey) -> Result<(), Refusal> {
        let orders = self.orders.lock();
        match orders.map.get(key) {
            Some(entry) if orders.is_closed && entry.end().is_none() => Err(stopping()),
            Some(entry) => entry.check_followed(key),
            None => Ok(()),
        }
    }

    /// Returns the incarnation of the order that is followed.
    pub(crate) fn incarnation(&self, key: &OrderKey) -> Option<Incarnation> {
        self.orders.lock().map.get(key).map(|entry| entry.tracker.incarnation().clone())
    }

    /// Returns the order's processor.
    pub(crate) fn processor_of(&self, key: &OrderKey) -> Option<String> {
        self.orders.lock().map.get(key).map(|entry| entry.processor.to_string())
    }

    /// Returns the destination of commands on this incarnation of the order, or on the tracked one
    /// where none is given.
    pub(crate) fn route(
        &self,
        key: &OrderKey,
        incarnation: Option<&Incarnation>,
        origin: Origin,
    ) -> CommandRoute {
        let orders = self.orders.lock();
        match orders.of_incarnation(key, incarnation) {
            None => CommandRoute::Unknown,
            Some(entry) => entry.route(origin),
        }
    }

    /// Returns the identity of the task that follows this incarnation of the order, or the tracked
    /// one where none is given.
    pub(crate) fn follower(
        &self,
        key: &OrderKey,
        incarnation: Option<&Incarnation>,
    ) -> Option<FollowerHandle> {
        let orders = self.orders.lock();
        orders.of_incarnation(key, incarnation).map(|entry| entry.follower.clone())
    }

    /// Returns the reply to a command on an order that has ended; `None` before its end.
    pub(crate) fn reply_after_end(
        &self,
        key: &OrderKey,
        command: &CommandKind,
    ) -> Option<Result<(), Refusal>> {
        self.orders.lock().map.get(key)?.reply_after_end(key, command)
    }

    /// Returns a command's outcome, where the order's end decides it.
    pub(crate) fn outcome_from_end(
        &self,
        key: &OrderKey,
        command: &Command,
    ) -> Option<FinalOutcome> {
        let orders = self.orders.lock();
        let entry = orders.of_incarnation(key, command.incarnation.as_ref())?;
        outcome_after_end(entry.tracker.order()?, &command.kind)
    }
}
