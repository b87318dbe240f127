//! The reconcile of one resource: facts are gathered, `plan` is called, its steps are taken. A
//! reconcile waits for nothing; what takes time is done by tasks that wake the resource again.

use std::collections::HashMap;
use std::sync::Arc;

use kube::Client;
use orderstream_api::convert::check_unplaced;
use orderstream_api::status::{ended, held};
use orderstream_core::date::parse_rfc3339;
use orderstream_core::plan::{DesiredOrder, OrderObservation, plan};
use orderstream_core::port::{Clock, OrderOwners, OrderStreams};
use orderstream_core::{Incarnation, OrderKey, Reason, Refusal, TenantScope, Timestamp};
use parking_lot::{Mutex, RwLock};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::edits::EditProgress;
use super::facts::{ReconcileFacts, ReconcileMoment, desired};
use super::placement::Placement;
use super::processors::Processors;
use super::queue::ReconcileQueue;
use super::state::ReconcileState;
use crate::lease::Leadership;
use crate::metrics::{Metrics, ReconcileResult, Requests};
use crate::object::ObjectKey;
use crate::sellers::SellerStatuses;
use crate::status::{Reporter, StatusWriteOutcome, StatusWriter, StatusWriterParts};
use crate::table_capacity::ReleaseCapacity as _;
use crate::watch::{Cache, RequestSnapshot, snapshot};

/// Orders that are being located or cancelled at processors at once.
const OWNER_CALLS_MAX: usize = 64;

/// The parts of a reconciler.
pub(crate) struct ReconcilerParts {
    /// The API server.
    pub(crate) client: Client,
    /// The back-off that the API server asks for.
    pub(crate) requests: Requests,
    /// The namespaces that are watched.
    pub(crate) scope: TenantScope,
    /// Set when this controller writes the statuses of the sellers.
    pub(crate) seller_statuses: bool,
    /// The processors that take orders.
    pub(crate) processors: Processors,
    /// The streams that follow the orders.
    pub(crate) streams: Arc<dyn OrderStreams>,
    /// The calls that locate, list and cancel orders at their owners.
    pub(crate) owners: Arc<dyn OrderOwners>,
    /// The source of the current time.
    pub(crate) clock: Arc<dyn Clock>,
    /// The resources that the watch delivered.
    pub(crate) cache: Arc<RwLock<Cache>>,
    /// The lead of this process.
    pub(crate) leadership: Leadership,
    /// The sender of Events.
    pub(crate) reporter: Reporter,
    /// The controller's metrics.
    pub(crate) metrics: Arc<Metrics>,
    /// Ends all tasks when cancelled.
    pub(crate) shutdown: CancellationToken,
}

/// The reconciler of all order requests. Shared by reference.
pub(crate) struct Reconciler {
    pub(super) client: Client,
    pub(super) requests: Requests,
    /// The namespaces that are watched.
    pub(super) scope: TenantScope,
    pub(super) streams: Arc<dyn OrderStreams>,
    pub(super) owners: Arc<dyn OrderOwners>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) leadership: Leadership,
    pub(super) processors: Processors,
    pub(super) cache: Arc<RwLock<Cache>>,
    pub(super) queue: Arc<ReconcileQueue>,
    pub(super) writer: Arc<StatusWriter>,
    pub(super) reporter: Reporter,
    pub(super) metrics: Arc<Metrics>,
    /// The statuses of the sellers; absent where another controller writes them.
    pub(super) sellers: Option<Arc<SellerStatuses>>,
    pub(super) reconcile_states: Mutex<HashMap<ObjectKey, ReconcileState>>,
    /// The uids of resources that could not be read; their orders are not orphans.
    pub(super) unreadable: Mutex<HashMap<ObjectKey, String>>,
    /// Limits the orders that are located or cancelled at once.
    pub(super) owner_calls: Semaphore,
    /// The time at which this process began to lead.
    pub(super) leading_since: Mutex<Timestamp>,
    pub(super) tasks: TaskTracker,
    pub(super) shutdown: CancellationToken,
}

impl std::fmt::Debug for Reconciler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reconciler").finish_non_exhaustive()
    }
}

impl Reconciler {
    /// Makes a reconciler with nothing to do.
    pub(crate) fn new(parts: ReconcilerParts) -> Self {
        let queue = Arc::new(ReconcileQueue::new(Arc::clone(&parts.metrics)));
        let woken = Arc::clone(&queue);
        let on_write = Box::new(move |object: &ObjectKey, outcome: StatusWriteOutcome| {
            if outcome != StatusWriteOutcome::NotFound {
                woken.wake(object);
            }
        });
        let writer = StatusWriter::new(StatusWriterParts {
            client: parts.client.clone(),
            requests: parts.requests.clone(),
            leadership: parts.leadership.clone(),
            cache: Arc::clone(&parts.cache),
            metrics: Arc::clone(&parts.metrics),
            reporter: parts.reporter.clone(),
            on_write,
        });
        Self {
            client: parts.client,
            requests: parts.requests,
            scope: parts.scope,
            streams: parts.streams,
            owners: parts.owners,
            clock: parts.clock,
            leadership: parts.leadership,
            processors: parts.processors,
            cache: parts.cache,
            queue,
            writer: Arc::new(writer),
            reporter: parts.reporter,
            metrics: parts.metrics,
            sellers: parts.seller_statuses.then(Arc::default),
            reconcile_states: Mutex::new(HashMap::new()),
            unreadable: Mutex::new(HashMap::new()),
            owner_calls: Semaphore::new(OWNER_CALLS_MAX),
            leading_since: Mutex::new(Timestamp(0)),
            tasks: TaskTracker::new(),
            shutdown: parts.shutdown,
        }
    }

    /// Reconciles resources until shutdown, one after the other: each takes microseconds.
    pub(super) async fn run(self: Arc<Self>) {
        const TIMER_MS_MAX: u64 = 1_000;
        // The number of reconciles after which this task yields its thread.
        const RECONCILES_PER_YIELD: usize = 64;
        while !self.shutdown.is_cancelled() {
            let now = self.clock.now();
            let mut reconciles = 0;
            while reconciles < RECONCILES_PER_YIELD
                && let Some((object, _)) = self.queue.take(now)
            {
                self.metrics.worker_started();
                self.reconcile(&object);
                reconciles += 1;
            }
            self.metrics.worker_idle();
            if reconciles > 0 {
                tokio::task::yield_now().await;
                continue;
            }
            let wait = self.queue.next_timer().map_or(TIMER_MS_MAX, |at| at.ms_since(now));
            let wait = std::time::Duration::from_millis(wait.clamp(1, TIMER_MS_MAX));
            tokio::select! {
                () = self.shutdown.cancelled() => {}
                () = self.queue.woken() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Reconciles one resource. A step that fails is shown in the status, and retried later.
    pub(super) fn reconcile(self: &Arc<Self>, object: &ObjectKey) {
        let began = tokio::time::Instant::now();
        let Some(epoch) = self.leadership.epoch() else { return };
        let Some(request) = snapshot(&self.cache, object).transpose() else {
            self.queue.forget(object);
            return;
        };
        let now = self.clock.now();
        let moment = ReconcileMoment { epoch, now };
        let result = match request.and_then(|it| self.try_reconcile(object, it, moment)) {
            Ok(next) => {
                self.queue.succeeded(object);
                self.queue.set_timer(object, next);
                next.map_or(ReconcileResult::Success, |_| ReconcileResult::RequeueAfter)
            }
            Err(refusal) => {
                let wait_ms = self.queue.failed(object, fastrand::u64(0..=1_000));
                tracing::debug!(%object, %refusal, wait_ms, "an order request waits");
                self.queue.set_timer(object, Some(now.plus_ms(wait_ms)));
                ReconcileResult::Error
            }
        };
        self.metrics.reconciled(result, began.elapsed().as_secs_f64());
    }

    fn try_reconcile(
        self: &Arc<Self>,
        object: &ObjectKey,
        request: RequestSnapshot,
        moment: ReconcileMoment,
    ) -> Result<Option<Timestamp>, Refusal> {
        let desired = match desired(&request) {
            Ok(desired) => desired,
            Err(refusal) => {
                let key = request.key.clone();
                let followed = key.as_ref().and_then(|key| self.streams.snapshot(key));
                let followed = followed.filter(|it| it.incarnation.as_str() == &*request.uid);
                let facts = ReconcileFacts::new(object, request, followed, moment);
                return Ok(self.refuse(&facts, key.as_ref(), &refusal));
            }
        };
        let key = &desired.key;
        let followed = self.streams.snapshot(key);
        let followed = followed.filter(|held| held.incarnation == desired.incarnation);
        let facts = ReconcileFacts::new(object, request, followed, moment);
        if !self.is_representative(&facts.object, key) {
            let refusal = duplicate_order(key);
            return Ok(self.publish(&facts, Some(&refusal), EditProgress::Settled));
        }
        self.count_sellers(&facts);
        if facts.known.is_terminal() && !facts.snapshot.as_ref().is_some_and(|s| s.is_terminal()) {
            self.streams.stop(key, &desired.incarnation);
            return Ok(self.reconcile_ended(&facts, &desired));
        }
        self.raise_epoch(&facts, key);
        let observed = self.observe(&facts, &desired);
        // No processor has it, so it is new: what each of them would refuse is refused here, and may
        // be corrected.
        if observed.placement.is_none()
            && observed.located
            && observed.snapshot.is_none()
            && let Err(refusal) = check_unplaced(&facts.resource, &desired)
        {
            return Ok(self.publish(&facts, Some(&refusal), EditProgress::Settled));
        }
        self.take_steps(&facts, &desired, plan(&desired, &observed, facts.now))
    }

    /// Shows that a resource cannot be read. An order that was opened goes on, whatever the last edit
    /// was; while it is not known that no processor has it, it does not fail.
    fn refuse(
        self: &Arc<Self>,
        facts: &ReconcileFacts,
        key: Option<&OrderKey>,
        refusal: &Refusal,
    ) -> Option<Timestamp> {
        let snapshot = facts.snapshot.as_deref();
        let incarnation = Incarnation::try_from(Arc::clone(&facts.uid)).ok();
        // An end stays, and a followed order is shown as its tracker has it.
        let is_settled =
            facts.known.is_terminal() || snapshot.is_some_and(|seen| seen.summary().is_some());
        let Some((key, incarnation)) = key.zip(incarnation.as_ref()).filter(|_| !is_settled) else {
            return self.publish(facts, Some(refusal), EditProgress::Settled);
        };
        let placement = facts.placement(self.with_state(facts, |state| state.placement.clone()));
        if snapshot.is_none() && placement == Placement::Unplaced {
            return self.publish(facts, Some(refusal), EditProgress::Settled);
        }
        if facts.known.processor().is_none() && placement == Placement::Unknown {
            self.locate(facts, (key, incarnation));
        }
        let next = held(facts.generation(), &facts.known, snapshot, refusal, facts.now);
        self.enqueue_status(facts, next)
    }

    fn observe(&self, facts: &ReconcileFacts, desired: &DesiredOrder) -> OrderObservation {
        let observed = facts.resource.status.as_ref().and_then(|status| status.processor());
        let is_observed = observed.is_some() && observed == facts.known.processor();
        let remembered = self.with_state(facts, |note| match is_observed {
            // From now on the status names the processor.
            true => std::mem::take(&mut note.placement),
            false => note.placement.clone(),
        });
        let (placed, free) = match remembered {
            Placement::At(processor) => (Some(processor), false),
            Placement::Unplaced => (None, true),
            Placement::Unknown | Placement::Locating => (None, false),
        };
        let placement = facts.known.processor().map(ToOwned::to_owned).or(placed);
        // Ranking hashes every processor; a placed order needs none of it.
        let ready = match placement {
            Some(_) => Vec::new(),
            None => self.processors.ranked(&desired.key),
        };
        OrderObservation {
            snapshot: facts.snapshot.clone(),
            placement,
            ready,
            located: facts.is_live || free,
            published_terminal: facts.known.is_terminal(),
        }
    }

    /// Counts the order for the sellers that it invites, while it is open.
    fn count_sellers(&self, facts: &ReconcileFacts) {
        let Some(sellers) = &self.sellers else { return };
        if facts.known.is_terminal() {
            sellers.ended(&facts.object);
            return;
        }
        let order = facts.snapshot.as_deref().and_then(|seen| seen.order.as_deref());
        sellers.observe(&facts.object, &facts.uid, order);
    }

    /// Reports whether this resource represents its order, and not another one that names the same
    /// order.
    fn is_representative(&self, object: &ObjectKey, key: &OrderKey) -> bool {
        let cache = self.cache.read();
        cache.of_order(key).is_some_and(|(representative, _)| representative == object)
    }

    /// Raises the floor of epochs where the processor knows a higher one: it would refuse all
    /// commands of this process.
    fn raise_epoch(&self, facts: &ReconcileFacts, key: &OrderKey) {
        let fenced_by = facts.snapshot.as_ref().and_then(|snapshot| snapshot.stream.fenced_by);
        if let Some(floor) = fenced_by.filter(|floor| *floor > facts.epoch) {
            tracing::warn!(order = %key, floor = floor.0, "a processor knows a higher epoch");
            self.metrics.fenced();
            self.leadership.raise_above(floor);
        }
    }

    /// Handles an order whose end is shown and whose stream is stopped: removes the resource when
    /// that is due. Returns the time of the next reconcile.
    fn reconcile_ended(
        self: &Arc<Self>,
        facts: &ReconcileFacts,
        desired: &DesiredOrder,
    ) -> Option<Timestamp> {
        let again = self.enqueue_status(facts, ended(facts.generation(), &facts.known));
        let completed = facts.known.completion_time.as_deref().and_then(parse_rfc3339);
        let due = completed.unwrap_or(facts.now).plus_ms(desired.ttl_after_finished_ms);
        if facts.now < due {
            return Some(again.map_or(due, |again| again.min(due)));
        }
        self.remove(facts);
        // The watch shows the removal; the next reconcile is for one that failed.
        Some(facts.now.plus_ms(10_000))
    }

    /// Applies a change to the notes of a resource, which are new for every incarnation; empty ones
    /// are dropped.
    pub(super) fn with_state<T>(
        &self,
        facts: &ReconcileFacts,
        change: impl FnOnce(&mut ReconcileState) -> T,
    ) -> T {
        let mut states = self.reconcile_states.lock();
        let existing = states.get_mut(&facts.object).filter(|note| note.uid == facts.uid);
        if let Some(state) = existing {
            let result = change(state);
            if state.is_empty() {
                states.remove(&facts.object);
                states.release_capacity();
            }
            return result;
        }
        let mut state = ReconcileState::new(Arc::clone(&facts.uid));
        let result = change(&mut state);
        if !state.is_empty() {
            states.insert(facts.object.clone(), state);
        }
        result
    }
}

fn duplicate_order(key: &OrderKey) -> Refusal {
    let id = &key.order_req_id;
    Refusal {
        field: Some("spec.orderReqId".to_owned()),
        ..Refusal::new(
            Reason::OrderExists,
            format!("another OrderRequest of this namespace has the id {id}; give another id"),
        )
    }
}
