//! The order requests as the watch last showed them, and which of them speaks for which order.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use orderstream_core::{Incarnation, OrderKey};

use super::ownership;
use crate::convert;
use crate::manifest::namespace_of;
use crate::order_request::OrderRequest;

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
    pub fn of(resource: &OrderRequest) -> Self {
        Self {
            namespace: namespace_of(&resource.metadata).into(),
            name: resource.metadata.name.as_deref().unwrap_or_default().into(),
        }
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
#[allow(clippy::struct_excessive_bools, reason = "two independent facts")]
pub struct Kept {
    /// The resource, without what nobody needs.
    pub resource: Arc<OrderRequest>,
    /// Its order; `None` where the id is wrong.
    pub key: Option<OrderKey>,
    /// Whether it was seen coming into being, and not found.
    pub is_live: bool,
    /// Whether what its status says is what this project's controllers wrote last.
    pub is_status_ours: bool,
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
    by_order: HashMap<OrderKey, ObjectKey>,
    /// Resources that name an order that another one speaks for.
    rivals: HashMap<OrderKey, BTreeSet<ObjectKey>>,
    /// Seen since a relist began.
    relisted: Option<HashSet<ObjectKey>>,
    is_ready: bool,
}

impl Cache {
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
        let object = self.by_order.get(key)?;
        Some((object, self.objects.get(object)?))
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
    pub fn apply(&mut self, resource: OrderRequest) -> Vec<Change> {
        self.put(resource, Met::Changed)
    }

    /// A list begins.
    pub fn relist(&mut self) {
        self.relisted = Some(HashSet::new());
    }

    /// A resource of a list.
    pub fn listed(&mut self, resource: OrderRequest) -> Vec<Change> {
        if let Some(seen) = &mut self.relisted {
            seen.insert(ObjectKey::of(&resource));
        }
        self.put(resource, Met::Found)
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
    pub fn deleted(&mut self, resource: &OrderRequest) -> Vec<Change> {
        let object = ObjectKey::of(resource);
        let is_same = |kept: &Kept| kept.resource.metadata.uid == resource.metadata.uid;
        if !self.objects.get(&object).is_some_and(is_same) {
            return Vec::new();
        }
        // What the deletion shows is newer than what is kept.
        if let Some(kept) = self.objects.get_mut(&object) {
            kept.resource = Arc::new(slim(resource.clone()));
        }
        self.drop_object(&object)
    }

    /// A resource was deleted that could be read no longer; what was kept of this life goes.
    pub fn deleted_unreadable(&mut self, object: &ObjectKey, uid: Option<&str>) -> Vec<Change> {
        let is_same = |kept: &Kept| kept.resource.metadata.uid.as_deref() == uid;
        if self.objects.get(object).is_some_and(is_same) {
            return self.drop_object(object);
        }
        Vec::new()
    }

    fn put(&mut self, resource: OrderRequest, met: Met) -> Vec<Change> {
        let object = ObjectKey::of(&resource);
        let mut changes = Vec::new();
        let former = self.objects.get(&object);
        let is_same = former.is_some_and(|f| f.resource.metadata.uid == resource.metadata.uid);
        let is_live =
            former.filter(|_| is_same).map_or(met == Met::Changed, |former| former.is_live);
        if former.is_some() && !is_same {
            changes.extend(self.drop_object(&object));
        }
        let key = convert::key(&resource).ok();
        let is_status_ours = ownership::is_status_ours(&resource);
        let resource = Arc::new(slim(resource));
        let kept = Kept { resource, key: key.clone(), is_live, is_status_ours };
        self.objects.insert(object.clone(), kept);
        if let Some(key) = key {
            self.claim(&key, &object);
        }
        changes.push(Change::Look(object));
        changes
    }

    /// Of two resources that name one order, the placed one speaks for it, else the older one.
    fn claim(&mut self, key: &OrderKey, object: &ObjectKey) {
        match self.by_order.get(key) {
            Some(holder) if holder == object => {}
            Some(holder) if self.rank(holder) <= self.rank(object) => {
                self.rivals.entry(key.clone()).or_default().insert(object.clone());
            }
            Some(_) | None => {
                if let Some(rivals) = self.rivals.get_mut(key) {
                    rivals.remove(object);
                }
                if let Some(former) = self.by_order.insert(key.clone(), object.clone()) {
                    self.rivals.entry(key.clone()).or_default().insert(former);
                }
            }
        }
    }

    fn rank(&self, object: &ObjectKey) -> impl Ord + use<> {
        let resource = self.objects.get(object).map(|kept| Arc::clone(&kept.resource));
        let meta = resource.as_ref().map(|resource| &resource.metadata);
        let status = resource.as_ref().and_then(|resource| resource.status.as_ref());
        let placed = status.is_some_and(|status| status.processor().is_some());
        let created = meta.and_then(|meta| meta.creation_timestamp.as_ref()).map(|at| at.0);
        (!placed, created, meta.and_then(|meta| meta.uid.clone()))
    }

    fn drop_object(&mut self, object: &ObjectKey) -> Vec<Change> {
        let Some(kept) = self.objects.remove(object) else { return Vec::new() };
        let Some(key) = kept.key else { return Vec::new() };
        let mut changes = Vec::new();
        if let Some(rivals) = self.rivals.get_mut(&key) {
            rivals.remove(object);
        }
        let speaks = self.by_order.get(&key) == Some(object);
        if !speaks {
            return changes;
        }
        self.by_order.remove(&key);
        let status = kept.resource.status.as_ref();
        if let Some(Ok(life)) = kept.resource.metadata.uid.as_deref().map(Incarnation::new) {
            changes.push(Change::Gone(Gone {
                object: object.clone(),
                key: key.clone(),
                life,
                processor: status.and_then(|status| status.processor()).map(ToOwned::to_owned),
                was_over: status.is_some_and(crate::order_status::OrderRequestStatus::is_terminal),
            }));
        }
        let next = self.rivals.get_mut(&key).and_then(BTreeSet::pop_first);
        if self.rivals.get(&key).is_some_and(BTreeSet::is_empty) {
            self.rivals.remove(&key);
        }
        if let Some(next) = next {
            self.by_order.insert(key, next.clone());
            changes.push(Change::Look(next));
        }
        changes
    }
}

/// Drops what nobody reads once a resource is kept, and the room that lists were read into.
fn slim(mut resource: OrderRequest) -> OrderRequest {
    let read = resource.metadata;
    resource.metadata = ObjectMeta {
        name: read.name,
        namespace: read.namespace,
        uid: read.uid,
        resource_version: read.resource_version,
        generation: read.generation,
        creation_timestamp: read.creation_timestamp,
        ..ObjectMeta::default()
    };
    resource.spec.items.shrink_to_fit();
    resource.spec.follow_ups.shrink_to_fit();
    if let Some(status) = &mut resource.status {
        status.conditions.shrink_to_fit();
    }
    resource
}

#[cfg(test)]
#[path = "cache_tests.rs"]
mod tests;
