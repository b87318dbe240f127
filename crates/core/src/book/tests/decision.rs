//! Tests of awards: whole and per line, undone in time, and their races with other commands.

use super::*;
use crate::limits::UNDO_WITHIN_MS_MAX;
use crate::order::ProposalPhase;
use crate::price::Quantity;
use crate::spec::Item;

pub(super) fn award(id: &str, undo_within_ms: u64) -> CommandKind {
    CommandKind::Finalise {
        award: Some(Award::Whole(proposal_id(id))),
        reason: None,
        undo_within_ms: Some(undo_within_ms),
    }
}

pub(super) const UNDO: CommandKind = CommandKind::UndoAward { reason: None };

fn two_proposals() -> BookHarness {
    let mut harness = BookHarness::open();
    harness.run(propose("p1", "a")).unwrap();
    harness.run(propose("p2", "b")).unwrap();
    harness
}

#[test]
fn awards_close_losers_then_end_order() {
    let mut harness = two_proposals();
    let reply = harness.run(award("p2", 0)).unwrap();
    assert_eq!(&harness.event_names()[4..], ["ProposalClosed", "OrderFinalised"]);
    assert_eq!((reply.seq, reply.phase), (Seq(6), Phase::Finalised));
    let order = harness.book.order().unwrap();
    assert_eq!(order.proposals[&proposal_id("p1")].phase, ProposalPhase::Closed);
    assert_eq!(order.proposals[&proposal_id("p2")].phase, ProposalPhase::Open);
}

/// The order's end has the buyer's reason.
#[test]
fn no_award_closes_no_proposals() {
    let mut harness = two_proposals();
    let reason = Some("the budget was cut".to_owned());
    let kind = CommandKind::Finalise { award: None, reason: reason.clone(), undo_within_ms: None };
    harness.run(kind).unwrap();
    let last = &harness.stored.last().unwrap().kind;
    assert_eq!(*last, EventKind::OrderFinalised { award: None, reason });
    assert_eq!(harness.stored.len(), 5);
}

#[test]
fn pending_awards_take_effect_on_time() {
    let mut harness = two_proposals();
    harness.run(award("p1", 5_000)).unwrap();
    assert_eq!(harness.event_names().last(), Some(&"AwardPending"));
    assert_eq!(harness.book.deadline(), Some(Timestamp(T0).plus_ms(5_000)));
    harness.now += 4_999;
    harness.run(CommandKind::Tick).unwrap();
    assert_eq!(harness.phase(), Phase::Open);
    harness.now += 1;
    harness.run(CommandKind::Tick).unwrap();
    assert_eq!(&harness.event_names()[5..], ["ProposalClosed", "OrderFinalised"]);
    assert_eq!(harness.expect_refusal(UNDO), Reason::AwardNotPending);
}

#[test]
fn pending_awards_outlive_the_deadline() {
    let mut harness = two_proposals();
    harness.now += i64::try_from(LIFETIME_MS).unwrap() - 1;
    harness.run(award("p1", 5_000)).unwrap();
    harness.now += 4_000;
    harness.run(CommandKind::Tick).unwrap();
    assert_eq!(harness.phase(), Phase::Open);
    harness.now += 1_000;
    harness.run(CommandKind::Tick).unwrap();
    assert_eq!(harness.phase(), Phase::Finalised);
}

/// The order has its former deadline, and takes amendments again.
#[test]
fn undone_awards_allow_another() {
    let mut harness = two_proposals();
    harness.run(award("p1", 5_000)).unwrap();
    harness.run(UNDO).unwrap();
    assert_eq!(harness.event_names().last(), Some(&"AwardUndone"));
    assert_eq!(harness.book.deadline(), Some(Timestamp(T0).plus_ms(LIFETIME_MS)));
    harness.run(amend("p1", "a", "7")).unwrap();
    harness.run(award("p2", 0)).unwrap();
    assert_eq!(harness.book.order().unwrap().award, Some(Award::Whole(proposal_id("p2"))));
}

/// The deadline passed while the award was pending, so the buyer decides anew from the next tick: as
/// long as the order says, and at least until the award would have counted. The last column is the
/// end of that time, after the deadline.
#[test]
fn awards_undone_late_leave_a_decision() {
    const MINUTE: i64 = 60_000;
    for (decide_within, awarded, undo_within, undone, ends) in [
        // The time to decide is over at the undo, or there is none.
        (60 * MINUTE, 55 * MINUTE, 15 * MINUTE, 65 * MINUTE, 70 * MINUTE),
        (60 * MINUTE, -5 * MINUTE, 70 * MINUTE, 62 * MINUTE, 65 * MINUTE),
        (0, -1, 5_000, 1, 4_999),
        (0, -1, 5_000, 4_998, 4_999),
        // The order gives more.
        (60 * MINUTE, -1, 5_000, 1, 60 * MINUTE),
        (60 * MINUTE, 5 * MINUTE, 15 * MINUTE, 10 * MINUTE, 60 * MINUTE),
    ] {
        let spec = OrderSpec {
            expires_in_ms: 60 * MINUTE.unsigned_abs(),
            decide_within_ms: Some(decide_within.unsigned_abs()),
            ..OrderSpec::default()
        };
        let deadline = T0 + 60 * MINUTE;
        let incarnation = Incarnation::new("uid-1").unwrap();
        let opening = OrderOpening { incarnation, spec, choices: Vec::new() };
        let mut harness = BookHarness::closed();
        harness.run(CommandKind::Open(Box::new(opening))).unwrap();
        harness.run(propose("p1", "a")).unwrap();
        harness.run(propose("p2", "b")).unwrap();
        harness.now = deadline + awarded;
        harness.run(award("p1", undo_within.unsigned_abs())).unwrap();
        harness.now = deadline + undone;
        harness.run(UNDO).unwrap();
        harness.run(CommandKind::Tick).unwrap();
        let found = (harness.phase(), harness.book.deadline());
        assert_eq!(found, (Phase::Deciding, Some(Timestamp(deadline + ends))), "{undone}");
        let mut expired = harness.clone();
        harness.now = deadline + ends - 1;
        harness.run(award("p2", 0)).unwrap();
        assert_eq!(harness.phase(), Phase::Finalised);
        expired.now = deadline + ends;
        expired.run(CommandKind::Tick).unwrap();
        assert_eq!(expired.phase(), Phase::Expired);
    }
}

/// There is nothing to decide without a proposal.
#[test]
fn undone_awards_to_nobody_leave_no_decision() {
    let mut harness = BookHarness::open();
    harness.now += i64::try_from(LIFETIME_MS).unwrap() - 1;
    let nobody = CommandKind::Finalise { award: None, reason: None, undo_within_ms: Some(5_000) };
    harness.run(nobody).unwrap();
    harness.now += 2;
    harness.run(UNDO).unwrap();
    harness.run(CommandKind::Tick).unwrap();
    assert_eq!(harness.phase(), Phase::Expired);
}

#[test]
fn immediate_awards_cannot_be_undone() {
    let mut harness = two_proposals();
    assert_eq!(harness.expect_refusal(UNDO), Reason::AwardNotPending);
    harness.run(award("p1", 0)).unwrap();
    assert_eq!(harness.expect_refusal(UNDO), Reason::AwardNotPending);
}

/// A second award is refused while the first is pending, and after it has taken effect.
#[test]
fn second_awards_are_refused() {
    let mut harness = two_proposals();
    harness.run(award("p1", 5_000)).unwrap();
    assert_eq!(harness.expect_refusal(award("p2", 5_000)), Reason::AwardPending);
    harness.run(award("p1", 9_000)).unwrap();
    assert_eq!(harness.book.deadline(), Some(Timestamp(T0).plus_ms(5_000)), "the same one stands");
    assert_eq!(
        harness.expect_refusal(award("p1", 0)),
        Reason::AwardPending,
        "it does not count at once"
    );
    harness.now += 5_000;
    assert_eq!(harness.expect_late_refusal(award("p2", 0)), Reason::AlreadyAwarded);
    harness.run(award("p1", 0)).unwrap();
}

/// Award against amend, withdraw, propose and lock: the one that comes second is refused.
#[test]
fn pending_awards_freeze_proposals() {
    let kinds = [amend("p1", "a", "1"), withdraw("p1"), propose("p3", "c"), lock("p1", "a", 1_000)];
    for kind in kinds {
        let mut harness = two_proposals();
        harness.run(award("p1", 5_000)).unwrap();
        assert_eq!(harness.expect_refusal(kind.clone()), Reason::AwardPending, "{kind:?}");
        harness.run(UNDO).unwrap();
        harness.run(kind).unwrap();
    }
}

#[test]
fn withdrawn_proposals_cannot_win() {
    let mut harness = two_proposals();
    harness.run(withdraw("p1")).unwrap();
    assert_eq!(harness.expect_refusal(award("p1", 5_000)), Reason::ProposalEnded);
}

/// The order ends, and nobody wins.
#[test]
fn cancel_and_close_drop_pending_awards() {
    for (kind, phase) in
        [(cancel(), Phase::Cancelled), (CommandKind::Close { reason: None }, Phase::Closed)]
    {
        let mut harness = two_proposals();
        harness.run(award("p1", 5_000)).unwrap();
        harness.run(kind).unwrap();
        harness.now += 10_000;
        harness.run(CommandKind::Tick).unwrap();
        let order = harness.book.order().unwrap();
        assert_eq!((order.phase, &order.award, &order.pending_award), (phase, &None, &None));
    }
}

/// The refusal names the limit.
#[test]
fn undo_windows_have_a_limit() {
    let mut harness = two_proposals();
    harness.clone().run(award("p1", UNDO_WITHIN_MS_MAX)).unwrap();
    let refusal = harness.run(award("p1", UNDO_WITHIN_MS_MAX + 1)).unwrap_err();
    assert_eq!(refusal.field.as_deref(), Some("undo_within_ms"));
    assert!(refusal.message.contains("86400000"), "{}", refusal.message);
}

#[test]
fn repeated_awards_and_undos_act_once() {
    let mut harness = two_proposals();
    let first = harness.run_keyed("k1", award("p1", 5_000)).unwrap();
    assert_eq!(harness.run_keyed("k1", award("p1", 5_000)).unwrap(), first);
    let undone = harness.run_keyed("k2", UNDO).unwrap();
    assert_eq!(harness.run_keyed("k2", UNDO).unwrap(), undone);
    // The first award's repetition does not restore it.
    assert_eq!(harness.run_keyed("k1", award("p1", 5_000)).unwrap(), first);
    assert_eq!(harness.book.order().unwrap().pending_award, None);
    assert_eq!(harness.stored.len(), 6);
    assert_eq!(harness.replayed(), harness.book);
}

fn with_items(skus: &[&str]) -> BookHarness {
    let item = |sku: &&str| Item {
        sku: (*sku).to_owned(),
        description: None,
        quantity: Quantity::parse("1").unwrap(),
        unit: None,
        line: None,
    };
    let spec = OrderSpec {
        expires_in_ms: LIFETIME_MS,
        items: skus.iter().map(item).collect(),
        ..OrderSpec::default()
    };
    let incarnation = Incarnation::new("uid-1").unwrap();
    let mut harness = BookHarness::closed();
    let opening = OrderOpening { incarnation, spec, choices: Vec::new() };
    harness.run(CommandKind::Open(Box::new(opening))).unwrap();
    harness
}

fn propose_lines(id: &str, by: &str, skus: &[&str]) -> CommandKind {
    let line = |sku: &&str| crate::command::ProposalLine {
        sku: (*sku).to_owned(),
        quantity: Quantity::parse("1").unwrap(),
        unit: None,
        price: Price::parse("5", "EUR").unwrap(),
        line: None,
        substitutes: None,
    };
    let lines = skus.iter().map(line).collect();
    CommandKind::Propose(ProposalContent { lines, ..proposal_content(Some(id), by, "10") })
}

fn award_lines(lines: &[(&str, &str)]) -> CommandKind {
    let lines = lines.iter().map(|(sku, id)| ((*sku).to_owned(), proposal_id(id))).collect();
    CommandKind::Finalise { award: Some(Award::Lines(lines)), reason: None, undo_within_ms: None }
}

/// One step awards all lines, and closes the proposals without a line.
#[test]
fn lines_go_to_several_proposals() {
    let mut harness = with_items(&["chair", "desk"]);
    harness.run(propose_lines("p1", "a", &["chair"])).unwrap();
    harness.run(propose_lines("p2", "b", &["chair", "desk"])).unwrap();
    harness.run(propose("p3", "c")).unwrap();
    harness.run(award_lines(&[("chair", "p1"), ("desk", "p2")])).unwrap();
    assert_eq!(&harness.event_names()[5..], ["ProposalClosed", "OrderFinalised"]);
    assert_eq!(harness.stored[5].kind.proposal_id(), Some(&proposal_id("p3")));
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
        let mut harness = with_items(&["chair", "desk"]);
        harness.run(propose_lines("p1", "a", &["chair"])).unwrap();
        harness.run(propose_lines("p2", "b", &["chair", "desk"])).unwrap();
        let refusal = harness.run(award_lines(lines)).unwrap_err();
        assert_eq!(refusal.field.as_deref(), Some(field), "{lines:?}: {}", refusal.message);
        assert_eq!(harness.phase(), Phase::Open);
    }
}

/// A line is awarded by its name, and a substitute with the line that it is for.
#[test]
fn named_lines_are_awarded_by_name() {
    let item = |line: &str| Item {
        sku: "desk".to_owned(),
        description: None,
        quantity: Quantity::parse("1").unwrap(),
        unit: None,
        line: Some(line.to_owned()),
    };
    let items = vec![item("ground"), item("first")];
    let spec = OrderSpec { items, expires_in_ms: LIFETIME_MS, ..OrderSpec::default() };
    let incarnation = Incarnation::new("uid-1").unwrap();
    let opening = OrderOpening { incarnation, spec, choices: Vec::new() };
    let mut harness = BookHarness::closed();
    harness.run(CommandKind::Open(Box::new(opening))).unwrap();
    let line = |sku: &str, line: &str, substitutes: Option<&str>| crate::command::ProposalLine {
        sku: sku.to_owned(),
        quantity: Quantity::parse("1").unwrap(),
        unit: None,
        price: Price::parse("5", "EUR").unwrap(),
        line: Some(line.to_owned()),
        substitutes: substitutes.map(str::to_owned),
    };
    let lines = vec![line("desk", "ground", None), line("table", "first", Some("desk"))];
    let offered = ProposalContent { lines, ..proposal_content(Some("p1"), "a", "10") };
    harness.run(CommandKind::Propose(offered)).unwrap();
    for (key, text) in [
        ("desk", "desk is not an item of the order; name the line: ground, first"),
        ("table", "table is not an item of the order"),
    ] {
        let refusal = harness.run(award_lines(&[(key, "p1")])).unwrap_err();
        assert_eq!(refusal.message, text);
    }
    harness.run(award_lines(&[("ground", "p1"), ("first", "p1")])).unwrap();
}
