//! The orders with notifications to send: now, because they have new events, or at a later time.
//! The queue takes one short lock, and its size grows with the number of such orders.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use orderstream_core::Timestamp;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::store::Head;
use super::{Life, Wakes};
use crate::limits::NOTIFY_REPLAYS_MAX;

/// The orders with notifications to send.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Orders with new events.
    dirty: BTreeSet<Life>,
    /// Orders with a later attempt, and its time.
    later: BTreeMap<Life, Timestamp>,
    by_time: BTreeSet<(Timestamp, Life)>,
    /// Orders with a running round.
    active: BTreeMap<Life, Wakes>,
    /// Requests to send given-up notifications again, by order.
    replays: BTreeMap<Life, Vec<Replay>>,
    /// The counts of waiting and given-up notifications, of orders that have any.
    tally: BTreeMap<Life, Head>,
    /// The due times of each order's oldest waiting notification.
    oldest: BTreeSet<(Timestamp, Life)>,
    pending: usize,
    dead: usize,
    /// The order of the last round, so that all get their turn.
    last: Option<Life>,
}

impl State {
    fn forget_time(&mut self, key: &Life) {
        if let Some(at) = self.later.remove(key) {
            self.by_time.remove(&(at, key.clone()));
        }
    }

    /// Takes the next order with new events after the last one, in a circle.
    fn next_dirty(&mut self) -> Option<Life> {
        let after = self.last.as_ref().and_then(|last| {
            let range = (Bound::Excluded(last.clone()), Bound::Unbounded);
            self.dirty.range(range).next().cloned()
        });
        let key = after.or_else(|| self.dirty.first().cloned())?;
        self.dirty.remove(&key);
        self.last = Some(key.clone());
        Some(key)
    }

    fn next_due(&mut self, now: Timestamp) -> Option<Life> {
        let (at, key) = self.by_time.first()?;
        (*at <= now).then(|| key.clone())
    }
}

impl Queue {
    /// Queues an order with new events, or wakes its running round.
    pub(super) fn wake(&self, key: &Life) {
        {
            let mut state = self.state.lock();
            if let Some(wakes) = state.active.get(key) {
                wakes.notify_one();
                return;
            }
            state.dirty.insert(key.clone());
        }
        self.changed.notify_one();
    }

    /// Takes the next order for a round; it is active until [`Queue::done`].
    pub(super) fn next(&self, now: Timestamp) -> Option<(Life, Wakes)> {
        let mut state = self.state.lock();
        let key = match state.next_due(now) {
            Some(key) => key,
            None => state.next_dirty()?,
        };
        state.dirty.remove(&key);
        state.forget_time(&key);
        let wakes = Arc::new(Notify::new());
        state.active.insert(key.clone(), Arc::clone(&wakes));
        Some((key, wakes))
    }

    /// Ends a round; the order is due again at this time, if there is one.
    pub(super) fn done(&self, key: &Life, again_at: Option<Timestamp>) {
        {
            let mut state = self.state.lock();
            let wakes = state.active.remove(key);
            // A wake that came while the round was ending must not be lost: its permit is still
            // there.
            let was_woken = wakes.is_some_and(|wakes| has_permit(&wakes));
            if was_woken {
                state.dirty.insert(key.clone());
            }
            if let Some(at) = again_at {
                state.forget_time(key);
                state.later.insert(key.clone(), at);
                state.by_time.insert((at, key.clone()));
            }
        }
        self.changed.notify_one();
    }

    /// Returns the time at which the next order is due.
    pub(super) fn next_at(&self) -> Option<Timestamp> {
        let state = self.state.lock();
        if state.dirty.is_empty() {
            return state.by_time.first().map(|(at, _)| *at);
        }
        Some(Timestamp(0))
    }

    /// Waits until the queue changes.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Requests that a given-up notification is sent again in the order's next round.
    pub(super) fn replay(&self, key: &Life, id: String) -> oneshot::Receiver<Replayed> {
        let (sender, receiver) = oneshot::channel();
        {
            let mut state = self.state.lock();
            let waiting: usize = state.replays.values().map(Vec::len).sum();
            if waiting < NOTIFY_REPLAYS_MAX {
                state.replays.entry(key.clone()).or_default().push(Replay { id, sender });
            }
        }
        self.wake(key);
        receiver
    }

    /// Takes the replay requests of an order.
    pub(super) fn take_replays(&self, key: &Life) -> Vec<Replay> {
        self.state.lock().replays.remove(key).unwrap_or_default()
    }

    /// Records the counts of an order's outbox.
    pub(super) fn tally(&self, key: &Life, head: Head) {
        let mut state = self.state.lock();
        let former = state.tally.remove(key).unwrap_or_default();
        state.pending = state.pending.saturating_sub(former.pending).saturating_add(head.pending);
        state.dead = state.dead.saturating_sub(former.dead).saturating_add(head.dead);
        if let Some(at) = former.oldest {
            state.oldest.remove(&(at, key.clone()));
        }
        if let Some(at) = head.oldest {
            state.oldest.insert((at, key.clone()));
        }
        if head.pending > 0 || head.dead > 0 {
            state.tally.insert(key.clone(), head);
        }
    }

    /// Returns the numbers of waiting and given-up notifications, and the due time of the oldest
    /// waiting one.
    pub(super) fn totals(&self) -> (usize, usize, Option<Timestamp>) {
        let state = self.state.lock();
        (state.pending, state.dead, state.oldest.first().map(|(at, _)| *at))
    }

    /// Returns the next incarnation from here on with given-up notifications.
    pub(super) fn with_dead(&self, from: Bound<Life>) -> Option<Life> {
        let state = self.state.lock();
        let mut held = state.tally.range((from, Bound::Unbounded));
        held.find(|(_, head)| head.dead > 0).map(|(key, _)| key.clone())
    }
}

/// A request to send one given-up notification again.
#[derive(Debug)]
pub(super) struct Replay {
    pub(super) id: String,
    sender: oneshot::Sender<Replayed>,
}

/// The outcome of a replay request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Replayed {
    /// It is waiting again, on disk too.
    Done,
    /// No such notification was given up.
    Unknown,
}

impl Replay {
    pub(super) fn answer(self, replayed: Replayed) {
        if self.sender.send(replayed).is_err() {
            tracing::debug!("who asked for a replay went away");
        }
    }
}

/// Reports whether a wake is pending that no round has received.
fn has_permit(wakes: &Notify) -> bool {
    use futures_util::FutureExt as _;
    wakes.notified().now_or_never().is_some()
}
