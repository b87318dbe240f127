//! The order requests as the watch last delivered them, and the one that represents each order.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use orderstream_api::convert;
use orderstream_api::order_request::OrderRequest;
use orderstream_api::order_status::OrderRequestStatus;
use orderstream_core::{Incarnation, OrderKey, OrderReqId, StreamPhase, Tenant};
use tokio::sync::Notify;

use super::change_notifiers::ChangeNotifiers;
use super::compressed::CompressedRequest;
use super::follow::CompleteList;
use super::guarded_request::ObservedRequest;
use super::last_applied::AppliedStatuses;
use super::phase_gauges::CountedPhase;
use crate::object::{ObjectKey, version_of};
use crate::table_capacity::ReleaseCapacity as _;

/// Resources that are cached in parsed form; all others are compressed. A resource that was read
/// recently is reconciled soon.
const PARSED_MAX: usize = 256;

/// Returns the key of the resource that has an order's id as its name.
fn named_as(key: &OrderKey) -> ObjectKey {
    ObjectKey { namespace: (&key.tenant).into(), name: (&key.order_req_id).into() }
}

/// Returns the key of a resource's order, sharing the equal texts of the resource's own key.
fn interned_key(object: &ObjectKey, key: OrderKey) -> OrderKey {
    let tenant = Tenant::try_from(Arc::clone(&object.namespace));
    let order_req_id = OrderReqId::try_from(Arc::clone(&object.name));
    OrderKey {
        tenant: tenant.ok().filter(|same| *same == key.tenant).unwrap_or(key.tenant),
        order_req_id: order_req_id
            .ok()
            .filter(|same| *same == key.order_req_id)
            .unwrap_or(key.order_req_id),
    }
}

/// A resource that is gone, and the incarnation of the order that went with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeletedRequest {
    /// The resource's key.
    pub object: ObjectKey,
    /// The key of its order.
    pub key: OrderKey,
    /// The resource's uid, as the order's incarnation.
    pub incarnation: Incarnation,
    /// The order's owner; absent where the status named none.
    pub processor: Option<String>,
    /// Set when the status showed that the order has ended.
    pub had_ended: bool,
}

/// An order that a controller has opened, as the status of its resource shows.
#[derive(Clone, Debug, PartialEq, Eq)]
struct PlacedIncarnation {
    /// The resource's uid, which is the order's incarnation.
    uid: Arc<str>,
    /// The order's owner.
    processor: Arc<str>,
}

impl PlacedIncarnation {
    fn of(observed: &ObservedRequest) -> Option<Self> {
        let ObservedRequest { resource, .. } = observed;
        let status = resource.status.as_ref().filter(|_| observed.is_opened())?;
        let (uid, processor) = (resource.metadata.uid.as_deref()?, status.processor()?);
        Some(Self { uid: uid.into(), processor: processor.into() })
    }
}

/// A change of the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CacheChange {
    /// This resource is to be reconciled.
    Reconcile(ObjectKey),
    /// The resource that represented an order was deleted.
    Deleted(DeletedRequest),
}

/// A cached resource.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "two independent facts")]
pub(crate) struct CachedRequest {
    body: CachedBody,
    /// Its uid; empty where it has none.
    pub uid: Arc<str>,
    /// Its version as a number; 0 where it is not one.
    pub version: u64,
    /// The phase under which it is counted.
    pub phase: CountedPhase,
    /// The phase of the order's stream, as its status shows it.
    pub stream: StreamPhase,
    /// The key of its order; absent where the id is invalid.
    pub key: Option<OrderKey>,
    /// Set when the watch observed its creation; unset if a list delivered it, or a new lead began
    /// since.
    pub is_live: bool,
    /// Set when its status is what this project's controllers wrote last.
    pub is_status_ours: bool,
}

/// A resource, as it was read or compressed.
#[derive(Clone, Debug)]
enum CachedBody {
    Parsed(Arc<OrderRequest>),
    Compressed(CompressedRequest),
}

impl CachedRequest {
    fn new(
        ObservedRequest { resource, is_status_ours }: ObservedRequest,
        origin: ResourceOrigin,
    ) -> Self {
        let status = resource.status.as_ref();
        Self {
            uid: resource.metadata.uid.as_deref().unwrap_or_default().into(),
            version: version_of(&resource.metadata),
            phase: CountedPhase::of(status),
            stream: status.map_or(StreamPhase::Pending, OrderRequestStatus::stream_phase),
            key: convert::key(&resource).ok(),
            is_live: origin == ResourceOrigin::Changed,
            is_status_ours,
            body: CachedBody::Parsed(Arc::new(resource)),
        }
    }

    /// Returns the resource, without the fields that are not needed. `None` where its text was
    /// damaged in memory.
    pub(crate) fn resource(&self) -> Option<Arc<OrderRequest>> {
        let compressed = match &self.body {
            CachedBody::Parsed(resource) => return Some(Arc::clone(resource)),
            CachedBody::Compressed(compressed) => compressed,
        };
        let resource = compressed.decompress();
        if resource.is_none() {
            tracing::error!(uid = &*self.uid, "a compressed resource cannot be read again");
        }
        resource.map(Arc::new)
    }

    /// Compresses it, and returns the compressed text; `None` where that fails.
    fn compress(&mut self) -> Option<CompressedRequest> {
        let compressed = match &self.body {
            CachedBody::Parsed(resource) => CompressedRequest::compress(resource)?,
            CachedBody::Compressed(compressed) => return Some(compressed.clone()),
        };
        self.body = CachedBody::Compressed(compressed.clone());
        Some(compressed)
    }
}

/// The kind of event that delivered a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ResourceOrigin {
    /// A list: the resource may be old.
    Listed,
    /// A change: a resource that was not there before was created.
    Changed,
}

/// The cache of all resources of the watch.
#[derive(Debug, Default)]
pub struct Cache {
    objects: HashMap<ObjectKey, CachedRequest>,
    /// The resource that represents an order, where it is not the one of the order's name.
    by_order: HashMap<OrderKey, ObjectKey>,
    /// The resources that name an order that another one represents.
    rivals: HashMap<OrderKey, BTreeSet<ObjectKey>>,
    /// The places of the open orders whose resources name other controllers. One may be at a
    /// processor of this controller: it was opened under a former name of it.
    left_out: HashMap<ObjectKey, PlacedIncarnation>,
    /// The statuses that this process applied to the resources.
    pub(super) applied: AppliedStatuses,
    /// The resources that were read last, with their versions; the oldest is compressed first.
    parsed: VecDeque<(ObjectKey, u64)>,
    is_ready: bool,
    notifiers: ChangeNotifiers,
}

impl Cache {
    /// Returns the notifier of changes of the resource that speaks for an order.
    pub(crate) fn change_notifier(&mut self, key: &OrderKey) -> Arc<Notify> {
        self.notifiers.subscribe(key)
    }

    /// Reports whether the first list of every watch is complete.
    pub(crate) const fn is_ready(&self) -> bool {
        self.is_ready
    }

    /// Returns the number of resources.
    pub(crate) fn len(&self) -> usize {
        self.objects.len()
    }

    /// Returns one resource.
    pub(crate) fn get(&self, object: &ObjectKey) -> Option<&CachedRequest> {
        self.objects.get(object)
    }

    /// Returns the resource that speaks for an order.
    pub(crate) fn of_order(&self, key: &OrderKey) -> Option<(&ObjectKey, &CachedRequest)> {
        let object = self.representative(key)?;
        self.objects.get_key_value(object)
    }

    /// Returns the key of the resource that represents an order: the recorded one, else the one of
    /// the order's name.
    fn representative(&self, key: &OrderKey) -> Option<&ObjectKey> {
        if let Some(recorded) = self.by_order.get(key) {
            return Some(recorded);
        }
        let (object, cached) = self.objects.get_key_value(&named_as(key))?;
        (cached.key.as_ref() == Some(key)).then_some(object)
    }

    /// Records the resource that represents an order from now on.
    fn set_representative(&mut self, key: &OrderKey, object: ObjectKey) {
        if object == named_as(key) {
            self.by_order.remove(key);
            self.by_order.release_capacity();
        } else {
            self.by_order.insert(key.clone(), object);
        }
    }

    /// Iterates over all resources.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&ObjectKey, &CachedRequest)> {
        self.objects.iter()
    }

    /// Clears `is_live` of all resources: another process may have led when they were created.
    pub(crate) fn clear_live(&mut self) {
        self.objects.values_mut().for_each(|kept| kept.is_live = false);
    }

    /// Takes in a resource that was created or changed.
    pub(crate) fn apply(
        &mut self,
        object: ObjectKey,
        observed: ObservedRequest,
    ) -> Vec<CacheChange> {
        self.put(object, observed, ResourceOrigin::Changed)
    }

    /// Takes in a resource of a list.
    pub(super) fn listed(
        &mut self,
        object: ObjectKey,
        observed: ObservedRequest,
    ) -> Vec<CacheChange> {
        self.put(object, observed, ResourceOrigin::Listed)
    }

    /// Completes a list: resources that it lacks are gone.
    pub(super) fn complete_list(&mut self, list: &CompleteList) -> Vec<CacheChange> {
        self.is_ready |= list.is_every_watch_listed;
        self.left_out.retain(|object, _| !list.lacks(object));
        let missing: Vec<_> = self.objects.keys().filter(|key| list.lacks(key)).cloned().collect();
        missing.into_iter().flat_map(|object| self.drop_object(&object)).collect()
    }

    /// Drops a resource that was deleted.
    pub(super) fn deleted(
        &mut self,
        object: &ObjectKey,
        observed: ObservedRequest,
    ) -> Vec<CacheChange> {
        self.left_out.remove(object);
        let Some(cached) = self.objects.get_mut(object) else { return Vec::new() };
        if *cached.uid != *observed.resource.metadata.uid.as_deref().unwrap_or_default() {
            return Vec::new();
        }
        // The deletion has a newer version than the cache.
        cached.body = CachedBody::Parsed(Arc::new(observed.resource));
        self.drop_object(object)
    }

    /// Drops the resource of a name that one of another controller has now: the same one, which was
    /// moved, or its successor. The new version is absent where it cannot be read.
    pub(super) fn leave_out(
        &mut self,
        object: &ObjectKey,
        observed: Option<ObservedRequest>,
    ) -> Vec<CacheChange> {
        match observed.as_ref().and_then(PlacedIncarnation::of) {
            Some(placed) => drop(self.left_out.insert(object.clone(), placed)),
            None => drop(self.left_out.remove(object)),
        }
        let cached_uid = self.objects.get(object).map(|cached| Arc::clone(&cached.uid));
        let is_same = |observed: &ObservedRequest| {
            observed.resource.metadata.uid.as_deref() == cached_uid.as_deref()
        };
        match observed.filter(is_same) {
            Some(moved) => self.deleted(object, moved),
            None => self.drop_object(object),
        }
    }

    /// Drops a resource that was deleted and could no longer be read, if its uid is the cached
    /// one's.
    pub(super) fn deleted_unreadable(
        &mut self,
        object: &ObjectKey,
        uid: Option<&str>,
    ) -> Vec<CacheChange> {
        self.left_out.remove(object);
        if self.has(object, uid) {
            return self.drop_object(object);
        }
        Vec::new()
    }

    /// Reports whether the resource of this uid is cached.
    pub(super) fn has(&self, object: &ObjectKey, uid: Option<&str>) -> bool {
        self.objects.get(object).is_some_and(|cached| *cached.uid == *uid.unwrap_or_default())
    }

    /// Returns the uids of the resources that name other controllers, and whose orders are open at
    /// this processor.
    pub(crate) fn left_out_at(&self, processor: &str) -> HashSet<&str> {
        let held = self.left_out.values().filter(|placed| *placed.processor == *processor);
        held.map(|placed| &*placed.uid).collect()
    }

    fn put(
        &mut self,
        object: ObjectKey,
        observed: ObservedRequest,
        origin: ResourceOrigin,
    ) -> Vec<CacheChange> {
        let mut changes = Vec::new();
        let mut former_key = None;
        self.left_out.remove(&object);
        let mut cached = CachedRequest::new(observed, origin);
        cached.key = cached.key.map(|key| interned_key(&object, key));
        match self.objects.get(&object) {
            Some(former) if former.uid == cached.uid => {
                former_key = former.key.clone().filter(|key| cached.key.as_ref() != Some(key));
                cached.is_live = former.is_live;
                cached.uid = Arc::clone(&former.uid);
                if former.key == cached.key {
                    cached.key.clone_from(&former.key);
                }
                // Most resources of a list are as they are cached.
                if former.version == cached.version && cached.version > 0 {
                    cached.body = former.body.clone();
                }
            }
            Some(_) => changes.extend(self.drop_object(&object)),
            None => {}
        }
        let (key, version) = (cached.key.clone(), cached.version);
        self.objects.insert(object.clone(), cached);
        self.parsed.push_back((object.clone(), version));
        self.compress_oldest();
        // The id of a refused order was corrected.
        if let Some(former_key) = former_key {
            self.notifiers.notify(&former_key);
            self.remove_rival(&former_key, &object);
            if self.is_recorded(&former_key, &object) {
                changes.extend(self.pass_on(&former_key));
            }
        }
        if let Some(key) = key {
            self.claim(&key, &object);
            self.notifiers.notify(&key);
        }
        changes.push(CacheChange::Reconcile(object));
        changes
    }

    /// Compresses a resource that need not be reconciled soon, and returns the compressed text;
    /// `None` where there is a newer version by now.
    pub(super) fn compress(
        &mut self,
        object: &ObjectKey,
        version: u64,
    ) -> Option<CompressedRequest> {
        self.objects.get_mut(object).filter(|kept| kept.version == version)?.compress()
    }

    /// Compresses the resources that were read longest ago.
    fn compress_oldest(&mut self) {
        while self.parsed.len() > PARSED_MAX {
            let Some((object, version)) = self.parsed.pop_front() else { return };
            let cached = self.objects.get_mut(&object).filter(|kept| kept.version == version);
            drop(cached.map(CachedRequest::compress));
        }
    }

    /// Returns a resource's key, sharing the texts of a cached key where there is one.
    pub(super) fn object_of(&self, metadata: &ObjectMeta) -> ObjectKey {
        let mut object = ObjectKey::of(metadata);
        if let Some((known, _)) = self.objects.get_key_value(&object) {
            return known.clone();
        }
        if let Some((last, _)) =
            self.parsed.back().filter(|(it, _)| it.namespace == object.namespace)
        {
            object.namespace = Arc::clone(&last.namespace);
        }
        object
    }

    /// Makes a resource represent its order if it ranks first: of two that name one order, the
    /// placed one represents it, else the older one.
    fn claim(&mut self, key: &OrderKey, object: &ObjectKey) {
        let former = self.representative(key).cloned();
        match &former {
            Some(holder) if holder == object => return,
            Some(holder) if self.rank(holder) <= self.rank(object) => {
                self.rivals.entry(key.clone()).or_default().insert(object.clone());
                return;
            }
            Some(_) | None => {}
        }
        self.remove_rival(key, object);
        self.set_representative(key, object.clone());
        if let Some(former) = former {
            self.rivals.entry(key.clone()).or_default().insert(former);
        }
    }

    fn remove_rival(&mut self, key: &OrderKey, object: &ObjectKey) {
        let Some(rivals) = self.rivals.get_mut(key) else { return };
        rivals.remove(object);
        if rivals.is_empty() {
            self.rivals.remove(key);
        }
    }

    fn rank(&self, object: &ObjectKey) -> impl Ord + use<> {
        let resource = self.objects.get(object).and_then(CachedRequest::resource);
        let meta = resource.as_ref().map(|resource| &resource.metadata);
        let status = resource.as_ref().and_then(|resource| resource.status.as_ref());
        let placed = status.is_some_and(|status| status.processor().is_some());
        let created = meta.and_then(|meta| meta.creation_timestamp.as_ref()).map(|at| at.0);
        (!placed, created, meta.and_then(|meta| meta.uid.clone()))
    }

    fn drop_object(&mut self, object: &ObjectKey) -> Vec<CacheChange> {
        let Some(cached) = self.objects.remove(object) else { return Vec::new() };
        self.objects.release_capacity();
        self.applied.forget(object);
        let resource = cached.resource();
        let Some(key) = cached.key else { return Vec::new() };
        self.notifiers.notify(&key);
        let mut changes = Vec::new();
        self.remove_rival(&key, object);
        if !self.is_recorded(&key, object) {
            return changes;
        }
        let status = resource.as_ref().and_then(|resource| resource.status.as_ref());
        if let Ok(incarnation) = Incarnation::new(&*cached.uid) {
            changes.push(CacheChange::Deleted(DeletedRequest {
                object: object.clone(),
                key: key.clone(),
                incarnation,
                processor: status.and_then(|status| status.processor()).map(ToOwned::to_owned),
                had_ended: status.is_some_and(OrderRequestStatus::is_terminal),
            }));
        }
        changes.extend(self.pass_on(&key));
        changes
    }

    /// Reports whether a resource is the one that represents an order, or did so until now.
    fn is_recorded(&self, key: &OrderKey, object: &ObjectKey) -> bool {
        let recorded = self.by_order.get(key);
        recorded.map_or_else(|| *object == named_as(key), |it| it == object)
    }

    /// Lets the first of the others that name an order represent it.
    fn pass_on(&mut self, key: &OrderKey) -> Option<CacheChange> {
        self.by_order.remove(key);
        self.by_order.release_capacity();
        let rivals = self.rivals.get(key).into_iter().flatten();
        let next = rivals.min_by_key(|rival| self.rank(rival)).cloned()?;
        self.remove_rival(key, &next);
        self.set_representative(key, next.clone());
        Some(CacheChange::Reconcile(next))
    }
}

#[cfg(test)]
#[path = "cache_tests.rs"]
mod tests;
