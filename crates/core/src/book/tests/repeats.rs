//! Tests of every command under a key: repeated, with another body, by another actor with the same
//! key, after a restart, and after the order's end.

use super::decision::award;
use super::*;
use crate::spec::{SellerChoice, Verdict};

const UNDO: u64 = 10_000;

/// A command that is sent under a key.
struct Case {
    name: &'static str,
    /// The commands that are run first.
    before: Vec<Act>,
    act: Act,
    /// The same actor's command with another body; none where a command of its kind has only one.
    other: Option<Act>,
}

fn see(by: &str) -> Act {
    Act::See { seller: seller(by) }
}

fn decline(by: &str, reason: &str) -> Act {
    Act::Decline { seller: seller(by), reason: Some(reason.to_owned()) }
}

fn answer(by: &str, message: &str) -> Act {
    let follow_up_id = FollowUpId::new("f0").unwrap();
    Act::Answer { seller: seller(by), follow_up_id, message: message.to_owned() }
}

fn ask(id: Option<&str>, by: &str, message: &str) -> Act {
    let question_id = id.and_then(|id| FollowUpId::new(id).ok());
    Act::Ask { seller: seller(by), question_id, message: message.to_owned() }
}

fn extend(ms: u64) -> Act {
    Act::Extend { expires_in_ms: LIFE_MS + ms }
}

fn withdraw_for(reason: &str) -> Act {
    Act::Withdraw { proposal_id: pid("p1"), reason: Some(reason.to_owned()) }
}

fn pause_for(reason: &str) -> Act {
    Act::Pause { reason: Some(reason.to_owned()) }
}

fn close_for(reason: &str) -> Act {
    Act::Close { reason: Some(reason.to_owned()) }
}

fn cancel_for(reason: &str) -> Act {
    Act::Cancel { reason: Some(reason.to_owned()) }
}

fn undo_for(reason: &str) -> Act {
    Act::UndoAward { reason: Some(reason.to_owned()) }
}

/// Returns an order with two invited sellers, a proposal, a lock and a follow-up: five events.
fn begun() -> Desk {
    let choice = |name: &str| SellerChoice {
        seller: seller(name),
        verdict: Verdict::Chosen,
        distance_m: None,
    };
    let spec = OrderSpec { expires_in_ms: LIFE_MS, ..OrderSpec::default() };
    let incarnation = Incarnation::new("uid-1").unwrap();
    let choices = vec![choice("a"), choice("b")];
    let mut desk = Desk::closed();
    desk.act(Act::Open(Box::new(Opening { incarnation, spec, choices }))).unwrap();
    desk.act(propose("p1", "a")).unwrap();
    desk.act(lock("p1", "a", 60_000)).unwrap();
    desk.act(follow_up("f0")).unwrap();
    desk
}

/// Returns every command that somebody can send, where it has an effect.
fn effective() -> Vec<Case> {
    let case = |name, before, act, other| Case { name, before, act, other: Some(other) };
    let new = |id: Option<&str>, price| Act::Propose(offer(id, "a", price));
    vec![
        case("propose", vec![], propose("p2", "a"), propose("p3", "a")),
        case("propose without an id", vec![], new(None, "10"), new(None, "11")),
        case("amend", vec![], amend("p1", "a", "9"), amend("p1", "a", "8")),
        case("withdraw", vec![], withdraw_for("late"), withdraw_for("later")),
        case("decline", vec![], decline("a", "far"), decline("a", "dear")),
        case("answer", vec![], answer("a", "yes"), answer("a", "no")),
        case("ask", vec![], ask(Some("q1"), "a", "when?"), ask(Some("q1"), "a", "where?")),
        case("ask without an id", vec![], ask(None, "a", "when?"), ask(None, "a", "where?")),
        case("see", vec![], see("b"), decline("b", "far")),
        case("lock", vec![], lock("p1", "a", 10), lock("p1", "a", 11)),
        case("unlock", vec![], unlock("p1", "a"), lock("p1", "a", 10)),
        case("follow up", vec![], follow_up("f1"), follow_up("f2")),
        case("pause", vec![], pause_for("lunch"), pause_for("tea")),
        case("resume", vec![pause()], Act::Resume, pause()),
        case("extend", vec![], extend(1), extend(2)),
        case("close", vec![], close_for("no"), close_for("never")),
        case("award", vec![], award("p1", 0), finalise(None)),
        case("award that can be undone", vec![], award("p1", UNDO), award("p1", UNDO + 1)),
        case("undo", vec![award("p1", UNDO)], undo_for("oh"), undo_for("no")),
        case("cancel", vec![], cancel_for("no"), cancel_for("never")),
    ]
}

/// Returns every command that can find nothing to do, in an order where it finds nothing.
fn idle() -> Vec<Case> {
    let case = |name, before, act| Case { name, before, act, other: None };
    let asked = || ask(Some("q1"), "a", "when?");
    vec![
        case("propose", vec![], propose("p1", "a")),
        case("amend", vec![], amend("p1", "a", "10")),
        case("withdraw", vec![withdraw_for("late")], withdraw_for("again")),
        case("decline", vec![decline("a", "far")], decline("a", "again")),
        case("ask", vec![asked()], asked()),
        case("see", vec![see("b")], see("b")),
        case("see what one proposed for", vec![], see("a")),
        case("see uninvited", vec![], see("stranger")),
        case("unlock", vec![unlock("p1", "a")], unlock("p1", "a")),
        case("follow up", vec![], follow_up("f0")),
        case("pause", vec![pause()], pause_for("again")),
        case("resume", vec![], Act::Resume),
        case("extend", vec![], extend(0)),
        case("award", vec![award("p1", UNDO)], award("p1", UNDO)),
        case("award that counts", vec![award("p1", 0)], award("p1", 0)),
        case("close", vec![close()], close_for("again")),
        case("cancel", vec![cancel()], cancel_for("again")),
    ]
}

/// Returns the case's desk, before the command.
fn desk_of(case: &Case) -> Desk {
    let mut desk = begun();
    case.before.iter().for_each(|act| drop(desk.act(act.clone()).unwrap()));
    desk
}

/// Changes all that a reply might contain.
fn life_goes_on(desk: &mut Desk) {
    desk.now += 1;
    let acts = [
        undo_for("go on"),
        Act::Resume,
        propose("later", "b"),
        amend("p1", "a", "7"),
        lock("later", "b", 5),
        ask(None, "b", "and now?"),
        follow_up("later"),
        extend(5_000),
        pause(),
        withdraw("later"),
        withdraw("p1"),
        decline("a", "no more"),
        see("b"),
    ];
    // Not all of these are possible everywhere.
    acts.into_iter().for_each(|act| drop(desk.act(act)));
}

/// Checks that a command repeated under its key has no effect and the first reply, in every case.
fn holds(case: &Case, mut desk: Desk, first: &Answer) {
    let name = case.name;
    let again = |desk: &mut Desk, when: &str| {
        let events = desk.stored.len();
        assert_eq!(desk.keyed("1", case.act.clone()).as_ref(), Ok(first), "{name}: {when}");
        assert_eq!(desk.stored.len(), events, "{name}: {when}");
    };
    again(&mut desk, "at once");
    life_goes_on(&mut desk);
    again(&mut desk, "later");
    desk.book = desk.reborn();
    again(&mut desk, "after a restart");
    drop(desk.act(cancel()));
    again(&mut desk, "after the end");
    desk.book = desk.reborn();
    again(&mut desk, "after the end and a restart");
}

/// They have no effect, even after a restart or the order's end.
#[test]
fn repetitions_always_get_first_reply() {
    for case in effective() {
        let mut desk = desk_of(&case);
        let events = desk.stored.len();
        let first = desk.keyed("1", case.act.clone()).expect(case.name);
        assert!(desk.stored.len() > events, "{} had no effect", case.name);
        assert_eq!(first.seq, desk.book.last_seq(), "{}", case.name);
        holds(&case, desk, &first);
    }
}

/// A command that found nothing to do has no effect when it is repeated.
#[test]
fn idle_commands_always_get_first_reply() {
    for case in idle() {
        let mut desk = desk_of(&case);
        let held = desk.book.order().cloned().unwrap();
        let first = desk.keyed("1", case.act.clone()).expect(case.name);
        let order = desk.book.order().unwrap();
        assert_eq!((order.phase, order.expires_at), (held.phase, held.expires_at));
        assert_eq!(order.proposals, held.proposals, "{}", case.name);
        holds(&case, desk, &first);
    }
}

/// They conflict under the same key at once, after a restart and after the order's end.
#[test]
fn other_bodies_always_conflict() {
    for case in effective() {
        let mut desk = desk_of(&case);
        let other = case.other.clone().unwrap();
        let first = desk.keyed("1", case.act.clone()).expect(case.name);
        let refused = |desk: &mut Desk, when: &str| {
            let refusal = desk.keyed("1", other.clone()).expect_err(case.name);
            assert_eq!(refusal.reason, Reason::IdempotencyConflict, "{}: {when}", case.name);
        };
        refused(&mut desk, "at once");
        desk.book = desk.reborn();
        refused(&mut desk, "after a restart");
        drop(desk.act(cancel()));
        refused(&mut desk, "after the end");
        assert_eq!(desk.keyed("1", case.act).as_ref(), Ok(&first), "{}", case.name);
    }
}

/// The same text from another actor is another key.
#[test]
fn keys_belong_to_their_actor() {
    let others = |case: &Case| -> Vec<(&'static str, Act)> {
        let by_b = ("seller b", ask(Some("b-asks"), "b", "same key"));
        let by_c = ("seller c", decline("c", "same key"));
        let by_buyer = ("buyer", follow_up("same-key"));
        match case.act.actor() {
            Some(Actor::Buyer) => vec![by_b, by_c],
            Some(Actor::Seller(name)) if name == seller("b") => vec![by_c, by_buyer],
            _ => vec![by_b, by_c, by_buyer],
        }
    };
    for case in effective() {
        for (who, act) in others(&case) {
            let mut desk = desk_of(&case);
            let before = desk.keyed("1", act.clone()).expect(who);
            let first = desk.keyed("1", case.act.clone()).unwrap_or_else(|refusal| {
                panic!("{} after the key 1 of {who}: {refusal}", case.name)
            });
            desk.book = desk.reborn();
            assert_eq!(desk.keyed("1", act).as_ref(), Ok(&before), "{who} after {}", case.name);
            assert_eq!(desk.keyed("1", case.act.clone()).as_ref(), Ok(&first), "{}", case.name);
        }
    }
}

/// A withdrawal names a proposal and no seller: its key belongs to the proposal's seller, unless a
/// session names the actor.
#[test]
fn withdrawal_keys_belong_to_sellers() {
    let mut desk = begun();
    desk.act(propose("p2", "b")).unwrap();
    let of_b = desk.keyed("1", withdraw("p2")).unwrap();
    let of_a = desk.keyed_by("a", "1", withdraw("p1")).unwrap();
    let asked = desk.keyed_by("c", "1", ask(None, "c", "why?")).unwrap();
    desk.book = desk.reborn();
    assert_eq!(desk.keyed_by("b", "1", withdraw("p2")), Ok(of_b));
    assert_eq!(desk.keyed("1", withdraw("p1")), Ok(of_a));
    assert_eq!(desk.keyed("1", ask(None, "c", "why?")), Ok(asked));
}

/// Each gets a question of its own; otherwise the second one would learn that the first one asked,
/// and under which key.
#[test]
fn sellers_may_ask_under_one_key() {
    let mut desk = begun();
    let first = desk.keyed("1", ask(None, "a", "when?")).unwrap();
    let second = desk.keyed("1", ask(None, "b", "when?")).unwrap();
    let ids = [&first, &second].map(|answer| answer.follow_up_id.clone().unwrap());
    assert_eq!(ids[0].as_str(), "1", "the key is the id where nobody has it");
    assert_ne!(ids[0], ids[1]);
    desk.book = desk.reborn();
    assert_eq!(desk.keyed("1", ask(None, "b", "when?")), Ok(second));
    assert_eq!(desk.keyed("1", ask(None, "a", "when?")), Ok(first));
    let refusal = desk.keyed("1", ask(None, "b", "where?")).unwrap_err();
    assert_eq!(refusal.reason, Reason::IdempotencyConflict);
}

/// The other text is refused, and not silently dropped.
#[test]
fn taken_ids_refuse_other_texts() {
    let mut desk = begun();
    desk.act(ask(Some("q1"), "a", "when?")).unwrap();
    let Act::FollowUp(mut said) = follow_up("f0") else { panic!("a follow-up") };
    said.message.message = "something else".to_owned();
    let cases =
        [(Act::FollowUp(said), "follow_up_id"), (ask(Some("q1"), "a", "where?"), "question_id")];
    for (act, field) in cases {
        let refusal = desk.keyed("new", act.clone()).unwrap_err();
        assert_eq!(refusal.field.as_deref(), Some(field), "{act:?}");
    }
}

/// A repetition has the time of expiry at the time of the first reply.
#[test]
fn replies_keep_their_expiry_time() {
    let mut desk = begun();
    let until = |ms: u64| Some(Timestamp(T0).plus_ms(LIFE_MS + ms));
    let paused = desk.keyed("1", pause()).unwrap();
    let extended = desk.keyed("2", extend(5)).unwrap();
    assert_eq!((paused.expires_at, extended.expires_at), (until(0), until(5)));
    desk.keyed("3", extend(9)).unwrap();
    assert_eq!(desk.keyed("4", cancel()).unwrap().expires_at, None);
    assert_eq!(desk.keyed("1", pause()), Ok(paused));
    assert_eq!(desk.keyed("2", extend(5)), Ok(extended));
}

/// A key of another incarnation finds no order.
#[test]
fn keys_belong_to_their_incarnation() {
    let mut desk = begun();
    desk.keyed("1", cancel()).unwrap();
    let incarnation = Incarnation::new("uid-0").ok();
    let key = IdempotencyKey::new("1").ok();
    let late = Command { key, incarnation, ..Command::bare(cancel()) };
    assert_eq!(desk.step(&late).unwrap_err().reason, Reason::OrderNotFound);
}

/// A list as it was written when keys had no actor: sessions put the seller's name before theirs,
/// REST did not, and a command without an id got one before its fingerprint was taken.
const FORMER: &str = include_str!("former.jsonl");

#[test]
fn former_keys_still_get_their_replies() {
    let mut desk = Desk::closed();
    for line in FORMER.lines() {
        let event: Event = serde_json::from_str(line).unwrap();
        desk.book.replay(&event).unwrap();
        desk.stored.push(event);
    }
    let events = desk.stored.len();
    let cases = [
        ("req-1", Act::Propose(offer(None, "a", "10")), 3, "a session's"),
        ("a:req-1", Act::Propose(offer(None, "a", "10")), 3, "a session's, over REST"),
        ("1", propose("p2", "b"), 4, "over REST"),
        ("ask-1", ask(None, "b", "when?"), 5, "a question that got its key as id"),
        ("say-1", follow_up("say-1"), 6, "a follow-up that got an id of its own"),
        ("stop", pause(), 7, "the buyer's"),
        ("req-2", withdraw("p2"), 8, "a withdrawal in a session"),
    ];
    for (key, act, seq, name) in cases {
        let answer = desk.keyed(key, act).expect(name);
        assert_eq!(answer.seq, Seq(seq), "{name}");
        assert_eq!(desk.stored.len(), events, "{name}");
    }
    let other = Act::Propose(offer(None, "a", "11"));
    for key in ["req-1", "a:req-1"] {
        let refusal = desk.keyed(key, other.clone()).unwrap_err();
        assert_eq!(refusal.reason, Reason::IdempotencyConflict, "{key}");
    }
    desk.keyed("1", decline("c", "the key of b is not mine")).unwrap();
}
