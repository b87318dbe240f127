//! The controller as a whole: its parts, and the tasks that run until shutdown.

use std::pin::Pin;
use std::sync::Arc;

use kube::Client;
use orderstream_api::rbac::LEASE_NAME;
use orderstream_core::TenantScope;
use orderstream_core::port::{Clock, OrderOwners, OrderStreams};
use parking_lot::RwLock;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::lease::{self, Election, Leadership};
use crate::metrics::{Metrics, Requests};
use crate::reconcile::{ProcessorSource, Processors, Reconciler, ReconcilerParts};
use crate::status::Reporter;
use crate::watch::{self, Cache, PhaseGauges, WatchParts};

/// The parts of an operator.
pub struct Parts {
    /// The API server.
    pub client: Client,
    /// The counters of requests to the API server, and the back-off that it asks for.
    pub requests: Requests,
    /// The namespaces that are watched.
    pub scope: TenantScope,
    /// The name of this controller, whose order requests it takes.
    pub controller_name: String,
    /// Set when this controller writes the statuses of the sellers.
    pub seller_statuses: bool,
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
        f.debug_struct("Parts").field("scope", &self.scope).finish_non_exhaustive()
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

    /// Reports whether the first list of every watch is complete.
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
    reconciler: Arc<Reconciler>,
    handle: Handle,
    metrics: Arc<Metrics>,
    parts: Parts,
    reports: EventPublisher,
}

/// Makes an operator. Must be called within a Tokio runtime.
///
/// # Errors
/// When a metric is registered already.
pub fn start(parts: Parts) -> Result<(Handle, Service), prometheus::Error> {
    let metrics = Arc::new(Metrics::register(&parts.metrics, &parts.election.name)?);
    let cache = Arc::new(RwLock::new(Cache::default()));
    parts.metrics.register(Box::new(PhaseGauges::new(Arc::clone(&cache))?))?;
    let leadership = Leadership::default();
    let identity = parts.election.identity.clone();
    let stop = parts.shutdown.clone();
    let (reporter, reports) =
        Reporter::start(parts.client.clone(), identity, Arc::clone(&metrics), stop);
    let handle = Handle { cache: Arc::clone(&cache), leadership: leadership.clone() };
    let reconciler = Arc::new(Reconciler::new(ReconcilerParts {
        client: parts.client.clone(),
        requests: parts.requests.clone(),
        scope: parts.scope.clone(),
        seller_statuses: parts.seller_statuses,
        processors: parts.processors.clone(),
        streams: Arc::clone(&parts.streams),
        owners: Arc::clone(&parts.owners),
        clock: Arc::clone(&parts.clock),
        cache,
        leadership,
        reporter,
        metrics: Arc::clone(&metrics),
        shutdown: parts.shutdown.clone(),
    }));
    let reports = Box::pin(reports);
    Ok((handle.clone(), Service { reconciler, handle, metrics, parts, reports }))
}

/// Registers the metrics that [`start`] registers, over an empty cache: for the reference of all
/// metrics.
///
/// # Errors
/// When a name is taken.
pub fn register_metrics(registry: &prometheus::Registry) -> Result<(), prometheus::Error> {
    Metrics::register(registry, LEASE_NAME)?;
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
        let Self { reconciler, handle, metrics, parts, reports } = self;
        let Handle { cache, leadership } = handle;
        let (shutdown, client) = (parts.shutdown.clone(), parts.client.clone());
        let mut tasks = JoinSet::new();
        let watch_parts = WatchParts {
            client: client.clone(),
            scope: parts.scope.clone(),
            controller_name: parts.controller_name,
            cache,
            metrics: Arc::clone(&metrics),
            sink: reconciler.watch_sink(),
        };
        tasks.spawn(watch::run(watch_parts, shutdown.clone()));
        tasks.spawn(reports);
        reconciler.spawn_tasks(&mut tasks);
        let waking = Arc::clone(&reconciler);
        let (processors, stop) = (parts.processors, shutdown.clone());
        let follow =
            processors.follow(parts.source, client.clone(), stop, move || waking.wake_all());
        tasks.spawn(follow);
        tasks.spawn(async move {
            let api = (client, parts.requests);
            lease::run(parts.election, api, leadership, &metrics, shutdown).await;
        });
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a part of the operator failed; the process stops");
                parts.shutdown.cancel();
            }
        }
        reconciler.finish_tasks().await;
    }
}
