//! P6, P8 and P13: the content of pages is true of some moment, never goes back, and reaches the
//! end.

use std::collections::BTreeMap;

use super::model::State;
use super::{Finding, Sorted};
use crate::event::Event;
use crate::history::{Found, Micros, Pages, Roll, Seen, View};
use crate::op::{Op, Outcome, Over};

pub(super) fn check(sorted: &Sorted<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut looks: BTreeMap<(&str, &str), Vec<&View>> = BTreeMap::new();
    for view in &sorted.views {
        looks.entry((&view.page, &view.order)).or_default().push(view);
    }
    for views in looks.values_mut() {
        views.sort_by_key(|view| (view.t_call, view.t_ret));
        forward(views, &mut findings);
    }
    for view in &sorted.views {
        stays(sorted, view, &mut findings);
        let Some(list) = sorted.lists.get(view.order.as_str()) else { continue };
        if let Found::Order(seen) = &view.found {
            findings.extend(truth(view, seen, list));
        }
        if view.is_last {
            findings.extend(arrived(view, list));
        }
    }
    roll(sorted, &mut findings);
    for pages in &sorted.pages {
        if let Some(list) = sorted.lists.get(pages.order.as_str()) {
            findings.extend(projected(pages, list));
        }
    }
    findings
}

fn is_end(phase: &str) -> bool {
    matches!(phase, "Finalised" | "Expired" | "Closed" | "Cancelled")
}

/// Checks that one page of one order never goes back.
fn forward(views: &[&View], findings: &mut Vec<Finding>) {
    let mut best: Option<(&View, &Seen)> = None;
    for view in views {
        match (&view.found, best) {
            (Found::Nothing, Some((_, before))) => {
                let text = format!(
                    "{} shows no such order, after #{} {}",
                    view.page, before.last_seq, before.phase
                );
                findings.push(Finding::new("P6", &view.order, text));
            }
            // Looks that overlapped may have been answered in any order.
            (Found::Order(seen), Some((earlier, before))) if earlier.t_ret <= view.t_call => {
                if let Some(text) = back(before, seen) {
                    let text = format!("{} goes back: {text}", view.page);
                    findings.push(Finding::new("P6", &view.order, text));
                } else {
                    best = Some((view, seen));
                }
            }
            (Found::Order(seen), None) => best = Some((view, seen)),
            (Found::Order(_), Some(_)) | (Found::Nothing, None) => {}
        }
    }
}

fn back(before: &Seen, now: &Seen) -> Option<String> {
    let went_back = now.last_seq < before.last_seq
        || now.epoch < before.epoch
        || now.follow_ups < before.follow_ups
        || now.proposals[0] < before.proposals[0]
        || (is_end(&before.phase) && now.phase != before.phase)
        || (!before.incarnation.is_empty() && now.incarnation != before.incarnation);
    let show = |seen: &Seen| {
        format!(
            "#{} {}, epoch {}, {} proposals, {} follow-ups",
            seen.last_seq, seen.phase, seen.epoch, seen.proposals[0], seen.follow_ups
        )
    };
    went_back.then(|| format!("{} after {}", show(now), show(before)))
}

/// Checks that an accepted order is shown from then on: by the requestor, which accepted it, and by
/// processors from the moment at which one showed it.
fn stays(sorted: &Sorted<'_>, view: &View, findings: &mut Vec<Finding>) {
    if view.found != Found::Nothing {
        return;
    }
    let since = if view.page == "tracking" {
        taken(sorted, &view.order)
    } else {
        let shown = sorted.views.iter().filter(|other| {
            other.order == view.order && other.page == "order" && other.found != Found::Nothing
        });
        shown.map(|other| other.t_ret).min()
    };
    if since.is_some_and(|since| since < view.t_call) {
        let text = format!("{} shows no such order, which was taken before", view.page);
        findings.push(Finding::new("P6", &view.order, text));
    }
}

/// Returns the time at which the requestor accepted an order.
fn taken(sorted: &Sorted<'_>, order: &str) -> Option<Micros> {
    let opened = sorted.acts.iter().filter(|act| {
        act.order == order
            && act.over == Over::Requestor
            && matches!(act.op, Op::Open(_))
            && matches!(act.result, Outcome::Ok { .. })
    });
    opened.map(|act| act.t_ret).min()
}

/// Checks that a page's content follows from the list at the length that it shows.
fn truth(view: &View, seen: &Seen, list: &[Event]) -> Option<Finding> {
    let wrong =
        |text: String| Some(Finding::new("P6", &view.order, format!("{} {text}", view.page)));
    let length = usize::try_from(seen.last_seq).unwrap_or(usize::MAX);
    let Some(shown) = list.get(..length) else {
        return wrong(format!("shows #{}, and the list ends at #{}", seen.last_seq, list.len()));
    };
    if length == 0 {
        return None;
    }
    let states = State::all(shown);
    let state = states.last()?;
    if state.counts() != seen.proposals {
        return wrong(format!(
            "shows {:?} proposals at #{length}, and the list gives {:?}",
            seen.proposals,
            state.counts()
        ));
    }
    if view.page == "order" && state.follow_ups != seen.follow_ups {
        return wrong(format!("shows {} follow-ups, not {}", seen.follow_ups, state.follow_ups));
    }
    // The requestor has words of its own for an order that is not over.
    let is_told = view.page == "order" || state.is_over() || is_end(&seen.phase);
    if is_told && state.phase != seen.phase {
        return wrong(format!("shows {} at #{length}, and it is {}", seen.phase, state.phase));
    }
    None
}

/// Checks that the last reading shows the list's end.
fn arrived(view: &View, list: &[Event]) -> Option<Finding> {
    let last = list.len() as u64;
    let is_there = matches!(&view.found, Found::Order(seen) if seen.last_seq == last);
    let text = format!("{} shows {:?} at the end, and the list has #{last}", view.page, view.found);
    (!is_there).then(|| Finding::new("P8", &view.order, text))
}

/// Checks that the requestor's list of orders has every order that it accepted, and never fewer
/// than before.
fn roll(sorted: &Sorted<'_>, findings: &mut Vec<Finding>) {
    let mut rolls: Vec<&&Roll> = sorted.rolls.iter().collect();
    rolls.sort_by_key(|roll| roll.t_call);
    let mut most: Option<&Roll> = None;
    for roll in rolls {
        for order in sorted.orders() {
            let is_taken = taken(sorted, order).is_some_and(|since| since < roll.t_call);
            if is_taken && !roll.orders.iter().any(|id| id == order) {
                let text = "is missing from tracking/status".to_owned();
                findings.push(Finding::new("P6", order, text));
            }
        }
        if let Some(before) = most.filter(|before| before.t_ret <= roll.t_call)
            && roll.total < before.total
        {
            let text = format!("tracking/status: {} orders after {}", roll.total, before.total);
            findings.push(Finding::new("P6", "", text));
        }
        most = most.filter(|before| before.total > roll.total).or(Some(roll));
    }
}

/// Checks that pages made from the list have each of its proposals and messages once.
fn projected(pages: &Pages, list: &[Event]) -> Option<Finding> {
    let states = State::all(list);
    let expected = states.last()?.proposals();
    let mut shown = pages.proposals.clone();
    shown.sort();
    if shown != expected {
        let text = format!("proposals are {shown:?}, and the list gives {expected:?}");
        return Some(Finding::new("P13", &pages.order, text));
    }
    let is_talk = |event: &&Event| {
        event.kind == "FollowUpAdded" || matches!(event.change.as_str(), "asked" | "answered")
    };
    let expected: Vec<u64> = list.iter().filter(is_talk).map(|event| event.seq).collect();
    let said: Vec<u64> = pages.said.iter().map(|(seq, _)| *seq).collect();
    let text = format!("the conversation is {said:?}, and the list gives {expected:?}");
    (said != expected).then(|| Finding::new("P13", &pages.order, text))
}
