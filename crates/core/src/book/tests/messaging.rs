//! Tests of questions and answers, and of the states of invited sellers.

use super::*;
use crate::order::InvitationState;
use crate::spec::{NotificationType, SellerChoice, Verdict};

fn invited(names: &[&str]) -> BookHarness {
    let choice = |name: &&str| SellerChoice {
        seller: seller(name),
        verdict: Verdict::Chosen,
        distance_m: None,
        display_name: None,
    };
    let spec = OrderSpec { expires_in_ms: LIFETIME_MS, ..OrderSpec::default() };
    let incarnation = Incarnation::new("uid-1").unwrap();
    let mut harness = BookHarness::closed();
    let choices = names.iter().map(choice).collect();
    harness.run(CommandKind::Open(Box::new(OrderOpening { incarnation, spec, choices }))).unwrap();
    harness
}

fn state(harness: &BookHarness, name: &str) -> InvitationState {
    harness.book.order().unwrap().invitation(&seller(name)).unwrap().state
}

fn notified(name: &str, failure: Option<&str>) -> CommandKind {
    let failure = failure.map(ToOwned::to_owned);
    CommandKind::Notified { seller: seller(name), channel: NotificationType::Email, failure }
}

fn ask(id: &str, by: &str, message: &str) -> CommandKind {
    let question_id = FollowUpId::new(id).ok();
    CommandKind::Ask { seller: seller(by), question_id, message: message.to_owned() }
}

fn answer_to(question: &str, audience: &[&str]) -> CommandKind {
    CommandKind::FollowUp(FollowUp {
        id: FollowUpId::new(format!("re-{question}")).unwrap(),
        audience: audience.iter().map(|name| seller(name)).collect(),
        message: Message { message: "on Monday".to_owned(), ..Message::default() },
        answers: Some(FollowUpId::new(question).unwrap()),
    })
}

#[test]
fn invitation_states_never_go_back() {
    let mut harness = invited(&["b", "a"]);
    assert_eq!(state(&harness, "a"), InvitationState::Invited);
    harness.run(notified("a", Some("mailbox is full"))).unwrap();
    assert_eq!(state(&harness, "a"), InvitationState::Bounced);
    harness.run(notified("a", None)).unwrap();
    assert_eq!(state(&harness, "a"), InvitationState::Notified);
    harness.run(notified("a", Some("late news of a first try"))).unwrap();
    assert_eq!(state(&harness, "a"), InvitationState::Notified);
    harness.run(CommandKind::See { seller: seller("a") }).unwrap();
    assert_eq!(state(&harness, "a"), InvitationState::Seen);
    harness
        .run(CommandKind::Decline { seller: seller("a"), reason: Some("too far".to_owned()) })
        .unwrap();
    assert_eq!(state(&harness, "a"), InvitationState::Declined);
    harness.run(propose("p1", "a")).unwrap();
    assert_eq!(state(&harness, "a"), InvitationState::Proposed);
    assert_eq!(state(&harness, "b"), InvitationState::Invited);
    assert_eq!(harness.book.order().unwrap().notified(), (1, 0));
}

#[test]
fn known_states_cause_no_event() {
    let mut harness = invited(&["a"]);
    for kind in [notified("a", None), CommandKind::See { seller: seller("a") }] {
        harness.run(kind.clone()).unwrap();
        let events = harness.stored.len();
        harness.run(kind).unwrap();
        harness.run(notified("a", None)).unwrap();
        assert_eq!(harness.stored.len(), events);
    }
}

/// A notification is not recorded for them, and a view of the order is refused.
#[test]
fn uninvited_sellers_leave_no_event() {
    let mut harness = invited(&["a"]);
    harness.run(notified("stranger", None)).unwrap();
    let see = CommandKind::See { seller: seller("stranger") };
    assert_eq!(harness.expect_refusal(see), Reason::NotInvited);
    assert_eq!(harness.stored.len(), 2);
}

/// The order's end is its last event, whatever the outbox reports later.
#[test]
fn late_deliveries_leave_no_event() {
    let mut harness = invited(&["a"]);
    harness.run(cancel()).unwrap();
    harness.run(notified("a", None)).unwrap();
    harness.run(CommandKind::See { seller: seller("a") }).unwrap();
    assert_eq!(harness.event_names().last(), Some(&"OrderCancelled"));
}

/// The buyer answers one seller or all.
#[test]
fn questions_are_asked_once() {
    let mut harness = invited(&["a", "b"]);
    harness.run(ask("q1", "a", "when?")).unwrap();
    harness.run(ask("q1", "a", "when?")).unwrap();
    assert_eq!(harness.stored.len(), 3);
    harness.run(answer_to("q1", &["a"])).unwrap();
    harness.run(ask("q2", "b", "where?")).unwrap();
    harness.run(answer_to("q2", &[])).unwrap();
    assert_eq!(harness.stored.len(), 6);
}

/// Refused answers to questions name it as well.
#[test]
fn refused_questions_name_the_field() {
    let mut harness = invited(&["a", "b"]);
    harness.run(ask("q1", "a", "when?")).unwrap();
    let field = |harness: &mut BookHarness, kind: CommandKind| {
        harness.run(kind).unwrap_err().field.unwrap()
    };
    assert_eq!(field(&mut harness, ask("q1", "b", "mine")), "question_id");
    assert_eq!(field(&mut harness, ask("q2", "b", "")), "message");
    assert_eq!(field(&mut harness, answer_to("q9", &[])), "answers");
}

/// Follow-up against close: the one that comes second is refused because the order has ended.
#[test]
fn ended_orders_take_no_follow_ups() {
    for kind in [follow_up("f1"), ask("q1", "a", "when?")] {
        let mut harness = invited(&["a"]);
        harness.run(CommandKind::Close { reason: None }).unwrap();
        assert_eq!(harness.expect_refusal(kind.clone()), Reason::OrderEnded, "{kind:?}");
    }
}

/// The refusal has the current version or sequence number.
#[test]
fn outdated_commands_are_refused() {
    let mut harness = invited(&["a"]);
    harness.run(propose("p1", "a")).unwrap();
    let expecting = |kind: CommandKind, precondition| Command {
        precondition: Some(precondition),
        ..Command::bare(kind)
    };
    let first = amend("p1", "a", "9");
    harness.step(&expecting(first, Precondition::Version(1))).unwrap();
    let refusal =
        harness.step(&expecting(amend("p1", "a", "8"), Precondition::Version(1))).unwrap_err();
    assert_eq!(refusal.reason, Reason::Changed);
    assert!(refusal.metadata.contains(&("current".to_owned(), "2".to_owned())));
    let close = expecting(CommandKind::Close { reason: None }, Precondition::LastSeq(Seq(3)));
    assert_eq!(harness.step(&close).unwrap_err().reason, Reason::Changed);
    assert_eq!(harness.phase(), Phase::Open);
}

/// Lock against expiry: a lease that ran out keeps nobody from amending, to the millisecond.
#[test]
fn locks_end_with_their_lease() {
    let mut harness = invited(&["a", "editor"]);
    harness.run(propose("p1", "a")).unwrap();
    harness.run(lock("p1", "editor", 1_000)).unwrap();
    harness.now += 999;
    assert_eq!(harness.expect_refusal(amend("p1", "a", "9")), Reason::Locked);
    harness.now += 1;
    harness.run(amend("p1", "a", "9")).unwrap();
}

/// Old lists with such dates are still read.
#[test]
fn invalid_dates_are_refused() {
    let mut harness = invited(&["a"]);
    let vague = ProposalContent {
        delivery_date: Some("soon".to_owned()),
        ..proposal_content(Some("p1"), "a", "9")
    };
    let refusal = harness.run(CommandKind::Propose(vague.clone())).unwrap_err();
    assert_eq!(refusal.field.as_deref(), Some("delivery_date"));
    let kind = EventKind::NewProposal(vague);
    let old = Event { seq: Seq(3), at: Timestamp(T0), cause: None, kind };
    harness.book.replay(&old).unwrap();
    assert_eq!(harness.book.order().unwrap().proposals.len(), 1);
}
