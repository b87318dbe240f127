//! Tests of the REST in one process, against a processor made of the core's state machine.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, header};
use orderstream_core::port::{Clock, OrderStreams as _};
use orderstream_core::{Epoch, Incarnation, Reason, RequestPhase, Timestamp};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use super::*;
use crate::fake_processor::{FakeProcessor, StreamCut};
use crate::{Handle, Lists, MemoryLists, Parts, Projection, Requestor};

#[derive(Debug)]
struct StillClock;

impl Clock for StillClock {
    fn now(&self) -> Timestamp {
        Timestamp(1_000)
    }
}

pub(super) struct Rig {
    pub(super) fake: FakeProcessor,
    pub(super) lists: Arc<MemoryLists>,
    pub(super) url: String,
    pub(super) handle: Handle,
    pub(super) stop: CancellationToken,
    tasks: TaskTracker,
}

pub(super) const INITIATE: &str =
    r#"{"order_req_id": "SB1029436", "session_id": "sess_123", "notification_type": "email"}"#;
pub(super) const FOLLOW_UP: &str = r#"{"order_req_id": "SB1029436", "audience": ["seller1"],
    "message": {"type": "text", "message": "how soon?", "urls": []}}"#;

pub(crate) async fn requestor(
    url: &str,
    lists: &Arc<MemoryLists>,
    projection: Option<Projection>,
) -> (Handle, CancellationToken) {
    started(Parts { projection, ..parts(url, Arc::clone(lists) as Arc<dyn Lists>) }).await
}

/// Returns the parts of a requestor on these lists.
pub(super) fn parts(url: &str, lists: Arc<dyn Lists>) -> Parts {
    Parts {
        processors: vec![url.to_owned()],
        addresses: Arc::new(orderstream_core::port::DnsAddresses),
        connections: 2,
        max_orders: 100,
        lists,
        projection: None,
        clock: Arc::new(StillClock),
        metrics: prometheus::Registry::new(),
        shutdown: CancellationToken::new(),
    }
}

pub(super) async fn started(parts: Parts) -> (Handle, CancellationToken) {
    let stop = parts.shutdown.clone();
    let (handle, _service) = Requestor::start(parts).await.unwrap();
    (handle, stop)
}

pub(super) async fn rig() -> Rig {
    let (fake, lists, tasks) = (FakeProcessor::default(), Arc::default(), TaskTracker::new());
    let url = fake.serve(&tasks, CancellationToken::new()).await;
    let (handle, stop) = requestor(&url, &lists, None).await;
    Rig { fake, lists, url, handle, stop, tasks }
}

pub(super) async fn send(handle: &Handle, method: Method, path: &str, body: &str) -> (u16, Value) {
    send_with_key(handle, method, path, body, "").await
}

/// Sends a command under an idempotency key.
pub(super) async fn post_with_key(
    handle: &Handle,
    path: &str,
    body: &str,
    key: &str,
) -> (u16, Value) {
    send_with_key(handle, Method::POST, path, body, key).await
}

/// Sends a request, under an idempotency key unless it is empty; returns the status and the body.
async fn send_with_key(
    handle: &Handle,
    method: Method,
    path: &str,
    body: &str,
    key: &str,
) -> (u16, Value) {
    let mut request = http::Request::builder();
    if !key.is_empty() {
        request = request.header("idempotency-key", key);
    }
    let request = request
        .method(method)
        .uri(format!("/api/v1/orders{path}"))
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Body::from(body.to_owned()))
        .unwrap();
    let response = router(Arc::new(handle.clone())).oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, serde_json::from_slice(&bytes).unwrap())
}

impl Rig {
    /// Starts another requestor on the same store.
    pub(super) async fn restarted(&self) -> (Handle, CancellationToken) {
        requestor(&self.url, &self.lists, None).await
    }

    pub(super) async fn post(&self, path: &str, body: &str) -> (u16, Value) {
        send(&self.handle, Method::POST, path, body).await
    }

    pub(super) async fn get(&self, path: &str) -> Value {
        send(&self.handle, Method::GET, path, "").await.1
    }
}

pub(super) fn key() -> OrderKey {
    OrderKey::new("", "SB1029436").unwrap()
}

pub(crate) async fn until(what: &str, done: impl Fn() -> bool) {
    for _ in 0..2_000 {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("never: {what}");
}

#[tokio::test]
async fn original_conversation_works() {
    let rig = rig().await;
    let nothing = json!({"total_orders": 0, "active_streams": 0, "tracked_order_ids": []});
    assert_eq!(rig.get("/tracking/status").await, nothing);

    let (status, body) = rig.post("/initiate", INITIATE).await;
    assert_eq!((status, &body["success"]), (200, &json!(true)));
    let one = json!({"total_orders": 1, "active_streams": 1, "tracked_order_ids": ["SB1029436"]});
    assert_eq!(rig.get("/tracking/status").await, one);
    let order = rig.get("/tracking/SB1029436").await;
    assert_eq!(order["notes_count"], 0);
    assert_eq!(order["session_id"], "sess_123");
    assert_eq!(order["notification_type"], "Email");
    assert_eq!(order["stream_active"], true);

    let (status, body) = rig.post("/followup", FOLLOW_UP).await;
    assert_eq!((status, &body["success"]), (200, &json!(true)));
    assert_eq!(rig.get("/tracking/SB1029436").await["notes_count"], 1);

    let (_, body) = rig.post("/initiate", INITIATE).await;
    assert_eq!(body, json!({"success": true, "message": "Order already being processed"}));

    let is_forwarded =
        || rig.fake.events(&key()).iter().any(|event| event.kind.follow_up_id().is_some());
    until("the follow-up reaches the processor", is_forwarded).await;
    until("its event comes back", || rig.handle.snapshot(&key()).unwrap().last_seq().0 == 3).await;
    assert_eq!(rig.get("/tracking/SB1029436").await["notes_count"], 1);

    let (status, _) = rig.post("/pause/SB1029436", "").await;
    assert_eq!(status, 200);
    until("paused", || rig.handle.snapshot(&key()).unwrap().phase() == RequestPhase::Paused).await;
    let (status, body) = rig.post("/finalize/SB1029436", "").await;
    assert_eq!((status, &body["success"]), (200, &json!(true)));
    until("finalised", || rig.handle.snapshot(&key()).unwrap().is_terminal()).await;
    until("inactive", || rig.handle.counts().active_streams == 0).await;
    until("stored", || {
        let store = crate::OrderStore::new(Arc::clone(&rig.lists) as Arc<dyn Lists>);
        store.load(&key()).unwrap().ended.is_some()
    })
    .await;
    let (status, body) = rig.post("/initiate", INITIATE).await;
    assert_eq!((status, &body["reason"]), (409, &json!("ORDER_ENDED")));
}

#[tokio::test]
async fn concurrent_duplicates_open_one_stream() {
    let rig = rig().await;
    let all = (0..32).map(|_| rig.post("/initiate", INITIATE));
    let replies = futures_util::future::join_all(all).await;
    let again = json!({"success": true, "message": "Order already being processed"});
    assert!(replies.iter().all(|(status, _)| *status == 200));
    assert_eq!(replies.iter().filter(|(_, body)| *body == again).count(), 31);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(rig.fake.streams_opened(), 1);
}

#[tokio::test]
async fn a_failed_store_leaves_no_trace() {
    let rig = rig().await;
    rig.lists.fail_writes();
    let (status, body) = rig.post("/initiate", INITIATE).await;
    let message = json!("Failed to update order request status");
    assert_eq!((status, &body["reason"]), (503, &json!("STORAGE_UNAVAILABLE")));
    assert_eq!((&body["success"], &body["message"]), (&json!(false), &message));
    assert_eq!(rig.get("/tracking/status").await["total_orders"], 0);
    assert_eq!(rig.fake.streams_opened(), 0);
    rig.lists.recover();
    assert_eq!(rig.post("/initiate", INITIATE).await.0, 200);
}

/// No event is missing or repeated.
#[tokio::test]
async fn cut_streams_resume_exactly() {
    let rig = rig().await;
    rig.post("/initiate", INITIATE).await;
    for round in 0..4_u64 {
        rig.fake.propose(&key(), &format!("p-{round}"));
        let due = 3 + round;
        until("event", || rig.handle.snapshot(&key()).unwrap().last_seq().0 == due).await;
        rig.fake.cut(if round % 2 == 0 { StreamCut::Broken } else { StreamCut::Draining });
        let opened = usize::try_from(round).unwrap() + 2;
        until("resumed", || rig.fake.streams_opened() == opened).await;
    }
    until("up", || rig.handle.is_stream_active(&key())).await;
    let snapshot = rig.handle.snapshot(&key()).unwrap();
    assert_eq!(snapshot.stream.reconnects, 4);
    assert_eq!(snapshot.order.as_ref().unwrap().proposals.len(), 4);
    let counted = rig.handle.shared.metrics.stream_reconnects.get();
    assert_eq!(counted, 4, "an event on a stream that came up again is no resumption");
    assert_eq!(rig.fake.streams_open_now(), 1);
}

#[tokio::test]
async fn killed_requestors_resume_their_orders() {
    let rig = rig().await;
    rig.post("/initiate", INITIATE).await;
    rig.stop.cancel();
    until("stopped", || rig.handle.counts().active_streams == 0).await;
    let (again, _stop) = requestor(&rig.url, &rig.lists, None).await;
    assert_eq!(again.epoch(), Epoch(2));
    until("up again", || again.is_stream_active(&key())).await;
    let (status, body) = send(&again, Method::POST, "/followup", FOLLOW_UP).await;
    assert_eq!((status, &body["success"]), (200, &json!(true)));
    until("note", || again.snapshot(&key()).unwrap().follow_up_count == 1).await;
}

#[tokio::test]
async fn stale_epochs_end_the_stream() {
    let rig = rig().await;
    rig.post("/initiate", INITIATE).await;
    rig.fake.grant(&key(), Epoch(9));
    rig.fake.cut(StreamCut::Broken);
    let reason = || rig.handle.snapshot(&key()).unwrap().stream.reason.clone().unwrap_or_default();
    until("stale", || reason().starts_with("STALE_EPOCH")).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!rig.handle.is_stream_active(&key()));
    assert_eq!(rig.fake.streams_opened(), 1);
}

/// The follow-ups are stored, and refused if the processor does not know the order.
#[tokio::test]
async fn unknown_orders_follow_ups_are_forwarded() {
    let rig = rig().await;
    let (status, body) = rig.post("/followup", FOLLOW_UP).await;
    assert_eq!((status, &body["reason"]), (404, &json!("ORDER_NOT_FOUND")));
    assert_eq!(rig.get("/tracking/status").await["total_orders"], 0);
    until("refused by the processor, and written down", || {
        let store = crate::OrderStore::new(Arc::clone(&rig.lists) as Arc<dyn Lists>);
        let stored = store.load(&key()).unwrap();
        stored.follow_ups.len() == 1 && stored.open_commands.is_empty()
    })
    .await;
}

/// The order is forgotten here; another incarnation is not touched.
#[tokio::test]
async fn stopping_an_order_ends_its_stream() {
    let rig = rig().await;
    rig.post("/initiate", INITIATE).await;
    let incarnation = rig.handle.snapshot(&key()).unwrap().incarnation.clone();
    rig.handle.stop(&key(), &Incarnation::new("another").unwrap());
    assert!(rig.handle.has_order(&key()), "another life is not touched");
    rig.handle.stop(&key(), &incarnation);
    until("closed", || rig.fake.streams_open_now() == 0).await;
    assert!(!rig.handle.has_order(&key()));
    rig.tasks.close();
}

#[tokio::test]
async fn bad_input_is_named() {
    let rig = rig().await;
    let long = format!(r#"{{"order_req_id": "{}"}}"#, "x".repeat(70_000));
    let table: [(&str, &str, u16, &str, Option<&str>); 18] = [
        ("/initiate", "{", 400, "INVALID_REQUEST", None),
        ("/initiate", "[]", 400, "INVALID_REQUEST", None),
        ("/initiate", "{}", 422, "INVALID_FIELD", Some("order_req_id")),
        (
            "/initiate",
            r#"{"order_req_id": "a", "notification_type": "pigeon"}"#,
            422,
            "INVALID_FIELD",
            Some("notification_type"),
        ),
        ("/initiate", &long, 413, "LIMIT_REACHED", None),
        ("/followup", r#"{"order_req_id": "a"}"#, 422, "INVALID_FIELD", Some("message")),
        ("/finalize/nobody", "", 404, "ORDER_NOT_FOUND", None),
        ("/pause/no%20body", "", 422, "INVALID_FIELD", Some("order_req_id")),
        ("/pause/%FF", "", 422, "INVALID_FIELD", Some("order_req_id")),
        ("/initiate", "", 400, "INVALID_REQUEST", None),
        ("/initiate", r#"{"order_req_id": 7}"#, 422, "INVALID_FIELD", Some("order_req_id")),
        (
            "/initiate",
            r#"{"order_req_id": "a", "items": [{"sku": "s"}, {"sku": 7}]}"#,
            422,
            "INVALID_FIELD",
            Some("items[1].sku"),
        ),
        ("/initiate?tenant=b", INITIATE, 422, "INVALID_FIELD", Some("tenant")),
        ("/followup", r#"{"audience": "all"}"#, 422, "INVALID_FIELD", Some("audience")),
        ("/pause/a", r#"{"reason": 7}"#, 422, "INVALID_FIELD", Some("reason")),
        ("/finalize/a", r#"{"lines": [["s", 7]]}"#, 422, "INVALID_FIELD", Some("lines[0][1]")),
        ("/finalize/a?proposal_id=p", "", 422, "INVALID_FIELD", Some("proposal_id")),
        ("/elsewhere", "", 404, "INVALID_REQUEST", None),
    ];
    for (path, body, status, reason, field) in table {
        let (got, reply) = rig.post(path, body).await;
        assert_eq!((got, reply["reason"].as_str()), (status, Some(reason)), "{path} {reply}");
        assert_eq!(reply["field"].as_str(), field, "{path} {reply}");
        assert_eq!(reply["type"], format!("https://orderstream.dev/problems/{reason}"));
    }
    let (status, reply) = send(&rig.handle, Method::DELETE, "/initiate", "").await;
    assert_eq!((status, &reply["reason"]), (405, &json!("INVALID_REQUEST")));
    let (status, body) = send(&rig.handle, Method::GET, "/tracking/nobody", "").await;
    assert_eq!((status, &body["reason"]), (404, &json!("ORDER_NOT_FOUND")));
    assert_eq!(rig.get("/tracking/status").await["total_orders"], 0);
}

/// Orders and follow-ups are stored, and wait.
#[tokio::test]
async fn unreachable_processors_are_a_reason() {
    let lists = Arc::default();
    // Port 9 is not served here.
    let (handle, stop) = requestor("http://127.0.0.1:9", &lists, None).await;
    let (status, body) = send(&handle, Method::POST, "/initiate", INITIATE).await;
    assert_eq!((status, &body["success"]), (200, &json!(true)));
    let (_, order) = send(&handle, Method::GET, "/tracking/SB1029436", "").await;
    assert_eq!(order["phase"], "Pending");
    assert_eq!(order["stream_active"], false);
    assert!(order["reason"].as_str().unwrap().starts_with("UNREACHABLE"), "{order}");
    assert_eq!(send(&handle, Method::POST, "/followup", FOLLOW_UP).await.0, 202);
    assert_eq!(send(&handle, Method::GET, "/tracking/SB1029436", "").await.1["notes_count"], 1);

    // The follow-up waits in the store for a requestor that reaches the processor.
    stop.cancel();
    let refused = send(&handle, Method::POST, "/initiate", INITIATE).await;
    assert_eq!((refused.0, &refused.1["reason"]), (503, &json!("DRAINING")));
    let store = crate::OrderStore::new(Arc::clone(&lists) as Arc<dyn Lists>);
    assert_eq!(store.load(&key()).unwrap().open_commands.len(), 1);
}

/// A command that was accepted before the stop finds its streams ended.
#[tokio::test]
async fn draining_requestors_refuse_as_draining() {
    let rig = rig().await;
    assert_eq!(send(&rig.handle, Method::POST, "/initiate", INITIATE).await.0, 200);
    let registry = &rig.handle.shared.registry;
    assert_eq!(registry.close(), 1);
    let refusal = loop {
        match registry.check_command(&key()) {
            Err(refusal) => break refusal,
            Ok(()) => tokio::task::yield_now().await,
        }
    };
    assert_eq!(refusal.reason, Reason::Draining, "{refusal}");
}

#[tokio::test]
async fn port_follows_sends_and_notifies() {
    let rig = rig().await;
    let wakes = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = Arc::clone(&wakes);
    rig.handle.watch(Arc::new(move |_| {
        counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    }));
    let spec = orderstream_core::OrderSpec::default();
    let incarnation = Incarnation::new("uid-1").unwrap();
    let assignment = |epoch| orderstream_core::port::Assignment {
        key: key(),
        incarnation: incarnation.clone(),
        spec: spec.clone(),
        epoch: Epoch(epoch),
        processor: rig.url.clone(),
    };
    for _ in 0..5 {
        rig.handle.ensure(assignment(3)).unwrap();
    }
    let body = orderstream_core::CommandKind::Pause { reason: None };
    let command_key = orderstream_core::IdempotencyKey::new("suspend:2").ok();
    let command =
        orderstream_core::Command { key: command_key, ..orderstream_core::Command::bare(body) };
    for _ in 0..5 {
        rig.handle.send_command(&key(), command.clone()).unwrap();
    }
    until("paused", || rig.handle.snapshot(&key()).unwrap().phase() == RequestPhase::Paused).await;
    assert_eq!(rig.fake.streams_opened(), 1);
    assert_eq!(rig.fake.events(&key()).len(), 3);
    assert!(wakes.load(std::sync::atomic::Ordering::SeqCst) >= 4);

    // A tracker with a higher epoch takes over; the former one is fenced and stops, until its epoch
    // is higher again.
    rig.fake.grant(&key(), Epoch(9));
    rig.fake.cut(StreamCut::Broken);
    until("acts are refused", || rig.handle.send_command(&key(), command.clone()).is_err()).await;
    rig.handle.ensure(assignment(10)).unwrap();
    until("up again", || rig.handle.is_stream_active(&key())).await;
    assert_eq!(rig.handle.snapshot(&key()).unwrap().stream.epoch, Epoch(10));
}

#[tokio::test]
async fn a_panic_leaves_nothing_active() {
    let rig = rig().await;
    rig.handle.watch(Arc::new(|_| panic!("planted")));
    rig.post("/initiate", INITIATE).await;
    until("inactive", || rig.handle.counts().active_streams == 0).await;
    until("closed", || rig.fake.streams_open_now() == 0).await;
    assert_eq!(rig.get("/tracking/SB1029436").await["stream_active"], false);
}
