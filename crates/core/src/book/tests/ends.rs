//! Opening, pause, extension, expiry and the four ends.

use super::decision::{UNDO, award};
use super::*;
use crate::book::{after_an_end, settled_by_the_end};
use crate::limits::EVENTS_OF_AN_END;

const LIFE: i64 = LIFE_MS as i64;

#[test]
fn an_opening_gives_two_events_and_says_the_deadline() {
    let desk = Desk::open();
    assert_eq!(desk.words(), ["OrderOpened", "SellersSelected"]);
    assert_eq!(desk.book.deadline(), Some(Timestamp(T0).plus_ms(LIFE_MS)));
}

#[test]
fn the_same_opening_again_changes_nothing() {
    let mut desk = Desk::open();
    assert_eq!(desk.act(opening("uid-1")).unwrap().seq, Seq(2));
    assert_eq!(desk.words().len(), 2);
}

#[test]
fn another_life_of_the_name_is_refused_and_told_which_one_exists() {
    let mut desk = Desk::open();
    let refusal = desk.act(opening("uid-2")).unwrap_err();
    assert_eq!(refusal.reason, Reason::OrderExists);
    assert!(refusal.metadata.contains(&("incarnation".to_owned(), "uid-1".to_owned())));
}

#[test]
fn an_act_meant_for_another_life_finds_no_order() {
    let mut desk = Desk::open();
    let incarnation = Some(Incarnation::new("uid-2").unwrap());
    let command = Command { incarnation, ..Command::bare(cancel()) };
    assert_eq!(desk.step(&command).unwrap_err().reason, Reason::OrderNotFound);
    assert_eq!(desk.phase(), Phase::Open);
}

#[test]
fn nothing_but_an_opening_finds_an_order_that_was_not_opened() {
    for act in one_of_each() {
        let mut desk = Desk::closed();
        assert_eq!(desk.refused(act.clone()), Reason::OrderNotFound, "{act:?}");
    }
}

#[test]
fn a_paused_order_takes_no_proposals_amendments_or_locks() {
    for act in [propose("p2", "a"), amend("p1", "a", "9"), lock("p1", "a", 1_000)] {
        let mut desk = Desk::open();
        desk.act(propose("p1", "a")).unwrap();
        desk.act(pause()).unwrap();
        assert_eq!(desk.refused(act.clone()), Reason::OrderPaused, "{act:?}");
        desk.act(Act::Resume).unwrap();
        desk.act(act).unwrap();
    }
}

#[test]
fn a_paused_order_takes_withdrawals_declines_and_follow_ups() {
    let decline = Act::Decline { seller: seller("b"), reason: None };
    for act in [withdraw("p1"), decline, follow_up("f")] {
        let mut desk = Desk::open();
        desk.act(propose("p1", "a")).unwrap();
        desk.act(pause()).unwrap();
        desk.act(act).unwrap();
        assert_eq!(desk.phase(), Phase::Paused);
    }
}

#[test]
fn pausing_and_resuming_again_changes_nothing() {
    let mut desk = Desk::open();
    for act in [Act::Resume, pause(), pause(), Act::Resume, Act::Resume] {
        desk.act(act).unwrap();
    }
    assert_eq!(desk.words()[2..], ["OrderPaused", "OrderResumed"]);
}

#[test]
fn a_life_can_grow_but_not_shrink_and_counts_from_the_opening() {
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
fn an_order_expires_at_its_deadline_and_not_a_millisecond_before() {
    let mut desk = Desk::open();
    desk.now = T0 + LIFE - 1;
    desk.act(Act::Tick).unwrap();
    assert_eq!(desk.phase(), Phase::Open);
    desk.now = T0 + LIFE;
    desk.act(Act::Tick).unwrap();
    assert_eq!((desk.phase(), desk.book.deadline()), (Phase::Expired, None));
}

#[test]
fn an_order_expires_once_however_often_the_clock_is_looked_at_or_jumps() {
    let mut desk = Desk::open();
    for jump in [LIFE, -3_600_000, 3_600_000, LIFE + 1] {
        desk.now = T0 + jump;
        desk.act(Act::Tick).unwrap();
    }
    assert_eq!(desk.words()[2..], ["OrderPaused"]);
}

#[test]
fn a_command_after_the_deadline_finds_the_order_expired_also_without_a_tick() {
    let mut desk = Desk::open();
    desk.now = T0 + LIFE;
    let refusal = desk.act(propose("p1", "a")).unwrap_err();
    assert_eq!(refusal.reason, Reason::DeadlinePassed);
    let last = &desk.stored.last().unwrap().kind;
    assert!(matches!(last, EventKind::OrderPaused { expired: true, .. }));
}

#[test]
fn a_paused_order_expires_too_and_an_extended_one_later() {
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

/// Each end: the act, the phase that it leads to, and the reason of everything after it.
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

#[test]
fn after_an_end_every_other_act_is_refused_and_leaves_nothing() {
    for (end, phase, reason) in ends() {
        // What was done before the end is done, and can be said again.
        let is_new = |act: &Act| *act != end && *act != follow_up("f1");
        for act in one_of_each().into_iter().filter(is_new) {
            let mut desk = ended(&end);
            assert_eq!(desk.refused(act.clone()), reason, "{act:?} after {end:?}");
            assert_eq!(desk.phase(), phase);
        }
    }
}

#[test]
fn an_end_can_be_said_again() {
    for (end, phase, _) in ends() {
        let mut desk = ended(&end);
        let events = desk.stored.len();
        desk.act(end).unwrap();
        desk.act(opening("uid-1")).unwrap();
        assert_eq!((desk.stored.len(), desk.phase()), (events, phase));
    }
}

#[test]
fn an_award_cannot_be_changed_after_the_end() {
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
fn only_a_living_proposal_can_win() {
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
fn time_in_a_list_never_runs_back() {
    let mut desk = Desk::open();
    for (n, jump) in [5_000, -3_600_000, 10].into_iter().enumerate() {
        desk.now = T0 + jump;
        desk.act(propose(&format!("p{n}"), "a")).unwrap();
    }
    let times: Vec<i64> = desk.stored.iter().map(|event| event.at.0 - T0).collect();
    assert_eq!(times, [0, 0, 5_000, 5_000, 5_000]);
}

#[test]
fn a_full_list_takes_an_end_and_nothing_else() {
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
    // An award that waits can be undone no more, and still has its number when it counts.
    let mut desk = full();
    desk.act(award("p1", 5_000)).unwrap();
    assert_eq!(desk.refused(UNDO), Reason::LimitReached);
    desk.now += 5_000;
    desk.act(Act::Tick).unwrap();
    assert_eq!(desk.phase(), Phase::Finalised);
    assert!(desk.book.last_seq() <= Seq(EVENTS_MAX));
}

/// Every act of a buyer, and ends by somebody else. Where the end says what came of an act, it says
/// what the owner's memory of the act's key says, whether the act was taken before or not.
#[test]
fn an_end_tells_of_an_act_what_its_key_tells_or_nothing() {
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

/// It may have been taken, have waited to count, and have been undone or ended by something else since.
#[test]
fn only_an_award_that_could_wait_is_untold_by_another_end() {
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
