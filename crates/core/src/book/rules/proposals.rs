//! The sellers' commands on proposals: propose, amend, withdraw, decline, lock.

use super::{RuleResult, must_be_before_deadline};
use crate::book::Context;
use crate::book::open_proposals::OpenProposals;
use crate::command::ProposalContent;
use crate::event::{EventKind, ProposalUpdate};
use crate::id::{ProposalId, SellerId, Timestamp};
use crate::input::{check_new_proposal, check_new_proposal_id, check_visible};
use crate::limits::{LEASE_MS_MAX, PROPOSALS_MAX, VERSIONS_MAX};
use crate::order::{Order, Phase, Proposal, ProposalPhase};
use crate::refusal::{Reason, Refusal};
use crate::seal;

/// Checks that the order takes proposals now.
pub(super) fn must_be_open(order: &Order, now: Timestamp) -> Result<(), Refusal> {
    must_not_be_decided(order, now)?;
    if order.phase == Phase::Paused {
        return Err(Refusal::new(Reason::OrderPaused, "the order is paused; try when it resumes"));
    }
    Ok(())
}

/// Checks that the deadline has not passed, and that no award is pending.
fn must_not_be_decided(order: &Order, now: Timestamp) -> Result<(), Refusal> {
    must_be_before_deadline(order, now)?;
    if order.pending_award.is_some() {
        return Err(Refusal::new(
            Reason::AwardPending,
            "the order is being awarded; try again if the award is undone",
        ));
    }
    Ok(())
}

pub(super) fn propose(
    order: &Order,
    open_proposals: &OpenProposals,
    context: &Context,
    proposed: &ProposalContent,
) -> RuleResult {
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
    must_be_open(order, context.now)?;
    check_new_proposal_id(id, &proposed.seller)?;
    // An amendment keeps the label that it finds.
    check_visible("alternative", proposed.alternative.as_deref().unwrap_or_default())?;
    check_new_proposal(&order.spec, proposed, context.now)?;
    if let Some(other) = open_proposals.find(order, proposed) {
        return Err(has_one_already(proposed, other));
    }
    if order.proposals.len() >= PROPOSALS_MAX {
        return Err(Refusal::new(
            Reason::LimitReached,
            format!("the order has {PROPOSALS_MAX} proposals, the most that one order takes"),
        ));
    }
    let content = ProposalContent { proposal_id: Some(id.clone()), ..proposed.clone() };
    Ok(vec![EventKind::NewProposal(content)])
}

/// Refuses a second open proposal of one seller without a label, or with one that reads the same.
fn has_one_already(proposed: &ProposalContent, other: &ProposalId) -> Refusal {
    let (seller, reason) = (&proposed.seller, Reason::ProposalExists);
    let refusal = match &proposed.alternative {
        None => Refusal::new(
            reason,
            format!(
                "{seller} has proposed {other} already; amend it, or give this one a label as an \
                 alternative"
            ),
        ),
        Some(label) => Refusal {
            field: Some("alternative".to_owned()),
            ..Refusal::new(
                reason,
                format!(
                    "'{label}' is the label of {other}, which {seller} has proposed already; amend \
                     it, or use another label"
                ),
            )
        },
    };
    refusal.with("proposal_id", other)
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
            let own = if proposal.content.seller == *by {
                ", or lock your proposal yourself to take it over"
            } else {
                ""
            };
            let text =
                format!("{holder} is editing this proposal; try when the lock is given back{own}");
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
    if proposal.content.seller != proposed.seller {
        return Err(Refusal::field("seller", format!("{id} is not yours; amend your own")));
    }
    must_be_active(id, proposal)?;
    let proposed = with_label_of(proposal, proposed)?;
    must_be_open(order, now)?;
    must_not_be_locked(order, proposal, &proposed.seller, now)?;
    if proposal.content == proposed {
        return Ok(Vec::new());
    }
    check_new_proposal(&order.spec, &proposed, now)?;
    if proposal.version >= VERSIONS_MAX {
        return Err(Refusal::new(
            Reason::LimitReached,
            format!("proposal {id} has {VERSIONS_MAX} versions, the most; make a new one"),
        ));
    }
    let version = proposal.version.saturating_add(1);
    let update = ProposalUpdate::Amended { proposal: proposed, version };
    Ok(vec![EventKind::ProposalUpdate(update)])
}

/// Returns an amendment with the proposal's label, by which its seller distinguishes it from its
/// other ones, and which it may leave out.
fn with_label_of(
    proposal: &Proposal,
    proposed: &ProposalContent,
) -> Result<ProposalContent, Refusal> {
    let label = &proposal.content.alternative;
    if proposed.alternative.is_some() && proposed.alternative != *label {
        let text = match label {
            Some(label) => format!("'{label}' stays; leave it out, or make a new proposal"),
            None => "cannot be given later; leave it out, or make a new proposal".to_owned(),
        };
        return Err(Refusal::field("alternative", text));
    }
    Ok(ProposalContent { alternative: label.clone(), ..proposed.clone() })
}

pub(super) fn withdraw(
    order: &Order,
    now: Timestamp,
    id: &ProposalId,
    seller: Option<&SellerId>,
    reason: Option<&String>,
) -> RuleResult {
    let proposal = find(order, id)?;
    if seller.is_some_and(|seller| *seller != proposal.content.seller) {
        return Err(Refusal::field("seller", format!("{id} is not yours; withdraw your own")));
    }
    if proposal.phase == ProposalPhase::Withdrawn {
        return Ok(Vec::new());
    }
    must_be_active(id, proposal)?;
    must_not_be_decided(order, now)?;
    must_not_be_locked(order, proposal, &proposal.content.seller, now)?;
    let (proposal_id, reason) = (id.clone(), reason.cloned());
    Ok(vec![EventKind::ProposalUpdate(ProposalUpdate::Withdrawn { proposal_id, reason })])
}

pub(super) fn decline(order: &Order, seller: &SellerId, reason: Option<&String>) -> RuleResult {
    if order.has_declined(seller) {
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
    must_be_open(order, now)?;
    // Anybody can lock a proposal, and must not keep its own seller from it.
    if proposal.content.seller != *holder {
        must_not_be_locked(order, proposal, holder, now)?;
    }
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
