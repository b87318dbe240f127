//! A correct history: an order that is awarded, and a sealed one that is closed.

use std::collections::BTreeMap;

use super::super::*;
use super::{ORDER, SEALED};
use crate::history::{Found, Micros, Reader, Seen};
use crate::op::{Op, Opening, Outcome, Over};

const OPENED_AT: i64 = 1_000_000;
pub(super) const LIFE_MS: u64 = 600_000;

/// Returns the steps of the correct history: each a command and the event that it causes.
fn steps() -> Vec<(Op, &'static str, Over, Event)> {
    let rest = Over::Rest(0);
    let event = |kind: &str, change: &str, proposal: &str| Event {
        kind: kind.to_owned(),
        change: change.to_owned(),
        proposal: proposal.to_owned(),
        ..Event::default()
    };
    let proposal = |id: &str| id.to_owned();
    let offer = |who: &str, id: &str, change: &str, version| {
        let kind = if change.is_empty() { "NewProposal" } else { "ProposalUpdate" };
        Event { who: who.to_owned(), version: Some(version), ..event(kind, change, id) }
    };
    let lock =
        |who: &str, change: &str| Event { who: who.to_owned(), ..event("EditLock", change, "a") };
    let held = Op::Lock { proposal: proposal("a"), lease_ms: 50_001 };
    vec![
        (Op::Propose { proposal: proposal("a") }, "acme", rest, offer("acme", "a", "", 1)),
        (Op::Propose { proposal: proposal("b") }, "bolt", rest, offer("bolt", "b", "", 1)),
        (Op::Amend { proposal: proposal("a") }, "acme", rest, offer("acme", "a", "amended", 2)),
        (held, "acme", rest, lock("acme", "locked")),
        (Op::Unlock { proposal: proposal("a") }, "acme", rest, lock("acme", "unlocked")),
        (Op::FollowUp, "buyer", Over::Requestor, event("FollowUpAdded", "", "")),
        (
            Op::Ask,
            "bolt",
            rest,
            Event { who: "bolt".to_owned(), ..event("ProposalUpdate", "asked", "") },
        ),
        (Op::Pause, "buyer", Over::Grpc(0), event("OrderPaused", "paused", "")),
        (Op::Resume, "buyer", Over::Grpc(0), event("OrderResumed", "", "")),
        (
            Op::Award { proposal: proposal("a"), undo_within_ms: 0 },
            "buyer",
            Over::Requestor,
            event("OrderFinalised", "", "a"),
        ),
    ]
}

pub(super) fn act(t: Micros, op: &Op, actor: &str, over: Over) -> Act {
    let token = format!("{actor}@{t}");
    Act {
        t_call: t,
        t_ret: t + 50,
        client: actor.to_owned(),
        actor: actor.to_owned(),
        over,
        order: ORDER.to_owned(),
        op: op.clone(),
        key: token.clone(),
        token,
        epoch: 0,
        result: Outcome::DONE,
    }
}

fn opened(order: &str) -> Vec<Event> {
    let sealed = order == SEALED;
    let life = i64::try_from(LIFE_MS).unwrap_or_default();
    let first = Event {
        seq: 1,
        at: OPENED_AT,
        kind: "OrderOpened".to_owned(),
        until: Some(OPENED_AT + life),
        id: format!("life of {order}"),
        sealed,
        ..Event::default()
    };
    let sellers = vec!["acme".to_owned(), "bolt".to_owned()];
    let second = Event {
        seq: 2,
        at: OPENED_AT,
        kind: "SellersSelected".to_owned(),
        sellers,
        ..Event::default()
    };
    vec![first, second]
}

fn told(t: Micros, reader: Reader, name: &str, event: &Event) -> Line {
    Line::Told(Told {
        t,
        reader,
        name: name.to_owned(),
        connection: 1,
        after: 0,
        order: ORDER.to_owned(),
        event: event.clone(),
    })
}

fn view(t: Micros, page: &str, list: &[Event]) -> View {
    let states = model::State::all(list);
    let state = states.last().cloned().unwrap_or_default();
    let seen = Seen {
        phase: state.phase.to_owned(),
        last_seq: state.seq,
        epoch: 1,
        proposals: state.counts(),
        follow_ups: state.follow_ups,
        incarnation: String::new(),
    };
    let (page, order) = (page.to_owned(), ORDER.to_owned());
    View { t_call: t, t_ret: t + 5, page, order, found: Found::Order(seen), is_last: false }
}

/// Returns a history without findings.
pub(super) fn good() -> Vec<Line> {
    let opening = Op::Open(Opening { expires_in_ms: LIFE_MS, ..Opening::default() });
    let mut lines = vec![Line::Act(act(0, &opening, "buyer", Over::Requestor))];
    let mut list = opened(ORDER);
    let mut t = 1_000;
    for (op, actor, over, event) in steps() {
        let mut act = act(t, &op, actor, over);
        let at = OPENED_AT + i64::try_from(t).unwrap_or_default();
        let seq = list.len() as u64 + 1;
        let mut event = Event { seq, at, ..event };
        if matches!(op, Op::Lock { .. }) {
            event.until = Some(at + 50_001);
        } else if !matches!(op, Op::Unlock { .. } | Op::Resume) {
            event.token.clone_from(&act.token);
        }
        if over != Over::Requestor {
            act.result = Outcome::Ok { seq: Some(seq) };
        }
        lines.push(Line::Act(act));
        list.push(event);
        for page in ["order", "tracking"] {
            lines.push(Line::View(view(t + 60, page, &list)));
        }
        t += 1_000;
    }
    // Too late, and said so; a second award under another key.
    let other = Op::Award { proposal: "b".to_owned(), undo_within_ms: 0 };
    let mut late = act(t, &other, "late", Over::Requestor);
    late.result = Outcome::refused("ALREADY_AWARDED");
    lines.push(Line::Act(late));
    for (place, event) in list.iter().enumerate() {
        let t = 100 + 1_000 * place as u64;
        let t = if place < 2 { 100 } else { t - 1_000 + 55 };
        lines.push(told(t, Reader::Observer, "observer", event));
        lines.push(told(t, Reader::Sse, "sse", event));
    }
    lines.extend(owners());
    lines.extend(ends(&list, t));
    lines.extend(sealed());
    lines
}

/// Returns two trackers of one order, the second of which took over, and commands under their
/// epochs.
fn owners() -> Vec<Line> {
    let stream = |epoch, t_call, reason: &str| {
        Line::Stream(Stream {
            t_call,
            t_first: Some(t_call + 10),
            t_end: 9_000,
            name: format!("tracker-{epoch}"),
            order: ORDER.to_owned(),
            epoch,
            reason: reason.to_owned(),
        })
    };
    vec![stream(3, 200, "SUPERSEDED"), stream(7, 5_000, "")]
}

/// Returns the final readings.
fn ends(list: &[Event], t: Micros) -> Vec<Line> {
    let mut lines = Vec::new();
    for page in ["order", "tracking"] {
        lines.push(Line::View(View { is_last: true, ..view(t + 500, page, list) }));
    }
    let orders = vec![ORDER.to_owned(), SEALED.to_owned()];
    lines.push(Line::Roll(Roll { t_call: 300, t_ret: 310, orders: orders.clone(), total: 2 }));
    lines.push(Line::Roll(Roll { t_call: t + 500, t_ret: t + 510, orders, total: 2 }));
    for by in ["grpc", "sse 0"] {
        let (order, by) = (ORDER.to_owned(), by.to_owned());
        lines.push(Line::List(List { order, by, events: Ok(list.to_vec()) }));
    }
    let states = model::State::all(list);
    let proposals = states.last().map(model::State::proposals).unwrap_or_default();
    let talk = list.iter().filter(|event| event.kind == "FollowUpAdded" || event.change == "asked");
    let said = talk.map(|event| (event.seq, String::new())).collect();
    lines.push(Line::Pages(Pages { order: ORDER.to_owned(), proposals, said }));
    let method = "grpc_method=\"Award\"";
    let series = BTreeMap::from([
        (format!("grpc_server_started_total{{{method}}}"), 3.0),
        (format!("grpc_server_handled_total{{grpc_code=\"OK\",{method}}}"), 2.0),
        (format!("grpc_server_handled_total{{grpc_code=\"Aborted\",{method}}}"), 1.0),
        (format!("grpc_server_in_flight{{{method}}}"), 0.0),
        ("orderstream_processor_orders".to_owned(), 2.0),
    ]);
    let process = "processor-0".to_owned();
    let (rss_kb, descriptors, orders) = (90_000, 40, Some(2));
    lines.push(Line::Figures(Figures { process, series, rss_kb, descriptors, orders }));
    lines
}

/// Returns a sealed order that is opened at its deadline, and ends with a close.
fn sealed() -> Vec<Line> {
    let opening = Op::Open(Opening { expires_in_ms: LIFE_MS, sealed: true, ..Opening::default() });
    let of_sealed = |act: Act| Act { order: SEALED.to_owned(), ..act };
    let mut list = opened(SEALED);
    let propose = Op::Propose { proposal: "s".to_owned() };
    let offer = of_sealed(act(2_000, &propose, "acme", Over::Rest(0)));
    let offered = Event {
        seq: 3,
        at: OPENED_AT + 2,
        kind: "NewProposal".to_owned(),
        proposal: "s".to_owned(),
        who: "acme".to_owned(),
        token: offer.token.clone(),
        version: Some(1),
        ..Event::default()
    };
    let hidden = Event { who: "sealed".to_owned(), token: String::new(), ..offered.clone() };
    list.push(offered);
    let deadline = OPENED_AT + i64::try_from(LIFE_MS).unwrap_or_default();
    let opened = "ProposalsOpened".to_owned();
    list.push(Event { seq: 4, at: deadline, kind: opened, ..Event::default() });
    // Opened, it is paused already.
    let pause = Act {
        result: Outcome::DONE,
        ..of_sealed(act(690_000_000, &Op::Pause, "buyer", Over::Requestor))
    };
    let close = of_sealed(act(700_000_000, &Op::Close, "buyer", Over::Grpc(0)));
    list.push(Event {
        seq: 5,
        at: deadline + 1,
        kind: "OrderClosed".to_owned(),
        token: close.token.clone(),
        ..Event::default()
    });
    let watch = |event: &Event, t| {
        Line::Told(Told {
            t,
            reader: Reader::Session,
            name: "bolt-1".to_owned(),
            connection: 1,
            after: 0,
            order: SEALED.to_owned(),
            event: event.clone(),
        })
    };
    let events = Ok(list.clone());
    let (order, by) = (SEALED.to_owned(), "grpc".to_owned());
    vec![
        Line::Act(of_sealed(act(1, &opening, "opener", Over::Requestor))),
        Line::Act(offer),
        Line::Act(pause),
        Line::Act(close),
        watch(&hidden, 3_000),
        Line::List(List { order, by, events }),
    ]
}
