//! Tests of idempotency keys, of epochs, and of the time at which replies may leave.

use super::*;

/// The repetition gets the first reply.
#[test]
fn repeated_keys_cause_one_event() {
    let mut desk = Desk::open();
    let act = Act::Propose(offer(None, "a", "10"));
    let first = desk.keyed("k", act.clone()).unwrap();
    desk.act(propose("p2", "b")).unwrap();
    assert_eq!(desk.keyed("k", act).unwrap(), first);
    assert_eq!(desk.words()[2..], ["NewProposal", "NewProposal"]);
}

#[test]
fn keys_with_other_bodies_conflict() {
    let mut desk = Desk::open();
    desk.keyed("k", propose("p1", "a")).unwrap();
    let refusal = desk.keyed("k", propose("p2", "a")).unwrap_err();
    assert_eq!(refusal.reason, Reason::IdempotencyConflict);
    assert_eq!(refusal.field.as_deref(), Some("idempotency_key"));
}

/// A repetition with a stale epoch gets the first reply as well.
#[test]
fn keys_outlive_ends_and_restarts() {
    let mut desk = Desk::open();
    let first = desk.keyed("k", propose("p1", "a")).unwrap();
    desk.act(cancel()).unwrap();
    desk.book.grant(Epoch(7)).unwrap();
    desk.book = desk.reborn();
    let key = Some(IdempotencyKey::new("k").unwrap());
    let again = Command { key, epoch: Some(Epoch(1)), ..Command::bare(propose("p1", "a")) };
    assert_eq!(desk.step(&again).unwrap(), first);
}

/// A command that had nothing to do is not run when it is repeated later.
#[test]
fn idle_keys_have_no_later_effect() {
    let amend = |price| amend("p1", "a", price);
    let longer = |ms| Act::Extend { expires_in_ms: LIFE_MS + ms };
    let cases = [
        (vec![pause()], pause(), vec![Act::Resume]),
        (vec![], Act::Resume, vec![pause()]),
        (vec![], unlock("p1", "a"), vec![lock("p1", "a", 60_000)]),
        (vec![amend("8")], amend("8"), vec![amend("9")]),
        (vec![longer(60_000)], longer(60_000), vec![longer(120_000)]),
    ];
    for (before, idle, after) in cases {
        let mut desk = Desk::open();
        desk.act(propose("p1", "a")).unwrap();
        before.into_iter().for_each(|act| drop(desk.act(act).unwrap()));
        let first = desk.keyed("k", idle.clone()).unwrap();
        after.into_iter().for_each(|act| drop(desk.act(act).unwrap()));
        let held = desk.book.order().cloned();
        desk.book = desk.reborn();
        assert_eq!(desk.keyed("k", idle.clone()).unwrap(), first, "{idle:?}");
        assert_eq!(desk.book.order().cloned(), held, "{idle:?}");
    }
}

/// The same request can succeed later.
#[test]
fn refused_keys_stay_free() {
    let mut desk = Desk::open();
    desk.act(pause()).unwrap();
    assert!(desk.keyed("k", propose("p1", "a")).is_err());
    desk.act(Act::Resume).unwrap();
    desk.keyed("k", propose("p1", "a")).unwrap();
    assert_eq!(desk.book.order().unwrap().proposals.len(), 1);
}

#[test]
fn opening_keys_belong_to_last_event() {
    let mut desk = Desk::closed();
    let first = desk.keyed("k", opening("uid-1")).unwrap();
    assert_eq!(first.seq, Seq(2));
    let with_cause: Vec<bool> = desk.stored.iter().map(|event| event.cause.is_some()).collect();
    assert_eq!(with_cause, [false, true]);
    assert_eq!(desk.keyed("k", opening("uid-1")).unwrap(), first);
}

/// The expiry that a late command finds is stored without the command's key.
#[test]
fn expiries_do_not_take_keys() {
    let mut desk = Desk::open();
    desk.now = T0 + LIFE_MS as i64;
    desk.keyed("k", propose("p1", "a")).unwrap_err();
    assert_eq!(desk.stored.last().unwrap().cause, None);
}

/// A granted epoch can be granted again or raised.
#[test]
fn epochs_are_never_lowered() {
    let cases = [(5, Ok(true)), (5, Ok(false)), (9, Ok(true)), (8, Err(Reason::StaleEpoch))];
    let mut desk = Desk::open();
    for (epoch, wanted) in cases {
        assert_eq!(desk.book.grant(Epoch(epoch)).map_err(|e| e.reason), wanted, "{epoch}");
    }
    assert_eq!(desk.book.floor(), Epoch(9));
}

#[test]
fn stale_epochs_are_refused_with_floor() {
    let mut desk = Desk::open();
    desk.book.grant(Epoch(3)).unwrap();
    for (epoch, taken) in [(2, false), (3, true), (4, true)] {
        let command = Command { epoch: Some(Epoch(epoch)), ..Command::bare(follow_up("f1")) };
        let said = desk.step(&command);
        assert_eq!(said.is_ok(), taken, "{epoch}");
        if let Err(refusal) = said {
            assert_eq!(refusal.reason, Reason::StaleEpoch);
            assert_eq!(refusal.metadata, [("epoch_floor".to_owned(), "3".to_owned())]);
        }
    }
    desk.act(propose("p1", "a")).expect("an act without an epoch is not fenced");
}

#[test]
fn stored_grants_restore_epoch_floor() {
    let mut book = Desk::closed().book;
    for epoch in [4, 9, 2] {
        book.replay_grant(Epoch(epoch));
    }
    assert_eq!(book.floor(), Epoch(9));
    assert!(book.grant(Epoch(8)).is_err());
}

#[test]
fn replies_wait_for_durable_events() {
    let mut desk = Desk::open();
    let context = Context { now: Timestamp(T0), fresh_id: Some(pid("fresh")) };
    let output = desk.book.step(&context, &Command::bare(propose("p1", "a")));
    assert_eq!(output.answer.until(), Seq(3));
    let still_held = output.answer.release(&Through(2)).expect_err("2 of 3 are on disk");
    assert_eq!(still_held.release(&Through(3)).expect("all 3 are").unwrap().seq, Seq(3));
}

/// They are withheld until the events on which they depend are durable.
#[test]
fn refusals_and_repetitions_wait_too() {
    let mut desk = Desk::open();
    desk.act(propose("p1", "a")).unwrap();
    let context = Context { now: Timestamp(T0), fresh_id: Some(pid("fresh")) };
    for act in [propose("p1", "a"), propose("p1", "b")] {
        let output = desk.book.step(&context, &Command::bare(act));
        assert!(output.events.is_empty());
        assert_eq!(output.answer.until(), Seq(3));
    }
}

/// A list with a gap is refused, and so is one without its opening.
#[test]
fn incomplete_lists_are_refused() {
    let mut desk = Desk::open();
    desk.act(propose("p1", "a")).unwrap();
    let mut book = Desk::closed().book;
    let late = Event { seq: Seq(1), ..desk.stored[2].clone() };
    assert_eq!(book.replay(&late), Err(FoldError::NotOpened));
    book.replay(&desk.stored[0]).unwrap();
    let gap = FoldError::Gap { expected: Seq(2), got: Seq(3) };
    assert_eq!(book.replay(&desk.stored[2]), Err(gap));
    assert_eq!(book.last_seq(), Seq(1), "a refused event changes nothing");
}
