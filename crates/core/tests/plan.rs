//! Claims about single rules of the controller's machine.

use std::sync::Arc;

use orderstream_core::command::{Award, Opening};
use orderstream_core::plan::{Decision, Desired, Seen, Step, plan};
use orderstream_core::spec::{FollowUp, Message};
use orderstream_core::tracker::StreamState;
use orderstream_core::{
    Act, Book, Command, FollowUpId, IdempotencyKey, Incarnation, OrderKey, OrderSpec, ProposalId,
    Reason, Refusal, Snapshot, Timestamp,
};

const NOW: Timestamp = Timestamp(1_000_000);
const KEEPS_MS: u64 = 5_000;

fn desired() -> Desired {
    Desired {
        key: OrderKey::new("", "SB1").unwrap(),
        incarnation: Incarnation::new("uid-1").unwrap(),
        spec: OrderSpec::default(),
        follow_ups: Vec::new(),
        suspend: false,
        cancel: false,
        close: None,
        award: None,
        generation: 1,
        ttl_after_finished_ms: KEEPS_MS,
    }
}

/// What is seen of an order that is placed, followed, and had these acts.
fn seen(acts: &[Act]) -> Seen {
    let wanted = desired();
    let mut book = Book::new(wanted.key.clone());
    let (incarnation, spec) = (wanted.incarnation.clone(), wanted.spec);
    let opening = Opening { incarnation, spec, choices: Vec::new() };
    let fresh_id = ProposalId::new("fresh").ok();
    let context = orderstream_core::book::Context { now: NOW, fresh_id };
    for act in std::iter::once(&Act::Open(Box::new(opening))).chain(acts) {
        drop(book.step(&context, &Command::bare(act.clone())));
    }
    let snapshot = Snapshot {
        key: wanted.key,
        incarnation: wanted.incarnation,
        stream: StreamState::default(),
        order: book.order().cloned().map(Arc::new),
        refused: Arc::default(),
        notes: 0,
    };
    Seen {
        snapshot: Some(Arc::new(snapshot)),
        placement: Some("http://a".to_owned()),
        ready: vec!["http://b".to_owned()],
        located: true,
        published_terminal: false,
    }
}

fn follow_up(id: &str) -> FollowUp {
    let id = FollowUpId::new(id).unwrap();
    FollowUp { id, audience: Vec::new(), message: Message::default(), answers: None }
}

/// The keys of the acts that are planned.
fn keys(desired: &Desired, seen: &Seen) -> Vec<String> {
    let key = |step| match step {
        Step::Act(command) => command.key.map(String::from),
        _ => None,
    };
    plan(desired, seen, NOW).into_iter().filter_map(key).collect()
}

#[test]
fn a_new_order_is_looked_for_before_it_is_placed() {
    let ready = vec!["http://b".to_owned(), "http://a".to_owned()];
    let unknown = Seen { ready, ..Seen::default() };
    assert_eq!(plan(&desired(), &unknown, NOW), [Step::Locate, Step::Publish]);
    let nowhere = Seen { located: true, ..unknown };
    let b = "http://b".to_owned();
    let wanted = [Step::Place(b.clone()), Step::Start(b), Step::Publish];
    assert_eq!(plan(&desired(), &nowhere, NOW), wanted);
    let none_ready = Seen { ready: Vec::new(), ..nowhere };
    assert_eq!(plan(&desired(), &none_ready, NOW), [Step::Publish]);
}

#[test]
fn a_placed_order_stays_where_it_is_and_is_looked_at_when_its_time_is_over() {
    let seen = seen(&[]);
    let due = NOW.plus_ms(desired().spec.expires_in_ms);
    let wanted = [Step::Start("http://a".to_owned()), Step::Publish, Step::RequeueAt(due)];
    assert_eq!(plan(&desired(), &seen, NOW), wanted);
}

#[test]
fn each_difference_gives_its_act_and_no_difference_none() {
    let pause = Act::Pause { reason: None };
    let with = |change: fn(&mut Desired)| {
        let mut wanted = desired();
        change(&mut wanted);
        wanted
    };
    let asks = with(|d| d.follow_ups = vec![follow_up("f1"), follow_up("f2")]);
    let longer = with(|d| d.spec.expires_in_ms += 1);
    let shorter = with(|d| d.spec.expires_in_ms -= 1);
    let suspended = with(|d| d.suspend = true);
    let cancelled = with(|d| (d.cancel, d.suspend, d.award) = (true, true, Some(award())));
    let awarded = with(|d| (d.award, d.suspend) = (Some(award()), true));
    let other_life = with(|d| {
        d.cancel = true;
        d.incarnation = Incarnation::new("uid-2").unwrap();
    });
    let asked = Act::FollowUp(follow_up("f1"));
    let cases: [(&Desired, Vec<Act>, &[&str]); 10] = [
        (&desired(), vec![], &[]),
        (&asks, vec![], &["follow-up:f1", "follow-up:f2"]),
        (&asks, vec![asked], &["follow-up:f2"]),
        (&longer, vec![], &["extend:1800001"]),
        (&shorter, vec![], &[]),
        (&suspended, vec![], &["suspend:0"]),
        (&suspended, vec![pause.clone()], &[]),
        (&desired(), vec![pause], &["resume:3"]),
        (&cancelled, vec![], &["cancel"]),
        (&awarded, vec![], &["award"]),
    ];
    for (wanted, acts, planned) in cases {
        assert_eq!(keys(wanted, &seen(&acts)), planned, "{wanted:?}");
    }
    assert_eq!(keys(&other_life, &seen(&[])), [""; 0], "another life is not touched");
}

#[test]
fn an_act_that_was_refused_for_good_is_not_asked_again() {
    let wanted = Desired { award: Some(award()), follow_ups: vec![follow_up("f1")], ..desired() };
    let mut seen = seen(&[]);
    let key = IdempotencyKey::new("award").unwrap();
    let refusal = Refusal::new(Reason::ProposalNotFound, "the order has no proposal p1");
    let snapshot = seen.snapshot.as_deref().cloned().unwrap();
    seen.snapshot = Some(Arc::new(Snapshot { refused: [(key, refusal)].into(), ..snapshot }));
    assert_eq!(keys(&wanted, &seen), ["follow-up:f1"]);
}

fn award() -> Decision {
    Decision {
        award: Some(Award::Whole(ProposalId::new("p1").unwrap())),
        reason: None,
        undo_within_ms: None,
        undo: false,
    }
}

#[test]
fn planning_again_gives_the_same_steps() {
    let wanted = Desired { suspend: true, follow_ups: vec![follow_up("f1")], ..desired() };
    let seen = seen(&[]);
    assert_eq!(plan(&wanted, &seen, NOW), plan(&wanted, &seen, NOW));
}

#[test]
fn an_end_is_published_then_the_stream_stops_and_the_resource_goes_in_its_time() {
    let ended = seen(&[Act::Close { reason: None }]);
    let wanted = Desired { cancel: true, ..desired() };
    assert_eq!(plan(&wanted, &ended, NOW), [Step::Publish]);
    let published = Seen { published_terminal: true, ..ended };
    let due = NOW.plus_ms(KEEPS_MS);
    let early = Timestamp(due.0 - 1);
    assert_eq!(plan(&wanted, &published, early), [Step::Stop, Step::RequeueAt(due)]);
    assert_eq!(plan(&wanted, &published, due), [Step::Stop, Step::Remove]);
}

#[test]
fn an_order_whose_end_is_written_down_is_not_started_again() {
    let seen = Seen { snapshot: None, published_terminal: true, ..seen(&[]) };
    assert_eq!(plan(&desired(), &seen, NOW), vec![Step::Stop]);
}
