//! The rules by which a command is allowed or refused, and the events that it causes: pure
//! functions of an order that was opened.

use crate::book::Context;
use crate::command::{Act, Award, Opening};
use crate::event::{EventKind, ProposalUpdate};
use crate::order::{Order, Phase};
use crate::refusal::{Reason, Refusal};

pub(super) mod decision;
mod proposals;
mod talk;

use decision::Decision;

type Kinds = Result<Vec<EventKind>, Refusal>;

/// Decides an opening of an order that exists: the same incarnation is a repetition and causes no
/// event, and another one is refused.
pub(super) fn reopen(order: &Order, opening: &Opening) -> Kinds {
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
pub(super) fn decide(order: &Order, context: &Context, act: &Act) -> Kinds {
    if order.phase.is_terminal() {
        return after_the_end(order, act);
    }
    let now = context.now;
    match act {
        Act::Open(opening) => reopen(order, opening),
        Act::Propose(proposed) => proposals::propose(order, context, proposed),
        Act::Amend(proposed) => proposals::amend(order, now, proposed),
        Act::Withdraw { proposal_id, reason } => {
            proposals::withdraw(order, now, proposal_id, reason.as_ref())
        }
        Act::Decline { seller, reason } => proposals::decline(order, seller, reason.as_ref()),
        Act::Answer { seller, follow_up_id, message } => {
            talk::answer(order, seller, follow_up_id, message)
        }
        Act::Ask { seller, question_id, message } => {
            talk::ask(order, seller, question_id.as_ref(), message)
        }
        Act::See { seller } => talk::see(order, seller),
        Act::Notified { seller, channel, failure } => {
            talk::notified(order, seller, *channel, failure.as_ref())
        }
        Act::FollowUp(added) => talk::follow_up(order, added),
        Act::Lock { proposal_id, holder, lease_ms } => {
            proposals::lock(order, now, proposal_id, (holder, *lease_ms))
        }
        Act::Unlock { proposal_id, holder } => proposals::unlock(order, now, proposal_id, holder),
        Act::Pause { reason } => Ok(pause(order, reason.as_ref())),
        Act::Resume => resume(order),
        Act::Extend { expires_in_ms } => extend(order, *expires_in_ms),
        Act::Close { reason } => Ok(vec![EventKind::OrderClosed { reason: reason.clone() }]),
        Act::Finalise { award, reason, undo_within_ms } => {
            let (award, reason) = (award.as_ref(), reason.as_ref());
            let undo_within_ms = undo_within_ms.unwrap_or(0);
            decision::finalise(order, context, Decision { award, reason, undo_within_ms })
        }
        Act::UndoAward { reason } => decision::undo(order, reason.as_ref()),
        Act::Cancel { reason } => Ok(vec![EventKind::OrderCancelled { reason: reason.clone() }]),
        Act::Tick => Ok(Vec::new()),
    }
}

/// Returns an event that restates the current state, for a keyed command that has nothing left to
/// do but whose effect a later command can undo. Without this record, a repetition of the key would
/// run the command again.
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
        Act::Finalise { .. } => {
            let pending = order.pending_award.clone()?;
            let (award, reason, effective_at) =
                (pending.award, pending.reason, pending.effective_at);
            Some(EventKind::AwardPending { award, reason, effective_at })
        }
        // No event: these are permanent (`Memory::done_by`), always cause an event, or have no key.
        Act::Open(_)
        | Act::Propose(_)
        | Act::Withdraw { .. }
        | Act::Decline { .. }
        | Act::Answer { .. }
        | Act::FollowUp(_)
        | Act::Lock { .. }
        | Act::Ask { .. }
        | Act::See { .. }
        | Act::Notified { .. }
        | Act::UndoAward { .. }
        | Act::Close { .. }
        | Act::Cancel { .. }
        | Act::Tick => None,
    }
}

/// Decides a command after the order's end, which never causes an event: the end and the opening
/// can be repeated, a tick and the state of a seller change nothing, and all else is refused.
pub(super) fn after_the_end(order: &Order, act: &Act) -> Kinds {
    if let Act::Open(opening) = act {
        return reopen(order, opening);
    }
    after_an_end((order.phase, order.award.as_ref()), act).map(|()| Vec::new())
}

/// [`after_the_end`] decided from the end alone; every opening is refused.
pub(super) fn after_an_end(
    (phase, award): (Phase, Option<&Award>),
    act: &Act,
) -> Result<(), Refusal> {
    let said_again = match (act, phase) {
        // The end is the last event, also where a seller is notified or sees the order only after
        // it.
        (Act::Tick | Act::Notified { .. } | Act::See { .. }, _)
        | (Act::Cancel { .. }, Phase::Cancelled)
        | (Act::Close { .. }, Phase::Closed) => true,
        (Act::Finalise { award: wanted, .. }, Phase::Finalised) => wanted.as_ref() == award,
        _ => false,
    };
    if said_again {
        return Ok(());
    }
    let (reason, text) = match (act, phase) {
        (Act::UndoAward { .. }, Phase::Finalised) => {
            (Reason::AwardNotPending, "the award has taken effect; it cannot be undone".to_owned())
        }
        (Act::Finalise { .. }, Phase::Finalised) => {
            (Reason::AlreadyAwarded, "the order was decided otherwise before".to_owned())
        }
        (_, Phase::Expired) => (Reason::DeadlinePassed, too_late(phase.as_str())),
        _ => (Reason::OrderEnded, too_late(phase.as_str())),
    };
    Err(Refusal::new(reason, text).with("phase", phase.as_str()))
}

fn too_late(phase: &str) -> String {
    format!("the order is {phase}; nothing more is taken")
}

fn pause(order: &Order, reason: Option<&String>) -> Vec<EventKind> {
    if order.phase == Phase::Paused {
        return Vec::new();
    }
    vec![EventKind::OrderPaused { expired: false, reason: reason.cloned() }]
}

fn resume(order: &Order) -> Kinds {
    must_not_be_opened(order)?;
    Ok(if order.phase == Phase::Open { Vec::new() } else { vec![EventKind::OrderResumed] })
}

/// Refuses the command once a sealed order is opened: its proposals can be read by then, and nobody
/// may propose with that knowledge.
fn must_not_be_opened(order: &Order) -> Result<(), Refusal> {
    if order.decide_until.is_none() {
        return Ok(());
    }
    Err(Refusal::new(
        Reason::DeadlinePassed,
        "the order was sealed and is opened; award it, or end it without an award",
    ))
}

fn extend(order: &Order, expires_in_ms: u64) -> Kinds {
    must_not_be_opened(order)?;
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
