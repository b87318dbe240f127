//! The relation of commands to the events that they cause.

use super::model::{Seal, State};
use crate::event::Event;
use crate::history::Act;
use crate::op::Op;

/// The way in which a command's event is recognised in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// By a token, an id or a number that only this command has.
    Own,
    /// By its kind alone: other events may look the same.
    Sort,
    /// It has no event, or none that can be attributed to it.
    None,
}

/// Returns the way in which this command's event is recognised.
pub(super) const fn mark(op: &Op) -> Mark {
    match op {
        Op::Open(_) | Op::See => Mark::None,
        Op::Resume | Op::Unlock { .. } | Op::Extend { .. } => Mark::Sort,
        Op::Propose { .. }
        | Op::Amend { .. }
        | Op::Withdraw { .. }
        | Op::Decline
        | Op::Ask
        | Op::Lock { .. }
        | Op::FollowUp
        | Op::Pause
        | Op::Award { .. }
        | Op::UndoAward
        | Op::Close
        | Op::Cancel => Mark::Own,
    }
}

/// Reports whether the event may be this command's. `opened_at` is the time of the list's first
/// event.
pub(super) fn causes(act: &Act, event: &Event, opened_at: i64) -> bool {
    let is = |kind: &str, change: &str| event.kind == kind && event.change == change;
    let has_words = event.token == act.token;
    match &act.op {
        Op::Open(_) => event.kind == "OrderOpened",
        Op::Propose { proposal } => is("NewProposal", "") && event.proposal == *proposal,
        Op::Amend { proposal } => {
            is("ProposalUpdate", "amended") && event.proposal == *proposal && has_words
        }
        Op::Withdraw { .. } => is("ProposalUpdate", "withdrawn") && has_words,
        Op::Decline => is("ProposalUpdate", "declined") && has_words,
        Op::Ask => is("ProposalUpdate", "asked") && has_words,
        Op::See => is("SellerNotified", "seen") && event.who == act.actor,
        Op::Lock { proposal, lease_ms } => {
            let lease = event.until.map(|until| until - event.at);
            is("EditLock", "locked")
                && event.proposal == *proposal
                && lease == i64::try_from(*lease_ms).ok()
        }
        Op::Unlock { proposal } => is("EditLock", "unlocked") && event.proposal == *proposal,
        Op::FollowUp => is("FollowUpAdded", "") && has_words,
        Op::Pause => is("OrderPaused", "paused") && has_words,
        Op::Resume => event.kind == "OrderResumed",
        Op::Extend { expires_in_ms } => {
            let life = event.until.map(|until| until - opened_at);
            event.kind == "OrderExtended" && life == i64::try_from(*expires_in_ms).ok()
        }
        Op::Award { undo_within_ms: 0, .. } => event.kind == "OrderFinalised" && has_words,
        Op::Award { .. } => event.kind == "AwardPending" && has_words,
        Op::UndoAward => event.kind == "AwardUndone" && has_words,
        Op::Close => event.kind == "OrderClosed" && has_words,
        Op::Cancel => event.kind == "OrderCancelled" && has_words,
    }
}

/// Reports whether a command that succeeded had nothing left to do in this state.
pub(super) fn already(act: &Act, state: &State) -> bool {
    match &act.op {
        Op::Open(_) | Op::See => true,
        Op::Decline => state.declined.contains(&act.actor),
        Op::Withdraw { proposal } => state.status(proposal) == Some("Withdrawn"),
        Op::Pause => state.phase == "Paused",
        Op::Resume => state.phase == "Open",
        Op::Unlock { proposal } => state.held_by(proposal).is_none(),
        Op::Extend { expires_in_ms } => i64::try_from(*expires_in_ms)
            .is_ok_and(|life| state.opened_at + life == state.expires_at),
        Op::Award { proposal, .. } => {
            state.award.as_ref() == Some(proposal) || state.pending() == Some(proposal)
        }
        Op::Close => state.phase == "Closed",
        Op::Cancel => state.phase == "Cancelled",
        Op::Propose { .. }
        | Op::Amend { .. }
        | Op::Ask
        | Op::Lock { .. }
        | Op::FollowUp
        | Op::UndoAward => false,
    }
}

/// Reports whether a refusal with this reason is true in this state.
pub(super) fn is_grounded(act: &Act, reason: &str, state: &State) -> bool {
    let proposal = act.op.proposal().unwrap_or_default();
    match reason {
        "ORDER_NOT_FOUND" => state.seq == 0,
        "ORDER_ENDED" => state.is_over(),
        "DEADLINE_PASSED" => state.phase == "Expired" || state.seal == Seal::Opened,
        "ORDER_PAUSED" => state.phase == "Paused",
        "PROPOSAL_NOT_FOUND" => state.seq > 0 && state.status(proposal).is_none(),
        "PROPOSAL_ENDED" => state.status(proposal).is_some_and(|status| status != "Open"),
        "LOCKED" => {
            let is_withdrawn = matches!(act.op, Op::Withdraw { .. });
            let by = if is_withdrawn { state.seller(proposal) } else { Some(act.actor.as_str()) };
            state.held_by(proposal).is_some_and(|holder| Some(holder) != by)
        }
        // Submissions and sessions amend the first version, and compare before all else.
        "CHANGED" => state.version(proposal) != Some(1),
        "ALREADY_AWARDED" => {
            state.phase == "Finalised" && state.award.as_deref() != act.op.proposal()
        }
        "AWARD_PENDING" => state.pending().is_some(),
        "AWARD_NOT_PENDING" => state.pending().is_none(),
        "ORDER_SEALED" => state.seal == Seal::Sealed,
        "EXPIRY_SHRINKS" => true,
        "STALE_EPOCH" => act.epoch > 0,
        // Whether sellers who were not asked may offer is not the rig's to say.
        "NOT_ALLOWED" => !state.is_asked(&act.actor),
        reason if reason.starts_with("CUT") => true,
        "INVALID_FIELD" => {
            matches!(act.op, Op::Amend { .. }) && state.seller(proposal) != Some(&act.actor)
        }
        _ => false,
    }
}
