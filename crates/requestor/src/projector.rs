//! Projects the orders' lists of events to a store for others (`core::port::OrderProjection`).
//!
//! One task for all orders. Events wake it with the order's key only; it reads the order's list
//! after the cursor that the projection stores, and projects the new events. No stream, command or
//! reply waits for it, and a sweep finds what a wake missed, so it may be late and loses nothing.

mod metrics;
mod pass;
mod queue;
mod sweep;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use orderstream_core::port::{
    OrderProjection, ProcessorAddresses, ProjectionError, ProjectionFuture,
};
use orderstream_core::{OrderKey, TenantScope};
use orderstream_support::jitter;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::backoff::backoff_up_to;
use crate::state::RequestorState;
use metrics::PassOutcome;
use pass::PassResult;
use queue::ProjectionQueue;

pub use metrics::ProjectionMetrics;
pub(crate) use queue::ListLocation;

/// The most orders being projected at once, while the projection is reachable.
const PASSES_MAX: usize = 16;
/// The longest back-off before an unreachable projection is tried again.
const PROJECTION_WAIT_MAX: Duration = Duration::from_secs(10);
/// The shortest time between two comparisons of all lists; the longest is half as much again.
const SWEEP_EVERY: Duration = Duration::from_secs(600);

/// The target of the projection, and its scope.
#[derive(Clone, Debug)]
pub struct Projection {
    /// The store that orders are projected to.
    pub store: Arc<dyn OrderProjection>,
    /// The tenants whose orders are projected.
    pub scope: TenantScope,
}

/// The projection's one task, as other parts see it.
#[derive(Debug)]
pub(crate) struct Projector {
    store: Arc<dyn OrderProjection>,
    scope: TenantScope,
    addresses: Arc<dyn ProcessorAddresses>,
    metrics: ProjectionMetrics,
    queue: Mutex<ProjectionQueue>,
    marked: Notify,
    is_down: AtomicBool,
    sweep_requested: AtomicBool,
    sweep: Notify,
}

impl Projector {
    pub(crate) fn new(
        projection: Projection,
        addresses: Arc<dyn ProcessorAddresses>,
        metrics: ProjectionMetrics,
    ) -> Self {
        Self {
            store: projection.store,
            scope: projection.scope,
            addresses,
            metrics,
            queue: Mutex::default(),
            marked: Notify::new(),
            is_down: AtomicBool::new(false),
            sweep_requested: AtomicBool::new(false),
            sweep: Notify::new(),
        }
    }

    /// Marks the order, which has a new event.
    pub(crate) fn wake(&self, key: &OrderKey) {
        self.mark(key, None);
    }

    /// Stores the location of the list of an order that is no longer followed, where the order
    /// waits or is being projected.
    pub(crate) fn set_location(&self, key: &OrderKey, location: &ListLocation) {
        self.queue.lock().set_location(key, location);
    }

    /// Marks the order, which has events that are not projected; `location` is the location of its
    /// list where nobody follows it.
    pub(crate) fn mark(&self, key: &OrderKey, location: Option<ListLocation>) {
        let waiting = {
            let mut queue = self.queue.lock();
            queue.mark(key, location);
            queue.len()
        };
        self.report_waiting(waiting);
        self.marked.notify_one();
    }

    fn len(&self) -> usize {
        self.queue.lock().len()
    }

    fn is_unreachable(&self, processor: &str) -> bool {
        self.queue.lock().is_unreachable(processor)
    }

    fn report_waiting(&self, waiting: usize) {
        self.metrics.waiting.set(i64::try_from(waiting).unwrap_or(i64::MAX));
    }

    /// Calls the projection, and reports when it becomes unreachable or reachable again.
    async fn call<T>(&self, request: ProjectionFuture<'_, T>) -> Result<T, ProjectionError> {
        let result = request.await;
        let unavailable = match &result {
            Err(ProjectionError::Unavailable(reason)) => Some(reason),
            Ok(_) | Err(ProjectionError::Moved | ProjectionError::Refused(_)) => None,
        };
        let was_down = self.is_down.swap(unavailable.is_some(), Ordering::AcqRel);
        match (was_down, unavailable) {
            (false, Some(reason)) => {
                self.metrics.down.set(1);
                tracing::warn!(reason, "the order projection is unreachable; it will be late");
            }
            (true, None) => {
                self.metrics.down.set(0);
                tracing::info!("the order projection is reachable again");
                // Its content may differ from before: it may have been deleted, or restored.
                self.request_sweep();
            }
            (true, Some(_)) | (false, None) => {}
        }
        result
    }

    fn request_sweep(&self) {
        self.sweep_requested.store(true, Ordering::Release);
        self.sweep.notify_one();
    }

    /// Clears the request for a sweep as one begins; a request from now on causes another one.
    fn clear_sweep_request(&self) {
        self.sweep_requested.store(false, Ordering::Release);
    }

    /// Runs until the requestor stops.
    pub(crate) async fn run(self: Arc<Self>, shared: Arc<RequestorState>) {
        tokio::select! {
            () = shared.cancel.cancelled() => {}
            () = self.run_passes(&shared) => {}
            () = self.run_sweeps(&shared) => {}
        }
        let waiting = self.len();
        if let Err(error) = self.store.close().await {
            tracing::debug!(%error, "the order projection was not closed");
        }
        tracing::info!(waiting, "the order projection has stopped");
    }

    async fn run_sweeps(&self, shared: &RequestorState) {
        loop {
            Box::pin(sweep::sweep(shared, self)).await;
            let pause = tokio::time::sleep(SWEEP_EVERY + jitter(SWEEP_EVERY / 2));
            tokio::pin!(pause);
            while !self.sweep_requested.load(Ordering::Acquire) {
                tokio::select! {
                    () = &mut pause => break,
                    () = self.sweep.notified() => {}
                }
            }
        }
    }

    async fn run_passes(&self, shared: &RequestorState) {
        let mut running = FuturesUnordered::new();
        let mut backoff = backoff_up_to(PROJECTION_WAIT_MAX);
        let mut not_before: Option<Instant> = None;
        loop {
            let now = Instant::now();
            let is_backing_off = not_before.is_some_and(|due| due > now);
            // While the projection is unreachable, a single order probes it.
            let capacity = if not_before.is_some() { 1 } else { PASSES_MAX };
            while !is_backing_off && running.len() < capacity {
                let Some(task) = self.queue.lock().next(now) else { break };
                running.push(Box::pin(pass::pass(shared, self, task)));
            }
            let due = if is_backing_off { not_before } else { self.queue.lock().next_due() };
            // Cancel-safe: every branch only waits, and waits again in the next iteration.
            tokio::select! {
                Some(passed) = running.next(), if !running.is_empty() => {
                    match passed.outcome {
                        PassOutcome::Unavailable => {
                            not_before = Some(Instant::now() + backoff.next_wait());
                        }
                        PassOutcome::Unreachable | PassOutcome::Failed | PassOutcome::NotFound => {}
                        PassOutcome::Projected | PassOutcome::Current | PassOutcome::Moved
                        | PassOutcome::Refused => {
                            backoff.reset();
                            not_before = None;
                        }
                    }
                    self.finish_pass(passed);
                }
                () = self.marked.notified(), if running.len() < capacity && !is_backing_off => {}
                () = sleep_until(due), if due.is_some() && running.len() < capacity => {}
            }
        }
    }

    fn finish_pass(&self, passed: PassResult) {
        let PassResult { task, outcome, end, reason } = passed;
        self.metrics.observe_pass(outcome);
        let (order_req_id, reason) = (task.key.order_req_id.as_str(), reason.unwrap_or_default());
        match outcome {
            PassOutcome::Refused => {
                tracing::error!(order_req_id, reason, "the order's projection is refused");
            }
            PassOutcome::Unreachable | PassOutcome::Failed if !reason.is_empty() => {
                tracing::debug!(order_req_id, reason, "the order's list is not read");
            }
            PassOutcome::Projected
            | PassOutcome::Current
            | PassOutcome::NotFound
            | PassOutcome::Moved
            | PassOutcome::Unavailable
            | PassOutcome::Unreachable
            | PassOutcome::Failed => {}
        }
        let (waiting, is_overflow_over) = {
            let mut queue = self.queue.lock();
            queue.done(&task.key, end, Instant::now());
            (queue.len(), queue.take_overflow())
        };
        self.report_waiting(waiting);
        if is_overflow_over {
            self.request_sweep();
        }
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
#[path = "projector_tests.rs"]
mod tests;
