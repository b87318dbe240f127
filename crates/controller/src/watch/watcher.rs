//! The watch of all order requests: maintains the cache, and reports its changes. A watch that
//! has gone silent is detected by its time-out and renewed; a resource that cannot be read is
//! reported and harms no other.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Client;
use kube::runtime::watcher;
use orderstream_core::TenantScope;
use parking_lot::RwLock;
use tokio_util::sync::CancellationToken;

use super::cache::{Cache, CacheChange};
use super::follow::{
    CompleteList, ResourceChange, ResourceStore, UnreadableVersions, WatchSettings, follow,
};
use super::guarded_request::{GuardedOrderRequest, ObservedRequest, UnreadableRequest};
use super::listing::Listing;
use super::outage::OutageProgress;
use crate::metrics::Metrics;
use crate::object::ObjectKey;

/// The settings of the watch. All of a page is in memory at once, as text and as it is read: with 500
/// a start on four thousand held 25 to 30 MB more for a while, and was a tenth faster.
const SETTINGS: WatchSettings =
    WatchSettings { seconds: 30, page: 100, listing: Listing::Streamed };

/// The receiver of the watch's changes.
pub(crate) trait WatchSink: Send + Sync + 'static {
    /// Takes changes of the cache.
    fn changed(&self, changes: Vec<CacheChange>);

    /// Receives the deletion of a resource that could not be read.
    fn unreadable_deleted(&self, object: &ObjectKey);

    /// Receives a resource that cannot be read.
    fn unreadable(&self, object: &ObjectKey, uid: Option<&str>, error: &str);
}

/// The parts of the watch.
pub(crate) struct WatchParts {
    /// The API server.
    pub(crate) client: Client,
    /// The namespaces that are watched.
    pub(crate) scope: TenantScope,
    /// The name of this controller; resources that name another one count as absent.
    pub(crate) controller_name: String,
    /// The resources that the watch delivers.
    pub(crate) cache: Arc<RwLock<Cache>>,
    /// The controller's metrics.
    pub(crate) metrics: Arc<Metrics>,
    /// The receiver of the changes.
    pub(crate) sink: Arc<dyn WatchSink>,
}

/// Watches order requests until shutdown.
pub(crate) async fn run(parts: WatchParts, shutdown: CancellationToken) {
    let WatchParts { client, scope, controller_name, cache, metrics, sink } = parts;
    let unreadable = UnreadableVersions::default();
    let updater = CacheUpdater { controller_name, cache, metrics, sink, unreadable };
    follow::<GuardedOrderRequest>(&client, &scope, SETTINGS, updater, shutdown).await;
}

struct CacheUpdater {
    controller_name: String,
    cache: Arc<RwLock<Cache>>,
    metrics: Arc<Metrics>,
    sink: Arc<dyn WatchSink>,
    unreadable: UnreadableVersions,
}

impl ResourceStore<GuardedOrderRequest> for CacheUpdater {
    fn object_of(&self, metadata: &ObjectMeta) -> ObjectKey {
        self.cache.read().object_of(metadata)
    }

    fn take(&mut self, change: ResourceChange<GuardedOrderRequest>) {
        let changes = match change {
            ResourceChange::ListBegan => {
                self.metrics.watch_restarted();
                Vec::new()
            }
            ResourceChange::Listed(object, guarded) | ResourceChange::Applied(object, guarded)
                if self.is_for_another(&object, &guarded) =>
            {
                self.leave_out(&object, guarded)
            }
            ResourceChange::Listed(object, guarded) => match self.read(&object, guarded) {
                Some(read) => self.cache.write().listed(object, read),
                None => Vec::new(),
            },
            ResourceChange::ListComplete(list) => self.complete(&list),
            ResourceChange::Applied(object, guarded) => match self.read(&object, guarded) {
                Some(read) => self.cache.write().apply(object, read),
                None => Vec::new(),
            },
            ResourceChange::Deleted(object, guarded) => self.deleted(&object, guarded),
        };
        self.metrics.set_resources(self.cache.read().len());
        self.sink.changed(changes);
    }

    fn report_failure(&self, error: &watcher::Error, outage: OutageProgress) {
        self.metrics.watch_failed();
        if outage.is_reported() {
            tracing::warn!(%error, "the watch of order requests failed; it is opened again");
        } else {
            tracing::debug!(%error, "the watch of order requests fails still");
        }
    }
}

impl CacheUpdater {
    fn complete(&mut self, list: &CompleteList) -> Vec<CacheChange> {
        self.unreadable.complete_list(list);
        let changes = self.cache.write().complete_list(list);
        tracing::debug!(resources = self.cache.read().len(), "the list is complete");
        changes
    }

    fn deleted(&mut self, object: &ObjectKey, guarded: GuardedOrderRequest) -> Vec<CacheChange> {
        self.unreadable.forget(object);
        match guarded.0 {
            Ok(read) => self.cache.write().deleted(object, read),
            Err(wrong) => {
                self.sink.unreadable_deleted(object);
                self.cache.write().deleted_unreadable(object, wrong.metadata.uid.as_deref())
            }
        }
    }

    /// Reports whether a resource is for another controller. An order that is open stays with the
    /// controller that has it: its name changes only where the definition was replaced by one that
    /// lacks the field.
    fn is_for_another(&self, object: &ObjectKey, guarded: &GuardedOrderRequest) -> bool {
        if guarded.is_taken_by(&self.controller_name) {
            return false;
        }
        let is_kept = |read: &ObservedRequest| {
            read.is_opened() && self.cache.read().has(object, read.resource.metadata.uid.as_deref())
        };
        !guarded.0.as_ref().is_ok_and(is_kept)
    }

    /// Leaves out a resource of another controller. What had its name here is gone: it was moved to
    /// that controller, or replaced.
    fn leave_out(&mut self, object: &ObjectKey, guarded: GuardedOrderRequest) -> Vec<CacheChange> {
        self.unreadable.forget(object);
        self.sink.unreadable_deleted(object);
        self.cache.write().leave_out(object, guarded.0.ok())
    }

    /// Returns the resource; one that cannot be read is reported, and its cached version stays.
    fn read(
        &mut self,
        object: &ObjectKey,
        guarded: GuardedOrderRequest,
    ) -> Option<ObservedRequest> {
        match guarded.0 {
            Ok(read) => {
                self.unreadable.forget(object);
                Some(read)
            }
            Err(UnreadableRequest { error, metadata, .. }) => {
                if self.unreadable.record(object, metadata.resource_version) {
                    tracing::error!(%object, error, "an order request cannot be read");
                    self.sink.unreadable(object, metadata.uid.as_deref(), &error);
                }
                None
            }
        }
    }
}
