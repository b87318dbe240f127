//! A buyer's commands as edits of an `OrderRequest`'s spec: pure, and refused where the resource's
//! own rules would refuse them, with the same reasons as at a processor.

use orderstream_core::buyer::{BuyerCommand, FollowUpDraft};
use orderstream_core::command::Award;
use orderstream_core::limits::FOLLOW_UPS_MAX;
use orderstream_core::{FollowUpId, Reason, Refusal};
use serde_json::Value;

use crate::order_request::{
    AwardLineSpec, AwardSpec, CloseSpec, FollowUpSpec, MessageSpec, OrderRequestSpec,
};
use crate::{convert, duration};

/// Returns a follow-up as a manifest has it.
pub fn follow_up_spec(id: &FollowUpId, follow_up: &FollowUpDraft) -> FollowUpSpec {
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
///
/// # Errors
/// When its id has another follow-up, or the order has the most that it takes.
pub fn add_follow_up(spec: &mut OrderRequestSpec, follow_up: &FollowUpSpec) -> Result<(), Refusal> {
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

/// Edits the spec as a command wants it.
///
/// # Errors
/// When the resource's own rules would refuse it.
pub fn apply(spec: &mut OrderRequestSpec, command: &BuyerCommand) -> Result<(), Refusal> {
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

fn award_spec(award: Option<&Award>, reason: Option<&String>) -> AwardSpec {
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

/// Carries an edit over to the resource as it is stored. What the edit does not touch is sent back
/// as its author wrote it: serialized from our types it could differ, and immutable fields must
/// not.
///
/// # Errors
/// When a spec cannot be serialized.
pub fn merge(
    stored: &mut Value,
    before: &OrderRequestSpec,
    after: &OrderRequestSpec,
) -> serde_json::Result<()> {
    let (before, after) = (serde_json::to_value(before)?, serde_json::to_value(after)?);
    for (name, value) in after.as_object().into_iter().flatten() {
        let former = before.get(name).unwrap_or(&Value::Null);
        if value == former {
            continue;
        }
        let field = &mut stored["spec"][name];
        let former_len = former.as_array().map_or(0, Vec::len);
        match (field.as_array_mut(), value.as_array()) {
            (Some(stored_list), Some(list)) => {
                stored_list.extend(list.iter().skip(former_len).cloned())
            }
            _ => field.clone_from(value),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn edits_keep_other_fields_as_written() {
        let follow_up = |id: &str| json!({ "id": id, "message": { "message": "When?" } });
        let held = json!({ "id": "a", "audience": [], "message": { "message": "x", "new": 1 } });
        let mut stored = json!({ "spec": {
            "sellers": { "maxCount": 3, "names": [] }, "followUps": [held], "later": true,
        } });
        let read = |spec: Value| serde_json::from_value::<OrderRequestSpec>(spec).unwrap();
        let before = read(json!({ "sellers": { "maxCount": 3 }, "followUps": [follow_up("a")] }));
        let mut after = before.clone();
        after.suspend = true;
        after.award = Some(award_spec(None, Some(&"late".to_owned())));
        after.follow_ups.push(serde_json::from_value(follow_up("b")).unwrap());
        merge(&mut stored, &before, &after).unwrap();
        let mut added = follow_up("b");
        added["message"]["type"] = json!("text");
        assert_eq!(
            stored,
            json!({ "spec": {
                "sellers": { "maxCount": 3, "names": [] }, "followUps": [held, added],
                "later": true, "suspend": true, "award": { "none": true, "reason": "late" },
            } })
        );
    }
}
