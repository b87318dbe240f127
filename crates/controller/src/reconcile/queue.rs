//! The queue of resources to reconcile: each waits once however often it was woken, timers fire
//! when they are due, and failures are retried after a growing back-off.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use orderstream_core::Timestamp;
use orderstream_core::backoff::{bound_ms, equal_jitter_ms};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::metrics::Metrics;
use crate::object::ObjectKey;
use crate::table_capacity::ReleaseCapacity as _;

/// The bound of the back-off after a first failure, milliseconds.
const BACKOFF_MS_MIN: u64 = 250;
/// The bound that no back-off exceeds, milliseconds.
const BACKOFF_MS_MAX: u64 = 60_000;

/// The resources that wait to be reconciled.
#[derive(Debug)]
pub(super) struct ReconcileQueue {
    state: Mutex<ReconcileQueueState>,
    notify: Notify,
    metrics: Arc<Metrics>,
}

#[derive(Debug, Default)]
struct ReconcileQueueState {
    ready: VecDeque<ObjectKey>,
    /// The time at which each of the ready ones began to wait.
    since: HashMap<ObjectKey, Instant>,
    timers: BTreeSet<(Timestamp, ObjectKey)>,
    timer_of: HashMap<ObjectKey, Timestamp>,
    failures: HashMap<ObjectKey, u32>,
}

impl ReconcileQueue {
    /// Makes an empty queue.
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self { state: Mutex::default(), notify: Notify::new(), metrics }
    }

    /// Queues a resource, unless it waits already.
    pub(super) fn wake(&self, object: &ObjectKey) {
        let mut state = self.state.lock();
        if state.since.contains_key(object) {
            return;
        }
        state.since.insert(object.clone(), Instant::now());
        state.ready.push_back(object.clone());
        self.metrics.queue_added(state.ready.len());
        drop(state);
        self.notify.notify_one();
    }

    /// Sets the time at which a resource is queued, in place of the one that was set before; `None`
    /// clears it.
    pub(super) fn set_timer(&self, object: &ObjectKey, at: Option<Timestamp>) {
        let mut state = self.state.lock();
        if let Some(former) = state.timer_of.remove(object) {
            state.timers.remove(&(former, object.clone()));
            state.timer_of.release_capacity();
        }
        if let Some(at) = at {
            state.timers.insert((at, object.clone()));
            state.timer_of.insert(object.clone(), at);
            drop(state);
            self.notify.notify_one();
        }
    }

    /// Counts a failed reconcile, and returns the back-off before the next one, milliseconds.
    /// `draw_permille` is a draw from 0 to 1 000.
    pub(super) fn failed(&self, object: &ObjectKey, draw_permille: u64) -> u64 {
        let mut state = self.state.lock();
        let failures = state.failures.entry(object.clone()).or_default();
        *failures = failures.saturating_add(1);
        self.metrics.queue_retried();
        let bound = bound_ms(BACKOFF_MS_MIN, BACKOFF_MS_MAX, *failures);
        equal_jitter_ms(bound, draw_permille)
    }

    /// Forgets the failures of a resource that was reconciled.
    pub(super) fn succeeded(&self, object: &ObjectKey) {
        let mut state = self.state.lock();
        state.failures.remove(object);
        state.failures.release_capacity();
    }

    /// Forgets the timer and the failures of a resource that is gone.
    pub(super) fn forget(&self, object: &ObjectKey) {
        self.set_timer(object, None);
        self.succeeded(object);
    }

    /// Takes the next resource, with the seconds that it waited.
    pub(super) fn take(&self, now: Timestamp) -> Option<(ObjectKey, f64)> {
        let mut state = self.state.lock();
        while let Some((at, object)) = state.timers.first().cloned() {
            if at > now {
                break;
            }
            state.timers.pop_first();
            state.timer_of.remove(&object);
            if !state.since.contains_key(&object) {
                state.since.insert(object.clone(), Instant::now());
                state.ready.push_back(object);
            }
        }
        let object = state.ready.pop_front()?;
        let waited = state.since.remove(&object).map_or(0.0, |at| at.elapsed().as_secs_f64());
        state.ready.release_capacity();
        state.since.release_capacity();
        self.metrics.queue_taken(state.ready.len(), waited);
        Some((object, waited))
    }

    /// Returns the time of the next timer.
    pub(super) fn next_timer(&self) -> Option<Timestamp> {
        self.state.lock().timers.first().map(|(at, _)| *at)
    }

    /// Waits for the next wake. A wake that came before counts.
    pub(super) async fn woken(&self) {
        self.notify.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(name: &str) -> ObjectKey {
        ObjectKey { namespace: "default".into(), name: name.into() }
    }

    fn queue() -> ReconcileQueue {
        let registry = prometheus::Registry::new();
        ReconcileQueue::new(Arc::new(Metrics::register(&registry, "lease").unwrap()))
    }

    fn all(queue: &ReconcileQueue, now: i64) -> Vec<String> {
        std::iter::from_fn(|| queue.take(Timestamp(now)))
            .map(|(object, _)| object.name.to_string())
            .collect()
    }

    #[tokio::test]
    async fn resources_queue_once_in_wake_order() {
        let queue = queue();
        for name in ["b", "a", "b", "c", "a"] {
            queue.wake(&object(name));
        }
        assert_eq!(all(&queue, 0), ["b", "a", "c"]);
        queue.wake(&object("a"));
        queue.woken().await;
        assert_eq!(all(&queue, 0), ["a"]);
    }

    /// The last one that was set counts.
    #[test]
    fn timers_fire_when_due() {
        let queue = queue();
        queue.set_timer(&object("a"), Some(Timestamp(10)));
        queue.set_timer(&object("b"), Some(Timestamp(20)));
        queue.set_timer(&object("a"), Some(Timestamp(15)));
        assert_eq!(queue.next_timer(), Some(Timestamp(15)));
        assert_eq!(all(&queue, 14), [""; 0]);
        queue.wake(&object("b"));
        assert_eq!(all(&queue, 30), ["b", "a"]);
        assert_eq!(queue.next_timer(), None);
    }

    /// The longest back-off is a minute.
    #[test]
    fn failures_back_off_until_success() {
        let queue = queue();
        let waits: Vec<u64> = (0..12).map(|_| queue.failed(&object("a"), 1_000)).collect();
        assert_eq!(waits[..4], [250, 500, 1_000, 2_000]);
        assert_eq!(waits[11], BACKOFF_MS_MAX);
        queue.succeeded(&object("a"));
        assert_eq!(queue.failed(&object("a"), 0), 125);
    }
}
