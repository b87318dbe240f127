//! Tests of opening, pause, extension, expiry and the four ends.

use super::decision::{UNDO, award};
use super::*;
use crate::book::{check_after_end_phase, outcome_after_end};
use crate::limits::{DECIDE_WITHIN_MS_DEFAULT, END_EVENTS_RESERVED};

const LIFETIME: i64 = LIFETIME_MS as i64;

/// The book has the order's deadline then.
#[test]
fn openings_cause_two_events() {
    let harness = BookHarness::open();
    assert_eq!(harness.event_names(), ["OrderOpened", "SellersSelected"]);
    assert_eq!(harness.book.deadline(), Some(Timestamp(T0).plus_ms(LIFETIME_MS)));
}

#[test]
fn repeated_openings_change_nothing() {
    let mut harness = BookHarness::open();
    assert_eq!(harness.run(opening("uid-1")).unwrap().seq, Seq(2));
    assert_eq!(harness.event_names().len(), 2);
}

/// The refusal names the incarnation that exists.
#[test]
fn other_incarnations_cannot_open() {
    let mut harness = BookHarness::open();
    let refusal = harness.run(opening("uid-2")).unwrap_err();
    assert_eq!(refusal.reason, Reason::OrderExists);
    assert!(refusal.metadata.contains(&("incarnation".to_owned(), "uid-1".to_owned())));
}

#[test]
fn commands_for_other_incarnations_find_nothing() {
    let mut harness = BookHarness::open();
    let incarnation = Some(Incarnation::new("uid-2").unwrap());
    let command = Command { incarnation, ..Command::bare(cancel()) };
    assert_eq!(harness.step(&command).unwrap_err().reason, Reason::OrderNotFound);
    assert_eq!(harness.phase(), Phase::Open);
}

#[test]
fn unopened_orders_are_not_found() {
    for kind in sample_commands() {
        let mut harness = BookHarness::closed();
        assert_eq!(harness.expect_refusal(kind.clone()), Reason::OrderNotFound, "{kind:?}");
    }
}

/// They take no amendments or locks either, until they are resumed.
#[test]
fn paused_orders_take_no_proposals() {
    for kind in [propose("p2", "b"), amend("p1", "a", "9"), lock("p1", "a", 1_000)] {
        let mut harness = BookHarness::open();
        harness.run(propose("p1", "a")).unwrap();
        harness.run(pause()).unwrap();
        assert_eq!(harness.expect_refusal(kind.clone()), Reason::OrderPaused, "{kind:?}");
        harness.run(CommandKind::Resume).unwrap();
        harness.run(kind).unwrap();
    }
}

/// They take declines and follow-ups as well.
#[test]
fn paused_orders_take_withdrawals() {
    let decline = CommandKind::Decline { seller: seller("b"), reason: None };
    for kind in [withdraw("p1"), decline, follow_up("f")] {
        let mut harness = BookHarness::open();
        harness.run(propose("p1", "a")).unwrap();
        harness.run(pause()).unwrap();
        harness.run(kind).unwrap();
        assert_eq!(harness.phase(), Phase::Paused);
    }
}

/// Repeated resumes change nothing either.
#[test]
fn repeated_pauses_change_nothing() {
    let mut harness = BookHarness::open();
    for kind in [CommandKind::Resume, pause(), pause(), CommandKind::Resume, CommandKind::Resume] {
        harness.run(kind).unwrap();
    }
    assert_eq!(harness.event_names()[2..], ["OrderPaused", "OrderResumed"]);
}

/// A lifetime counts from the opening.
#[test]
fn lifetimes_grow_and_never_shrink() {
    let cases = [
        (LIFETIME_MS + 1, None),
        (LIFETIME_MS, None),
        (EXPIRES_IN_MS_MAX, None),
        (LIFETIME_MS - 1, Some(Reason::ExpiryShrinks)),
        (0, Some(Reason::InvalidField)),
        (EXPIRES_IN_MS_MAX + 1, Some(Reason::InvalidField)),
    ];
    for (expires_in_ms, refused) in cases {
        let mut harness = BookHarness::open();
        harness.now = T0 + 10;
        let result = harness.run(CommandKind::Extend { expires_in_ms });
        assert_eq!(result.as_ref().err().map(|e| e.reason), refused, "{expires_in_ms}");
        match result {
            Ok(_) => {
                let deadline = Timestamp(T0).plus_ms(expires_in_ms);
                assert_eq!(harness.book.deadline(), Some(deadline));
            }
            Err(refusal) => assert_eq!(refusal.field.as_deref(), Some("expires_in_ms")),
        }
    }
}

#[test]
fn orders_expire_exactly_at_deadline() {
    let mut harness = BookHarness::open();
    harness.now = T0 + LIFETIME - 1;
    harness.run(CommandKind::Tick).unwrap();
    assert_eq!(harness.phase(), Phase::Open);
    harness.now = T0 + LIFETIME;
    harness.run(CommandKind::Tick).unwrap();
    assert_eq!((harness.phase(), harness.book.deadline()), (Phase::Expired, None));
}

/// The clock may be checked often, and may jump.
#[test]
fn orders_expire_only_once() {
    let mut harness = BookHarness::open();
    for jump in [LIFETIME, -3_600_000, 3_600_000, LIFETIME + 1] {
        harness.now = T0 + jump;
        harness.run(CommandKind::Tick).unwrap();
    }
    assert_eq!(harness.event_names()[2..], ["OrderPaused"]);
}

/// No tick is needed first.
#[test]
fn late_commands_find_orders_expired() {
    let mut harness = BookHarness::open();
    harness.now = T0 + LIFETIME;
    let refusal = harness.run(propose("p1", "a")).unwrap_err();
    assert_eq!(refusal.reason, Reason::DeadlinePassed);
    let last = &harness.stored.last().unwrap().kind;
    assert!(matches!(last, EventKind::OrderPaused { expired: true, .. }));
}

/// They expire at the extended deadline.
#[test]
fn extended_paused_orders_expire_later() {
    let mut harness = BookHarness::open();
    harness.run(pause()).unwrap();
    harness.run(CommandKind::Extend { expires_in_ms: LIFETIME_MS * 2 }).unwrap();
    harness.now = T0 + LIFETIME;
    harness.run(CommandKind::Tick).unwrap();
    assert_eq!(harness.phase(), Phase::Paused);
    harness.now = T0 + LIFETIME * 2;
    harness.run(CommandKind::Tick).unwrap();
    assert_eq!(harness.phase(), Phase::Expired);
}

/// Returns each end: the command, its phase, and the reason of every refusal after it.
fn ends() -> [(CommandKind, Phase, Reason); 4] {
    [
        (close(), Phase::Closed, Reason::OrderEnded),
        (finalise(None), Phase::Finalised, Reason::OrderEnded),
        (cancel(), Phase::Cancelled, Reason::OrderEnded),
        (CommandKind::Tick, Phase::Expired, Reason::DeadlinePassed),
    ]
}

fn ended(end: &CommandKind) -> BookHarness {
    let mut harness = BookHarness::open();
    harness.run(propose("p1", "a")).unwrap();
    harness.run(follow_up("f1")).unwrap();
    let undecided = LIFETIME + i64::try_from(DECIDE_WITHIN_MS_DEFAULT).unwrap();
    harness.now = T0 + if *end == CommandKind::Tick { undecided } else { 5 };
    harness.run(end.clone()).unwrap();
    harness
}

/// A refused command leaves no event.
#[test]
fn ended_orders_refuse_other_commands() {
    for (end, phase, reason) in ends() {
        // A command that was done before the end can be repeated.
        let is_new = |kind: &CommandKind| *kind != end && *kind != follow_up("f1");
        for kind in sample_commands().into_iter().filter(is_new) {
            let mut harness = ended(&end);
            assert_eq!(harness.expect_refusal(kind.clone()), reason, "{kind:?} after {end:?}");
            assert_eq!(harness.phase(), phase);
        }
    }
}

#[test]
fn ends_can_be_repeated() {
    for (end, phase, _) in ends() {
        let mut harness = ended(&end);
        let events = harness.stored.len();
        harness.run(end).unwrap();
        harness.run(opening("uid-1")).unwrap();
        assert_eq!((harness.stored.len(), harness.phase()), (events, phase));
    }
}

#[test]
fn awards_never_change_after_end() {
    let mut harness = BookHarness::open();
    harness.run(propose("p1", "a")).unwrap();
    harness.run(propose("p2", "b")).unwrap();
    harness.run(finalise(Some("p1"))).unwrap();
    harness.run(finalise(Some("p1"))).unwrap();
    for other in [None, Some("p2")] {
        assert_eq!(harness.expect_refusal(finalise(other)), Reason::AlreadyAwarded, "{other:?}");
    }
    assert_eq!(harness.book.order().unwrap().award, Some(Award::Whole(proposal_id("p1"))));
}

#[test]
fn only_open_proposals_can_win() {
    let mut harness = BookHarness::open();
    harness.run(propose("p1", "a")).unwrap();
    harness.run(withdraw("p1")).unwrap();
    assert_eq!(harness.expect_refusal(finalise(Some("p1"))), Reason::ProposalEnded);
    assert_eq!(harness.expect_refusal(finalise(Some("p2"))), Reason::ProposalNotFound);
    let award = Some(Award::Lines(vec![("bolt".to_owned(), proposal_id("p1"))]));
    assert_eq!(
        harness.expect_refusal(CommandKind::Finalise { award, reason: None, undo_within_ms: None }),
        Reason::ProposalEnded
    );
}

#[test]
fn event_times_never_run_back() {
    let mut harness = BookHarness::open();
    for (n, jump) in [5_000, -3_600_000, 10].into_iter().enumerate() {
        harness.now = T0 + jump;
        harness.run(propose(&format!("p{n}"), &format!("s{n}"))).unwrap();
    }
    let times: Vec<i64> = harness.stored.iter().map(|event| event.at.0 - T0).collect();
    assert_eq!(times, [0, 0, 5_000, 5_000, 5_000]);
}

#[test]
fn full_lists_take_only_ends() {
    let full = || {
        let mut harness = BookHarness::open();
        harness.run(propose("p1", "a")).unwrap();
        harness.book.order.as_mut().unwrap().last_seq = Seq(EVENTS_MAX - END_EVENTS_RESERVED);
        harness
    };
    assert_eq!(full().expect_refusal(amend("p1", "a", "9")), Reason::LimitReached);
    assert_eq!(full().expect_refusal(pause()), Reason::LimitReached);
    full().run(CommandKind::Tick).expect("a look at the clock adds nothing");
    full().run(propose("p1", "a")).expect("a repetition adds nothing");
    for end in [close(), finalise(Some("p1")), cancel()] {
        let mut harness = full();
        assert!(harness.run(end).unwrap().seq <= Seq(EVENTS_MAX));
        assert!(harness.phase().is_terminal());
    }
    // A pending award cannot be undone then, and still has its sequence number when it takes
    // effect.
    let mut harness = full();
    harness.run(award("p1", 5_000)).unwrap();
    assert_eq!(harness.expect_refusal(UNDO), Reason::LimitReached);
    harness.now += 5_000;
    harness.run(CommandKind::Tick).unwrap();
    assert_eq!(harness.phase(), Phase::Finalised);
    assert!(harness.book.last_seq() <= Seq(EVENTS_MAX));
}

/// Tries every command of a buyer, and ends caused by others. Where the end settles a command's
/// outcome, it agrees with the owner's record of the key, whether the command was accepted or not.
#[test]
fn ends_settle_commands_as_keys_do() {
    let kinds = [
        pause(),
        CommandKind::Resume,
        CommandKind::Extend { expires_in_ms: LIFETIME_MS * 2 },
        follow_up("f1"),
        award("p1", 0),
        award("p1", 60_000),
        finalise(None),
        UNDO,
        close(),
        cancel(),
    ];
    let ends = [cancel(), close(), award("p1", 0), award("p2", 0), finalise(None)];
    let mut settled_count = 0;
    for (kind, end) in kinds.iter().flat_map(|act| ends.iter().map(move |end| (act, end))) {
        for is_sent in [false, true] {
            let mut harness = BookHarness::open();
            harness.run(propose("p1", "a")).unwrap();
            harness.run(propose("p2", "b")).unwrap();
            if is_sent {
                drop(harness.run_keyed("k1", kind.clone()));
            }
            drop(harness.run(end.clone()));
            assert_eq!(outcome_after_end(harness.book.order().unwrap(), &CommandKind::Tick), None);
            let Some(settled) = outcome_after_end(harness.book.order().unwrap(), kind) else {
                continue;
            };
            let recorded = harness.run_keyed("k1", kind.clone()).map(drop);
            assert_eq!(settled, recorded, "{kind:?} {end:?} {is_sent}");
            settled_count += 1;
        }
    }
    assert!(settled_count > 50, "{settled_count} cases were told");
}

/// Such an award may have been accepted and pending, and then undone or dropped by another end.
/// Every other award is settled by another end.
#[test]
fn ends_leave_possible_pending_awards_unsettled() {
    let ended_after = |kinds: &[CommandKind]| {
        let mut harness = BookHarness::open();
        for kind in [propose("p1", "a")].iter().chain(kinds).chain(&[cancel()]) {
            harness.run(kind.clone()).unwrap();
        }
        harness.book.order().unwrap().clone()
    };
    let cancelled = ended_after(&[]);
    for (order, kind, is_settled) in [
        (&cancelled, award("p1", 0), true),
        (&cancelled, finalise(Some("p1")), true),
        (&cancelled, award("p1", 1), false),
        (&cancelled, award("p1", 2), false),
        (&ended_after(&[award("p1", 1_000), UNDO]), finalise(Some("p1")), false),
        (
            &ended_after(&[award("p1", 1_000), UNDO, award("p1", 1_000), UNDO]),
            finalise(None),
            false,
        ),
    ] {
        let outcome = outcome_after_end(order, &kind);
        assert_eq!(outcome.is_some(), is_settled, "{kind:?}");
        assert!(outcome.is_none_or(|result| result.is_err()), "{kind:?}");
    }
    assert_eq!(check_after_end_phase(Phase::Cancelled, None, &cancel()), Ok(()));
    let refusal = check_after_end_phase(Phase::Cancelled, None, &close()).unwrap_err();
    assert_eq!(refusal.message, "the order is Cancelled; nothing more is taken");
}
