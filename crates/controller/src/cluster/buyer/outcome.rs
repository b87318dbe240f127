//! The outcome of a buyer's edit, as the resource's status shows it: pure. The edit itself is only
//! a wish: it is done once the order has it, and refused once the status reports a refusal.

use orderstream_core::buyer::{BuyerAct, Outcome};
use orderstream_core::command::Act;
use orderstream_core::date::parse_rfc3339;
use orderstream_core::plan::wish_name;
use orderstream_core::request_phase::end_reason;
use orderstream_core::{FollowUpId, IdempotencyKey, Reason, Refusal, RequestPhase};

use crate::conditions::{READY, STALLED};
use crate::duration;
use crate::order_request::{OrderRequest, OrderRequestSpec};
use crate::order_status::OrderRequestStatus;

/// The prefix of a follow-up's key.
const FOLLOW_UP: &str = "follow-up:";

/// The wish of a buyer's edit: a command, or a follow-up.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Wish {
    Act(BuyerAct),
    FollowUp(FollowUpId),
}

impl Wish {
    /// Returns the key under which the outcome is found. A resource keeps no keys of callers, so it
    /// is made of the wish's subject.
    pub(super) fn key(&self) -> Option<IdempotencyKey> {
        let key = match self {
            Self::Act(BuyerAct::Extend(ms)) => format!("extend:{ms}"),
            Self::Act(act) => name(act),
            // An id may be as long as a key, with no space for the prefix; then it stands alone.
            Self::FollowUp(id) => {
                let worded = IdempotencyKey::new(format!("{FOLLOW_UP}{id}")).ok();
                return worded.or_else(|| IdempotencyKey::new(id.as_str()).ok());
            }
        };
        IdempotencyKey::new(key).ok()
    }

    /// Returns the wish under a key; `None` where the resource does not have it.
    pub(super) fn held(spec: &OrderRequestSpec, key: &str) -> Option<Self> {
        if let Some(ms) = key.strip_prefix("extend:").and_then(|ms| ms.parse().ok()) {
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
                let has = |id: &&str| spec.follow_ups.iter().any(|held| held.id == **id);
                let id = key.strip_prefix(FOLLOW_UP).filter(has);
                let id = id.or_else(|| Some(key).filter(has))?;
                return FollowUpId::new(id).ok().map(Self::FollowUp);
            }
        };
        Some(Self::Act(act))
    }

    /// Returns the wish's name, which opens a refusal's message in the status.
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

/// The generation since which the resource has a wish, as far as that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Since {
    /// It came with the edit that gave the resource this generation.
    Edit(i64),
    /// This generation has it, and may have it from an earlier one.
    Before(i64),
}

/// Returns a wish's outcome, as far as the resource shows it; `None` where another edit or the
/// order's end has replaced what showed it. An outcome that was `done` once is never `refused`
/// later, nor the other way round.
pub(super) fn outcome(resource: &OrderRequest, wish: &Wish, since: Since) -> Option<Outcome> {
    let Some(status) = &resource.status else { return Some(Outcome::Pending) };
    if stays_so(resource, status, wish) {
        return Some(Outcome::Done);
    }
    let (Since::Edit(generation) | Since::Before(generation)) = since;
    let is_taken_up = judged(status).is_some_and(|judged| judged >= generation);
    match (is_taken_up, status.is_terminal(), since) {
        (true, true, _) => told(status, wish).or_else(|| at_the_end(resource, status, wish)),
        (true, false, _) => told(status, wish).or_else(|| by_now(status, wish)),
        (false, false, _) => Some(Outcome::Pending),
        // Edits after an order's end are not sent to it and have no effect.
        (false, true, Since::Edit(_)) => {
            Some(Outcome::Refused(over(status, "and was so before this was taken up")))
        }
        // This wish may be older than the edit that was made after the end.
        (false, true, Since::Before(_)) => told(status, wish).or_else(|| never_was(status, wish)),
    }
}

/// Returns the generation of the newest edit that was sent to the order, or refused: after an end,
/// edits are only observed.
fn judged(status: &OrderRequestStatus) -> Option<i64> {
    if !status.is_terminal() {
        return status.observed_generation;
    }
    let ready = status.condition(READY);
    ready.map_or(status.observed_generation, |ready| ready.observed_generation)
}

/// Reports whether the order has the wish for good: no edit and no end can undo it.
fn stays_so(resource: &OrderRequest, status: &OrderRequestStatus, wish: &Wish) -> bool {
    let is_phase = |phase| status.request_phase() == Some(phase);
    match wish {
        Wish::FollowUp(id) => is_sent(resource, status, id),
        Wish::Act(BuyerAct::Cancel(_)) => is_phase(RequestPhase::Cancelled),
        Wish::Act(BuyerAct::Close(_)) => is_phase(RequestPhase::Closed),
        Wish::Act(BuyerAct::Extend(ms)) => {
            let time = |text: &Option<String>| text.as_deref().and_then(parse_rfc3339);
            let times = time(&status.start_time).zip(time(&status.expires_at));
            // Times are shown in whole seconds.
            times.is_some_and(|(start, end)| end.ms_since(start).saturating_add(999) >= *ms)
        }
        Wish::Act(
            BuyerAct::Pause(_)
            | BuyerAct::Resume
            | BuyerAct::UndoAward(_)
            | BuyerAct::Finalise { .. },
        ) => false,
    }
}

/// Reports whether the order's list surely has a follow-up: the status names the newest, and counts
/// all. They are sent in the sequence of the spec; a refused one is skipped.
fn is_sent(resource: &OrderRequest, status: &OrderRequestStatus, id: &FollowUpId) -> bool {
    let Some(sent) = &status.follow_ups else { return false };
    let Some(last) = sent.last_id.as_deref() else { return false };
    if last == id.as_str() {
        return true;
    }
    let places = place(resource, id.as_str()).zip(place(resource, last));
    let count = usize::try_from(sent.sent).unwrap_or(usize::MAX);
    places.is_some_and(|(place, last)| place < last && last < count)
}

fn place(resource: &OrderRequest, id: &str) -> Option<usize> {
    resource.spec.follow_ups.iter().position(|held| held.id == id)
}

/// Returns the outcome of a wish that was taken up by an order that has not ended.
fn by_now(status: &OrderRequestStatus, wish: &Wish) -> Option<Outcome> {
    let phase = status.request_phase();
    let is = |wanted| phase == Some(wanted);
    let done_if = |is_so: bool| Some(if is_so { Outcome::Done } else { Outcome::Pending });
    match wish {
        // The phase is that of the stream while that is down.
        Wish::Act(BuyerAct::Pause(_) | BuyerAct::Resume) if is(RequestPhase::Reconnecting) => None,
        Wish::Act(BuyerAct::Pause(_)) => done_if(is(RequestPhase::Paused)),
        Wish::Act(BuyerAct::Resume) => done_if(is(RequestPhase::Streaming)),
        Wish::Act(BuyerAct::UndoAward(_)) => {
            done_if(status.award.is_none() && !is(RequestPhase::Pending))
        }
        // An award of somebody else stalls this one.
        Wish::Act(BuyerAct::Finalise { undo_within_ms, .. }) => {
            done_if(undo_within_ms.is_some() && status.award.is_some())
        }
        Wish::Act(BuyerAct::Cancel(_) | BuyerAct::Close(_) | BuyerAct::Extend(_))
        | Wish::FollowUp(_) => Some(Outcome::Pending),
    }
}

/// Returns the outcome of a wish that was taken up by an order that has ended since. The wishes
/// that the end left unfulfilled were determined when it was published, and the status names the
/// first of them.
fn at_the_end(
    resource: &OrderRequest,
    status: &OrderRequestStatus,
    wish: &Wish,
) -> Option<Outcome> {
    match wish {
        Wish::Act(BuyerAct::Finalise { .. })
            if status.request_phase() == Some(RequestPhase::Finalised) =>
        {
            Some(Outcome::Done)
        }
        Wish::FollowUp(id) => {
            let Some(stalled) = stalled(status) else { return Some(Outcome::Done) };
            let (first, _) = stalled.message.strip_prefix("follow-up ")?.split_once(": ")?;
            let is_before = place(resource, id.as_str())? < place(resource, first)?;
            is_before.then_some(Outcome::Done)
        }
        Wish::Act(_) => never_was(status, wish),
    }
}

/// Returns the outcome of a wish that the order's end does not show: refused where the end would
/// show it, had it been done.
fn never_was(status: &OrderRequestStatus, wish: &Wish) -> Option<Outcome> {
    let is_seen = match wish {
        Wish::Act(BuyerAct::Cancel(_) | BuyerAct::Close(_) | BuyerAct::Extend(_)) => true,
        // An award that can be undone may have been pending, and been dropped since.
        Wish::Act(BuyerAct::Finalise { undo_within_ms, .. }) => {
            undo_within_ms.is_none() && status.request_phase() != Some(RequestPhase::Finalised)
        }
        Wish::Act(BuyerAct::Pause(_) | BuyerAct::Resume | BuyerAct::UndoAward(_))
        | Wish::FollowUp(_) => false,
    };
    is_seen.then(|| Outcome::Refused(over(status, "and this has no part in it")))
}

fn over(status: &OrderRequestStatus, text: &str) -> Refusal {
    let phase = status.phase.as_deref().unwrap_or_default();
    let reason = end_reason(phase);
    Refusal::new(reason, format!("the order is {phase}, {text}"))
}

/// Returns the processor's refusal of just this wish, where the status shows one.
fn told(status: &OrderRequestStatus, wish: &Wish) -> Option<Outcome> {
    let stalled = stalled(status)?;
    let text = stalled.message.strip_prefix(&wish.name())?.strip_prefix(": ")?;
    let reason = Reason::parse(&stalled.reason).unwrap_or(Reason::Internal);
    Some(Outcome::Refused(Refusal::new(reason, text)))
}

fn stalled(
    status: &OrderRequestStatus,
) -> Option<&k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition> {
    status.condition(STALLED).filter(|held| held.status == "True")
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

    const EDIT: Since = Since::Edit(2);

    fn pause() -> Wish {
        Wish::Act(BuyerAct::Pause(None))
    }

    fn undoable() -> Wish {
        Wish::Act(BuyerAct::Finalise { award: None, reason: None, undo_within_ms: Some(1) })
    }

    /// Returns a wish's outcome as one word; the resource has generation 2.
    fn told(status: &Value, wish: &Wish, since: Since) -> String {
        match outcome(&resource(&json!({}), status), wish, since) {
            None => "untold".to_owned(),
            Some(Outcome::Pending) => "pending".to_owned(),
            Some(Outcome::Done) => "done".to_owned(),
            Some(Outcome::Refused(refusal)) => refusal.reason.as_str().to_owned(),
        }
    }

    /// Edits that were taken up and do not show yet are pending too.
    #[test]
    fn unobserved_edits_are_pending() {
        for status in [
            json!({}),
            json!({ "observedGeneration": 1, "phase": "Streaming" }),
            json!({ "observedGeneration": 1, "phase": "Reconnecting" }),
            json!({ "observedGeneration": 2, "phase": "Streaming" }),
        ] {
            for wish in [award(), pause()] {
                assert_eq!(told(&status, &wish, EDIT), "pending", "{status}");
            }
        }
    }

    /// An order that ended before the edit refuses it too.
    #[test]
    fn overtaken_awards_are_refused() {
        let end = json!({ "observedGeneration": 2, "phase": "Finalised", "conditions":
            stalled("ALREADY_AWARDED", "award: the order was decided otherwise before") });
        assert_eq!(told(&end, &award(), EDIT), "ALREADY_AWARDED");
        let before = json!({ "observedGeneration": 1, "phase": "Finalised" });
        assert_eq!(told(&before, &award(), EDIT), "ORDER_ENDED", "it ended before the edit");
        let own = json!({ "observedGeneration": 2, "phase": "Finalised" });
        assert_eq!(told(&own, &award(), EDIT), "done");
    }

    /// They are only observed.
    #[test]
    fn edits_after_end_do_not_count() {
        let ready = json!([{ "type": "Ready", "status": "True", "reason": "Finalised",
            "message": "", "observedGeneration": 1,
            "lastTransitionTime": "2026-11-23T20:35:25Z" }]);
        let end = json!({ "observedGeneration": 2, "phase": "Finalised", "conditions": ready });
        assert_eq!(told(&end, &award(), EDIT), "ORDER_ENDED");
        assert_eq!(told(&end, &award(), Since::Edit(1)), "done");
    }

    #[test]
    fn stalled_wish_refuses_no_other() {
        let status = json!({ "observedGeneration": 2, "phase": "Paused", "conditions":
            stalled("PROPOSAL_NOT_FOUND", "award: the order has no proposal p9") });
        assert_eq!(told(&status, &pause(), EDIT), "done");
        assert_eq!(told(&status, &award(), EDIT), "PROPOSAL_NOT_FOUND");
        assert_eq!(told(&status, &Wish::Act(BuyerAct::Resume), EDIT), "pending");
    }

    /// A wish that was done is shown as done or not at all, whatever happens to the order later.
    #[test]
    fn done_wishes_are_never_refused_later() {
        let undone = || Wish::Act(BuyerAct::UndoAward(None));
        let at = |phase: &str| json!({ "observedGeneration": 2, "phase": phase });
        let award_waits = json!({ "observedGeneration": 2, "phase": "Streaming",
            "award": { "pendingUntil": "2026-11-23T20:35:25Z" } });
        let table = [
            (pause(), at("Paused"), ["Reconnecting", "Expired", "Finalised"].as_slice(), "untold"),
            (Wish::Act(BuyerAct::Resume), at("Streaming"), &["Reconnecting", "Closed"], "untold"),
            (undone(), at("Streaming"), &["Expired", "Cancelled"], "untold"),
            (undone(), at("Streaming"), &["Reconnecting"], "done"),
            (undoable(), award_waits, &["Cancelled", "Expired"], "untold"),
            (award(), at("Finalised"), &["Finalised"], "done"),
        ];
        for (wish, before, later, expected) in table {
            assert_eq!(told(&before, &wish, EDIT), "done", "{wish:?}");
            for phase in later {
                assert_eq!(told(&at(phase), &wish, EDIT), expected, "{wish:?}, then {phase}");
            }
        }
    }

    #[test]
    fn edits_after_end_reverse_no_outcome() {
        let at = |phase: &str| json!({ "observedGeneration": 2, "phase": phase });
        let cancel = || Wish::Act(BuyerAct::Cancel(None));
        let later = Since::Before(3);
        for (wish, phase, expected) in [
            (award(), "Finalised", "untold"),
            (award(), "Expired", "DEADLINE_PASSED"),
            (undoable(), "Expired", "untold"),
            (pause(), "Expired", "untold"),
            (cancel(), "Cancelled", "done"),
            (cancel(), "Closed", "ORDER_ENDED"),
        ] {
            assert_eq!(told(&at(phase), &wish, later), expected, "{wish:?} at {phase}");
        }
    }

    /// Returns the status of an order to which `count` follow-ups were sent, the last one `last`.
    fn sent(count: u32, last: &str, phase: &str, conditions: &Value) -> Value {
        json!({ "observedGeneration": 2, "phase": phase, "conditions": conditions,
            "followUps": { "sent": count, "lastId": last } })
    }

    fn follow_ups(status: &Value) -> [String; 3] {
        let follow_up = |id: &str| json!({ "id": id, "message": { "message": "When?" } });
        let spec = json!({ "followUps": [follow_up("f1"), follow_up("f2"), follow_up("f3")] });
        ["f1", "f2", "f3"].map(|id| {
            let wish = Wish::FollowUp(FollowUpId::new(id).unwrap());
            match outcome(&resource(&spec, status), &wish, EDIT) {
                None => "untold".to_owned(),
                Some(Outcome::Pending) => "pending".to_owned(),
                Some(Outcome::Done) => "done".to_owned(),
                Some(Outcome::Refused(refusal)) => refusal.reason.as_str().to_owned(),
            }
        })
    }

    /// Nothing that stalls or ends the order later takes that back.
    #[test]
    fn sent_follow_ups_stay_done() {
        let none = json!([]);
        let award = stalled("PROPOSAL_NOT_FOUND", "award: the order has no proposal p9");
        let of_third = stalled("DEADLINE_PASSED", "follow-up f3: the order is Expired");
        let table = [
            (sent(1, "f1", "Streaming", &none), ["done", "pending", "pending"]),
            (sent(2, "f2", "Streaming", &none), ["done", "done", "pending"]),
            (sent(2, "f2", "Streaming", &award), ["done", "done", "pending"]),
            (sent(2, "f2", "Expired", &award), ["done", "done", "untold"]),
            (sent(2, "f2", "Expired", &of_third), ["done", "done", "DEADLINE_PASSED"]),
            (sent(2, "f2", "Reconnecting", &none), ["done", "done", "pending"]),
            // One of the first two was refused, and the status no longer shows which.
            (sent(2, "f3", "Streaming", &award), ["pending", "pending", "done"]),
            (sent(1, "of-somebody-else", "Streaming", &none), ["pending", "pending", "pending"]),
            // The end fulfils every wish that the status does not name.
            (sent(4, "of-somebody-else", "Closed", &none), ["done", "done", "done"]),
            (
                sent(3, "of-somebody-else", "Expired", &of_third),
                ["done", "done", "DEADLINE_PASSED"],
            ),
        ];
        for (status, expected) in table {
            assert_eq!(follow_ups(&status), expected, "{status}");
        }
    }

    #[test]
    fn longest_follow_up_ids_have_keys() {
        for id in ["x".repeat(128), "x".repeat(118), format!("follow-up:{}", "x".repeat(118))] {
            let spec = json!({ "followUps": [{ "id": id, "message": { "message": "?" } }] });
            let spec: OrderRequestSpec = serde_json::from_value(spec).unwrap();
            let wish = Wish::FollowUp(FollowUpId::new(&*id).unwrap());
            let key = wish.key().expect("a key");
            assert_eq!(Wish::held(&spec, key.as_str()), Some(wish));
        }
    }

    /// The key of a wish that the resource does not have finds nothing.
    #[test]
    fn wishes_are_found_by_key() {
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
