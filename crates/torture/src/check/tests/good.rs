//! A correct history: an awarded order, and a closed sealed one.

use std::collections::BTreeMap;

use super::super::*;
use super::{ORDER, SEALED};
use crate::command::{ClientCommand, ClientInterface, ClientOutcome, OpeningParameters};
use crate::history::{Micros, PageLookup, PageSnapshot, ReaderKind};

const OPENED_AT: i64 = 1_000_000;
pub(super) const LIFETIME_MS: u64 = 600_000;

/// Returns the steps of the correct history: each is a command with the event that it causes.
fn steps() -> Vec<(ClientCommand, &'static str, ClientInterface, ComparableEvent)> {
    let rest = ClientInterface::Rest(0);
    let event = |kind: &str, change: &str, proposal: &str| ComparableEvent {
        kind: kind.to_owned(),
        change: change.to_owned(),
        proposal: proposal.to_owned(),
        ..ComparableEvent::default()
    };
    let proposal = |id: &str| id.to_owned();
    let proposal_event = |who: &str, id: &str, change: &str, version| {
        let kind = if change.is_empty() { "NewProposal" } else { "ProposalUpdate" };
        ComparableEvent { actor: who.to_owned(), version: Some(version), ..event(kind, change, id) }
    };
    let lock = |who: &str, change: &str| ComparableEvent {
        actor: who.to_owned(),
        ..event("EditLock", change, "a")
    };
    let lock_command = ClientCommand::Lock { proposal: proposal("a"), lease_ms: 50_001 };
    vec![
        (
            ClientCommand::Propose { proposal: proposal("a"), is_alternative: false },
            "acme",
            rest,
            proposal_event("acme", "a", "", 1),
        ),
        (
            ClientCommand::Propose { proposal: proposal("b"), is_alternative: false },
            "bolt",
            rest,
            proposal_event("bolt", "b", "", 1),
        ),
        (
            ClientCommand::Amend { proposal: proposal("a") },
            "acme",
            rest,
            proposal_event("acme", "a", "amended", 2),
        ),
        (lock_command, "acme", rest, lock("acme", "locked")),
        (ClientCommand::Unlock { proposal: proposal("a") }, "acme", rest, lock("acme", "unlocked")),
        (
            ClientCommand::FollowUp,
            "buyer",
            ClientInterface::Requestor,
            event("FollowUpAdded", "", ""),
        ),
        (
            ClientCommand::Ask,
            "bolt",
            rest,
            ComparableEvent { actor: "bolt".to_owned(), ..event("ProposalUpdate", "asked", "") },
        ),
        (
            ClientCommand::Pause,
            "buyer",
            ClientInterface::Grpc(0),
            event("OrderPaused", "paused", ""),
        ),
        (ClientCommand::Resume, "buyer", ClientInterface::Grpc(0), event("OrderResumed", "", "")),
        (
            ClientCommand::Award { proposal: proposal("a"), undo_within_ms: 0 },
            "buyer",
            ClientInterface::Requestor,
            event("OrderFinalised", "", "a"),
        ),
    ]
}

pub(super) fn attempt(
    time: Micros,
    command: &ClientCommand,
    actor: &str,
    interface: ClientInterface,
) -> ClientAttempt {
    let token = format!("{actor}@{time}");
    ClientAttempt {
        called_at: time,
        returned_at: time + 50,
        client: actor.to_owned(),
        actor: actor.to_owned(),
        interface,
        order: ORDER.to_owned(),
        command: command.clone(),
        key: token.clone(),
        token,
        epoch: 0,
        result: ClientOutcome::SUCCESS,
    }
}

fn opened(order: &str) -> Vec<ComparableEvent> {
    let sealed = order == SEALED;
    let lifetime = i64::try_from(LIFETIME_MS).unwrap_or_default();
    let first = ComparableEvent {
        seq: 1,
        at: OPENED_AT,
        kind: "OrderOpened".to_owned(),
        until: Some(OPENED_AT + lifetime),
        id: format!("life of {order}"),
        sealed,
        ..ComparableEvent::default()
    };
    let sellers = vec!["acme".to_owned(), "bolt".to_owned()];
    let second = ComparableEvent {
        seq: 2,
        at: OPENED_AT,
        kind: "SellersSelected".to_owned(),
        sellers,
        ..ComparableEvent::default()
    };
    vec![first, second]
}

fn receipt_line(
    received_at: Micros,
    reader: ReaderKind,
    name: &str,
    event: &ComparableEvent,
) -> HistoryLine {
    HistoryLine::Receipt(EventReceipt {
        received_at,
        reader,
        name: name.to_owned(),
        connection: 1,
        after: 0,
        order: ORDER.to_owned(),
        event: event.clone(),
    })
}

fn reading(time: Micros, page: &str, list: &[ComparableEvent]) -> PageReading {
    let states = model::ReferenceState::all(list);
    let state = states.last().cloned().unwrap_or_default();
    let snapshot = PageSnapshot {
        phase: state.phase.to_owned(),
        last_seq: state.seq,
        epoch: 1,
        proposals: state.counts(),
        follow_ups: state.follow_ups,
        incarnation: String::new(),
    };
    let (page, order) = (page.to_owned(), ORDER.to_owned());
    PageReading {
        called_at: time,
        returned_at: time + 5,
        page,
        order,
        result: PageLookup::Order(snapshot),
        is_last: false,
    }
}

/// Returns a history without findings.
pub(super) fn good() -> Vec<HistoryLine> {
    let opening = ClientCommand::Open(OpeningParameters {
        expires_in_ms: LIFETIME_MS,
        ..OpeningParameters::default()
    });
    let mut lines =
        vec![HistoryLine::Attempt(attempt(0, &opening, "buyer", ClientInterface::Requestor))];
    let mut list = opened(ORDER);
    let mut time = 1_000;
    for (command, actor, interface, event) in steps() {
        let mut attempt = attempt(time, &command, actor, interface);
        let at = OPENED_AT + i64::try_from(time).unwrap_or_default();
        let seq = list.len() as u64 + 1;
        let mut event = ComparableEvent { seq, at, ..event };
        if matches!(command, ClientCommand::Lock { .. }) {
            event.until = Some(at + 50_001);
        } else if !matches!(command, ClientCommand::Unlock { .. } | ClientCommand::Resume) {
            event.token.clone_from(&attempt.token);
        }
        if interface != ClientInterface::Requestor {
            attempt.result = ClientOutcome::Ok { seq: Some(seq) };
        }
        lines.push(HistoryLine::Attempt(attempt));
        list.push(event);
        for page in ["order", "tracking"] {
            lines.push(HistoryLine::Page(reading(time + 60, page, &list)));
        }
        time += 1_000;
    }
    // A second award under another key, which is refused because it is too late.
    let other = ClientCommand::Award { proposal: "b".to_owned(), undo_within_ms: 0 };
    let mut late = attempt(time, &other, "late", ClientInterface::Requestor);
    late.result = ClientOutcome::refused("ALREADY_AWARDED");
    lines.push(HistoryLine::Attempt(late));
    for (index, event) in list.iter().enumerate() {
        let time = 100 + 1_000 * index as u64;
        let time = if index < 2 { 100 } else { time - 1_000 + 55 };
        lines.push(receipt_line(time, ReaderKind::Observer, "observer", event));
        lines.push(receipt_line(time, ReaderKind::Sse, "sse", event));
    }
    lines.extend(trackers());
    lines.extend(final_readings(&list, time));
    lines.extend(sealed());
    lines
}

/// Returns two trackers of one order, of which the second took over, and commands under their
/// epochs.
fn trackers() -> Vec<HistoryLine> {
    let stream = |epoch, called_at, reason: &str| {
        HistoryLine::Stream(StreamSpan {
            called_at,
            first_message_at: Some(called_at + 10),
            ended_at: 9_000,
            name: format!("tracker-{epoch}"),
            order: ORDER.to_owned(),
            epoch,
            reason: reason.to_owned(),
        })
    };
    vec![stream(3, 200, "SUPERSEDED"), stream(7, 5_000, "")]
}

/// Returns the final reads.
fn final_readings(list: &[ComparableEvent], time: Micros) -> Vec<HistoryLine> {
    let mut lines = Vec::new();
    for page in ["order", "tracking"] {
        lines.push(HistoryLine::Page(PageReading {
            is_last: true,
            ..reading(time + 500, page, list)
        }));
    }
    let orders = vec![ORDER.to_owned(), SEALED.to_owned()];
    lines.push(HistoryLine::OrderList(OrderListReading {
        called_at: 300,
        returned_at: 310,
        orders: orders.clone(),
        total: 2,
    }));
    lines.push(HistoryLine::OrderList(OrderListReading {
        called_at: time + 500,
        returned_at: time + 510,
        orders,
        total: 2,
    }));
    for by in ["grpc", "sse 0"] {
        let (order, by) = (ORDER.to_owned(), by.to_owned());
        lines.push(HistoryLine::List(EventListReading { order, by, events: Ok(list.to_vec()) }));
    }
    let states = model::ReferenceState::all(list);
    let proposals = states.last().map(model::ReferenceState::proposals).unwrap_or_default();
    let messages =
        list.iter().filter(|event| event.kind == "FollowUpAdded" || event.change == "asked");
    let conversation = messages.map(|event| (event.seq, String::new())).collect();
    lines.push(HistoryLine::Pages(OrderPagesReading {
        order: ORDER.to_owned(),
        proposals,
        conversation,
    }));
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
    lines.push(HistoryLine::Measurements(ProcessMeasurements {
        process,
        series,
        rss_kb,
        descriptors,
        orders,
    }));
    lines
}

/// Returns a pause that comes too late: an opened order waits for its decision.
fn late_pause() -> ClientAttempt {
    let (command, interface) = (ClientCommand::Pause, ClientInterface::Requestor);
    ClientAttempt {
        result: ClientOutcome::refused("DEADLINE_PASSED"),
        ..attempt(690_000_000, &command, "buyer", interface)
    }
}

/// Returns a sealed order that is opened at its deadline, and ends with a close.
fn sealed() -> Vec<HistoryLine> {
    let opening = ClientCommand::Open(OpeningParameters {
        expires_in_ms: LIFETIME_MS,
        sealed: true,
        ..OpeningParameters::default()
    });
    let of_sealed = |act: ClientAttempt| ClientAttempt { order: SEALED.to_owned(), ..act };
    let mut list = opened(SEALED);
    let propose = ClientCommand::Propose { proposal: "s".to_owned(), is_alternative: false };
    let proposing = of_sealed(attempt(2_000, &propose, "acme", ClientInterface::Rest(0)));
    let proposal_event = ComparableEvent {
        seq: 3,
        at: OPENED_AT + 2,
        kind: "NewProposal".to_owned(),
        proposal: "s".to_owned(),
        actor: "acme".to_owned(),
        token: proposing.token.clone(),
        version: Some(1),
        ..ComparableEvent::default()
    };
    let hidden = ComparableEvent {
        actor: "sealed".to_owned(),
        token: String::new(),
        ..proposal_event.clone()
    };
    list.push(proposal_event);
    let deadline = OPENED_AT + i64::try_from(LIFETIME_MS).unwrap_or_default();
    let opened = "ProposalsOpened".to_owned();
    let until = Some(deadline + 1_000_000);
    let opening_event =
        ComparableEvent { seq: 4, at: deadline, kind: opened, until, ..ComparableEvent::default() };
    list.push(opening_event);
    let pause = of_sealed(late_pause());
    let close =
        of_sealed(attempt(700_000_000, &ClientCommand::Close, "buyer", ClientInterface::Grpc(0)));
    list.push(ComparableEvent {
        seq: 5,
        at: deadline + 1,
        kind: "OrderClosed".to_owned(),
        token: close.token.clone(),
        ..ComparableEvent::default()
    });
    let session_receipt = |event: &ComparableEvent, received_at| {
        HistoryLine::Receipt(EventReceipt {
            received_at,
            reader: ReaderKind::Session,
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
        HistoryLine::Attempt(of_sealed(attempt(1, &opening, "opener", ClientInterface::Requestor))),
        HistoryLine::Attempt(proposing),
        HistoryLine::Attempt(pause),
        HistoryLine::Attempt(close),
        session_receipt(&hidden, 3_000),
        HistoryLine::List(EventListReading { order, by, events }),
    ]
}
