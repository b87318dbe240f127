//! The buyer's decision: award, undo, and the closing of proposals that did not win.

use std::collections::BTreeSet;

use super::RuleResult;
use super::proposals::{find, must_be_active};
use crate::book::Context;
use crate::command::Award;
use crate::event::EventKind;
use crate::id::ProposalId;
use crate::limits::{EVENTS_MAX, LOSERS_CLOSED_MAX, UNDO_WITHIN_MS_MAX};
use crate::order::{Order, ProposalPhase};
use crate::refusal::{Reason, Refusal};
use crate::spec::Item;

/// A decision as the buyer requested it.
#[derive(Clone, Copy)]
pub(super) struct AwardDecision<'a> {
    pub(super) award: Option<&'a Award>,
    pub(super) reason: Option<&'a String>,
    pub(super) undo_within_ms: u64,
}

/// Ends the order with or without a winner, at once or after the time for undoing it.
pub(super) fn finalise(
    order: &Order,
    context: &Context,
    decision: AwardDecision<'_>,
) -> RuleResult {
    if let Some(pending) = &order.pending_award {
        let is_same = pending.award.as_ref() == decision.award;
        // An award that is to take effect at once is not the same as one that can still be undone.
        let text = match (is_same, decision.undo_within_ms > 0) {
            (true, true) => return Ok(Vec::new()),
            (true, false) => {
                "this award waits to count, and can be undone still; wait, or undo it first"
            }
            (false, _) => "another award waits to count; undo it first",
        };
        return Err(Refusal::new(Reason::AwardPending, text));
    }
    if decision.undo_within_ms > UNDO_WITHIN_MS_MAX {
        let given = decision.undo_within_ms;
        return Err(Refusal::field(
            "undo_within_ms",
            format!("is {given}; give at most {UNDO_WITHIN_MS_MAX} (24 h)"),
        ));
    }
    check(order, decision.award)?;
    if decision.undo_within_ms > 0 {
        return Ok(vec![EventKind::AwardPending {
            award: decision.award.cloned(),
            reason: decision.reason.cloned(),
            effective_at: context.now.plus_ms(decision.undo_within_ms),
        }]);
    }
    Ok(award_events(order, decision.award, decision.reason))
}

/// Returns the events by which a decision takes effect: an award closes the other open proposals if
/// there are at most [`LOSERS_CLOSED_MAX`], and the order ends.
pub(in crate::book) fn award_events(
    order: &Order,
    award: Option<&Award>,
    reason: Option<&String>,
) -> Vec<EventKind> {
    let winners = winners(award);
    let losers: Vec<&ProposalId> = order
        .proposals
        .iter()
        .filter(|(id, held)| held.phase == ProposalPhase::Open && !winners.contains(id))
        .map(|(id, _)| id)
        .collect();
    let closed = |proposal_id: &ProposalId| EventKind::ProposalClosed {
        proposal_id: proposal_id.clone(),
        reason: "not awarded".to_owned(),
    };
    let capacity = EVENTS_MAX.saturating_sub(order.last_seq.0).saturating_sub(1);
    let are_notified = award.is_some()
        && losers.len() <= LOSERS_CLOSED_MAX
        && u64::try_from(losers.len()).is_ok_and(|count| count <= capacity);
    let mut kinds: Vec<EventKind> =
        if are_notified { losers.into_iter().map(closed).collect() } else { Vec::new() };
    kinds.push(EventKind::OrderFinalised { award: award.cloned(), reason: reason.cloned() });
    kinds
}

/// Undoes an award that has not taken effect.
pub(super) fn undo(order: &Order, reason: Option<&String>) -> RuleResult {
    if order.pending_award.is_none() {
        return Err(Refusal::new(
            Reason::AwardNotPending,
            "no award waits to count; nothing to undo",
        ));
    }
    Ok(vec![EventKind::AwardUndone { reason: reason.cloned() }])
}

fn winners(award: Option<&Award>) -> BTreeSet<&ProposalId> {
    match award {
        None => BTreeSet::new(),
        Some(Award::Whole(id)) => BTreeSet::from([id]),
        Some(Award::Lines(lines)) => lines.iter().map(|(_, id)| id).collect(),
    }
}

/// Checks that the order is not sealed, and that every winner is open and offers its lines.
fn check(order: &Order, award: Option<&Award>) -> Result<(), Refusal> {
    let Some(award) = award else { return Ok(()) };
    if order.is_sealed() {
        return Err(Refusal::new(
            Reason::OrderSealed,
            "the order is sealed; it can be awarded when its time is over",
        )
        .with("opens_at_ms", order.expires_at.0));
    }
    for id in winners(Some(award)) {
        must_be_active(id, find(order, id)?)?;
    }
    if let Award::Lines(lines) = award {
        check_lines(order, lines)?;
    }
    Ok(())
}

fn check_lines(order: &Order, lines: &[(String, ProposalId)]) -> Result<(), Refusal> {
    let items = &order.spec.items;
    let mut given = BTreeSet::new();
    for (index, (key, id)) in lines.iter().enumerate() {
        let field = format!("lines[{index}].sku");
        if !given.insert(key) {
            return Err(Refusal::field(
                field,
                format!("{key} is given twice; a line has one winner"),
            ));
        }
        if !items.is_empty() && !items.iter().any(|item| item.line_key() == key) {
            let named: Vec<_> =
                items.iter().filter(|item| item.sku == *key).map(Item::line_key).collect();
            let fix = if named.is_empty() {
                String::new()
            } else {
                format!("; name the line: {}", named.join(", "))
            };
            return Err(Refusal::field(field, format!("{key} is not an item of the order{fix}")));
        }
        let offered = &find(order, id)?.content.lines;
        if !offered.is_empty() && !offered.iter().any(|line| line.line_key(items) == key) {
            return Err(Refusal::field(field, format!("{key} is not offered by proposal {id}")));
        }
    }
    Ok(())
}
