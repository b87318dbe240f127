//! Tests of a disk that fails after a write, or is slow: a command whose reply was 503 is not done
//! later, and a repeated one is done once. The journal is real, its disk is simulated.

use std::sync::Arc;

use axum::http::Method;
use orderstream_core::OrderKey;
use orderstream_core::port::OrderStreams as _;
use orderstream_journal::{Embedded, Health};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::tests::{FOLLOW_UP, INITIATE, key, parts, post_with_key, send, started, until};
use crate::fake_processor::FakeProcessor;
use crate::faulty::{Disk, Fault};
use crate::{Handle, JournalLists, Lists, OrderStore, Parts};

const CANCEL: &str = "/cancel/SB1029436";
const PAUSE: &str = "/pause/SB1029436";

struct Rig {
    fake: FakeProcessor,
    url: String,
    disk: Disk,
    journal: Embedded,
    handle: Handle,
    stop: CancellationToken,
    tasks: TaskTracker,
    _dir: tempfile::TempDir,
}

async fn rig_for(max_orders: usize) -> Rig {
    let (fake, disk, tasks) = (FakeProcessor::default(), Disk::default(), TaskTracker::new());
    let url = fake.serve(&tasks, CancellationToken::new()).await;
    let dir = tempfile::tempdir().unwrap();
    let journal = disk.open(dir.path());
    let lists = Arc::new(JournalLists::new(Arc::new(journal.clone())));
    let (handle, stop) = started(Parts { max_orders, ..parts(&url, lists) }).await;
    Rig { fake, url, disk, journal, handle, stop, tasks, _dir: dir }
}

async fn with_an_order() -> Rig {
    let rig = rig_for(100).await;
    assert_eq!(rig.post("/initiate", INITIATE, "").await.0, 200);
    until("up", || rig.handle.snapshot(&key()).unwrap().last_seq().0 == 2).await;
    rig
}

impl Rig {
    async fn post(&self, path: &str, body: &str, key: &str) -> (u16, Value) {
        post_with_key(&self.handle, path, body, key).await
    }

    /// Sends a request while the disk writes its data and then fails.
    async fn post_unsynced(&self, path: &str, body: &str, key: &str) -> Value {
        self.disk.fail_after(0, Fault::SyncFails);
        let (status, reply) = self.post(path, body, key).await;
        assert_eq!((status, &reply["reason"]), (503, &json!("STORAGE_UNAVAILABLE")));
        until("the journal takes writes again", || self.journal.health() == Health::Healthy).await;
        reply
    }

    fn lists(&self) -> Arc<dyn Lists> {
        Arc::new(JournalLists::new(Arc::new(self.journal.clone())))
    }

    /// Waits until no failed record can count any more, and replaces this requestor with another.
    async fn restarted_when_healthy(&self) -> Handle {
        until("nothing is in doubt", || self.handle.shared.store.in_doubt().is_empty()).await;
        self.kill_and_restart().await
    }

    async fn kill_and_restart(&self) -> Handle {
        self.stop.cancel();
        until("gone", || self.fake.streams_open_now() == 0).await;
        started(parts(&self.url, self.lists())).await.0
    }

    fn kinds(&self) -> Vec<&'static str> {
        self.fake.events(&key()).iter().map(|event| event.kind.as_str()).collect()
    }
}

/// The reply was 503, though the record reached the disk.
#[tokio::test]
async fn unstored_commands_are_not_resumed() {
    let rig = with_an_order().await;
    rig.post_unsynced(CANCEL, "", "k").await;
    rig.post_unsynced("/followup", FOLLOW_UP, "").await;
    let again = rig.restarted_when_healthy().await;
    // Commands are sent one after another: a resumed one would come before this one.
    assert_eq!(send(&again, Method::POST, PAUSE, "").await.0, 200);
    assert_eq!(rig.kinds()[2..], ["OrderPaused"]);
    assert_eq!(rig.fake.commands_received(), 1);
    let (_, order) = send(&again, Method::GET, "/tracking/SB1029436", "").await;
    assert_eq!(order["notes_count"], 0);
}

/// The reply was 503, though the record reached the disk.
#[tokio::test]
async fn unstored_orders_are_not_resumed() {
    let rig = rig_for(100).await;
    rig.post_unsynced("/initiate", INITIATE, "").await;
    let again = rig.restarted_when_healthy().await;
    assert_eq!(again.counts().total_orders, 0);
    assert_eq!(rig.fake.streams_opened(), 0);
    let store = OrderStore::new(rig.lists());
    assert_eq!(store.load(&key()).unwrap().len, 0, "nothing of it stays");
}

#[tokio::test]
async fn unstored_commands_are_never_pending() {
    let rig = with_an_order().await;
    rig.disk.fail_after(0, Fault::SyncFails);
    let (status, _) = rig.post(CANCEL, "", "k").await;
    assert_eq!(status, 503);
    let read_outcome = async || send(&rig.handle, Method::GET, "/SB1029436/acts/k", "").await;
    while rig.journal.health() != Health::Healthy || !rig.handle.shared.store.in_doubt().is_empty()
    {
        assert_eq!(read_outcome().await.1["reason"], "ACT_NOT_FOUND");
        tokio::task::yield_now().await;
    }
    assert_eq!(read_outcome().await.1["reason"], "ACT_NOT_FOUND");
}

#[tokio::test]
async fn commands_repeated_after_503_run_once() {
    let rig = with_an_order().await;
    for _ in 0..3 {
        rig.post_unsynced(PAUSE, "", "k").await;
    }
    assert_eq!(rig.post(PAUSE, "", "k").await.0, 200);
    assert_eq!(rig.post(PAUSE, "", "k").await.0, 200);
    assert_eq!(rig.kinds()[2..], ["OrderPaused"]);
    let again = rig.kill_and_restart().await;
    let (_, view) = send(&again, Method::GET, "/SB1029436/acts/k", "").await;
    assert_eq!(view["state"], "done");
    assert_eq!(post_with_key(&again, PAUSE, "", "k").await.0, 200);
    assert_eq!(rig.kinds().len(), 3);
}

#[tokio::test]
async fn orders_repeated_after_503_open_once() {
    let rig = rig_for(100).await;
    for _ in 0..3 {
        rig.post_unsynced("/initiate", INITIATE, "").await;
    }
    let (status, reply) = rig.post("/initiate", INITIATE, "").await;
    assert_eq!((status, &reply["message"]), (200, &json!("Order processing initiated")));
    until("up", || rig.handle.is_stream_active(&key())).await;
    let incarnation = rig.handle.snapshot(&key()).unwrap().incarnation.clone();
    let again = rig.kill_and_restart().await;
    until("up again", || again.is_stream_active(&key())).await;
    assert_eq!(again.snapshot(&key()).unwrap().incarnation, incarnation);
    assert_eq!(rig.kinds().len(), 2);
}

/// They do not state that nothing was stored.
#[tokio::test]
async fn replies_with_503_invite_a_retry() {
    let rig = with_an_order().await;
    let reply = rig.post_unsynced(CANCEL, "", "k").await;
    let message = json!("Failed to update order request status");
    assert_eq!((&reply["success"], &reply["message"]), (&json!(false), &message));
    let detail = reply["detail"].as_str().unwrap();
    assert!(detail.contains("same key") && detail.contains("not known"), "{detail}");
}

/// The other order is refused, and not stored.
#[tokio::test]
async fn last_slot_goes_to_one_order() {
    let rig = rig_for(1).await;
    let ids = ["a", "b"];
    let initiate = |id: &str| {
        let (handle, body) = (rig.handle.clone(), json!({ "order_req_id": id }).to_string());
        let call = async move { send(&handle, Method::POST, "/initiate", &body).await };
        rig.tasks.spawn(call)
    };
    rig.disk.hold();
    let first = initiate(ids[0]);
    let disk = rig.disk.clone();
    tokio::task::spawn_blocking(move || disk.wait_for_commit()).await.unwrap();
    let second = initiate(ids[1]);
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    rig.disk.release();
    let (first, second) = (first.await.unwrap(), second.await.unwrap());
    assert_eq!(first.0, 200, "{}", first.1);
    assert_eq!(second.1["reason"], "LIMIT_REACHED");
    let store = OrderStore::new(rig.lists());
    let stored = ids.map(|id| store.load(&OrderKey::new("", id).unwrap()).unwrap().len > 0);
    assert_eq!(stored, [true, false]);
}

/// The next requestor follows such orders.
#[tokio::test]
async fn orders_stored_during_shutdown_succeed() {
    let rig = rig_for(1).await;
    rig.disk.hold();
    let handle = rig.handle.clone();
    let call = async move { send(&handle, Method::POST, "/initiate", INITIATE).await };
    let initiate = rig.tasks.spawn(call);
    let disk = rig.disk.clone();
    tokio::task::spawn_blocking(move || disk.wait_for_commit()).await.unwrap();
    rig.stop.cancel();
    rig.disk.release();
    let (status, reply) = initiate.await.unwrap();
    assert_eq!(status, 200, "{reply}");
    let again = rig.kill_and_restart().await;
    until("up", || again.is_stream_active(&key())).await;
}
