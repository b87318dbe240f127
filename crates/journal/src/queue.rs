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
    /// The journal takes appends.
    Healthy,
    /// The store failed and is not open again yet, for this reason.
    Unhealthy(String),
    /// The store is damaged, for this reason: its whole parts can be read, and nothing is written
    /// until an operator acts.
    ReadOnly(String),
}

/// The callback that receives the outcome of a removal.
pub(crate) type RemovalCallback = Box<dyn FnOnce(Result<(), RemoveError>) + Send>;

/// A request to the writer.
pub(crate) enum WriteRequest {
    Append {
        append: Append,
        /// The next one is to be in the same batch.
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
    /// There is work.
    Ready,
    /// There is none, and the wait is over.
    Idle,
    /// There is none and there will be none.
    Stopped,
}

/// The limits of one batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BatchLimits {
    pub(crate) records_max: usize,
    pub(crate) bytes_max: usize,
}

/// The queue; filled by many threads, emptied by one.
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

    /// Queues all of this or nothing.
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

    /// Waits for work, until a time if one is given, and takes all there is, up to the limits. A
    /// removal is taken alone: its batch must not change a key twice.
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
        // If this thread shares its core with submitting threads, they run first, so that one sync
        // serves all of them. On an idle core this costs nothing.
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

    /// Refuses more work until the queue is healed, and returns the work that waits.
    pub(crate) fn fail(&self, health: Health, stats: &Stats) -> VecDeque<WriteRequest> {
        let mut state = self.state.lock();
        state.health = health;
        let pending = std::mem::take(&mut state.pending);
        state.count(stats);
        pending
    }

    /// Takes work again, after [`Self::fail`].
    pub(crate) fn resume(&self) {
        self.state.lock().health = Health::Healthy;
    }

    pub(crate) fn health(&self) -> Health {
        self.state.lock().health.clone()
    }

    /// Refuses more work for good; work that waits is still done.
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
