//! Tests of sealed orders: hidden until the deadline, then opened all at once, and waiting for a
//! decision.

use std::sync::Arc;

use super::*;
use crate::limits::DECIDE_IN_MS;
use crate::order::InvitationState;
use crate::seal;
use crate::spec::{NotificationType, SellerChoice, Verdict};
use crate::tracker::{Input, Tracker};

const LIFE: i64 = LIFE_MS as i64;

fn sealed() -> Desk {
    let spec = OrderSpec { expires_in_ms: LIFE_MS, sealed: true, ..OrderSpec::default() };
    let incarnation = Incarnation::new("uid-1").unwrap();
    let mut desk = Desk::closed();
    let opening = Opening { incarnation, spec, choices: Vec::new() };
    desk.act(Act::Open(Box::new(opening))).unwrap();
    desk.act(propose("p1", "secretive-ltd")).unwrap();
    desk.act(amend("p1", "secretive-ltd", "4711.99")).unwrap();
    desk.act(lock("p1", "secretive-ltd", 1_000)).unwrap();
    desk
}

fn opened() -> Desk {
    let mut desk = sealed();
    desk.now = T0 + LIFE;
    desk.act(Act::Tick).unwrap();
    desk
}

/// They do not expire then.
#[test]
fn sealed_orders_open_at_deadline() {
    let desk = opened();
    assert_eq!(desk.words().last(), Some(&"ProposalsOpened"));
    let order = desk.book.order().unwrap();
    let decide_until = Timestamp(T0).plus_ms(LIFE_MS + DECIDE_IN_MS);
    assert_eq!((order.phase, order.decide_until), (Phase::Paused, Some(decide_until)));
    assert_eq!(desk.book.deadline(), Some(decide_until));
}

#[test]
fn undecided_opened_orders_expire() {
    let mut desk = opened();
    desk.now += i64::try_from(DECIDE_IN_MS).unwrap();
    desk.act(Act::Tick).unwrap();
    assert_eq!(desk.phase(), Phase::Expired);
}

/// An owner that was down over both deadlines applies both, in their order.
#[test]
fn late_ticks_open_and_expire_together() {
    let mut desk = sealed();
    desk.now = T0 + LIFE + i64::try_from(DECIDE_IN_MS).unwrap();
    desk.act(Act::Tick).unwrap();
    assert_eq!(&desk.words()[5..], ["ProposalsOpened", "OrderPaused"]);
}

#[test]
fn sealed_orders_are_awarded_once_opened() {
    let mut desk = sealed();
    assert_eq!(desk.refused(finalise(Some("p1"))), Reason::OrderSealed);
    let mut desk = opened();
    desk.act(finalise(Some("p1"))).unwrap();
    assert_eq!(desk.phase(), Phase::Finalised);
}

/// They take no amendments, withdrawals, locks, extensions or resumes either.
#[test]
fn opened_orders_take_no_better_proposals() {
    let extend = Act::Extend { expires_in_ms: 2 * LIFE_MS };
    let withdraw = Act::Withdraw { proposal_id: pid("p1"), reason: None };
    let acts = [
        propose("p2", "b"),
        amend("p1", "secretive-ltd", "1"),
        withdraw,
        lock("p1", "secretive-ltd", 1_000),
        extend,
        Act::Resume,
    ];
    for act in acts {
        assert_eq!(opened().refused(act.clone()), Reason::DeadlinePassed, "{act:?}");
    }
}

/// To the millisecond: the one before the deadline is accepted, the one at it is not.
#[test]
fn late_proposals_are_refused() {
    for (at, accepted) in [(LIFE - 1, true), (LIFE, false), (LIFE + 1, false)] {
        let mut desk = sealed();
        desk.now = T0 + at;
        let done = desk.act(propose("p2", "b"));
        assert_eq!(done.is_ok(), accepted, "{at}");
        let deadline = Timestamp(T0).plus_ms(LIFE_MS);
        let proposals = desk.stored.iter().filter(|e| e.kind.as_str() == "NewProposal");
        assert!(proposals.into_iter().all(|event| event.at < deadline));
    }
}

/// They take questions as well.
#[test]
fn opened_orders_take_follow_ups() {
    let mut desk = opened();
    desk.act(follow_up("f1")).unwrap();
    desk.act(Act::Ask {
        seller: seller("b"),
        question_id: FollowUpId::new("q1").ok(),
        message: "when?".to_owned(),
    })
    .unwrap();
}

/// Events, views and refusals hide them until the opening.
#[test]
fn sealed_orders_hide_sellers_and_prices() {
    let mut desk = sealed();
    desk.act(Act::Decline { seller: seller("secretive-ltd"), reason: None }).unwrap();
    desk.act(Act::Ask {
        seller: seller("secretive-ltd"),
        question_id: FollowUpId::new("q1").ok(),
        message: "when?".to_owned(),
    })
    .unwrap();
    let told = |text: String| text.contains("secretive-ltd") || text.contains("4711");
    for event in &desk.stored {
        let shown = seal::event(&Arc::new(event.clone()));
        assert_eq!((shown.seq, shown.at), (event.seq, event.at));
        assert!(!told(format!("{shown:?}")), "{shown:?}");
    }
    assert!(!told(format!("{:?}", seal::order(desk.book.order().unwrap()))));
    let refusal = desk.act(lock("p1", "nosy", 1_000)).unwrap_err();
    assert!(!told(format!("{refusal:?}")), "{refusal:?}");
    desk.now = T0 + LIFE;
    desk.act(Act::Tick).unwrap();
    assert!(told(format!("{:?}", seal::order(desk.book.order().unwrap()))));
}

/// A follower receives the whole list again, and keeps the old view until the new one is as far.
#[test]
fn opened_orders_are_read_again() {
    let desk = opened();
    let mut tracker =
        Tracker::new(desk.book.key().clone(), desk.book.order().unwrap().incarnation.clone());
    let (opening, hidden) = desk.stored.split_last().unwrap();
    let hidden = hidden.iter().map(|event| seal::event(&Arc::new(event.clone())));
    for event in hidden.chain([Arc::new(opening.clone())]) {
        tracker.step(Timestamp(T0), Input::Received(event));
    }
    assert_eq!((tracker.last_seq(), tracker.resume_after()), (opening.seq, Seq(0)));
    for event in &desk.stored {
        assert_eq!(tracker.last_seq(), opening.seq, "before event {}", event.seq);
        assert!(tracker.order().unwrap().has_hidden(), "before event {}", event.seq);
        tracker.step(Timestamp(T0), Input::Received(Arc::new(event.clone())));
    }
    assert_eq!(tracker.last_seq(), opening.seq);
    assert_eq!(tracker.order(), desk.book.order());
}

/// An order that ends before its opening is never opened: its proposals stay hidden for good.
#[test]
fn cancelled_sealed_orders_stay_sealed() {
    for act in [cancel(), Act::Close { reason: None }, finalise(None)] {
        let mut desk = sealed();
        desk.act(act.clone()).unwrap();
        assert!(desk.book.order().unwrap().is_sealed(), "{act:?}");
    }
}

/// A seller that looked at a sealed order appears as one that was notified only.
#[test]
fn sealed_orders_hide_who_looked() {
    let choice = |name: &str| SellerChoice {
        seller: seller(name),
        verdict: Verdict::Chosen,
        distance_m: None,
    };
    let choices = ["a", "b", "c", "d"].map(choice).to_vec();
    let spec = OrderSpec { expires_in_ms: LIFE_MS, sealed: true, ..OrderSpec::default() };
    let incarnation = Incarnation::new("uid-1").unwrap();
    let mut desk = Desk::closed();
    desk.act(Act::Open(Box::new(Opening { incarnation, spec, choices }))).unwrap();
    desk.now += 5;
    let notified = |name: &str, failure: Option<&str>| Act::Notified {
        seller: seller(name),
        channel: NotificationType::Email,
        failure: failure.map(ToOwned::to_owned),
    };
    desk.act(notified("a", None)).unwrap();
    desk.act(notified("b", Some("no such mailbox"))).unwrap();
    desk.act(Act::See { seller: seller("c") }).unwrap();
    let order = desk.book.order().unwrap();
    assert_eq!((order.selected(), order.notified()), (4, (2, 1)));
    let shown = seal::order(order);
    let rows: Vec<_> = shown.invitations.iter().map(|held| (held.state, held.at.0)).collect();
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
    assert_eq!(seal::Cover::of(Some(order)), seal::Cover::Sealed);
    assert_eq!(seal::Cover::of(None), seal::Cover::Open);
}

#[test]
fn redaction_follows_opening_and_deadline() {
    let desk = opened();
    let events: Vec<_> = desk.stored.iter().cloned().map(Arc::new).collect();
    assert_eq!(seal::after(&events[..1]), Some(seal::Cover::Sealed));
    assert_eq!(seal::after(&events[2..4]), None);
    assert_eq!(seal::after(&events), Some(seal::Cover::Open));
    let open: Vec<_> = Desk::open().stored.into_iter().map(Arc::new).collect();
    assert_eq!(seal::after(&open), Some(seal::Cover::Open));
    let order = desk.book.order().unwrap();
    assert_eq!(seal::seller(order, &seller("c")), "c");
    assert_eq!(Some(order.runs_out_at()), order.decide_until);
    assert_eq!(Desk::open().book.order().unwrap().runs_out_at().0, T0 + LIFE);
}
