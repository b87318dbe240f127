//! Tests of sealed orders: hidden until the deadline, then opened all at once, and waiting for a
//! decision.

use std::sync::Arc;

use super::*;
use crate::limits::DECIDE_IN_MS;
use crate::order::InvitationState;
use crate::seal;
use crate::spec::{NotificationType, SellerChoice, Verdict};
use crate::tracker::{Tracker, TrackerInput};

const LIFETIME: i64 = LIFETIME_MS as i64;

fn sealed() -> BookHarness {
    let spec = OrderSpec { expires_in_ms: LIFETIME_MS, sealed: true, ..OrderSpec::default() };
    let incarnation = Incarnation::new("uid-1").unwrap();
    let mut harness = BookHarness::closed();
    let opening = OrderOpening { incarnation, spec, choices: Vec::new() };
    harness.run(CommandKind::Open(Box::new(opening))).unwrap();
    harness.run(propose("p1", "secretive-ltd")).unwrap();
    harness.run(amend("p1", "secretive-ltd", "4711.99")).unwrap();
    harness.run(lock("p1", "secretive-ltd", 1_000)).unwrap();
    harness
}

fn opened() -> BookHarness {
    let mut harness = sealed();
    harness.now = T0 + LIFETIME;
    harness.run(CommandKind::Tick).unwrap();
    harness
}

/// They do not expire then.
#[test]
fn sealed_orders_open_at_deadline() {
    let harness = opened();
    assert_eq!(harness.event_names().last(), Some(&"ProposalsOpened"));
    let order = harness.book.order().unwrap();
    let thirty_days_ms = 2_592_000_000;
    let decide_until = Timestamp(T0).plus_ms(LIFETIME_MS + thirty_days_ms);
    assert_eq!((order.phase, order.decide_until), (Phase::Paused, Some(decide_until)));
    assert_eq!(harness.book.deadline(), Some(decide_until));
}

#[test]
fn undecided_opened_orders_expire() {
    let mut harness = opened();
    harness.now += i64::try_from(DECIDE_IN_MS).unwrap();
    harness.run(CommandKind::Tick).unwrap();
    assert_eq!(harness.phase(), Phase::Expired);
}

/// An owner that was down over both deadlines applies both, in their order.
#[test]
fn late_ticks_open_and_expire_together() {
    let mut harness = sealed();
    harness.now = T0 + LIFETIME + i64::try_from(DECIDE_IN_MS).unwrap();
    harness.run(CommandKind::Tick).unwrap();
    assert_eq!(&harness.event_names()[5..], ["ProposalsOpened", "OrderPaused"]);
}

#[test]
fn sealed_orders_are_awarded_once_opened() {
    let mut harness = sealed();
    assert_eq!(harness.expect_refusal(finalise(Some("p1"))), Reason::OrderSealed);
    let mut harness = opened();
    harness.run(finalise(Some("p1"))).unwrap();
    assert_eq!(harness.phase(), Phase::Finalised);
}

/// They take no amendments, withdrawals, locks, extensions or resumes either.
#[test]
fn opened_orders_take_no_better_proposals() {
    let extend = CommandKind::Extend { expires_in_ms: 2 * LIFETIME_MS };
    let withdraw = CommandKind::Withdraw { proposal_id: proposal_id("p1"), reason: None };
    let kinds = [
        propose("p2", "b"),
        amend("p1", "secretive-ltd", "1"),
        withdraw,
        lock("p1", "secretive-ltd", 1_000),
        extend,
        CommandKind::Resume,
    ];
    for kind in kinds {
        assert_eq!(opened().expect_refusal(kind.clone()), Reason::DeadlinePassed, "{kind:?}");
    }
}

/// To the millisecond: the one before the deadline is accepted, the one at it is not.
#[test]
fn late_proposals_are_refused() {
    for (at, accepted) in [(LIFETIME - 1, true), (LIFETIME, false), (LIFETIME + 1, false)] {
        let mut harness = sealed();
        harness.now = T0 + at;
        let result = harness.run(propose("p2", "b"));
        assert_eq!(result.is_ok(), accepted, "{at}");
        let deadline = Timestamp(T0).plus_ms(LIFETIME_MS);
        let proposals = harness.stored.iter().filter(|e| e.kind.as_str() == "NewProposal");
        assert!(proposals.into_iter().all(|event| event.at < deadline));
    }
}

/// They take questions as well.
#[test]
fn opened_orders_take_follow_ups() {
    let mut harness = opened();
    harness.run(follow_up("f1")).unwrap();
    harness
        .run(CommandKind::Ask {
            seller: seller("b"),
            question_id: FollowUpId::new("q1").ok(),
            message: "when?".to_owned(),
        })
        .unwrap();
}

/// Events, views and refusals hide them until the opening.
#[test]
fn sealed_orders_hide_sellers_and_prices() {
    let mut harness = sealed();
    harness.run(CommandKind::Decline { seller: seller("secretive-ltd"), reason: None }).unwrap();
    harness
        .run(CommandKind::Ask {
            seller: seller("secretive-ltd"),
            question_id: FollowUpId::new("q1").ok(),
            message: "when?".to_owned(),
        })
        .unwrap();
    let reveals = |text: String| text.contains("secretive-ltd") || text.contains("4711");
    for event in &harness.stored {
        let redacted = seal::event(&Arc::new(event.clone()));
        assert_eq!((redacted.seq, redacted.at), (event.seq, event.at));
        assert!(!reveals(format!("{redacted:?}")), "{redacted:?}");
    }
    assert!(!reveals(format!("{:?}", seal::order(harness.book.order().unwrap()))));
    let refusal = harness.run(lock("p1", "nosy", 1_000)).unwrap_err();
    assert!(!reveals(format!("{refusal:?}")), "{refusal:?}");
    harness.now = T0 + LIFETIME;
    harness.run(CommandKind::Tick).unwrap();
    assert!(reveals(format!("{:?}", seal::order(harness.book.order().unwrap()))));
}

/// A follower receives the whole list again, and keeps the old view until the new one has caught
/// up.
#[test]
fn opened_orders_are_read_again() {
    let harness = opened();
    let mut tracker =
        Tracker::new(harness.book.key().clone(), harness.book.order().unwrap().incarnation.clone());
    let (opening, hidden) = harness.stored.split_last().unwrap();
    let hidden = hidden.iter().map(|event| seal::event(&Arc::new(event.clone())));
    for event in hidden.chain([Arc::new(opening.clone())]) {
        tracker.step(Timestamp(T0), TrackerInput::Received(event));
    }
    assert_eq!((tracker.last_seq(), tracker.resume_after()), (opening.seq, Seq(0)));
    for event in &harness.stored {
        assert_eq!(tracker.last_seq(), opening.seq, "before event {}", event.seq);
        assert!(tracker.order().unwrap().has_redacted(), "before event {}", event.seq);
        tracker.step(Timestamp(T0), TrackerInput::Received(Arc::new(event.clone())));
    }
    assert_eq!(tracker.last_seq(), opening.seq);
    assert_eq!(tracker.order(), harness.book.order());
}

/// An order that ends before its opening is never opened: its proposals stay hidden for good.
#[test]
fn cancelled_sealed_orders_stay_sealed() {
    for kind in [cancel(), CommandKind::Close { reason: None }, finalise(None)] {
        let mut harness = sealed();
        harness.run(kind.clone()).unwrap();
        assert!(harness.book.order().unwrap().is_sealed(), "{kind:?}");
    }
}

/// A seller that has seen a sealed order appears as merely notified.
#[test]
fn sealed_orders_hide_who_looked() {
    let choice = |name: &str| SellerChoice {
        seller: seller(name),
        verdict: Verdict::Chosen,
        distance_m: None,
    };
    let choices = ["a", "b", "c", "d"].map(choice).to_vec();
    let spec = OrderSpec { expires_in_ms: LIFETIME_MS, sealed: true, ..OrderSpec::default() };
    let incarnation = Incarnation::new("uid-1").unwrap();
    let mut harness = BookHarness::closed();
    harness.run(CommandKind::Open(Box::new(OrderOpening { incarnation, spec, choices }))).unwrap();
    harness.now += 5;
    let notified = |name: &str, failure: Option<&str>| CommandKind::Notified {
        seller: seller(name),
        channel: NotificationType::Email,
        failure: failure.map(ToOwned::to_owned),
    };
    harness.run(notified("a", None)).unwrap();
    harness.run(notified("b", Some("no such mailbox"))).unwrap();
    harness.run(CommandKind::See { seller: seller("c") }).unwrap();
    let order = harness.book.order().unwrap();
    assert_eq!((order.invited_count(), order.notified()), (4, (2, 1)));
    let redacted = seal::order(order);
    let rows: Vec<_> = redacted.invitations.iter().map(|held| (held.state, held.at.0)).collect();
    let late = T0 + 5;
    assert_eq!(
        rows,
        [
            (InvitationState::Notified, late),
            (InvitationState::Bounced, late),
            (InvitationState::Notified, T0),
            (InvitationState::Invited, T0),
        ]
    );
    assert_eq!(seal::seller(order, &seller("c")), seal::SEALED);
    assert_eq!(seal::Redaction::of(Some(order)), seal::Redaction::Sealed);
    assert_eq!(seal::Redaction::of(None), seal::Redaction::Open);
}

#[test]
fn redaction_follows_opening_and_deadline() {
    let harness = opened();
    let events: Vec<_> = harness.stored.iter().cloned().map(Arc::new).collect();
    assert_eq!(seal::redaction_after(&events[..1]), Some(seal::Redaction::Sealed));
    assert_eq!(seal::redaction_after(&events[2..4]), None);
    assert_eq!(seal::redaction_after(&events), Some(seal::Redaction::Open));
    let open: Vec<_> = BookHarness::open().stored.into_iter().map(Arc::new).collect();
    assert_eq!(seal::redaction_after(&open), Some(seal::Redaction::Open));
    let order = harness.book.order().unwrap();
    assert_eq!(seal::seller(order, &seller("c")), "c");
    assert_eq!(Some(order.runs_out_at()), order.decide_until);
    assert_eq!(BookHarness::open().book.order().unwrap().runs_out_at().0, T0 + LIFETIME);
}
