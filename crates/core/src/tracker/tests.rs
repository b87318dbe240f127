//! Tests of the snapshot while the list is read again up to what was published.

use super::*;
use crate::event::{EventKind, OrderOpened};
use crate::refusal::Reason;
use crate::spec::OrderSpec;

fn key() -> OrderKey {
    OrderKey::new("t", "o").unwrap()
}

/// Returns an opening and these events; each one's time is its number.
fn events(incarnation: &str, kinds: &[EventKind]) -> Vec<Event> {
    let opened = OrderOpened {
        key: key(),
        incarnation: Incarnation::new(incarnation).unwrap(),
        spec: OrderSpec::default(),
        expires_at: Timestamp(1_000),
    };
    let opened = EventKind::OrderOpened(Box::new(opened));
    let event = |(seq, kind): (i64, &EventKind)| {
        let (at, kind) = (Timestamp(seq), kind.clone());
        Event { seq: Seq(seq.unsigned_abs()), at, cause: None, kind }
    };
    (1..).zip([&opened].into_iter().chain(kinds)).map(event).collect()
}

/// Folds an opening and these events.
fn folded(kinds: &[EventKind]) -> Order {
    let mut order = None;
    events("i-1", kinds).iter().for_each(|event| Order::fold(&mut order, event).unwrap());
    order.unwrap()
}

fn fresh() -> Tracker {
    Tracker::new(key(), Incarnation::new("i-1").unwrap())
}

fn receive(tracker: &mut Tracker, event: &Event) -> TrackerOutput {
    tracker.step(Timestamp(0), TrackerInput::Received(Arc::new(event.clone())))
}

fn connect(tracker: &mut Tracker) {
    let connected = TrackerInput::Connected { processor: "p".into(), epoch: Epoch(1) };
    tracker.step(Timestamp(0), connected);
}

fn publish(tracker: &mut Tracker, ended: Phase) {
    let view = PublishedView::only_ended(Incarnation::new("i-1").unwrap(), ended);
    tracker.step(Timestamp(0), TrackerInput::Published(Arc::new(view)));
}

/// Returns the snapshot of an order that was read up to one event, and published up to another.
fn snapshot(read: &[EventKind], published: &[EventKind]) -> TrackerSnapshot {
    let (order, published) = (folded(read), folded(published));
    let summary = OrderSummary::of(&published);
    let ended = Some(summary.phase).filter(|phase| phase.is_terminal());
    let incarnation = order.incarnation.clone();
    let view = PublishedView::only_ended(incarnation.clone(), Phase::Open);
    TrackerSnapshot {
        key: order.key.clone(),
        incarnation,
        stream: StreamState { active: true, ..StreamState::default() },
        order: Some(Arc::new(order)),
        published: Some(Arc::new(PublishedView { order: Some(summary), ended, ..view })),
        follow_up_count: 0,
        refused: Arc::new([]),
    }
}

#[test]
fn snapshots_show_the_newer_of_two_views() {
    let paused = EventKind::OrderPaused { expired: false, reason: None, decide_by: None };
    let closed = EventKind::OrderClosed { reason: None };
    let pause = std::slice::from_ref(&paused);
    let end = [paused.clone(), EventKind::OrderResumed, closed];
    for (read, published, phase, seq) in [
        (&[][..], pause, Phase::Paused, 2),
        (pause, &[][..], Phase::Paused, 2),
        (&end[..2], pause, Phase::Open, 3),
        (pause, &end[..2], Phase::Open, 3),
        (&[][..], &end[..], Phase::Closed, 4),
        (&end[..], pause, Phase::Closed, 4),
    ] {
        let snapshot = snapshot(read, published);
        let summary = snapshot.summary().unwrap();
        assert_eq!((summary.phase, summary.last_seq), (phase, Seq(seq)));
        assert_eq!((snapshot.order_phase(), snapshot.last_seq()), (Some(phase), Seq(seq)));
        assert_eq!(snapshot.is_terminal(), phase.is_terminal());
    }
}

#[test]
fn ends_close_the_stream() {
    let mut tracker = fresh();
    connect(&mut tracker);
    let list = events("i-1", &[EventKind::OrderClosed { reason: None }]);
    assert_eq!((tracker.resume_event_at(), tracker.end()), (None, None));
    assert_eq!(receive(&mut tracker, &list[0]), TrackerOutput::Changed);
    assert_eq!((tracker.resume_event_at(), tracker.end()), (Some(Timestamp(1)), None));
    assert!(tracker.snapshot().stream.active);
    assert_eq!(receive(&mut tracker, &list[1]), TrackerOutput::Ended);
    assert_eq!(
        (tracker.resume_event_at(), tracker.end()),
        (Some(Timestamp(2)), Some(Phase::Closed))
    );
    assert!(!tracker.snapshot().stream.active);
}

#[test]
fn streams_have_their_own_phase() {
    let mut tracker = fresh();
    let mut phase_after = |step: &dyn Fn(&mut Tracker)| {
        step(&mut tracker);
        tracker.snapshot().stream_phase()
    };
    let cut = |tracker: &mut Tracker| {
        let reason = "cut".to_owned();
        tracker.step(Timestamp(0), TrackerInput::Disconnected { reason });
    };
    let list = events("i-1", &[EventKind::OrderClosed { reason: None }]);
    assert_eq!(phase_after(&cut), StreamPhase::Pending, "it was never up");
    assert_eq!(phase_after(&connect), StreamPhase::Active);
    assert_eq!(phase_after(&cut), StreamPhase::Reconnecting);
    let receive_at = |index: usize| {
        let event = list[index].clone();
        move |tracker: &mut Tracker| {
            receive(tracker, &event);
        }
    };
    assert_eq!(phase_after(&receive_at(0)), StreamPhase::Reconnecting);
    assert_eq!(phase_after(&connect), StreamPhase::Active);
    assert_eq!(phase_after(&receive_at(1)), StreamPhase::Ended);
    assert_eq!(phase_after(&cut), StreamPhase::Ended);
}

/// A former process had it up.
#[test]
fn streams_of_known_orders_come_back() {
    let order = snapshot(&[], &[]);
    let down = StreamState::default();
    assert_eq!(TrackerSnapshot { stream: down, ..order }.stream_phase(), StreamPhase::Reconnecting);
}

/// Also of an order that a former process followed.
#[test]
fn streams_that_come_back_are_counted() {
    let reconnects = |before: fn(&mut Tracker)| {
        let mut tracker = fresh();
        before(&mut tracker);
        connect(&mut tracker);
        tracker.snapshot().stream.reconnects
    };
    assert_eq!(reconnects(|_| {}), 0);
    assert_eq!(reconnects(connect), 1, "it was up, and had no event yet");
    assert_eq!(reconnects(|tracker| publish(tracker, Phase::Open)), 1);
    let event = |tracker: &mut Tracker| {
        receive(tracker, &events("i-1", &[])[0]);
    };
    assert_eq!(reconnects(event), 1);
}

#[test]
fn orders_share_the_ids_of_their_trackers() {
    let mut tracker = fresh();
    receive(&mut tracker, &events("i-1", &[])[0]);
    let order = tracker.order().unwrap();
    let ids = |key: &OrderKey, incarnation: &Incarnation| {
        [key.order_req_id.as_str().as_ptr(), incarnation.as_str().as_ptr()]
    };
    let own = ids(&tracker.key, tracker.incarnation());
    assert_eq!(ids(&order.key, &order.incarnation), own);
    receive(&mut tracker, &events("i-1", &[])[0]);
    let mut other = fresh();
    receive(&mut other, &events("i-2", &[])[0]);
    assert_eq!(other.order().unwrap().incarnation.as_str(), "i-2", "ids that differ stay");
}

/// The newest refusal of a key is shown, once.
#[test]
fn refusals_are_shown_once_per_key() {
    let mut tracker = fresh();
    let mut refuse = |key: &str, reason| {
        let key = IdempotencyKey::new(key).unwrap();
        let refusal = Refusal::new(reason, "no");
        tracker.step(Timestamp(0), TrackerInput::CommandRefused { key, refusal });
    };
    refuse("a", Reason::AwardPending);
    refuse("b", Reason::OrderEnded);
    refuse("a", Reason::OrderPaused);
    let snapshot = tracker.snapshot();
    let shown = snapshot.refused.iter().map(|(key, refusal)| (key.as_str(), refusal.reason));
    assert_eq!(shown.collect::<Vec<_>>(), [("b", Reason::OrderEnded), ("a", Reason::OrderPaused)]);
}
