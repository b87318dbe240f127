//! Which orders have something to tell: now, because something happened, or at a later time. One
//! short lock; what it holds grows with the orders that have something to tell.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use orderstream_core::Timestamp;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::store::Head;
use super::{Life, Wakes};
use crate::limits::NOTIFY_REPLAYS_MAX;

/// The orders that have something to tell.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Something happened.
    dirty: BTreeSet<Life>,
    /// Something is to be tried again.
    later: BTreeMap<Life, Timestamp>,
    by_time: BTreeSet<(Timestamp, Life)>,
    /// A round is running.
    active: BTreeMap<Life, Wakes>,
    /// What somebody asked to be sent again.
    replays: BTreeMap<Life, Vec<Replay>>,
    /// What waits and what was given up, of orders that have any.
    tally: BTreeMap<Life, Head>,
    /// Since when the oldest of each order waits.
    oldest: BTreeSet<(Timestamp, Life)>,
    pending: usize,
    dead: usize,
    /// Where the last round was taken from, so that all have their turn.
    last: Option<Life>,
}

impl State {
    fn forget_time(&mut self, key: &Life) {
        if let Some(at) = self.later.remove(key) {
            self.by_time.remove(&(at, key.clone()));
        }
    }

    /// The first after the last one, around the circle.
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
    /// Something happened to an order.
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

    /// The next order to look at; it counts as active until [`Queue::done`].
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

    /// A round ended; the order is to be looked at again at this time, if at any.
    pub(super) fn done(&self, key: &Life, again_at: Option<Timestamp>) {
        {
            let mut state = self.state.lock();
            let wakes = state.active.remove(key);
            // What happened while the round was ending must not be lost: a permit is left.
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

    /// When the next one is due.
    pub(super) fn next_at(&self) -> Option<Timestamp> {
        let state = self.state.lock();
        if state.dirty.is_empty() {
            return state.by_time.first().map(|(at, _)| *at);
        }
        Some(Timestamp(0))
    }

    /// Waits until something happens.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Sends a dead notification again in the order's next round.
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

    /// What is to be sent again of an order.
    pub(super) fn take_replays(&self, key: &Life) -> Vec<Replay> {
        self.state.lock().replays.remove(key).unwrap_or_default()
    }

    /// Notes what an order's outbox holds.
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

    /// How many wait, how many were given up, and since when the oldest waits.
    pub(super) fn totals(&self) -> (usize, usize, Option<Timestamp>) {
        let state = self.state.lock();
        (state.pending, state.dead, state.oldest.first().map(|(at, _)| *at))
    }

    /// The next incarnation from here on that has given something up.
    pub(super) fn with_dead(&self, from: Bound<Life>) -> Option<Life> {
        let state = self.state.lock();
        let mut held = state.tally.range((from, Bound::Unbounded));
        held.find(|(_, head)| head.dead > 0).map(|(key, _)| key.clone())
    }
}

/// One dead notification that is to be sent again.
#[derive(Debug)]
pub(super) struct Replay {
    pub(super) id: String,
    sender: oneshot::Sender<Replayed>,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Replayed {
    /// It is waiting again, on disk too.
    Done,
    /// No such one was given up.
    Unknown,
}

impl Replay {
    pub(super) fn answer(self, replayed: Replayed) {
        if self.sender.send(replayed).is_err() {
            tracing::debug!("who asked for a replay went away");
        }
    }
}

/// Whether somebody woke and nobody heard.
fn has_permit(wakes: &Notify) -> bool {
    use futures_util::FutureExt as _;
    wakes.notified().now_or_never().is_some()
}
