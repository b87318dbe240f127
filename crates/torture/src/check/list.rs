//! P2, P3, P3b, P11 and P12 of the lists themselves: sequence numbers, times, causes, rules; and
//! the same list by every way of reading.

use std::collections::BTreeMap;

use super::cause::{Mark, causes, mark};
use super::model::State;
use super::{Finding, Sorted};
use crate::event::Event;
use crate::history::Act;

pub(super) fn check(sorted: &Sorted<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (order, events) in &sorted.lists {
        legal(order, events, &mut findings);
        let acts = sorted.acts_of(order);
        invented(order, events, &acts, &mut findings);
        doubled(events, &acts, &mut findings);
    }
    for reading in &sorted.readings {
        let Some(list) = sorted.lists.get(reading.order.as_str()) else { continue };
        let text = match &reading.events {
            // gRPC is not handed on: only the holder answers it.
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
        findings.push(Finding::new("P13", &reading.order, text));
    }
    findings
}

/// Checks that each event may follow the ones before it.
fn legal(order: &str, events: &[Event], findings: &mut Vec<Finding>) {
    for (event, state) in events.iter().zip(State::all(events)) {
        if let Some(text) = state.refuse(event) {
            let is_time = text.contains("deadline") || text.contains("early");
            findings.push(Finding::new(if is_time { "P11" } else { "P12" }, order, text));
        }
    }
    if !State::all(events).last().is_some_and(State::is_over) {
        findings.push(Finding::new("P8", order, "did not come to its end"));
    }
}

/// Checks that each event of a buyer or a seller was requested.
fn invented(
    order: &str,
    events: &[Event],
    acts: &BTreeMap<&str, Vec<&Act>>,
    findings: &mut Vec<Finding>,
) {
    let opened_at = events.first().map_or(0, |event| event.at);
    // Content under a seal that was never opened cannot be told apart.
    let is_hidden = events.first().is_some_and(|event| event.sealed)
        && !events.iter().any(|event| event.kind == "ProposalsOpened");
    let states = State::all(events);
    for (event, state) in events.iter().zip(&states) {
        let by_itself = event.change == "expired"
            || (event.kind == "SellerNotified" && event.change != "seen")
            || (event.kind == "OrderFinalised" && state.pending().is_some())
            || matches!(
                event.kind.as_str(),
                "OrderOpened" | "SellersSelected" | "ProposalsOpened" | "ProposalClosed"
            );
        let mut asked = acts.values().filter_map(|attempts| attempts.first());
        if !by_itself && !is_hidden && !asked.any(|act| causes(act, event, opened_at)) {
            findings.push(Finding::new("P3b", order, format!("nobody asked for {event:?}")));
        }
    }
}

/// Checks that each command has one effect.
fn doubled(events: &[Event], acts: &BTreeMap<&str, Vec<&Act>>, findings: &mut Vec<Finding>) {
    let opened_at = events.first().map_or(0, |event| event.at);
    let states = State::all(events);
    for act in acts.values().filter_map(|attempts| attempts.first()) {
        if mark(&act.op) != Mark::Own {
            continue;
        }
        let effects: Vec<u64> = events
            .iter()
            .zip(&states)
            .filter(|(event, state)| {
                // An award that waits to count is said again in its first words.
                let is_said_again = event.kind == "AwardPending" && state.pending().is_some();
                !is_said_again && causes(act, event, opened_at)
            })
            .map(|(event, _)| event.seq)
            .collect();
        if effects.len() > 1 {
            findings.push(Finding::of_act("P3", act, format!("has {effects:?} as effects")));
        }
    }
}
