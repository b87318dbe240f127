//! Tests of questions and answers, and of the states of invited sellers.

use super::*;
use crate::order::InvitationState;
use crate::spec::{NotificationType, SellerChoice, Verdict};

fn invited(names: &[&str]) -> Desk {
    let choice = |name: &&str| SellerChoice {
        seller: seller(name),
        verdict: Verdict::Chosen,
        distance_m: None,
    };
    let spec = OrderSpec { expires_in_ms: LIFE_MS, ..OrderSpec::default() };
    let incarnation = Incarnation::new("uid-1").unwrap();
    let mut desk = Desk::closed();
    let choices = names.iter().map(choice).collect();
    desk.act(Act::Open(Box::new(Opening { incarnation, spec, choices }))).unwrap();
    desk
}

fn state(desk: &Desk, name: &str) -> InvitationState {
    desk.book.order().unwrap().invitation(&seller(name)).unwrap().state
}

fn told(name: &str, failure: Option<&str>) -> Act {
    let failure = failure.map(ToOwned::to_owned);
    Act::Notified { seller: seller(name), channel: NotificationType::Email, failure }
}

fn ask(id: &str, by: &str, message: &str) -> Act {
    let question_id = FollowUpId::new(id).ok();
    Act::Ask { seller: seller(by), question_id, message: message.to_owned() }
}

fn answer_to(question: &str, audience: &[&str]) -> Act {
    Act::FollowUp(FollowUp {
        id: FollowUpId::new(format!("re-{question}")).unwrap(),
        audience: audience.iter().map(|name| seller(name)).collect(),
        message: Message { message: "on Monday".to_owned(), ..Message::default() },
        answers: Some(FollowUpId::new(question).unwrap()),
    })
}

#[test]
fn invitation_states_never_go_back() {
    let mut desk = invited(&["b", "a"]);
    assert_eq!(state(&desk, "a"), InvitationState::Invited);
    desk.act(told("a", Some("mailbox is full"))).unwrap();
    assert_eq!(state(&desk, "a"), InvitationState::Bounced);
    desk.act(told("a", None)).unwrap();
    assert_eq!(state(&desk, "a"), InvitationState::Notified);
    desk.act(told("a", Some("late news of a first try"))).unwrap();
    assert_eq!(state(&desk, "a"), InvitationState::Notified);
    desk.act(Act::See { seller: seller("a") }).unwrap();
    assert_eq!(state(&desk, "a"), InvitationState::Seen);
    desk.act(Act::Decline { seller: seller("a"), reason: Some("too far".to_owned()) }).unwrap();
    assert_eq!(state(&desk, "a"), InvitationState::Declined);
    desk.act(propose("p1", "a")).unwrap();
    assert_eq!(state(&desk, "a"), InvitationState::Proposed);
    assert_eq!(state(&desk, "b"), InvitationState::Invited);
    assert_eq!(desk.book.order().unwrap().notified(), (1, 0));
}

#[test]
fn known_states_cause_no_event() {
    let mut desk = invited(&["a"]);
    for act in [told("a", None), Act::See { seller: seller("a") }] {
        desk.act(act.clone()).unwrap();
        let events = desk.stored.len();
        desk.act(act).unwrap();
        desk.act(told("a", None)).unwrap();
        assert_eq!(desk.stored.len(), events);
    }
}

/// Neither a notification nor a view of the order is recorded for them.
#[test]
fn uninvited_sellers_leave_no_event() {
    let mut desk = invited(&["a"]);
    desk.act(told("stranger", None)).unwrap();
    desk.act(Act::See { seller: seller("stranger") }).unwrap();
    assert_eq!(desk.stored.len(), 2);
}

/// The order's end is its last event, whatever the outbox reports later.
#[test]
fn late_deliveries_leave_no_event() {
    let mut desk = invited(&["a"]);
    desk.act(cancel()).unwrap();
    desk.act(told("a", None)).unwrap();
    desk.act(Act::See { seller: seller("a") }).unwrap();
    assert_eq!(desk.words().last(), Some(&"OrderCancelled"));
}

/// The buyer answers one seller or all.
#[test]
fn questions_are_asked_once() {
    let mut desk = invited(&["a", "b"]);
    desk.act(ask("q1", "a", "when?")).unwrap();
    desk.act(ask("q1", "a", "when?")).unwrap();
    assert_eq!(desk.stored.len(), 3);
    desk.act(answer_to("q1", &["a"])).unwrap();
    desk.act(ask("q2", "b", "where?")).unwrap();
    desk.act(answer_to("q2", &[])).unwrap();
    assert_eq!(desk.stored.len(), 6);
}

/// Refused answers to questions name it as well.
#[test]
fn refused_questions_name_the_field() {
    let mut desk = invited(&["a", "b"]);
    desk.act(ask("q1", "a", "when?")).unwrap();
    let field = |desk: &mut Desk, act: Act| desk.act(act).unwrap_err().field.unwrap();
    assert_eq!(field(&mut desk, ask("q1", "b", "mine")), "question_id");
    assert_eq!(field(&mut desk, ask("q2", "b", "")), "message");
    assert_eq!(field(&mut desk, answer_to("q9", &[])), "answers");
}

/// Follow-up against close: the one that comes second is refused because the order has ended.
#[test]
fn ended_orders_take_no_follow_ups() {
    for act in [follow_up("f1"), ask("q1", "a", "when?")] {
        let mut desk = invited(&["a"]);
        desk.act(Act::Close { reason: None }).unwrap();
        assert_eq!(desk.refused(act.clone()), Reason::OrderEnded, "{act:?}");
    }
}

/// The refusal has the current version or sequence number.
#[test]
fn outdated_commands_are_refused() {
    let mut desk = invited(&["a"]);
    desk.act(propose("p1", "a")).unwrap();
    let expecting = |act: Act, expected| Command { expected: Some(expected), ..Command::bare(act) };
    let first = amend("p1", "a", "9");
    desk.step(&expecting(first, Expected::Version(1))).unwrap();
    let refusal = desk.step(&expecting(amend("p1", "a", "8"), Expected::Version(1))).unwrap_err();
    assert_eq!(refusal.reason, Reason::Changed);
    assert!(refusal.metadata.contains(&("current".to_owned(), "2".to_owned())));
    let close = expecting(Act::Close { reason: None }, Expected::LastSeq(Seq(3)));
    assert_eq!(desk.step(&close).unwrap_err().reason, Reason::Changed);
    assert_eq!(desk.phase(), Phase::Open);
}

/// Lock against expiry: a lease that ran out keeps nobody from amending, to the millisecond.
#[test]
fn locks_end_with_their_lease() {
    let mut desk = invited(&["a"]);
    desk.act(propose("p1", "a")).unwrap();
    desk.act(lock("p1", "editor", 1_000)).unwrap();
    desk.now += 999;
    assert_eq!(desk.refused(amend("p1", "a", "9")), Reason::Locked);
    desk.now += 1;
    desk.act(amend("p1", "a", "9")).unwrap();
}

/// Old lists with such dates are still read.
#[test]
fn invalid_dates_are_refused() {
    let mut desk = invited(&["a"]);
    let vague = Proposed { delivery_date: Some("soon".to_owned()), ..offer(Some("p1"), "a", "9") };
    let refusal = desk.act(Act::Propose(vague.clone())).unwrap_err();
    assert_eq!(refusal.field.as_deref(), Some("delivery_date"));
    let kind = EventKind::NewProposal(vague);
    let old = Event { seq: Seq(3), at: Timestamp(T0), cause: None, kind };
    desk.book.replay(&old).unwrap();
    assert_eq!(desk.book.order().unwrap().proposals.len(), 1);
}
