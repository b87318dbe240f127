//! The state that all parts of one requestor share.

use std::fmt;
use std::sync::Arc;

use orderstream_core::port::{Assignment, Clock};
use orderstream_core::tracker::{TrackerInput, TrackerOutput};
use orderstream_core::{Command, Epoch, Incarnation, OrderKey, Reason, Refusal, Timestamp};
use parking_lot::RwLock;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::channels::ChannelPool;
use crate::circuit_breaker::CircuitBreakers;
use crate::command_queue::{
    CommandQueue, EnqueueRequest, Origin, OutcomeReceiver, SendHistory, SenderState,
};
use crate::command_sender;
use crate::display_log::DisplayLog;
use crate::follower::{self, FollowerTask};
use crate::metrics::Metrics;
use crate::projector::Projector;
use crate::registry::{AddOrderResult, FollowerHandle, Registry, stopping};
use crate::store::{OrderStore, StoreError};

/// The most follow-ups of unknown orders that may wait for a processor at once.
const UNTRACKED_FOLLOW_UPS_MAX: usize = 1_024;

type OrderWatcher = Arc<dyn Fn(&OrderKey) + Send + Sync>;

/// The state that all parts of one requestor share.
pub(crate) struct RequestorState {
    pub(crate) registry: Registry,
    pub(crate) commands: CommandQueue,
    pub(crate) channels: ChannelPool,
    pub(crate) store: OrderStore,
    pub(crate) display_log: DisplayLog,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Metrics,
    pub(crate) processors: Vec<String>,
    pub(crate) epoch: Epoch,
    pub(crate) tasks: TaskTracker,
    pub(crate) cancel: CancellationToken,
    pub(crate) untracked_follow_ups: Arc<Semaphore>,
    pub(crate) circuit_breakers: CircuitBreakers,
    pub(crate) projector: Option<Arc<Projector>>,
    watcher: RwLock<Option<OrderWatcher>>,
}

impl fmt::Debug for RequestorState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Requestor")
            .field("epoch", &self.epoch)
            .field("processors", &self.processors)
            .finish_non_exhaustive()
    }
}

/// The parts that [`RequestorState`] is made of.
pub(crate) struct StateParts {
    pub(crate) registry: Registry,
    pub(crate) channels: ChannelPool,
    pub(crate) store: OrderStore,
    pub(crate) display_log: DisplayLog,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Metrics,
    pub(crate) processors: Vec<String>,
    pub(crate) epoch: Epoch,
    pub(crate) cancel: CancellationToken,
    pub(crate) projector: Option<Arc<Projector>>,
}

impl RequestorState {
    pub(crate) fn new(parts: StateParts) -> Arc<Self> {
        Arc::new(Self {
            registry: parts.registry,
            commands: CommandQueue::default(),
            channels: parts.channels,
            store: parts.store,
            display_log: parts.display_log,
            clock: parts.clock,
            metrics: parts.metrics,
            processors: parts.processors,
            epoch: parts.epoch,
            tasks: TaskTracker::new(),
            cancel: parts.cancel,
            untracked_follow_ups: Arc::new(Semaphore::new(UNTRACKED_FOLLOW_UPS_MAX)),
            circuit_breakers: CircuitBreakers::default(),
            projector: parts.projector,
            watcher: RwLock::new(None),
        })
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Observes the lag of an event with this time, received over a stream.
    #[allow(clippy::cast_precision_loss, reason = "milliseconds of days fit in 53 bits")]
    pub(crate) fn observe_lag(&self, at: Timestamp) {
        self.metrics.event_lag.observe(self.now().ms_since(at) as f64 / 1_000.0);
    }

    /// Refuses new work while the requestor stops.
    pub(crate) fn check_open(&self) -> Result<(), Refusal> {
        if self.cancel.is_cancelled() {
            return Err(stopping());
        }
        Ok(())
    }

    /// Makes sure that one task follows the order.
    pub(crate) fn ensure(
        self: &Arc<Self>,
        assignment: Assignment,
        origin: Origin,
    ) -> Result<(), Refusal> {
        self.check_open()?;
        let key = assignment.key.clone();
        if let AddOrderResult::Start(follower) = self.registry.add_order(assignment, origin)? {
            let generation = follower.generation;
            let order = FollowerTask { shared: Arc::clone(self), key: key.clone(), follower };
            let task = self.tasks.spawn(follower::follow(order));
            self.registry.set_task(&key, generation, task.abort_handle());
        }
        Ok(())
    }

    /// Queues a command of a caller that repeats it if need be.
    pub(crate) fn queue_caller_command(
        self: &Arc<Self>,
        key: &OrderKey,
        command: Command,
    ) -> Result<(), Refusal> {
        let unknown =
            || Refusal::new(Reason::OrderNotFound, format!("order {key} is not followed here"));
        let current = self.registry.incarnation(key).ok_or_else(unknown)?;
        self.registry.check_command(key)?;
        let incarnation = command.incarnation.clone().or(Some(current));
        let is_queued = |id| self.commands.subscribe(key, id, incarnation.as_ref()).is_some();
        if command.key.as_ref().is_some_and(is_queued) {
            return Ok(());
        }
        self.commands.check_capacity(key)?;
        let command = Command { incarnation, ..command };
        let (origin, history, fallback_processor) =
            (Origin::Caller, SendHistory::NeverSent, self.registry.processor_of(key));
        drop(self.enqueue(
            key,
            EnqueueRequest { command, origin, history, fallback_processor, permit: None },
        ));
        Ok(())
    }

    /// Queues a command, and makes sure that a task sends the order's commands.
    pub(crate) fn enqueue(
        self: &Arc<Self>,
        key: &OrderKey,
        request: EnqueueRequest,
    ) -> OutcomeReceiver {
        let (receiver, sender) = self.commands.push(key, request);
        if sender == SenderState::Stopped {
            self.tasks.spawn(command_sender::send_all(Arc::clone(self), key.clone()));
        }
        receiver
    }

    /// Steps the order's tracker by one input, and notifies the watcher of a change.
    pub(crate) fn step(
        &self,
        key: &OrderKey,
        follower: &FollowerHandle,
        input: TrackerInput,
    ) -> TrackerOutput {
        let is_event = matches!(input, TrackerInput::Received(_));
        let output = self.registry.step(self.now(), key, follower.generation, input);
        if is_event
            && matches!(output, TrackerOutput::Changed | TrackerOutput::Ended)
            && let Some(projector) = &self.projector
        {
            projector.wake(key);
        }
        if output != TrackerOutput::Ignored {
            self.notify_watcher(key);
        }
        output
    }

    /// Stops following this incarnation of the order. Its events that wait to be projected are
    /// still projected.
    pub(crate) fn stop_following(&self, key: &OrderKey, incarnation: &Incarnation) {
        self.commands.drop_caller_commands(key, incarnation);
        let Some(projector) = &self.projector else {
            drop(self.registry.remove_order(key, incarnation));
            return;
        };
        let before =
            self.registry.list_location(key).filter(|place| place.incarnation == *incarnation);
        if let Some(location) = &before {
            projector.set_location(key, location);
        }
        let last = self.registry.remove_order(key, incarnation);
        // An event that arrived in between was marked without a location.
        if last.is_some() && last != before {
            projector.mark(key, last);
        }
    }

    /// Makes the states to display of these orders outlive this process, before they are displayed.
    ///
    /// # Errors
    /// When they do not, or not in time; the orders are then displayed as they were stored before.
    pub(crate) async fn persist(&self, keys: &[OrderKey]) -> Result<(), StoreError> {
        self.display_log.persist(&self.registry, keys).await
    }

    /// Removes from the store the ended orders that the tracker has removed.
    pub(crate) async fn remove_evicted(&self) {
        for key in self.registry.take_evicted() {
            let mut guard = self.store.write_guard(&key).await;
            // An order with a waiting command is removed at a later start.
            let is_settled = guard.load().is_ok_and(|stored| stored.open_commands.is_empty());
            if self.registry.has_order(&key) || !is_settled {
                continue;
            }
            if let Err(error) = guard.remove().await {
                // It is removed at the next start.
                tracing::warn!(order_req_id = %key.order_req_id, %error, "an ended order stays stored");
            }
        }
    }

    /// Notifies the watcher that the order changed.
    pub(crate) fn notify_watcher(&self, key: &OrderKey) {
        let watcher = self.watcher.read().clone();
        if let Some(watcher) = watcher {
            watcher(key);
        }
    }

    pub(crate) fn watch(&self, watcher: OrderWatcher) {
        *self.watcher.write() = Some(watcher);
    }
}
