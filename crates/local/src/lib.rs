//! A replacement for the API server and the operator on a single machine: it stores applied order
//! requests and sellers in folders, and reconciles the orders through the same `plan` as a cluster's
//! operator.
//!
//! ```text
//!   apply, delete ──▶ folder ──▶ wake ──┐
//!   OrderStreams::watch ────────▶ wake ─┼──▶ plan ──▶ OrderStreams, status
//!   timers ─────────────────────▶ due ──┘
//! ```

mod apply;
mod buyer;
mod reconcile;
pub mod rest;
mod seller_file;
mod sellers;
mod store;
mod wake_queue;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use orderstream_api::apply_merge::hide_last_applied;
use orderstream_api::convert;
use orderstream_api::manifest::namespace_of;
use orderstream_api::order_request::{
    OrderRequest, OrderRequestSpec, OrderRequestStatus, READ_ONLY_ANNOTATION,
};
use orderstream_api::status::{best, status, whole_seconds};
use orderstream_core::port::{Clock, OrderStreams};
use orderstream_core::{Epoch, OrderKey, Reason, Refusal, TrackerSnapshot};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use buyer::LocalBuyer;
pub use seller_file::FileDirectory;
pub use sellers::LocalSellers;
use store::ResourceFolder;
use wake_queue::{DueOrders, OrderWakeQueue};

/// The largest number of resources of one kind that are stored.
pub const RESOURCES_MAX: usize = 10_000;
/// The longest wait for a timer, so that a clock that jumps is noticed.
const TIMER_WAIT_MAX: Duration = Duration::from_secs(30);

/// The dependencies of [`LocalOrderRequests`].
#[derive(Debug)]
pub struct Parts {
    /// The folder that holds the resources.
    pub dir: PathBuf,
    /// The streams that follow the orders. Their one watcher is set here.
    pub streams: Arc<dyn OrderStreams>,
    /// URLs of the processors; new orders go to the first.
    pub processors: Vec<String>,
    /// The epoch of this process.
    pub epoch: Epoch,
    /// The clock of times and timers.
    pub clock: Arc<dyn Clock>,
    /// Ends `run`.
    pub shutdown: CancellationToken,
}

/// The result of an apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalApplyOutcome {
    /// The resource is new.
    Created,
    /// The resource was there and changed.
    Configured,
    /// The resource was there, and nothing changed.
    Unchanged,
}

/// The applied order requests. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LocalOrderRequests(Arc<LocalReconciler>);

#[derive(Debug)]
struct LocalReconciler {
    store: ResourceFolder,
    streams: Arc<dyn OrderStreams>,
    processors: Vec<String>,
    epoch: Epoch,
    clock: Arc<dyn Clock>,
    shutdown: CancellationToken,
    tasks: TaskTracker,
    wakes: Arc<OrderWakeQueue>,
    /// Locked while a resource is changed, also during disk writes.
    writer: Mutex<()>,
    /// The resources that readers see. Locked for moments only.
    resources: Mutex<BTreeMap<OrderKey, OrderRequest>>,
}

impl LocalOrderRequests {
    /// Opens the folder, and watches the streams. Blocks on the disk.
    ///
    /// # Errors
    /// A folder that cannot be read or written.
    pub fn open(parts: Parts) -> Result<Self, Refusal> {
        let (store, resources): (_, Vec<OrderRequest>) =
            ResourceFolder::open(&parts.dir, "order request")?;
        let mut by_key = BTreeMap::new();
        let wakes = Arc::new(OrderWakeQueue::default());
        for resource in resources {
            match convert::key(&resource) {
                Ok(key) => {
                    wakes.wake(&key);
                    by_key.insert(key, resource);
                }
                Err(refusal) => {
                    tracing::error!(%refusal, "a stored order request is damaged; it is left out");
                }
            }
        }
        let woken = Arc::clone(&wakes);
        parts.streams.watch(Arc::new(move |key| woken.wake(key)));
        Ok(Self(Arc::new(LocalReconciler {
            store,
            streams: parts.streams,
            processors: parts.processors,
            epoch: parts.epoch,
            clock: parts.clock,
            shutdown: parts.shutdown,
            tasks: TaskTracker::new(),
            wakes,
            writer: Mutex::new(()),
            resources: Mutex::new(by_key),
        })))
    }

    /// Reconciles every resource once, so that each order is followed, and its status is not older
    /// than the one shown before. Blocks on the disk.
    pub fn reconcile_all(&self) {
        self.0.reconcile_due(DueOrders::All);
    }

    /// Reconciles the orders with their resources, until shutdown.
    pub async fn run(self) {
        let inner = self.0;
        while !inner.shutdown.is_cancelled() {
            let now = inner.clock.now();
            let due = inner.wakes.take(now);
            if due != DueOrders::Some(std::collections::BTreeSet::new()) {
                let working = Arc::clone(&inner);
                // A pass may sync the disk.
                let pass = inner.tasks.spawn_blocking(move || working.reconcile_due(due));
                if let Err(error) = pass.await {
                    tracing::error!(%error, "reconciling order requests failed");
                }
                continue;
            }
            let wait = inner.wakes.next_timer().map_or(TIMER_WAIT_MAX, |at| {
                Duration::from_millis(at.ms_since(now)).min(TIMER_WAIT_MAX)
            });
            tokio::select! {
                () = inner.shutdown.cancelled() => {}
                () = inner.wakes.woken() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
        inner.tasks.close();
        inner.tasks.wait().await;
    }

    /// Returns one resource, or an order that was initiated over REST under this id.
    ///
    /// # Errors
    /// No such resource or order.
    pub fn get(&self, namespace: &str, name: &str) -> Result<OrderRequest, Refusal> {
        let inner = &*self.0;
        inner
            .find(namespace, name)
            .or_else(|| inner.initiated_over_rest(namespace, name))
            .map(displayed)
            .ok_or_else(|| not_found(namespace, name))
    }

    /// Returns all resources of a namespace, or of all, with the orders that were initiated over
    /// REST, in the order of their names.
    pub fn list(&self, namespace: Option<&str>) -> Vec<OrderRequest> {
        let inner = &*self.0;
        let mut all: Vec<OrderRequest> = inner.resources.lock().values().cloned().collect();
        for key in inner.streams.keys() {
            all.extend(inner.initiated_over_rest(key.tenant.as_str(), key.order_req_id.as_str()));
        }
        all.retain(|resource| namespace.is_none_or(|n| n == namespace_of(&resource.metadata)));
        all.sort_by(|a, b| namespaced_name(a).cmp(&namespaced_name(b)));
        all.into_iter().map(displayed).collect()
    }

    /// Marks a resource for deletion: its order is cancelled, and the resource is removed when the
    /// end was observed, or after a bounded wait. Blocks on the disk.
    ///
    /// # Errors
    /// No such resource, an order that belongs to REST, a failed disk write.
    pub fn delete(&self, namespace: &str, name: &str) -> Result<OrderRequest, Refusal> {
        let inner = &*self.0;
        let _writing = inner.writer.lock();
        let Some(mut resource) = inner.find(namespace, name) else {
            if inner.initiated_over_rest(namespace, name).is_some() {
                let message = "was initiated over REST; finalize it there";
                return Err(Refusal::new(Reason::NotAllowed, format!("{name} {message}")));
            }
            return Err(not_found(namespace, name));
        };
        let key = convert::key(&resource)?;
        if resource.metadata.deletion_timestamp.is_none() {
            resource.metadata.deletion_timestamp = Some(Time(whole_seconds(inner.clock.now())));
            inner.store.write(&resource.metadata, &resource)?;
            inner.resources.lock().insert(key.clone(), resource.clone());
        }
        inner.wakes.wake(&key);
        Ok(displayed(resource))
    }
}

/// Returns a resource as readers see it: without the document that was last applied.
fn displayed(mut resource: OrderRequest) -> OrderRequest {
    hide_last_applied(&mut resource.metadata);
    resource
}

fn namespaced_name(resource: &OrderRequest) -> (&str, Option<&str>) {
    (namespace_of(&resource.metadata), resource.metadata.name.as_deref())
}

fn not_found(namespace: &str, name: &str) -> Refusal {
    let name = orderstream_api::escaped(&format!("{namespace}/{name}"));
    Refusal::new(Reason::OrderNotFound, format!("there is no OrderRequest {name}"))
}

impl LocalReconciler {
    fn find(&self, namespace: &str, name: &str) -> Option<OrderRequest> {
        let resources = self.resources.lock();
        resources
            .values()
            .find(|resource| namespaced_name(resource) == (namespace, Some(name)))
            .cloned()
    }

    fn initiated_over_rest(&self, namespace: &str, order_req_id: &str) -> Option<OrderRequest> {
        let key = OrderKey::new(namespace, order_req_id).ok()?;
        if self.resources.lock().contains_key(&key) {
            return None;
        }
        self.streams.snapshot(&key).map(|snapshot| self.read_only_resource(&key, &snapshot))
    }

    /// Returns the resource to display for an order without one.
    fn read_only_resource(&self, key: &OrderKey, snapshot: &TrackerSnapshot) -> OrderRequest {
        let now = self.clock.now();
        let order = snapshot.summary_at(now);
        let id = key.order_req_id.as_str();
        let spec = self.streams.spec(key).map_or_else(
            || OrderRequestSpec { order_req_id: Some(id.to_owned()), ..Default::default() },
            |spec| convert::spec_of(id, &spec),
        );
        let metadata = ObjectMeta {
            name: Some(id.to_owned()),
            namespace: Some(key.tenant.to_string()),
            uid: Some(snapshot.incarnation.to_string()),
            generation: Some(1),
            creation_timestamp: order.as_ref().map(|order| Time(whole_seconds(order.opened_at))),
            annotations: Some([(READ_ONLY_ANNOTATION.to_owned(), "true".to_owned())].into()),
            ..ObjectMeta::default()
        };
        // Without a resource nothing stores the conditions' times: they begin with the order.
        let since = order.as_ref().map_or(now, |order| order.last_event.0);
        let mut status = status(1, &OrderRequestStatus::default(), Some(snapshot), None, since);
        if let Some(proposals) = &mut status.proposals {
            proposals.best = order.as_ref().and_then(best);
        }
        OrderRequest { metadata, spec, status: Some(status) }
    }
}

#[cfg(test)]
mod apply_tests;
#[cfg(test)]
mod rest_tests;
#[cfg(test)]
mod tests;
