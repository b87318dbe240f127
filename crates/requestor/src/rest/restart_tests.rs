//! Tests of the orders displayed across restarts: nothing that was displayed is taken back.
//! Requestors are dropped as if killed: what they did not store is lost.

use axum::http::Method;
use bytes::Bytes;
use orderstream_core::port::OrderStreams as _;
use orderstream_core::{Incarnation, OrderSpec, Seq};
use serde_json::{Value, json};

use super::tests::{FOLLOW_UP, INITIATE, Rig, key, parts, requestor, rig, send, started, until};
use crate::registry::ENDED_ORDERS_MAX;
use crate::{Handle, Lists, MemoryLists, OrderRecord, OrderStore, OrderSubmission};

/// Starts a requestor with an order of `count` proposals, which its tracker has received.
async fn with_proposals(count: u64) -> Rig {
    let rig = rig().await;
    assert_eq!(rig.post("/initiate", INITIATE).await.0, 200);
    for number in 0..count {
        rig.fake.propose(&key(), &format!("P-{number}"));
    }
    until("heard of", || received_seq(&rig.handle) == 2 + count).await;
    rig
}

/// Returns the last event that the tracker itself has.
fn received_seq(handle: &Handle) -> u64 {
    let snapshot = handle.snapshot(&key()).unwrap();
    snapshot.order.as_ref().map_or(0, |order| order.last_seq.0)
}

async fn displayed(handle: &Handle) -> Value {
    let (status, order) = send(handle, Method::GET, "/tracking/SB1029436", "").await;
    assert_eq!(status, 200, "{order}");
    order
}

impl Rig {
    /// Kills this requestor, and starts another in its place.
    async fn kill_and_restart(&self) -> Handle {
        self.stop.cancel();
        until("gone", || self.fake.streams_open_now() == 0).await;
        requestor(&self.url, &self.lists, None).await.0
    }

    fn store(&self) -> OrderStore {
        OrderStore::new(std::sync::Arc::clone(&self.lists) as std::sync::Arc<dyn Lists>)
    }
}

#[tokio::test]
async fn shown_state_is_never_taken_back() {
    let rig = with_proposals(3).await;
    let before = displayed(&rig.handle).await;
    assert_eq!((&before["last_seq"], &before["phase"]), (&json!(5), &json!("Open")));

    rig.fake.refuse_streams();
    let again = rig.kill_and_restart().await;
    let disconnected = displayed(&again).await;
    let same = [
        "phase",
        "last_seq",
        "proposals_received",
        "best_proposal",
        "processor",
        "epoch",
        "expires_at_ms",
    ];
    for field in same {
        assert_eq!(disconnected[field], before[field], "{field}");
    }
    assert_eq!(
        (&disconnected["stream"], &disconnected["stream_active"]),
        (&json!("Reconnecting"), &json!(false))
    );
    let (_, page) = send(&again, Method::GET, "", "").await;
    assert_eq!(page["orders"][0]["last_seq"], 5, "{page}");
    assert_eq!(page["orders"][0]["stream"], "Reconnecting", "{page}");
    assert_eq!(page["orders"][0]["proposals"], 3, "{page}");

    rig.fake.limit_events(2);
    rig.fake.accept_streams();
    until("its stream is up", || received_seq(&again) == 2).await;
    let behind = displayed(&again).await;
    assert_eq!((&behind["last_seq"], &behind["phase"]), (&json!(5), &json!("Open")));
    assert_eq!((&behind["epoch"], &behind["reconnects"]), (&json!(2), &json!(1)));

    rig.fake.propose(&key(), "P-9");
    rig.fake.limit_events(0);
    until("past it", || received_seq(&again) == 6).await;
    let past = displayed(&again).await;
    assert_eq!((&past["last_seq"], &past["proposals_received"]), (&json!(6), &json!(4)));
}

/// The winner is shown too.
#[tokio::test]
async fn ended_orders_survive_restarts() {
    let rig = with_proposals(2).await;
    let award = r#"{"proposal_id": "P-1"}"#;
    assert_eq!(rig.post("/award/SB1029436", award).await.0, 200);
    until("its end is stored", || rig.store().load(&key()).unwrap().ended.is_some()).await;
    let before = displayed(&rig.handle).await;
    assert_eq!(before["award"], json!({ "proposal_id": "P-1" }));

    rig.fake.refuse_streams();
    let again = rig.kill_and_restart().await;
    assert_eq!(displayed(&again).await, before);
    let (_, totals) = send(&again, Method::GET, "/tracking/status", "").await;
    let one = json!({ "total_orders": 1, "active_streams": 0, "tracked_order_ids": ["SB1029436"] });
    assert_eq!(totals, one);
    let session = again.spec(&key()).unwrap().session;
    assert_eq!(session.as_deref(), Some("sess_123"));

    let refused = async |path: &str, body: &str, reason: &str| {
        let (status, reply) = send(&again, Method::POST, path, body).await;
        assert_eq!((status, &reply["reason"]), (409, &json!(reason)), "{path}");
    };
    refused("/followup", FOLLOW_UP, "ORDER_ENDED").await;
    refused("/initiate", INITIATE, "ORDER_ENDED").await;
    refused("/pause/SB1029436", "", "ORDER_ENDED").await;
    refused("/award/SB1029436", r#"{"proposal_id": "P-0"}"#, "ALREADY_AWARDED").await;
    assert_eq!(send(&again, Method::POST, "/award/SB1029436", award).await.0, 200, "said again");
    assert!(rig.store().load(&key()).unwrap().follow_ups.is_empty(), "nothing of it is stored");
}

#[tokio::test]
async fn shown_ends_count_before_being_stored() {
    let rig = with_proposals(1).await;
    // The writer of the order's list waits, as if it was killed just before.
    let guard = rig.handle.shared.store.write_guard(&key()).await;
    rig.fake.finalise(&key(), "P-0");
    until("over", || rig.handle.snapshot(&key()).unwrap().is_terminal()).await;
    assert_eq!(displayed(&rig.handle).await["phase"], "Finalised");

    rig.fake.refuse_streams();
    let again = rig.kill_and_restart().await;
    drop(guard);
    let disconnected = displayed(&again).await;
    assert_eq!(
        (&disconnected["phase"], &disconnected["award"]["proposal_id"]),
        (&json!("Finalised"), &json!("P-0"))
    );
    let (status, reply) = send(&again, Method::POST, "/followup", FOLLOW_UP).await;
    assert_eq!((status, &reply["reason"]), (409, &json!("ORDER_ENDED")));

    rig.fake.accept_streams();
    until("its end is stored", || {
        rig.store().load(&key()).unwrap().last.is_some_and(|last| last.last_seq() == Seq(4))
    })
    .await;
}

#[tokio::test]
async fn states_are_stored_once_when_read() {
    let rig = with_proposals(20).await;
    let stored_count = || rig.lists.read("requestor/shown/1").unwrap().len();
    assert_eq!(stored_count(), 0);
    let reads = (0..20).map(|_| displayed(&rig.handle));
    futures_util::future::join_all(reads).await;
    assert_eq!(stored_count(), 1);
    send(&rig.handle, Method::GET, "", "").await;
    assert_eq!(stored_count(), 1);
}

#[tokio::test]
async fn full_disks_show_only_surviving_state() {
    let rig = with_proposals(1).await;
    assert_eq!(displayed(&rig.handle).await["last_seq"], 3);
    rig.lists.fail_writes();
    rig.fake.propose(&key(), "P-1");
    until("heard of", || received_seq(&rig.handle) == 4).await;
    assert_eq!(displayed(&rig.handle).await["last_seq"], 3);
    rig.lists.recover();
    assert_eq!(displayed(&rig.handle).await["last_seq"], 4);
    let again = rig.kill_and_restart().await;
    assert_eq!(displayed(&again).await["last_seq"], 4);
}

#[tokio::test]
async fn phase_filters_work_after_restarts() {
    let rig = rig().await;
    for id in ["a", "b", "c", "d"] {
        let body = json!({ "order_req_id": id }).to_string();
        assert_eq!(rig.post("/initiate", &body).await.0, 200);
    }
    for id in ["b", "d"] {
        assert_eq!(rig.post(&format!("/close/{id}"), "").await.0, 200);
        let key = orderstream_core::OrderKey::new("", id).unwrap();
        until("its end is stored", || rig.store().load(&key).unwrap().ended.is_some()).await;
    }
    let again = rig.kill_and_restart().await;
    until("up again", || again.counts().active_streams == 2).await;
    let ids = async |query: &str| -> Vec<String> {
        let (status, page) = send(&again, Method::GET, query, "").await;
        assert_eq!(status, 200, "{page}");
        let orders = page["orders"].as_array().unwrap().iter();
        orders.map(|order| order["order_req_id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids("?phase=Closed").await, ["b", "d"]);
    assert_eq!(ids("?phase=closed&limit=1").await, ["b"]);
    assert_eq!(ids("?phase=Closed&limit=1&after=default%2Fb").await, ["d"]);
    assert_eq!(ids("?phase=Finalised").await, Vec::<String>::new());
    let (status, reply) = send(&again, Method::GET, "?phase=over", "").await;
    assert_eq!((status, &reply["field"]), (422, &json!("phase")));
    assert!(reply["detail"].as_str().unwrap().contains("Finalised"), "{reply}");
}

fn submitted(id: &str) -> OrderRecord {
    OrderRecord::RequestSubmission(Box::new(OrderSubmission {
        key: orderstream_core::OrderKey::new("", id).unwrap(),
        session_id: None,
        notification_type: orderstream_core::spec::NotificationType::Email,
        spec: OrderSpec::default(),
        incarnation: Incarnation::new("uid-1").unwrap(),
        processor: "http://127.0.0.1:9".to_owned(),
    }))
}

/// Stores an order that ended, as an earlier version wrote it.
async fn store_ended(lists: &MemoryLists, id: &str) {
    let submission = Bytes::from(serde_json::to_vec(&submitted(id)).unwrap());
    let ended = Bytes::from_static(br#"{"OrderEnded":{"phase":"Finalised"}}"#);
    let list = format!("requestor/orders/default/{id}");
    lists.append(list, 0, vec![submission, ended]).await.unwrap();
}

#[tokio::test]
async fn ends_of_earlier_versions_are_shown() {
    let rig = rig().await;
    store_ended(&rig.lists, "SB1029436").await;
    let again = rig.kill_and_restart().await;
    let order = displayed(&again).await;
    assert_eq!(
        (&order["phase"], &order["notification_type"]),
        (&json!("Finalised"), &json!("Email"))
    );
    for (path, body) in [("/followup", FOLLOW_UP), ("/finalize/SB1029436", "")] {
        let (status, reply) = send(&again, Method::POST, path, body).await;
        assert_eq!((status, &reply["reason"]), (409, &json!("ORDER_ENDED")), "{path}");
    }
}

/// Ended orders beyond their limit are forgotten; they use no capacity of open ones.
#[tokio::test]
async fn oldest_ended_orders_are_forgotten() {
    let rig = rig().await;
    for number in 0..=ENDED_ORDERS_MAX {
        store_ended(&rig.lists, &format!("o{number:05}")).await;
    }
    let again = rig.kill_and_restart().await;
    assert_eq!(again.counts().total_orders, ENDED_ORDERS_MAX);
    let evicted = orderstream_core::OrderKey::new("", "o00000").unwrap();
    until("forgotten on disk too", || rig.store().load(&evicted).unwrap().len == 0).await;
    assert_eq!(send(&again, Method::GET, "/tracking/o00000", "").await.0, 404);
    assert_eq!(send(&again, Method::GET, "/tracking/o00001", "").await.0, 200);
    // This requestor may follow a hundred orders.
    assert_eq!(send(&again, Method::POST, "/initiate", INITIATE).await.0, 200);
}

#[tokio::test]
async fn failed_ends_are_stored_later() {
    let rig = with_proposals(1).await;
    let guard = rig.handle.shared.store.write_guard(&key()).await;
    rig.fake.finalise(&key(), "P-0");
    until("over", || rig.handle.snapshot(&key()).unwrap().is_terminal()).await;
    rig.lists.fail_writes();
    drop(guard);
    // Write guards are granted in order: once this one is, the write of the end has failed.
    drop(rig.handle.shared.store.write_guard(&key()).await);
    rig.lists.recover();
    until("its end is stored", || rig.store().load(&key()).unwrap().ended.is_some()).await;
    assert_eq!(displayed(&rig.handle).await["phase"], "Finalised");
    rig.fake.refuse_streams();
    assert_eq!(displayed(&rig.kill_and_restart().await).await["phase"], "Finalised");
}

/// Every request on such an order is refused as damaged.
#[tokio::test]
async fn damaged_orders_are_not_unknown() {
    let rig = with_proposals(1).await;
    assert_eq!(displayed(&rig.handle).await["last_seq"], 3);
    let list = "requestor/orders/default/SB1029436".to_owned();
    let len = u64::try_from(rig.lists.read(&list).unwrap().len()).unwrap();
    rig.lists.append(list, len, vec![Bytes::from_static(b"{")]).await.unwrap();
    let again = rig.kill_and_restart().await;
    let asks = [
        (Method::GET, "/tracking/SB1029436", ""),
        (Method::GET, "/SB1029436/acts/k", ""),
        (Method::POST, "/pause/SB1029436", ""),
        (Method::POST, "/initiate", INITIATE),
        (Method::POST, "/followup", FOLLOW_UP),
    ];
    for (method, path, body) in asks {
        let (status, reply) = send(&again, method, path, body).await;
        assert_eq!((status, &reply["reason"]), (500, &json!("RECORDS_DAMAGED")), "{path}");
    }
    assert_eq!(send(&again, Method::GET, "/tracking/another", "").await.0, 404);
}

/// All are followed, and new ones are refused.
#[tokio::test]
async fn stored_orders_exceed_a_lowered_limit() {
    let rig = rig().await;
    for id in ["a", "b", "c"] {
        let body = json!({ "order_req_id": id }).to_string();
        assert_eq!(rig.post("/initiate", &body).await.0, 200);
    }
    rig.stop.cancel();
    let lists = std::sync::Arc::clone(&rig.lists) as std::sync::Arc<dyn Lists>;
    let (again, _stop) = started(crate::Parts { max_orders: 1, ..parts(&rig.url, lists) }).await;
    until("all are up", || again.counts().active_streams == 3).await;
    let (_, reply) = send(&again, Method::POST, "/initiate", INITIATE).await;
    assert_eq!(reply["reason"], "LIMIT_REACHED");
}
