//! Tests of the decision whether and when the statuses of sellers are written.

use serde_json::{Value, json};

use super::*;
use crate::watch::CompleteList;

const NOW: Timestamp = Timestamp(1_800_000_000_000);

fn seller(version: u64, spec: &Value, status: Option<&SellerStatus>) -> GuardedSeller {
    serde_json::from_value(json!({
        "apiVersion": "orderstream.dev/v1alpha1",
        "kind": "Seller",
        "metadata": {
            "namespace": "shop", "name": "a", "uid": "u1", "generation": 1,
            "resourceVersion": version.to_string(),
        },
        "spec": spec,
        "status": status,
    }))
    .unwrap()
}

fn key() -> ObjectKey {
    ObjectKey { namespace: "shop".into(), name: "a".into() }
}

/// Returns the state of a leader that has counted since `began` and knows one seller.
fn leader(began: Instant) -> SellerStatusState {
    let mut state = SellerStatusState { counts_since: Some(began), ..SellerStatusState::default() };
    state.take(ResourceChange::Listed(key(), seller(1, &json!({}), None)));
    let listed = HashSet::from([key()]);
    let list = CompleteList { listed, ..CompleteList::default() };
    state.take(ResourceChange::ListComplete(list));
    state
}

fn counted(state: &mut SellerStatusState, order: &str) {
    let object = ObjectKey { namespace: "shop".into(), name: order.into() };
    let order = super::super::invitation_counts::tests::order(&["a"], &[]);
    let changed =
        state.invitation_counts.observe(&object, &order.incarnation.as_str().into(), Some(&order));
    state.changed.extend(changed);
}

/// No write follows within five seconds of the last one; a failed write is tried again.
#[tokio::test(start_paused = true)]
async fn changed_sellers_are_written_once() {
    let mut state = leader(Instant::now());
    assert_eq!(state.due(Instant::now()), [], "the orders are still being looked at");
    tokio::time::advance(SETTLE).await;
    assert_eq!(state.due(Instant::now()), [key()]);
    let write = state.next(&key(), NOW, Instant::now()).expect("a first status");
    assert_eq!(write.status.open_orders, Some(0));
    state.record_write(&key(), &write, Ok(Some(2)));
    // The event for our own write changes nothing.
    state.take(ResourceChange::Applied(key(), seller(2, &json!({}), Some(&write.status))));
    assert_eq!(state.next(&key(), NOW, Instant::now()), None);

    counted(&mut state, "one");
    counted(&mut state, "two");
    assert_eq!(state.due(Instant::now()), [], "too soon after the last");
    tokio::time::advance(GAP).await;
    assert_eq!(state.due(Instant::now()), [key()]);
    let write = state.next(&key(), NOW, Instant::now()).expect("a new count");
    assert_eq!(write.status.open_orders, Some(2), "both in one write");
    state.record_write(&key(), &write, Err(()));
    tokio::time::advance(GAP).await;
    assert_eq!(state.due(Instant::now()), [key()], "a write that failed is tried again");
}

#[tokio::test(start_paused = true)]
async fn lists_of_other_namespaces_keep_sellers() {
    let mut state = leader(Instant::now());
    for (namespace, is_kept) in [("team", true), ("shop", false)] {
        let namespace = Some(namespace.into());
        let list = CompleteList { namespace, ..CompleteList::default() };
        state.take(ResourceChange::ListComplete(list));
        assert_eq!(state.sellers.contains_key(&key()), is_kept);
    }
}

/// The longest delay is [`SETTLE_MAX`].
#[tokio::test(start_paused = true)]
async fn unknown_orders_delay_seller_statuses() {
    let mut state = leader(Instant::now());
    let object = ObjectKey { namespace: "shop".into(), name: "silent".into() };
    state.invitation_counts.observe(&object, &"u9".into(), None);
    tokio::time::advance(SETTLE).await;
    assert_eq!(state.due(Instant::now()), []);
    tokio::time::advance(SETTLE_MAX).await;
    assert_eq!(state.due(Instant::now()), [key()]);
}

/// A status that another client wrote later is overwritten.
#[tokio::test(start_paused = true)]
async fn late_watch_events_undo_nothing() {
    let mut state = leader(Instant::now());
    let write = state.next(&key(), NOW, Instant::now()).unwrap();
    state.record_write(&key(), &write, Ok(Some(5)));
    state.take(ResourceChange::Applied(key(), seller(4, &json!({}), None)));
    assert_eq!(state.next(&key(), NOW, Instant::now()), None, "older than what was written");
    let theirs = SellerStatus { open_orders: Some(9), ..write.status.clone() };
    state.take(ResourceChange::Applied(key(), seller(6, &json!({}), Some(&theirs))));
    assert_eq!(state.next(&key(), NOW, Instant::now()).map(|it| it.status), Some(write.status));
}

/// A deleted seller is forgotten.
#[tokio::test(start_paused = true)]
async fn statuses_show_suspended_and_invalid_sellers() {
    let mut state = leader(Instant::now());
    for (version, spec, phase) in [
        (2, json!({ "suspended": true }), "Suspended"),
        (3, json!({ "currency": "eur" }), "Failed"),
        (4, json!({ "capacity": "many" }), "Failed"),
    ] {
        state.take(ResourceChange::Applied(key(), seller(version, &spec, None)));
        let write = state.next(&key(), NOW, Instant::now()).expect(phase);
        assert_eq!(write.status.phase.as_deref(), Some(phase));
        state.record_write(&key(), &write, Ok(Some(version)));
        assert_eq!(state.next(&key(), NOW, Instant::now()), None);
    }
    state.take(ResourceChange::Deleted(key(), seller(5, &json!({}), None)));
    assert_eq!(state.next(&key(), NOW, Instant::now()), None);
}
