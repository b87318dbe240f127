//! Properties of a tracker that replaces a killed one: no published view is taken back.

use std::sync::Arc;

use orderstream_core::buyer::BuyerOrderView;
use orderstream_core::tracker::{PublishedView, TrackerInput, TrackerOutput};
use orderstream_core::{
    Epoch, Event, FollowUpId, Incarnation, OrderKey, OrderSpec, RequestPhase, Timestamp, Tracker,
    TrackerSnapshot,
};
use proptest::prelude::*;

use super::{Owner, moves};

fn fresh() -> Tracker {
    Tracker::new(OrderKey::new("", "SB1").unwrap(), Incarnation::new("uid-1").unwrap())
}

fn receive(tracker: &mut Tracker, event: &Event) -> TrackerOutput {
    tracker.step(Timestamp(0), TrackerInput::Received(Arc::new(event.clone())))
}

fn connect(tracker: &mut Tracker, epoch: u64) {
    tracker
        .step(Timestamp(0), TrackerInput::Connected { processor: "p".into(), epoch: Epoch(epoch) });
}

/// Publishes the order as it is: the view is stored first, and read back as it was written.
fn publish(tracker: &mut Tracker) -> BuyerOrderView {
    if let Some(published) = tracker.snapshot().next_published() {
        let stored = serde_json::to_vec(&published).unwrap();
        let read: PublishedView = serde_json::from_slice(&stored).unwrap();
        assert_eq!(read, published);
        tracker.step(Timestamp(0), TrackerInput::Published(Arc::new(read)));
    }
    view_of(&tracker.snapshot())
}

fn view_of(snapshot: &TrackerSnapshot) -> BuyerOrderView {
    BuyerOrderView::of(snapshot, &OrderSpec::default())
}

fn rank(phase: RequestPhase) -> u8 {
    match phase {
        RequestPhase::Pending => 0,
        phase if phase.is_terminal() => 2,
        _ => 1,
    }
}

fn assert_not_back(before: &BuyerOrderView, after: &BuyerOrderView) {
    assert!(after.last_seq >= before.last_seq, "{before:?}\n{after:?}");
    assert!(after.epoch >= before.epoch, "{before:?}\n{after:?}");
    assert!(after.reconnects >= before.reconnects, "{before:?}\n{after:?}");
    assert!(after.follow_up_count >= before.follow_up_count, "{before:?}\n{after:?}");
    assert!(after.proposals[0] >= before.proposals[0], "{before:?}\n{after:?}");
    assert!(rank(after.phase) >= rank(before.phase), "{before:?}\n{after:?}");
    assert!(after.expires_at >= before.expires_at, "{before:?}\n{after:?}");
    assert!(before.award.is_none() || after.award == before.award, "{before:?}\n{after:?}");
    assert!(before.processor.is_none() || after.processor.is_some(), "{before:?}\n{after:?}");
    if after.last_seq == before.last_seq {
        assert_eq!(after.proposals, before.proposals);
        assert_eq!(after.best, before.best);
    }
}

/// Makes a replacement for a killed tracker: it has the stored view, and nothing else.
fn in_place_of(killed: &Tracker) -> Tracker {
    let mut next = fresh();
    if let Some(published) = killed.published() {
        next.step(Timestamp(0), TrackerInput::Published(Arc::clone(published)));
    }
    next
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(160))]

    #[test]
    fn killed_trackers_take_nothing_shown_back(
        moves in moves(),
        restarts in proptest::collection::vec((0..40usize, 1..7usize), 0..6),
    ) {
        let owner = Owner::played(&moves);
        let mut tracker = fresh();
        let mut last = publish(&mut tracker);
        let mut epoch = 0;
        for (events, publish_interval) in restarts.into_iter().chain([(usize::MAX, 3)]) {
            epoch += 1;
            // The processor is unreachable at first: the published view stays.
            let down = TrackerInput::Disconnected { reason: "UNREACHABLE".to_owned() };
            tracker.step(Timestamp(0), down);
            assert_not_back(&last, &view_of(&tracker.snapshot()));
            connect(&mut tracker, epoch);
            for (count, event) in owner.list.iter().take(events).enumerate() {
                receive(&mut tracker, event);
                if count % publish_interval == 0 {
                    let now = publish(&mut tracker);
                    assert_not_back(&last, &now);
                    last = now;
                } else {
                    // The view was not stored, so it is not published.
                    prop_assert_eq!(view_of(&tracker.snapshot()).last_seq, last.last_seq);
                }
            }
            tracker = in_place_of(&tracker);
        }
        connect(&mut tracker, epoch);
        for event in &owner.list {
            receive(&mut tracker, event);
        }
        let mut steady = fresh();
        connect(&mut steady, epoch);
        for event in &owner.list {
            receive(&mut steady, event);
        }
        let (went_on, steady) = (publish(&mut tracker), publish(&mut steady));
        let same = BuyerOrderView {
            reconnects: steady.reconnects,
            ..went_on
        };
        prop_assert_eq!(same, steady);
        prop_assert_eq!(tracker.order().cloned(), fresh_order(&owner));
    }
}

fn fresh_order(owner: &Owner) -> Option<orderstream_core::Order> {
    let order = owner.book.order().cloned();
    order.map(|order| orderstream_core::Order { choices: Vec::new(), ..order })
}

#[test]
fn another_incarnation_starts_from_nothing() {
    let mut tracker = fresh();
    let mut view = PublishedView::only_ended(
        Incarnation::new("uid-0").unwrap(),
        orderstream_core::Phase::Finalised,
    );
    view.epoch = Epoch(9);
    tracker.step(Timestamp(0), TrackerInput::Published(Arc::new(view)));
    assert_eq!(tracker.end(), None);
    assert_eq!(tracker.snapshot().stream.epoch, Epoch(0));
}

#[test]
fn shown_follow_up_counts_hold() {
    let mut tracker = fresh();
    let mut view = PublishedView::only_ended(
        Incarnation::new("uid-1").unwrap(),
        orderstream_core::Phase::Closed,
    );
    view.follow_up_count = 3;
    tracker.step(Timestamp(0), TrackerInput::Published(Arc::new(view)));
    tracker.step(Timestamp(0), TrackerInput::FollowUpAdded(FollowUpId::new("f-1").unwrap()));
    assert_eq!(tracker.snapshot().follow_up_count, 3);
}
