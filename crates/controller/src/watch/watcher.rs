//! The one watch of all order requests: maintains the cache, and reports its changes. A watch that
//! has gone silent is detected by its time-out and renewed; a resource that cannot be read is
//! reported and harms no other.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use kube::Api;
use kube::runtime::watcher::{self, Event};
use parking_lot::RwLock;
use tokio_util::sync::CancellationToken;

use super::cache::{Cache, CacheChange};
use super::guarded_request::{GuardedOrderRequest, ObservedRequest, UnreadableRequest};
use super::listing::Listing;
use super::retry::persistent_watch;
use crate::metrics::Metrics;
use crate::object::ObjectKey;

/// Seconds after which the server ends a watch; one that is silent for a little longer is dead.
const WATCH_SECONDS: u32 = 30;
/// Resources in one page of a list, where the server streams none. All of a page is in memory at
/// once, as text and as it is read: with 500 a start on four thousand held 25 to 30 MB more for a
/// while, and was a tenth faster.
const PAGE: u32 = 100;

/// The receiver of the watch's changes.
pub(crate) trait WatchSink: Send + Sync + 'static {
    /// Takes changes of the cache.
    fn changed(&self, changes: Vec<CacheChange>);

    /// Receives the deletion of a resource that could not be read.
    fn unreadable_deleted(&self, object: &ObjectKey);

    /// Receives a resource that cannot be read.
    fn unreadable(&self, object: &ObjectKey, uid: Option<&str>, error: &str);
}

/// Watches order requests until shutdown.
pub(crate) async fn run(
    api: Api<GuardedOrderRequest>,
    cache: Arc<RwLock<Cache>>,
    metrics: Arc<Metrics>,
    sink: Arc<dyn WatchSink>,
    shutdown: CancellationToken,
) {
    let config = watcher::Config::default().timeout(WATCH_SECONDS).page_size(PAGE);
    let mut events = pin!(persistent_watch(api, config, Listing::Streamed));
    let mut updater = CacheUpdater { cache, metrics, sink, unreadable: HashMap::new() };
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            event = events.next() => match event {
                Some(Ok(event)) => updater.take(event),
                Some(Err(error)) => updater.failed(&error).await,
                None => return,
            },
        }
    }
}

struct CacheUpdater {
    cache: Arc<RwLock<Cache>>,
    metrics: Arc<Metrics>,
    sink: Arc<dyn WatchSink>,
    /// The unreadable resources that were reported, with their versions.
    unreadable: HashMap<ObjectKey, Option<String>>,
}

impl CacheUpdater {
    fn take(&mut self, event: Event<GuardedOrderRequest>) {
        let changes = match event {
            Event::Init => {
                self.metrics.watch_restarted();
                self.cache.write().relist();
                Vec::new()
            }
            Event::InitApply(guarded) => match self.read(guarded) {
                Ok(read) => self.cache.write().listed(read),
                Err(object) => {
                    self.cache.write().listed_unreadable(object);
                    Vec::new()
                }
            },
            Event::InitDone => {
                let changes = self.cache.write().relisted();
                tracing::debug!(resources = self.cache.read().len(), "the list is complete");
                changes
            }
            Event::Apply(guarded) => match self.read(guarded) {
                Ok(read) => self.cache.write().apply(read),
                Err(_) => Vec::new(),
            },
            Event::Delete(guarded) => self.deleted(guarded),
        };
        self.metrics.set_resources(self.cache.read().len());
        self.sink.changed(changes);
    }

    fn deleted(&mut self, guarded: GuardedOrderRequest) -> Vec<CacheChange> {
        match guarded.0 {
            Ok(read) => {
                self.unreadable.remove(&ObjectKey::of(&read.resource.metadata));
                self.cache.write().deleted(read)
            }
            Err(wrong) => {
                let object = ObjectKey::of(&wrong.metadata);
                self.unreadable.remove(&object);
                self.sink.unreadable_deleted(&object);
                self.cache.write().deleted_unreadable(&object, wrong.metadata.uid.as_deref())
            }
        }
    }

    fn read(&mut self, guarded: GuardedOrderRequest) -> Result<ObservedRequest, ObjectKey> {
        match guarded.0 {
            Ok(read) => {
                if !self.unreadable.is_empty() {
                    self.unreadable.remove(&ObjectKey::of(&read.resource.metadata));
                }
                Ok(read)
            }
            Err(UnreadableRequest { error, metadata }) => {
                let object = ObjectKey::of(&metadata);
                let version = metadata.resource_version;
                if self.unreadable.insert(object.clone(), version.clone()) != Some(version) {
                    tracing::error!(%object, error, "an order request cannot be read");
                    self.sink.unreadable(&object, metadata.uid.as_deref(), &error);
                }
                Err(object)
            }
        }
    }

    async fn failed(&self, error: &watcher::Error) {
        self.metrics.watch_failed();
        tracing::warn!(%error, "the watch of order requests failed; it is opened again");
        // The stream backs off by itself; this only prevents a busy loop in case it does not.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
