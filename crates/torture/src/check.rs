//! The judge: pure functions over a history. Each finding names the broken predicate, the order and
//! the command, so that the relevant lines can be printed.
//!
//! A command took effect where the order's list has its event; the list is the linearisation to
//! be proven. Commands without an event of their own, refusals above all, are placed between
//! events by `linear`.

mod cause;
mod figures;
mod keys;
mod linear;
mod list;
mod model;
mod owners;
mod sealed;
#[cfg(test)]
mod tests;
mod told;
mod views;

use std::collections::BTreeMap;
use std::fmt;

use crate::event::Event;
use crate::history::{Act, Fault, Figures, Gone, Line, List, Pages, Roll, Stream, Told, View};

pub use self::figures::in_flight;

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The predicate's name, such as `P1`.
    pub predicate: &'static str,
    /// The order; empty for a whole process.
    pub order: String,
    /// The command's token; empty where no command is at fault.
    pub token: String,
    /// A description of the violation.
    pub text: String,
}

impl Finding {
    fn new(predicate: &'static str, order: &str, text: impl Into<String>) -> Self {
        let (order, text) = (order.to_owned(), text.into());
        Self { predicate, order, token: String::new(), text }
    }

    fn of_act(predicate: &'static str, act: &Act, text: impl Into<String>) -> Self {
        Self { token: act.token.clone(), ..Self::new(predicate, &act.order, text) }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { predicate, order, token, text } = self;
        write!(f, "{predicate} {order} {token}: {text}")
    }
}

/// A history, sorted by kind of line.
#[derive(Debug, Default)]
struct Sorted<'a> {
    acts: Vec<&'a Act>,
    told: Vec<&'a Told>,
    streams: Vec<&'a Stream>,
    views: Vec<&'a View>,
    rolls: Vec<&'a Roll>,
    faults: Vec<&'a Fault>,
    readings: Vec<&'a List>,
    pages: Vec<&'a Pages>,
    figures: Vec<&'a Figures>,
    gone: Vec<&'a Gone>,
    /// Each order's list, as its owner has it.
    lists: BTreeMap<&'a str, &'a [Event]>,
}

impl<'a> Sorted<'a> {
    fn new(lines: &'a [Line]) -> Self {
        let mut sorted = Self::default();
        for line in lines {
            match line {
                Line::Act(act) => sorted.acts.push(act),
                Line::Told(told) => sorted.told.push(told),
                Line::Stream(stream) => sorted.streams.push(stream),
                Line::View(view) => sorted.views.push(view),
                Line::Roll(roll) => sorted.rolls.push(roll),
                Line::Fault(fault) => sorted.faults.push(fault),
                Line::List(list) => sorted.readings.push(list),
                Line::Pages(pages) => sorted.pages.push(pages),
                Line::Figures(figures) => sorted.figures.push(figures),
                Line::Gone(gone) => sorted.gone.push(gone),
            }
        }
        sorted.acts.sort_by_key(|act| (act.t_call, act.t_ret));
        for list in &sorted.readings {
            if let Ok(events) = &list.events {
                sorted.lists.entry(&list.order).or_insert(events);
            }
        }
        sorted
    }

    /// Returns the orders of all commands and of all lists that were read.
    fn orders(&self) -> std::collections::BTreeSet<&'a str> {
        let asked = self.acts.iter().map(|act| act.order.as_str());
        asked.chain(self.readings.iter().map(|list| list.order.as_str())).collect()
    }

    /// Returns the commands to an order by token, with their attempts in the order of their calls.
    fn acts_of(&self, order: &str) -> BTreeMap<&'a str, Vec<&'a Act>> {
        let mut acts: BTreeMap<&str, Vec<&Act>> = BTreeMap::new();
        for act in self.acts.iter().filter(|act| act.order == order) {
            acts.entry(&act.token).or_default().push(act);
        }
        acts
    }
}

/// Judges a history; empty if no promise is broken.
#[must_use]
pub fn check(lines: &[Line]) -> Vec<Finding> {
    let sorted = Sorted::new(lines);
    let judges = [
        list::check,
        linear::check,
        keys::check,
        told::check,
        views::check,
        owners::check,
        sealed::check,
        figures::check,
    ];
    let mut findings: Vec<Finding> = judges.iter().flat_map(|judge| judge(&sorted)).collect();
    findings.sort();
    findings.dedup();
    findings
}
