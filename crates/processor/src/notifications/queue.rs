//! The orders with notifications to send: now, because they have new events, or at a later time.
//! The queue takes one short lock, and its size grows with the number of such orders.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use orderstream_core::{OrderIncarnation, Timestamp};
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::PassWaker;
use super::store::OutboxSummary;
use crate::limits::NOTIFY_REPLAYS_MAX;
use crate::metrics::NotificationCounts;

/// The orders with notifications to send.
#[derive(Debug, Default)]
pub(super) struct OutboxQueue {
    state: Mutex<OutboxQueueState>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct OutboxQueueState {
    /// Orders with new events.
    dirty: BTreeSet<OrderIncarnation>,
    /// Orders with a later attempt, and its time.
    later: BTreeMap<OrderIncarnation, Timestamp>,
    by_time: BTreeSet<(Timestamp, OrderIncarnation)>,
    /// Orders with a running round.
    active: BTreeMap<OrderIncarnation, PassWaker>,
    /// Requests to send given-up notifications again, by order.
    replays: BTreeMap<OrderIncarnation, Vec<ReplayRequest>>,
    /// The counts of waiting and given-up notifications, of orders that have any.
    summaries: BTreeMap<OrderIncarnation, OutboxSummary>,
    /// The due times of each order's oldest waiting notification.
    oldest: BTreeSet<(Timestamp, OrderIncarnation)>,
    pending: usize,
    dead: usize,
    /// The order of the last round, so that all get their turn.
    last: Option<OrderIncarnation>,
}

impl OutboxQueueState {
    fn forget_time(&mut self, key: &OrderIncarnation) {
        if let Some(at) = self.later.remove(key) {
            self.by_time.remove(&(at, key.clone()));
        }
    }

    /// Takes the next order with new events after the last one, in a circle.
    fn next_dirty(&mut self) -> Option<OrderIncarnation> {
        let after = self.last.as_ref().and_then(|last| {
            let range = (Bound::Excluded(last.clone()), Bound::Unbounded);
            self.dirty.range(range).next().cloned()
        });
        let key = after.or_else(|| self.dirty.first().cloned())?;
        self.dirty.remove(&key);
        self.last = Some(key.clone());
        Some(key)
    }

    fn next_due(&mut self, now: Timestamp) -> Option<OrderIncarnation> {
        let (at, key) = self.by_time.first()?;
        (*at <= now).then(|| key.clone())
    }
}

impl OutboxQueue {
    /// Queues an order with new events, or wakes its running round.
    pub(super) fn wake(&self, key: &OrderIncarnation) {
        {
            let mut state = self.state.lock();
            if let Some(waker) = state.active.get(key) {
                waker.notify_one();
                return;
            }
            state.dirty.insert(key.clone());
        }
        self.changed.notify_one();
    }

    /// Takes the next order for a round; it is active until [`OutboxQueue::finish`].
    pub(super) fn next(&self, now: Timestamp) -> Option<(OrderIncarnation, PassWaker)> {
        let mut state = self.state.lock();
        let key = match state.next_due(now) {
            Some(key) => key,
            None => state.next_dirty()?,
        };
        state.dirty.remove(&key);
        state.forget_time(&key);
        let waker = Arc::new(Notify::new());
        state.active.insert(key.clone(), Arc::clone(&waker));
        Some((key, waker))
    }

    /// Ends a round; the order is due again at this time, if there is one.
    pub(super) fn finish(&self, key: &OrderIncarnation, again_at: Option<Timestamp>) {
        {
            let mut state = self.state.lock();
            let waker = state.active.remove(key);
            // A wake that came while the pass was ending must not be lost: its permit is still
            // there.
            let was_woken = waker.is_some_and(|wakes| has_permit(&wakes));
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

    /// Requests that a given-up notification is sent again in the order's next delivery pass.
    pub(super) fn replay(
        &self,
        key: &OrderIncarnation,
        id: String,
    ) -> oneshot::Receiver<ReplayOutcome> {
        let (sender, receiver) = oneshot::channel();
        {
            let mut state = self.state.lock();
            let waiting: usize = state.replays.values().map(Vec::len).sum();
            if waiting < NOTIFY_REPLAYS_MAX {
                state.replays.entry(key.clone()).or_default().push(ReplayRequest { id, sender });
            }
        }
        self.wake(key);
        receiver
    }

    /// Takes the replay requests of an order.
    pub(super) fn take_replays(&self, key: &OrderIncarnation) -> Vec<ReplayRequest> {
        self.state.lock().replays.remove(key).unwrap_or_default()
    }

    /// Records the counts of an order's outbox.
    pub(super) fn record_summary(&self, key: &OrderIncarnation, summary: OutboxSummary) {
        let mut state = self.state.lock();
        let previous = state.summaries.remove(key).unwrap_or_default();
        state.pending =
            state.pending.saturating_sub(previous.pending).saturating_add(summary.pending);
        state.dead = state.dead.saturating_sub(previous.dead).saturating_add(summary.dead);
        if let Some(at) = previous.oldest {
            state.oldest.remove(&(at, key.clone()));
        }
        if let Some(at) = summary.oldest {
            state.oldest.insert((at, key.clone()));
        }
        if summary.pending > 0 || summary.dead > 0 {
            state.summaries.insert(key.clone(), summary);
        }
    }

    /// Returns the counts of all orders.
    pub(super) fn counts(&self) -> NotificationCounts {
        let state = self.state.lock();
        NotificationCounts {
            waiting: state.pending,
            dead: state.dead,
            oldest_due_at: state.oldest.first().map(|(at, _)| *at),
        }
    }

    /// Returns the next incarnation from here on with given-up notifications.
    pub(super) fn next_with_dead(&self, from: Bound<OrderIncarnation>) -> Option<OrderIncarnation> {
        let state = self.state.lock();
        let mut candidates = state.summaries.range((from, Bound::Unbounded));
        candidates.find(|(_, head)| head.dead > 0).map(|(key, _)| key.clone())
    }
}

/// A request to send one given-up notification again.
#[derive(Debug)]
pub(super) struct ReplayRequest {
    pub(super) id: String,
    sender: oneshot::Sender<ReplayOutcome>,
}

/// The outcome of a replay request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReplayOutcome {
    /// It is waiting again, on disk too.
    Requeued,
    /// No such notification was given up.
    Unknown,
}

impl ReplayRequest {
    pub(super) fn reply(self, outcome: ReplayOutcome) {
        if self.sender.send(outcome).is_err() {
            tracing::debug!("the caller of a replay has disconnected");
        }
    }
}

/// Reports whether a wake is pending that no delivery pass has received.
fn has_permit(wakes: &Notify) -> bool {
    use futures_util::FutureExt as _;
    wakes.notified().now_or_never().is_some()
}
