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
    before: Vec<CommandKind>,
    kind: CommandKind,
    /// The same actor's command with another body; none where a command of its kind has only one.
    other: Option<CommandKind>,
}

fn see(by: &str) -> CommandKind {
    CommandKind::See { seller: seller(by) }
}

fn decline(by: &str, reason: &str) -> CommandKind {
    CommandKind::Decline { seller: seller(by), reason: Some(reason.to_owned()) }
}

fn answer(by: &str, message: &str) -> CommandKind {
    let follow_up_id = FollowUpId::new("f0").unwrap();
    CommandKind::Answer { seller: seller(by), follow_up_id, message: message.to_owned() }
}

fn ask(id: Option<&str>, by: &str, message: &str) -> CommandKind {
    let question_id = id.and_then(|id| FollowUpId::new(id).ok());
    CommandKind::Ask { seller: seller(by), question_id, message: message.to_owned() }
}

fn extend(ms: u64) -> CommandKind {
    CommandKind::Extend { expires_in_ms: LIFETIME_MS + ms }
}

fn withdraw_for(reason: &str) -> CommandKind {
    let (proposal_id, reason) = (proposal_id("p1"), Some(reason.to_owned()));
    CommandKind::Withdraw { proposal_id, reason, seller: None }
}

fn withdraw_by(by: &str) -> CommandKind {
    let (proposal_id, reason) = (proposal_id("p1"), Some("late".to_owned()));
    CommandKind::Withdraw { proposal_id, reason, seller: Some(seller(by)) }
}

fn alternative(id: &str, label: &str) -> CommandKind {
    CommandKind::Propose(ProposalContent {
        alternative: Some(label.into()),
        ..proposal_content(Some(id), "a", "10")
    })
}

fn pause_for(reason: &str) -> CommandKind {
    CommandKind::Pause { reason: Some(reason.to_owned()) }
}

fn close_for(reason: &str) -> CommandKind {
    CommandKind::Close { reason: Some(reason.to_owned()) }
}

fn cancel_for(reason: &str) -> CommandKind {
    CommandKind::Cancel { reason: Some(reason.to_owned()) }
}

fn undo_for(reason: &str) -> CommandKind {
    CommandKind::UndoAward { reason: Some(reason.to_owned()) }
}

/// Returns an order with three invited sellers, a proposal, a lock and a follow-up: five events.
fn started_order() -> BookHarness {
    let choice = |name: &str| SellerChoice {
        seller: seller(name),
        verdict: Verdict::Chosen,
        distance_m: None,
        display_name: None,
    };
    let spec = OrderSpec { expires_in_ms: LIFETIME_MS, ..OrderSpec::default() };
    let incarnation = Incarnation::new("uid-1").unwrap();
    let choices = vec![choice("a"), choice("b"), choice("c")];
    let mut harness = BookHarness::closed();
    harness.run(CommandKind::Open(Box::new(OrderOpening { incarnation, spec, choices }))).unwrap();
    harness.run(propose("p1", "a")).unwrap();
    harness.run(lock("p1", "a", 60_000)).unwrap();
    harness.run(follow_up("f0")).unwrap();
    harness
}

/// Returns every command that somebody can send, where it has an effect.
fn effective_cases() -> Vec<Case> {
    let case = |name, before, kind, other| Case { name, before, kind, other: Some(other) };
    let new = |id: Option<&str>, price| CommandKind::Propose(proposal_content(id, "b", price));
    vec![
        case("propose", vec![], propose("p2", "b"), propose("p3", "b")),
        case("propose another", vec![], alternative("p2", "blue"), alternative("p2", "red")),
        case("propose without an id", vec![], new(None, "10"), new(None, "11")),
        case("amend", vec![], amend("p1", "a", "9"), amend("p1", "a", "8")),
        case("withdraw", vec![], withdraw_for("late"), withdraw_for("later")),
        case("withdraw by name", vec![], withdraw_by("a"), withdraw_for("late")),
        case("decline", vec![], decline("a", "far"), decline("a", "dear")),
        case("answer", vec![], answer("a", "yes"), answer("a", "no")),
        case("ask", vec![], ask(Some("q1"), "a", "when?"), ask(Some("q1"), "a", "where?")),
        case("ask without an id", vec![], ask(None, "a", "when?"), ask(None, "a", "where?")),
        case("see", vec![], see("b"), decline("b", "far")),
        case("lock", vec![], lock("p1", "a", 10), lock("p1", "a", 11)),
        case("unlock", vec![], unlock("p1", "a"), lock("p1", "a", 10)),
        case("follow up", vec![], follow_up("f1"), follow_up("f2")),
        case("pause", vec![], pause_for("lunch"), pause_for("tea")),
        case("resume", vec![pause()], CommandKind::Resume, pause()),
        case("extend", vec![], extend(1), extend(2)),
        case("close", vec![], close_for("no"), close_for("never")),
        case("award", vec![], award("p1", 0), finalise(None)),
        case("award that can be undone", vec![], award("p1", UNDO), award("p1", UNDO + 1)),
        case("undo", vec![award("p1", UNDO)], undo_for("oh"), undo_for("no")),
        case("cancel", vec![], cancel_for("no"), cancel_for("never")),
    ]
}

/// Returns every command that can find nothing to do, in an order where it finds nothing.
fn idle_cases() -> Vec<Case> {
    let case = |name, before, kind| Case { name, before, kind, other: None };
    let question = || ask(Some("q1"), "a", "when?");
    vec![
        case("propose", vec![], propose("p1", "a")),
        case("amend", vec![], amend("p1", "a", "10")),
        case("withdraw", vec![withdraw_for("late")], withdraw_for("again")),
        case("decline", vec![decline("a", "far")], decline("a", "again")),
        case("ask", vec![question()], question()),
        case("see", vec![see("b")], see("b")),
        case("see what one proposed for", vec![], see("a")),
        case("unlock", vec![unlock("p1", "a")], unlock("p1", "a")),
        case("follow up", vec![], follow_up("f0")),
        case("pause", vec![pause()], pause_for("again")),
        case("resume", vec![], CommandKind::Resume),
        case("extend", vec![], extend(0)),
        case("award", vec![award("p1", UNDO)], award("p1", UNDO)),
        case("award that counts", vec![award("p1", 0)], award("p1", 0)),
        case("close", vec![close()], close_for("again")),
        case("cancel", vec![cancel()], cancel_for("again")),
    ]
}

/// Returns the case's harness, before the command.
fn harness_of(case: &Case) -> BookHarness {
    let mut harness = started_order();
    case.before.iter().for_each(|act| drop(harness.run(act.clone()).unwrap()));
    harness
}

/// Changes everything that a reply might contain.
fn make_later_changes(harness: &mut BookHarness) {
    harness.now += 1;
    let kinds = [
        undo_for("go on"),
        CommandKind::Resume,
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
    // Not all of these are possible in every case.
    kinds.into_iter().for_each(|act| drop(harness.run(act)));
}

/// Checks that a command repeated under its key has no effect and the first reply, in every case.
fn assert_repeatable(case: &Case, mut harness: BookHarness, first: &Reply) {
    let name = case.name;
    let again = |harness: &mut BookHarness, when: &str| {
        let events = harness.stored.len();
        assert_eq!(harness.run_keyed("1", case.kind.clone()).as_ref(), Ok(first), "{name}: {when}");
        assert_eq!(harness.stored.len(), events, "{name}: {when}");
    };
    again(&mut harness, "at once");
    make_later_changes(&mut harness);
    again(&mut harness, "later");
    harness.book = harness.replayed();
    again(&mut harness, "after a restart");
    drop(harness.run(cancel()));
    again(&mut harness, "after the end");
    harness.book = harness.replayed();
    again(&mut harness, "after the end and a restart");
}

/// They have no effect, even after a restart or the order's end.
#[test]
fn repetitions_always_get_first_reply() {
    for case in effective_cases() {
        let mut harness = harness_of(&case);
        let events = harness.stored.len();
        let first = harness.run_keyed("1", case.kind.clone()).expect(case.name);
        assert!(harness.stored.len() > events, "{} had no effect", case.name);
        assert_eq!(first.seq, harness.book.last_seq(), "{}", case.name);
        assert_repeatable(&case, harness, &first);
    }
}

/// A command that found nothing to do has no effect when it is repeated.
#[test]
fn idle_commands_always_get_first_reply() {
    for case in idle_cases() {
        let mut harness = harness_of(&case);
        let order_before = harness.book.order().cloned().unwrap();
        let first = harness.run_keyed("1", case.kind.clone()).expect(case.name);
        let order = harness.book.order().unwrap();
        assert_eq!((order.phase, order.expires_at), (order_before.phase, order_before.expires_at));
        assert_eq!(order.proposals, order_before.proposals, "{}", case.name);
        assert_repeatable(&case, harness, &first);
    }
}

/// They conflict under the same key at once, after a restart and after the order's end.
#[test]
fn other_bodies_always_conflict() {
    for case in effective_cases() {
        let mut harness = harness_of(&case);
        let other = case.other.clone().unwrap();
        let first = harness.run_keyed("1", case.kind.clone()).expect(case.name);
        let refused = |harness: &mut BookHarness, when: &str| {
            let refusal = harness.run_keyed("1", other.clone()).expect_err(case.name);
            assert_eq!(refusal.reason, Reason::IdempotencyConflict, "{}: {when}", case.name);
        };
        refused(&mut harness, "at once");
        harness.book = harness.replayed();
        refused(&mut harness, "after a restart");
        drop(harness.run(cancel()));
        refused(&mut harness, "after the end");
        assert_eq!(harness.run_keyed("1", case.kind).as_ref(), Ok(&first), "{}", case.name);
    }
}

/// The same text from another actor is another key.
#[test]
fn keys_belong_to_their_actor() {
    let others = |case: &Case| -> Vec<(&'static str, CommandKind)> {
        let by_b = ("seller b", ask(Some("b-asks"), "b", "same key"));
        let by_c = ("seller c", decline("c", "same key"));
        let by_buyer = ("buyer", follow_up("same-key"));
        match case.kind.actor() {
            Some(Actor::Buyer) => vec![by_b, by_c],
            Some(Actor::Seller(name)) if name == seller("b") => vec![by_c, by_buyer],
            _ => vec![by_b, by_c, by_buyer],
        }
    };
    for case in effective_cases() {
        for (who, kind) in others(&case) {
            let mut harness = harness_of(&case);
            let before = harness.run_keyed("1", kind.clone()).expect(who);
            let first = harness.run_keyed("1", case.kind.clone()).unwrap_or_else(|refusal| {
                panic!("{} after the key 1 of {who}: {refusal}", case.name)
            });
            harness.book = harness.replayed();
            assert_eq!(
                harness.run_keyed("1", kind).as_ref(),
                Ok(&before),
                "{who} after {}",
                case.name
            );
            assert_eq!(
                harness.run_keyed("1", case.kind.clone()).as_ref(),
                Ok(&first),
                "{}",
                case.name
            );
        }
    }
}

/// A withdrawal names a proposal and no seller: its key belongs to the proposal's seller, unless a
/// session names the actor.
#[test]
fn withdrawal_keys_belong_to_sellers() {
    let mut harness = started_order();
    harness.run(propose("p2", "b")).unwrap();
    let of_b = harness.run_keyed("1", withdraw("p2")).unwrap();
    let of_a = harness.run_keyed_by("a", "1", withdraw("p1")).unwrap();
    let question = harness.run_keyed_by("c", "1", ask(None, "c", "why?")).unwrap();
    harness.book = harness.replayed();
    assert_eq!(harness.run_keyed_by("b", "1", withdraw("p2")), Ok(of_b));
    assert_eq!(harness.run_keyed("1", withdraw("p1")), Ok(of_a));
    assert_eq!(harness.run_keyed("1", ask(None, "c", "why?")), Ok(question));
}

/// A session withdraws for its seller, and REST may name one. Its own proposals are all that a
/// seller withdraws, also once they are withdrawn.
#[test]
fn sellers_withdraw_only_their_own_proposals() {
    let mut harness = started_order();
    let refused = |harness: &mut BookHarness| {
        let by_name = harness.run(withdraw_by("b")).unwrap_err();
        assert_eq!(
            (by_name.reason, by_name.field.as_deref()),
            (Reason::InvalidField, Some("seller"))
        );
        by_name
    };
    let by_name = refused(&mut harness);
    assert_eq!(harness.run_keyed_by("b", "1", withdraw("p1")).unwrap_err(), by_name);
    assert_eq!(harness.stored.len(), 5);
    let first = harness.run_keyed_by("a", "1", withdraw_by("a")).unwrap();
    refused(&mut harness);
    assert_eq!(harness.run(withdraw_by("a")).unwrap().seq, first.seq);
    harness.book = harness.replayed();
    assert_eq!(harness.run_keyed("1", withdraw_by("a")), Ok(first));
}

/// Each gets a question of its own; otherwise the second one would learn that the first one asked,
/// and under which key.
#[test]
fn sellers_may_ask_under_one_key() {
    let mut harness = started_order();
    let first = harness.run_keyed("1", ask(None, "a", "when?")).unwrap();
    let second = harness.run_keyed("1", ask(None, "b", "when?")).unwrap();
    let ids = [&first, &second].map(|answer| answer.follow_up_id.clone().unwrap());
    assert_eq!(ids[0].as_str(), "1", "the key is the id where nobody has it");
    assert_ne!(ids[0], ids[1]);
    harness.book = harness.replayed();
    assert_eq!(harness.run_keyed("1", ask(None, "b", "when?")), Ok(second));
    assert_eq!(harness.run_keyed("1", ask(None, "a", "when?")), Ok(first));
    let refusal = harness.run_keyed("1", ask(None, "b", "where?")).unwrap_err();
    assert_eq!(refusal.reason, Reason::IdempotencyConflict);
}

/// The other text is refused, and not silently dropped.
#[test]
fn taken_ids_refuse_other_texts() {
    let mut harness = started_order();
    harness.run(ask(Some("q1"), "a", "when?")).unwrap();
    let CommandKind::FollowUp(mut changed) = follow_up("f0") else { panic!("a follow-up") };
    changed.message.message = "something else".to_owned();
    let cases = [
        (CommandKind::FollowUp(changed), "follow_up_id"),
        (ask(Some("q1"), "a", "where?"), "question_id"),
    ];
    for (kind, field) in cases {
        let refusal = harness.run_keyed("new", kind.clone()).unwrap_err();
        assert_eq!(refusal.field.as_deref(), Some(field), "{kind:?}");
    }
}

/// A repetition has the time of expiry at the time of the first reply.
#[test]
fn replies_keep_their_expiry_time() {
    let mut harness = started_order();
    let until = |ms: u64| Some(Timestamp(T0).plus_ms(LIFETIME_MS + ms));
    let paused = harness.run_keyed("1", pause()).unwrap();
    let extended = harness.run_keyed("2", extend(5)).unwrap();
    assert_eq!((paused.expires_at, extended.expires_at), (until(0), until(5)));
    harness.run_keyed("3", extend(9)).unwrap();
    assert_eq!(harness.run_keyed("4", cancel()).unwrap().expires_at, None);
    assert_eq!(harness.run_keyed("1", pause()), Ok(paused));
    assert_eq!(harness.run_keyed("2", extend(5)), Ok(extended));
}

/// A key of another incarnation finds no order.
#[test]
fn keys_belong_to_their_incarnation() {
    let mut harness = started_order();
    harness.run_keyed("1", cancel()).unwrap();
    let incarnation = Incarnation::new("uid-0").ok();
    let key = IdempotencyKey::new("1").ok();
    let late = Command { key, incarnation, ..Command::bare(cancel()) };
    assert_eq!(harness.step(&late).unwrap_err().reason, Reason::OrderNotFound);
}

/// A list as it was written when keys had no actor: sessions put the seller's name before theirs,
/// REST did not, and a command without an id got one before its fingerprint was computed.
const LEGACY_EVENTS: &str = include_str!("former.jsonl");

#[test]
fn former_keys_still_get_their_replies() {
    let mut harness = BookHarness::closed();
    for line in LEGACY_EVENTS.lines() {
        let event: Event = serde_json::from_str(line).unwrap();
        harness.book.replay(&event).unwrap();
        harness.stored.push(event);
    }
    let events = harness.stored.len();
    let cases = [
        ("req-1", CommandKind::Propose(proposal_content(None, "a", "10")), 3, "a session's"),
        (
            "a:req-1",
            CommandKind::Propose(proposal_content(None, "a", "10")),
            3,
            "a session's, over REST",
        ),
        ("1", propose("p2", "b"), 4, "over REST"),
        ("ask-1", ask(None, "b", "when?"), 5, "a question that got its key as id"),
        ("say-1", follow_up("say-1"), 6, "a follow-up that got an id of its own"),
        ("stop", pause(), 7, "the buyer's"),
        ("req-2", withdraw("p2"), 8, "a withdrawal in a session"),
    ];
    for (key, kind, seq, name) in cases {
        let reply = harness.run_keyed(key, kind).expect(name);
        assert_eq!(reply.seq, Seq(seq), "{name}");
        assert_eq!(harness.stored.len(), events, "{name}");
    }
    let other = CommandKind::Propose(proposal_content(None, "a", "11"));
    for key in ["req-1", "a:req-1"] {
        let refusal = harness.run_keyed(key, other.clone()).unwrap_err();
        assert_eq!(refusal.reason, Reason::IdempotencyConflict, "{key}");
    }
    harness.run_keyed("1", decline("c", "the key of b is not mine")).unwrap();
}
