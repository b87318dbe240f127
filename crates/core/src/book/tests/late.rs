//! Tests of the invitation of sellers that come while an order is open.

use super::*;
use crate::order::InvitationState;
use crate::spec::{SellerChoice, SellerLimits, Verdict};

fn choices(names: &[&str], verdict: Verdict) -> Vec<SellerChoice> {
    let choice = |name: &&str| SellerChoice {
        seller: seller(name),
        verdict,
        distance_m: None,
        display_name: None,
    };
    names.iter().map(choice).collect()
}

/// Opens an order that invites these sellers, within its limits.
fn open(sellers: SellerLimits, invited: &[&str]) -> BookHarness {
    let spec = OrderSpec { expires_in_ms: LIFETIME_MS, sellers, ..OrderSpec::default() };
    let incarnation = Incarnation::new("uid-1").unwrap();
    let choices = choices(invited, Verdict::Chosen);
    let mut harness = BookHarness::closed();
    harness.run(CommandKind::Open(Box::new(OrderOpening { incarnation, spec, choices }))).unwrap();
    harness
}

fn up_to(max_count: u32) -> SellerLimits {
    SellerLimits { max_count, ..SellerLimits::default() }
}

fn invite(names: &[&str]) -> CommandKind {
    CommandKind::Invite { choices: choices(names, Verdict::Chosen) }
}

fn invited(harness: &BookHarness) -> Vec<&str> {
    let order = harness.book.order().unwrap();
    order.invitations.iter().map(|held| held.seller.as_str()).collect()
}

/// The nearest of them come first; the event has those that were invited before, too.
#[test]
fn late_sellers_fill_free_places() {
    let mut harness = open(up_to(3), &["b"]);
    assert_eq!(harness.book.order().unwrap().free_places(), 2);
    harness.run(invite(&["d", "a", "c"])).unwrap();
    assert_eq!(invited(&harness), ["a", "b", "d"]);
    assert_eq!(harness.stored.last().unwrap().kind.text(), "3 of 3: b, d, a");
    assert_eq!(harness.book.order().unwrap().free_places(), 0);
    assert_eq!(harness.expect_refusal(invite(&["c"])), Reason::LimitReached);
    assert_eq!(harness.replayed(), harness.book);
}

#[test]
fn each_seller_is_invited_once() {
    let mut harness = open(up_to(5), &["b"]);
    harness.run(invite(&["b"])).unwrap();
    assert_eq!(harness.event_names(), ["OrderOpened", "SellersSelected"]);
    harness.run(invite(&["a", "b", "a"])).unwrap();
    assert_eq!(invited(&harness), ["a", "b"]);
    harness.run(invite(&["a"])).unwrap();
    harness.run(CommandKind::Invite { choices: choices(&["c"], Verdict::TooFar) }).unwrap();
    assert_eq!(harness.event_names()[2..], ["SellersSelected"]);
}

/// A verdict at the opening gives way to the later one.
#[test]
fn sellers_that_did_not_fit_are_invited_later() {
    let mut harness = BookHarness::closed();
    let mut before = choices(&["a"], Verdict::Chosen);
    before.extend(choices(&["b", "c"], Verdict::Suspended));
    let spec = OrderSpec { expires_in_ms: LIFETIME_MS, ..OrderSpec::default() };
    let opening =
        OrderOpening { incarnation: Incarnation::new("uid-1").unwrap(), spec, choices: before };
    harness.run(CommandKind::Open(Box::new(opening))).unwrap();
    harness.run(invite(&["c"])).unwrap();
    let order = harness.book.order().unwrap();
    let verdicts = order.choices.iter().map(|choice| (choice.seller.as_str(), choice.verdict));
    let expected = [("a", Verdict::Chosen), ("b", Verdict::Suspended), ("c", Verdict::Chosen)];
    assert_eq!(verdicts.collect::<Vec<_>>(), expected);
}

#[test]
fn nobody_is_invited_where_nothing_is_taken() {
    let refused = SellerLimits { late: false, ..SellerLimits::default() };
    assert_eq!(open(refused, &["a"]).expect_refusal(invite(&["b"])), Reason::NotInvited);
    let mut harness = open(up_to(5), &["a"]);
    harness.run(pause()).unwrap();
    assert_eq!(harness.expect_refusal(invite(&["b"])), Reason::OrderPaused);
    assert_eq!(harness.book.order().unwrap().free_places(), 0);
    harness.run(CommandKind::Resume).unwrap();
    assert_eq!(harness.book.order().unwrap().free_places(), 4);
    harness.run(invite(&["b"])).unwrap();
    harness.run(propose("p1", "a")).unwrap();
    let award = Some(Award::Whole(proposal_id("p1")));
    let pending = CommandKind::Finalise { award, reason: None, undo_within_ms: Some(5_000) };
    harness.run(pending).unwrap();
    assert_eq!(harness.expect_refusal(invite(&["c"])), Reason::AwardPending);
    assert_eq!(harness.book.order().unwrap().free_places(), 0);
    harness.run(CommandKind::UndoAward { reason: None }).unwrap();
    assert_eq!(harness.book.order().unwrap().free_places(), 3);
    harness.now = T0 + 60_000;
    assert_eq!(harness.expect_late_refusal(invite(&["c"])), Reason::DeadlinePassed);
    assert_eq!(harness.phase(), Phase::Deciding);
    assert_eq!(harness.book.order().unwrap().free_places(), 0);
    harness.run(close()).unwrap();
    assert_eq!(harness.expect_refusal(invite(&["c"])), Reason::OrderEnded);
}

/// What the others did stays as it was.
#[test]
fn late_sellers_take_part_like_others() {
    let mut harness = open(up_to(5), &["b"]);
    harness.run(CommandKind::See { seller: seller("b") }).unwrap();
    assert_eq!(harness.expect_refusal(propose("p1", "a")), Reason::NotInvited);
    harness.now += 5;
    harness.run(invite(&["a"])).unwrap();
    let order = harness.book.order().unwrap();
    let state = |name| order.invitation(&seller(name)).unwrap();
    assert_eq!((state("b").state, state("b").since), (InvitationState::Seen, Seq(2)));
    assert_eq!((state("a").state, state("a").since), (InvitationState::Invited, Seq(4)));
    assert_eq!(state("a").at, Timestamp(T0 + 5));
    harness.run(propose("p1", "a")).unwrap();
    harness.run(CommandKind::See { seller: seller("a") }).unwrap();
}

/// Where nobody was invited anybody might propose, and may go on with that.
#[test]
fn first_invitation_ends_proposals_of_others() {
    let mut harness = open(up_to(5), &[]);
    assert_eq!(harness.book.order().unwrap().invited_since(), None);
    harness.run(propose("p1", "stranger")).unwrap();
    harness.run(invite(&["a"])).unwrap();
    assert_eq!(harness.book.order().unwrap().invited_since(), Some(Seq(4)));
    harness.run(amend("p1", "stranger", "9")).unwrap();
    assert_eq!(harness.expect_refusal(propose("p2", "other")), Reason::NotInvited);
    harness.run(propose("p2", "a")).unwrap();
}

/// A seller that declined is not asked again; one that proposed is in that state from the start.
#[test]
fn invitations_know_what_sellers_did_before() {
    let mut harness = open(up_to(5), &[]);
    harness.run(propose("p1", "a")).unwrap();
    harness.run(CommandKind::Decline { seller: seller("b"), reason: None }).unwrap();
    harness.run(invite(&["b"])).unwrap();
    assert_eq!(invited(&harness), [""; 0]);
    harness.run(invite(&["a", "b", "c"])).unwrap();
    assert_eq!(invited(&harness), ["a", "c"]);
    let order = harness.book.order().unwrap();
    let state = |name| order.invitation(&seller(name)).unwrap().state;
    assert_eq!((state("a"), state("c")), (InvitationState::Proposed, InvitationState::Invited));
    assert_eq!(harness.replayed(), harness.book);
}

#[test]
fn sealed_orders_invite_until_their_opening() {
    let spec = OrderSpec { sealed: true, expires_in_ms: LIFETIME_MS, ..OrderSpec::default() };
    let (incarnation, choices) =
        (Incarnation::new("uid-1").unwrap(), choices(&["b"], Verdict::Chosen));
    let mut harness = BookHarness::closed();
    let opening = OrderOpening { incarnation, spec, choices };
    harness.run(CommandKind::Open(Box::new(opening))).unwrap();
    harness.run(invite(&["a"])).unwrap();
    harness.run(propose("p1", "a")).unwrap();
    harness.now = T0 + 60_000;
    assert_eq!(harness.expect_late_refusal(invite(&["c"])), Reason::DeadlinePassed);
    assert_eq!(invited(&harness), ["a", "b"]);
}
