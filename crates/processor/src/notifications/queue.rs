//! Which orders have something to tell: now, because something happened, or at a later time. One
//! short lock; what it holds grows with the orders that have something to tell.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use orderstream_core::{OrderKey, Timestamp};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::Wakes;

/// The orders that have something to tell.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Something happened.
    dirty: BTreeSet<OrderKey>,
    /// Something is to be tried again.
    later: BTreeMap<OrderKey, Timestamp>,
    by_time: BTreeSet<(Timestamp, OrderKey)>,
    /// A round is running.
    active: BTreeMap<OrderKey, Wakes>,
    /// Where the last round was taken from, so that all have their turn.
    last: Option<OrderKey>,
}

impl State {
    fn forget_time(&mut self, key: &OrderKey) {
        if let Some(at) = self.later.remove(key) {
            self.by_time.remove(&(at, key.clone()));
        }
    }

    /// The first after the last one, around the circle.
    fn next_dirty(&mut self) -> Option<OrderKey> {
        let after = self.last.as_ref().and_then(|last| {
            let range = (std::ops::Bound::Excluded(last.clone()), std::ops::Bound::Unbounded);
            self.dirty.range(range).next().cloned()
        });
        let key = after.or_else(|| self.dirty.first().cloned())?;
        self.dirty.remove(&key);
        self.last = Some(key.clone());
        Some(key)
    }

    fn next_due(&mut self, now: Timestamp) -> Option<OrderKey> {
        let (at, key) = self.by_time.first()?;
        (*at <= now).then(|| key.clone())
    }
}

impl Queue {
    /// Something happened to an order.
    pub(super) fn wake(&self, key: &OrderKey) {
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
    pub(super) fn next(&self, now: Timestamp) -> Option<(OrderKey, Wakes)> {
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
    pub(super) fn done(&self, key: &OrderKey, again_at: Option<Timestamp>) {
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

    /// How many orders have something to tell.
    pub(super) fn len(&self) -> usize {
        let state = self.state.lock();
        state.dirty.len().saturating_add(state.later.len()).saturating_add(state.active.len())
    }
}

/// Whether somebody woke and nobody heard.
fn has_permit(wakes: &Notify) -> bool {
    use futures_util::FutureExt as _;
    wakes.notified().now_or_never().is_some()
}
