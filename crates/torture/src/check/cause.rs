//! Relates commands to the events that they cause.

use super::model::{ReferenceState, Seal};
use crate::command::ClientCommand;
use crate::event::ComparableEvent;
use crate::history::ClientAttempt;

/// The way in which a command's event is identified in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EventAttribution {
    /// By a token, an id or a number that is unique to the command.
    Unique,
    /// Only by its kind: other events may be equal.
    KindOnly,
    /// The command has no event, or none that can be attributed to it.
    None,
}

/// Returns the way in which this command's event is identified.
pub(super) const fn attribution(command: &ClientCommand) -> EventAttribution {
    match command {
        ClientCommand::Open(_) | ClientCommand::See => EventAttribution::None,
        ClientCommand::Resume | ClientCommand::Unlock { .. } | ClientCommand::Extend { .. } => {
            EventAttribution::KindOnly
        }
        ClientCommand::Propose { .. }
        | ClientCommand::Amend { .. }
        | ClientCommand::Withdraw { .. }
        | ClientCommand::Decline
        | ClientCommand::Ask
        | ClientCommand::Lock { .. }
        | ClientCommand::FollowUp
        | ClientCommand::Pause
        | ClientCommand::Award { .. }
        | ClientCommand::UndoAward
        | ClientCommand::Close
        | ClientCommand::Cancel => EventAttribution::Unique,
    }
}

/// Reports whether the event may be this command's. `opened_at` is the time of the list's first
/// event.
pub(super) fn causes(attempt: &ClientAttempt, event: &ComparableEvent, opened_at: i64) -> bool {
    let is = |kind: &str, change: &str| event.kind == kind && event.change == change;
    let has_token = event.token == attempt.token;
    match &attempt.command {
        ClientCommand::Open(_) => event.kind == "OrderOpened",
        ClientCommand::Propose { proposal, .. } => {
            is("NewProposal", "") && event.proposal == *proposal
        }
        ClientCommand::Amend { proposal } => {
            is("ProposalUpdate", "amended") && event.proposal == *proposal && has_token
        }
        ClientCommand::Withdraw { .. } => is("ProposalUpdate", "withdrawn") && has_token,
        ClientCommand::Decline => is("ProposalUpdate", "declined") && has_token,
        ClientCommand::Ask => is("ProposalUpdate", "asked") && has_token,
        ClientCommand::See => is("SellerNotified", "seen") && event.actor == attempt.actor,
        ClientCommand::Lock { proposal, lease_ms } => {
            let lease = event.until.map(|until| until - event.at);
            is("EditLock", "locked")
                && event.proposal == *proposal
                && lease == i64::try_from(*lease_ms).ok()
        }
        ClientCommand::Unlock { proposal } => {
            is("EditLock", "unlocked") && event.proposal == *proposal
        }
        ClientCommand::FollowUp => is("FollowUpAdded", "") && has_token,
        ClientCommand::Pause => is("OrderPaused", "paused") && has_token,
        ClientCommand::Resume => event.kind == "OrderResumed",
        ClientCommand::Extend { expires_in_ms } => {
            let lifetime = event.until.map(|until| until - opened_at);
            event.kind == "OrderExtended" && lifetime == i64::try_from(*expires_in_ms).ok()
        }
        ClientCommand::Award { undo_within_ms: 0, .. } => {
            event.kind == "OrderFinalised" && has_token
        }
        ClientCommand::Award { .. } => event.kind == "AwardPending" && has_token,
        ClientCommand::UndoAward => event.kind == "AwardUndone" && has_token,
        ClientCommand::Close => event.kind == "OrderClosed" && has_token,
        ClientCommand::Cancel => event.kind == "OrderCancelled" && has_token,
    }
}

/// Reports whether a successful command had nothing left to do in this state.
pub(super) fn is_already_done(attempt: &ClientAttempt, state: &ReferenceState) -> bool {
    match &attempt.command {
        ClientCommand::Open(_) | ClientCommand::See => true,
        ClientCommand::Decline => state.has_declined(&attempt.actor),
        ClientCommand::Withdraw { proposal } => state.status(proposal) == Some("Withdrawn"),
        ClientCommand::Pause => state.phase == "Paused",
        ClientCommand::Resume => state.phase == "Open",
        ClientCommand::Unlock { proposal } => state.lock_holder(proposal).is_none(),
        ClientCommand::Extend { expires_in_ms } => i64::try_from(*expires_in_ms)
            .is_ok_and(|lifetime| state.opened_at + lifetime == state.expires_at),
        ClientCommand::Award { proposal, .. } => {
            state.award.as_ref() == Some(proposal) || state.pending() == Some(proposal)
        }
        ClientCommand::Close => state.phase == "Closed",
        ClientCommand::Cancel => state.phase == "Cancelled",
        ClientCommand::Propose { .. }
        | ClientCommand::Amend { .. }
        | ClientCommand::Ask
        | ClientCommand::Lock { .. }
        | ClientCommand::FollowUp
        | ClientCommand::UndoAward => false,
    }
}

/// Reports whether a refusal with this reason is correct in this state.
pub(super) fn is_grounded(attempt: &ClientAttempt, reason: &str, state: &ReferenceState) -> bool {
    let proposal = attempt.command.proposal().unwrap_or_default();
    match reason {
        "ORDER_NOT_FOUND" => state.seq == 0,
        "ORDER_ENDED" => state.is_over(),
        // The deadline also passes while an award waits to count, and no event says so then.
        "DEADLINE_PASSED" => {
            state.phase == "Expired" || state.is_deciding() || state.pending().is_some()
        }
        "ORDER_PAUSED" => state.phase == "Paused",
        "PROPOSAL_EXISTS" => {
            matches!(attempt.command, ClientCommand::Propose { .. })
                && state.has_one_like(&attempt.actor, attempt.command.label())
        }
        // Under seal, another seller's proposal is refused as one that is not there.
        "PROPOSAL_NOT_FOUND" => {
            let is_hidden = state.seal == Seal::Sealed
                && state.seller(proposal) != Some(attempt.actor.as_str());
            state.seq > 0 && (state.status(proposal).is_none() || is_hidden)
        }
        "PROPOSAL_ENDED" => state.status(proposal).is_some_and(|status| status != "Open"),
        "LOCKED" => {
            let is_withdrawn = matches!(attempt.command, ClientCommand::Withdraw { .. });
            let by =
                if is_withdrawn { state.seller(proposal) } else { Some(attempt.actor.as_str()) };
            state.lock_holder(proposal).is_some_and(|holder| Some(holder) != by)
        }
        // Submissions and sessions amend the first version, and compare versions first.
        "CHANGED" => state.version(proposal) != Some(1),
        "ALREADY_AWARDED" => {
            state.phase == "Finalised" && state.award.as_deref() != attempt.command.proposal()
        }
        "AWARD_PENDING" => state.pending().is_some(),
        "AWARD_NOT_PENDING" => state.pending().is_none(),
        "ORDER_SEALED" => state.seal == Seal::Sealed,
        "EXPIRY_SHRINKS" => true,
        "STALE_EPOCH" => attempt.epoch > 0,
        "NOT_INVITED" => is_of_seller(&attempt.command) && !state.may_take_part(&attempt.actor),
        reason if reason.starts_with("CUT") => true,
        "INVALID_FIELD" => {
            matches!(attempt.command, ClientCommand::Amend { .. })
                && state.seller(proposal) != Some(&attempt.actor)
        }
        _ => false,
    }
}

/// Reports whether this is a command of a seller.
const fn is_of_seller(command: &ClientCommand) -> bool {
    match command {
        ClientCommand::Propose { .. }
        | ClientCommand::Amend { .. }
        | ClientCommand::Withdraw { .. }
        | ClientCommand::Decline
        | ClientCommand::Ask
        | ClientCommand::See
        | ClientCommand::Lock { .. }
        | ClientCommand::Unlock { .. } => true,
        ClientCommand::Open(_)
        | ClientCommand::FollowUp
        | ClientCommand::Pause
        | ClientCommand::Resume
        | ClientCommand::Extend { .. }
        | ClientCommand::Award { .. }
        | ClientCommand::UndoAward
        | ClientCommand::Close
        | ClientCommand::Cancel => false,
    }
}
