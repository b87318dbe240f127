//! Tests of the projection beside a requestor: it may be late after an outage, and misses no event.

use std::collections::BTreeMap;

use orderstream_core::port::{OrderStreams as _, ProjectionCursor};
use orderstream_core::spec::Message;
use orderstream_core::{Event, OrderIncarnation, OrderSpec, Seq};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::*;
use crate::fake_processor::FakeProcessor;
use crate::rest::tests::{requestor, until};
use crate::{Handle, MemoryLists};
use orderstream_core::buyer::FollowUpDraft;

/// A projection that keeps whole lists in memory, and fails every call while it is down.
#[derive(Debug, Default)]
struct MemoryProjection {
    lists: Mutex<BTreeMap<OrderKey, Vec<Event>>>,
    is_down: AtomicBool,
    calls: std::sync::atomic::AtomicUsize,
    /// Locked while cursors are not to be returned.
    gate: tokio::sync::Mutex<()>,
}

impl MemoryProjection {
    fn check(&self) -> Result<(), ProjectionError> {
        self.calls.fetch_add(1, Ordering::AcqRel);
        match self.is_down.load(Ordering::Acquire) {
            true => Err(ProjectionError::Unavailable("it is down".to_owned())),
            false => Ok(()),
        }
    }

    fn list(&self, key: &OrderKey) -> Vec<Event> {
        self.lists.lock().get(key).cloned().unwrap_or_default()
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::Acquire)
    }
}

impl OrderProjection for MemoryProjection {
    fn prepare(&self) -> ProjectionFuture<'_, ()> {
        Box::pin(async { self.check() })
    }

    fn cursors<'a>(
        &'a self,
        orders: &'a [OrderIncarnation],
    ) -> ProjectionFuture<'a, Vec<ProjectionCursor>> {
        Box::pin(async {
            self.check()?;
            drop(self.gate.lock().await);
            let lists = self.lists.lock();
            let of = |order: &OrderIncarnation| {
                let last = lists.get(&order.key).and_then(|list| list.last());
                last.map(|event| ProjectionCursor { seq: event.seq, at: Some(event.at) })
                    .unwrap_or_default()
            };
            Ok(orders.iter().map(of).collect())
        })
    }

    fn project<'a>(
        &'a self,
        order: &'a OrderIncarnation,
        after: Seq,
        events: &'a [Arc<Event>],
    ) -> ProjectionFuture<'a, ()> {
        Box::pin(async move {
            self.check()?;
            let mut lists = self.lists.lock();
            let list = lists.entry(order.key.clone()).or_default();
            if list.last().map(|event| event.seq).unwrap_or_default() != after {
                return Err(ProjectionError::Moved);
            }
            list.extend(events.iter().map(|event| (**event).clone()));
            Ok(())
        })
    }

    fn remove<'a>(&'a self, order: &'a OrderIncarnation) -> ProjectionFuture<'a, ()> {
        Box::pin(async {
            self.check()?;
            self.lists.lock().remove(&order.key);
            Ok(())
        })
    }

    fn close(&self) -> ProjectionFuture<'_, ()> {
        Box::pin(async { Ok(()) })
    }
}

struct Rig {
    fake: FakeProcessor,
    store: Arc<MemoryProjection>,
    lists: Arc<MemoryLists>,
    url: String,
    handle: Handle,
    stop: CancellationToken,
    _tasks: TaskTracker,
}

impl Rig {
    async fn start() -> Self {
        let (fake, tasks) = (FakeProcessor::default(), TaskTracker::new());
        let url = fake.serve(&tasks, CancellationToken::new()).await;
        let (store, lists): (Arc<MemoryProjection>, Arc<MemoryLists>) = Default::default();
        let (handle, stop) = requestor(&url, &lists, Some(projection_over(&store))).await;
        Self { fake, store, lists, url, handle, stop, _tasks: tasks }
    }

    /// Starts another requestor on the same store and the same projection, as after a kill.
    async fn restart(&mut self) {
        self.stop.cancel();
        let projection = Some(projection_over(&self.store));
        (self.handle, self.stop) = requestor(&self.url, &self.lists, projection).await;
    }

    async fn send_follow_up(&self, key: &OrderKey) {
        let message = Message { message: "how soon?".to_owned(), ..Message::default() };
        let follow_up = FollowUpDraft { id: None, audience: Vec::new(), message, answers: None };
        self.handle.follow_up(key.clone(), follow_up).await.unwrap();
    }

    async fn until_equal(&self, key: &OrderKey, least: usize) {
        until("the projection has the whole list", || {
            let list = self.fake.events(key);
            let strip = |event: &Event| (event.seq, event.at, event.kind.clone());
            let projected: Vec<_> = self.store.list(key).iter().map(strip).collect();
            list.len() >= least && projected == list.iter().map(strip).collect::<Vec<_>>()
        })
        .await;
    }
}

fn projection_over(store: &Arc<MemoryProjection>) -> Projection {
    let store = Arc::clone(store) as Arc<dyn OrderProjection>;
    Projection { store, scope: TenantScope::All }
}

fn key(n: usize) -> OrderKey {
    OrderKey::new("", &format!("SB{n}")).unwrap()
}

#[tokio::test]
async fn followed_orders_are_projected_whole() {
    let rig = Rig::start().await;
    rig.handle.initiate(key(1), OrderSpec::default()).await.unwrap();
    rig.send_follow_up(&key(1)).await;
    rig.until_equal(&key(1), 3).await;
}

/// No command or stream waits for it meanwhile.
#[tokio::test]
async fn projection_catches_up_after_an_outage() {
    let rig = Rig::start().await;
    rig.store.is_down.store(true, Ordering::Release);
    for n in 0..20 {
        rig.handle.initiate(key(n), OrderSpec::default()).await.unwrap();
        rig.send_follow_up(&key(n)).await;
    }
    for n in 0..20 {
        until("the trackers go on", || {
            rig.handle.snapshot(&key(n)).is_some_and(|snapshot| snapshot.last_seq() >= Seq(3))
        })
        .await;
    }
    assert!(rig.store.calls() < 40, "it is tried with pauses: {}", rig.store.calls());
    rig.store.is_down.store(false, Ordering::Release);
    for n in 0..20 {
        rig.until_equal(&key(n), 3).await;
    }
}

#[tokio::test]
async fn ends_before_a_restart_are_projected() {
    let mut rig = Rig::start().await;
    rig.handle.initiate(key(1), OrderSpec::default()).await.unwrap();
    rig.until_equal(&key(1), 2).await;
    rig.store.is_down.store(true, Ordering::Release);
    rig.send_follow_up(&key(1)).await;
    let command = orderstream_core::buyer::BuyerCommand::Finalise {
        award: None,
        reason: None,
        undo_within_ms: None,
    };
    rig.handle.buyer_command(key(1), command, None).await.unwrap();
    until("the order has ended", || {
        rig.handle.snapshot(&key(1)).is_some_and(|snapshot| snapshot.is_terminal())
    })
    .await;
    until("its end is stored", || rig.handle.shared.store.load(&key(1)).unwrap().ended.is_some())
        .await;
    rig.restart().await;
    assert!(!rig.handle.is_stream_active(&key(1)), "nobody follows it any more");
    rig.store.is_down.store(false, Ordering::Release);
    rig.until_equal(&key(1), 4).await;
}

#[tokio::test]
async fn wiped_projections_are_rebuilt() {
    let rig = Rig::start().await;
    for n in 0..5 {
        rig.handle.initiate(key(n), OrderSpec::default()).await.unwrap();
        rig.until_equal(&key(n), 2).await;
    }
    rig.store.is_down.store(true, Ordering::Release);
    rig.store.lists.lock().clear();
    rig.send_follow_up(&key(0)).await;
    let calls_before = rig.store.calls();
    until("it is asked while it is down", || rig.store.calls() > calls_before).await;
    rig.store.is_down.store(false, Ordering::Release);
    for n in 0..5 {
        rig.until_equal(&key(n), 2).await;
    }
}

/// A list falls behind when an old copy of a processor's disk is restored.
#[tokio::test]
async fn projections_ahead_of_lists_are_rebuilt() {
    let mut rig = Rig::start().await;
    rig.handle.initiate(key(1), OrderSpec::default()).await.unwrap();
    rig.until_equal(&key(1), 2).await;
    {
        let mut lists = rig.store.lists.lock();
        let list = lists.get_mut(&key(1)).unwrap();
        let last = list.last().unwrap().clone();
        list.push(Event { seq: last.seq.next(), ..last });
    }
    rig.restart().await;
    rig.until_equal(&key(1), 2).await;
}

/// A controller stops following an order as soon as its end is published, however late the
/// projection is.
#[tokio::test]
async fn unfollowed_orders_are_projected_whole() {
    let rig = Rig::start().await;
    let projector = rig.handle.shared.projector.clone().unwrap();
    until("all lists were compared", || projector.metrics.sweeps.get() > 0).await;
    rig.handle.initiate(key(1), OrderSpec::default()).await.unwrap();
    rig.until_equal(&key(1), 2).await;
    let calls_before = rig.store.calls();
    let gate = rig.store.gate.lock().await;
    rig.send_follow_up(&key(1)).await;
    until("it is asked how far it is", || rig.store.calls() > calls_before).await;
    rig.send_follow_up(&key(1)).await;
    until("the tracker has the last event", || {
        rig.handle.snapshot(&key(1)).is_some_and(|snapshot| snapshot.last_seq() >= Seq(4))
    })
    .await;
    let incarnation = rig.handle.shared.registry.list_location(&key(1)).unwrap().incarnation;
    rig.handle.stop(&key(1), &incarnation);
    assert_eq!(rig.handle.snapshot(&key(1)), None, "nobody follows it any more");
    drop(gate);
    rig.until_equal(&key(1), 4).await;
}
