//! The bounded queue between callers and the writer's thread, and the journal's health.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::api::Append;
use crate::error::{RemoveError, SubmitError};
use crate::stats::Stats;

/// The health of a journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// The journal accepts appends.
    Healthy,
    /// The store has failed, for this reason, and is not open again yet.
    Unhealthy(String),
    /// The store is damaged, for this reason: its intact parts can be read, and nothing is written
    /// until an operator intervenes.
    ReadOnly(String),
}

/// The callback that receives the outcome of a removal.
pub(crate) type RemovalCallback = Box<dyn FnOnce(Result<(), RemoveError>) + Send>;

/// A request to the writer.
pub(crate) enum WriteRequest {
    Append {
        append: Append,
        /// The next request must be in the same batch.
        with_next: bool,
    },
    Remove {
        list: Bytes,
        done: RemovalCallback,
    },
}

/// The result of waiting for work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DequeueOutcome {
    /// Requests were dequeued.
    Ready,
    /// The wait timed out without a request.
    Idle,
    /// The queue is stopped and empty.
    Stopped,
}

/// The limits of one batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BatchLimits {
    pub(crate) records_max: usize,
    pub(crate) bytes_max: usize,
}

/// The queue; many threads submit, one dequeues.
pub(crate) struct WriteQueue {
    state: Mutex<WriteQueueState>,
    changed: Condvar,
    len_max: usize,
}

struct WriteQueueState {
    pending: VecDeque<WriteRequest>,
    health: Health,
    stopped: bool,
}

impl WriteQueue {
    pub(crate) fn new(len_max: usize) -> Self {
        let state =
            WriteQueueState { pending: VecDeque::new(), health: Health::Healthy, stopped: false };
        Self { state: Mutex::new(state), changed: Condvar::new(), len_max }
    }

    /// Queues all of the requests or none.
    pub(crate) fn submit(
        &self,
        requests: impl ExactSizeIterator<Item = WriteRequest>,
        stats: &Stats,
    ) -> Result<(), SubmitError> {
        let mut state = self.state.lock();
        if state.stopped {
            return Err(SubmitError::Stopped);
        }
        match &state.health {
            Health::Healthy => {}
            Health::Unhealthy(reason) => return Err(SubmitError::Unhealthy(reason.clone())),
            Health::ReadOnly(reason) => return Err(SubmitError::ReadOnly(reason.clone())),
        }
        if state.pending.len().saturating_add(requests.len()) > self.len_max {
            return Err(SubmitError::Full);
        }
        state.pending.extend(requests);
        state.count(stats);
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// Waits for requests, until a deadline if one is given, and dequeues as many as the limits
    /// allow. A removal is dequeued alone: a batch must not change a key twice.
    pub(crate) fn dequeue(
        &self,
        bounds: BatchLimits,
        until: Option<Instant>,
        stats: &Stats,
        into: &mut Vec<WriteRequest>,
    ) -> DequeueOutcome {
        let mut state = self.state.lock();
        while state.pending.is_empty() {
            if state.stopped {
                return DequeueOutcome::Stopped;
            }
            match until {
                None => self.changed.wait(&mut state),
                Some(until) if self.changed.wait_until(&mut state, until).timed_out() => {
                    return DequeueOutcome::Idle;
                }
                Some(_) => {}
            }
        }
        // If this thread shares its core with submitting threads, let them run first, so that one
        // sync serves all of them. On an idle core this costs nothing.
        MutexGuard::unlocked(&mut state, std::thread::yield_now);
        let (mut records, mut bytes, mut is_joined) = (0, 0, false);
        while is_joined || (records < bounds.records_max && bytes < bounds.bytes_max) {
            match state.pending.front() {
                None => break,
                Some(WriteRequest::Remove { .. }) if !into.is_empty() => break,
                Some(WriteRequest::Remove { .. }) => records = bounds.records_max,
                Some(WriteRequest::Append { append, with_next }) => {
                    is_joined = *with_next;
                    // An append without records still counts, so that the loop ends.
                    records += append.records.len().max(1);
                    bytes += append.records.iter().map(Bytes::len).sum::<usize>();
                }
            }
            into.extend(state.pending.pop_front());
        }
        state.count(stats);
        DequeueOutcome::Ready
    }

    /// Refuses requests until [`Self::resume`], and returns the queued ones.
    pub(crate) fn fail(&self, health: Health, stats: &Stats) -> VecDeque<WriteRequest> {
        let mut state = self.state.lock();
        state.health = health;
        let pending = std::mem::take(&mut state.pending);
        state.count(stats);
        pending
    }

    /// Accepts requests again after [`Self::fail`].
    pub(crate) fn resume(&self) {
        self.state.lock().health = Health::Healthy;
    }

    pub(crate) fn health(&self) -> Health {
        self.state.lock().health.clone()
    }

    /// Refuses requests permanently; queued requests are still processed.
    pub(crate) fn stop(&self) {
        self.state.lock().stopped = true;
        self.changed.notify_all();
    }

    /// Waits for the given time or until the queue is stopped; reports whether it is stopped.
    pub(crate) fn wait_for_stop(&self, timeout: Duration) -> bool {
        let until = Instant::now() + timeout;
        let mut state = self.state.lock();
        while !state.stopped {
            if self.changed.wait_until(&mut state, until).timed_out() {
                break;
            }
        }
        state.stopped
    }
}

impl WriteQueueState {
    fn count(&self, stats: &Stats) {
        stats.queue_len.store(self.pending.len() as u64, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The marks are synced when they are due, and nothing is done until then.
    #[test]
    fn waits_end_at_their_deadline() {
        let queue = WriteQueue::new(1);
        let bounds = BatchLimits { records_max: 1, bytes_max: 1 };
        let until = Instant::now() + Duration::from_millis(20);
        let outcome = queue.dequeue(bounds, Some(until), &Stats::default(), &mut Vec::new());
        assert_eq!(outcome, DequeueOutcome::Idle);
        assert!(Instant::now() >= until);
    }
}
