//! Claims about single rules of the controller's state machine.

use std::sync::Arc;

use orderstream_core::command::{Award, Opening, Proposed};
use orderstream_core::plan::{self, Closing, Decision, Desired, Seen, Step, plan};
use orderstream_core::spec::{FollowUp, Message};
use orderstream_core::tracker::StreamState;
use orderstream_core::{
    Act, Book, Command, FollowUpId, IdempotencyKey, Incarnation, OrderKey, OrderSpec, Price,
    ProposalId, Reason, Refusal, SellerId, Snapshot, Timestamp,
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
        suspend_reason: None,
        cancel: false,
        cancel_reason: None,
        close: None,
        award: None,
        generation: 1,
        ttl_after_finished_ms: KEEPS_MS,
    }
}

/// Returns the observed state of an order that is placed, followed, and had these commands.
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
        shown: None,
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

/// Returns the keys of the planned commands.
fn keys(desired: &Desired, seen: &Seen) -> Vec<String> {
    let key = |step| match step {
        Step::Act(command) => command.key.map(String::from),
        _ => None,
    };
    plan(desired, seen, NOW).into_iter().filter_map(key).collect()
}

#[test]
fn new_orders_are_located_before_placement() {
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

/// They are reconciled again when their time is over.
#[test]
fn placed_orders_stay_until_their_deadline() {
    let seen = seen(&[]);
    let due = NOW.plus_ms(desired().spec.expires_in_ms);
    let wanted = [Step::Start("http://a".to_owned()), Step::Publish, Step::RequeueAt(due)];
    assert_eq!(plan(&desired(), &seen, NOW), wanted);
}

#[test]
fn each_difference_gives_one_command() {
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
        (&awarded, vec![], &["award:0:1"]),
    ];
    for (wanted, acts, planned) in cases {
        assert_eq!(keys(wanted, &seen(&acts)), planned, "{wanted:?}");
    }
    assert_eq!(keys(&other_life, &seen(&[])), [""; 0], "another life is not touched");
}

/// They are sent again after an edit of the resource.
#[test]
fn refused_commands_are_not_repeated() {
    let wanted = Desired { award: Some(award()), follow_ups: vec![follow_up("f1")], ..desired() };
    let mut seen = seen(&[]);
    let key = IdempotencyKey::new("award:0:1").unwrap();
    let refusal = Refusal::new(Reason::ProposalNotFound, "the order has no proposal p1");
    let snapshot = seen.snapshot.as_deref().cloned().unwrap();
    seen.snapshot = Some(Arc::new(Snapshot { refused: [(key, refusal)].into(), ..snapshot }));
    assert_eq!(keys(&wanted, &seen), ["follow-up:f1"]);
    let told = |wanted: &Desired| {
        let snapshot = seen.snapshot.as_deref().unwrap();
        plan::refusal(wanted, snapshot).map(|refusal| refusal.reason)
    };
    assert_eq!(told(&wanted), Some(Reason::ProposalNotFound));
    assert_eq!(told(&desired()), None, "what is wanted no more is no trouble");
    let edited = Desired { generation: 2, ..wanted };
    assert_eq!(keys(&edited, &seen), ["follow-up:f1", "award:0:2"], "an edit asks again");
    assert_eq!(told(&edited), None);
}

/// Returns the refusal on a resource whose order was ended by these commands.
fn told_at_the_end(wanted: &Desired, acts: &[Act]) -> Option<(Reason, String)> {
    let seen = seen(acts);
    let snapshot = seen.snapshot.as_deref().unwrap();
    assert!(snapshot.is_terminal());
    plan::refusal(wanted, snapshot).map(|refusal| (refusal.reason, refusal.message))
}

/// The refusal names the wish that the order ended without.
#[test]
fn wishes_missed_by_end_are_refused() {
    let other = Award::Whole(ProposalId::new("p2").unwrap());
    let finalised = |award: Option<Award>| {
        let finalise = Act::Finalise { award, reason: None, undo_within_ms: None };
        [propose("p1"), propose("p2"), finalise]
    };
    let wanted = Desired { award: Some(award()), ..desired() };
    let won = award().award;
    assert_eq!(told_at_the_end(&wanted, &finalised(won.clone())), None, "it is as it was wanted");
    let (reason, text) = told_at_the_end(&wanted, &finalised(Some(other))).unwrap();
    assert_eq!(reason, Reason::AlreadyAwarded);
    assert!(text.starts_with("award: "), "{text}");
    let (reason, text) = told_at_the_end(&wanted, &[Act::Cancel { reason: None }]).unwrap();
    assert_eq!((reason, text.starts_with("award: ")), (Reason::OrderEnded, true), "{text}");

    let asked = Desired { follow_ups: vec![follow_up("f1")], ..desired() };
    let close = [Act::Close { reason: None }];
    let (reason, text) = told_at_the_end(&asked, &close).unwrap();
    assert_eq!((reason, text.starts_with("follow-up f1: ")), (Reason::OrderEnded, true), "{text}");
    let said = [Act::FollowUp(follow_up("f1")), Act::Close { reason: None }];
    assert_eq!(told_at_the_end(&asked, &said), None);
    assert_eq!(told_at_the_end(&desired(), &close), None, "nothing else was wanted");

    let undone = Decision { undo: true, ..award() };
    let wanted = Desired { award: Some(undone), ..desired() };
    let (reason, text) = told_at_the_end(&wanted, &finalised(won)).unwrap();
    assert_eq!((reason, text.starts_with("undo-award: ")), (Reason::AwardNotPending, true));
}

/// Returns the desired and the observed state of an order that was opened sealed, and had these
/// commands and a tick at `now`.
fn sealed(now: Timestamp, acts: &[Act]) -> (Desired, Seen) {
    let wanted = desired();
    let spec = OrderSpec { sealed: true, ..wanted.spec.clone() };
    let mut book = Book::new(wanted.key.clone());
    let opening =
        Opening { incarnation: wanted.incarnation.clone(), spec: spec.clone(), choices: vec![] };
    step(&mut book, NOW, Act::Open(Box::new(opening)));
    step(&mut book, NOW, propose("p1"));
    acts.iter().for_each(|act| step(&mut book, now, act.clone()));
    step(&mut book, now, Act::Tick);
    let mut seen = seen(&[]);
    let snapshot = seen.snapshot.as_deref().cloned().unwrap();
    let order = book.order().cloned().map(Arc::new);
    seen.snapshot = Some(Arc::new(Snapshot { order, ..snapshot }));
    (Desired { spec, ..wanted }, seen)
}

fn step(book: &mut Book, now: Timestamp, act: Act) {
    let fresh_id = ProposalId::new("fresh").ok();
    let context = orderstream_core::book::Context { now, fresh_id };
    drop(book.step(&context, &Command::bare(act)));
}

fn propose(id: &str) -> Act {
    Act::Propose(Proposed {
        proposal_id: ProposalId::new(id).ok(),
        seller: SellerId::new("seller1").unwrap(),
        price: Price::parse("10", "EUR").unwrap(),
        lines: Vec::new(),
        note: None,
        delivery_date: None,
        valid_until: None,
        attachments: Vec::new(),
    })
}

/// They are neither resumed nor paused nor extended.
#[test]
fn opened_orders_can_only_be_awarded() {
    let due = NOW.plus_ms(desired().spec.expires_in_ms);
    let (wanted, opened) = sealed(due, &[]);
    let order = opened.snapshot.as_deref().and_then(|seen| seen.order.as_deref()).unwrap();
    assert_eq!((order.phase.as_str(), order.decide_until.is_some()), ("Paused", true));
    assert_eq!(keys(&wanted, &opened), [""; 0]);
    assert_eq!(keys(&Desired { suspend: true, ..wanted.clone() }, &opened), [""; 0]);
    let spec = OrderSpec { expires_in_ms: wanted.spec.expires_in_ms * 2, ..wanted.spec.clone() };
    assert_eq!(keys(&Desired { spec, ..wanted.clone() }, &opened), [""; 0]);
    let awarded = Desired { award: Some(award()), ..wanted.clone() };
    assert_eq!(keys(&awarded, &opened), ["award:0:1"]);
    let steps = plan(&wanted, &opened, due);
    assert_eq!(steps.last(), order.decide_until.map(Step::RequeueAt).as_ref());
    let (_, before) = sealed(NOW, &[]);
    assert_eq!(keys(&awarded, &before), ["early-award:0:1"], "its refusal is not for ever");
}

/// Otherwise they count by themselves.
#[test]
fn undo_or_replacement_undoes_award() {
    let undoable = Decision { undo_within_ms: Some(600_000), ..award() };
    let given = Act::Finalise {
        award: undoable.award.clone(),
        reason: None,
        undo_within_ms: undoable.undo_within_ms,
    };
    let undone = Act::UndoAward { reason: None };
    let other = Some(Award::Whole(ProposalId::new("p2").unwrap()));
    let with = |award: Decision| Desired { award: Some(award), ..desired() };
    let same = with(undoable.clone());
    let undo = with(Decision { undo: true, ..undoable.clone() });
    let another = with(Decision { award: other, ..undoable });
    let proposed = [propose("p1"), propose("p2")];
    let after = |acts: &[&Act]| {
        let acts = proposed.iter().chain(acts.iter().copied()).cloned();
        seen(&acts.collect::<Vec<_>>())
    };
    let cases: [(&Desired, &[&Act], &[&str]); 9] = [
        (&same, &[], &["award:0:1"]),
        (&same, &[&given], &[]),
        (&undo, &[], &[]),
        (&undo, &[&given], &["undo-award:0"]),
        (&undo, &[&given, &undone], &[]),
        (&another, &[&given], &["undo-award:0"]),
        (&another, &[&given, &undone], &["award:1:1"]),
        (&same, &[&given, &undone, &given], &[]),
        (&Desired { suspend: true, ..same.clone() }, &[&given], &[]),
    ];
    for (wanted, acts, planned) in cases {
        assert_eq!(keys(wanted, &after(acts)), planned, "{wanted:?} after {acts:?}");
    }
    let steps = plan(&same, &after(&[&given]), NOW);
    assert_eq!(steps.last(), Some(&Step::RequeueAt(NOW.plus_ms(600_000))));
}

/// Its reason goes with it.
#[test]
fn close_ends_order_despite_pending_award() {
    let close = Some(Closing { reason: Some("no budget".to_owned()) });
    let wanted = Desired { close, suspend: true, ..desired() };
    let steps = plan(&wanted, &seen(&[]), NOW);
    let acts: Vec<_> = steps
        .into_iter()
        .filter_map(|step| if let Step::Act(command) = step { Some(command.act) } else { None })
        .collect();
    assert_eq!(acts, [Act::Close { reason: Some("no budget".to_owned()) }]);
    let given = Act::Finalise { award: None, reason: None, undo_within_ms: Some(600_000) };
    assert_eq!(keys(&wanted, &seen(&[given])), ["close"]);
}

#[test]
fn manifest_reasons_go_with_their_commands() {
    let why = |text: &str| Some(text.to_owned());
    let undone = Decision { undo: true, undo_reason: why("typo"), ..award() };
    let given = Act::Finalise { award: award().award, reason: None, undo_within_ms: Some(600_000) };
    let cases = [
        (
            Desired { suspend: true, suspend_reason: why("stocktaking"), ..desired() },
            seen(&[]),
            Act::Pause { reason: why("stocktaking") },
        ),
        (
            Desired { cancel: true, cancel_reason: why("no budget"), ..desired() },
            seen(&[]),
            Act::Cancel { reason: why("no budget") },
        ),
        (
            Desired { award: Some(undone), ..desired() },
            seen(&[propose("p1"), given]),
            Act::UndoAward { reason: why("typo") },
        ),
    ];
    for (wanted, seen, expected) in cases {
        let act = plan(&wanted, &seen, NOW).into_iter().find_map(|step| match step {
            Step::Act(command) => Some(command.act),
            _ => None,
        });
        assert_eq!(act, Some(expected));
    }
}

fn award() -> Decision {
    Decision {
        award: Some(Award::Whole(ProposalId::new("p1").unwrap())),
        reason: None,
        undo_within_ms: None,
        undo: false,
        undo_reason: None,
    }
}

#[test]
fn planning_again_gives_the_same_steps() {
    let wanted = Desired { suspend: true, follow_ups: vec![follow_up("f1")], ..desired() };
    let seen = seen(&[]);
    assert_eq!(plan(&wanted, &seen, NOW), plan(&wanted, &seen, NOW));
}

/// The stream stops once the end is published; the resource goes after its time to live.
#[test]
fn ended_orders_are_published_then_removed() {
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
fn published_ends_start_no_stream() {
    let seen = Seen { snapshot: None, published_terminal: true, ..seen(&[]) };
    assert_eq!(plan(&desired(), &seen, NOW), vec![Step::Stop]);
}
