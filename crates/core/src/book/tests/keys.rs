//! Idempotency keys, epochs, and what may leave when.

use super::*;

#[test]
fn the_same_key_gives_the_same_answer_and_one_event() {
    let mut desk = Desk::open();
    let act = Act::Propose(offer(None, "a", "10"));
    let first = desk.keyed("k", act.clone()).unwrap();
    desk.act(propose("p2", "b")).unwrap();
    assert_eq!(desk.keyed("k", act).unwrap(), first);
    assert_eq!(desk.words()[2..], ["NewProposal", "NewProposal"]);
}

#[test]
fn the_same_key_with_another_body_is_a_conflict() {
    let mut desk = Desk::open();
    desk.keyed("k", propose("p1", "a")).unwrap();
    let refusal = desk.keyed("k", propose("p2", "a")).unwrap_err();
    assert_eq!(refusal.reason, Reason::IdempotencyConflict);
    assert_eq!(refusal.field.as_deref(), Some("idempotency_key"));
}

#[test]
fn a_key_is_known_after_the_end_after_a_restart_and_from_a_stale_epoch() {
    let mut desk = Desk::open();
    let first = desk.keyed("k", propose("p1", "a")).unwrap();
    desk.act(cancel()).unwrap();
    desk.book.grant(Epoch(7)).unwrap();
    desk.book = desk.reborn();
    let key = Some(IdempotencyKey::new("k").unwrap());
    let again = Command { key, epoch: Some(Epoch(1)), ..Command::bare(propose("p1", "a")) };
    assert_eq!(desk.step(&again).unwrap(), first);
}

#[test]
fn a_key_whose_act_found_nothing_to_do_does_nothing_later_either() {
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

#[test]
fn a_refused_key_is_free_for_the_same_request_later() {
    let mut desk = Desk::open();
    desk.act(pause()).unwrap();
    assert!(desk.keyed("k", propose("p1", "a")).is_err());
    desk.act(Act::Resume).unwrap();
    desk.keyed("k", propose("p1", "a")).unwrap();
    assert_eq!(desk.book.order().unwrap().proposals.len(), 1);
}

#[test]
fn an_opening_keeps_its_key_with_its_last_event() {
    let mut desk = Desk::closed();
    let first = desk.keyed("k", opening("uid-1")).unwrap();
    assert_eq!(first.seq, Seq(2));
    let with_cause: Vec<bool> = desk.stored.iter().map(|event| event.cause.is_some()).collect();
    assert_eq!(with_cause, [false, true]);
    assert_eq!(desk.keyed("k", opening("uid-1")).unwrap(), first);
}

#[test]
fn an_expiry_within_a_step_does_not_take_the_key() {
    let mut desk = Desk::open();
    desk.now = T0 + LIFE_MS as i64;
    desk.keyed("k", propose("p1", "a")).unwrap_err();
    assert_eq!(desk.stored.last().unwrap().cause, None);
}

#[test]
fn a_granted_epoch_can_be_granted_again_or_raised_but_not_lowered() {
    let cases = [(5, Ok(true)), (5, Ok(false)), (9, Ok(true)), (8, Err(Reason::StaleEpoch))];
    let mut desk = Desk::open();
    for (epoch, wanted) in cases {
        assert_eq!(desk.book.grant(Epoch(epoch)).map_err(|e| e.reason), wanted, "{epoch}");
    }
    assert_eq!(desk.book.floor(), Epoch(9));
}

#[test]
fn an_act_of_a_former_owner_is_refused_with_the_floor() {
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
fn the_floor_survives_a_restart_by_its_stored_grants() {
    let mut book = Desk::closed().book;
    for epoch in [4, 9, 2] {
        book.replay_grant(Epoch(epoch));
    }
    assert_eq!(book.floor(), Epoch(9));
    assert!(book.grant(Epoch(8)).is_err());
}

#[test]
fn an_answer_is_withheld_until_its_event_is_on_disk() {
    let mut desk = Desk::open();
    let context = Context { now: Timestamp(T0), fresh_id: Some(pid("fresh")) };
    let output = desk.book.step(&context, &Command::bare(propose("p1", "a")));
    assert_eq!(output.answer.until(), Seq(3));
    let still_held = output.answer.release(&Through(2)).expect_err("2 of 3 are on disk");
    assert_eq!(still_held.release(&Through(3)).expect("all 3 are").unwrap().seq, Seq(3));
}

#[test]
fn a_refusal_and_a_repetition_also_wait_for_what_they_saw() {
    let mut desk = Desk::open();
    desk.act(propose("p1", "a")).unwrap();
    let context = Context { now: Timestamp(T0), fresh_id: Some(pid("fresh")) };
    for act in [propose("p1", "a"), propose("p1", "b")] {
        let output = desk.book.step(&context, &Command::bare(act));
        assert!(output.events.is_empty());
        assert_eq!(output.answer.until(), Seq(3));
    }
}

#[test]
fn a_stored_list_with_a_hole_or_without_its_opening_is_refused() {
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
