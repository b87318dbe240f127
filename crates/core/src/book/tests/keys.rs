//! Tests of idempotency keys, of epochs, and of the time at which replies may leave.

use super::*;

/// The repetition gets the first reply.
#[test]
fn repeated_keys_cause_one_event() {
    let mut harness = BookHarness::open();
    let kind = CommandKind::Propose(proposal_content(None, "a", "10"));
    let first = harness.run_keyed("k", kind.clone()).unwrap();
    harness.run(propose("p2", "b")).unwrap();
    assert_eq!(harness.run_keyed("k", kind).unwrap(), first);
    assert_eq!(harness.event_names()[2..], ["NewProposal", "NewProposal"]);
}

#[test]
fn keys_with_other_bodies_conflict() {
    let mut harness = BookHarness::open();
    harness.run_keyed("k", propose("p1", "a")).unwrap();
    let refusal = harness.run_keyed("k", propose("p2", "a")).unwrap_err();
    assert_eq!(refusal.reason, Reason::IdempotencyConflict);
    assert_eq!(refusal.field.as_deref(), Some("idempotency_key"));
}

/// A repetition with a stale epoch gets the first reply as well.
#[test]
fn keys_outlive_ends_and_restarts() {
    let mut harness = BookHarness::open();
    let first = harness.run_keyed("k", propose("p1", "a")).unwrap();
    harness.run(cancel()).unwrap();
    harness.book.grant(Epoch(7)).unwrap();
    harness.book = harness.replayed();
    let key = Some(IdempotencyKey::new("k").unwrap());
    let again = Command { key, epoch: Some(Epoch(1)), ..Command::bare(propose("p1", "a")) };
    assert_eq!(harness.step(&again).unwrap(), first);
}

/// A command that had nothing to do is not run when it is repeated later.
#[test]
fn idle_keys_have_no_later_effect() {
    let amend = |price| amend("p1", "a", price);
    let longer = |ms| CommandKind::Extend { expires_in_ms: LIFETIME_MS + ms };
    let cases = [
        (vec![pause()], pause(), vec![CommandKind::Resume]),
        (vec![], CommandKind::Resume, vec![pause()]),
        (vec![], unlock("p1", "a"), vec![lock("p1", "a", 60_000)]),
        (vec![amend("8")], amend("8"), vec![amend("9")]),
        (vec![longer(60_000)], longer(60_000), vec![longer(120_000)]),
    ];
    for (before, idle, after) in cases {
        let mut harness = BookHarness::open();
        harness.run(propose("p1", "a")).unwrap();
        before.into_iter().for_each(|act| drop(harness.run(act).unwrap()));
        let first = harness.run_keyed("k", idle.clone()).unwrap();
        after.into_iter().for_each(|act| drop(harness.run(act).unwrap()));
        let order_before = harness.book.order().cloned();
        harness.book = harness.replayed();
        assert_eq!(harness.run_keyed("k", idle.clone()).unwrap(), first, "{idle:?}");
        assert_eq!(harness.book.order().cloned(), order_before, "{idle:?}");
    }
}

/// The same request can succeed later.
#[test]
fn refused_keys_stay_free() {
    let mut harness = BookHarness::open();
    harness.run(pause()).unwrap();
    assert!(harness.run_keyed("k", propose("p1", "a")).is_err());
    harness.run(CommandKind::Resume).unwrap();
    harness.run_keyed("k", propose("p1", "a")).unwrap();
    assert_eq!(harness.book.order().unwrap().proposals.len(), 1);
}

#[test]
fn opening_keys_belong_to_last_event() {
    let mut harness = BookHarness::closed();
    let first = harness.run_keyed("k", opening("uid-1")).unwrap();
    assert_eq!(first.seq, Seq(2));
    let with_cause: Vec<bool> = harness.stored.iter().map(|event| event.cause.is_some()).collect();
    assert_eq!(with_cause, [false, true]);
    assert_eq!(harness.run_keyed("k", opening("uid-1")).unwrap(), first);
}

/// The expiry that a late command finds is stored without the command's key.
#[test]
fn expiries_do_not_take_keys() {
    let mut harness = BookHarness::open();
    harness.now = T0 + LIFETIME_MS as i64;
    harness.run_keyed("k", propose("p1", "a")).unwrap_err();
    assert_eq!(harness.stored.last().unwrap().cause, None);
}

/// A granted epoch can be granted again or raised.
#[test]
fn epochs_are_never_lowered() {
    let cases = [(5, Ok(true)), (5, Ok(false)), (9, Ok(true)), (8, Err(Reason::StaleEpoch))];
    let mut harness = BookHarness::open();
    for (epoch, expected) in cases {
        assert_eq!(harness.book.grant(Epoch(epoch)).map_err(|e| e.reason), expected, "{epoch}");
    }
    assert_eq!(harness.book.floor(), Epoch(9));
}

#[test]
fn stale_epochs_are_refused_with_floor() {
    let mut harness = BookHarness::open();
    harness.book.grant(Epoch(3)).unwrap();
    for (epoch, accepted) in [(2, false), (3, true), (4, true)] {
        let command = Command { epoch: Some(Epoch(epoch)), ..Command::bare(follow_up("f1")) };
        let result = harness.step(&command);
        assert_eq!(result.is_ok(), accepted, "{epoch}");
        if let Err(refusal) = result {
            assert_eq!(refusal.reason, Reason::StaleEpoch);
            assert_eq!(refusal.metadata, [("epoch_floor".to_owned(), "3".to_owned())]);
        }
    }
    harness.run(propose("p1", "a")).expect("an act without an epoch is not fenced");
}

#[test]
fn stored_grants_restore_epoch_floor() {
    let mut book = BookHarness::closed().book;
    for epoch in [4, 9, 2] {
        book.replay_grant(Epoch(epoch));
    }
    assert_eq!(book.floor(), Epoch(9));
    assert!(book.grant(Epoch(8)).is_err());
}

#[test]
fn replies_wait_for_durable_events() {
    let mut harness = BookHarness::open();
    let context = Context { now: Timestamp(T0), fresh_id: Some(proposal_id("fresh")) };
    let output = harness.book.step(&context, &Command::bare(propose("p1", "a")));
    assert_eq!(output.reply.until(), Seq(3));
    let still_withheld = output.reply.release(&DurableThrough(2)).expect_err("2 of 3 are on disk");
    assert_eq!(still_withheld.release(&DurableThrough(3)).expect("all 3 are").unwrap().seq, Seq(3));
}

/// They are withheld until the events on which they depend are durable.
#[test]
fn refusals_and_repetitions_wait_too() {
    let mut harness = BookHarness::open();
    harness.run(propose("p1", "a")).unwrap();
    let context = Context { now: Timestamp(T0), fresh_id: Some(proposal_id("fresh")) };
    for kind in [propose("p1", "a"), propose("p1", "b")] {
        let output = harness.book.step(&context, &Command::bare(kind));
        assert!(output.events.is_empty());
        assert_eq!(output.reply.until(), Seq(3));
    }
}

/// A list with a gap is refused, and so is one without its opening.
#[test]
fn incomplete_lists_are_refused() {
    let mut harness = BookHarness::open();
    harness.run(propose("p1", "a")).unwrap();
    let mut book = BookHarness::closed().book;
    let late = Event { seq: Seq(1), ..harness.stored[2].clone() };
    assert_eq!(book.replay(&late), Err(FoldError::NotOpened));
    book.replay(&harness.stored[0]).unwrap();
    let gap = FoldError::Gap { expected: Seq(2), got: Seq(3) };
    assert_eq!(book.replay(&harness.stored[2]), Err(gap));
    assert_eq!(book.last_seq(), Seq(1), "a refused event changes nothing");
}
