//! The operator on a cluster: keeps orders in the state that their `OrderRequest` resources ask
//! for.
//!
//! ```text
//!                       ┌────────── leadership ◀── election ◀──▶ Lease
//!                       ▼
//!   watch ──▶ cache ──▶ queue ──▶ operator: facts ▶ plan ▶ steps ──▶ OrderStreams::ensure, act
//!               ▲         ▲                               │   └────▶ tasks: locate, cancel, remove
//!               │         └── snapshots, timers           ▼
//!   API server ─┴──────────────────────────────────── writer: status by server-side apply
//! ```
//!
//! Every process watches and fills its cache; only the leader acts. A reconcile is a pure plan over
//! facts in memory and takes microseconds; everything that waits is a task that wakes the resource
//! again.

pub mod bucket;
mod buyer;
pub mod cache;
mod change_notifiers;
mod compressed;
mod config;
mod election;
mod guarded_request;
mod in_flight_command;
mod invitation_counts;
mod last_applied;
pub mod leadership;
pub mod lease;
mod listing;
mod metrics;
mod operator;
mod orphans;
mod ownership;
mod phase_gauges;
mod processors;
pub mod publication;
mod queue;
mod reconcile_state;
mod reporter;
mod requests;
mod retry;
mod rights;
mod seller_statuses;
mod sellers;
mod status_queue;
mod steps;
mod table_capacity;
mod watch;
mod writer;

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;

use kube::Api;
pub use kube::Client;
use orderstream_core::port::{Clock, OrderOwners, OrderStreams};
use orderstream_core::{Epoch, OrderKey, Timestamp};
use parking_lot::{Mutex, RwLock};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::buyer::ClusterBuyer;
pub use self::config::{Config, Error, connect};
pub use self::election::Election;
pub use self::metrics::Metrics;
pub use self::processors::{ProcessorSource, Processors};
pub use self::requests::Requests;
pub use self::sellers::ClusterSellers;
pub use self::writer::FIELD_MANAGER;

use self::cache::{Cache, CacheChange, ObjectKey};
use self::leadership::{ElectionState, Leadership};
use self::operator::Operator;
use self::phase_gauges::PhaseGauges;
use self::queue::ReconcileQueue;
use self::reporter::Reporter;
use self::seller_statuses::SellerStatuses;
use self::writer::{StatusWriteOutcome, StatusWriter};

/// Orders that are being located or cancelled at processors at once.
const OWNER_CALLS_MAX: usize = 64;

/// The parts of an operator.
pub struct Parts {
    /// The API server.
    pub client: Client,
    /// The counters of requests to the API server, and the back-off that it asks for.
    pub requests: Requests,
    /// The namespace that is watched; all when absent.
    pub namespace: Option<String>,
    /// The source of the processors: URLs, or a Service.
    pub source: ProcessorSource,
    /// The processors that take orders, kept up to date from the source.
    pub processors: Processors,
    /// The election in which this process takes part.
    pub election: Election,
    /// The streams that follow the orders. The operator takes their one watcher.
    pub streams: Arc<dyn OrderStreams>,
    /// The calls that locate, list and cancel orders at their owners.
    pub owners: Arc<dyn OrderOwners>,
    /// The source of the current time.
    pub clock: Arc<dyn Clock>,
    /// The registry for the metrics.
    pub metrics: prometheus::Registry,
    /// Ends the operator when cancelled; the operator cancels it when a part of it fails.
    pub shutdown: CancellationToken,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

/// A handle to a running operator. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    cache: Arc<RwLock<Cache>>,
    leadership: Leadership,
}

impl Handle {
    /// Returns the cache of the resources that the watch delivered.
    pub fn cache(&self) -> &Arc<RwLock<Cache>> {
        &self.cache
    }

    /// Reports whether the first list is complete.
    pub fn is_ready(&self) -> bool {
        self.cache.read().is_ready()
    }

    /// Reports whether this process leads.
    pub fn leads(&self) -> bool {
        self.leadership.epoch().is_some()
    }
}

/// The task that publishes Events.
type EventPublisher = Pin<Box<dyn Future<Output = ()> + Send>>;

/// An operator that is ready to run.
pub struct Service {
    operator: Arc<Operator>,
    parts: Parts,
    reports: EventPublisher,
}

/// Makes an operator. Must be called within a Tokio runtime.
///
/// # Errors
/// When a metric is registered already.
pub fn start(parts: Parts) -> Result<(Handle, Service), prometheus::Error> {
    let metrics = Arc::new(Metrics::register(&parts.metrics)?);
    let cache = Arc::new(RwLock::new(Cache::default()));
    parts.metrics.register(Box::new(PhaseGauges::new(Arc::clone(&cache))?))?;
    let leadership = Leadership::default();
    let queue = Arc::new(ReconcileQueue::new(Arc::clone(&metrics)));
    let identity = parts.election.identity.clone();
    let stop = parts.shutdown.clone();
    let (reporter, reports) =
        Reporter::start(parts.client.clone(), identity, Arc::clone(&metrics), stop);
    let woken = Arc::clone(&queue);
    let on_write = Box::new(move |object: &ObjectKey, outcome: StatusWriteOutcome| {
        if outcome != StatusWriteOutcome::NotFound {
            woken.wake(object);
        }
    });
    let api = (parts.client.clone(), parts.requests.clone());
    let reporting = (Arc::clone(&metrics), reporter.clone());
    let writer = StatusWriter::new(api, leadership.clone(), reporting, on_write);
    let operator = Arc::new(Operator {
        client: parts.client.clone(),
        namespace: parts.namespace.clone(),
        streams: Arc::clone(&parts.streams),
        owners: Arc::clone(&parts.owners),
        clock: Arc::clone(&parts.clock),
        leadership: leadership.clone(),
        processors: parts.processors.clone(),
        cache: Arc::clone(&cache),
        queue,
        writer: Arc::new(writer),
        reporter,
        metrics,
        sellers: Arc::new(SellerStatuses::default()),
        reconcile_states: Mutex::new(HashMap::new()),
        unreadable: Mutex::new(HashMap::new()),
        owner_calls: Semaphore::new(OWNER_CALLS_MAX),
        leading_since: Mutex::new(Timestamp(0)),
        tasks: TaskTracker::new(),
        shutdown: parts.shutdown.clone(),
    });
    Ok((Handle { cache, leadership }, Service { operator, parts, reports: Box::pin(reports) }))
}

/// Registers the metrics that [`start`] registers, over an empty cache: for the reference of all
/// metrics.
///
/// # Errors
/// When a name is taken.
pub fn register_metrics(registry: &prometheus::Registry) -> Result<(), prometheus::Error> {
    Metrics::register(registry)?;
    Requests::register(registry)?;
    registry.register(Box::new(PhaseGauges::new(Arc::default())?))
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").field("parts", &self.parts).finish_non_exhaustive()
    }
}

impl Service {
    /// Runs until shutdown, and then releases the lease.
    pub async fn run(self) {
        let Self { operator, parts, reports } = self;
        let (shutdown, client) = (parts.shutdown.clone(), parts.client.clone());
        wake_on_snapshots(&operator);
        let api = match &parts.namespace {
            Some(namespace) => Api::namespaced(client.clone(), namespace),
            None => Api::all(client.clone()),
        };
        let mut tasks = JoinSet::new();
        let sink: Arc<dyn watch::WatchSink> = Arc::new(OperatorSink(Arc::clone(&operator)));
        let (cache, metrics) = (Arc::clone(&operator.cache), Arc::clone(&operator.metrics));
        tasks.spawn(watch::run(api, cache, metrics, sink, shutdown.clone()));
        tasks.spawn(reports);
        let (sellers, namespace) = (Arc::clone(&operator.sellers), parts.namespace.clone());
        tasks.spawn(sellers.follow(client.clone(), namespace, shutdown.clone()));
        let sellers = Arc::clone(&operator.sellers);
        let (api_server, leadership) =
            ((client.clone(), parts.requests.clone()), operator.leadership.clone());
        tasks.spawn(sellers.write(
            api_server,
            leadership,
            Arc::clone(&operator.clock),
            shutdown.clone(),
        ));
        tasks.spawn(Arc::clone(&operator.writer).run(shutdown.clone()));
        tasks.spawn(Arc::clone(&operator).run());
        tasks.spawn(Arc::clone(&operator).sweep());
        tasks.spawn(Arc::clone(&operator).follow_leadership());
        let waking = Arc::clone(&operator);
        let processors = operator.processors.clone();
        let (source, stop) = (parts.source, shutdown.clone());
        let follow = processors.follow(source, client.clone(), stop, move || waking.wake_all());
        tasks.spawn(follow);
        let (leadership, metrics) = (operator.leadership.clone(), Arc::clone(&operator.metrics));
        tasks.spawn(async move {
            let api = (client, parts.requests);
            election::run(parts.election, api, leadership, &metrics, shutdown).await;
        });
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a part of the operator failed; the process stops");
                parts.shutdown.cancel();
            }
        }
        operator.tasks.close();
        operator.tasks.wait().await;
    }
}

/// Reconciles a resource whenever its order's snapshot changes.
fn wake_on_snapshots(operator: &Arc<Operator>) {
    let (cache, queue) = (Arc::clone(&operator.cache), Arc::clone(&operator.queue));
    operator.streams.watch(Arc::new(move |key: &OrderKey| {
        let object = cache.read().of_order(key).map(|(object, _)| object.clone());
        if let Some(object) = object {
            queue.wake(&object);
        }
    }));
}

impl Operator {
    fn wake_all(&self) {
        self.cache.read().iter().for_each(|(object, _)| self.queue.wake(object));
    }

    /// Begins to act under a new epoch, and stops acting when this process no longer leads.
    async fn follow_leadership(self: Arc<Self>) {
        let mut changes = self.leadership.changes();
        let mut led: Option<Epoch> = None;
        loop {
            let state = *changes.borrow_and_update();
            match state {
                ElectionState::Leads(epoch) => {
                    if led.replace(epoch) != Some(epoch) {
                        *self.leading_since.lock() = self.clock.now();
                        *self.reconcile_states.lock() = HashMap::new();
                        self.sellers.begin();
                        // Another process may have led, and written, since the last lead.
                        self.writer.forget_all();
                        self.cache.write().clear_live();
                    }
                    self.wake_all();
                }
                ElectionState::Unsure => self.writer.clear(),
                ElectionState::Follows => self.stop_leading(),
            }
            tokio::select! {
                () = self.shutdown.cancelled() => return,
                changed = changes.changed() => if changed.is_err() { return },
            }
        }
    }

    fn stop_leading(&self) {
        self.writer.forget_all();
        self.sellers.end();
        for key in self.streams.keys() {
            if let Some(snapshot) = self.streams.snapshot(&key) {
                self.streams.stop(&key, &snapshot.incarnation);
            }
        }
    }
}

/// The operator as a sink of the watch.
struct OperatorSink(Arc<Operator>);

impl watch::WatchSink for OperatorSink {
    fn changed(&self, changes: Vec<CacheChange>) {
        for change in changes {
            match change {
                CacheChange::Reconcile(object) => self.0.queue.wake(&object),
                CacheChange::Deleted(deleted) => self.0.handle_deleted(deleted),
            }
        }
    }

    fn unreadable_deleted(&self, object: &ObjectKey) {
        // Its order has no resource now: the sweep finds the order if the cache did not know it.
        self.0.unreadable.lock().remove(object);
    }

    fn unreadable(&self, object: &ObjectKey, uid: Option<&str>, _error: &str) {
        let uid = uid.unwrap_or_default();
        self.0.unreadable.lock().insert(object.clone(), uid.to_owned());
        self.0.reporter.report_unreadable(object, uid);
    }
}
