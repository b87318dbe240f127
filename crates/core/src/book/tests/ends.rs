//! Tests of opening, pause, extension, expiry and the four ends.

use super::decision::{UNDO, award};
use super::*;
use crate::book::{after_an_end, settled_by_the_end};
use crate::limits::EVENTS_OF_AN_END;

const LIFE: i64 = LIFE_MS as i64;

/// The book has the order's deadline then.
#[test]
fn openings_cause_two_events() {
    let desk = Desk::open();
    assert_eq!(desk.words(), ["OrderOpened", "SellersSelected"]);
    assert_eq!(desk.book.deadline(), Some(Timestamp(T0).plus_ms(LIFE_MS)));
}

#[test]
fn repeated_openings_change_nothing() {
    let mut desk = Desk::open();
    assert_eq!(desk.act(opening("uid-1")).unwrap().seq, Seq(2));
    assert_eq!(desk.words().len(), 2);
}

/// The refusal names the incarnation that exists.
#[test]
fn other_incarnations_cannot_open() {
    let mut desk = Desk::open();
    let refusal = desk.act(opening("uid-2")).unwrap_err();
    assert_eq!(refusal.reason, Reason::OrderExists);
    assert!(refusal.metadata.contains(&("incarnation".to_owned(), "uid-1".to_owned())));
}

#[test]
fn commands_for_other_incarnations_find_nothing() {
    let mut desk = Desk::open();
    let incarnation = Some(Incarnation::new("uid-2").unwrap());
    let command = Command { incarnation, ..Command::bare(cancel()) };
    assert_eq!(desk.step(&command).unwrap_err().reason, Reason::OrderNotFound);
    assert_eq!(desk.phase(), Phase::Open);
}

#[test]
fn unopened_orders_are_not_found() {
    for act in one_of_each() {
        let mut desk = Desk::closed();
        assert_eq!(desk.refused(act.clone()), Reason::OrderNotFound, "{act:?}");
    }
}

/// They take no amendments or locks either, until they are resumed.
#[test]
fn paused_orders_take_no_proposals() {
    for act in [propose("p2", "a"), amend("p1", "a", "9"), lock("p1", "a", 1_000)] {
        let mut desk = Desk::open();
        desk.act(propose("p1", "a")).unwrap();
        desk.act(pause()).unwrap();
        assert_eq!(desk.refused(act.clone()), Reason::OrderPaused, "{act:?}");
        desk.act(Act::Resume).unwrap();
        desk.act(act).unwrap();
    }
}

/// They take declines and follow-ups as well.
#[test]
fn paused_orders_take_withdrawals() {
    let decline = Act::Decline { seller: seller("b"), reason: None };
    for act in [withdraw("p1"), decline, follow_up("f")] {
        let mut desk = Desk::open();
        desk.act(propose("p1", "a")).unwrap();
        desk.act(pause()).unwrap();
        desk.act(act).unwrap();
        assert_eq!(desk.phase(), Phase::Paused);
    }
}

/// Repeated resumes change nothing either.
#[test]
fn repeated_pauses_change_nothing() {
    let mut desk = Desk::open();
    for act in [Act::Resume, pause(), pause(), Act::Resume, Act::Resume] {
        desk.act(act).unwrap();
    }
    assert_eq!(desk.words()[2..], ["OrderPaused", "OrderResumed"]);
}

/// A lifetime counts from the opening.
#[test]
fn lifetimes_grow_and_never_shrink() {
    let cases = [
        (LIFE_MS + 1, None),
        (LIFE_MS, None),
        (EXPIRES_IN_MS_MAX, None),
        (LIFE_MS - 1, Some(Reason::ExpiryShrinks)),
        (0, Some(Reason::InvalidField)),
        (EXPIRES_IN_MS_MAX + 1, Some(Reason::InvalidField)),
    ];
    for (expires_in_ms, refused) in cases {
        let mut desk = Desk::open();
        desk.now = T0 + 10;
        let said = desk.act(Act::Extend { expires_in_ms });
        assert_eq!(said.as_ref().err().map(|e| e.reason), refused, "{expires_in_ms}");
        match said {
            Ok(_) => {
                let deadline = Timestamp(T0).plus_ms(expires_in_ms);
                assert_eq!(desk.book.deadline(), Some(deadline));
            }
            Err(refusal) => assert_eq!(refusal.field.as_deref(), Some("expires_in_ms")),
        }
    }
}

#[test]
fn orders_expire_exactly_at_deadline() {
    let mut desk = Desk::open();
    desk.now = T0 + LIFE - 1;
    desk.act(Act::Tick).unwrap();
    assert_eq!(desk.phase(), Phase::Open);
    desk.now = T0 + LIFE;
    desk.act(Act::Tick).unwrap();
    assert_eq!((desk.phase(), desk.book.deadline()), (Phase::Expired, None));
}

/// The clock may be checked often, and may jump.
#[test]
fn orders_expire_only_once() {
    let mut desk = Desk::open();
    for jump in [LIFE, -3_600_000, 3_600_000, LIFE + 1] {
        desk.now = T0 + jump;
        desk.act(Act::Tick).unwrap();
    }
    assert_eq!(desk.words()[2..], ["OrderPaused"]);
}

/// No tick is needed first.
#[test]
fn late_commands_find_orders_expired() {
    let mut desk = Desk::open();
    desk.now = T0 + LIFE;
    let refusal = desk.act(propose("p1", "a")).unwrap_err();
    assert_eq!(refusal.reason, Reason::DeadlinePassed);
    let last = &desk.stored.last().unwrap().kind;
    assert!(matches!(last, EventKind::OrderPaused { expired: true, .. }));
}

/// They expire at the extended deadline.
#[test]
fn extended_paused_orders_expire_later() {
    let mut desk = Desk::open();
    desk.act(pause()).unwrap();
    desk.act(Act::Extend { expires_in_ms: LIFE_MS * 2 }).unwrap();
    desk.now = T0 + LIFE;
    desk.act(Act::Tick).unwrap();
    assert_eq!(desk.phase(), Phase::Paused);
    desk.now = T0 + LIFE * 2;
    desk.act(Act::Tick).unwrap();
    assert_eq!(desk.phase(), Phase::Expired);
}

/// Returns each end: the command, its phase, and the reason of every refusal after it.
fn ends() -> [(Act, Phase, Reason); 4] {
    [
        (close(), Phase::Closed, Reason::OrderEnded),
        (finalise(None), Phase::Finalised, Reason::OrderEnded),
        (cancel(), Phase::Cancelled, Reason::OrderEnded),
        (Act::Tick, Phase::Expired, Reason::DeadlinePassed),
    ]
}

fn ended(end: &Act) -> Desk {
    let mut desk = Desk::open();
    desk.act(propose("p1", "a")).unwrap();
    desk.act(follow_up("f1")).unwrap();
    desk.now = T0 + if *end == Act::Tick { LIFE } else { 5 };
    desk.act(end.clone()).unwrap();
    desk
}

/// A refused command leaves no event.
#[test]
fn ended_orders_refuse_other_commands() {
    for (end, phase, reason) in ends() {
        // A command that was done before the end can be repeated.
        let is_new = |act: &Act| *act != end && *act != follow_up("f1");
        for act in one_of_each().into_iter().filter(is_new) {
            let mut desk = ended(&end);
            assert_eq!(desk.refused(act.clone()), reason, "{act:?} after {end:?}");
            assert_eq!(desk.phase(), phase);
        }
    }
}

#[test]
fn ends_can_be_repeated() {
    for (end, phase, _) in ends() {
        let mut desk = ended(&end);
        let events = desk.stored.len();
        desk.act(end).unwrap();
        desk.act(opening("uid-1")).unwrap();
        assert_eq!((desk.stored.len(), desk.phase()), (events, phase));
    }
}

#[test]
fn awards_never_change_after_end() {
    let mut desk = Desk::open();
    desk.act(propose("p1", "a")).unwrap();
    desk.act(propose("p2", "b")).unwrap();
    desk.act(finalise(Some("p1"))).unwrap();
    desk.act(finalise(Some("p1"))).unwrap();
    for other in [None, Some("p2")] {
        assert_eq!(desk.refused(finalise(other)), Reason::AlreadyAwarded, "{other:?}");
    }
    assert_eq!(desk.book.order().unwrap().award, Some(Award::Whole(pid("p1"))));
}

#[test]
fn only_open_proposals_can_win() {
    let mut desk = Desk::open();
    desk.act(propose("p1", "a")).unwrap();
    desk.act(withdraw("p1")).unwrap();
    assert_eq!(desk.refused(finalise(Some("p1"))), Reason::ProposalEnded);
    assert_eq!(desk.refused(finalise(Some("p2"))), Reason::ProposalNotFound);
    let award = Some(Award::Lines(vec![("bolt".to_owned(), pid("p1"))]));
    assert_eq!(
        desk.refused(Act::Finalise { award, reason: None, undo_within_ms: None }),
        Reason::ProposalEnded
    );
}

#[test]
fn event_times_never_run_back() {
    let mut desk = Desk::open();
    for (n, jump) in [5_000, -3_600_000, 10].into_iter().enumerate() {
        desk.now = T0 + jump;
        desk.act(propose(&format!("p{n}"), "a")).unwrap();
    }
    let times: Vec<i64> = desk.stored.iter().map(|event| event.at.0 - T0).collect();
    assert_eq!(times, [0, 0, 5_000, 5_000, 5_000]);
}

#[test]
fn full_lists_take_only_ends() {
    let full = || {
        let mut desk = Desk::open();
        desk.act(propose("p1", "a")).unwrap();
        desk.book.order.as_mut().unwrap().last_seq = Seq(EVENTS_MAX - EVENTS_OF_AN_END);
        desk
    };
    assert_eq!(full().refused(amend("p1", "a", "9")), Reason::LimitReached);
    assert_eq!(full().refused(pause()), Reason::LimitReached);
    full().act(Act::Tick).expect("a look at the clock adds nothing");
    full().act(propose("p1", "a")).expect("a repetition adds nothing");
    for end in [close(), finalise(Some("p1")), cancel()] {
        let mut desk = full();
        assert!(desk.act(end).unwrap().seq <= Seq(EVENTS_MAX));
        assert!(desk.phase().is_terminal());
    }
    // A pending award cannot be undone then, and still has its sequence number when it takes
    // effect.
    let mut desk = full();
    desk.act(award("p1", 5_000)).unwrap();
    assert_eq!(desk.refused(UNDO), Reason::LimitReached);
    desk.now += 5_000;
    desk.act(Act::Tick).unwrap();
    assert_eq!(desk.phase(), Phase::Finalised);
    assert!(desk.book.last_seq() <= Seq(EVENTS_MAX));
}

/// Tries every command of a buyer, and ends by others. Where the end settles a command's outcome,
/// it agrees with the owner's record of the key, whether the command was accepted or not.
#[test]
fn ends_settle_commands_as_keys_do() {
    let acts = [
        pause(),
        Act::Resume,
        Act::Extend { expires_in_ms: LIFE_MS * 2 },
        follow_up("f1"),
        award("p1", 0),
        award("p1", 60_000),
        finalise(None),
        UNDO,
        close(),
        cancel(),
    ];
    let ends = [cancel(), close(), award("p1", 0), award("p2", 0), finalise(None)];
    let mut told = 0;
    for (act, end) in acts.iter().flat_map(|act| ends.iter().map(move |end| (act, end))) {
        for is_taken in [false, true] {
            let mut desk = Desk::open();
            desk.act(propose("p1", "a")).unwrap();
            desk.act(propose("p2", "b")).unwrap();
            if is_taken {
                drop(desk.keyed("k1", act.clone()));
            }
            drop(desk.act(end.clone()));
            assert_eq!(settled_by_the_end(desk.book.order().unwrap(), &Act::Tick), None);
            let Some(settled) = settled_by_the_end(desk.book.order().unwrap(), act) else {
                continue;
            };
            let remembered = desk.keyed("k1", act.clone()).map(drop);
            assert_eq!(settled, remembered, "{act:?} {end:?} {is_taken}");
            told += 1;
        }
    }
    assert!(told > 50, "{told} cases were told");
}

/// Such an award may have been accepted and pending, and then undone or dropped by another end.
/// Every other award is settled by another end.
#[test]
fn ends_leave_possible_pending_awards_unsettled() {
    let ended_after = |acts: &[Act]| {
        let mut desk = Desk::open();
        for act in [propose("p1", "a")].iter().chain(acts).chain(&[cancel()]) {
            desk.act(act.clone()).unwrap();
        }
        desk.book.order().unwrap().clone()
    };
    let cancelled = ended_after(&[]);
    for (order, act, is_told) in [
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
        let told = settled_by_the_end(order, &act);
        assert_eq!(told.is_some(), is_told, "{act:?}");
        assert!(told.is_none_or(|told| told.is_err()), "{act:?}");
    }
    assert_eq!(after_an_end((Phase::Cancelled, None), &cancel()), Ok(()));
    assert!(after_an_end((Phase::Cancelled, None), &close()).is_err());
}
