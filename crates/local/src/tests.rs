//! Tests of local order requests against scripted streams, with a clock that is set by hand.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use orderstream_api::manifest::{Manifest, ManifestDocument, documents};
use orderstream_core::command::ProposalContent;
use orderstream_core::event::OrderOpened;
use orderstream_core::port::{Assignment, ReplyFuture};
use orderstream_core::tracker::{Tracker, TrackerInput};
use orderstream_core::{
    Command, Event, EventKind, Incarnation, OrderKey, OrderSpec, Price, ProposalId, SellerId, Seq,
    StreamPhase, Timestamp,
};

use super::*;

const T0: i64 = 1_800_000_000_000;
const PROCESSOR: &str = "http://127.0.0.1:50051";

#[derive(Debug)]
pub(super) struct HandClock(AtomicI64);

/// Returns a clock that stands.
pub(super) fn hand_clock() -> Arc<HandClock> {
    Arc::new(HandClock(AtomicI64::new(T0)))
}

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

type Wake = Arc<dyn Fn(&OrderKey) + Send + Sync>;

/// Streams whose processor executes commands at once, or refuses everything while it is
/// unreachable.
#[derive(Default)]
struct Script {
    orders: Mutex<BTreeMap<OrderKey, (Tracker, u64)>>,
    calls: Mutex<Vec<String>>,
    refuse: Mutex<Option<Refusal>>,
    /// The refusal of `persist`; absent while the disk accepts writes.
    full: Mutex<Option<Refusal>>,
    wake: Mutex<Option<Wake>>,
}

impl std::fmt::Debug for Script {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Script").finish_non_exhaustive()
    }
}

impl Script {
    fn event(&self, key: &OrderKey, kind: EventKind) {
        if let Some((tracker, seq)) = self.orders.lock().get_mut(key) {
            *seq += 1;
            let at = Timestamp(T0).plus_ms(*seq);
            let event = Event { seq: Seq(*seq), at, cause: None, kind };
            tracker.step(at, TrackerInput::Received(Arc::new(event)));
        }
        if let Some(wake) = self.wake.lock().as_ref() {
            wake(key);
        }
    }

    fn calls(&self) -> Vec<String> {
        std::mem::take(&mut *self.calls.lock())
    }
}

impl OrderStreams for Script {
    fn ensure(&self, assignment: Assignment) -> Result<(), Refusal> {
        if let Some(refusal) = self.refuse.lock().clone() {
            return Err(refusal);
        }
        let Assignment { key, incarnation, spec, epoch, processor } = assignment;
        if self.orders.lock().contains_key(&key) {
            return Ok(());
        }
        self.calls.lock().push(format!("ensure {key} at {processor}"));
        let mut tracker = Tracker::new(key.clone(), incarnation.clone());
        tracker.step(Timestamp(T0), TrackerInput::Connected { processor: processor.into(), epoch });
        self.orders.lock().insert(key.clone(), (tracker, 0));
        // The first event is one millisecond later than the start.
        let expires_at = Timestamp(T0 + 1).plus_ms(spec.expires_in_ms);
        let opened = OrderOpened { key: key.clone(), incarnation, spec, expires_at };
        self.event(&key, EventKind::OrderOpened(Box::new(opened)));
        Ok(())
    }

    fn send_command(&self, key: &OrderKey, command: Command) -> Result<(), Refusal> {
        self.calls.lock().push(command.kind.name().to_owned());
        if matches!(command.kind, orderstream_core::CommandKind::Cancel { .. }) {
            self.event(key, EventKind::OrderCancelled { reason: None });
        }
        Ok(())
    }

    fn stop(&self, key: &OrderKey, _: &Incarnation) {
        self.calls.lock().push("stop".to_owned());
        self.orders.lock().remove(key);
    }

    fn snapshot(&self, key: &OrderKey) -> Option<Arc<TrackerSnapshot>> {
        self.orders.lock().get(key).map(|(tracker, _)| Arc::new(tracker.snapshot()))
    }

    fn keys(&self) -> Vec<OrderKey> {
        self.orders.lock().keys().cloned().collect()
    }

    fn watch(&self, wake: Wake) {
        *self.wake.lock() = Some(wake);
    }

    fn spec(&self, key: &OrderKey) -> Option<OrderSpec> {
        Some(self.snapshot(key)?.order.as_ref()?.spec.clone())
    }

    fn persist<'a>(&'a self, _: &'a [OrderKey]) -> ReplyFuture<'a, ()> {
        Box::pin(std::future::ready(self.full.lock().clone().map_or(Ok(()), Err)))
    }
}

pub(super) struct Rig {
    dir: tempfile::TempDir,
    clock: Arc<HandClock>,
    script: Arc<Script>,
    pub(super) local: LocalOrderRequests,
}

impl Rig {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = hand_clock();
        let script = Arc::new(Script::default());
        let local = open(&dir, &clock, &script);
        Self { dir, clock, script, local }
    }

    /// Reconciles all that is due, until nothing is.
    pub(super) fn settle(&self) {
        let inner = &self.local.0;
        for _ in 0..20 {
            let due = inner.wakes.take(self.clock.now());
            if due == DueOrders::Some(std::collections::BTreeSet::new()) {
                return;
            }
            inner.reconcile_due(due);
        }
        panic!("looking at the orders never ends");
    }

    pub(super) fn apply(&self, spec: &str) -> Result<(LocalApplyOutcome, OrderRequest), Refusal> {
        let (resource, document) = written(spec);
        self.local.apply(resource, &document)
    }

    /// Stops it, and starts it again on the same folder.
    pub(super) fn reopen(&mut self) {
        self.local = open(&self.dir, &self.clock, &self.script);
    }

    fn phase(&self) -> Option<String> {
        self.local.get("default", "chairs").expect("the resource").status.and_then(|s| s.phase)
    }

    /// Makes `persist` fail from now on.
    pub(super) fn fill(&self) {
        let full = Refusal::new(Reason::StorageUnavailable, "no space left");
        *self.script.full.lock() = Some(full);
    }

    fn advance(&self, ms: i64) {
        self.clock.0.fetch_add(ms, Ordering::SeqCst);
    }
}

fn open(
    dir: &tempfile::TempDir,
    clock: &Arc<HandClock>,
    script: &Arc<Script>,
) -> LocalOrderRequests {
    LocalOrderRequests::open(Parts {
        dir: dir.path().join("orderrequests"),
        streams: Arc::clone(script) as Arc<dyn OrderStreams>,
        processors: vec![PROCESSOR.to_owned()],
        epoch: Epoch(7),
        clock: Arc::clone(clock) as Arc<dyn Clock>,
        shutdown: CancellationToken::new(),
    })
    .expect("a folder")
}

/// Returns a resource, and the document that it was read from.
fn written(spec: &str) -> (OrderRequest, serde_json::Value) {
    let text = format!(
        "apiVersion: orderstream.dev/v1alpha1\nkind: OrderRequest\nmetadata: {{name: chairs}}\nspec: {spec}\n"
    );
    match documents("test", &text).expect("a manifest").pop() {
        Some(ManifestDocument { manifest: Manifest::OrderRequest(resource), document }) => {
            (*resource, document)
        }
        other => panic!("{other:?}"),
    }
}

fn chairs(spec: &str) -> OrderRequest {
    written(spec).0
}

fn key(id: &str) -> OrderKey {
    OrderKey::new("default", id).unwrap()
}

#[test]
fn applied_orders_are_placed_and_followed() {
    let rig = Rig::new();
    let (applied, resource) = rig.apply("{orderReqId: A1}").unwrap();
    assert_eq!(applied, LocalApplyOutcome::Created);
    assert_eq!(resource.metadata.generation, Some(1));
    rig.settle();
    assert_eq!(rig.script.calls(), [format!("ensure default/A1 at {PROCESSOR}")]);
    assert_eq!(rig.phase().as_deref(), Some("Open"));
    let stored = rig.local.get("default", "chairs").unwrap();
    assert_eq!(stored.status.as_ref().and_then(OrderRequestStatus::processor), Some(PROCESSOR));
    assert_eq!(rig.local.list(None).len(), 1);
    assert_eq!(rig.local.list(Some("other")).len(), 0);
}

/// Each edit raises the generation.
#[test]
fn edits_reach_the_processor_once() {
    let rig = Rig::new();
    rig.apply("{}").unwrap();
    rig.settle();
    rig.script.calls();
    assert_eq!(rig.apply("{}").unwrap().0, LocalApplyOutcome::Unchanged);
    let (applied, resource) = rig.apply("{suspend: true}").unwrap();
    assert_eq!((applied, resource.metadata.generation), (LocalApplyOutcome::Configured, Some(2)));
    rig.settle();
    assert_eq!(rig.script.calls(), ["pause"]);
    let refusal = rig.apply("{category: other}").expect_err("fixed");
    assert_eq!(refusal.field.as_deref(), Some("spec.category"));
}

/// The status is judged again when its best proposal lapses, without an event.
#[test]
fn lapsed_proposals_are_shown_as_best_no_more() {
    let rig = Rig::new();
    rig.apply("{orderReqId: A1}").unwrap();
    rig.settle();
    let until = Some("2027-01-15T08:01:00Z".to_owned());
    for (id, amount, valid_until) in [("p1", "9", until), ("p2", "10", None)] {
        let price = Price::parse(amount, "EUR").unwrap();
        let new = ProposalContent::new(SellerId::new("acme").unwrap(), price);
        let proposal_id = ProposalId::new(id).ok();
        let content = ProposalContent { proposal_id, valid_until, ..new };
        rig.script.event(&key("A1"), EventKind::NewProposal(content));
    }
    let best = || {
        rig.settle();
        let status = rig.local.get("default", "chairs").unwrap().status?;
        status.proposals?.best.map(|best| best.price)
    };
    assert_eq!(best().as_deref(), Some("9 EUR"));
    rig.advance(61_000);
    assert_eq!(best().as_deref(), Some("10 EUR"));
}

/// They are kept for `ttlAfterFinished`; their stream is stopped at once.
#[test]
fn ended_orders_are_kept_then_removed() {
    let rig = Rig::new();
    rig.apply("{cancel: true, ttlAfterFinished: 10m}").unwrap();
    rig.settle();
    assert_eq!(rig.phase().as_deref(), Some("Cancelled"));
    assert_eq!(rig.script.calls()[1..], ["cancel", "stop"]);
    rig.advance(599_000);
    rig.settle();
    assert_eq!(rig.phase().as_deref(), Some("Cancelled"));
    assert!(rig.script.calls().is_empty(), "an ended order is not followed again");
    rig.advance(2_000);
    rig.settle();
    assert!(rig.local.get("default", "chairs").is_err());
    assert!(open(&rig.dir, &rig.clock, &rig.script).list(None).is_empty());
}

#[test]
fn edits_after_the_end_are_observed() {
    let rig = Rig::new();
    rig.apply("{cancel: true}").unwrap();
    rig.settle();
    let before = rig.local.get("default", "chairs").unwrap().status.unwrap();
    let (applied, _) = rig.apply("{cancel: true, ttlAfterFinished: 10m}").unwrap();
    assert_eq!(applied, LocalApplyOutcome::Configured);
    rig.settle();
    let after = rig.local.get("default", "chairs").unwrap().status.unwrap();
    assert_eq!(after, OrderRequestStatus { observed_generation: Some(2), ..before });
}

#[test]
fn stale_edits_undo_no_newer_edit() {
    let rig = Rig::new();
    let (_, read) = rig.apply("{}").unwrap();
    rig.settle();
    let (_, paused) = rig.apply("{suspend: true}").unwrap();
    let mut stale = read;
    stale.spec.expires_in = "2h".to_owned();
    let refusal = rig.local.replace(stale).expect_err("it would resume the order");
    assert_eq!(refusal.reason, Reason::Changed);
    assert!(rig.local.get("default", "chairs").unwrap().spec.suspend);
    // The resource that was just read is edited; the same edit again, as after a lost response,
    // changes nothing.
    let mut longer = paused;
    longer.spec.expires_in = "2h".to_owned();
    assert_eq!(rig.local.replace(longer.clone()).unwrap().0, LocalApplyOutcome::Configured);
    assert_eq!(rig.local.replace(longer).unwrap().0, LocalApplyOutcome::Unchanged);
}

#[test]
fn edits_of_removed_orders_open_none() {
    let rig = Rig::new();
    let (_, mut read) = rig.apply("{}").unwrap();
    rig.settle();
    rig.local.delete("default", "chairs").unwrap();
    rig.settle();
    rig.advance(2_000);
    rig.settle();
    read.spec.suspend = true;
    let refusal = rig.local.replace(read.clone()).expect_err("it is gone");
    assert_eq!(refusal.reason, Reason::OrderNotFound);
    rig.apply("{}").unwrap();
    let refusal = rig.local.replace(read).expect_err("it is another one");
    assert_eq!(refusal.reason, Reason::Changed);
}

/// Each stays at its processor; damaged files are left out.
#[test]
fn applied_orders_survive_a_restart() {
    let rig = Rig::new();
    let (_, resource) = rig.apply("{orderReqId: A1}").unwrap();
    rig.settle();
    rig.script.calls();
    std::fs::write(rig.dir.path().join("orderrequests/damaged.json"), "{").unwrap();
    std::fs::write(rig.dir.path().join("orderrequests/cut.tmp"), "{").unwrap();
    let script = Arc::new(Script::default());
    let local = open(&rig.dir, &rig.clock, &script);
    let stored = local.get("default", "chairs").expect("stored");
    assert_eq!(stored.metadata.uid, resource.metadata.uid);
    assert_eq!(stored.status.as_ref().and_then(OrderRequestStatus::processor), Some(PROCESSOR));
    let rig = Rig { script, local, ..rig };
    rig.settle();
    assert_eq!(rig.script.calls(), [format!("ensure default/A1 at {PROCESSOR}")]);
}

/// They are shown before the order's list is read again.
#[test]
fn shown_statuses_survive_a_restart() {
    let rig = Rig::new();
    let (_, resource) = rig.apply("{orderReqId: A1}").unwrap();
    rig.settle();
    rig.script.event(
        &key("A1"),
        EventKind::OrderPaused { expired: false, reason: None, decide_by: None },
    );
    rig.settle();
    let before = rig.local.get("default", "chairs").unwrap().status.unwrap();
    let shown = rig.script.snapshot(&key("A1")).unwrap().next_published().unwrap();

    let script = Arc::new(Script::default());
    let incarnation = Incarnation::new(resource.metadata.uid.unwrap()).unwrap();
    let mut tracker = Tracker::new(key("A1"), incarnation);
    tracker.step(Timestamp(T0), TrackerInput::Published(Arc::new(shown)));
    script.orders.lock().insert(key("A1"), (tracker, 0));
    let local = open(&rig.dir, &rig.clock, &script);
    local.reconcile_all();
    let now = local.get("default", "chairs").unwrap().status.unwrap();
    assert_eq!(now.phase.as_deref(), Some("Paused"));
    assert_eq!(now.stream_phase(), StreamPhase::Reconnecting);
    let tracked = |status: &OrderRequestStatus| {
        let tracker = status.tracker.clone().unwrap();
        let epoch = status.stream.as_ref().unwrap().epoch;
        (tracker.last_seq, tracker.last_event, epoch, status.proposals.clone())
    };
    assert_eq!(tracked(&now), tracked(&before));
    assert_eq!((now.start_time, now.expires_at), (before.start_time, before.expires_at));
}

#[test]
fn deletes_cancel_the_order_first() {
    let rig = Rig::new();
    rig.apply("{}").unwrap();
    rig.settle();
    rig.local.delete("default", "chairs").unwrap();
    let refusal = rig.apply("{suspend: true}").expect_err("it is being deleted");
    assert_eq!(refusal.reason, Reason::OrderExists);
    rig.settle();
    rig.advance(2_000);
    rig.settle();
    assert_eq!(rig.script.calls()[1..3], ["cancel", "stop"]);
    assert!(rig.local.get("default", "chairs").is_err());
    let refusal = rig.local.delete("default", "chairs").expect_err("it is gone");
    assert_eq!(refusal.reason, Reason::OrderNotFound);
}

#[test]
fn delete_is_bounded_without_a_processor() {
    let rig = Rig::new();
    *rig.script.refuse.lock() = Some(Refusal::new(Reason::Draining, "stopping"));
    rig.apply("{}").unwrap();
    rig.settle();
    assert_eq!(rig.phase().as_deref(), Some("Pending"));
    rig.local.delete("default", "chairs").unwrap();
    rig.settle();
    assert!(rig.local.get("default", "chairs").is_ok(), "it waits for the processor");
    rig.advance(31_000);
    rig.settle();
    assert!(rig.local.get("default", "chairs").is_err());
}

#[test]
fn refusals_are_shown_and_retried() {
    let rig = Rig::new();
    *rig.script.refuse.lock() = Some(Refusal::new(Reason::LimitReached, "too many streams"));
    rig.apply("{}").unwrap();
    rig.settle();
    let status = rig.local.get("default", "chairs").unwrap().status.expect("a status");
    let stalled = status.conditions.iter().find(|c| c.type_ == "Stalled").expect("Stalled");
    assert_eq!((stalled.status.as_str(), stalled.reason.as_str()), ("True", "LIMIT_REACHED"));
    *rig.script.refuse.lock() = None;
    rig.advance(1_000);
    rig.settle();
    assert_eq!(rig.phase().as_deref(), Some("Open"));
}

/// An id belongs to one resource, or to REST.
#[test]
fn order_ids_belong_to_one_owner() {
    let rig = Rig::new();
    rig.apply("{orderReqId: A1}").unwrap();
    rig.settle();
    let mut other = chairs("{orderReqId: A1}");
    other.metadata.name = Some("other".to_owned());
    let refusal = rig.local.replace(other).expect_err("taken");
    assert_eq!(refusal.reason, Reason::OrderExists);
    assert_eq!(refusal.field.as_deref(), Some("spec.orderReqId"));

    let rest = Assignment {
        key: key("SB1029436"),
        incarnation: Incarnation::new("rest-1").unwrap(),
        spec: OrderSpec::default(),
        epoch: Epoch(1),
        processor: PROCESSOR.to_owned(),
    };
    rig.script.ensure(rest).unwrap();
    rig.settle();
    let view = rig.local.get("default", "SB1029436").expect("shown");
    let annotations = view.metadata.annotations.as_ref();
    assert!(annotations.is_some_and(|a| a.contains_key(READ_ONLY_ANNOTATION)));
    assert_eq!(rig.local.list(Some("default")).len(), 2);
    // What is shown of it can be applied again, and asks for nothing.
    let print = serde_json::to_value(&view).unwrap();
    let outcome = rig.local.apply(view.clone(), &print).unwrap().0;
    assert_eq!(outcome, LocalApplyOutcome::Unchanged);
    let mut edited = view;
    edited.spec.suspend = true;
    let refusal = rig.local.apply(edited, &print).expect_err("it belongs to REST");
    assert_eq!(refusal.reason, Reason::NotAllowed);
    let refusal = rig.local.delete("default", "SB1029436").expect_err("it belongs to REST");
    assert_eq!(refusal.reason, Reason::NotAllowed);
    let refusal = rig.apply("{orderReqId: SB1029436}").expect_err("immutable");
    assert_eq!(refusal.field.as_deref(), Some("spec.orderReqId"));
}

/// Nothing is sent to a processor before the order's placement is on disk.
#[test]
fn unstored_placements_are_not_used() {
    let rig = Rig::new();
    rig.apply("{}").unwrap();
    let dir = rig.dir.path().join("orderrequests");
    let away = rig.dir.path().join("away");
    std::fs::rename(&dir, &away).unwrap();
    rig.settle();
    assert!(rig.script.calls().is_empty());
    let status = rig.local.get("default", "chairs").unwrap().status.expect("a status");
    assert_eq!(status.processor(), None);
    let stalled = status.conditions.iter().find(|c| c.type_ == "Stalled").expect("Stalled");
    assert_eq!(stalled.reason, "STORAGE_UNAVAILABLE");
    let refusal = rig.apply("{suspend: true}").expect_err("the folder is away");
    assert_eq!(refusal.reason, Reason::StorageUnavailable);
    std::fs::rename(&away, &dir).unwrap();
    rig.advance(1_000);
    rig.settle();
    assert_eq!(rig.phase().as_deref(), Some("Open"));
}
