//! Tests of what is known of a resource while statuses are written to it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use orderstream_api::order_request::OrderRequestSpec;

use super::super::guarded_request::ObservedRequest;
use super::*;

fn status(phase: &str) -> Arc<OrderRequestStatus> {
    let phase = Some(phase.to_owned());
    Arc::new(OrderRequestStatus { phase, ..OrderRequestStatus::default() })
}

fn observed(uid: &str, version: u64, status: &OrderRequestStatus) -> ObservedRequest {
    let metadata = ObjectMeta {
        namespace: Some("shop".to_owned()),
        name: Some("a".to_owned()),
        uid: Some(uid.to_owned()),
        resource_version: Some(version.to_string()),
        ..ObjectMeta::default()
    };
    let (spec, status) = (OrderRequestSpec::default(), Some(status.clone()));
    ObservedRequest { resource: OrderRequest { metadata, spec, status }, is_status_ours: true }
}

fn object() -> ObjectKey {
    ObjectKey { namespace: "shop".into(), name: "a".into() }
}

/// Returns a cache of one resource, at version 6 and pending.
fn cache() -> RwLock<Cache> {
    let cache = RwLock::new(Cache::default());
    cache.write().apply(object(), observed("u1", 6, &status("Pending")));
    cache
}

fn write(cache: &RwLock<Cache>, uid: &str, version: u64, phase: &str) {
    let (uid, status, terms): (Arc<str>, _, _) = (uid.into(), status(phase), cache.read().terms());
    let mut cache = cache.write();
    cache.begin_write(&object(), &uid, Arc::clone(&status));
    cache.record_applied(&object(), AppliedWrite { uid: Arc::clone(&uid), status, version, terms });
    cache.end_write(&object(), &uid);
}

/// Returns the phase that was applied, and whether somebody else changed it since.
fn applied(cache: &RwLock<Cache>) -> (Option<String>, bool) {
    let AppliedStatus { status, is_foreign, .. } =
        snapshot(cache, &object()).unwrap().unwrap().applied;
    (status.and_then(|status| status.phase.clone()), is_foreign)
}

/// It is known while it is written, until the watch shows it, and after that.
#[tokio::test]
async fn written_statuses_stay_known() {
    let (cache, streaming) = (cache(), status("Open"));
    assert_eq!(applied(&cache), (None, false));
    cache.write().begin_write(&object(), &"u1".into(), Arc::clone(&streaming));
    let known = (Some("Open".to_owned()), false);
    assert_eq!(applied(&cache), known, "in flight");
    cache.write().end_write(&object(), "u1");
    assert_eq!(applied(&cache), (None, false), "it failed");
    write(&cache, "u1", 7, "Open");
    assert_eq!(applied(&cache), known, "the watch is late");
    for version in [7, 8] {
        cache.write().apply(object(), observed("u1", version, &streaming));
        assert_eq!(applied(&cache), known, "an echo");
        assert_eq!(applied(&cache), known, "compressed");
    }
    cache.write().apply(object(), observed("u1", 9, &status("Closed")));
    assert_eq!(applied(&cache), (known.0, true));
}

/// An echo that was compared before a newer write says nothing about that.
#[tokio::test]
async fn late_echoes_do_not_replace_newer_writes() {
    let cache = cache();
    write(&cache, "u1", 7, "Open");
    let compared = cache.read().applied.get(&object(), "u1").unwrap().last().cloned().unwrap();
    cache.write().apply(object(), observed("u1", 7, &status("Open")));
    write(&cache, "u1", 8, "Paused");
    cache.write().record_echo(&object(), 7, &compared);
    assert_eq!(applied(&cache), (Some("Paused".to_owned()), false));
}

/// A write to the former incarnation that ends later counts for nobody.
#[tokio::test]
async fn new_incarnations_know_no_former_status() {
    let cache = cache();
    cache.write().begin_write(&object(), &"u1".into(), status("Closed"));
    cache.write().apply(object(), observed("u2", 8, &status("Pending")));
    assert_eq!(applied(&cache), (None, false));
    write(&cache, "u1", 7, "Closed");
    assert_eq!(applied(&cache), (None, false));
    write(&cache, "u2", 9, "Open");
    cache.write().end_write(&object(), "u1");
    assert_eq!(applied(&cache), (Some("Open".to_owned()), false));
}

#[tokio::test]
async fn writes_of_former_terms_are_forgotten() {
    let cache = cache();
    write(&cache, "u1", 7, "Open");
    let terms = cache.read().terms();
    cache.write().forget_applied();
    assert_eq!(applied(&cache), (None, false));
    let (uid, status) = ("u1".into(), status("Open"));
    let late = AppliedWrite { uid, status, version: 8, terms };
    cache.write().record_applied(&object(), late);
    assert_eq!(applied(&cache), (None, false));
}
