//! Tests of awards: whole and per line, undone in time, and their races with other commands.

use super::*;
use crate::limits::UNDO_WITHIN_MS_MAX;
use crate::order::ProposalPhase;
use crate::price::Quantity;
use crate::spec::Item;

pub(super) fn award(id: &str, undo_within_ms: u64) -> Act {
    Act::Finalise {
        award: Some(Award::Whole(pid(id))),
        reason: None,
        undo_within_ms: Some(undo_within_ms),
    }
}

pub(super) const UNDO: Act = Act::UndoAward { reason: None };

fn two_proposals() -> Desk {
    let mut desk = Desk::open();
    desk.act(propose("p1", "a")).unwrap();
    desk.act(propose("p2", "b")).unwrap();
    desk
}

#[test]
fn awards_close_losers_then_end_order() {
    let mut desk = two_proposals();
    let answer = desk.act(award("p2", 0)).unwrap();
    assert_eq!(&desk.words()[4..], ["ProposalClosed", "OrderFinalised"]);
    assert_eq!((answer.seq, answer.phase), (Seq(6), Phase::Finalised));
    let order = desk.book.order().unwrap();
    assert_eq!(order.proposals[&pid("p1")].phase, ProposalPhase::Closed);
    assert_eq!(order.proposals[&pid("p2")].phase, ProposalPhase::Open);
}

/// The order's end has the buyer's reason.
#[test]
fn no_award_closes_no_proposals() {
    let mut desk = two_proposals();
    let reason = Some("the budget was cut".to_owned());
    let act = Act::Finalise { award: None, reason: reason.clone(), undo_within_ms: None };
    desk.act(act).unwrap();
    let last = &desk.stored.last().unwrap().kind;
    assert_eq!(*last, EventKind::OrderFinalised { award: None, reason });
    assert_eq!(desk.stored.len(), 5);
}

#[test]
fn pending_awards_take_effect_on_time() {
    let mut desk = two_proposals();
    desk.act(award("p1", 5_000)).unwrap();
    assert_eq!(desk.words().last(), Some(&"AwardPending"));
    assert_eq!(desk.book.deadline(), Some(Timestamp(T0).plus_ms(5_000)));
    desk.now += 4_999;
    desk.act(Act::Tick).unwrap();
    assert_eq!(desk.phase(), Phase::Open);
    desk.now += 1;
    desk.act(Act::Tick).unwrap();
    assert_eq!(&desk.words()[5..], ["ProposalClosed", "OrderFinalised"]);
    assert_eq!(desk.refused(UNDO), Reason::AwardNotPending);
}

#[test]
fn pending_awards_outlive_the_deadline() {
    let mut desk = two_proposals();
    desk.now += i64::try_from(LIFE_MS).unwrap() - 1;
    desk.act(award("p1", 5_000)).unwrap();
    desk.now += 4_000;
    desk.act(Act::Tick).unwrap();
    assert_eq!(desk.phase(), Phase::Open);
    desk.now += 1_000;
    desk.act(Act::Tick).unwrap();
    assert_eq!(desk.phase(), Phase::Finalised);
}

/// The order has its former deadline, and takes amendments again.
#[test]
fn undone_awards_allow_another() {
    let mut desk = two_proposals();
    desk.act(award("p1", 5_000)).unwrap();
    desk.act(UNDO).unwrap();
    assert_eq!(desk.words().last(), Some(&"AwardUndone"));
    assert_eq!(desk.book.deadline(), Some(Timestamp(T0).plus_ms(LIFE_MS)));
    desk.act(amend("p1", "a", "7")).unwrap();
    desk.act(award("p2", 0)).unwrap();
    assert_eq!(desk.book.order().unwrap().award, Some(Award::Whole(pid("p2"))));
}

/// The deadline passed while the award was pending, so the order expires at the next tick.
#[test]
fn awards_undone_late_leave_expired_order() {
    let mut desk = two_proposals();
    desk.now += i64::try_from(LIFE_MS).unwrap() - 1;
    desk.act(award("p1", 5_000)).unwrap();
    desk.now += 2;
    desk.act(UNDO).unwrap();
    desk.act(Act::Tick).unwrap();
    assert_eq!(desk.phase(), Phase::Expired);
}

#[test]
fn immediate_awards_cannot_be_undone() {
    let mut desk = two_proposals();
    assert_eq!(desk.refused(UNDO), Reason::AwardNotPending);
    desk.act(award("p1", 0)).unwrap();
    assert_eq!(desk.refused(UNDO), Reason::AwardNotPending);
}

/// A second award is refused while the first is pending, and after it has taken effect.
#[test]
fn second_awards_are_refused() {
    let mut desk = two_proposals();
    desk.act(award("p1", 5_000)).unwrap();
    assert_eq!(desk.refused(award("p2", 5_000)), Reason::AwardPending);
    desk.act(award("p1", 9_000)).unwrap();
    assert_eq!(desk.book.deadline(), Some(Timestamp(T0).plus_ms(5_000)), "the same one stands");
    assert_eq!(desk.refused(award("p1", 0)), Reason::AwardPending, "it does not count at once");
    desk.now += 5_000;
    assert_eq!(desk.refused_late(award("p2", 0)), Reason::AlreadyAwarded);
    desk.act(award("p1", 0)).unwrap();
}

/// Award against amend, withdraw, propose and lock: the one that comes second is refused.
#[test]
fn pending_awards_freeze_proposals() {
    let withdraw = Act::Withdraw { proposal_id: pid("p1"), reason: None };
    for act in [amend("p1", "a", "1"), withdraw, propose("p3", "c"), lock("p1", "a", 1_000)] {
        let mut desk = two_proposals();
        desk.act(award("p1", 5_000)).unwrap();
        assert_eq!(desk.refused(act.clone()), Reason::AwardPending, "{act:?}");
        desk.act(UNDO).unwrap();
        desk.act(act).unwrap();
    }
}

#[test]
fn withdrawn_proposals_cannot_win() {
    let mut desk = two_proposals();
    desk.act(Act::Withdraw { proposal_id: pid("p1"), reason: None }).unwrap();
    assert_eq!(desk.refused(award("p1", 5_000)), Reason::ProposalEnded);
}

/// The order ends, and nobody wins.
#[test]
fn cancel_and_close_drop_pending_awards() {
    for (act, phase) in [(cancel(), Phase::Cancelled), (Act::Close { reason: None }, Phase::Closed)]
    {
        let mut desk = two_proposals();
        desk.act(award("p1", 5_000)).unwrap();
        desk.act(act).unwrap();
        desk.now += 10_000;
        desk.act(Act::Tick).unwrap();
        let order = desk.book.order().unwrap();
        assert_eq!((order.phase, &order.award, &order.pending_award), (phase, &None, &None));
    }
}

/// The refusal names the limit.
#[test]
fn undo_windows_have_a_limit() {
    let mut desk = two_proposals();
    let refusal = desk.act(award("p1", UNDO_WITHIN_MS_MAX + 1)).unwrap_err();
    assert_eq!(refusal.field.as_deref(), Some("undo_within_ms"));
    assert!(refusal.message.contains("86400000"), "{}", refusal.message);
}

#[test]
fn repeated_awards_and_undos_act_once() {
    let mut desk = two_proposals();
    let first = desk.keyed("k1", award("p1", 5_000)).unwrap();
    assert_eq!(desk.keyed("k1", award("p1", 5_000)).unwrap(), first);
    let undone = desk.keyed("k2", UNDO).unwrap();
    assert_eq!(desk.keyed("k2", UNDO).unwrap(), undone);
    // The first award's repetition does not restore it.
    assert_eq!(desk.keyed("k1", award("p1", 5_000)).unwrap(), first);
    assert_eq!(desk.book.order().unwrap().pending_award, None);
    assert_eq!(desk.stored.len(), 6);
    assert_eq!(desk.reborn(), desk.book);
}

fn with_items(skus: &[&str]) -> Desk {
    let item = |sku: &&str| Item {
        sku: (*sku).to_owned(),
        description: None,
        quantity: Quantity::parse("1").unwrap(),
        unit: None,
    };
    let spec = OrderSpec {
        expires_in_ms: LIFE_MS,
        items: skus.iter().map(item).collect(),
        ..OrderSpec::default()
    };
    let incarnation = Incarnation::new("uid-1").unwrap();
    let mut desk = Desk::closed();
    let opening = Opening { incarnation, spec, choices: Vec::new() };
    desk.act(Act::Open(Box::new(opening))).unwrap();
    desk
}

fn offer_lines(id: &str, by: &str, skus: &[&str]) -> Act {
    let line = |sku: &&str| crate::command::ProposalLine {
        sku: (*sku).to_owned(),
        quantity: Quantity::parse("1").unwrap(),
        unit: None,
        price: Price::parse("5", "EUR").unwrap(),
    };
    let lines = skus.iter().map(line).collect();
    Act::Propose(Proposed { lines, ..offer(Some(id), by, "10") })
}

fn per_line(lines: &[(&str, &str)]) -> Act {
    let lines = lines.iter().map(|(sku, id)| ((*sku).to_owned(), pid(id))).collect();
    Act::Finalise { award: Some(Award::Lines(lines)), reason: None, undo_within_ms: None }
}

/// One step awards all lines, and closes the proposals without a line.
#[test]
fn lines_go_to_several_proposals() {
    let mut desk = with_items(&["chair", "desk"]);
    desk.act(offer_lines("p1", "a", &["chair"])).unwrap();
    desk.act(offer_lines("p2", "b", &["chair", "desk"])).unwrap();
    desk.act(propose("p3", "c")).unwrap();
    desk.act(per_line(&[("chair", "p1"), ("desk", "p2")])).unwrap();
    assert_eq!(&desk.words()[5..], ["ProposalClosed", "OrderFinalised"]);
    assert_eq!(desk.stored[5].kind.proposal_id(), Some(&pid("p3")));
}

/// The refusal names the line.
#[test]
fn wrong_lines_refuse_whole_award() {
    let cases: [(&[(&str, &str)], &str); 3] = [
        (&[("chair", "p2"), ("desk", "p1")], "lines[1].sku"),
        (&[("chair", "p1"), ("chair", "p2")], "lines[1].sku"),
        (&[("lamp", "p2")], "lines[0].sku"),
    ];
    for (lines, field) in cases {
        let mut desk = with_items(&["chair", "desk"]);
        desk.act(offer_lines("p1", "a", &["chair"])).unwrap();
        desk.act(offer_lines("p2", "b", &["chair", "desk"])).unwrap();
        let refusal = desk.act(per_line(lines)).unwrap_err();
        assert_eq!(refusal.field.as_deref(), Some(field), "{lines:?}: {}", refusal.message);
        assert_eq!(desk.phase(), Phase::Open);
    }
}
