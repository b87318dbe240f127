//! P6, P8 and P13: the content of a page was correct at some time, is never rolled back, and
//! reaches the end.

use std::collections::BTreeMap;

use super::model::ReferenceState;
use super::{HistoryFinding, SortedHistory};
use crate::command::{ClientCommand, ClientInterface, ClientOutcome};
use crate::event::ComparableEvent;
use crate::history::{
    Micros, OrderListReading, OrderPagesReading, PageLookup, PageReading, PageSnapshot,
};

pub(super) fn check(history: &SortedHistory<'_>) -> Vec<HistoryFinding> {
    let mut findings = Vec::new();
    let mut readings: BTreeMap<(&str, &str), Vec<&PageReading>> = BTreeMap::new();
    for reading in &history.page_readings {
        readings.entry((&reading.page, &reading.order)).or_default().push(reading);
    }
    for readings in readings.values_mut() {
        readings.sort_by_key(|view| (view.called_at, view.returned_at));
        check_monotonic(readings, &mut findings);
    }
    for reading in &history.page_readings {
        check_stays_visible(history, reading, &mut findings);
        let Some(list) = history.lists.get(reading.order.as_str()) else { continue };
        if let PageLookup::Order(snapshot) = &reading.result {
            findings.extend(content_finding(reading, snapshot, list));
        }
        if reading.is_last {
            findings.extend(end_finding(reading, list));
        }
    }
    check_order_list(history, &mut findings);
    for pages in &history.order_pages {
        if let Some(list) = history.lists.get(pages.order.as_str()) {
            findings.extend(projection_finding(pages, list));
        }
    }
    findings
}

fn is_end(phase: &str) -> bool {
    matches!(phase, "Finalised" | "Expired" | "Closed" | "Cancelled")
}

/// Checks that one page of one order is never rolled back.
fn check_monotonic(readings: &[&PageReading], findings: &mut Vec<HistoryFinding>) {
    let mut best: Option<(&PageReading, &PageSnapshot)> = None;
    for reading in readings {
        match (&reading.result, best) {
            (PageLookup::NotFound, Some((_, before))) => {
                let text = format!(
                    "{} shows no such order, after #{} {}",
                    reading.page, before.last_seq, before.phase
                );
                findings.push(HistoryFinding::new("P6", &reading.order, text));
            }
            // Overlapping reads may have been served in any order.
            (PageLookup::Order(snapshot), Some((earlier, before)))
                if earlier.returned_at <= reading.called_at =>
            {
                if let Some(text) = regression(before, snapshot) {
                    let text = format!("{} goes back: {text}", reading.page);
                    findings.push(HistoryFinding::new("P6", &reading.order, text));
                } else {
                    best = Some((reading, snapshot));
                }
            }
            (PageLookup::Order(snapshot), None) => best = Some((reading, snapshot)),
            (PageLookup::Order(_), Some(_)) | (PageLookup::NotFound, None) => {}
        }
    }
}

fn regression(before: &PageSnapshot, now: &PageSnapshot) -> Option<String> {
    let has_regressed = now.last_seq < before.last_seq
        || now.epoch < before.epoch
        || now.follow_ups < before.follow_ups
        || now.proposals[0] < before.proposals[0]
        || (is_end(&before.phase) && now.phase != before.phase)
        || (!before.incarnation.is_empty() && now.incarnation != before.incarnation);
    let describe = |snapshot: &PageSnapshot| {
        format!(
            "#{} {}, epoch {}, {} proposals, {} follow-ups",
            snapshot.last_seq,
            snapshot.phase,
            snapshot.epoch,
            snapshot.proposals[0],
            snapshot.follow_ups
        )
    };
    has_regressed.then(|| format!("{} after {}", describe(now), describe(before)))
}

/// Checks that an accepted order stays visible: at the requestor from its acceptance on, and at
/// processors from the time at which one had it.
fn check_stays_visible(
    history: &SortedHistory<'_>,
    reading: &PageReading,
    findings: &mut Vec<HistoryFinding>,
) {
    if reading.result != PageLookup::NotFound {
        return;
    }
    let since = if reading.page == "tracking" {
        accepted_at(history, &reading.order)
    } else {
        let readings = history.page_readings.iter().filter(|other| {
            other.order == reading.order
                && other.page == "order"
                && other.result != PageLookup::NotFound
        });
        readings.map(|other| other.returned_at).min()
    };
    if since.is_some_and(|since| since < reading.called_at) {
        let text = format!("{} shows no such order, which was taken before", reading.page);
        findings.push(HistoryFinding::new("P6", &reading.order, text));
    }
}

/// Returns the time at which the requestor accepted an order.
fn accepted_at(history: &SortedHistory<'_>, order: &str) -> Option<Micros> {
    let opened = history.attempts.iter().filter(|act| {
        act.order == order
            && act.interface == ClientInterface::Requestor
            && matches!(act.command, ClientCommand::Open(_))
            && matches!(act.result, ClientOutcome::Ok { .. })
    });
    opened.map(|act| act.returned_at).min()
}

/// Checks that a page's content follows from the list at the page's sequence number.
fn content_finding(
    reading: &PageReading,
    snapshot: &PageSnapshot,
    list: &[ComparableEvent],
) -> Option<HistoryFinding> {
    let wrong = |text: String| {
        Some(HistoryFinding::new("P6", &reading.order, format!("{} {text}", reading.page)))
    };
    let length = usize::try_from(snapshot.last_seq).unwrap_or(usize::MAX);
    let Some(prefix) = list.get(..length) else {
        return wrong(format!(
            "shows #{}, and the list ends at #{}",
            snapshot.last_seq,
            list.len()
        ));
    };
    if length == 0 {
        return None;
    }
    let states = ReferenceState::all(prefix);
    let state = states.last()?;
    if state.counts() != snapshot.proposals {
        return wrong(format!(
            "shows {:?} proposals at #{length}, and the list gives {:?}",
            snapshot.proposals,
            state.counts()
        ));
    }
    if reading.page == "order" && state.follow_ups != snapshot.follow_ups {
        return wrong(format!(
            "shows {} follow-ups, not {}",
            snapshot.follow_ups, state.follow_ups
        ));
    }
    if state.phase != snapshot.phase {
        return wrong(format!("shows {} at #{length}, and it is {}", snapshot.phase, state.phase));
    }
    None
}

/// Checks that the last read includes the list's end.
fn end_finding(reading: &PageReading, list: &[ComparableEvent]) -> Option<HistoryFinding> {
    let last = list.len() as u64;
    let is_there = matches!(&reading.result, PageLookup::Order(seen) if seen.last_seq == last);
    let text =
        format!("{} shows {:?} at the end, and the list has #{last}", reading.page, reading.result);
    (!is_there).then(|| HistoryFinding::new("P8", &reading.order, text))
}

/// Checks that the requestor's list of orders has every order that it accepted, and never fewer
/// than before.
fn check_order_list(history: &SortedHistory<'_>, findings: &mut Vec<HistoryFinding>) {
    let mut readings: Vec<&&OrderListReading> = history.order_list_readings.iter().collect();
    readings.sort_by_key(|roll| roll.called_at);
    let mut most: Option<&OrderListReading> = None;
    for reading in readings {
        for order in history.orders() {
            let is_accepted =
                accepted_at(history, order).is_some_and(|since| since < reading.called_at);
            if is_accepted && !reading.orders.iter().any(|id| id == order) {
                let text = "is missing from tracking/status".to_owned();
                findings.push(HistoryFinding::new("P6", order, text));
            }
        }
        if let Some(before) = most.filter(|before| before.returned_at <= reading.called_at)
            && reading.total < before.total
        {
            let text = format!("tracking/status: {} orders after {}", reading.total, before.total);
            findings.push(HistoryFinding::new("P6", "", text));
        }
        most = most.filter(|before| before.total > reading.total).or(Some(reading));
    }
}

/// Checks that pages derived from the list have each of its proposals and messages once.
fn projection_finding(
    pages: &OrderPagesReading,
    list: &[ComparableEvent],
) -> Option<HistoryFinding> {
    let states = ReferenceState::all(list);
    let expected = states.last()?.proposals();
    let mut actual = pages.proposals.clone();
    actual.sort();
    if actual != expected {
        let text = format!("proposals are {actual:?}, and the list gives {expected:?}");
        return Some(HistoryFinding::new("P13", &pages.order, text));
    }
    let is_conversation = |event: &&ComparableEvent| {
        event.kind == "FollowUpAdded" || matches!(event.change.as_str(), "asked" | "answered")
    };
    let expected: Vec<u64> = list.iter().filter(is_conversation).map(|event| event.seq).collect();
    let conversation: Vec<u64> = pages.conversation.iter().map(|(seq, _)| *seq).collect();
    let text = format!("the conversation is {conversation:?}, and the list gives {expected:?}");
    (conversation != expected).then(|| HistoryFinding::new("P13", &pages.order, text))
}
