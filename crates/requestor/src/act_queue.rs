//! The commands that wait for their processors, order by order: at most one task sends an order's
//! commands, one after another. A command stays here until its outcome is known and, where the
//! order store holds the command, stored. Neither the end of a stream nor that of an order removes
//! one.
//!
//! ```text
//!   push ──▶ waits ──▶ at the front: sent, and sent again ──▶ settled: stored, replied, taken out
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use orderstream_core::{Command, IdempotencyKey, Incarnation, OrderKey, Reason, Refusal};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, watch};

use crate::store::is_asked;

/// The most commands of one order that may wait for its processor.
pub(crate) const ACTS_MAX: usize = 256;

/// A command's final outcome: done, or refused.
pub(crate) type Settled = Result<(), Refusal>;

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
pub(crate) enum Past {
    /// The command was never sent.
    New,
    /// The command may have been sent before, without a reply.
    MayBeSent,
}

/// A command to be queued, with its source and its history.
#[derive(Debug)]
pub(crate) struct Entrusted {
    /// The command; without an incarnation it means the one that the processor has.
    pub(crate) command: Command,
    /// The source that asked for the command.
    pub(crate) origin: Origin,
    /// The record of former tries.
    pub(crate) past: Past,
    /// The order's processor, used where nothing here follows the order.
    pub(crate) home: Option<String>,
    /// A slot among the commands on orders that are not followed; absent where the order is.
    pub(crate) permit: Option<OwnedSemaphorePermit>,
}

/// A command that waits.
#[derive(Debug)]
pub(crate) struct Queued {
    pub(crate) command: Command,
    pub(crate) origin: Origin,
    pub(crate) past: Past,
    pub(crate) home: Option<String>,
    _permit: Option<OwnedSemaphorePermit>,
    settled: watch::Sender<Option<Settled>>,
}

/// A receiver of a command's outcome.
#[derive(Clone, Debug)]
pub(crate) struct Hearing(watch::Receiver<Option<Settled>>);

impl Hearing {
    /// Waits for the outcome; `None` when the command was dropped without one.
    pub(crate) async fn settled(mut self) -> Option<Settled> {
        // Cancel-safe: waiting changes nothing.
        self.0.wait_for(Option::is_some).await.ok().and_then(|settled| settled.clone())
    }
}

/// The state of an order's sending task after a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Courier {
    /// No task runs; the caller starts one that sends the order's commands.
    Start,
    /// A task is sending already.
    AtWork,
}

#[derive(Debug, Default)]
struct Waiting {
    acts: VecDeque<Arc<Queued>>,
    is_sending: bool,
}

/// The waiting commands of all orders.
#[derive(Debug, Default)]
pub(crate) struct ActQueue {
    orders: Mutex<BTreeMap<OrderKey, Waiting>>,
}

impl ActQueue {
    /// Queues a command. The same key of the same incarnation waits once.
    pub(crate) fn push(&self, key: &OrderKey, act: Entrusted) -> (Hearing, Courier) {
        let mut orders = self.orders.lock();
        let waiting = orders.entry(key.clone()).or_default();
        let asked = (act.command.key.as_ref(), act.command.incarnation.as_ref());
        let hearing = match waiting.find(asked) {
            Some(held) => held.hearing(),
            None => {
                let queued = Arc::new(Queued::new(act));
                let hearing = queued.hearing();
                waiting.acts.push_back(queued);
                hearing
            }
        };
        match std::mem::replace(&mut waiting.is_sending, true) {
            true => (hearing, Courier::AtWork),
            false => (hearing, Courier::Start),
        }
    }

    /// Returns a receiver of the outcome of a waiting command; `None` where none waits under this
    /// key and incarnation. Without `life` any incarnation matches.
    pub(crate) fn hear(
        &self,
        key: &OrderKey,
        act: &IdempotencyKey,
        life: Option<&Incarnation>,
    ) -> Option<Hearing> {
        let orders = self.orders.lock();
        orders.get(key)?.find((Some(act), life)).map(|held| held.hearing())
    }

    /// Refuses when no more commands of the order may wait.
    pub(crate) fn check_room(&self, key: &OrderKey) -> Result<(), Refusal> {
        let waiting = self.orders.lock().get(key).map_or(0, |waiting| waiting.acts.len());
        if waiting < ACTS_MAX {
            return Ok(());
        }
        Err(Refusal::new(
            Reason::Overloaded,
            format!("{ACTS_MAX} commands wait for the order's processor; try again later"),
        ))
    }

    /// Returns the command to send next; with `None` the order's sending task is done.
    pub(crate) fn front(&self, key: &OrderKey) -> Option<Arc<Queued>> {
        let mut orders = self.orders.lock();
        let front = orders.get(key).and_then(|waiting| waiting.acts.front().cloned());
        if front.is_none() {
            orders.remove(key);
        }
        front
    }

    /// Removes a command, and sends its outcome to all who wait for it.
    pub(crate) fn settle(&self, key: &OrderKey, act: &Arc<Queued>, settled: Settled) {
        if let Some(waiting) = self.orders.lock().get_mut(key) {
            waiting.acts.retain(|held| !Arc::ptr_eq(held, act));
        }
        act.settled.send_replace(Some(settled));
    }

    /// Notes that the order's sending task ended, for any reason; the next push starts another.
    pub(crate) fn courier_ended(&self, key: &OrderKey) {
        if let Some(waiting) = self.orders.lock().get_mut(key) {
            waiting.is_sending = false;
        }
    }

    /// Drops the callers' commands on this incarnation of an order: nobody repeats them any more.
    pub(crate) fn drop_callers(&self, key: &OrderKey, life: &Incarnation) {
        if let Some(waiting) = self.orders.lock().get_mut(key) {
            let is_dropped = |act: &Queued| {
                act.origin == Origin::Caller && act.command.incarnation.as_ref() == Some(life)
            };
            waiting.acts.retain(|act| !is_dropped(act));
        }
    }

    /// Reports whether this command still waits.
    pub(crate) fn holds(&self, key: &OrderKey, act: &Arc<Queued>) -> bool {
        let orders = self.orders.lock();
        let mut acts = orders.get(key).into_iter().flat_map(|waiting| &waiting.acts);
        acts.any(|held| Arc::ptr_eq(held, act))
    }
}

impl Waiting {
    fn find(
        &self,
        (key, life): (Option<&IdempotencyKey>, Option<&Incarnation>),
    ) -> Option<&Arc<Queued>> {
        let key = key?;
        self.acts.iter().rev().find(|held| is_asked(&held.command, key, life))
    }
}

impl Queued {
    fn new(act: Entrusted) -> Self {
        let Entrusted { command, origin, past, home, permit } = act;
        Self { command, origin, past, home, _permit: permit, settled: watch::Sender::new(None) }
    }

    fn hearing(&self) -> Hearing {
        Hearing(self.settled.subscribe())
    }
}

#[cfg(test)]
mod tests {
    use orderstream_core::Act;

    use super::*;

    fn order() -> OrderKey {
        OrderKey::new("", "SB1").unwrap()
    }

    fn act(key: &str, origin: Origin) -> Entrusted {
        let command = Command {
            key: IdempotencyKey::new(key).ok(),
            incarnation: Incarnation::new("life-1").ok(),
            ..Command::bare(Act::Resume)
        };
        Entrusted { command, origin, past: Past::New, home: None, permit: None }
    }

    /// Every caller receives the same outcome.
    #[tokio::test]
    async fn repeated_commands_wait_once() {
        let (queue, key) = (ActQueue::default(), order());
        let (first, courier) = queue.push(&key, act("k1", Origin::Store));
        assert_eq!(courier, Courier::Start);
        let (second, courier) = queue.push(&key, act("k1", Origin::Store));
        assert_eq!(courier, Courier::AtWork);
        let third = queue.hear(&key, &IdempotencyKey::new("k1").unwrap(), None).unwrap();
        let front = queue.front(&key).unwrap();
        let no = Refusal::new(Reason::OrderEnded, "too late");
        queue.settle(&key, &front, Err(no.clone()));
        for hearing in [first, second, third] {
            assert_eq!(hearing.settled().await, Some(Err(no.clone())));
        }
        assert!(queue.front(&key).is_none());
        assert_eq!(queue.push(&key, act("k1", Origin::Store)).1, Courier::Start);
    }

    /// The others are sent in the order in which they came.
    #[test]
    fn callers_commands_go_with_their_order() {
        let (queue, key) = (ActQueue::default(), order());
        for (id, origin) in [("k1", Origin::Store), ("k2", Origin::Caller), ("k3", Origin::Store)] {
            queue.push(&key, act(id, origin));
        }
        queue.drop_callers(&key, &Incarnation::new("another").unwrap());
        assert_eq!(queue.orders.lock()[&key].acts.len(), 3);
        queue.drop_callers(&key, &Incarnation::new("life-1").unwrap());
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
        let (queue, key) = (ActQueue::default(), order());
        for number in 0..ACTS_MAX {
            queue.check_room(&key).unwrap();
            queue.push(&key, act(&format!("k{number}"), Origin::Store));
        }
        assert_eq!(queue.check_room(&key).unwrap_err().reason, Reason::Overloaded);
    }
}
