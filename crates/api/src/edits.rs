//! A buyer's commands as edits of an `OrderRequest`'s spec: pure, and refused where the resource's
//! own rules would refuse them, with the same reasons as at a processor.

use orderstream_core::buyer::{BuyerCommand, FollowUpDraft};
use orderstream_core::command::Award;
use orderstream_core::limits::FOLLOW_UPS_MAX;
use orderstream_core::{FollowUpId, Reason, Refusal, RequestPhase};
use serde_json::Value;

use crate::order_request::{
    AwardLineSpec, AwardSpec, CloseSpec, FollowUpSpec, MessageSpec, OrderRequest, OrderRequestSpec,
};
use crate::order_status::OrderRequestStatus;
use crate::update::is_award_refused;
use crate::{convert, duration, phase_of};

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

/// Edits the spec as a command wants it, beside the resource that is stored, if there is one.
///
/// # Errors
/// When the resource's own rules would refuse it, or its order could not carry it out now.
pub fn apply(
    spec: &mut OrderRequestSpec,
    stored: Option<&OrderRequest>,
    command: &BuyerCommand,
) -> Result<(), Refusal> {
    let status = stored.and_then(|stored| stored.status.as_ref());
    let is_award_refused = stored.is_some_and(is_award_refused);
    match command {
        BuyerCommand::Pause(reason) if !spec.suspend => {
            check_undecided(status)?;
            spec.suspend = true;
            spec.suspend_reason.clone_from(reason);
        }
        BuyerCommand::Resume if spec.suspend || spec.suspend_reason.is_some() => {
            check_undecided(status)?;
            spec.suspend = false;
            spec.suspend_reason = None;
        }
        BuyerCommand::Cancel(reason) if !spec.cancel => {
            take_award_back(spec, status, is_award_refused)?;
            spec.cancel = true;
            spec.cancel_reason.clone_from(reason);
        }
        BuyerCommand::Close(reason) if spec.close.is_none() => {
            take_award_back(spec, status, is_award_refused)?;
            spec.close = Some(CloseSpec { reason: reason.clone() });
        }
        // The spec has it already, and the first reason stays.
        BuyerCommand::Pause(_)
        | BuyerCommand::Resume
        | BuyerCommand::Cancel(_)
        | BuyerCommand::Close(_) => {}
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
            let is_other = |held: &AwardSpec| *held != desired && !held.undo;
            if spec.award.as_ref().is_some_and(is_other) && !is_award_refused {
                let text = "the order has another award already; it is given once";
                return Err(Refusal::new(Reason::AlreadyAwarded, text));
            }
            spec.award = Some(desired);
        }
    }
    Ok(())
}

/// Marks an award that was refused as undone, so that the order can end in another way. It stays in
/// the spec: a pending award that is removed would count.
#[allow(clippy::fn_params_excessive_bools, reason = "one fact of the status")]
fn take_award_back(
    spec: &mut OrderRequestSpec,
    status: Option<&OrderRequestStatus>,
    is_refused: bool,
) -> Result<(), Refusal> {
    let Some(award) = spec.award.as_mut().filter(|award| !award.undo) else { return Ok(()) };
    if !is_refused {
        return Err(award_pending(status));
    }
    award.undo = true;
    Ok(())
}

/// Refuses what an order does not do that waits for a decision, or for its award to count.
fn check_undecided(status: Option<&OrderRequestStatus>) -> Result<(), Refusal> {
    if phase_of(status) == RequestPhase::Deciding {
        return Err(too_late(status));
    }
    if status.is_some_and(|status| status.award.is_some()) {
        return Err(award_pending(status));
    }
    Ok(())
}

fn award_pending(status: Option<&OrderRequestStatus>) -> Refusal {
    let text = match status.and_then(|status| status.award.as_ref()) {
        Some(award) => format!(
            "an award is pending until {}; undo it first with undo-award, or let it count",
            award.pending_until
        ),
        // The order may have refused it: the status shows only the newest refusal.
        None => "an award is asked for and not decided; undo it first with undo-award".to_owned(),
    };
    Refusal::new(Reason::AwardPending, text)
}

fn too_late(status: Option<&OrderRequestStatus>) -> Refusal {
    let decide_by = status.and_then(|status| status.decide_by.as_deref()).unwrap_or_default();
    let text = format!(
        "the order's time is over; only its buyer can award it or end it, until {decide_by}"
    );
    Refusal::new(Reason::DeadlinePassed, text)
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

/// Refuses an edit that comes after the order's deadline and can have no effect then: the order
/// takes nothing more from sellers, so that it cannot be suspended, resumed or extended.
///
/// # Errors
/// When the resource's order waits for a decision, and its spec would differ in one of these.
pub fn check_in_time(resource: &OrderRequest, spec: &OrderRequestSpec) -> Result<(), Refusal> {
    let status = resource.status.as_ref();
    let before = &resource.spec;
    let is_same = (before.suspend, &before.expires_in) == (spec.suspend, &spec.expires_in);
    if is_same || phase_of(status) != RequestPhase::Deciding {
        return Ok(());
    }
    Err(too_late(status))
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
    use crate::order_status::StreamStatus;
    use crate::update::check_edit;

    /// Returns a resource with an award and this status.
    #[allow(clippy::fn_params_excessive_bools, reason = "a field of the award")]
    fn awarded(undo: bool, status: Value) -> OrderRequest {
        let award = AwardSpec { proposal_id: Some("p1".to_owned()), undo, ..AwardSpec::default() };
        let spec = OrderRequestSpec { award: Some(award), ..OrderRequestSpec::default() };
        let mut resource = OrderRequest::new("chairs", spec);
        let stream = StreamStatus { processor: Some("http://a".to_owned()), ..Default::default() };
        let status: OrderRequestStatus = serde_json::from_value(status).unwrap();
        resource.status = Some(OrderRequestStatus { stream: Some(stream), ..status });
        resource
    }

    /// Edits a resource, and checks the edit as an API server does.
    fn edited(resource: &OrderRequest, command: &BuyerCommand) -> Result<OrderRequestSpec, Reason> {
        let mut spec = resource.spec.clone();
        apply(&mut spec, Some(resource), command).map_err(|refusal| refusal.reason)?;
        check_edit(resource, &spec).unwrap();
        convert::check(&OrderRequest { spec: spec.clone(), ..resource.clone() }).unwrap();
        Ok(spec)
    }

    #[test]
    fn undone_or_refused_awards_free_the_order() {
        let refused = json!({ "phase": "Open", "conditions": [{
            "type": "Stalled", "status": "True", "reason": "INVALID_FIELD",
            "message": "award: lines[1].sku: A is given twice; a line has one winner",
            "lastTransitionTime": "2026-10-01T00:00:00Z",
        }] });
        for resource in [awarded(true, json!({ "phase": "Open" })), awarded(false, refused)] {
            let closed = edited(&resource, &BuyerCommand::Close(None)).unwrap();
            assert!(closed.close.is_some() && closed.award.is_some_and(|award| award.undo));
            let cancelled = edited(&resource, &BuyerCommand::Cancel(None)).unwrap();
            assert!(cancelled.cancel && cancelled.award.is_some_and(|award| award.undo));
            let none = BuyerCommand::Finalise { award: None, reason: None, undo_within_ms: None };
            let replaced = edited(&resource, &none).unwrap();
            assert!(replaced.award.is_some_and(|award| award.none && !award.undo));
            let undone = edited(&resource, &BuyerCommand::UndoAward(None)).unwrap();
            assert!(undone.award.is_some_and(|award| award.undo));
        }
    }

    /// The status is still about the edit before the award.
    #[test]
    fn awards_stay_while_their_status_is_stale() {
        let stale = json!({ "observedGeneration": 1, "phase": "Open", "conditions": [{
            "type": "Stalled", "status": "True", "reason": "PROPOSAL_NOT_FOUND",
            "message": "award: there is no proposal p0",
            "lastTransitionTime": "2026-10-01T00:00:00Z",
        }] });
        let mut resource = awarded(false, stale);
        resource.metadata.generation = Some(2);
        let none = BuyerCommand::Finalise { award: None, reason: None, undo_within_ms: None };
        assert_eq!(edited(&resource, &none), Err(Reason::AlreadyAwarded));
        for command in [BuyerCommand::Close(None), BuyerCommand::Cancel(None)] {
            assert_eq!(edited(&resource, &command), Err(Reason::AwardPending), "{command:?}");
        }
    }

    #[test]
    fn pending_awards_keep_the_order() {
        let pending = json!({ "phase": "Open", "award": { "pendingUntil": "2026-10-01T00:00Z" } });
        for status in [pending, json!({ "phase": "Open" })] {
            let resource = awarded(false, status);
            for command in [BuyerCommand::Close(None), BuyerCommand::Cancel(None)] {
                assert_eq!(edited(&resource, &command), Err(Reason::AwardPending), "{command:?}");
            }
        }
    }

    /// The condition shows only the newest refusal: nobody can tell that the award still counts.
    #[test]
    fn hidden_refusals_do_not_promise_an_award() {
        let hidden = json!({ "phase": "Open", "conditions": [{
            "type": "Stalled", "status": "True", "reason": "SELLER_NOT_FOUND",
            "message": "follow-up f1: there is no seller x",
            "lastTransitionTime": "2026-10-01T00:00:00Z",
        }] });
        let resource = awarded(false, hidden);
        let mut spec = resource.spec.clone();
        let refusal = apply(&mut spec, Some(&resource), &BuyerCommand::Close(None)).unwrap_err();
        assert_eq!(refusal.reason, Reason::AwardPending);
        let expected = "an award is asked for and not decided; undo it first with undo-award";
        assert_eq!(refusal.message, expected);
    }

    #[test]
    fn decided_orders_are_neither_paused_nor_resumed() {
        let pending = json!({ "phase": "Open", "award": { "pendingUntil": "2026-10-01T00:00Z" } });
        for (status, reason) in [
            (json!({ "phase": "Deciding" }), Reason::DeadlinePassed),
            (pending, Reason::AwardPending),
        ] {
            let mut resource = awarded(false, status);
            for (suspend, done, refused) in [
                (false, BuyerCommand::Resume, BuyerCommand::Pause(None)),
                (true, BuyerCommand::Pause(None), BuyerCommand::Resume),
            ] {
                resource.spec.suspend = suspend;
                assert_eq!(edited(&resource, &refused), Err(reason), "{refused:?}");
                assert_eq!(edited(&resource, &done), Ok(resource.spec.clone()), "it is repeated");
            }
        }
    }

    #[test]
    fn late_edits_are_refused_while_deciding() {
        let mut resource = OrderRequest::new("chairs", OrderRequestSpec::default());
        let edited = |command: BuyerCommand| {
            let mut spec = OrderRequestSpec::default();
            apply(&mut spec, None, &command).unwrap();
            spec
        };
        let none = BuyerCommand::Finalise { award: None, reason: None, undo_within_ms: None };
        let commands = [BuyerCommand::Pause(None), BuyerCommand::Extend(7_200_000), none];
        for (phase, expected) in [
            ("Paused", [None, None, None]),
            ("Deciding", [Some(Reason::DeadlinePassed), Some(Reason::DeadlinePassed), None]),
        ] {
            let phase = Some(phase.to_owned());
            resource.status = Some(OrderRequestStatus { phase, ..OrderRequestStatus::default() });
            let check = |command: &BuyerCommand| {
                check_in_time(&resource, &edited(command.clone())).err().map(|late| late.reason)
            };
            assert_eq!([0, 1, 2].map(|index| check(&commands[index])), expected);
        }
    }

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
