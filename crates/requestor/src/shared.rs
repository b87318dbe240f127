//! The state that all parts of one requestor share.

use std::fmt;
use std::sync::Arc;

use orderstream_core::port::{Assignment, Clock};
use orderstream_core::tracker::{Input, Output};
use orderstream_core::{Command, Epoch, Incarnation, OrderKey, Reason, Refusal, Timestamp};
use parking_lot::RwLock;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::act_queue::{ActQueue, Courier, Entrusted, Hearing, Origin, Past};
use crate::acts;
use crate::channels::Channels;
use crate::door::Doors;
use crate::follower::{self, Followed};
use crate::metrics::Metrics;
use crate::projector::Projector;
use crate::registry::{Added, Following, Registry, stopping};
use crate::shown::ShownLog;
use crate::store::{OrderStore, StoreError};

/// The most follow-ups of unknown orders that may wait for a processor at once.
const STRAYS_MAX: usize = 1_024;

type Wake = Arc<dyn Fn(&OrderKey) + Send + Sync>;

/// The state that all parts of one requestor share.
pub(crate) struct Shared {
    pub(crate) registry: Registry,
    pub(crate) acts: ActQueue,
    pub(crate) channels: Channels,
    pub(crate) store: OrderStore,
    pub(crate) shown: ShownLog,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Metrics,
    pub(crate) processors: Vec<String>,
    pub(crate) epoch: Epoch,
    pub(crate) tasks: TaskTracker,
    pub(crate) cancel: CancellationToken,
    pub(crate) strays: Arc<Semaphore>,
    pub(crate) doors: Doors,
    pub(crate) projector: Option<Arc<Projector>>,
    wake: RwLock<Option<Wake>>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Requestor")
            .field("epoch", &self.epoch)
            .field("processors", &self.processors)
            .finish_non_exhaustive()
    }
}

/// The parts that [`Shared`] is made of.
pub(crate) struct SharedParts {
    pub(crate) registry: Registry,
    pub(crate) channels: Channels,
    pub(crate) store: OrderStore,
    pub(crate) shown: ShownLog,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Metrics,
    pub(crate) processors: Vec<String>,
    pub(crate) epoch: Epoch,
    pub(crate) cancel: CancellationToken,
    pub(crate) projector: Option<Arc<Projector>>,
}

impl Shared {
    pub(crate) fn new(parts: SharedParts) -> Arc<Self> {
        Arc::new(Self {
            registry: parts.registry,
            acts: ActQueue::default(),
            channels: parts.channels,
            store: parts.store,
            shown: parts.shown,
            clock: parts.clock,
            metrics: parts.metrics,
            processors: parts.processors,
            epoch: parts.epoch,
            tasks: TaskTracker::new(),
            cancel: parts.cancel,
            strays: Arc::new(Semaphore::new(STRAYS_MAX)),
            doors: Doors::default(),
            projector: parts.projector,
            wake: RwLock::new(None),
        })
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Observes the lag of an event with this time, received over a stream.
    #[allow(clippy::cast_precision_loss, reason = "milliseconds of days fit in 53 bits")]
    pub(crate) fn heard(&self, at: Timestamp) {
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
        if let Added::Start(following) = self.registry.add_order(assignment, origin)? {
            let life = following.life;
            let order = Followed { shared: Arc::clone(self), key: key.clone(), following };
            let task = self.tasks.spawn(follower::follow(order));
            self.registry.started(&key, life, task.abort_handle());
        }
        Ok(())
    }

    /// Queues a command of a caller that repeats it if need be.
    pub(crate) fn act_of_caller(
        self: &Arc<Self>,
        key: &OrderKey,
        command: Command,
    ) -> Result<(), Refusal> {
        let unknown =
            || Refusal::new(Reason::OrderNotFound, format!("order {key} is not followed here"));
        let life = self.registry.life(key).ok_or_else(unknown)?;
        self.registry.check_act(key)?;
        let incarnation = command.incarnation.clone().or(Some(life));
        let is_held = |id| self.acts.hear(key, id, incarnation.as_ref()).is_some();
        if command.key.as_ref().is_some_and(is_held) {
            return Ok(());
        }
        self.acts.check_room(key)?;
        let command = Command { incarnation, ..command };
        let (origin, past, home) = (Origin::Caller, Past::New, self.registry.home(key));
        drop(self.send(key, Entrusted { command, origin, past, home, permit: None }));
        Ok(())
    }

    /// Queues a command, and makes sure that a task sends the order's commands.
    pub(crate) fn send(self: &Arc<Self>, key: &OrderKey, act: Entrusted) -> Hearing {
        let (hearing, courier) = self.acts.push(key, act);
        if courier == Courier::Start {
            self.tasks.spawn(acts::send_all(Arc::clone(self), key.clone()));
        }
        hearing
    }

    /// Steps the order's tracker by one input, and notifies the watcher of a change.
    pub(crate) fn step(&self, key: &OrderKey, following: &Following, input: Input) -> Output {
        let is_event = matches!(input, Input::Received(_));
        let output = self.registry.step(self.now(), key, following.life, input);
        if is_event
            && matches!(output, Output::Changed | Output::Ended)
            && let Some(projector) = &self.projector
        {
            projector.wake(key);
        }
        if output != Output::Ignored {
            self.tell(key);
        }
        output
    }

    /// Stops following this incarnation of the order. Its events that wait to be projected are
    /// projected all the same.
    pub(crate) fn stop_following(&self, key: &OrderKey, life: &Incarnation) {
        self.acts.drop_callers(key, life);
        let Some(projector) = &self.projector else {
            drop(self.registry.remove_order(key, life));
            return;
        };
        let before = self.registry.place(key).filter(|place| place.incarnation == *life);
        if let Some(place) = &before {
            projector.keep(key, place);
        }
        let last = self.registry.remove_order(key, life);
        // An event that came in between was marked without a place.
        if last.is_some() && last != before {
            projector.mark(key, last);
        }
    }

    /// Makes the states to show of these orders outlive this process, before they are shown.
    ///
    /// # Errors
    /// When they do not, or not in time; the orders are shown then as they were stored before.
    pub(crate) async fn keep(&self, keys: &[OrderKey]) -> Result<(), StoreError> {
        self.shown.keep(&self.registry, keys).await
    }

    /// Removes from the store the ended orders that the tracker has removed.
    pub(crate) async fn forget_ended(&self) {
        for key in self.registry.take_forgotten() {
            let mut turn = self.store.turn(&key).await;
            // An order with a waiting command is removed at a later start.
            let is_settled = turn.load().is_ok_and(|stored| stored.open_acts.is_empty());
            if self.registry.has_order(&key) || !is_settled {
                continue;
            }
            if let Err(error) = turn.remove().await {
                // It is removed at the next start.
                tracing::warn!(order_req_id = %key.order_req_id, %error, "an ended order stays stored");
            }
        }
    }

    /// Notifies the watcher that the order changed.
    pub(crate) fn tell(&self, key: &OrderKey) {
        let wake = self.wake.read().clone();
        if let Some(wake) = wake {
            wake(key);
        }
    }

    pub(crate) fn watch(&self, wake: Wake) {
        *self.wake.write() = Some(wake);
    }
}
