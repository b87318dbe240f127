//! P2, P3, P3b, P11 and P12 for the lists themselves: sequence numbers, times, causes and rules;
//! and the same list over every interface.

use std::collections::BTreeMap;

use super::cause::{EventAttribution, attribution, causes};
use super::model::ReferenceState;
use super::{HistoryFinding, SortedHistory};
use crate::event::{ComparableEvent, DECIDING, EXPIRED};
use crate::history::ClientAttempt;

pub(super) fn check(history: &SortedHistory<'_>) -> Vec<HistoryFinding> {
    let mut findings = Vec::new();
    for (order, events) in &history.lists {
        check_legal(order, events, &mut findings);
        let commands = history.commands_of(order);
        check_requested(order, events, &commands, &mut findings);
        check_single_effects(events, &commands, &mut findings);
    }
    for reading in &history.event_list_readings {
        let Some(list) = history.lists.get(reading.order.as_str()) else { continue };
        let text = match &reading.events {
            // gRPC calls are not forwarded: only the owner serves them.
            Err(reason) if reading.by == "grpc" && reason == "ORDER_NOT_FOUND" => continue,
            Err(reason) => format!("is not read over {}: {reason}", reading.by),
            Ok(events) => match events.iter().zip(*list).find(|(one, other)| one != other) {
                Some((one, other)) => format!("over {} {one:?}, else {other:?}", reading.by),
                None if events.len() != list.len() => {
                    format!("over {} {} events, else {}", reading.by, events.len(), list.len())
                }
                None => continue,
            },
        };
        findings.push(HistoryFinding::new("P13", &reading.order, text));
    }
    findings
}

/// Checks that each event may follow the ones before it.
fn check_legal(order: &str, events: &[ComparableEvent], findings: &mut Vec<HistoryFinding>) {
    for (event, state) in events.iter().zip(ReferenceState::all(events)) {
        if let Some(text) = state.refuse(event) {
            let is_time = text.contains("deadline") || text.contains("early");
            findings.push(HistoryFinding::new(if is_time { "P11" } else { "P12" }, order, text));
        }
    }
    if !ReferenceState::all(events).last().is_some_and(ReferenceState::is_over) {
        findings.push(HistoryFinding::new("P8", order, "did not come to its end"));
    }
}

/// Checks that each event of a buyer or a seller was requested.
fn check_requested(
    order: &str,
    events: &[ComparableEvent],
    commands: &BTreeMap<&str, Vec<&ClientAttempt>>,
    findings: &mut Vec<HistoryFinding>,
) {
    let opened_at = events.first().map_or(0, |event| event.at);
    // The content of a sealed order that was never opened cannot be distinguished.
    let is_hidden = events.first().is_some_and(|event| event.sealed)
        && !events.iter().any(|event| event.kind == "ProposalsOpened");
    let states = ReferenceState::all(events);
    for (event, state) in events.iter().zip(&states) {
        let by_itself = matches!(event.change.as_str(), EXPIRED | DECIDING)
            || (event.kind == "SellerNotified" && event.change != "seen")
            || (event.kind == "OrderFinalised" && state.pending().is_some())
            || matches!(
                event.kind.as_str(),
                "OrderOpened" | "SellersSelected" | "ProposalsOpened" | "ProposalClosed"
            );
        let mut requested = commands.values().filter_map(|attempts| attempts.first());
        if !by_itself && !is_hidden && !requested.any(|act| causes(act, event, opened_at)) {
            findings.push(HistoryFinding::new("P3b", order, format!("nobody asked for {event:?}")));
        }
    }
}

/// Checks that each command has one effect.
fn check_single_effects(
    events: &[ComparableEvent],
    commands: &BTreeMap<&str, Vec<&ClientAttempt>>,
    findings: &mut Vec<HistoryFinding>,
) {
    let opened_at = events.first().map_or(0, |event| event.at);
    let states = ReferenceState::all(events);
    for attempt in commands.values().filter_map(|attempts| attempts.first()) {
        if attribution(&attempt.command) != EventAttribution::Unique {
            continue;
        }
        let effects: Vec<u64> = events
            .iter()
            .zip(&states)
            .filter(|(event, state)| {
                // A pending award is repeated with the token of its first event.
                let is_restated = event.kind == "AwardPending" && state.pending().is_some();
                !is_restated && causes(attempt, event, opened_at)
            })
            .map(|(event, _)| event.seq)
            .collect();
        if effects.len() > 1 {
            findings.push(HistoryFinding::of_command(
                "P3",
                attempt,
                format!("has {effects:?} as effects"),
            ));
        }
    }
}
