//! The sellers' commands on proposals: propose, amend, withdraw, decline, lock.

use super::RuleResult;
use crate::book::Context;
use crate::command::ProposalContent;
use crate::event::{EventKind, ProposalUpdate};
use crate::id::{ProposalId, SellerId, Timestamp};
use crate::limits::{LEASE_MS_MAX, PROPOSALS_MAX, VERSIONS_MAX};
use crate::order::{Order, Phase, Proposal, ProposalPhase};
use crate::refusal::{Reason, Refusal};
use crate::seal;

/// Checks that the order takes proposals now.
fn must_be_open(order: &Order) -> Result<(), Refusal> {
    must_not_be_decided(order)?;
    if order.phase == Phase::Paused {
        return Err(Refusal::new(Reason::OrderPaused, "the order is paused; try when it resumes"));
    }
    Ok(())
}

/// Checks that the order is not opened for the decision, and that no award is pending.
fn must_not_be_decided(order: &Order) -> Result<(), Refusal> {
    if order.pending_award.is_some() {
        return Err(Refusal::new(
            Reason::AwardPending,
            "the order is being awarded; try again if the award is undone",
        ));
    }
    if order.decide_until.is_some() {
        return Err(Refusal::new(
            Reason::DeadlinePassed,
            "the order's time is over and what was proposed is open; nothing more is taken",
        ));
    }
    Ok(())
}

pub(super) fn propose(order: &Order, context: &Context, proposed: &ProposalContent) -> RuleResult {
    let id = proposed
        .proposal_id
        .as_ref()
        .or(context.fresh_id.as_ref())
        .ok_or_else(|| Refusal::field("proposal_id", "is missing; give 1 to 128 characters"))?;
    if order.proposals.contains_key(id) {
        return Err(Refusal {
            field: Some("proposal_id".to_owned()),
            ..Refusal::new(
                Reason::ProposalExists,
                format!("{id} exists with other content; amend it, or use a new id"),
            )
        });
    }
    must_be_open(order)?;
    check_dates(proposed)?;
    if order.proposals.len() >= PROPOSALS_MAX {
        return Err(Refusal::new(
            Reason::LimitReached,
            format!("the order has {PROPOSALS_MAX} proposals, the most that one order takes"),
        ));
    }
    let content = ProposalContent { proposal_id: Some(id.clone()), ..proposed.clone() };
    Ok(vec![EventKind::NewProposal(content)])
}

/// Checks a proposal's dates and currency. This is done for commands and not on replay, so that
/// records from before this rule stay readable.
fn check_dates(proposed: &ProposalContent) -> Result<(), Refusal> {
    let dates =
        [("delivery_date", &proposed.delivery_date), ("valid_until", &proposed.valid_until)];
    for (field, value) in dates {
        if value.as_ref().is_some_and(|text| crate::date::parse(text).is_none()) {
            let text = "is not a date; write 2026-12-01 or 2026-12-01T12:00:00Z";
            return Err(Refusal::field(field, text));
        }
    }
    if proposed.price.is_hidden() {
        return Err(Refusal::field(
            "currency",
            "is XXX, which is no currency; write EUR or another",
        ));
    }
    Ok(())
}

pub(super) fn find<'a>(order: &'a Order, id: &ProposalId) -> Result<&'a Proposal, Refusal> {
    order.proposals.get(id).ok_or_else(|| {
        Refusal::new(Reason::ProposalNotFound, format!("the order has no proposal {id}"))
    })
}

pub(super) fn must_be_active(id: &ProposalId, proposal: &Proposal) -> Result<(), Refusal> {
    let state = match proposal.phase {
        ProposalPhase::Open => return Ok(()),
        ProposalPhase::Withdrawn => "withdrawn",
        ProposalPhase::Closed => "closed",
    };
    Err(Refusal::new(Reason::ProposalEnded, format!("proposal {id} was {state}; make a new one")))
}

fn must_not_be_locked(
    order: &Order,
    proposal: &Proposal,
    by: &SellerId,
    now: Timestamp,
) -> Result<(), Refusal> {
    match proposal.locked_by(now) {
        Some(holder) if holder != by => {
            let holder = seal::seller(order, holder);
            let text =
                format!("{holder} is editing this proposal; try when the lock is given back");
            Err(Refusal::new(Reason::Locked, text).with("holder", holder))
        }
        Some(_) | None => Ok(()),
    }
}

pub(super) fn amend(order: &Order, now: Timestamp, proposed: &ProposalContent) -> RuleResult {
    let id = proposed
        .proposal_id
        .as_ref()
        .ok_or_else(|| Refusal::field("proposal_id", "is missing; say which to amend"))?;
    let proposal = find(order, id)?;
    must_be_active(id, proposal)?;
    if proposal.content.seller != proposed.seller {
        return Err(Refusal::field("seller", "made another proposal; amend your own"));
    }
    must_be_open(order)?;
    must_not_be_locked(order, proposal, &proposed.seller, now)?;
    if proposal.content == *proposed {
        return Ok(Vec::new());
    }
    check_dates(proposed)?;
    if proposal.version >= VERSIONS_MAX {
        return Err(Refusal::new(
            Reason::LimitReached,
            format!("proposal {id} has {VERSIONS_MAX} versions, the most; make a new one"),
        ));
    }
    let version = proposal.version.saturating_add(1);
    let update = ProposalUpdate::Amended { proposal: proposed.clone(), version };
    Ok(vec![EventKind::ProposalUpdate(update)])
}

pub(super) fn withdraw(
    order: &Order,
    now: Timestamp,
    id: &ProposalId,
    reason: Option<&String>,
) -> RuleResult {
    let proposal = find(order, id)?;
    if proposal.phase == ProposalPhase::Withdrawn {
        return Ok(Vec::new());
    }
    must_be_active(id, proposal)?;
    must_not_be_decided(order)?;
    must_not_be_locked(order, proposal, &proposal.content.seller, now)?;
    let (proposal_id, reason) = (id.clone(), reason.cloned());
    Ok(vec![EventKind::ProposalUpdate(ProposalUpdate::Withdrawn { proposal_id, reason })])
}

pub(super) fn decline(order: &Order, seller: &SellerId, reason: Option<&String>) -> RuleResult {
    if order.declined.contains(seller) {
        return Ok(Vec::new());
    }
    let (seller, reason) = (seller.clone(), reason.cloned());
    Ok(vec![EventKind::ProposalUpdate(ProposalUpdate::Declined { seller, reason })])
}

pub(super) fn lock(
    order: &Order,
    now: Timestamp,
    id: &ProposalId,
    holder: &SellerId,
    lease_ms: u64,
) -> RuleResult {
    if lease_ms == 0 || lease_ms > LEASE_MS_MAX {
        return Err(Refusal::field(
            "lease_ms",
            format!("is {lease_ms}; give 1 to {LEASE_MS_MAX} milliseconds"),
        ));
    }
    let proposal = find(order, id)?;
    must_be_active(id, proposal)?;
    must_be_open(order)?;
    must_not_be_locked(order, proposal, holder, now)?;
    let (proposal_id, holder) = (id.clone(), holder.clone());
    let until = Some(now.plus_ms(lease_ms));
    Ok(vec![EventKind::EditLock { proposal_id, holder, until }])
}

pub(super) fn unlock(
    order: &Order,
    now: Timestamp,
    id: &ProposalId,
    holder: &SellerId,
) -> RuleResult {
    let proposal = find(order, id)?;
    must_not_be_locked(order, proposal, holder, now)?;
    if proposal.lock.is_none() {
        return Ok(Vec::new());
    }
    let (proposal_id, holder) = (id.clone(), holder.clone());
    Ok(vec![EventKind::EditLock { proposal_id, holder, until: None }])
}
