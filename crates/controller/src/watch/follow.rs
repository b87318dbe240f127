//! The loop of every watch that keeps resources of a kind in memory: a list, its changes, and the next
//! list. What is not in a list is gone; what cannot be read harms no other resource; a watch that
//! fails is opened again, and all stays as it was meanwhile. Where several namespaces are watched, each
//! has a watch of its own, whose lists say nothing of the others.

use std::collections::{HashMap, HashSet};
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::select_all;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::NamespaceResourceScope;
use kube::runtime::watcher::{self, Event};
use kube::{Client, Resource};
use orderstream_core::TenantScope;
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::listing::Listing;
use super::outage::{OutageProgress, OutageReports};
use super::retry::persistent_watch;
use super::scope_watches::{ScopeWatch, watches};
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
    /// A list is complete: what it lacks is gone.
    ListComplete(CompleteList),
    /// A resource that was created or changed.
    Applied(ObjectKey, K),
    /// A resource that was deleted, as it was last.
    Deleted(ObjectKey, K),
}

/// A complete list of a watch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CompleteList {
    /// The namespace that was listed; absent where all that are watched were.
    pub(crate) namespace: Option<Arc<str>>,
    /// The resources that are there.
    pub(crate) listed: HashSet<ObjectKey>,
    /// Set when every watch has completed a list.
    pub(crate) is_every_watch_listed: bool,
}

impl CompleteList {
    /// Reports whether a resource is gone: it would be in the list, and is not.
    pub(crate) fn lacks(&self, object: &ObjectKey) -> bool {
        let is_of_list = self.namespace.as_ref().is_none_or(|it| *it == object.namespace);
        is_of_list && !self.listed.contains(object)
    }
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

/// Keeps the resources of a scope in a store until shutdown.
pub(crate) async fn follow<K>(
    client: &Client,
    scope: &TenantScope,
    settings: WatchSettings,
    mut store: impl ResourceStore<K>,
    stop: CancellationToken,
) where
    K: Resource<Scope = NamespaceResourceScope, DynamicType: Default>
        + Clone
        + DeserializeOwned
        + Debug
        + Send
        + 'static,
{
    let WatchSettings { seconds, page, listing } = settings;
    let watches = watches(scope);
    let streams = watches.iter().enumerate().map(|(index, watch)| {
        let config = watcher::Config::default().timeout(seconds).page_size(page);
        let events = persistent_watch(watch.api::<K>(client), watch.config(config), listing);
        events.map(move |event| (index, event)).boxed()
    });
    let mut events = select_all(streams);
    let mut progress = ScopeProgress::new(watches);
    loop {
        let event = tokio::select! {
            () = stop.cancelled() => return,
            event = events.next() => event,
        };
        match event {
            Some((index, Ok(event))) => {
                let change = progress.change(index, event, |metadata| store.object_of(metadata));
                if let Some(change) = change {
                    store.take(change);
                }
            }
            Some((index, Err(error))) => {
                let outage = progress.record_failure(index, &error, Instant::now());
                store.report_failure(&error, outage);
                tokio::time::sleep(PAUSE).await;
            }
            None => return,
        }
    }
}

/// The progress of the watches of a scope.
#[derive(Debug)]
struct ScopeProgress(Vec<WatchProgress>);

/// The progress of one watch.
#[derive(Debug, Default)]
struct WatchProgress {
    /// The one namespace of the watch; absent where it has several.
    namespace: Option<Arc<str>>,
    /// The resources observed since a list began; absent outside of one.
    listed: Option<HashSet<ObjectKey>>,
    /// Set when a list was complete.
    has_listed: bool,
    /// The reports of its outages.
    outages: OutageReports,
}

impl ScopeProgress {
    fn new(watches: Vec<ScopeWatch>) -> Self {
        let progress =
            |ScopeWatch { namespace, .. }| WatchProgress { namespace, ..WatchProgress::default() };
        Self(watches.into_iter().map(progress).collect())
    }

    /// Returns the change that an event of a watch is; `None` for the end of a list without a
    /// beginning.
    fn change<K: Resource>(
        &mut self,
        index: usize,
        event: Event<K>,
        object_of: impl Fn(&ObjectMeta) -> ObjectKey,
    ) -> Option<ResourceChange<K>> {
        let watch = self.0.get_mut(index)?;
        watch.outages.record_event(&event);
        Some(match event {
            Event::Init => {
                watch.listed = Some(HashSet::new());
                ResourceChange::ListBegan
            }
            Event::InitApply(resource) => {
                let object = object_of(resource.meta());
                if let Some(listed) = &mut watch.listed {
                    listed.insert(object.clone());
                }
                ResourceChange::Listed(object, resource)
            }
            Event::InitDone => {
                let (listed, namespace) = (watch.listed.take()?, watch.namespace.clone());
                watch.has_listed = true;
                let is_every_watch_listed = self.0.iter().all(|watch| watch.has_listed);
                ResourceChange::ListComplete(CompleteList {
                    namespace,
                    listed,
                    is_every_watch_listed,
                })
            }
            Event::Apply(resource) => ResourceChange::Applied(object_of(resource.meta()), resource),
            Event::Delete(resource) => {
                ResourceChange::Deleted(object_of(resource.meta()), resource)
            }
        })
    }

    /// Records a failure of a watch, and returns its place in the watch's outage.
    fn record_failure(
        &mut self,
        index: usize,
        error: &watcher::Error,
        now: Instant,
    ) -> OutageProgress {
        let watch = self.0.get_mut(index);
        watch.map_or(OutageProgress::Begins, |watch| watch.outages.record_failure(error, now))
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

    /// Forgets the resources that a list lacks.
    pub(crate) fn complete_list(&mut self, list: &CompleteList) {
        self.0.retain(|object, _| !list.lacks(object));
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use orderstream_core::Tenant;

    use super::*;

    fn resource(name: &str) -> ConfigMap {
        let (namespace, name) = (Some("shop".to_owned()), Some(name.to_owned()));
        let metadata = ObjectMeta { namespace, name, ..ObjectMeta::default() };
        ConfigMap { metadata, ..ConfigMap::default() }
    }

    fn object(name: &str) -> ObjectKey {
        object_in("shop", name)
    }

    fn object_in(namespace: &str, name: &str) -> ObjectKey {
        ObjectKey { namespace: namespace.into(), name: name.into() }
    }

    /// Returns the complete list of all resources, or of a namespace's.
    fn list(namespace: Option<&str>, objects: &[ObjectKey]) -> CompleteList {
        let (namespace, listed) = (namespace.map(Arc::from), objects.iter().cloned().collect());
        CompleteList { namespace, listed, is_every_watch_listed: true }
    }

    fn progress_of(scope: &TenantScope) -> ScopeProgress {
        ScopeProgress::new(watches(scope))
    }

    /// A list that is begun anew names only what came since; changes outside of a list are no part
    /// of the next.
    #[test]
    fn complete_lists_name_all_their_resources() {
        let mut progress = progress_of(&TenantScope::All);
        let mut change = |event| progress.change(0, event, ObjectKey::of);
        assert!(change(Event::<ConfigMap>::InitDone).is_none());
        change(Event::Init);
        change(Event::InitApply(resource("before")));
        change(Event::Init);
        for name in ["a", "b"] {
            let listed = change(Event::InitApply(resource(name)));
            assert!(matches!(listed, Some(ResourceChange::Listed(key, _)) if key == object(name)));
        }
        let Some(ResourceChange::ListComplete(complete)) = change(Event::InitDone) else {
            panic!("the list is complete")
        };
        assert_eq!(complete, list(None, &[object("a"), object("b")]));
        let applied = change(Event::Apply(resource("c")));
        assert!(matches!(applied, Some(ResourceChange::Applied(key, _)) if key == object("c")));
        change(Event::Init);
        let complete = change(Event::InitDone);
        assert!(matches!(complete, Some(ResourceChange::ListComplete(it)) if it.listed.is_empty()));
    }

    /// Each watch has its own list and its own outage, and all have listed once each of them has.
    #[test]
    fn watches_of_a_scope_progress_apart() {
        let tenants = ["shop", "team"].map(|name| Tenant::new(name).unwrap());
        let mut progress = progress_of(&TenantScope::Only(tenants.to_vec()));
        let mut complete = |events: &[(usize, Event<ConfigMap>)]| {
            let changes = events
                .iter()
                .cloned()
                .filter_map(|(index, event)| progress.change(index, event, ObjectKey::of));
            changes.fold(None, |last, change| {
                if let ResourceChange::ListComplete(list) = change { Some(list) } else { last }
            })
        };
        let first = complete(&[
            (0, Event::Init),
            (1, Event::Init),
            (0, Event::InitApply(resource("a"))),
            (0, Event::InitDone),
        ]);
        let expected = list(Some("shop"), &[object("a")]);
        assert_eq!(first, Some(CompleteList { is_every_watch_listed: false, ..expected }));
        assert_eq!(complete(&[(1, Event::InitDone)]), Some(list(Some("team"), &[])));
        let again = complete(&[(0, Event::Init), (0, Event::InitDone)]);
        assert_eq!(again, Some(list(Some("shop"), &[])), "all have listed once");

        let (error, now) = (watcher::Error::NoResourceVersion, Instant::now());
        let fail =
            |progress: &mut ScopeProgress, index| progress.record_failure(index, &error, now);
        assert_eq!(fail(&mut progress, 0), OutageProgress::Begins);
        assert_eq!(fail(&mut progress, 0), OutageProgress::Continues);
        assert_eq!(fail(&mut progress, 1), OutageProgress::Begins);
        assert!(progress.change(1, Event::Apply(resource("b")), ObjectKey::of).is_some());
        assert_eq!(fail(&mut progress, 0), OutageProgress::Continues);
        assert_eq!(fail(&mut progress, 1), OutageProgress::Begins);
    }

    #[test]
    fn lists_lack_only_their_own_resources() {
        let (a, other) = (object("a"), object_in("team", "a"));
        for (namespace, listed, lacks) in [
            (None, vec![a.clone(), other.clone()], [false, false]),
            (None, vec![a.clone()], [false, true]),
            (None, vec![], [true, true]),
            (Some("shop"), vec![a.clone()], [false, false]),
            (Some("shop"), vec![], [true, false]),
            (Some("team"), vec![], [false, true]),
        ] {
            let list = list(namespace, &listed);
            assert_eq!([&a, &other].map(|object| list.lacks(object)), lacks, "{list:?}");
        }
    }

    #[test]
    fn each_unreadable_version_is_new_once() {
        let mut unreadable = UnreadableVersions::default();
        let version = |number: u64| Some(number.to_string());
        assert!(unreadable.record(&object("a"), version(1)));
        assert!(!unreadable.record(&object("a"), version(1)));
        assert!(unreadable.record(&object("a"), version(2)));
        unreadable.complete_list(&list(None, &[object("a")]));
        unreadable.complete_list(&list(Some("team"), &[]));
        assert!(!unreadable.record(&object("a"), version(2)));
        unreadable.complete_list(&list(Some("shop"), &[]));
        assert!(unreadable.record(&object("a"), version(2)));
    }
}
