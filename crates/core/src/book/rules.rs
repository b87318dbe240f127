//! The rules by which a command is allowed or refused, and the events that it causes: pure
//! functions of an order that was opened.

use crate::book::Context;
use crate::book::open_proposals::OpenProposals;
use crate::command::{Award, CommandKind, OrderOpening};
use crate::date::rfc3339_seconds;
use crate::event::{EventKind, ProposalUpdate};
use crate::id::Timestamp;
use crate::order::{Order, Phase};
use crate::refusal::{Reason, Refusal};

pub(super) mod decision;
mod late;
mod messaging;
mod proposals;
pub(super) mod sellers;

use decision::AwardDecision;

type RuleResult = Result<Vec<EventKind>, Refusal>;

/// Decides an opening of an order that exists: the same incarnation is a repetition and causes no
/// event, and another one is refused.
pub(super) fn reopen(order: &Order, opening: &OrderOpening) -> RuleResult {
    if order.incarnation != opening.incarnation {
        return Err(Refusal::new(
            Reason::OrderExists,
            "another incarnation of this order exists; cancel it, or wait for its end",
        )
        .with("incarnation", &order.incarnation)
        .with("phase", order.phase.as_str()));
    }
    Ok(Vec::new())
}

/// Returns the events that a command causes in an order that was opened.
pub(super) fn decide(
    order: &Order,
    open_proposals: &OpenProposals,
    context: &Context,
    kind: &CommandKind,
) -> RuleResult {
    if order.phase.is_terminal() {
        return decide_after_end(order, kind);
    }
    let now = context.now;
    match kind {
        CommandKind::Open(opening) => reopen(order, opening),
        CommandKind::Propose(proposed) => {
            proposals::propose(order, open_proposals, context, proposed)
        }
        CommandKind::Amend(proposed) => proposals::amend(order, now, proposed),
        CommandKind::Withdraw { proposal_id, reason, seller } => {
            proposals::withdraw(order, now, proposal_id, seller.as_ref(), reason.as_ref())
        }
        CommandKind::Decline { seller, reason } => {
            proposals::decline(order, seller, reason.as_ref())
        }
        CommandKind::Answer { seller, follow_up_id, message } => {
            messaging::answer(order, seller, follow_up_id, message)
        }
        CommandKind::Ask { seller, question_id, message } => {
            messaging::ask(order, now, seller, question_id.as_ref(), message)
        }
        CommandKind::See { seller } => messaging::see(order, seller),
        CommandKind::Notified { seller, channel, failure } => {
            messaging::notified(order, seller, *channel, failure.as_ref())
        }
        CommandKind::Invite { choices } => late::invite(order, now, choices),
        CommandKind::FollowUp(added) => messaging::follow_up(order, added),
        CommandKind::Lock { proposal_id, holder, lease_ms } => {
            proposals::lock(order, now, proposal_id, holder, *lease_ms)
        }
        CommandKind::Unlock { proposal_id, holder } => {
            proposals::unlock(order, now, proposal_id, holder)
        }
        CommandKind::Pause { reason } => pause(order, now, reason.as_ref()),
        CommandKind::Resume => resume(order, now),
        CommandKind::Extend { expires_in_ms } => extend(order, now, *expires_in_ms),
        CommandKind::Close { reason } => {
            Ok(vec![EventKind::OrderClosed { reason: reason.clone() }])
        }
        CommandKind::Finalise { award, reason, undo_within_ms } => {
            let (award, reason) = (award.as_ref(), reason.as_ref());
            let undo_within_ms = undo_within_ms.unwrap_or(0);
            decision::finalise(order, context, AwardDecision { award, reason, undo_within_ms })
        }
        CommandKind::UndoAward { reason } => decision::undo(order, reason.as_ref()),
        CommandKind::Cancel { reason } => {
            Ok(vec![EventKind::OrderCancelled { reason: reason.clone() }])
        }
        CommandKind::Tick => Ok(Vec::new()),
    }
}

/// Returns an event that restates the current state, for a keyed command that has nothing left to
/// do but whose effect a later command can undo. Without this record, a repetition of the key would
/// run the command again.
pub(super) fn restate(order: &Order, kind: &CommandKind) -> Option<EventKind> {
    match kind {
        CommandKind::Pause { reason } => {
            Some(EventKind::OrderPaused { expired: false, reason: reason.clone(), decide_by: None })
        }
        CommandKind::Resume => Some(EventKind::OrderResumed),
        CommandKind::Extend { .. } => {
            Some(EventKind::OrderExtended { expires_at: order.expires_at })
        }
        CommandKind::Unlock { proposal_id, holder } => {
            let (proposal_id, holder) = (proposal_id.clone(), holder.clone());
            Some(EventKind::EditLock { proposal_id, holder, until: None })
        }
        CommandKind::Amend(proposed) => {
            let existing = order.proposals.get(proposed.proposal_id.as_ref()?)?;
            let (proposal, version) = (existing.content.clone(), existing.version);
            Some(EventKind::ProposalUpdate(ProposalUpdate::Amended { proposal, version }))
        }
        // What the seller proposes later undoes it.
        CommandKind::Decline { seller, reason } => {
            let (seller, reason) = (seller.clone(), reason.clone());
            Some(EventKind::ProposalUpdate(ProposalUpdate::Declined { seller, reason }))
        }
        CommandKind::Finalise { .. } => {
            let pending = order.pending_award.clone()?;
            let (award, reason, effective_at) =
                (pending.award, pending.reason, pending.effective_at);
            Some(EventKind::AwardPending { award, reason, effective_at })
        }
        // Under seal no reply names the event by which the seller has seen the order.
        CommandKind::See { seller } if order.is_sealed() && !order.phase.is_terminal() => {
            order.invitation(seller).map(|_| messaging::seen(seller))
        }
        // No event: their effect is permanent, they always cause an event, or they have no key.
        CommandKind::Open(_)
        | CommandKind::Propose(_)
        | CommandKind::Withdraw { .. }
        | CommandKind::Answer { .. }
        | CommandKind::FollowUp(_)
        | CommandKind::Lock { .. }
        | CommandKind::Ask { .. }
        | CommandKind::See { .. }
        | CommandKind::Notified { .. }
        | CommandKind::Invite { .. }
        | CommandKind::UndoAward { .. }
        | CommandKind::Close { .. }
        | CommandKind::Cancel { .. }
        | CommandKind::Tick => None,
    }
}

/// Decides a command after the order's end, which never causes an event: the end and the opening
/// can be repeated, a tick and the state of a seller change nothing, and all else is refused.
pub(super) fn decide_after_end(order: &Order, kind: &CommandKind) -> RuleResult {
    if let CommandKind::Open(opening) = kind {
        return reopen(order, opening);
    }
    check_after_end_phase(order.phase, order.award.as_ref(), kind).map(|()| Vec::new())
}

/// [`decide_after_end`] decided from the end alone; every opening is refused.
pub(super) fn check_after_end_phase(
    phase: Phase,
    award: Option<&Award>,
    kind: &CommandKind,
) -> Result<(), Refusal> {
    let is_repetition = match (kind, phase) {
        // The end is the last event, also where a seller is notified or sees the order only after
        // it.
        (CommandKind::Tick | CommandKind::Notified { .. } | CommandKind::See { .. }, _)
        | (CommandKind::Cancel { .. }, Phase::Cancelled)
        | (CommandKind::Close { .. }, Phase::Closed) => true,
        (CommandKind::Finalise { award: requested, .. }, Phase::Finalised) => {
            requested.as_ref() == award
        }
        _ => false,
    };
    if is_repetition {
        return Ok(());
    }
    let (reason, text) = match (kind, phase) {
        (CommandKind::UndoAward { .. }, Phase::Finalised) => {
            (Reason::AwardNotPending, "the award has taken effect; it cannot be undone".to_owned())
        }
        (CommandKind::Finalise { .. }, Phase::Finalised) => {
            (Reason::AlreadyAwarded, "the order was decided otherwise before".to_owned())
        }
        (_, Phase::Expired) => (Reason::DeadlinePassed, ended_text(phase.as_str())),
        _ => (Reason::OrderEnded, ended_text(phase.as_str())),
    };
    Err(Refusal::new(reason, text).with("phase", phase.as_str()))
}

fn ended_text(phase: &str) -> String {
    format!("the order is {phase}; nothing more is taken")
}

fn pause(order: &Order, now: Timestamp, reason: Option<&String>) -> RuleResult {
    must_be_before_deadline(order, now)?;
    if order.phase == Phase::Paused {
        return Ok(Vec::new());
    }
    Ok(vec![EventKind::OrderPaused { expired: false, reason: reason.cloned(), decide_by: None }])
}

fn resume(order: &Order, now: Timestamp) -> RuleResult {
    must_be_before_deadline(order, now)?;
    Ok(if order.phase == Phase::Open { Vec::new() } else { vec![EventKind::OrderResumed] })
}

/// Refuses a command that only an order before its deadline takes. The deadline also passes while
/// an award waits to take effect.
fn must_be_before_deadline(order: &Order, now: Timestamp) -> Result<(), Refusal> {
    if order.decide_until.is_none() && now < order.expires_at {
        return Ok(());
    }
    let deadline = rfc3339_seconds(order.expires_at);
    let text = format!(
        "the order's time was over at {deadline}; nothing more is taken, and only its buyer can \
        award it or end it"
    );
    Err(Refusal::new(Reason::DeadlinePassed, text))
}

fn extend(order: &Order, now: Timestamp, expires_in_ms: u64) -> RuleResult {
    must_be_before_deadline(order, now)?;
    let expires_at = order.opened_at.plus_ms(crate::input::expires_in_ms(expires_in_ms)?);
    if expires_at == order.expires_at {
        return Ok(Vec::new());
    }
    if expires_at < order.expires_at {
        let current_ms = order.expires_at.ms_since(order.opened_at);
        return Err(Refusal {
            field: Some("expires_in_ms".to_owned()),
            ..Refusal::new(
                Reason::ExpiryShrinks,
                format!("is {expires_in_ms}, less than {current_ms} now; an expiry can only grow"),
            )
        });
    }
    Ok(vec![EventKind::OrderExtended { expires_at }])
}
