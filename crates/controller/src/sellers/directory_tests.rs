//! Tests of the sellers of a cluster that a processor caches.

use serde_json::{Value, json};

use super::*;

fn guarded(name: &str, spec: &Value) -> GuardedSeller {
    serde_json::from_value(json!({
        "apiVersion": "orderstream.dev/v1alpha1",
        "kind": "Seller",
        "metadata": { "namespace": "shop", "name": name, "resourceVersion": "1" },
        "spec": spec,
    }))
    .unwrap()
}

fn seller(name: &str) -> GuardedSeller {
    guarded(name, &json!({}))
}

fn object(name: &str) -> ObjectKey {
    ObjectKey { namespace: "shop".into(), name: name.into() }
}

/// Takes in a seller that was created or changed.
fn apply(sellers: &ClusterSellers, seller: GuardedSeller) {
    let object = object(&seller.name_any());
    sellers.clone().take(ResourceChange::Applied(object, seller));
}

fn delete(sellers: &ClusterSellers, seller: GuardedSeller) {
    let object = object(&seller.name_any());
    sellers.clone().take(ResourceChange::Deleted(object, seller));
}

fn names(sellers: &ClusterSellers, tenant: &str) -> Vec<String> {
    let sellers = sellers.sellers(&Tenant::new(tenant).unwrap());
    sellers.iter().map(|seller| seller.id.to_string()).collect()
}

/// Returns the complete list of all sellers, which has these.
fn complete(names: &[&str]) -> CompleteList {
    let listed = names.iter().map(|name| object(name)).collect();
    CompleteList { namespace: None, listed, is_every_watch_listed: true }
}

fn list(sellers: &ClusterSellers, names: &[&str]) {
    let mut sellers = sellers.clone();
    names.iter().for_each(|name| sellers.take(ResourceChange::Listed(object(name), seller(name))));
    sellers.take(ResourceChange::ListComplete(complete(names)));
}

/// A watcher that records each call: a seller's name, or `all`.
#[derive(Debug, Default)]
struct RecordingWatcher(RwLock<Vec<String>>);

impl SellerWatcher for RecordingWatcher {
    fn seller_changed(&self, tenant: &Tenant, id: &SellerId) {
        self.0.write().push(format!("{tenant}/{id}"));
    }

    fn sellers_changed(&self) {
        self.0.write().push("all".to_owned());
    }
}

#[test]
fn sellers_are_sorted_within_their_namespace() {
    let sellers = ClusterSellers::default();
    list(&sellers, &["b", "a-1", "a"]);
    assert_eq!(names(&sellers, "shop"), ["a", "a-1", "b"]);
    assert_eq!(names(&sellers, "other"), [""; 0]);
    let tenant = Tenant::new("shop").unwrap();
    let found = sellers.seller(&tenant, &SellerId::new("a-1").unwrap());
    assert_eq!(found.map(|seller| seller.id.to_string()).as_deref(), Some("a-1"));
}

/// A change is in the next list; without one, the same list is returned.
#[test]
fn seller_list_changes_only_with_sellers() {
    let sellers = ClusterSellers::default();
    list(&sellers, &["a"]);
    let tenant = Tenant::new("shop").unwrap();
    let first = sellers.sellers(&tenant);
    assert!(Arc::ptr_eq(&first, &sellers.sellers(&tenant)));
    let asleep = guarded("a", &json!({ "suspended": true }));
    apply(&sellers, asleep.clone());
    let second = sellers.sellers(&tenant);
    assert!(second[0].suspended);
    apply(&sellers, asleep);
    assert!(Arc::ptr_eq(&second, &sellers.sellers(&tenant)), "nothing changed");
    delete(&sellers, seller("a"));
    assert_eq!(names(&sellers, "shop"), [""; 0]);
}

/// A seller's open orders are known at once.
#[test]
fn new_counts_keep_seller_list() {
    let sellers = ClusterSellers::default();
    list(&sellers, &["a"]);
    let (tenant, id) = (Tenant::new("shop").unwrap(), SellerId::new("a").unwrap());
    let before = sellers.sellers(&tenant);
    assert_eq!(sellers.open_orders(&tenant, &id), 0);
    let mut counted = seller("a");
    if let Ok(resource) = &mut counted.0 {
        let status = json!({ "openOrders": 7 });
        resource.status = Some(serde_json::from_value(status).unwrap());
    }
    apply(&sellers, counted);
    assert_eq!(sellers.open_orders(&tenant, &id), 7);
    assert!(Arc::ptr_eq(&before, &sellers.sellers(&tenant)));
    delete(&sellers, seller("a"));
    assert_eq!(sellers.open_orders(&tenant, &id), 0);
}

/// A new count is no change of a seller, and nobody is invited because one is gone.
#[test]
fn changed_sellers_reach_watchers() {
    let (sellers, watcher) = (ClusterSellers::default(), Arc::new(RecordingWatcher::default()));
    sellers.watch(Arc::<RecordingWatcher>::clone(&watcher));
    let recorded = || std::mem::take(&mut *watcher.0.write());
    list(&sellers, &["a", "b"]);
    assert_eq!(recorded(), ["shop/a", "shop/b", "all"]);
    apply(&sellers, seller("a"));
    apply(&sellers, guarded("a", &json!({ "capacity": "many" })));
    delete(&sellers, seller("b"));
    assert_eq!(recorded(), [""; 0]);
    apply(&sellers, guarded("a", &json!({ "suspended": true })));
    apply(&sellers, seller("c"));
    assert_eq!(recorded(), ["shop/a", "shop/c"]);
    list(&sellers, &["c", "d"]);
    assert_eq!(recorded(), ["shop/d"], "a later list reports what differs");
}

/// The sellers of a namespace that is not listed yet are not absent.
#[test]
fn sellers_are_known_once_all_watches_listed() {
    let (sellers, watcher) = (ClusterSellers::default(), Arc::new(RecordingWatcher::default()));
    sellers.watch(Arc::<RecordingWatcher>::clone(&watcher));
    let recorded = || std::mem::take(&mut *watcher.0.write());
    let mut store = sellers.clone();
    store.take(ResourceChange::Listed(object("a"), seller("a")));
    let mut shop = CompleteList { namespace: Some("shop".into()), ..complete(&["a"]) };
    shop.is_every_watch_listed = false;
    store.take(ResourceChange::ListComplete(shop));
    assert_eq!(recorded(), ["shop/a"]);
    assert!(!sellers.is_known());
    let team = CompleteList { namespace: Some("team".into()), ..complete(&[]) };
    store.take(ResourceChange::ListComplete(team.clone()));
    assert_eq!(recorded(), ["all"]);
    assert!(sellers.is_known());
    store.take(ResourceChange::ListComplete(team));
    assert_eq!(recorded(), [""; 0]);
    assert_eq!(names(&sellers, "shop"), ["a"]);
}

/// Nothing is lost before the list is complete.
#[test]
fn complete_lists_drop_missing_sellers() {
    let sellers = ClusterSellers::default();
    list(&sellers, &["a", "b"]);
    sellers.clone().take(ResourceChange::ListBegan);
    assert_eq!(names(&sellers, "shop"), ["a", "b"], "the API server may be away for long");
    list(&sellers, &["b"]);
    assert_eq!(names(&sellers, "shop"), ["b"]);
}

/// The sellers are known once every namespace was listed.
#[test]
fn lists_of_a_namespace_keep_other_sellers() {
    let mut sellers = ClusterSellers::default();
    for tenant in ["shop", "team"] {
        let object = ObjectKey { namespace: tenant.into(), name: "a".into() };
        sellers.take(ResourceChange::Listed(object, seller("a")));
    }
    let empty = |namespace: &str, is_every_watch_listed: bool| {
        let namespace = Some(namespace.into());
        let list = CompleteList { namespace, is_every_watch_listed, ..CompleteList::default() };
        ResourceChange::ListComplete(list)
    };
    sellers.take(empty("shop", false));
    assert_eq!((names(&sellers, "shop"), names(&sellers, "team")), (vec![], vec!["a".to_owned()]));
    assert!(!sellers.is_known());
    sellers.take(empty("team", true));
    assert_eq!(names(&sellers, "team"), [""; 0]);
    assert!(sellers.is_known());
}

/// Of each, the last version that could be read stays.
#[test]
fn unreadable_sellers_harm_no_others() {
    let sellers = ClusterSellers::default();
    list(&sellers, &["a", "b"]);
    for wrong in [json!({ "capacity": "many" }), json!({ "currency": "eur" })] {
        apply(&sellers, guarded("b", &wrong));
        apply(&sellers, guarded("c", &wrong));
        assert_eq!(names(&sellers, "shop"), ["a", "b"]);
    }
    apply(&sellers, seller("c"));
    assert_eq!(names(&sellers, "shop"), ["a", "b", "c"]);
    assert_eq!(sellers.cache.read().count, 3);
    delete(&sellers, guarded("b", &json!({ "capacity": "many" })));
    assert_eq!(names(&sellers, "shop"), ["a", "c"]);
}

#[test]
fn sellers_are_unknown_before_first_list() {
    let sellers = ClusterSellers::default();
    assert!(!sellers.is_known());
    sellers.is_listed.send_replace(true);
    assert!(sellers.is_known());
}
