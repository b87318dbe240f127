//! The checker: pure functions over a history. Each finding has the violated predicate, the order
//! and the command, so that the relevant lines can be printed.
//!
//! A command took effect at its event in the order's list; the list is the linearisation to be
//! proven. Commands without an event of their own, mainly refusals, are placed between events by
//! `linear`.

mod cause;
mod keys;
mod linear;
mod list;
mod metrics;
mod model;
mod pages;
mod receipts;
mod sealed;
#[cfg(test)]
mod tests;
mod trackers;

use std::collections::BTreeMap;
use std::fmt;

use crate::event::ComparableEvent;
use crate::history::{
    ClientAttempt, EventListReading, EventReceipt, FaultSpan, HistoryLine, OrderListReading,
    OrderPagesReading, PageReading, ProcessMeasurements, StreamSpan, UnexpectedExit,
};

pub use self::metrics::in_flight;

/// A violated guarantee.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HistoryFinding {
    /// The predicate's name, such as `P1`.
    pub predicate: &'static str,
    /// The order; empty for a finding about a process.
    pub order: String,
    /// The command's token; empty if no command is at fault.
    pub token: String,
    /// A description of the violation.
    pub text: String,
}

impl HistoryFinding {
    fn new(predicate: &'static str, order: &str, text: impl Into<String>) -> Self {
        let (order, text) = (order.to_owned(), text.into());
        Self { predicate, order, token: String::new(), text }
    }

    fn of_command(
        predicate: &'static str,
        attempt: &ClientAttempt,
        text: impl Into<String>,
    ) -> Self {
        Self { token: attempt.token.clone(), ..Self::new(predicate, &attempt.order, text) }
    }
}

impl fmt::Display for HistoryFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { predicate, order, token, text } = self;
        write!(f, "{predicate} {order} {token}: {text}")
    }
}

/// A history, sorted by kind of line.
#[derive(Debug, Default)]
struct SortedHistory<'a> {
    attempts: Vec<&'a ClientAttempt>,
    receipts: Vec<&'a EventReceipt>,
    streams: Vec<&'a StreamSpan>,
    page_readings: Vec<&'a PageReading>,
    order_list_readings: Vec<&'a OrderListReading>,
    faults: Vec<&'a FaultSpan>,
    event_list_readings: Vec<&'a EventListReading>,
    order_pages: Vec<&'a OrderPagesReading>,
    measurements: Vec<&'a ProcessMeasurements>,
    exits: Vec<&'a UnexpectedExit>,
    /// Each order's list, as read from its owner.
    lists: BTreeMap<&'a str, &'a [ComparableEvent]>,
}

impl<'a> SortedHistory<'a> {
    fn new(lines: &'a [HistoryLine]) -> Self {
        let mut history = Self::default();
        for line in lines {
            match line {
                HistoryLine::Attempt(attempt) => history.attempts.push(attempt),
                HistoryLine::Receipt(receipt) => history.receipts.push(receipt),
                HistoryLine::Stream(stream) => history.streams.push(stream),
                HistoryLine::Page(reading) => history.page_readings.push(reading),
                HistoryLine::OrderList(reading) => history.order_list_readings.push(reading),
                HistoryLine::Fault(fault) => history.faults.push(fault),
                HistoryLine::List(list) => history.event_list_readings.push(list),
                HistoryLine::Pages(pages) => history.order_pages.push(pages),
                HistoryLine::Measurements(measurements) => history.measurements.push(measurements),
                HistoryLine::Exit(exit) => history.exits.push(exit),
            }
        }
        history.attempts.sort_by_key(|act| (act.called_at, act.returned_at));
        for list in &history.event_list_readings {
            if let Ok(events) = &list.events {
                history.lists.entry(&list.order).or_insert(events);
            }
        }
        history
    }

    /// Returns the orders of all commands and of all lists read.
    fn orders(&self) -> std::collections::BTreeSet<&'a str> {
        let attempted = self.attempts.iter().map(|act| act.order.as_str());
        attempted.chain(self.event_list_readings.iter().map(|list| list.order.as_str())).collect()
    }

    /// Returns the commands to an order by token, with their attempts in the order of their calls.
    fn commands_of(&self, order: &str) -> BTreeMap<&'a str, Vec<&'a ClientAttempt>> {
        let mut commands: BTreeMap<&str, Vec<&ClientAttempt>> = BTreeMap::new();
        for attempt in self.attempts.iter().filter(|act| act.order == order) {
            commands.entry(&attempt.token).or_default().push(attempt);
        }
        commands
    }
}

/// Checks a history; returns no findings if every guarantee holds.
#[must_use]
pub fn check(lines: &[HistoryLine]) -> Vec<HistoryFinding> {
    let history = SortedHistory::new(lines);
    let judges = [
        list::check,
        linear::check,
        keys::check,
        receipts::check,
        pages::check,
        trackers::check,
        sealed::check,
        metrics::check,
    ];
    let mut findings: Vec<HistoryFinding> =
        judges.iter().flat_map(|judge| judge(&history)).collect();
    findings.sort();
    findings.dedup();
    findings
}
