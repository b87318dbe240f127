//! Tests of the snapshot while the list is read again up to what was published.

use super::*;
use crate::event::{EventKind, OrderOpened};
use crate::spec::OrderSpec;

/// Folds an opening and these events.
fn folded(kinds: &[EventKind]) -> Order {
    let opened = OrderOpened {
        key: OrderKey::new("t", "o").unwrap(),
        incarnation: Incarnation::new("i-1").unwrap(),
        spec: OrderSpec::default(),
        expires_at: Timestamp(1_000),
    };
    let mut order = None;
    let opened = EventKind::OrderOpened(Box::new(opened));
    for (seq, kind) in (1..).zip([&opened].into_iter().chain(kinds)) {
        let event = Event { seq: Seq(seq), at: Timestamp(0), cause: None, kind: kind.clone() };
        Order::fold(&mut order, &event).unwrap();
    }
    order.unwrap()
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
    let paused = EventKind::OrderPaused { expired: false, reason: None };
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
