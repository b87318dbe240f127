//! A buyer's commands as edits of an `OrderRequest`'s spec: pure, and refused where the resource's
//! own rules would refuse them, with the same reasons as at a processor.

use orderstream_core::buyer::{BuyerCommand, FollowUpDraft};
use orderstream_core::command::Award;
use orderstream_core::limits::FOLLOW_UPS_MAX;
use orderstream_core::{FollowUpId, Reason, Refusal};

use crate::order_request::{
    AwardLineSpec, AwardSpec, CloseSpec, FollowUpSpec, MessageSpec, OrderRequestSpec,
};
use crate::{convert, duration};

/// Returns a follow-up as a manifest has it.
pub(in crate::cluster) fn follow_up_spec(
    id: &FollowUpId,
    follow_up: &FollowUpDraft,
) -> FollowUpSpec {
    FollowUpSpec {
        id: id.to_string(),
        audience: follow_up.audience.iter().map(ToString::to_string).collect(),
        message: MessageSpec {
            kind: convert::text_type(follow_up.message.kind),
            message: follow_up.message.message.clone(),
            urls: follow_up.message.urls.clone(),
        },
        answers: follow_up.answers.as_ref().map(ToString::to_string),
    }
}

/// Adds a follow-up, unless the spec has the same one already.
pub(in crate::cluster) fn add_follow_up(
    spec: &mut OrderRequestSpec,
    follow_up: &FollowUpSpec,
) -> Result<(), Refusal> {
    if let Some(existing) = spec.follow_ups.iter().find(|held| held.id == follow_up.id) {
        if existing == follow_up {
            return Ok(());
        }
        let text = "the id was used for another follow-up; use a new one for each";
        return Err(Refusal::new(Reason::IdempotencyConflict, text));
    }
    if spec.follow_ups.len() >= FOLLOW_UPS_MAX {
        let text = format!("the order has {FOLLOW_UPS_MAX} follow-ups, the most it takes");
        return Err(Refusal::new(Reason::LimitReached, text));
    }
    spec.follow_ups.push(follow_up.clone());
    Ok(())
}

/// Edits the spec as a command requires.
pub(in crate::cluster) fn apply(
    spec: &mut OrderRequestSpec,
    command: &BuyerCommand,
) -> Result<(), Refusal> {
    match command {
        BuyerCommand::Pause(reason) if !spec.suspend => {
            spec.suspend = true;
            spec.suspend_reason.clone_from(reason);
        }
        BuyerCommand::Resume => {
            spec.suspend = false;
            spec.suspend_reason = None;
        }
        BuyerCommand::Cancel(reason) if !spec.cancel => {
            spec.cancel = true;
            spec.cancel_reason.clone_from(reason);
        }
        // The first reason stays.
        BuyerCommand::Pause(_) | BuyerCommand::Cancel(_) => {}
        BuyerCommand::Close(reason) => {
            spec.close.get_or_insert_with(|| CloseSpec { reason: reason.clone() });
        }
        BuyerCommand::Extend(ms) => extend(spec, *ms)?,
        BuyerCommand::UndoAward(reason) => match &mut spec.award {
            Some(award) if award.undo => {}
            Some(award) => {
                award.undo = true;
                award.undo_reason.clone_from(reason);
            }
            None => {
                let text = "no award waits to count; nothing to undo";
                return Err(Refusal::new(Reason::AwardNotPending, text));
            }
        },
        BuyerCommand::Finalise { award, reason, undo_within_ms } => {
            let undo_within = undo_within_ms.filter(|ms| *ms > 0).map(duration::format_ms);
            let desired = AwardSpec { undo_within, ..award_spec(award.as_ref(), reason.as_ref()) };
            if spec.award.as_ref().is_some_and(|held| *held != desired && !held.undo) {
                let text = "the order has another award already; it is given once";
                return Err(Refusal::new(Reason::AlreadyAwarded, text));
            }
            spec.award = Some(desired);
        }
    }
    Ok(())
}

fn extend(spec: &mut OrderRequestSpec, expires_in_ms: u64) -> Result<(), Refusal> {
    let desired_ms = orderstream_core::input::expires_in_ms(expires_in_ms)?;
    let current_ms = duration::expires_in_ms(&spec.expires_in)?;
    if desired_ms < current_ms {
        let text = format!("is {desired_ms}, less than {current_ms} now; an expiry can only grow");
        let field = Some("expires_in_ms".to_owned());
        return Err(Refusal { field, ..Refusal::new(Reason::ExpiryShrinks, text) });
    }
    spec.expires_in = duration::format_ms(desired_ms);
    Ok(())
}

pub(super) fn award_spec(award: Option<&Award>, reason: Option<&String>) -> AwardSpec {
    let spec = AwardSpec { reason: reason.cloned(), ..AwardSpec::default() };
    match award {
        None => AwardSpec { none: true, ..spec },
        Some(Award::Whole(id)) => AwardSpec { proposal_id: Some(id.to_string()), ..spec },
        Some(Award::Lines(lines)) => {
            let line = |(sku, id): &(String, orderstream_core::ProposalId)| AwardLineSpec {
                sku: sku.clone(),
                proposal_id: id.to_string(),
            };
            AwardSpec { lines: lines.iter().map(line).collect(), ..spec }
        }
    }
}
