//! Tests of the time after the deadline, in which the buyer decides.

use super::decision::{UNDO, award};
use super::*;
use crate::event::ProposalUpdate;
use crate::limits::{DECIDE_WITHIN_MS_DEFAULT, DECIDE_WITHIN_MS_MAX, UNDO_WITHIN_MS_MAX};

const LIFETIME: i64 = LIFETIME_MS as i64;
const DECIDE_WITHIN: i64 = 60_000;

/// Opens an order that gives its buyer this time to decide.
fn open_with(decide_within_ms: Option<u64>) -> BookHarness {
    let spec = OrderSpec { expires_in_ms: LIFETIME_MS, decide_within_ms, ..OrderSpec::default() };
    let incarnation = Incarnation::new("uid-1").unwrap();
    let mut harness = BookHarness::closed();
    let opening = OrderOpening { incarnation, spec, choices: Vec::new() };
    harness.run(CommandKind::Open(Box::new(opening))).unwrap();
    harness
}

fn with_proposal() -> BookHarness {
    let mut harness = open_with(Some(DECIDE_WITHIN.unsigned_abs()));
    harness.run(propose("p1", "a")).unwrap();
    harness
}

fn deciding() -> BookHarness {
    let mut harness = with_proposal();
    harness.now = T0 + LIFETIME;
    harness.run(CommandKind::Tick).unwrap();
    assert_eq!(harness.phase(), Phase::Deciding);
    harness
}

/// Returns the commands that only an order before its deadline takes.
fn early_commands() -> [CommandKind; 8] {
    [
        propose("p2", "b"),
        amend("p1", "a", "9"),
        withdraw("p1"),
        lock("p1", "a", 1_000),
        ask("b", "q1"),
        pause(),
        CommandKind::Resume,
        CommandKind::Extend { expires_in_ms: 2 * LIFETIME_MS },
    ]
}

/// Others expire at their deadline: those without a proposal that can be awarded, and those that
/// give no time. An order that does not say gives 30 days.
#[test]
fn orders_with_proposals_wait_for_decisions() {
    let deciding = |decide_within_ms| {
        let decide_by = Timestamp(T0).plus_ms(LIFETIME_MS + decide_within_ms);
        (Phase::Deciding, Some(decide_by))
    };
    let (expired, max) = ((Phase::Expired, None), DECIDE_WITHIN_MS_MAX);
    let cases: [(_, Vec<CommandKind>, _); 7] = [
        (Some(1), vec![propose("p1", "a")], deciding(1)),
        (Some(max), vec![propose("p1", "a")], deciding(max)),
        (Some(1), vec![propose("p1", "a"), pause()], deciding(1)),
        (None, vec![propose("p1", "a")], deciding(DECIDE_WITHIN_MS_DEFAULT)),
        (Some(0), vec![propose("p1", "a")], expired),
        (Some(max), Vec::new(), expired),
        (Some(max), vec![propose("p1", "a"), withdraw("p1")], expired),
    ];
    for (decide_within_ms, kinds, expected) in cases {
        let mut harness = open_with(decide_within_ms);
        for kind in kinds.clone() {
            harness.run(kind).unwrap();
        }
        harness.now = T0 + LIFETIME;
        harness.run(CommandKind::Tick).unwrap();
        let found = (harness.phase(), harness.book.deadline());
        assert_eq!(found, expected, "{decide_within_ms:?} {kinds:?}");
    }
}

#[test]
fn deciding_orders_are_awarded_or_ended() {
    for (kind, phase) in [
        (finalise(Some("p1")), Phase::Finalised),
        (finalise(None), Phase::Finalised),
        (close(), Phase::Closed),
        (cancel(), Phase::Cancelled),
    ] {
        let mut harness = deciding();
        harness.now += DECIDE_WITHIN - 1;
        harness.run(kind).unwrap();
        assert_eq!(harness.phase(), phase);
    }
}

#[test]
fn undecided_orders_expire_when_time_is_over() {
    let mut harness = deciding();
    harness.now += DECIDE_WITHIN - 1;
    harness.run(CommandKind::Tick).unwrap();
    assert_eq!(harness.phase(), Phase::Deciding);
    harness.now += 1;
    assert_eq!(harness.expect_late_refusal(finalise(Some("p1"))), Reason::DeadlinePassed);
    assert_eq!((harness.phase(), harness.book.deadline()), (Phase::Expired, None));
    assert_eq!(harness.event_names()[3..], ["OrderPaused", "OrderPaused"]);
}

/// An owner that was down over both times applies both, in their order.
#[test]
fn late_ticks_end_both_times() {
    let mut harness = with_proposal();
    harness.now = T0 + LIFETIME + DECIDE_WITHIN;
    harness.run(CommandKind::Tick).unwrap();
    let ends = harness.stored[3..].iter().map(|event| event.kind.ends());
    assert_eq!(ends.collect::<Vec<_>>(), [None, Some(Phase::Expired)]);
}

#[test]
fn deciding_orders_take_nothing_new() {
    for kind in early_commands() {
        assert_eq!(deciding().expect_refusal(kind.clone()), Reason::DeadlinePassed, "{kind:?}");
    }
}

#[test]
fn deciding_orders_still_take_messages() {
    let mut harness = deciding();
    harness.run(follow_up("f1")).unwrap();
    let decline = CommandKind::Decline { seller: seller("b"), reason: None };
    harness.run(decline).unwrap();
    let (seller, follow_up_id) = (seller("a"), FollowUpId::new("f1").unwrap());
    let answer = CommandKind::Answer { seller, follow_up_id, message: "soon".to_owned() };
    harness.run(answer).unwrap();
    let last = &harness.stored.last().unwrap().kind;
    assert!(matches!(last, EventKind::ProposalUpdate(ProposalUpdate::Answered { .. })));
}

/// The deadline passes also while an award waits to take effect; once it is undone, the buyer
/// decides anew, at least until it would have taken effect.
#[test]
fn pending_awards_do_not_move_deadlines() {
    for kind in early_commands() {
        let mut harness = with_proposal();
        harness.run(award("p1", 3 * LIFETIME_MS)).unwrap();
        harness.now = T0 + LIFETIME;
        assert_eq!(harness.expect_refusal(kind.clone()), Reason::DeadlinePassed, "{kind:?}");
        harness.run(UNDO).unwrap();
        assert_eq!(harness.expect_late_refusal(kind.clone()), Reason::DeadlinePassed, "{kind:?}");
        assert_eq!(harness.phase(), Phase::Deciding);
        assert_eq!(harness.book.order().unwrap().expires_at, Timestamp(T0 + LIFETIME));
        assert_eq!(harness.book.deadline(), Some(Timestamp(T0).plus_ms(3 * LIFETIME_MS)));
    }
}

/// Awards that are undone again and again leave no more time than an order can give.
#[test]
fn undone_awards_extend_decisions_to_a_limit() {
    let mut harness = open_with(Some(DECIDE_WITHIN_MS_MAX));
    harness.run(propose("p1", "a")).unwrap();
    harness.now = T0 + LIFETIME;
    harness.run(CommandKind::Tick).unwrap();
    let latest = Timestamp(T0).plus_ms(LIFETIME_MS + DECIDE_WITHIN_MS_MAX);
    for left_ms in [2, 1] {
        harness.now = latest.0 - left_ms;
        harness.run(award("p1", UNDO_WITHIN_MS_MAX)).unwrap();
        harness.run(UNDO).unwrap();
        assert_eq!((harness.phase(), harness.book.deadline()), (Phase::Deciding, Some(latest)));
    }
    harness.now = latest.0;
    harness.run(CommandKind::Tick).unwrap();
    assert_eq!(harness.phase(), Phase::Expired);
}

/// What an order refused once for its time, it does not take when the clock runs back.
#[test]
fn clocks_that_run_back_reopen_nothing() {
    for kind in early_commands() {
        let mut harness = with_proposal();
        harness.run(award("p1", 2 * LIFETIME_MS)).unwrap();
        harness.now = T0 + LIFETIME;
        harness.run(follow_up("f1")).unwrap();
        harness.now = T0 + 1;
        harness.run(UNDO).unwrap();
        assert_eq!(harness.expect_late_refusal(kind.clone()), Reason::DeadlinePassed, "{kind:?}");
        assert_eq!(harness.phase(), Phase::Deciding);
    }
}
