//! Applied sellers in a folder: they outlast a restart, and orders may invite them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use orderstream_api::apply_merge::{
    hide_last_applied, keep_last_applied, merged_seller, set_last_applied,
};
use orderstream_api::convert;
use orderstream_api::manifest::namespace_of;
use orderstream_api::seller::Seller;
use orderstream_core::port::{Clock, SellerDirectory, SellerWatcher};
use orderstream_core::{Reason, Refusal, Tenant, spec};
use parking_lot::{Mutex, RwLock};
use serde_json::Value;

use super::apply::new_metadata;
use super::store::ResourceFolder;
use super::{LocalApplyOutcome, RESOURCES_MAX};

/// The applied sellers; the same for every tenant. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LocalSellers(Arc<SellerFolder>);

#[derive(Debug)]
struct SellerFolder {
    store: ResourceFolder,
    clock: Arc<dyn Clock>,
    /// The sellers that orders may invite while none is applied.
    stand_ins: Arc<[spec::Seller]>,
    /// Locked while a seller is changed, also during disk writes.
    writer: Mutex<()>,
    /// The resources by their names. Locked for moments only.
    resources: Mutex<BTreeMap<String, Seller>>,
    /// The sellers that orders may invite, ordered by name.
    directory: RwLock<Arc<[spec::Seller]>>,
    watchers: RwLock<Vec<Arc<dyn SellerWatcher>>>,
}

impl LocalSellers {
    /// Opens the folder. Until a seller is applied, orders may invite the stand-ins. Blocks on the
    /// disk.
    ///
    /// # Errors
    /// A folder that cannot be read or written.
    pub fn open(
        dir: &Path,
        stand_ins: Vec<spec::Seller>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Refusal> {
        let (store, stored): (_, Vec<Seller>) = ResourceFolder::open(dir, "seller")?;
        let mut resources = BTreeMap::new();
        for resource in stored {
            match convert::seller(&resource) {
                Ok(seller) => drop(resources.insert(seller.id.to_string(), resource)),
                Err(refusal) => {
                    tracing::error!(%refusal, "a stored seller is refused; it is left out until it is corrected");
                }
            }
        }
        let folder = SellerFolder {
            store,
            clock,
            stand_ins: ordered(stand_ins),
            writer: Mutex::new(()),
            resources: Mutex::new(resources),
            directory: RwLock::new(ordered(Vec::new())),
            watchers: RwLock::default(),
        };
        folder.publish();
        Ok(Self(Arc::new(folder)))
    }

    /// Creates a seller, or merges the document that it was read from into the stored one. Blocks
    /// on the disk; the returned state survives a crash.
    ///
    /// # Errors
    /// Wrong content, too many sellers, a failed disk write.
    pub fn apply(
        &self,
        seller: Seller,
        document: &Value,
    ) -> Result<(LocalApplyOutcome, Seller), Refusal> {
        self.0.change(seller, |old, _| merged_seller(old, document), Some(document))
    }

    /// Creates a seller, or replaces the stored one. Blocks on the disk.
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub fn replace(&self, seller: Seller) -> Result<(LocalApplyOutcome, Seller), Refusal> {
        let replaced = |old: &Seller, new: &Seller| {
            let mut replaced = Seller { spec: new.spec.clone(), ..old.clone() };
            replaced.metadata.labels.clone_from(&new.metadata.labels);
            replaced.metadata.annotations.clone_from(&new.metadata.annotations);
            keep_last_applied(&mut replaced.metadata, &old.metadata);
            Ok(replaced)
        };
        self.0.change(seller, replaced, None)
    }

    /// Returns one applied seller.
    ///
    /// # Errors
    /// No such seller.
    pub fn get(&self, namespace: &str, name: &str) -> Result<Seller, Refusal> {
        self.0.find(namespace, name).map(displayed)
    }

    /// Returns the applied sellers of a namespace, or all, in the order of their names.
    pub fn list(&self, namespace: Option<&str>) -> Vec<Seller> {
        let mut all: Vec<Seller> = self.0.resources.lock().values().cloned().collect();
        all.retain(|seller| namespace.is_none_or(|name| name == namespace_of(&seller.metadata)));
        all.into_iter().map(displayed).collect()
    }

    /// Removes a seller: no order invites it from now on. Blocks on the disk.
    ///
    /// # Errors
    /// No such seller, a failed disk write.
    pub fn delete(&self, namespace: &str, name: &str) -> Result<Seller, Refusal> {
        let folder = &*self.0;
        let _writing = folder.writer.lock();
        let seller = folder.find(namespace, name)?;
        folder.store.remove(&seller.metadata)?;
        folder.resources.lock().remove(name);
        folder.publish();
        Ok(displayed(seller))
    }
}

impl SellerDirectory for LocalSellers {
    fn sellers(&self, _: &Tenant) -> Arc<[spec::Seller]> {
        Arc::clone(&self.0.directory.read())
    }

    fn watch(&self, watcher: Arc<dyn SellerWatcher>) {
        self.0.watchers.write().push(watcher);
    }
}

impl SellerFolder {
    fn change(
        &self,
        seller: Seller,
        merge: impl FnOnce(&Seller, &Seller) -> Result<Seller, Refusal>,
        document: Option<&Value>,
    ) -> Result<(LocalApplyOutcome, Seller), Refusal> {
        let _writing = self.writer.lock();
        let namespace = namespace_of(&seller.metadata).to_owned();
        let name = seller.metadata.name.clone().unwrap_or_default();
        let old = self.resources.lock().get(&name).cloned();
        let Some(old) = old else {
            let new = self.created(namespace, seller, document)?;
            self.keep(&new)?;
            return Ok((LocalApplyOutcome::Created, displayed(new)));
        };
        let owner = namespace_of(&old.metadata);
        if owner != namespace {
            let message = format!(
                "is {namespace}, and the seller {name} is in {owner}; here all namespaces have the \
                 same sellers, use {owner} or another name"
            );
            return Err(Refusal::field("metadata.namespace", message));
        }
        let mut new = merge(&old, &seller)?;
        convert::seller(&new)?;
        if new.spec != old.spec {
            let generation = old.metadata.generation.unwrap_or(1);
            new.metadata.generation = Some(generation.saturating_add(1));
        }
        let shown = displayed(old.clone());
        let is_unchanged = displayed(new.clone()) == shown;
        if new != old {
            self.keep(&new)?;
        }
        if is_unchanged {
            return Ok((LocalApplyOutcome::Unchanged, shown));
        }
        Ok((LocalApplyOutcome::Configured, displayed(new)))
    }

    fn created(
        &self,
        namespace: String,
        seller: Seller,
        document: Option<&Value>,
    ) -> Result<Seller, Refusal> {
        if self.resources.lock().len() >= RESOURCES_MAX {
            let message = format!("{RESOURCES_MAX} sellers are kept; delete some first");
            return Err(Refusal::new(Reason::LimitReached, message));
        }
        let mut metadata = new_metadata(seller.metadata, namespace, self.clock.now());
        if let Some(document) = document {
            set_last_applied(&mut metadata, document)?;
        }
        let new = Seller { metadata, spec: seller.spec, status: None };
        convert::seller(&new)?;
        Ok(new)
    }

    /// Stores a seller, and shows it to orders.
    fn keep(&self, seller: &Seller) -> Result<(), Refusal> {
        self.store.write(&seller.metadata, seller)?;
        let name = seller.metadata.name.clone().unwrap_or_default();
        self.resources.lock().insert(name, seller.clone());
        self.publish();
        // They are those of every tenant. A deletion makes nobody fit: the sellers that stand in for
        // none are for new orders.
        self.watchers.read().iter().for_each(|watcher| watcher.sellers_changed());
        Ok(())
    }

    fn publish(&self) {
        // Each was converted before it was stored.
        let sellers: Vec<spec::Seller> = {
            let resources = self.resources.lock();
            resources.values().filter_map(|resource| convert::seller(resource).ok()).collect()
        };
        let sellers =
            if sellers.is_empty() { Arc::clone(&self.stand_ins) } else { ordered(sellers) };
        *self.directory.write() = sellers;
    }

    fn find(&self, namespace: &str, name: &str) -> Result<Seller, Refusal> {
        let seller = self.resources.lock().get(name).cloned();
        let seller = seller.filter(|seller| namespace_of(&seller.metadata) == namespace);
        seller.ok_or_else(|| {
            let name = orderstream_api::escaped(&format!("{namespace}/{name}"));
            Refusal::new(Reason::OrderNotFound, format!("there is no Seller {name}"))
        })
    }
}

/// Returns a seller as readers see it: without the document that was last applied.
fn displayed(mut seller: Seller) -> Seller {
    hide_last_applied(&mut seller.metadata);
    seller
}

fn ordered(mut sellers: Vec<spec::Seller>) -> Arc<[spec::Seller]> {
    sellers.sort_by(|a, b| a.id.cmp(&b.id));
    sellers.into()
}

#[cfg(test)]
mod tests {
    use orderstream_api::manifest::{Manifest, manifest};
    use serde_json::json;

    use super::*;
    use crate::tests::hand_clock;

    fn open(dir: &Path, stand_ins: &[&str]) -> LocalSellers {
        let stand_ins = stand_ins.iter().map(|name| convert::seller(&seller(name).0).unwrap());
        LocalSellers::open(dir, stand_ins.collect(), hand_clock()).unwrap()
    }

    fn seller(name: &str) -> (Seller, Value) {
        seller_of(name, &json!({}))
    }

    fn seller_of(name: &str, spec: &Value) -> (Seller, Value) {
        let document = json!({
            "apiVersion": "orderstream.dev/v1alpha1", "kind": "Seller",
            "metadata": { "name": name }, "spec": spec,
        });
        let Manifest::Seller(seller) = manifest(document.clone()).unwrap() else {
            panic!("{document}");
        };
        (*seller, document)
    }

    fn names(sellers: &LocalSellers) -> Vec<String> {
        let sellers = sellers.sellers(&Tenant::default());
        sellers.iter().map(|seller| seller.id.to_string()).collect()
    }

    fn apply(sellers: &LocalSellers, name: &str, spec: &Value) -> LocalApplyOutcome {
        let (seller, document) = seller_of(name, spec);
        sellers.apply(seller, &document).unwrap().0
    }

    #[test]
    fn own_sellers_take_the_place_of_stand_ins() {
        let dir = tempfile::tempdir().unwrap();
        let sellers = open(dir.path(), &["demo-2", "demo-1"]);
        assert_eq!(names(&sellers), ["demo-1", "demo-2"]);
        assert_eq!(sellers.list(None), []);
        apply(&sellers, "b", &json!({}));
        apply(&sellers, "a", &json!({}));
        assert_eq!(names(&sellers), ["a", "b"]);
        for name in ["a", "b"] {
            sellers.delete("default", name).unwrap();
        }
        assert_eq!(names(&sellers), ["demo-1", "demo-2"]);
    }

    /// Nothing of them is lost, and the last document is still known.
    #[test]
    fn applied_sellers_survive_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let sellers = open(dir.path(), &[]);
        let spec = json!({ "capacity": 3, "categories": ["steel"] });
        assert_eq!(apply(&sellers, "acme", &spec), LocalApplyOutcome::Created);
        let before = sellers.get("default", "acme").unwrap();
        assert!(before.metadata.uid.is_some() && before.metadata.annotations.is_none());
        let sellers = open(dir.path(), &["demo"]);
        assert_eq!(names(&sellers), ["acme"]);
        assert_eq!(sellers.get("default", "acme").unwrap(), before);
        assert_eq!(apply(&sellers, "acme", &spec), LocalApplyOutcome::Unchanged);
        let outcome = apply(&sellers, "acme", &json!({ "categories": ["steel"] }));
        assert_eq!(outcome, LocalApplyOutcome::Configured);
        let after = sellers.get("default", "acme").unwrap();
        assert_eq!((after.spec.capacity, after.metadata.generation), (None, Some(2)));
    }

    #[test]
    fn replaced_sellers_have_the_new_spec() {
        let dir = tempfile::tempdir().unwrap();
        let sellers = open(dir.path(), &[]);
        apply(&sellers, "acme", &json!({ "capacity": 3 }));
        let (outcome, replaced) =
            sellers.replace(seller_of("acme", &json!({ "suspended": true })).0).unwrap();
        assert_eq!(outcome, LocalApplyOutcome::Configured);
        assert_eq!((replaced.spec.capacity, replaced.spec.suspended), (None, true));
    }

    #[test]
    fn names_belong_to_one_namespace() {
        let dir = tempfile::tempdir().unwrap();
        let sellers = open(dir.path(), &[]);
        apply(&sellers, "acme", &json!({}));
        let (mut other, document) = seller("acme");
        other.metadata.namespace = Some("team-a".to_owned());
        let refusal = sellers.apply(other, &document).unwrap_err();
        assert_eq!(refusal.field.as_deref(), Some("metadata.namespace"));
        assert!(refusal.message.contains("use default"), "{refusal}");
        let unknown = sellers.get("team-a", "acme").unwrap_err();
        assert_eq!(unknown.reason, Reason::OrderNotFound);
        assert_eq!(sellers.list(Some("team-a")), []);
    }
}
