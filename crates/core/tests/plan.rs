//! Tests of single rules of the controller's state machine.

use std::sync::Arc;

use orderstream_core::command::{Award, OrderOpening, ProposalContent};
use orderstream_core::plan::{
    self, DesiredAward, DesiredClose, DesiredOrder, OrderObservation, ReconcileStep, plan,
};
use orderstream_core::spec::{FollowUp, Message};
use orderstream_core::tracker::StreamState;
use orderstream_core::{
    Book, Command, CommandKind, FollowUpId, IdempotencyKey, Incarnation, OrderKey, OrderSpec,
    Price, ProposalId, Reason, Refusal, SellerId, Timestamp, TrackerSnapshot,
};

const NOW: Timestamp = Timestamp(1_000_000);
const TTL_MS: u64 = 5_000;

fn desired() -> DesiredOrder {
    DesiredOrder {
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
        ttl_after_finished_ms: TTL_MS,
    }
}

/// Returns the observed state of an order that is placed, followed, and had these commands.
fn observed(kinds: &[CommandKind]) -> OrderObservation {
    let resource = desired();
    let mut book = Book::new(resource.key.clone());
    let (incarnation, spec) = (resource.incarnation.clone(), resource.spec);
    let opening = OrderOpening { incarnation, spec, choices: Vec::new() };
    let fresh_id = ProposalId::new("fresh").ok();
    let context = orderstream_core::book::Context { now: NOW, fresh_id };
    for kind in std::iter::once(&CommandKind::Open(Box::new(opening))).chain(kinds) {
        drop(book.step(&context, &Command::bare(kind.clone())));
    }
    let snapshot = TrackerSnapshot {
        key: resource.key,
        incarnation: resource.incarnation,
        stream: StreamState::default(),
        order: book.order().cloned().map(Arc::new),
        published: None,
        refused: Arc::default(),
        follow_up_count: 0,
    };
    OrderObservation {
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
fn keys(desired: &DesiredOrder, observed: &OrderObservation) -> Vec<String> {
    let key = |step| match step {
        ReconcileStep::SendCommand(command) => command.key.map(String::from),
        _ => None,
    };
    plan(desired, observed, NOW).into_iter().filter_map(key).collect()
}

#[test]
fn new_orders_are_located_before_placement() {
    let ready = vec!["http://b".to_owned(), "http://a".to_owned()];
    let unknown = OrderObservation { ready, ..OrderObservation::default() };
    assert_eq!(plan(&desired(), &unknown, NOW), [ReconcileStep::Locate, ReconcileStep::Publish]);
    let nowhere = OrderObservation { located: true, ..unknown };
    let b = "http://b".to_owned();
    let expected =
        [ReconcileStep::Place(b.clone()), ReconcileStep::Start(b), ReconcileStep::Publish];
    assert_eq!(plan(&desired(), &nowhere, NOW), expected);
    let none_ready = OrderObservation { ready: Vec::new(), ..nowhere };
    assert_eq!(plan(&desired(), &none_ready, NOW), [ReconcileStep::Publish]);
}

/// They are reconciled again when their time is over.
#[test]
fn placed_orders_stay_until_their_deadline() {
    let observed = observed(&[]);
    let due = NOW.plus_ms(desired().spec.expires_in_ms);
    let expected = [
        ReconcileStep::Start("http://a".to_owned()),
        ReconcileStep::Publish,
        ReconcileStep::RequeueAt(due),
    ];
    assert_eq!(plan(&desired(), &observed, NOW), expected);
}

/// Their status shows the best proposal, which is another one then.
#[test]
fn lapsing_proposals_are_reconciled_in_time() {
    let due = NOW.plus_ms(desired().spec.expires_in_ms);
    for (valid_until, expected) in [
        (None, due),
        (Some("1970-01-01T00:20:00Z"), Timestamp(1_200_001)),
        // The deadline comes first.
        (Some("1970-01-02"), due),
    ] {
        let observed = observed(&[propose("p1"), propose_until("p2", valid_until)]);
        let last = plan(&desired(), &observed, NOW).pop();
        assert_eq!(last, Some(ReconcileStep::RequeueAt(expected)), "{valid_until:?}");
        let later = Timestamp(1_200_001);
        let last = plan(&desired(), &observed, later).pop();
        assert_eq!(last, Some(ReconcileStep::RequeueAt(due)), "once it has lapsed");
    }
}

#[test]
fn each_difference_gives_one_command() {
    let pause = CommandKind::Pause { reason: None };
    let with = |change: fn(&mut DesiredOrder)| {
        let mut resource = desired();
        change(&mut resource);
        resource
    };
    let asks = with(|d| d.follow_ups = vec![follow_up("f1"), follow_up("f2")]);
    let longer = with(|d| d.spec.expires_in_ms += 1);
    let shorter = with(|d| d.spec.expires_in_ms -= 1);
    let suspended = with(|d| d.suspend = true);
    let cancelled = with(|d| (d.cancel, d.suspend, d.award) = (true, true, Some(award())));
    let awarded = with(|d| (d.award, d.suspend) = (Some(award()), true));
    let other_incarnation = with(|d| {
        d.cancel = true;
        d.incarnation = Incarnation::new("uid-2").unwrap();
    });
    let sent = CommandKind::FollowUp(follow_up("f1"));
    let cases: [(&DesiredOrder, Vec<CommandKind>, &[&str]); 10] = [
        (&desired(), vec![], &[]),
        (&asks, vec![], &["follow-up:f1", "follow-up:f2"]),
        (&asks, vec![sent], &["follow-up:f2"]),
        (&longer, vec![], &["extend:1800001"]),
        (&shorter, vec![], &[]),
        (&suspended, vec![], &["suspend:0"]),
        (&suspended, vec![pause.clone()], &[]),
        (&desired(), vec![pause], &["resume:3"]),
        (&cancelled, vec![], &["cancel"]),
        (&awarded, vec![], &["award:0:1"]),
    ];
    for (resource, kinds, planned) in cases {
        assert_eq!(keys(resource, &observed(&kinds)), planned, "{resource:?}");
    }
    assert_eq!(keys(&other_incarnation, &observed(&[])), [""; 0], "another life is not touched");
}

/// They are sent again after an edit of the resource.
#[test]
fn refused_commands_are_not_repeated() {
    let resource =
        DesiredOrder { award: Some(award()), follow_ups: vec![follow_up("f1")], ..desired() };
    let mut observed = observed(&[]);
    let key = IdempotencyKey::new("award:0:1").unwrap();
    let refusal = Refusal::new(Reason::ProposalNotFound, "the order has no proposal p1");
    let snapshot = observed.snapshot.as_deref().cloned().unwrap();
    observed.snapshot =
        Some(Arc::new(TrackerSnapshot { refused: [(key, refusal)].into(), ..snapshot }));
    assert_eq!(keys(&resource, &observed), ["follow-up:f1"]);
    let refusal_reason = |resource: &DesiredOrder| {
        let snapshot = observed.snapshot.as_deref().unwrap();
        plan::refusal(resource, snapshot).map(|refusal| refusal.reason)
    };
    assert_eq!(refusal_reason(&resource), Some(Reason::ProposalNotFound));
    assert_eq!(refusal_reason(&desired()), None, "what is wanted no more is no trouble");
    let edited = DesiredOrder { generation: 2, ..resource };
    assert_eq!(keys(&edited, &observed), ["follow-up:f1", "award:0:2"], "an edit asks again");
    assert_eq!(refusal_reason(&edited), None);
}

/// Returns the refusal on a resource whose order was ended by these commands.
fn refusal_at_end(resource: &DesiredOrder, kinds: &[CommandKind]) -> Option<(Reason, String)> {
    let observed = observed(kinds);
    let snapshot = observed.snapshot.as_deref().unwrap();
    assert!(snapshot.is_terminal());
    plan::refusal(resource, snapshot).map(|refusal| (refusal.reason, refusal.message))
}

/// The refusal names the request that the order's end left unfulfilled.
#[test]
fn wishes_missed_by_end_are_refused() {
    let other = Award::Whole(ProposalId::new("p2").unwrap());
    let finalised = |award: Option<Award>| {
        let finalise = CommandKind::Finalise { award, reason: None, undo_within_ms: None };
        [propose("p1"), propose("p2"), finalise]
    };
    let resource = DesiredOrder { award: Some(award()), ..desired() };
    let won = award().award;
    assert_eq!(refusal_at_end(&resource, &finalised(won.clone())), None, "it is as it was wanted");
    let (reason, text) = refusal_at_end(&resource, &finalised(Some(other))).unwrap();
    assert_eq!(reason, Reason::AlreadyAwarded);
    assert!(text.starts_with("award: "), "{text}");
    let (reason, text) =
        refusal_at_end(&resource, &[CommandKind::Cancel { reason: None }]).unwrap();
    assert_eq!((reason, text.starts_with("award: ")), (Reason::OrderEnded, true), "{text}");

    let with_follow_up = DesiredOrder { follow_ups: vec![follow_up("f1")], ..desired() };
    let close = [CommandKind::Close { reason: None }];
    let (reason, text) = refusal_at_end(&with_follow_up, &close).unwrap();
    assert_eq!((reason, text.starts_with("follow-up f1: ")), (Reason::OrderEnded, true), "{text}");
    let sent = [CommandKind::FollowUp(follow_up("f1")), CommandKind::Close { reason: None }];
    assert_eq!(refusal_at_end(&with_follow_up, &sent), None);
    assert_eq!(refusal_at_end(&desired(), &close), None, "nothing else was wanted");

    let undone = DesiredAward { undo: true, ..award() };
    let resource = DesiredOrder { award: Some(undone), ..desired() };
    let (reason, text) = refusal_at_end(&resource, &finalised(won)).unwrap();
    assert_eq!((reason, text.starts_with("undo-award: ")), (Reason::AwardNotPending, true));
    let another = Some(Award::Whole(ProposalId::new("p2").unwrap()));
    assert_eq!(refusal_at_end(&resource, &finalised(another)), None, "that one does not stand");
    let nobody = DesiredAward { award: None, undo: true, ..award() };
    let resource = DesiredOrder { award: Some(nobody), ..desired() };
    assert_eq!(refusal_at_end(&resource, &close), None, "there was no award");
}

/// The field is in the text: a resource has no such field.
#[test]
fn refusals_name_command_and_field() {
    let resource = DesiredOrder { award: Some(award()), ..desired() };
    let mut observed = observed(&[]);
    let key = IdempotencyKey::new("award:0:1").unwrap();
    let refusal = Refusal::field("award", "names nothing");
    let snapshot = observed.snapshot.as_deref().cloned().unwrap();
    let snapshot = TrackerSnapshot { refused: [(key, refusal)].into(), ..snapshot };
    let refusal = plan::refusal(&resource, &snapshot).unwrap();
    assert_eq!((refusal.field, refusal.message.as_str()), (None, "award: award: names nothing"));
    observed.snapshot = Some(Arc::new(snapshot));
    assert_eq!(keys(&resource, &observed), [""; 0]);
}

/// Another incarnation of the order must not take them.
#[test]
fn commands_name_their_incarnation() {
    for (ms, undo_within_ms) in [(0, None), (1, Some(1))] {
        let undoable = DesiredAward { undo_within_ms: Some(ms), ..award() };
        let resource = DesiredOrder { award: Some(undoable), ..desired() };
        let commands: Vec<_> = plan(&resource, &observed(&[]), NOW)
            .into_iter()
            .filter_map(|step| {
                if let ReconcileStep::SendCommand(command) = step { Some(command) } else { None }
            })
            .collect();
        let kind = CommandKind::Finalise { award: award().award, reason: None, undo_within_ms };
        let expected = Command {
            key: IdempotencyKey::new("award:0:1").ok(),
            incarnation: Some(resource.incarnation),
            ..Command::bare(kind)
        };
        assert_eq!(commands, [Box::new(expected)]);
    }
}

/// Returns the desired and the observed state of an order that was opened sealed, and had these
/// commands and a tick at `now`.
fn sealed(now: Timestamp, kinds: &[CommandKind]) -> (DesiredOrder, OrderObservation) {
    let resource = desired();
    let spec = OrderSpec { sealed: true, ..resource.spec.clone() };
    let mut book = Book::new(resource.key.clone());
    let opening = OrderOpening {
        incarnation: resource.incarnation.clone(),
        spec: spec.clone(),
        choices: vec![],
    };
    step(&mut book, NOW, CommandKind::Open(Box::new(opening)));
    step(&mut book, NOW, propose("p1"));
    kinds.iter().for_each(|act| step(&mut book, now, act.clone()));
    step(&mut book, now, CommandKind::Tick);
    (DesiredOrder { spec, ..resource }, observed_book(&book))
}

/// Returns the observed state of this order.
fn observed_book(book: &Book) -> OrderObservation {
    let mut observed = observed(&[]);
    let snapshot = observed.snapshot.as_deref().cloned().unwrap();
    let order = book.order().cloned().map(Arc::new);
    observed.snapshot = Some(Arc::new(TrackerSnapshot { order, ..snapshot }));
    observed
}

fn step(book: &mut Book, now: Timestamp, kind: CommandKind) {
    let fresh_id = ProposalId::new("fresh").ok();
    let context = orderstream_core::book::Context { now, fresh_id };
    drop(book.step(&context, &Command::bare(kind)));
}

fn propose(id: &str) -> CommandKind {
    propose_until(id, None)
}

fn propose_until(id: &str, valid_until: Option<&str>) -> CommandKind {
    CommandKind::Propose(ProposalContent {
        proposal_id: ProposalId::new(id).ok(),
        valid_until: valid_until.map(str::to_owned),
        ..ProposalContent::new(
            SellerId::new(format!("seller-of-{id}")).unwrap(),
            Price::parse("10", "EUR").unwrap(),
        )
    })
}

/// They are neither resumed nor paused. An extension is sent, so that its refusal is shown.
#[test]
fn opened_orders_can_only_be_awarded() {
    let due = NOW.plus_ms(desired().spec.expires_in_ms);
    let (resource, opened) = sealed(due, &[]);
    let order = opened.snapshot.as_deref().and_then(|seen| seen.order.as_deref()).unwrap();
    assert_eq!((order.phase.as_str(), order.decide_until.is_some()), ("Deciding", true));
    assert_eq!(keys(&resource, &opened), [""; 0]);
    assert_eq!(keys(&DesiredOrder { suspend: true, ..resource.clone() }, &opened), [""; 0]);
    let spec =
        OrderSpec { expires_in_ms: resource.spec.expires_in_ms * 2, ..resource.spec.clone() };
    let extended = DesiredOrder { spec, ..resource.clone() };
    assert_eq!(keys(&extended, &opened), ["extend:3600000"]);
    let awarded = DesiredOrder { award: Some(award()), ..resource.clone() };
    assert_eq!(keys(&awarded, &opened), ["award:0:1"]);
    let steps = plan(&resource, &opened, due);
    assert_eq!(steps.last(), order.decide_until.map(ReconcileStep::RequeueAt).as_ref());
    let (_, before) = sealed(NOW, &[]);
    assert_eq!(keys(&awarded, &before), ["early-award:0:1"], "its refusal is not for ever");
}

/// Otherwise an award takes effect by itself.
#[test]
fn undo_or_replacement_undoes_award() {
    let undoable = DesiredAward { undo_within_ms: Some(600_000), ..award() };
    let given = CommandKind::Finalise {
        award: undoable.award.clone(),
        reason: None,
        undo_within_ms: undoable.undo_within_ms,
    };
    let undone = CommandKind::UndoAward { reason: None };
    let other = Some(Award::Whole(ProposalId::new("p2").unwrap()));
    let with = |award: DesiredAward| DesiredOrder { award: Some(award), ..desired() };
    let same = with(undoable.clone());
    let undo = with(DesiredAward { undo: true, ..undoable.clone() });
    let another = with(DesiredAward { award: other, ..undoable });
    let proposed = [propose("p1"), propose("p2")];
    let after = |kinds: &[&CommandKind]| {
        let kinds = proposed.iter().chain(kinds.iter().copied()).cloned();
        observed(&kinds.collect::<Vec<_>>())
    };
    let cases: [(&DesiredOrder, &[&CommandKind], &[&str]); 9] = [
        (&same, &[], &["award:0:1"]),
        (&same, &[&given], &[]),
        (&undo, &[], &[]),
        (&undo, &[&given], &["undo-award:0"]),
        (&undo, &[&given, &undone], &[]),
        (&another, &[&given], &["undo-award:0"]),
        (&another, &[&given, &undone], &["award:1:1"]),
        (&same, &[&given, &undone, &given], &[]),
        (&DesiredOrder { suspend: true, ..same.clone() }, &[&given], &[]),
    ];
    for (resource, kinds, planned) in cases {
        assert_eq!(keys(resource, &after(kinds)), planned, "{resource:?} after {kinds:?}");
    }
    let steps = plan(&same, &after(&[&given]), NOW);
    assert_eq!(steps.last(), Some(&ReconcileStep::RequeueAt(NOW.plus_ms(600_000))));
}

/// It was given just before the deadline of an order without time to decide, and is replaced in one
/// edit after it.
#[test]
fn awards_are_replaced_after_the_deadline() {
    let spec = OrderSpec { decide_within_ms: Some(0), ..desired().spec };
    let other = Some(Award::Whole(ProposalId::new("p2").unwrap()));
    let replaced = DesiredAward { award: other.clone(), ..award() };
    let resource = DesiredOrder { spec: spec.clone(), award: Some(replaced), ..desired() };
    let (incarnation, deadline) = (resource.incarnation.clone(), spec.expires_in_ms);
    let mut book = Book::new(resource.key.clone());
    let opening = OrderOpening { incarnation, spec, choices: Vec::new() };
    step(&mut book, NOW, CommandKind::Open(Box::new(opening)));
    step(&mut book, NOW, propose("p1"));
    step(&mut book, NOW, propose("p2"));
    let first =
        CommandKind::Finalise { award: award().award, reason: None, undo_within_ms: Some(600_000) };
    step(&mut book, NOW.plus_ms(deadline - 1), first);
    let now = NOW.plus_ms(deadline + 1);
    for key in ["undo-award:0", "award:1:1"] {
        let observed = observed_book(&book);
        assert_eq!(keys(&resource, &observed), [key]);
        for planned in plan(&resource, &observed, now) {
            if let ReconcileStep::SendCommand(command) = planned {
                step(&mut book, now, command.kind);
            }
        }
        step(&mut book, now, CommandKind::Tick);
    }
    let order = book.order().unwrap();
    assert_eq!((order.phase.as_str(), &order.award), ("Finalised", &other));
}

/// The command has the buyer's reason.
#[test]
fn close_ends_order_despite_pending_award() {
    let close = Some(DesiredClose { reason: Some("no budget".to_owned()) });
    let resource = DesiredOrder { close, suspend: true, ..desired() };
    let steps = plan(&resource, &observed(&[]), NOW);
    let kinds: Vec<_> = steps
        .into_iter()
        .filter_map(|step| {
            if let ReconcileStep::SendCommand(command) = step { Some(command.kind) } else { None }
        })
        .collect();
    assert_eq!(kinds, [CommandKind::Close { reason: Some("no budget".to_owned()) }]);
    let given = CommandKind::Finalise { award: None, reason: None, undo_within_ms: Some(600_000) };
    assert_eq!(keys(&resource, &observed(std::slice::from_ref(&given))), ["close"]);
    // An award that was undone or refused stays in the resource.
    let undone = Some(DesiredAward { undo: true, ..award() });
    let resource = DesiredOrder { award: undone, ..resource };
    assert_eq!(keys(&resource, &observed(&[])), ["close"]);
    assert_eq!(keys(&resource, &observed(&[given])), ["close"]);
}

#[test]
fn manifest_reasons_go_with_their_commands() {
    let reason = |text: &str| Some(text.to_owned());
    let undone = DesiredAward { undo: true, undo_reason: reason("typo"), ..award() };
    let given =
        CommandKind::Finalise { award: award().award, reason: None, undo_within_ms: Some(600_000) };
    let cases = [
        (
            DesiredOrder { suspend: true, suspend_reason: reason("stocktaking"), ..desired() },
            observed(&[]),
            CommandKind::Pause { reason: reason("stocktaking") },
        ),
        (
            DesiredOrder { cancel: true, cancel_reason: reason("no budget"), ..desired() },
            observed(&[]),
            CommandKind::Cancel { reason: reason("no budget") },
        ),
        (
            DesiredOrder { award: Some(undone), ..desired() },
            observed(&[propose("p1"), given]),
            CommandKind::UndoAward { reason: reason("typo") },
        ),
    ];
    for (resource, observed, expected) in cases {
        let kind = plan(&resource, &observed, NOW).into_iter().find_map(|step| match step {
            ReconcileStep::SendCommand(command) => Some(command.kind),
            _ => None,
        });
        assert_eq!(kind, Some(expected));
    }
}

fn award() -> DesiredAward {
    DesiredAward {
        award: Some(Award::Whole(ProposalId::new("p1").unwrap())),
        reason: None,
        undo_within_ms: None,
        undo: false,
        undo_reason: None,
    }
}

#[test]
fn planning_again_gives_the_same_steps() {
    let resource = DesiredOrder { suspend: true, follow_ups: vec![follow_up("f1")], ..desired() };
    let observed = observed(&[]);
    assert_eq!(plan(&resource, &observed, NOW), plan(&resource, &observed, NOW));
}

/// The stream stops once the end is published; the resource is removed after its time to live.
#[test]
fn ended_orders_are_published_then_removed() {
    let ended = observed(&[CommandKind::Close { reason: None }]);
    let resource = DesiredOrder { cancel: true, ..desired() };
    assert_eq!(plan(&resource, &ended, NOW), [ReconcileStep::Publish]);
    let published = OrderObservation { published_terminal: true, ..ended };
    let due = NOW.plus_ms(TTL_MS);
    let early = Timestamp(due.0 - 1);
    assert_eq!(
        plan(&resource, &published, early),
        [ReconcileStep::Stop, ReconcileStep::RequeueAt(due)]
    );
    assert_eq!(plan(&resource, &published, due), [ReconcileStep::Stop, ReconcileStep::Remove]);
}

#[test]
fn published_ends_start_no_stream() {
    let observed = OrderObservation { snapshot: None, published_terminal: true, ..observed(&[]) };
    assert_eq!(plan(&desired(), &observed, NOW), vec![ReconcileStep::Stop]);
}
