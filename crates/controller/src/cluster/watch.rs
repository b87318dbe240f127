//! The one watch of all order requests: keeps the cache, and says what is to be looked at. A watch
//! that has gone silent is found by its time-out and renewed; a resource that cannot be read is
//! reported and harms no other.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use kube::core::DeserializeGuard;
use kube::runtime::watcher::{self, Event};
use kube::{Api, ResourceExt as _};
use parking_lot::RwLock;
use tokio_util::sync::CancellationToken;

use super::cache::{Cache, Change, ObjectKey};
use super::metrics::Metrics;
use super::retry::watch;
use crate::manifest::DEFAULT_NAMESPACE;
use crate::order_request::OrderRequest;

/// Seconds after which the server ends a watch; one that is silent for a little longer is dead.
const WATCH_SECONDS: u32 = 30;
/// Resources in one page of a list. Of a page all is in memory at once, as text and as it is read:
/// with 500 a start on four thousand held 25 to 30 MB more for a while, and was a tenth faster.
const PAGE: u32 = 100;

type Guarded = DeserializeGuard<OrderRequest>;

/// Takes what the watch noticed.
pub(super) trait Sink: Send + Sync + 'static {
    /// The cache changed.
    fn changed(&self, changes: Vec<Change>);

    /// A resource that could not be read was deleted.
    fn unreadable_gone(&self, object: &ObjectKey);

    /// A resource cannot be read.
    fn unreadable(&self, object: &ObjectKey, uid: Option<&str>, error: &str);
}

/// Watches until shutdown.
pub(super) async fn run(
    api: Api<Guarded>,
    cache: Arc<RwLock<Cache>>,
    metrics: Arc<Metrics>,
    sink: Arc<dyn Sink>,
    shutdown: CancellationToken,
) {
    let config = watcher::Config::default().timeout(WATCH_SECONDS).page_size(PAGE);
    let mut events = pin!(watch(api, config));
    let mut keeper = Keeper { cache, metrics, sink, unreadable: HashMap::new() };
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            event = events.next() => match event {
                Some(Ok(event)) => keeper.take(event),
                Some(Err(error)) => keeper.failed(&error).await,
                None => return,
            },
        }
    }
}

struct Keeper {
    cache: Arc<RwLock<Cache>>,
    metrics: Arc<Metrics>,
    sink: Arc<dyn Sink>,
    /// Reported already, with their versions.
    unreadable: HashMap<ObjectKey, Option<String>>,
}

impl Keeper {
    fn take(&mut self, event: Event<Guarded>) {
        let changes = match event {
            Event::Init => {
                self.metrics.watch_restarted();
                self.cache.write().relist();
                Vec::new()
            }
            Event::InitApply(guarded) => match self.read(guarded) {
                Ok(resource) => self.cache.write().listed(resource),
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
                Ok(resource) => self.cache.write().apply(resource),
                Err(_) => Vec::new(),
            },
            Event::Delete(guarded) => self.deleted(guarded),
        };
        self.metrics.set_resources(self.cache.read().len());
        self.sink.changed(changes);
    }

    fn deleted(&mut self, guarded: Guarded) -> Vec<Change> {
        let object = object_of(&guarded);
        self.unreadable.remove(&object);
        match guarded.0 {
            Ok(resource) => self.cache.write().deleted(&resource),
            Err(wrong) => {
                self.sink.unreadable_gone(&object);
                self.cache.write().deleted_unreadable(&object, wrong.metadata.uid.as_deref())
            }
        }
    }

    fn read(&mut self, guarded: Guarded) -> Result<OrderRequest, ObjectKey> {
        let object = object_of(&guarded);
        match guarded.0 {
            Ok(resource) => {
                self.unreadable.remove(&object);
                Ok(resource)
            }
            Err(wrong) => {
                let version = wrong.metadata.resource_version.clone();
                if self.unreadable.insert(object.clone(), version.clone()) != Some(version) {
                    let error = &wrong.error;
                    tracing::error!(%object, error, "an order request cannot be read");
                    self.sink.unreadable(&object, wrong.metadata.uid.as_deref(), error);
                }
                Err(object)
            }
        }
    }

    async fn failed(&self, error: &watcher::Error) {
        self.metrics.watch_failed();
        tracing::warn!(%error, "the watch of order requests failed; it is opened again");
        // The stream waits by itself; this only keeps a hot loop out, should it not.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn object_of(guarded: &Guarded) -> ObjectKey {
    let namespace = guarded.namespace().unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned());
    ObjectKey { namespace: namespace.into(), name: guarded.name_any().into() }
}
