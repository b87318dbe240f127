//! The order requests as the watch last delivered them, and the one that represents each order.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::fmt;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use orderstream_core::{Incarnation, OrderKey, OrderReqId, Tenant};
use tokio::sync::Notify;

use super::census::CountedPhase;
use super::changes::Changes;
use super::packed::Packed;
use super::room::Room as _;
use super::watched::Read;
use super::writer::version;
use crate::convert;
use crate::manifest::namespace_of;
use crate::order_request::OrderRequest;
use crate::order_status::OrderRequestStatus;

/// Resources that are cached as they were read; all others are compressed. A resource that was read
/// lately is reconciled soon.
const OPEN_MAX: usize = 256;

/// A resource's namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
}

impl ObjectKey {
    /// Returns the key of the resource with this metadata.
    pub fn of(metadata: &ObjectMeta) -> Self {
        Self {
            namespace: namespace_of(metadata).into(),
            name: metadata.name.as_deref().unwrap_or_default().into(),
        }
    }
}

impl ObjectKey {
    /// Returns the key of the resource that has an order's id as its name.
    fn named_as(key: &OrderKey) -> Self {
        Self { namespace: (&key.tenant).into(), name: (&key.order_req_id).into() }
    }
}

/// Returns the key of a resource's order, sharing the equal texts of the resource's own key.
fn in_words_of(object: &ObjectKey, key: OrderKey) -> OrderKey {
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

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// A resource that is gone, and the incarnation of the order that went with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gone {
    /// The resource's key.
    pub object: ObjectKey,
    /// The key of its order.
    pub key: OrderKey,
    /// The resource's uid, as the order's incarnation.
    pub life: Incarnation,
    /// The order's owner; absent where the status named none.
    pub processor: Option<String>,
    /// Set when the status showed that the order has ended.
    pub was_over: bool,
}

/// A change of the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// This resource is to be reconciled.
    Look(ObjectKey),
    /// The resource that spoke for an order is gone.
    Gone(Gone),
}

/// A cached resource.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "three independent facts")]
pub struct Kept {
    held: Held,
    /// Its uid; empty where it has none.
    pub uid: Arc<str>,
    /// Its version as a number; 0 where it is not one.
    pub version: u64,
    /// The phase under which it is counted.
    pub phase: CountedPhase,
    /// Set while its status shows that the order's stream is up.
    pub is_streaming: bool,
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
enum Held {
    Open(Arc<OrderRequest>),
    Packed(Packed),
}

impl Kept {
    fn new(Read { resource, is_status_ours }: Read, met: Met) -> Self {
        let status = resource.status.as_ref();
        let tracker = status.and_then(|status| status.tracker.as_ref());
        Self {
            uid: resource.metadata.uid.as_deref().unwrap_or_default().into(),
            version: version(&resource),
            phase: CountedPhase::of(status),
            is_streaming: tracker.is_some_and(|tracker| tracker.stream_active),
            key: convert::key(&resource).ok(),
            is_live: met == Met::Changed,
            is_status_ours,
            held: Held::Open(Arc::new(resource)),
        }
    }

    /// Returns the resource, without the fields that are not needed. `None` where its text was
    /// damaged in memory.
    pub fn resource(&self) -> Option<Arc<OrderRequest>> {
        let packed = match &self.held {
            Held::Open(resource) => return Some(Arc::clone(resource)),
            Held::Packed(packed) => packed,
        };
        let resource = packed.unpack();
        if resource.is_none() {
            tracing::error!(uid = &*self.uid, "a resource at rest cannot be read again");
        }
        resource.map(Arc::new)
    }

    /// Compresses it, and returns the compressed text; `None` where that fails.
    fn rest(&mut self) -> Option<Packed> {
        let packed = match &self.held {
            Held::Open(resource) => Packed::of(resource)?,
            Held::Packed(packed) => return Some(packed.clone()),
        };
        self.held = Held::Packed(packed.clone());
        Some(packed)
    }
}

/// The kind of event that showed a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Met {
    /// A list: the resource may be old.
    Found,
    /// A change: a resource that was not there before was created.
    Changed,
}

/// The cache of all resources of the watch.
#[derive(Debug, Default)]
pub struct Cache {
    objects: HashMap<ObjectKey, Kept>,
    /// The resource that speaks for an order, where it is not the one of the order's name.
    by_order: HashMap<OrderKey, ObjectKey>,
    /// The resources that name an order for which another one speaks.
    rivals: HashMap<OrderKey, BTreeSet<ObjectKey>>,
    /// The resources observed since a relist began; absent outside of one.
    relisted: Option<HashSet<ObjectKey>>,
    /// The resources that were read last, with their versions; the oldest is compressed first.
    open: VecDeque<(ObjectKey, u64)>,
    is_ready: bool,
    changes: Changes,
}

impl Cache {
    /// Returns the notifier of changes of the resource that speaks for an order.
    pub(super) fn changes(&mut self, key: &OrderKey) -> Arc<Notify> {
        self.changes.of(key)
    }

    /// Reports whether the first list is complete.
    pub const fn is_ready(&self) -> bool {
        self.is_ready
    }

    /// Returns the number of resources.
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// Reports whether there are no resources.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// Returns one resource.
    pub fn get(&self, object: &ObjectKey) -> Option<&Kept> {
        self.objects.get(object)
    }

    /// Returns the resource that speaks for an order.
    pub fn of_order(&self, key: &OrderKey) -> Option<(&ObjectKey, &Kept)> {
        let object = self.speaker(key)?;
        self.objects.get_key_value(object)
    }

    /// Returns the key of the resource that speaks for an order: the recorded one, else the one of
    /// the order's name.
    fn speaker(&self, key: &OrderKey) -> Option<&ObjectKey> {
        if let Some(written) = self.by_order.get(key) {
            return Some(written);
        }
        let (object, kept) = self.objects.get_key_value(&ObjectKey::named_as(key))?;
        (kept.key.as_ref() == Some(key)).then_some(object)
    }

    /// Records the resource that speaks for an order from now on.
    fn let_speak(&mut self, key: &OrderKey, object: ObjectKey) {
        if object == ObjectKey::named_as(key) {
            self.by_order.remove(key);
            self.by_order.give_back();
        } else {
            self.by_order.insert(key.clone(), object);
        }
    }

    /// Iterates over all resources.
    pub fn iter(&self) -> impl Iterator<Item = (&ObjectKey, &Kept)> {
        self.objects.iter()
    }

    /// Clears `is_live` of all resources: another process may have led when they were created.
    pub fn age(&mut self) {
        self.objects.values_mut().for_each(|kept| kept.is_live = false);
    }

    /// Takes in a resource that was created or changed.
    pub fn apply(&mut self, read: Read) -> Vec<Change> {
        let object = self.object_of(&read.resource.metadata);
        self.put(object, read, Met::Changed)
    }

    /// Begins a list.
    pub fn relist(&mut self) {
        self.relisted = Some(HashSet::new());
    }

    /// Takes in a resource of a list.
    pub fn listed(&mut self, read: Read) -> Vec<Change> {
        let object = self.object_of(&read.resource.metadata);
        if let Some(seen) = &mut self.relisted {
            seen.insert(object.clone());
        }
        self.put(object, read, Met::Found)
    }

    /// Takes in a resource of a list that cannot be read; its cached version stays.
    pub fn listed_unreadable(&mut self, object: ObjectKey) {
        if let Some(seen) = &mut self.relisted {
            seen.insert(object);
        }
    }

    /// Completes a list: resources that were not in it are gone.
    pub fn relisted(&mut self) -> Vec<Change> {
        self.is_ready = true;
        let Some(seen) = self.relisted.take() else { return Vec::new() };
        let lost: Vec<_> = self.objects.keys().filter(|key| !seen.contains(key)).cloned().collect();
        lost.into_iter().flat_map(|object| self.drop_object(&object)).collect()
    }

    /// Drops a resource that was deleted.
    pub fn deleted(&mut self, read: Read) -> Vec<Change> {
        let object = ObjectKey::of(&read.resource.metadata);
        let Some(kept) = self.objects.get_mut(&object) else { return Vec::new() };
        if *kept.uid != *read.resource.metadata.uid.as_deref().unwrap_or_default() {
            return Vec::new();
        }
        // The deletion has a newer version than the cache.
        kept.held = Held::Open(Arc::new(read.resource));
        self.drop_object(&object)
    }

    /// Drops a resource that was deleted and could no longer be read, if its uid is the cached
    /// one's.
    pub fn deleted_unreadable(&mut self, object: &ObjectKey, uid: Option<&str>) -> Vec<Change> {
        let is_same = |kept: &Kept| *kept.uid == *uid.unwrap_or_default();
        if self.objects.get(object).is_some_and(is_same) {
            return self.drop_object(object);
        }
        Vec::new()
    }

    fn put(&mut self, object: ObjectKey, read: Read, met: Met) -> Vec<Change> {
        let mut changes = Vec::new();
        let mut kept = Kept::new(read, met);
        kept.key = kept.key.map(|key| in_words_of(&object, key));
        match self.objects.get(&object) {
            Some(former) if former.uid == kept.uid => {
                kept.is_live = former.is_live;
                kept.uid = Arc::clone(&former.uid);
                if former.key == kept.key {
                    kept.key.clone_from(&former.key);
                }
                // Most resources of a list are as they are cached.
                if former.version == kept.version && kept.version > 0 {
                    kept.held = former.held.clone();
                }
            }
            Some(_) => changes.extend(self.drop_object(&object)),
            None => {}
        }
        let (key, version) = (kept.key.clone(), kept.version);
        self.objects.insert(object.clone(), kept);
        self.open.push_back((object.clone(), version));
        self.rest_oldest();
        if let Some(key) = key {
            self.claim(&key, &object);
            self.changes.notify(&key);
        }
        changes.push(Change::Look(object));
        changes
    }

    /// Compresses a resource that need not be reconciled soon, and returns the compressed text;
    /// `None` where there is a newer version by now.
    pub(super) fn settle(&mut self, object: &ObjectKey, version: u64) -> Option<Packed> {
        self.objects.get_mut(object).filter(|kept| kept.version == version)?.rest()
    }

    /// Compresses the resources that were read longest ago.
    fn rest_oldest(&mut self) {
        while self.open.len() > OPEN_MAX {
            let Some((object, version)) = self.open.pop_front() else { return };
            let kept = self.objects.get_mut(&object).filter(|kept| kept.version == version);
            drop(kept.map(Kept::rest));
        }
    }

    /// Returns a resource's key, sharing the texts of a cached key where there is one.
    fn object_of(&self, metadata: &ObjectMeta) -> ObjectKey {
        let mut object = ObjectKey::of(metadata);
        if let Some((known, _)) = self.objects.get_key_value(&object) {
            return known.clone();
        }
        if let Some((last, _)) = self.open.back().filter(|(it, _)| it.namespace == object.namespace)
        {
            object.namespace = Arc::clone(&last.namespace);
        }
        object
    }

    /// Lets a resource speak for its order if it ranks first: of two that name one order, the
    /// placed one speaks for it, else the older one.
    fn claim(&mut self, key: &OrderKey, object: &ObjectKey) {
        let former = self.speaker(key).cloned();
        match &former {
            Some(holder) if holder == object => return,
            Some(holder) if self.rank(holder) <= self.rank(object) => {
                self.rivals.entry(key.clone()).or_default().insert(object.clone());
                return;
            }
            Some(_) | None => {}
        }
        self.is_no_rival(key, object);
        self.let_speak(key, object.clone());
        if let Some(former) = former {
            self.rivals.entry(key.clone()).or_default().insert(former);
        }
    }

    fn is_no_rival(&mut self, key: &OrderKey, object: &ObjectKey) {
        let Some(rivals) = self.rivals.get_mut(key) else { return };
        rivals.remove(object);
        if rivals.is_empty() {
            self.rivals.remove(key);
        }
    }

    fn rank(&self, object: &ObjectKey) -> impl Ord + use<> {
        let resource = self.objects.get(object).and_then(Kept::resource);
        let meta = resource.as_ref().map(|resource| &resource.metadata);
        let status = resource.as_ref().and_then(|resource| resource.status.as_ref());
        let placed = status.is_some_and(|status| status.processor().is_some());
        let created = meta.and_then(|meta| meta.creation_timestamp.as_ref()).map(|at| at.0);
        (!placed, created, meta.and_then(|meta| meta.uid.clone()))
    }

    fn drop_object(&mut self, object: &ObjectKey) -> Vec<Change> {
        let Some(kept) = self.objects.remove(object) else { return Vec::new() };
        self.objects.give_back();
        let resource = kept.resource();
        let Some(key) = kept.key else { return Vec::new() };
        self.changes.notify(&key);
        let mut changes = Vec::new();
        self.is_no_rival(&key, object);
        let written = self.by_order.get(&key);
        if !written.map_or_else(|| *object == ObjectKey::named_as(&key), |it| it == object) {
            return changes;
        }
        self.by_order.remove(&key);
        self.by_order.give_back();
        let status = resource.as_ref().and_then(|resource| resource.status.as_ref());
        if let Ok(life) = Incarnation::new(&*kept.uid) {
            changes.push(Change::Gone(Gone {
                object: object.clone(),
                key: key.clone(),
                life,
                processor: status.and_then(|status| status.processor()).map(ToOwned::to_owned),
                was_over: status.is_some_and(OrderRequestStatus::is_terminal),
            }));
        }
        let rivals = self.rivals.get(&key).into_iter().flatten();
        if let Some(next) = rivals.min_by_key(|rival| self.rank(rival)).cloned() {
            self.is_no_rival(&key, &next);
            self.let_speak(&key, next.clone());
            changes.push(Change::Look(next));
        }
        changes
    }
}

#[cfg(test)]
#[path = "cache_tests.rs"]
mod tests;
