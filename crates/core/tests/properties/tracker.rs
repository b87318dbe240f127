//! Properties of every way in which a list reaches a tracker.

use std::sync::Arc;

use orderstream_core::tracker::{TrackerInput, TrackerOutput};
use orderstream_core::{
    Epoch, Event, EventKind, Incarnation, Order, OrderKey, Seq, Timestamp, Tracker, seal,
};
use proptest::prelude::*;

use super::{Owner, moves};

fn fresh() -> Tracker {
    Tracker::new(OrderKey::new("", "SB1").unwrap(), Incarnation::new("uid-1").unwrap())
}

fn receive(tracker: &mut Tracker, event: &Event) -> TrackerOutput {
    tracker.step(Timestamp(0), TrackerInput::Received(Arc::new(event.clone())))
}

fn whole(list: &[Event]) -> Tracker {
    let mut tracker = fresh();
    for event in list {
        assert_ne!(receive(&mut tracker, event), TrackerOutput::Ignored);
    }
    tracker
}

/// One stream, and its faults.
#[derive(Clone, Debug)]
struct StreamSegment {
    events: usize,
    repeats: usize,
    skips: usize,
}

fn stream_segments() -> impl Strategy<Value = Vec<StreamSegment>> {
    let one = (0..9usize, 0..4usize, 0..3usize)
        .prop_map(|(events, repeats, skips)| StreamSegment { events, repeats, skips });
    proptest::collection::vec(one, 0..20)
}

/// Returns the owner's order as a follower holds it: without the sellers that were considered.
fn followed(owner: &Owner) -> Option<Order> {
    owner.book.order().map(|order| Order { choices: Vec::new(), ..order.clone() })
}

/// Plays one stream: it begins after the tracker's cursor, repeats older events, and may skip some.
fn play(tracker: &mut Tracker, list: &[Event], segment: &StreamSegment) {
    let connected = TrackerInput::Connected { processor: "p".into(), epoch: Epoch(1) };
    tracker.step(Timestamp(0), connected);
    let index = usize::try_from(tracker.resume_after().0).unwrap();
    for event in &list[index.saturating_sub(segment.repeats)..index] {
        assert_eq!(receive(tracker, event), TrackerOutput::Ignored);
    }
    let end = list.len().min(index + segment.events);
    for event in &list[index..end] {
        receive(tracker, event);
    }
    if let (true, Some(event)) = (segment.skips > 0, list.get(end + segment.skips)) {
        // A gap: no event is folded, and the tracker returns where to resume.
        let order_before = tracker.order().cloned();
        assert_eq!(receive(tracker, event), TrackerOutput::ResumeAfter(Seq(end as u64)));
        assert_eq!(tracker.order().cloned(), order_before);
    }
    tracker.step(Timestamp(0), TrackerInput::Disconnected { reason: "cut".to_owned() });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(160))]

    #[test]
    fn any_stream_splits_give_same_order(moves in moves(), splits in stream_segments()) {
        let owner = Owner::played(&moves);
        let mut tracker = fresh();
        for segment in &splits {
            play(&mut tracker, &owner.list, segment);
        }
        play(&mut tracker, &owner.list, &StreamSegment { events: usize::MAX / 2, repeats: 3, skips: 0 });
        let steady = whole(&owner.list);
        prop_assert_eq!(tracker.order(), steady.order());
        prop_assert_eq!(tracker.order().cloned(), followed(&owner));
        prop_assert_eq!(tracker.last_seq(), owner.book.last_seq());
    }

    #[test]
    fn disordered_events_never_make_gaps(
        moves in moves(),
        order in proptest::collection::vec(0..60usize, 0..200),
    ) {
        let owner = Owner::played(&moves);
        let mut tracker = fresh();
        for index in order {
            let Some(event) = owner.list.get(index) else { continue };
            let position = tracker.last_seq();
            let output = receive(&mut tracker, event);
            if event.seq <= position {
                prop_assert_eq!(output, TrackerOutput::Ignored);
            } else if event.seq == position.next() {
                prop_assert!(matches!(output, TrackerOutput::Changed | TrackerOutput::Ended));
            } else {
                prop_assert_eq!(output, TrackerOutput::ResumeAfter(position));
            }
        }
        let received_count = usize::try_from(tracker.last_seq().0).unwrap();
        let steady = whole(&owner.list[..received_count]);
        prop_assert_eq!(tracker.order(), steady.order());
    }

    /// A follow-up is counted once, whether it is still to be forwarded, forwarded, or both.
    #[test]
    fn follow_ups_count_once(moves in moves(), follow_ups in proptest::collection::vec(0..5u8, 0..9)) {
        let owner = Owner::played(&moves);
        let mut tracker = fresh();
        let mut ids = std::collections::BTreeSet::new();
        let mut follow_ups = follow_ups.into_iter();
        for event in &owner.list {
            if let Some(n) = follow_ups.next() {
                let id = orderstream_core::FollowUpId::new(format!("f{n}")).unwrap();
                tracker.step(Timestamp(0), TrackerInput::FollowUpAdded(id.clone()));
                ids.insert(id);
            }
            receive(&mut tracker, event);
        }
        ids.extend(owner.book.order().unwrap().follow_ups.iter().cloned());
        prop_assert_eq!(tracker.snapshot().follow_up_count, ids.len());
    }

    /// A follower that received a sealed order's list while it was sealed reads it again once it is
    /// opened, whatever breaks meanwhile: it ends with the owner's order, and its view never goes
    /// back.
    #[test]
    fn opened_orders_are_read_again_whole(
        moves in moves(),
        cuts in proptest::collection::vec(1..9usize, 0..12),
    ) {
        let owner = Owner::played(&moves);
        let is_opening = |e: &Event| matches!(e.kind, EventKind::ProposalsOpened { .. });
        let opening = owner.list.iter().position(is_opening);
        let is_sealed = owner.book.order().is_some_and(|order| order.spec.sealed);
        let mut tracker = fresh();
        let mut cuts = cuts.into_iter();
        let mut known = 0;
        let mut streams = 0;
        while tracker.last_seq() < owner.book.last_seq() && streams < 200 {
            streams += 1;
            // Before the opening was appended, the owner redacts; afterwards it redacts nothing.
            let hides = is_sealed && opening.is_none_or(|opening| known <= opening);
            let index = usize::try_from(tracker.resume_after().0).unwrap();
            let end = owner.list.len().min(index + cuts.next().unwrap_or(usize::MAX / 2));
            for event in &owner.list[index..end] {
                let sent = if hides && !is_opening(event) {
                    seal::event(&Arc::new(event.clone()))
                } else {
                    Arc::new(event.clone())
                };
                let before = tracker.last_seq();
                known = known.max(usize::try_from(event.seq.0).unwrap());
                let output = tracker.step(Timestamp(0), TrackerInput::Received(sent));
                prop_assert!(tracker.last_seq() >= before);
                if matches!(output, TrackerOutput::ResumeAfter(_) | TrackerOutput::ReadAgain) {
                    break;
                }
            }
        }
        prop_assert_eq!(tracker.last_seq(), owner.book.last_seq());
        let hidden = owner.book.order().is_some_and(|order| order.is_sealed());
        if !hidden {
            prop_assert_eq!(tracker.order().cloned(), followed(&owner));
        } else if let Some(order) = tracker.order() {
            prop_assert!(order.proposals.values().all(|held| held.content.price.is_hidden()));
        }
    }
}
