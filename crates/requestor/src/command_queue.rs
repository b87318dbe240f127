//! The commands that wait for their processors, order by order: at most one task sends an order's
//! commands, one after another. A command stays here until its outcome is known and, where the
//! order store holds the command, stored. Neither the end of a stream nor that of an order removes
//! one.
//!
//! ```text
//!   push ──▶ waits ──▶ at the front: sent, and sent again ──▶ settled: stored, replied, removed
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use orderstream_core::{Command, IdempotencyKey, Incarnation, OrderKey, Reason, Refusal};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, watch};

use crate::store::matches_command;

/// The most commands of one order that may wait for its processor.
pub(crate) const QUEUED_COMMANDS_MAX: usize = 256;

/// A command's final outcome: done, or refused.
pub(crate) type FinalOutcome = Result<(), Refusal>;

/// The source of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The order store, which holds the command and gets its outcome.
    Store,
    /// A caller that repeats the command if need be.
    Caller,
}

/// A command's state when it is queued: never sent, or perhaps sent before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SendHistory {
    /// The command was never sent.
    NeverSent,
    /// The command may have been sent before, without a reply.
    MaybeSent,
}

/// A command to be queued, with its source and its history.
#[derive(Debug)]
pub(crate) struct EnqueueRequest {
    /// The command; without an incarnation it means the one that the processor has.
    pub(crate) command: Command,
    /// The source of the command.
    pub(crate) origin: Origin,
    /// The record of former tries.
    pub(crate) history: SendHistory,
    /// The order's processor, used where nothing here follows the order.
    pub(crate) fallback_processor: Option<String>,
    /// A permit for commands on orders that are not followed; absent where the order is followed.
    pub(crate) permit: Option<OwnedSemaphorePermit>,
}

/// A command that waits.
#[derive(Debug)]
pub(crate) struct QueuedCommand {
    pub(crate) command: Command,
    pub(crate) origin: Origin,
    pub(crate) history: SendHistory,
    pub(crate) fallback_processor: Option<String>,
    _permit: Option<OwnedSemaphorePermit>,
    outcome: watch::Sender<Option<FinalOutcome>>,
}

/// A receiver of a command's outcome.
#[derive(Clone, Debug)]
pub(crate) struct OutcomeReceiver(watch::Receiver<Option<FinalOutcome>>);

impl OutcomeReceiver {
    /// Waits for the outcome; `None` when the command was dropped without one.
    pub(crate) async fn wait(mut self) -> Option<FinalOutcome> {
        // Cancel-safe: waiting changes nothing.
        self.0.wait_for(Option::is_some).await.ok().and_then(|settled| settled.clone())
    }
}

/// The state of an order's sending task after a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SenderState {
    /// No task runs; the caller starts one that sends the order's commands.
    Stopped,
    /// A task is sending already.
    Running,
}

#[derive(Debug, Default)]
struct OrderCommands {
    commands: VecDeque<Arc<QueuedCommand>>,
    is_sending: bool,
}

/// The waiting commands of all orders.
#[derive(Debug, Default)]
pub(crate) struct CommandQueue {
    orders: Mutex<BTreeMap<OrderKey, OrderCommands>>,
}

impl CommandQueue {
    /// Queues a command. The same key of the same incarnation waits once.
    pub(crate) fn push(
        &self,
        key: &OrderKey,
        request: EnqueueRequest,
    ) -> (OutcomeReceiver, SenderState) {
        let mut orders = self.orders.lock();
        let order_commands = orders.entry(key.clone()).or_default();
        let command = &request.command;
        let receiver = match order_commands.find(command.key.as_ref(), command.incarnation.as_ref())
        {
            Some(queued) => queued.subscribe(),
            None => {
                let queued = Arc::new(QueuedCommand::new(request));
                let receiver = queued.subscribe();
                order_commands.commands.push_back(queued);
                receiver
            }
        };
        match std::mem::replace(&mut order_commands.is_sending, true) {
            true => (receiver, SenderState::Running),
            false => (receiver, SenderState::Stopped),
        }
    }

    /// Returns a receiver of the outcome of a waiting command; `None` where none waits under this
    /// key and incarnation. Without `incarnation` any incarnation matches.
    pub(crate) fn subscribe(
        &self,
        key: &OrderKey,
        command_key: &IdempotencyKey,
        incarnation: Option<&Incarnation>,
    ) -> Option<OutcomeReceiver> {
        let orders = self.orders.lock();
        orders.get(key)?.find(Some(command_key), incarnation).map(|queued| queued.subscribe())
    }

    /// Refuses when no more commands of the order may wait.
    pub(crate) fn check_capacity(&self, key: &OrderKey) -> Result<(), Refusal> {
        let queued = self.orders.lock().get(key).map_or(0, |waiting| waiting.commands.len());
        if queued < QUEUED_COMMANDS_MAX {
            return Ok(());
        }
        Err(Refusal::new(
            Reason::Overloaded,
            format!(
                "{QUEUED_COMMANDS_MAX} commands wait for the order's processor; try again later"
            ),
        ))
    }

    /// Returns the command to send next; with `None` the order's sending task is done.
    pub(crate) fn front(&self, key: &OrderKey) -> Option<Arc<QueuedCommand>> {
        let mut orders = self.orders.lock();
        let front =
            orders.get(key).and_then(|order_commands| order_commands.commands.front().cloned());
        if front.is_none() {
            orders.remove(key);
        }
        front
    }

    /// Removes a command, and sends its outcome to all who wait for it.
    pub(crate) fn settle(
        &self,
        key: &OrderKey,
        queued: &Arc<QueuedCommand>,
        outcome: FinalOutcome,
    ) {
        if let Some(order_commands) = self.orders.lock().get_mut(key) {
            order_commands.commands.retain(|other| !Arc::ptr_eq(other, queued));
        }
        queued.outcome.send_replace(Some(outcome));
    }

    /// Records that the order's sending task ended, for any reason; the next push starts another.
    pub(crate) fn sender_ended(&self, key: &OrderKey) {
        if let Some(order_commands) = self.orders.lock().get_mut(key) {
            order_commands.is_sending = false;
        }
    }

    /// Drops the callers' commands on this incarnation of an order: nobody repeats them any more.
    pub(crate) fn drop_caller_commands(&self, key: &OrderKey, incarnation: &Incarnation) {
        if let Some(order_commands) = self.orders.lock().get_mut(key) {
            let is_dropped = |queued: &QueuedCommand| {
                queued.origin == Origin::Caller
                    && queued.command.incarnation.as_ref() == Some(incarnation)
            };
            order_commands.commands.retain(|queued| !is_dropped(queued));
        }
    }

    /// Reports whether this command still waits.
    pub(crate) fn contains(&self, key: &OrderKey, queued: &Arc<QueuedCommand>) -> bool {
        let orders = self.orders.lock();
        let mut commands = orders.get(key).into_iter().flat_map(|waiting| &waiting.commands);
        commands.any(|other| Arc::ptr_eq(other, queued))
    }
}

impl OrderCommands {
    fn find(
        &self,
        key: Option<&IdempotencyKey>,
        incarnation: Option<&Incarnation>,
    ) -> Option<&Arc<QueuedCommand>> {
        let key = key?;
        self.commands.iter().rev().find(|queued| matches_command(&queued.command, key, incarnation))
    }
}

impl QueuedCommand {
    fn new(request: EnqueueRequest) -> Self {
        let EnqueueRequest { command, origin, history, fallback_processor, permit } = request;
        Self {
            command,
            origin,
            history,
            fallback_processor,
            _permit: permit,
            outcome: watch::Sender::new(None),
        }
    }

    fn subscribe(&self) -> OutcomeReceiver {
        OutcomeReceiver(self.outcome.subscribe())
    }
}

#[cfg(test)]
mod tests {
    use orderstream_core::CommandKind;

    use super::*;

    fn order() -> OrderKey {
        OrderKey::new("", "SB1").unwrap()
    }

    fn request(key: &str, origin: Origin) -> EnqueueRequest {
        let command = Command {
            key: IdempotencyKey::new(key).ok(),
            incarnation: Incarnation::new("life-1").ok(),
            ..Command::bare(CommandKind::Resume)
        };
        EnqueueRequest {
            command,
            origin,
            history: SendHistory::NeverSent,
            fallback_processor: None,
            permit: None,
        }
    }

    /// Every caller receives the same outcome.
    #[tokio::test]
    async fn repeated_commands_wait_once() {
        let (queue, key) = (CommandQueue::default(), order());
        let (first, sender) = queue.push(&key, request("k1", Origin::Store));
        assert_eq!(sender, SenderState::Stopped);
        let (second, sender) = queue.push(&key, request("k1", Origin::Store));
        assert_eq!(sender, SenderState::Running);
        let third = queue.subscribe(&key, &IdempotencyKey::new("k1").unwrap(), None).unwrap();
        let front = queue.front(&key).unwrap();
        let no = Refusal::new(Reason::OrderEnded, "too late");
        queue.settle(&key, &front, Err(no.clone()));
        for receiver in [first, second, third] {
            assert_eq!(receiver.wait().await, Some(Err(no.clone())));
        }
        assert!(queue.front(&key).is_none());
        assert_eq!(queue.push(&key, request("k1", Origin::Store)).1, SenderState::Stopped);
    }

    /// The others are sent in the order in which they were queued.
    #[test]
    fn callers_commands_go_with_their_order() {
        let (queue, key) = (CommandQueue::default(), order());
        for (id, origin) in [("k1", Origin::Store), ("k2", Origin::Caller), ("k3", Origin::Store)] {
            queue.push(&key, request(id, origin));
        }
        queue.drop_caller_commands(&key, &Incarnation::new("another").unwrap());
        assert_eq!(queue.orders.lock()[&key].commands.len(), 3);
        queue.drop_caller_commands(&key, &Incarnation::new("life-1").unwrap());
        let mut sent = Vec::new();
        while let Some(front) = queue.front(&key) {
            sent.push(front.command.key.clone().unwrap().to_string());
            queue.settle(&key, &front, Ok(()));
        }
        assert_eq!(sent, ["k1", "k3"]);
        assert!(queue.orders.lock().is_empty(), "nothing is held of an order without acts");
    }

    #[test]
    fn waiting_commands_are_limited_per_order() {
        let (queue, key) = (CommandQueue::default(), order());
        for number in 0..QUEUED_COMMANDS_MAX {
            queue.check_capacity(&key).unwrap();
            queue.push(&key, request(&format!("k{number}"), Origin::Store));
        }
        assert_eq!(queue.check_capacity(&key).unwrap_err().reason, Reason::Overloaded);
    }
}
