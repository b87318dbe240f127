//! The order requests as the watch last showed them, and which of them speaks for which order.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::fmt;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use orderstream_core::{Incarnation, OrderKey, OrderReqId, Tenant};
use tokio::sync::Notify;

use super::census::Phase;
use super::changes::Changes;
use super::packed::Packed;
use super::room::Room as _;
use super::watched::Read;
use super::writer::version;
use crate::convert;
use crate::manifest::namespace_of;
use crate::order_request::OrderRequest;
use crate::order_status::OrderRequestStatus;

/// Resources that are kept as they were read; of all others only the packed text is. What was read
/// lately is looked at soon.
const OPEN_MAX: usize = 256;

/// Where a resource is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
}

impl ObjectKey {
    /// Where this resource is.
    pub fn of(metadata: &ObjectMeta) -> Self {
        Self {
            namespace: namespace_of(metadata).into(),
            name: metadata.name.as_deref().unwrap_or_default().into(),
        }
    }
}

impl ObjectKey {
    /// The resource with the name of an order.
    fn named_as(key: &OrderKey) -> Self {
        Self { namespace: (&key.tenant).into(), name: (&key.order_req_id).into() }
    }
}

/// The key of the order of a resource, in the texts that the resource's own key holds already.
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

/// A resource that is no more, and the life of the order that went with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gone {
    /// Where it was.
    pub object: ObjectKey,
    /// Its order.
    pub key: OrderKey,
    /// Its uid.
    pub life: Incarnation,
    /// Who holds the order, if that was written down.
    pub processor: Option<String>,
    /// Whether the order had reached its end.
    pub was_over: bool,
}

/// What the cache noticed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Look at this resource.
    Look(ObjectKey),
    /// This one is gone.
    Gone(Gone),
}

/// A resource as it is kept.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "three independent facts")]
pub struct Kept {
    held: Held,
    /// Its uid; empty where it has none.
    pub uid: Arc<str>,
    /// The number of its version.
    pub version: u64,
    /// Its phase.
    pub phase: Phase,
    /// Whether its status says that a stream is up.
    pub is_streaming: bool,
    /// Its order; `None` where the id is wrong.
    pub key: Option<OrderKey>,
    /// Whether it was seen coming into being, and not found.
    pub is_live: bool,
    /// Whether what its status says is what this project's controllers wrote last.
    pub is_status_ours: bool,
}

/// A resource, at hand or at rest.
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
            phase: Phase::of(status),
            is_streaming: tracker.is_some_and(|tracker| tracker.stream_active),
            key: convert::key(&resource).ok(),
            is_live: met == Met::Changed,
            is_status_ours,
            held: Held::Open(Arc::new(resource)),
        }
    }

    /// The resource, without what nobody needs. `None` where its text was damaged in memory.
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

    /// Lets it rest, and gives what it is then; `None` where that cannot be.
    fn rest(&mut self) -> Option<Packed> {
        let packed = match &self.held {
            Held::Open(resource) => Packed::of(resource)?,
            Held::Packed(packed) => return Some(packed.clone()),
        };
        self.held = Held::Packed(packed.clone());
        Some(packed)
    }
}

/// How a resource was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Met {
    /// In a list: it may be old.
    Found,
    /// In a change: if it was not there before, it came into being.
    Changed,
}

/// All resources of the watch.
#[derive(Debug, Default)]
pub struct Cache {
    objects: HashMap<ObjectKey, Kept>,
    /// Who speaks for which order, where it is not the resource of the order's name.
    by_order: HashMap<OrderKey, ObjectKey>,
    /// Resources that name an order that another one speaks for.
    rivals: HashMap<OrderKey, BTreeSet<ObjectKey>>,
    /// Seen since a relist began.
    relisted: Option<HashSet<ObjectKey>>,
    /// Those that were read last, with their versions; the oldest goes to rest first.
    open: VecDeque<(ObjectKey, u64)>,
    is_ready: bool,
    changes: Changes,
}

impl Cache {
    /// What is notified of each change of the resource that speaks for an order.
    pub(super) fn changes(&mut self, key: &OrderKey) -> Arc<Notify> {
        self.changes.of(key)
    }

    /// Whether the first list is complete.
    pub const fn is_ready(&self) -> bool {
        self.is_ready
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// One resource.
    pub fn get(&self, object: &ObjectKey) -> Option<&Kept> {
        self.objects.get(object)
    }

    /// The resource that speaks for an order.
    pub fn of_order(&self, key: &OrderKey) -> Option<(&ObjectKey, &Kept)> {
        let object = self.speaker(key)?;
        self.objects.get_key_value(object)
    }

    /// Who speaks for an order: who is written down, else the resource of its name.
    fn speaker(&self, key: &OrderKey) -> Option<&ObjectKey> {
        if let Some(written) = self.by_order.get(key) {
            return Some(written);
        }
        let (object, kept) = self.objects.get_key_value(&ObjectKey::named_as(key))?;
        (kept.key.as_ref() == Some(key)).then_some(object)
    }

    /// Says who speaks for an order from now on.
    fn let_speak(&mut self, key: &OrderKey, object: ObjectKey) {
        if object == ObjectKey::named_as(key) {
            self.by_order.remove(key);
            self.by_order.give_back();
        } else {
            self.by_order.insert(key.clone(), object);
        }
    }

    /// All resources.
    pub fn iter(&self) -> impl Iterator<Item = (&ObjectKey, &Kept)> {
        self.objects.iter()
    }

    /// From now on nothing that is here counts as seen coming into being: somebody else may have
    /// led when it did.
    pub fn age(&mut self) {
        self.objects.values_mut().for_each(|kept| kept.is_live = false);
    }

    /// A resource was made or changed.
    pub fn apply(&mut self, read: Read) -> Vec<Change> {
        let object = self.object_of(&read.resource.metadata);
        self.put(object, read, Met::Changed)
    }

    /// A list begins.
    pub fn relist(&mut self) {
        self.relisted = Some(HashSet::new());
    }

    /// A resource of a list.
    pub fn listed(&mut self, read: Read) -> Vec<Change> {
        let object = self.object_of(&read.resource.metadata);
        if let Some(seen) = &mut self.relisted {
            seen.insert(object.clone());
        }
        self.put(object, read, Met::Found)
    }

    /// A resource of a list that cannot be read; what is known of it stays.
    pub fn listed_unreadable(&mut self, object: ObjectKey) {
        if let Some(seen) = &mut self.relisted {
            seen.insert(object);
        }
    }

    /// The list is complete: what was not in it is gone.
    pub fn relisted(&mut self) -> Vec<Change> {
        self.is_ready = true;
        let Some(seen) = self.relisted.take() else { return Vec::new() };
        let lost: Vec<_> = self.objects.keys().filter(|key| !seen.contains(key)).cloned().collect();
        lost.into_iter().flat_map(|object| self.drop_object(&object)).collect()
    }

    /// A resource was deleted.
    pub fn deleted(&mut self, read: Read) -> Vec<Change> {
        let object = ObjectKey::of(&read.resource.metadata);
        let Some(kept) = self.objects.get_mut(&object) else { return Vec::new() };
        if *kept.uid != *read.resource.metadata.uid.as_deref().unwrap_or_default() {
            return Vec::new();
        }
        // What the deletion shows is newer than what is kept.
        kept.held = Held::Open(Arc::new(read.resource));
        self.drop_object(&object)
    }

    /// A resource was deleted that could be read no longer; what was kept of this life goes.
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
                // A list shows most as they are known.
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

    /// Lets a resource rest that needs no look soon; gives what it is then, unless there is a newer
    /// version by now.
    pub(super) fn settle(&mut self, object: &ObjectKey, version: u64) -> Option<Packed> {
        self.objects.get_mut(object).filter(|kept| kept.version == version)?.rest()
    }

    /// Lets those go to rest that were read longest ago.
    fn rest_oldest(&mut self) {
        while self.open.len() > OPEN_MAX {
            let Some((object, version)) = self.open.pop_front() else { return };
            let kept = self.objects.get_mut(&object).filter(|kept| kept.version == version);
            drop(kept.map(Kept::rest));
        }
    }

    /// Where a resource is, in the words that are kept already where it is known.
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

    /// Of two resources that name one order, the placed one speaks for it, else the older one.
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
