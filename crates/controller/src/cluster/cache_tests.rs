//! Claims about the cache of resources.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff;
use proptest::prelude::*;

use super::*;
use crate::order_request::{OrderRequestSpec, StreamStatus};
use crate::order_status::OrderRequestStatus;

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

const fn read(resource: OrderRequest) -> Read {
    Read { resource, is_status_ours: true }
}

fn apply(cache: &mut Cache, resource: OrderRequest) -> Vec<Change> {
    cache.apply(read(resource))
}

fn listed(cache: &mut Cache, resource: OrderRequest) -> Vec<Change> {
    cache.listed(read(resource))
}

fn deleted(cache: &mut Cache, resource: OrderRequest) -> Vec<Change> {
    cache.deleted(read(resource))
}

fn words(changes: &[Change]) -> Vec<String> {
    changes
        .iter()
        .map(|change| match change {
            Change::Look(object) => format!("look {}", object.name),
            Change::Gone(gone) => format!("gone {} {}", gone.object.name, gone.life),
        })
        .collect()
}

fn speaker(cache: &Cache, id: &str) -> Option<String> {
    let key = OrderKey::new("shop", id).unwrap();
    cache.of_order(&key).map(|(object, _)| object.name.to_string())
}

#[test]
fn what_is_applied_is_looked_at_and_what_is_deleted_is_gone_once() {
    let mut cache = Cache::default();
    assert_eq!(words(&apply(&mut cache, resource("a", "u1", 1))), ["look a"]);
    assert_eq!(words(&deleted(&mut cache, resource("a", "u1", 1))), ["gone a u1"]);
    assert_eq!(words(&deleted(&mut cache, resource("a", "u1", 1))), [""; 0]);
    assert!(cache.is_empty());
}

#[test]
fn a_name_that_is_made_anew_is_another_life_also_when_the_delete_was_missed() {
    let mut cache = Cache::default();
    apply(&mut cache, resource("a", "u1", 1));
    assert_eq!(words(&apply(&mut cache, resource("a", "u2", 2))), ["gone a u1", "look a"]);
    assert_eq!(words(&deleted(&mut cache, resource("a", "u1", 1))), [""; 0], "a late delete");
    assert_eq!(speaker(&cache, "a").as_deref(), Some("a"));
}

#[test]
fn what_a_relist_does_not_show_is_gone_and_the_unreadable_stays() {
    let mut cache = Cache::default();
    for name in ["a", "b", "c"] {
        apply(&mut cache, resource(name, name, 1));
    }
    cache.relist();
    listed(&mut cache, resource("a", "a", 1));
    cache.listed_unreadable(ObjectKey { namespace: "shop".into(), name: "b".into() });
    assert_eq!(words(&cache.relisted()), ["gone c c"]);
    assert_eq!(cache.len(), 2);
}

#[test]
fn only_what_was_seen_coming_into_being_is_live_and_a_new_leader_trusts_none_of_it() {
    let mut cache = Cache::default();
    cache.relist();
    listed(&mut cache, resource("found", "u1", 1));
    cache.relisted();
    apply(&mut cache, resource("made", "u2", 2));
    apply(&mut cache, resource("found", "u1", 1));
    let is_live = |cache: &Cache, name: &str| {
        let object = ObjectKey { namespace: "shop".into(), name: name.into() };
        cache.get(&object).unwrap().is_live
    };
    assert!(!is_live(&cache, "found") && is_live(&cache, "made"));
    cache.age();
    assert!(!is_live(&cache, "made"));
}

#[test]
fn of_two_resources_for_one_order_the_older_speaks_whichever_came_first() {
    for turn in [false, true] {
        let mut pair =
            [naming("SB1", resource("old", "u1", 1)), naming("SB1", resource("new", "u2", 2))];
        if turn {
            pair.reverse();
        }
        let mut cache = Cache::default();
        pair.into_iter().for_each(|one| drop(apply(&mut cache, one)));
        assert_eq!(speaker(&cache, "SB1").as_deref(), Some("old"));
        let deleted = deleted(&mut cache, naming("SB1", resource("new", "u2", 2)));
        assert_eq!(words(&deleted), [""; 0], "who did not speak has no order to cancel");
        assert_eq!(speaker(&cache, "SB1").as_deref(), Some("old"));
    }
}

#[test]
fn a_placed_resource_speaks_before_an_older_one_and_the_next_takes_over_when_it_goes() {
    let mut cache = Cache::default();
    apply(&mut cache, naming("SB1", resource("old", "u1", 1)));
    apply(&mut cache, placed(naming("SB1", resource("new", "u2", 2))));
    assert_eq!(speaker(&cache, "SB1").as_deref(), Some("new"));
    let gone = deleted(&mut cache, placed(naming("SB1", resource("new", "u2", 2))));
    assert_eq!(words(&gone), ["gone new u2", "look old"]);
    assert_eq!(speaker(&cache, "SB1").as_deref(), Some("old"));
}

#[test]
fn what_rests_is_what_was_read_and_so_is_what_is_at_hand() {
    let mut cache = Cache::default();
    let all: Vec<_> = (0..2 * OPEN_MAX)
        .map(|number| placed(resource(&format!("r{number}"), &format!("u{number}"), 1)))
        .collect();
    for resource in &all {
        apply(&mut cache, resource.clone());
    }
    let is_open = |kept: &Kept| matches!(kept.held, Held::Open(_));
    assert_eq!(cache.iter().filter(|(_, kept)| is_open(kept)).count(), OPEN_MAX);
    for resource in &all {
        let kept = cache.get(&ObjectKey::of(&resource.metadata)).unwrap();
        assert_eq!(kept.resource().as_deref(), Some(resource));
    }
}

#[test]
fn what_a_list_shows_again_stays_at_rest_and_what_changed_is_at_hand() {
    let at = |name: &str, version: u64| {
        let mut resource = resource(name, name, 1);
        resource.metadata.resource_version = Some(version.to_string());
        resource
    };
    let mut cache = Cache::default();
    apply(&mut cache, at("same", 1));
    apply(&mut cache, at("other", 1));
    cache.objects.values_mut().for_each(|kept| drop(kept.rest()));
    cache.relist();
    listed(&mut cache, at("same", 1));
    listed(&mut cache, at("other", 2));
    cache.relisted();
    let held = |name: &str| {
        let kept = cache.get(&ObjectKey::of(&at(name, 0).metadata)).unwrap();
        (matches!(kept.held, Held::Packed(_)), kept.version)
    };
    assert_eq!((held("same"), held("other")), ((true, 1), (false, 2)));
}

proptest! {
    #[test]
    fn of_all_that_name_an_order_the_first_in_rank_speaks_whatever_happened_before(
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
                let told = words(&deleted(&mut cache, shown));
                let is_gone = told.iter().any(|told| told.starts_with("gone"));
                let name = ["a", "b", "c"][which];
                prop_assert_eq!(is_gone, was_there && spoke.as_deref() == Some(name));
            }
            prop_assert_eq!(speaker(&cache, "a"), first(&present));
        }
        (0..3).for_each(|which| drop(deleted(&mut cache, named(which))));
        prop_assert!(cache.is_empty() && cache.by_order.is_empty() && cache.rivals.is_empty());
    }
}
