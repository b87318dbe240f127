//! What came of a buyer's edit, as the resource's status tells it: pure. The edit itself is only a
//! wish; it is done when the order is so, and refused when the status says so.

use orderstream_core::buyer::{BuyerAct, Outcome};
use orderstream_core::command::Act;
use orderstream_core::plan::wish_name;
use orderstream_core::{FollowUpId, IdempotencyKey, Reason, Refusal};

use crate::duration;
use crate::order_request::{OrderRequest, OrderRequestSpec};
use crate::order_status::OrderRequestStatus;
use crate::status::parse_rfc3339;

/// What a buyer's edit asked for.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Wish {
    Act(BuyerAct),
    FollowUp(FollowUpId),
}

impl Wish {
    /// The key under which is told what comes of it: a resource keeps no keys of callers, so it is
    /// what the edit was about.
    pub(super) fn key(&self) -> Option<IdempotencyKey> {
        let key = match self {
            Self::Act(BuyerAct::Extend(ms)) => format!("extend:{ms}"),
            Self::Act(act) => name(act),
            Self::FollowUp(id) => format!("follow-up:{id}"),
        };
        IdempotencyKey::new(key).ok()
    }

    /// The wish under a key, if the resource has it.
    pub(super) fn held(spec: &OrderRequestSpec, key: &str) -> Option<Self> {
        if let Some(ms) = key.strip_prefix("extend:") {
            let ms = ms.parse().ok()?;
            let held_ms = duration::expires_in_ms(&spec.expires_in).ok()?;
            return (ms <= held_ms).then_some(Self::Act(BuyerAct::Extend(ms)));
        }
        let award = spec.award.as_ref();
        let act = match key {
            "pause" if spec.suspend => BuyerAct::Pause(None),
            "resume" if !spec.suspend => BuyerAct::Resume,
            "cancel" if spec.cancel => BuyerAct::Cancel(None),
            "close" if spec.close.is_some() => BuyerAct::Close(None),
            "undo-award" if award.is_some_and(|award| award.undo) => BuyerAct::UndoAward(None),
            "award" => {
                let award = award.filter(|award| !award.undo)?;
                let undo_within_ms = award.undo_within.as_ref().map(|_| 1);
                BuyerAct::Finalise { award: None, reason: None, undo_within_ms }
            }
            _ => {
                let id = key.strip_prefix("follow-up:").unwrap_or(key);
                let held = spec.follow_ups.iter().find(|held| held.id == id)?;
                return FollowUpId::new(held.id.clone()).ok().map(Self::FollowUp);
            }
        };
        Some(Self::Act(act))
    }

    /// Its word.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Act(act) => name(act),
            Self::FollowUp(id) => format!("follow-up {id}"),
        }
    }
}

fn name(act: &BuyerAct) -> String {
    wish_name(&Act::from(act.clone()))
}

/// What came of a wish that the resource has had since this generation.
pub(super) fn outcome(resource: &OrderRequest, wish: &Wish, generation: i64) -> Outcome {
    let Some(status) = &resource.status else { return Outcome::Pending };
    if status.observed_generation.is_none_or(|observed| observed < generation) {
        // An end is looked at no more: what was written after it is not taken up.
        return match status.is_terminal() {
            true => Outcome::Refused(over(status, "and was so before this was taken up")),
            false => Outcome::Pending,
        };
    }
    if let Some(refusal) = told(status, wish) {
        return Outcome::Refused(refusal);
    }
    match (shows(resource, status, wish), status.is_terminal()) {
        (true, _) => Outcome::Done,
        (false, true) => {
            Outcome::Refused(over(status, "and does not tell whether this was so before its end"))
        }
        (false, false) => Outcome::Pending,
    }
}

fn over(status: &OrderRequestStatus, text: &str) -> Refusal {
    let phase = status.phase.as_deref().unwrap_or_default();
    let reason = if phase == "Expired" { Reason::DeadlinePassed } else { Reason::OrderEnded };
    Refusal::new(reason, format!("the order is {phase}, {text}"))
}

/// Why the processor refused just this, where the status says so.
fn told(status: &OrderRequestStatus, wish: &Wish) -> Option<Refusal> {
    let stalled = stalled(status)?;
    let text = stalled.message.strip_prefix(&wish.name())?.strip_prefix(": ")?;
    let reason = Reason::parse(&stalled.reason).unwrap_or(Reason::Internal);
    Some(Refusal::new(reason, text))
}

fn stalled(
    status: &OrderRequestStatus,
) -> Option<&k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition> {
    status.conditions.iter().find(|held| held.type_ == "Stalled" && held.status == "True")
}

/// Whether the order is as the wish wants it.
fn shows(resource: &OrderRequest, status: &OrderRequestStatus, wish: &Wish) -> bool {
    let phase = status.phase.as_deref().unwrap_or_default();
    match wish {
        Wish::Act(BuyerAct::Pause(_)) => phase == "Paused",
        Wish::Act(BuyerAct::Resume) => phase == "Streaming",
        Wish::Act(BuyerAct::Cancel(_)) => phase == "Cancelled",
        Wish::Act(BuyerAct::Close(_)) => phase == "Closed",
        Wish::Act(BuyerAct::UndoAward(_)) => status.award.is_none() && !status.is_terminal(),
        // An award of somebody else stalls this one.
        Wish::Act(BuyerAct::Finalise { undo_within_ms, .. }) => {
            phase == "Finalised" || undo_within_ms.is_some() && status.award.is_some()
        }
        Wish::Act(BuyerAct::Extend(ms)) => {
            let time = |text: &Option<String>| text.as_deref().and_then(parse_rfc3339);
            let times = time(&status.start_time).zip(time(&status.expires_at));
            // Times are shown in whole seconds.
            times.is_some_and(|(start, end)| end.ms_since(start).saturating_add(999) >= *ms)
        }
        Wish::FollowUp(id) => is_sent(resource, status, id),
    }
}

/// Follow-ups are sent in the order in which they were written, and what is refused is told.
fn is_sent(resource: &OrderRequest, status: &OrderRequestStatus, id: &FollowUpId) -> bool {
    let place = |id: &str| resource.spec.follow_ups.iter().position(|held| held.id == id);
    let last = status.follow_ups.as_ref().and_then(|sent| sent.last_id.as_deref());
    if stalled(status).is_some() {
        return last == Some(id.as_str());
    }
    status.is_terminal()
        || last.and_then(place).is_some_and(|last| place(id.as_str()) <= Some(last))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn resource(spec: &Value, status: &Value) -> OrderRequest {
        serde_json::from_value(json!({
            "apiVersion": "orderstream.dev/v1alpha1",
            "kind": "OrderRequest",
            "metadata": { "name": "chairs", "generation": 2 },
            "spec": spec,
            "status": status,
        }))
        .unwrap()
    }

    fn stalled(reason: &str, message: &str) -> Value {
        json!([{
            "type": "Stalled", "status": "True", "reason": reason, "message": message,
            "lastTransitionTime": "2026-11-23T20:35:25Z",
        }])
    }

    fn award() -> Wish {
        Wish::Act(BuyerAct::Finalise { award: None, reason: None, undo_within_ms: None })
    }

    fn refused(outcome: &Outcome) -> Option<Reason> {
        match outcome {
            Outcome::Refused(refusal) => Some(refusal.reason),
            Outcome::Pending | Outcome::Done => None,
        }
    }

    #[test]
    fn an_edit_that_is_not_taken_up_or_does_not_show_is_pending() {
        for status in [
            json!({}),
            json!({ "observedGeneration": 1, "phase": "Streaming" }),
            json!({ "observedGeneration": 2, "phase": "Reconnecting" }),
        ] {
            for wish in [award(), Wish::Act(BuyerAct::Pause(None))] {
                let resource = resource(&json!({}), &status);
                assert_eq!(outcome(&resource, &wish, 2), Outcome::Pending, "{status}");
            }
        }
    }

    #[test]
    fn an_award_that_somebody_else_s_overtook_is_refused_and_never_done() {
        let end = json!({ "observedGeneration": 2, "phase": "Finalised", "conditions":
            stalled("ALREADY_AWARDED", "award: the order was decided otherwise before") });
        let told = outcome(&resource(&json!({}), &end), &award(), 2);
        assert_eq!(refused(&told), Some(Reason::AlreadyAwarded));
        let before = json!({ "observedGeneration": 1, "phase": "Finalised" });
        let told = outcome(&resource(&json!({}), &before), &award(), 2);
        assert_eq!(refused(&told), Some(Reason::OrderEnded), "it ended before the edit");
        let own = json!({ "observedGeneration": 2, "phase": "Finalised" });
        assert_eq!(outcome(&resource(&json!({}), &own), &award(), 2), Outcome::Done);
    }

    #[test]
    fn what_stalls_another_wish_refuses_only_that_one() {
        let status = json!({ "observedGeneration": 2, "phase": "Paused", "conditions":
            stalled("PROPOSAL_NOT_FOUND", "award: the order has no proposal p9") });
        let resource = resource(&json!({}), &status);
        assert_eq!(outcome(&resource, &Wish::Act(BuyerAct::Pause(None)), 2), Outcome::Done);
        assert_eq!(refused(&outcome(&resource, &award(), 2)), Some(Reason::ProposalNotFound));
        assert_eq!(outcome(&resource, &Wish::Act(BuyerAct::Resume), 2), Outcome::Pending);
    }

    #[test]
    fn a_follow_up_is_done_when_it_or_a_later_one_was_sent() {
        let follow_up = |id: &str| json!({ "id": id, "message": { "message": "When?" } });
        let spec = json!({ "followUps": [follow_up("f1"), follow_up("f2")] });
        let wish = |id: &str| Wish::FollowUp(FollowUpId::new(id).unwrap());
        let sent = |last: &str| {
            let status = json!({ "observedGeneration": 2, "phase": "Streaming",
                "followUps": { "sent": 1, "lastId": last } });
            resource(&spec, &status)
        };
        assert_eq!(outcome(&sent("f1"), &wish("f1"), 2), Outcome::Done);
        assert_eq!(outcome(&sent("f1"), &wish("f2"), 2), Outcome::Pending);
        assert_eq!(outcome(&sent("f2"), &wish("f1"), 2), Outcome::Done);
        assert_eq!(outcome(&sent("of-somebody-else"), &wish("f1"), 2), Outcome::Pending);
        let expired = json!({ "observedGeneration": 2, "phase": "Expired", "conditions":
            stalled("DEADLINE_PASSED", "follow-up f2: the order is Expired") });
        let told = outcome(&resource(&spec, &expired), &wish("f2"), 2);
        assert_eq!(refused(&told), Some(Reason::DeadlinePassed));
    }

    #[test]
    fn each_wish_is_found_under_its_key_and_only_while_the_resource_has_it() {
        let spec = json!({ "suspend": true, "cancel": true, "expiresIn": "2h", "award":
            { "proposalId": "p" }, "followUps": [{ "id": "f1", "message": { "message": "?" } }] });
        let spec: OrderRequestSpec = serde_json::from_value(spec).unwrap();
        let held = |key: &str| Wish::held(&spec, key).and_then(|wish| wish.key());
        for key in ["pause", "cancel", "award", "follow-up:f1", "extend:7200000"] {
            assert_eq!(held(key).as_ref().map(IdempotencyKey::as_str), Some(key));
        }
        assert_eq!(held("f1").as_ref().map(IdempotencyKey::as_str), Some("follow-up:f1"));
        for key in ["resume", "close", "undo-award", "follow-up:f2", "extend:7200001", "extend:x"] {
            assert_eq!(held(key), None, "{key}");
        }
    }
}
