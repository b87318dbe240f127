//! Tests of the cache of resources.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff;
use orderstream_api::order_request::{OrderRequestSpec, StreamStatus};
use orderstream_api::order_status::OrderRequestStatus;
use proptest::prelude::*;

use super::*;

fn resource(name: &str, uid: &str, second: i64) -> OrderRequest {
    let created = jiff::Timestamp::from_second(second).unwrap();
    let metadata = ObjectMeta {
        namespace: Some("shop".to_owned()),
        name: Some(name.to_owned()),
        uid: Some(uid.to_owned()),
        creation_timestamp: Some(Time(created)),
        ..ObjectMeta::default()
    };
    OrderRequest { metadata, spec: OrderRequestSpec::default(), status: None }
}

fn naming(id: &str, resource: OrderRequest) -> OrderRequest {
    let spec = OrderRequestSpec { order_req_id: Some(id.to_owned()), ..resource.spec.clone() };
    OrderRequest { spec, ..resource }
}

fn placed(resource: OrderRequest) -> OrderRequest {
    let stream =
        StreamStatus { processor: Some("http://p:1".to_owned()), ..StreamStatus::default() };
    let status = OrderRequestStatus { stream: Some(stream), ..OrderRequestStatus::default() };
    OrderRequest { status: Some(status), ..resource }
}

const fn observed(resource: OrderRequest) -> ObservedRequest {
    ObservedRequest { resource, is_status_ours: true }
}

fn apply(cache: &mut Cache, resource: OrderRequest) -> Vec<CacheChange> {
    cache.apply(ObjectKey::of(&resource.metadata), observed(resource))
}

fn listed(cache: &mut Cache, resource: OrderRequest) -> Vec<CacheChange> {
    cache.listed(ObjectKey::of(&resource.metadata), observed(resource))
}

fn deleted(cache: &mut Cache, resource: OrderRequest) -> Vec<CacheChange> {
    cache.deleted(&ObjectKey::of(&resource.metadata), observed(resource))
}

/// Completes a list of these names.
fn complete(cache: &mut Cache, names: &[&str]) -> Vec<CacheChange> {
    let object = |name: &&str| ObjectKey { namespace: "shop".into(), name: (*name).into() };
    let listed = names.iter().map(object).collect();
    cache.complete_list(&CompleteList { namespace: None, listed, is_every_watch_listed: true })
}

fn descriptions(changes: &[CacheChange]) -> Vec<String> {
    changes
        .iter()
        .map(|change| match change {
            CacheChange::Reconcile(object) => format!("look {}", object.name),
            CacheChange::Deleted(deleted) => {
                format!("gone {} {}", deleted.object.name, deleted.incarnation)
            }
        })
        .collect()
}

fn representative(cache: &Cache, id: &str) -> Option<String> {
    let key = OrderKey::new("shop", id).unwrap();
    cache.of_order(&key).map(|(object, _)| object.name.to_string())
}

/// A created resource is queued for a reconcile.
#[test]
fn deleted_resources_are_gone_once() {
    let mut cache = Cache::default();
    assert_eq!(descriptions(&apply(&mut cache, resource("a", "u1", 1))), ["look a"]);
    assert_eq!(descriptions(&deleted(&mut cache, resource("a", "u1", 1))), ["gone a u1"]);
    assert_eq!(descriptions(&deleted(&mut cache, resource("a", "u1", 1))), [""; 0]);
    assert_eq!(cache.len(), 0);
}

/// This holds where the delete was missed too; a late delete of the former one drops nothing.
#[test]
fn recreated_names_are_new_incarnations() {
    let mut cache = Cache::default();
    apply(&mut cache, resource("a", "u1", 1));
    assert_eq!(descriptions(&apply(&mut cache, resource("a", "u2", 2))), ["gone a u1", "look a"]);
    assert_eq!(
        descriptions(&deleted(&mut cache, resource("a", "u1", 1))),
        [""; 0],
        "a late delete"
    );
    assert_eq!(representative(&cache, "a").as_deref(), Some("a"));
}

/// Its order is cancelled as after a deletion, unless the status shows its end. Nothing happens to
/// a resource that was never here.
#[test]
fn moved_resources_are_gone() {
    let mut cache = Cache::default();
    let mut leave_out = |known: Option<&str>, observed: Option<OrderRequest>| {
        known.into_iter().for_each(|uid| drop(apply(&mut cache, resource("a", uid, 1))));
        let object = ObjectKey { namespace: "shop".into(), name: "a".into() };
        let changes = cache.leave_out(&object, observed.map(self::observed));
        assert_eq!(cache.len(), 0);
        descriptions(&changes)
    };
    assert_eq!(leave_out(None, Some(resource("a", "u1", 1))), [""; 0]);
    assert_eq!(leave_out(Some("u1"), Some(resource("a", "u1", 1))), ["gone a u1"]);
    assert_eq!(leave_out(Some("u1"), Some(resource("a", "u2", 2))), ["gone a u1"], "replaced");
    assert_eq!(leave_out(Some("u1"), None), ["gone a u1"], "it cannot be read");
}

/// Their orders are not orphans where their statuses say that they are; a copy elsewhere is.
#[test]
fn left_out_orders_are_known_at_their_place() {
    let mut cache = Cache::default();
    let opened = |name: &str, processor: &str| {
        let mut resource = resource(name, name, 1);
        resource.status = Some(OrderRequestStatus {
            start_time: Some("2026-12-01T12:00:00Z".to_owned()),
            stream: Some(StreamStatus {
                processor: Some(processor.to_owned()),
                ..StreamStatus::default()
            }),
            ..OrderRequestStatus::default()
        });
        resource
    };
    let leave_out = |cache: &mut Cache, resource: OrderRequest| {
        drop(cache.leave_out(&ObjectKey::of(&resource.metadata), Some(observed(resource))));
    };
    for name in ["a", "b", "c", "d"] {
        leave_out(&mut cache, opened(name, "http://p-0"));
    }
    leave_out(&mut cache, resource("unopened", "unopened", 1));
    apply(&mut cache, resource("b", "b", 1));
    deleted(&mut cache, resource("c", "c", 1));
    assert_eq!(cache.left_out_at("http://p-0"), HashSet::from(["a", "d"]));
    assert_eq!(cache.left_out_at("http://p-1"), HashSet::new());
    leave_out(&mut cache, opened("a", "http://p-1"));
    complete(&mut cache, &["a", "b"]);
    assert_eq!(cache.left_out_at("http://p-0"), HashSet::new());
    assert_eq!(cache.left_out_at("http://p-1"), HashSet::from(["a"]));
}

#[test]
fn relists_drop_missing_but_not_unreadable() {
    let mut cache = Cache::default();
    for name in ["a", "b", "c"] {
        apply(&mut cache, resource(name, name, 1));
    }
    listed(&mut cache, resource("a", "a", 1));
    assert_eq!(descriptions(&complete(&mut cache, &["a", "b"])), ["gone c c"]);
    assert_eq!(cache.len(), 2);
}

/// The cache is ready once every watch has listed.
#[test]
fn lists_of_a_namespace_drop_only_its_own() {
    let mut cache = Cache::default();
    let in_team = |name: &str| {
        let mut resource = resource(name, name, 1);
        resource.metadata.namespace = Some("team".to_owned());
        resource
    };
    for resource in [resource("a", "a", 1), resource("b", "b", 1), in_team("c"), in_team("d")] {
        apply(&mut cache, resource);
    }
    let list = |namespace: &str, name: &str, is_every_watch_listed: bool| CompleteList {
        namespace: Some(namespace.into()),
        listed: [ObjectKey { namespace: namespace.into(), name: name.into() }].into(),
        is_every_watch_listed,
    };
    assert_eq!(descriptions(&cache.complete_list(&list("shop", "a", false))), ["gone b b"]);
    assert!(!cache.is_ready(), "the other namespace is not listed");
    assert_eq!(descriptions(&cache.complete_list(&list("team", "d", true))), ["gone c c"]);
    assert!(cache.is_ready());
    assert_eq!(cache.len(), 2);
}

/// A resource from a list is not live, and for a new leader none is.
#[test]
fn only_created_resources_are_live() {
    let mut cache = Cache::default();
    listed(&mut cache, resource("found", "u1", 1));
    complete(&mut cache, &["found"]);
    apply(&mut cache, resource("made", "u2", 2));
    apply(&mut cache, resource("found", "u1", 1));
    let is_live = |cache: &Cache, name: &str| {
        let object = ObjectKey { namespace: "shop".into(), name: name.into() };
        cache.get(&object).unwrap().is_live
    };
    assert!(!is_live(&cache, "found") && is_live(&cache, "made"));
    cache.clear_live();
    assert!(!is_live(&cache, "made"));
}

/// The order of arrival does not matter; deleting the other one ends no order.
#[test]
fn older_of_two_resources_speaks() {
    for turn in [false, true] {
        let mut pair =
            [naming("SB1", resource("old", "u1", 1)), naming("SB1", resource("new", "u2", 2))];
        if turn {
            pair.reverse();
        }
        let mut cache = Cache::default();
        pair.into_iter().for_each(|one| drop(apply(&mut cache, one)));
        assert_eq!(representative(&cache, "SB1").as_deref(), Some("old"));
        let deleted = deleted(&mut cache, naming("SB1", resource("new", "u2", 2)));
        assert_eq!(descriptions(&deleted), [""; 0], "who did not speak has no order to cancel");
        assert_eq!(representative(&cache, "SB1").as_deref(), Some("old"));
    }
}

/// The older one takes over when the placed one is deleted.
#[test]
fn placed_resource_speaks_before_older_one() {
    let mut cache = Cache::default();
    apply(&mut cache, naming("SB1", resource("old", "u1", 1)));
    apply(&mut cache, placed(naming("SB1", resource("new", "u2", 2))));
    assert_eq!(representative(&cache, "SB1").as_deref(), Some("new"));
    let changes = deleted(&mut cache, placed(naming("SB1", resource("new", "u2", 2))));
    assert_eq!(descriptions(&changes), ["gone new u2", "look old"]);
    assert_eq!(representative(&cache, "SB1").as_deref(), Some("old"));
}

#[test]
fn open_and_compressed_resources_read_alike() {
    let mut cache = Cache::default();
    let all: Vec<_> = (0..2 * PARSED_MAX)
        .map(|number| placed(resource(&format!("r{number}"), &format!("u{number}"), 1)))
        .collect();
    for resource in &all {
        apply(&mut cache, resource.clone());
    }
    let is_parsed = |kept: &CachedRequest| matches!(kept.body, CachedBody::Parsed(_));
    assert_eq!(cache.iter().filter(|(_, kept)| is_parsed(kept)).count(), PARSED_MAX);
    for resource in &all {
        let cached = cache.get(&ObjectKey::of(&resource.metadata)).unwrap();
        assert_eq!(cached.resource().as_deref(), Some(resource));
    }
}

/// A resource that has changed is no longer compressed.
#[test]
fn relisted_resources_stay_compressed() {
    let at = |name: &str, version: u64| {
        let mut resource = resource(name, name, 1);
        resource.metadata.resource_version = Some(version.to_string());
        resource
    };
    let mut cache = Cache::default();
    apply(&mut cache, at("same", 1));
    apply(&mut cache, at("other", 1));
    cache.objects.values_mut().for_each(|kept| drop(kept.compress()));
    listed(&mut cache, at("same", 1));
    listed(&mut cache, at("other", 2));
    complete(&mut cache, &["same", "other"]);
    let compressed_at = |name: &str| {
        let cached = cache.get(&ObjectKey::of(&at(name, 0).metadata)).unwrap();
        (matches!(cached.body, CachedBody::Compressed(_)), cached.version)
    };
    assert_eq!((compressed_at("same"), compressed_at("other")), ((true, 1), (false, 2)));
}

proptest! {
    /// The rank decides, whatever happened before to the resources that name the order.
    #[test]
    fn first_ranked_resource_always_speaks(
        created in prop::array::uniform3(0_i64..3),
        steps in prop::collection::vec((0_usize..3, prop::bool::ANY, prop::bool::ANY), 1..40),
    ) {
        // The first has the order's own name.
        let named = |which: usize| {
            let name = ["a", "b", "c"][which];
            naming("a", resource(name, name, created[which]))
        };
        let (mut cache, mut present) = (Cache::default(), [None::<bool>; 3]);
        let first = |present: &[Option<bool>; 3]| {
            let there = (0..3).filter_map(|which| Some((!present[which]?, created[which], which)));
            there.min().map(|(_, _, which)| ["a", "b", "c"][which].to_owned())
        };
        for (which, is_there, is_placed) in steps {
            let spoke = first(&present);
            let is_placed = is_placed || present[which] == Some(true);
            let shown = if is_placed { placed(named(which)) } else { named(which) };
            if is_there {
                present[which] = Some(is_placed);
                apply(&mut cache, shown);
            } else {
                let was_there = present[which].take().is_some();
                let described = descriptions(&deleted(&mut cache, shown));
                let is_gone = described.iter().any(|described| described.starts_with("gone"));
                let name = ["a", "b", "c"][which];
                prop_assert_eq!(is_gone, was_there && spoke.as_deref() == Some(name));
            }
            prop_assert_eq!(representative(&cache, "a"), first(&present));
        }
        (0..3).for_each(|which| drop(deleted(&mut cache, named(which))));
        prop_assert!(cache.len() == 0 && cache.by_order.is_empty() && cache.rivals.is_empty());
    }
}
