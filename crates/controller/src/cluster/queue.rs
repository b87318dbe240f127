//! Which resources to look at next: each waits once however often it was woken, timers come when
//! they are due, and failures come back later and later.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use orderstream_core::Timestamp;
use orderstream_core::backoff::{bound_ms, equal_jitter_ms};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::cache::ObjectKey;
use super::metrics::Metrics;
use super::room::Room as _;

/// The shortest wait after a failure, milliseconds.
const BACKOFF_MS_MIN: u64 = 250;
/// The longest, milliseconds.
const BACKOFF_MS_MAX: u64 = 60_000;

/// Resources that wait to be looked at.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    notify: Notify,
    metrics: Arc<Metrics>,
}

#[derive(Debug, Default)]
struct State {
    ready: VecDeque<ObjectKey>,
    /// Since when each of the ready ones waits.
    since: HashMap<ObjectKey, Instant>,
    timers: BTreeSet<(Timestamp, ObjectKey)>,
    timer_of: HashMap<ObjectKey, Timestamp>,
    failures: HashMap<ObjectKey, u32>,
}

impl Queue {
    /// An empty one.
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self { state: Mutex::default(), notify: Notify::new(), metrics }
    }

    /// Look at this resource soon.
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

    /// Look at this resource at that time, and not at the one that was set before.
    pub(super) fn set_timer(&self, object: &ObjectKey, at: Option<Timestamp>) {
        let mut state = self.state.lock();
        if let Some(former) = state.timer_of.remove(object) {
            state.timers.remove(&(former, object.clone()));
            state.timer_of.give_back();
        }
        if let Some(at) = at {
            state.timers.insert((at, object.clone()));
            state.timer_of.insert(object.clone(), at);
            drop(state);
            self.notify.notify_one();
        }
    }

    /// The look failed: the next one is due after this time. `draw_permille` is
    /// a draw from 0 to 1 000.
    pub(super) fn failed(&self, object: &ObjectKey, draw_permille: u64) -> u64 {
        let mut state = self.state.lock();
        let failures = state.failures.entry(object.clone()).or_default();
        *failures = failures.saturating_add(1);
        self.metrics.queue_retried();
        let bound = bound_ms(BACKOFF_MS_MIN, BACKOFF_MS_MAX, *failures);
        equal_jitter_ms(bound, draw_permille)
    }

    /// The look succeeded.
    pub(super) fn succeeded(&self, object: &ObjectKey) {
        let mut state = self.state.lock();
        state.failures.remove(object);
        state.failures.give_back();
    }

    /// The resource is gone.
    pub(super) fn forget(&self, object: &ObjectKey) {
        self.set_timer(object, None);
        self.succeeded(object);
    }

    /// Takes the next resource, with how long it waited in seconds.
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
        state.ready.give_back();
        state.since.give_back();
        self.metrics.queue_taken(state.ready.len(), waited);
        Some((object, waited))
    }

    /// When the next timer is due.
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

    fn queue() -> Queue {
        Queue::new(Arc::new(Metrics::register(&prometheus::Registry::new()).unwrap()))
    }

    fn all(queue: &Queue, now: i64) -> Vec<String> {
        std::iter::from_fn(|| queue.take(Timestamp(now)))
            .map(|(object, _)| object.name.to_string())
            .collect()
    }

    #[tokio::test]
    async fn each_waits_once_and_in_the_order_of_the_first_wakes() {
        let queue = queue();
        for name in ["b", "a", "b", "c", "a"] {
            queue.wake(&object(name));
        }
        assert_eq!(all(&queue, 0), ["b", "a", "c"]);
        queue.wake(&object("a"));
        queue.woken().await;
        assert_eq!(all(&queue, 0), ["a"]);
    }

    #[test]
    fn timers_come_when_due_and_the_last_one_set_counts() {
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

    #[test]
    fn failures_wait_longer_up_to_a_minute_and_a_success_forgets_them() {
        let queue = queue();
        let waits: Vec<u64> = (0..12).map(|_| queue.failed(&object("a"), 1_000)).collect();
        assert_eq!(waits[..4], [250, 500, 1_000, 2_000]);
        assert_eq!(waits[11], BACKOFF_MS_MAX);
        queue.succeeded(&object("a"));
        assert_eq!(queue.failed(&object("a"), 0), 125);
    }
}
