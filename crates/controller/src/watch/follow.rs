//! The loop of every watch that keeps resources of a kind in memory: a list, its changes, and the next
//! list. What is not in a list is gone; what cannot be read harms no other resource; a watch that
//! fails is opened again, and all stays as it was meanwhile.

use std::collections::{HashMap, HashSet};
use std::fmt::Debug;
use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt as _;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use kube::api::Resource;
use kube::runtime::watcher::{self, Event};
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::listing::Listing;
use super::outage::{OutageProgress, OutageReports};
use super::retry::persistent_watch;
use crate::object::ObjectKey;

/// The pause after a failure. The stream backs off by itself; this only prevents a busy loop in case
/// it does not.
const PAUSE: Duration = Duration::from_millis(10);

/// The settings of a watch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WatchSettings {
    /// Seconds after which the server ends a watch; one that is silent for a little longer is dead.
    pub(crate) seconds: u32,
    /// Resources in one page of a list, where the server streams none.
    pub(crate) page: u32,
    /// The way of the first list.
    pub(crate) listing: Listing,
}

/// A change of the resources of a watch.
#[derive(Clone, Debug)]
pub(crate) enum ResourceChange<K> {
    /// A list begins.
    ListBegan,
    /// A resource of a list.
    Listed(ObjectKey, K),
    /// The list is complete: resources other than these are gone.
    ListComplete(HashSet<ObjectKey>),
    /// A resource that was created or changed.
    Applied(ObjectKey, K),
    /// A resource that was deleted, as it was last.
    Deleted(ObjectKey, K),
}

/// The memory of the resources of a watch.
pub(crate) trait ResourceStore<K> {
    /// Returns a resource's key, which may share the texts of a stored one.
    fn object_of(&self, metadata: &ObjectMeta) -> ObjectKey {
        ObjectKey::of(metadata)
    }

    /// Takes in a change.
    fn take(&mut self, change: ResourceChange<K>);

    /// Reports a failure of the watch.
    fn report_failure(&self, error: &watcher::Error, outage: OutageProgress);
}

/// Keeps the resources of a watch in a store until shutdown.
pub(crate) async fn follow<K>(
    api: Api<K>,
    settings: WatchSettings,
    mut store: impl ResourceStore<K>,
    stop: CancellationToken,
) where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let WatchSettings { seconds, page, listing } = settings;
    let config = watcher::Config::default().timeout(seconds).page_size(page);
    let mut events = pin!(persistent_watch(api, config, listing));
    let mut list = ListProgress::default();
    let mut outages = OutageReports::default();
    loop {
        let event = tokio::select! {
            () = stop.cancelled() => return,
            event = events.next() => event,
        };
        match event {
            Some(Ok(event)) => {
                outages.record_event(&event);
                if let Some(change) = list.change(event, |metadata| store.object_of(metadata)) {
                    store.take(change);
                }
            }
            Some(Err(error)) => {
                let progress = outages.record_failure(&error, Instant::now());
                store.report_failure(&error, progress);
                tokio::time::sleep(PAUSE).await;
            }
            None => return,
        }
    }
}

/// The progress of a list.
#[derive(Debug, Default)]
pub(crate) struct ListProgress {
    /// The resources observed since a list began; absent outside of one.
    listed: Option<HashSet<ObjectKey>>,
}

impl ListProgress {
    /// Returns the change that an event of the watch is; `None` for the end of a list without a
    /// beginning.
    pub(crate) fn change<K: Resource>(
        &mut self,
        event: Event<K>,
        object_of: impl Fn(&ObjectMeta) -> ObjectKey,
    ) -> Option<ResourceChange<K>> {
        Some(match event {
            Event::Init => {
                self.listed = Some(HashSet::new());
                ResourceChange::ListBegan
            }
            Event::InitApply(resource) => {
                let object = object_of(resource.meta());
                if let Some(listed) = &mut self.listed {
                    listed.insert(object.clone());
                }
                ResourceChange::Listed(object, resource)
            }
            Event::InitDone => ResourceChange::ListComplete(self.listed.take()?),
            Event::Apply(resource) => ResourceChange::Applied(object_of(resource.meta()), resource),
            Event::Delete(resource) => {
                ResourceChange::Deleted(object_of(resource.meta()), resource)
            }
        })
    }
}

/// The resources that cannot be read, with the versions that were reported: each is reported once.
#[derive(Debug, Default)]
pub(crate) struct UnreadableVersions(HashMap<ObjectKey, Option<String>>);

impl UnreadableVersions {
    /// Records that a version cannot be read. Returns true if it was not recorded before.
    pub(crate) fn record(&mut self, object: &ObjectKey, version: Option<String>) -> bool {
        self.0.insert(object.clone(), version.clone()) != Some(version)
    }

    /// Forgets a resource that can be read, or is gone.
    pub(crate) fn forget(&mut self, object: &ObjectKey) {
        self.0.remove(object);
    }

    /// Forgets the resources that are not in a list.
    pub(crate) fn retain(&mut self, listed: &HashSet<ObjectKey>) {
        self.0.retain(|object, _| listed.contains(object));
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;

    use super::*;

    fn resource(name: &str) -> ConfigMap {
        let (namespace, name) = (Some("shop".to_owned()), Some(name.to_owned()));
        let metadata = ObjectMeta { namespace, name, ..ObjectMeta::default() };
        ConfigMap { metadata, ..ConfigMap::default() }
    }

    fn object(name: &str) -> ObjectKey {
        ObjectKey { namespace: "shop".into(), name: name.into() }
    }

    /// A list that is begun anew names only what came since; changes outside of a list are no part
    /// of the next.
    #[test]
    fn complete_lists_name_all_their_resources() {
        let mut list = ListProgress::default();
        let mut change = |event| list.change(event, ObjectKey::of);
        assert!(change(Event::<ConfigMap>::InitDone).is_none());
        change(Event::Init);
        change(Event::InitApply(resource("before")));
        change(Event::Init);
        for name in ["a", "b"] {
            let listed = change(Event::InitApply(resource(name)));
            assert!(matches!(listed, Some(ResourceChange::Listed(key, _)) if key == object(name)));
        }
        let Some(ResourceChange::ListComplete(listed)) = change(Event::InitDone) else {
            panic!("the list is complete")
        };
        assert_eq!(listed, HashSet::from([object("a"), object("b")]));
        let applied = change(Event::Apply(resource("c")));
        assert!(matches!(applied, Some(ResourceChange::Applied(key, _)) if key == object("c")));
        change(Event::Init);
        let complete = change(Event::InitDone);
        assert!(
            matches!(complete, Some(ResourceChange::ListComplete(listed)) if listed.is_empty())
        );
    }

    #[test]
    fn each_unreadable_version_is_new_once() {
        let mut unreadable = UnreadableVersions::default();
        let version = |number: u64| Some(number.to_string());
        assert!(unreadable.record(&object("a"), version(1)));
        assert!(!unreadable.record(&object("a"), version(1)));
        assert!(unreadable.record(&object("a"), version(2)));
        unreadable.retain(&HashSet::from([object("a")]));
        assert!(!unreadable.record(&object("a"), version(2)));
        unreadable.retain(&HashSet::new());
        assert!(unreadable.record(&object("a"), version(2)));
    }
}
