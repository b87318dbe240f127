//! Which act is allowed when, and what it causes: pure functions of an open order.

use crate::book::Context;
use crate::command::{Act, Award, Opening, Proposed};
use crate::event::{EventKind, ProposalUpdate};
use crate::id::{FollowUpId, ProposalId, SellerId, Timestamp};
use crate::limits::{FOLLOW_UPS_MAX, LEASE_MS_MAX, PROPOSALS_MAX};
use crate::order::{Order, Phase, Proposal, ProposalPhase};
use crate::refusal::{Reason, Refusal};
use crate::spec::FollowUp;

type Kinds = Result<Vec<EventKind>, Refusal>;

/// An order is opened once. The same opening again is a repetition; another life of the same name
/// or other content is not this order.
pub(super) fn reopen(order: &Order, opening: &Opening) -> Kinds {
    if order.incarnation != opening.incarnation {
        return Err(Refusal::new(
            Reason::OrderExists,
            "another life of this order exists; cancel it, or wait for its end",
        )
        .with("incarnation", &order.incarnation)
        .with("phase", order.phase.as_str()));
    }
    Ok(Vec::new())
}

/// The events that an act causes in an order that was opened.
pub(super) fn decide(order: &Order, context: &Context, act: &Act) -> Kinds {
    if order.phase.is_terminal() {
        return after_the_end(order, act);
    }
    let now = context.now;
    match act {
        Act::Open(opening) => reopen(order, opening),
        Act::Propose(proposed) => propose(order, context, proposed),
        Act::Amend(proposed) => amend(order, now, proposed),
        Act::Withdraw { proposal_id, reason } => withdraw(order, now, proposal_id, reason.as_ref()),
        Act::Decline { seller, reason } => decline(order, seller, reason.as_ref()),
        Act::Answer { seller, follow_up_id, message } => {
            answer(order, seller, follow_up_id, message)
        }
        Act::FollowUp(added) => follow_up(order, added),
        Act::Lock { proposal_id, holder, lease_ms } => {
            lock(order, now, proposal_id, (holder, *lease_ms))
        }
        Act::Unlock { proposal_id, holder } => unlock(order, now, proposal_id, holder),
        Act::Pause { reason } => Ok(pause(order, reason.as_ref())),
        Act::Resume => Ok(resume(order)),
        Act::Extend { expires_in_ms } => extend(order, *expires_in_ms),
        Act::Close { reason } => Ok(vec![EventKind::OrderClosed { reason: reason.clone() }]),
        Act::Finalise { award, reason } => finalise(order, award.as_ref(), reason.as_ref()),
        Act::Cancel { reason } => Ok(vec![EventKind::OrderCancelled { reason: reason.clone() }]),
        Act::Tick => Ok(Vec::new()),
    }
}

/// The event of an act under a key that found its state reached already, where a later act can undo
/// that state: without a record the key's repetition would do the act anew. It says again what is.
pub(super) fn restate(order: &Order, act: &Act) -> Option<EventKind> {
    match act {
        Act::Pause { reason } => {
            Some(EventKind::OrderPaused { expired: false, reason: reason.clone() })
        }
        Act::Resume => Some(EventKind::OrderResumed),
        Act::Extend { .. } => Some(EventKind::OrderExtended { expires_at: order.expires_at }),
        Act::Unlock { proposal_id, holder } => {
            let (proposal_id, holder) = (proposal_id.clone(), holder.clone());
            Some(EventKind::EditLock { proposal_id, holder, until: None })
        }
        Act::Amend(proposed) => {
            let held = order.proposals.get(proposed.proposal_id.as_ref()?)?;
            let (proposal, version) = (held.content.clone(), held.version);
            Some(EventKind::ProposalUpdate(ProposalUpdate::Amended { proposal, version }))
        }
        // These are for ever, or carry an id that is for ever.
        Act::Open(_)
        | Act::Propose(_)
        | Act::Withdraw { .. }
        | Act::Decline { .. }
        | Act::Answer { .. }
        | Act::FollowUp(_)
        | Act::Lock { .. }
        | Act::Close { .. }
        | Act::Finalise { .. }
        | Act::Cancel { .. }
        | Act::Tick => None,
    }
}

/// After the end the end itself may be said again; everything else is too late.
fn after_the_end(order: &Order, act: &Act) -> Kinds {
    let said_again = match (act, order.phase) {
        (Act::Tick, _)
        | (Act::Cancel { .. }, Phase::Cancelled)
        | (Act::Close { .. }, Phase::Closed) => true,
        (Act::Finalise { award, .. }, Phase::Finalised) => *award == order.award,
        (Act::Open(opening), _) => return reopen(order, opening),
        _ => false,
    };
    if said_again {
        return Ok(Vec::new());
    }
    let reason =
        if order.phase == Phase::Expired { Reason::DeadlinePassed } else { Reason::OrderEnded };
    let phase = order.phase.as_str();
    Err(Refusal::new(reason, format!("the order is {phase}; nothing more is taken"))
        .with("phase", phase))
}

fn must_be_open(order: &Order) -> Result<(), Refusal> {
    if order.phase == Phase::Paused {
        return Err(Refusal::new(Reason::OrderPaused, "the order is paused; try when it resumes"));
    }
    Ok(())
}

fn propose(order: &Order, context: &Context, proposed: &Proposed) -> Kinds {
    let id = proposed
        .proposal_id
        .as_ref()
        .or(context.fresh_id.as_ref())
        .ok_or_else(|| Refusal::field("proposal_id", "is missing; give 1 to 128 characters"))?;
    if let Some(held) = order.proposals.get(id) {
        // A proposal's id serves as the key of its submission.
        let content = Proposed { proposal_id: Some(id.clone()), ..proposed.clone() };
        if held.version == 1 && held.content == content {
            return Ok(Vec::new());
        }
        return Err(Refusal {
            field: Some("proposal_id".to_owned()),
            ..Refusal::new(
                Reason::ProposalExists,
                format!("{id} exists with other content; amend it, or use a new id"),
            )
        });
    }
    must_be_open(order)?;
    if order.proposals.len() >= PROPOSALS_MAX {
        return Err(Refusal::new(
            Reason::LimitReached,
            format!("the order has {PROPOSALS_MAX} proposals, the most that one order takes"),
        ));
    }
    let content = Proposed { proposal_id: Some(id.clone()), ..proposed.clone() };
    Ok(vec![EventKind::NewProposal(content)])
}

fn find<'a>(order: &'a Order, id: &ProposalId) -> Result<&'a Proposal, Refusal> {
    order.proposals.get(id).ok_or_else(|| {
        Refusal::new(Reason::ProposalNotFound, format!("the order has no proposal {id}"))
    })
}

fn must_live(id: &ProposalId, proposal: &Proposal) -> Result<(), Refusal> {
    let what = match proposal.phase {
        ProposalPhase::Open => return Ok(()),
        ProposalPhase::Withdrawn => "withdrawn",
        ProposalPhase::Closed => "closed",
    };
    Err(Refusal::new(Reason::ProposalEnded, format!("proposal {id} was {what}; make a new one")))
}

fn must_not_be_locked(proposal: &Proposal, by: &SellerId, now: Timestamp) -> Result<(), Refusal> {
    match proposal.locked_by(now) {
        Some(holder) if holder != by => Err(Refusal::new(
            Reason::Locked,
            format!("{holder} is editing this proposal; try when the lock is given back"),
        )
        .with("holder", holder)),
        Some(_) | None => Ok(()),
    }
}

fn amend(order: &Order, now: Timestamp, proposed: &Proposed) -> Kinds {
    let id = proposed
        .proposal_id
        .as_ref()
        .ok_or_else(|| Refusal::field("proposal_id", "is missing; say which to amend"))?;
    let held = find(order, id)?;
    must_live(id, held)?;
    if held.content.seller != proposed.seller {
        return Err(Refusal::field("seller", "made another proposal; amend your own"));
    }
    must_be_open(order)?;
    must_not_be_locked(held, &proposed.seller, now)?;
    if held.content == *proposed {
        return Ok(Vec::new());
    }
    let version = held.version.saturating_add(1);
    let update = ProposalUpdate::Amended { proposal: proposed.clone(), version };
    Ok(vec![EventKind::ProposalUpdate(update)])
}

fn withdraw(order: &Order, now: Timestamp, id: &ProposalId, reason: Option<&String>) -> Kinds {
    let held = find(order, id)?;
    if held.phase == ProposalPhase::Withdrawn {
        return Ok(Vec::new());
    }
    must_live(id, held)?;
    must_not_be_locked(held, &held.content.seller, now)?;
    let (proposal_id, reason) = (id.clone(), reason.cloned());
    Ok(vec![EventKind::ProposalUpdate(ProposalUpdate::Withdrawn { proposal_id, reason })])
}

fn decline(order: &Order, seller: &SellerId, reason: Option<&String>) -> Kinds {
    if order.declined.contains(seller) {
        return Ok(Vec::new());
    }
    let (seller, reason) = (seller.clone(), reason.cloned());
    Ok(vec![EventKind::ProposalUpdate(ProposalUpdate::Declined { seller, reason })])
}

fn answer(order: &Order, seller: &SellerId, id: &FollowUpId, message: &str) -> Kinds {
    if !order.follow_ups.contains(id) {
        return Err(Refusal::field("follow_up_id", "is not known; use the id of a follow-up"));
    }
    let (seller, follow_up_id, message) = (seller.clone(), id.clone(), message.to_owned());
    let update = ProposalUpdate::Answered { seller, follow_up_id, message };
    Ok(vec![EventKind::ProposalUpdate(update)])
}

fn follow_up(order: &Order, added: &FollowUp) -> Kinds {
    if order.follow_ups.contains(&added.id) {
        return Ok(Vec::new());
    }
    if order.follow_ups.len() >= FOLLOW_UPS_MAX {
        return Err(Refusal::new(
            Reason::LimitReached,
            format!("the order has {FOLLOW_UPS_MAX} follow-ups, the most that one order takes"),
        ));
    }
    Ok(vec![EventKind::FollowUpAdded(added.clone())])
}

fn lock(
    order: &Order,
    now: Timestamp,
    id: &ProposalId,
    (holder, lease_ms): (&SellerId, u64),
) -> Kinds {
    if lease_ms == 0 || lease_ms > LEASE_MS_MAX {
        return Err(Refusal::field(
            "lease_ms",
            format!("is {lease_ms}; give 1 to {LEASE_MS_MAX} milliseconds"),
        ));
    }
    let held = find(order, id)?;
    must_live(id, held)?;
    must_be_open(order)?;
    must_not_be_locked(held, holder, now)?;
    let (proposal_id, holder) = (id.clone(), holder.clone());
    let until = Some(now.plus_ms(lease_ms));
    Ok(vec![EventKind::EditLock { proposal_id, holder, until }])
}

fn unlock(order: &Order, now: Timestamp, id: &ProposalId, holder: &SellerId) -> Kinds {
    let held = find(order, id)?;
    must_not_be_locked(held, holder, now)?;
    if held.lock.is_none() {
        return Ok(Vec::new());
    }
    let (proposal_id, holder) = (id.clone(), holder.clone());
    Ok(vec![EventKind::EditLock { proposal_id, holder, until: None }])
}

fn pause(order: &Order, reason: Option<&String>) -> Vec<EventKind> {
    if order.phase == Phase::Paused {
        return Vec::new();
    }
    vec![EventKind::OrderPaused { expired: false, reason: reason.cloned() }]
}

fn resume(order: &Order) -> Vec<EventKind> {
    if order.phase == Phase::Open { Vec::new() } else { vec![EventKind::OrderResumed] }
}

fn extend(order: &Order, expires_in_ms: u64) -> Kinds {
    let expires_at = order.opened_at.plus_ms(crate::input::expires_in_ms(expires_in_ms)?);
    if expires_at == order.expires_at {
        return Ok(Vec::new());
    }
    if expires_at < order.expires_at {
        let held = order.expires_at.ms_since(order.opened_at);
        return Err(Refusal {
            field: Some("expires_in_ms".to_owned()),
            ..Refusal::new(
                Reason::ExpiryShrinks,
                format!("is {expires_in_ms}, less than {held} now; an expiry can only grow"),
            )
        });
    }
    Ok(vec![EventKind::OrderExtended { expires_at }])
}

fn finalise(order: &Order, award: Option<&Award>, reason: Option<&String>) -> Kinds {
    let winners: Vec<&ProposalId> = match award {
        None => Vec::new(),
        Some(Award::Whole(id)) => vec![id],
        Some(Award::Lines(lines)) => lines.iter().map(|(_, id)| id).collect(),
    };
    for id in winners {
        must_live(id, find(order, id)?)?;
    }
    Ok(vec![EventKind::OrderFinalised { award: award.cloned(), reason: reason.cloned() }])
}
