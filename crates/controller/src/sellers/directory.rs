//! The sellers of a cluster, cached by a watch: a processor chooses from them, and uses the last
//! known ones while the API server is unreachable.
//!
//! ```text
//!   API server ──▶ watch ──▶ by namespace, by name ──▶ sorted list, made at the first read
//!                                                       after a change
//! ```

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use kube::runtime::watcher;
use kube::{Client, ResourceExt as _};
use orderstream_api::convert;
use orderstream_core::port::{SellerDirectory, SellerWatcher};
use orderstream_core::spec::Seller;
use orderstream_core::{SellerId, Tenant, TenantScope};
use parking_lot::RwLock;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::seller_watch::{self, GuardedSeller, SELLERS_MAX, SETTINGS};
use crate::object::ObjectKey;
use crate::watch::{
    CompleteList, OutageProgress, ResourceChange, ResourceStore, UnreadableVersions, follow,
};

/// The sellers of a cluster; a tenant is a namespace. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ClusterSellers {
    cache: Arc<RwLock<SellerCache>>,
    is_listed: watch::Sender<bool>,
    watchers: Arc<RwLock<Vec<Arc<dyn SellerWatcher>>>>,
}

impl Default for ClusterSellers {
    fn default() -> Self {
        let is_listed = watch::Sender::new(false);
        Self { cache: Arc::default(), is_listed, watchers: Arc::default() }
    }
}

impl ClusterSellers {
    /// Keeps the sellers of these namespaces up to date until shutdown.
    pub async fn follow(self, client: Client, scope: TenantScope, stop: CancellationToken) {
        follow::<GuardedSeller>(&client, &scope, SETTINGS, self, stop).await;
    }

    fn report_change(&self, object: &ObjectKey) {
        let tenant = Tenant::try_from(Arc::clone(&object.namespace));
        let (Ok(tenant), Ok(id)) = (tenant, SellerId::new(&*object.name)) else { return };
        self.watchers.read().iter().for_each(|watcher| watcher.seller_changed(&tenant, &id));
    }

    /// Waits until the first list of every watch is complete.
    pub async fn listed(&self) {
        let mut is_listed = self.is_listed.subscribe();
        // This keeps the sender; the wait ends with the list.
        drop(is_listed.wait_for(|is_listed| *is_listed).await);
    }
}

impl ResourceStore<GuardedSeller> for ClusterSellers {
    fn take(&mut self, change: ResourceChange<GuardedSeller>) {
        let is_listed = matches!(
            &change,
            ResourceChange::ListComplete(list) if list.is_every_watch_listed
        );
        let changed = self.cache.write().take(change);
        if let Some(object) = changed {
            self.report_change(&object);
        }
        // Not before: a seller of a namespace that is not listed yet is not absent.
        if is_listed && !self.is_listed.send_replace(true) {
            tracing::info!(sellers = self.cache.read().count, "the sellers are known");
            self.watchers.read().iter().for_each(|watcher| watcher.sellers_changed());
        }
    }

    fn report_failure(&self, error: &watcher::Error, outage: OutageProgress) {
        seller_watch::report_failure(error, outage);
    }
}

impl SellerDirectory for ClusterSellers {
    fn sellers(&self, tenant: &Tenant) -> Arc<[Seller]> {
        match self.cache.read().tenants.get(tenant.as_str()) {
            None => return Arc::default(),
            Some(TenantSellers { sorted: Some(sorted), .. }) => return Arc::clone(sorted),
            Some(_) => {}
        }
        let mut cache = self.cache.write();
        cache.tenants.get_mut(tenant.as_str()).map(TenantSellers::sorted).unwrap_or_default()
    }

    fn open_orders(&self, tenant: &Tenant, id: &SellerId) -> u32 {
        let cache = self.cache.read();
        let tenant = cache.tenants.get(tenant.as_str());
        tenant.and_then(|tenant| tenant.open_orders.get(id)).copied().unwrap_or(0)
    }

    fn is_known(&self) -> bool {
        *self.is_listed.borrow()
    }

    fn watch(&self, watcher: Arc<dyn SellerWatcher>) {
        self.watchers.write().push(watcher);
    }
}

#[derive(Debug, Default)]
struct TenantSellers {
    sellers: BTreeMap<SellerId, Seller>,
    /// The sellers sorted by id, made when they are read; absent after a change.
    sorted: Option<Arc<[Seller]>>,
    /// The number of open orders, as the leading controller counted them. It is stored separately
    /// because it changes with every order.
    open_orders: HashMap<SellerId, u32>,
}

impl TenantSellers {
    fn sorted(&mut self) -> Arc<[Seller]> {
        let sellers = &self.sellers;
        Arc::clone(self.sorted.get_or_insert_with(|| sellers.values().cloned().collect()))
    }
}

#[derive(Debug, Default)]
struct SellerCache {
    tenants: HashMap<Arc<str>, TenantSellers>,
    count: usize,
    unreadable: UnreadableVersions,
    /// Set once it was reported that there are too many.
    is_full: bool,
}

impl SellerCache {
    /// Takes in a change. Returns the seller that is new or different then, if it is one.
    fn take(&mut self, change: ResourceChange<GuardedSeller>) -> Option<ObjectKey> {
        match change {
            ResourceChange::ListBegan => {}
            ResourceChange::Listed(object, seller) | ResourceChange::Applied(object, seller) => {
                return self.put(&object, seller).then_some(object);
            }
            ResourceChange::ListComplete(list) => self.complete_list(&list),
            ResourceChange::Deleted(object, _) => self.remove(&object),
        }
        None
    }

    /// Takes in a seller that can be read, and reports whether it is new or different. Of one that
    /// cannot, the last readable version stays.
    fn put(&mut self, object: &ObjectKey, guarded: GuardedSeller) -> bool {
        let version = guarded.resource_version();
        let read = guarded.0.map_err(|wrong| wrong.error.clone());
        let read = read.and_then(|it| {
            let open_orders = it.status.as_ref().and_then(|status| status.open_orders);
            let seller = convert::seller(&it).map_err(|error| error.to_string())?;
            Ok((seller, open_orders.unwrap_or(0)))
        });
        match read {
            Ok((seller, open_orders)) => {
                self.unreadable.forget(object);
                self.insert(object, seller, open_orders)
            }
            Err(error) => {
                if self.unreadable.record(object, version) {
                    tracing::error!(%object, error, "a seller cannot be read and is left out");
                }
                false
            }
        }
    }

    fn insert(&mut self, object: &ObjectKey, seller: Seller, open_orders: u32) -> bool {
        let is_new = self
            .tenants
            .get(&object.namespace)
            .is_none_or(|tenant| !tenant.sellers.contains_key(&seller.id));
        if is_new && self.count >= SELLERS_MAX {
            if !std::mem::replace(&mut self.is_full, true) {
                tracing::error!(%object, "more than {SELLERS_MAX} sellers; further ones are left out");
            }
            return false;
        }
        self.count = self.count.saturating_add(usize::from(is_new));
        let tenant = self.tenants.entry(Arc::clone(&object.namespace)).or_default();
        tenant.open_orders.insert(seller.id.clone(), open_orders);
        let is_changed = tenant.sellers.get(&seller.id) != Some(&seller);
        if is_changed {
            tenant.sorted = None;
            tenant.sellers.insert(seller.id.clone(), seller);
        }
        is_changed
    }

    fn remove(&mut self, object: &ObjectKey) {
        self.unreadable.forget(object);
        let Some(tenant) = self.tenants.get_mut(&object.namespace) else { return };
        let Ok(id) = SellerId::new(&*object.name) else { return };
        tenant.open_orders.remove(&id);
        if tenant.sellers.remove(&id).is_some() {
            tenant.sorted = None;
            self.count = self.count.saturating_sub(1);
            self.is_full = false;
        }
        if tenant.sellers.is_empty() {
            self.tenants.remove(&object.namespace);
        }
    }

    /// Completes a list: sellers that it lacks are gone.
    fn complete_list(&mut self, list: &CompleteList) {
        self.unreadable.complete_list(list);
        let mut missing: Vec<ObjectKey> = Vec::new();
        for (namespace, tenant) in &self.tenants {
            let objects = tenant
                .sellers
                .keys()
                .map(|id| ObjectKey { namespace: Arc::clone(namespace), name: id.as_str().into() });
            missing.extend(objects.filter(|object| list.lacks(object)));
        }
        missing.iter().for_each(|object| self.remove(object));
    }
}

#[cfg(test)]
#[path = "directory_tests.rs"]
mod tests;
