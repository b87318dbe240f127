//! Tests of the outcomes of edits: pending, done or refused, by the state of a resource.

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

fn award() -> EditIntent {
    EditIntent::Command(BuyerCommand::Finalise { award: None, reason: None, undo_within_ms: None })
}

const EDIT: IntentGeneration = IntentGeneration::Edit(2);

fn pause() -> EditIntent {
    EditIntent::Command(BuyerCommand::Pause(None))
}

fn undoable() -> EditIntent {
    EditIntent::Command(BuyerCommand::Finalise {
        award: None,
        reason: None,
        undo_within_ms: Some(1),
    })
}

/// Returns an intent's outcome as one word; the resource has generation 2.
fn outcome_text(status: &Value, intent: &EditIntent, since: IntentGeneration) -> String {
    match outcome(&resource(&json!({}), status), intent, since) {
        None => "untold".to_owned(),
        Some(CommandOutcome::Pending) => "pending".to_owned(),
        Some(CommandOutcome::Done) => "done".to_owned(),
        Some(CommandOutcome::Refused(refusal)) => refusal.reason.as_str().to_owned(),
    }
}

/// Edits that were processed and do not show yet are pending too.
#[test]
fn unobserved_edits_are_pending() {
    for status in [
        json!({}),
        json!({ "observedGeneration": 1, "phase": "Open" }),
        json!({ "observedGeneration": 1, "phase": "Open", "tracker": { "streamActive": false } }),
        json!({ "observedGeneration": 2, "phase": "Open" }),
    ] {
        for intent in [award(), pause()] {
            assert_eq!(outcome_text(&status, &intent, EDIT), "pending", "{status}");
        }
    }
}

/// An order that ended before the edit refuses it too.
#[test]
fn overtaken_awards_are_refused() {
    let end = json!({ "observedGeneration": 2, "phase": "Finalised", "conditions":
        stalled("ALREADY_AWARDED", "award: the order was decided otherwise before") });
    assert_eq!(outcome_text(&end, &award(), EDIT), "ALREADY_AWARDED");
    let before = json!({ "observedGeneration": 1, "phase": "Finalised" });
    assert_eq!(outcome_text(&before, &award(), EDIT), "ORDER_ENDED", "it ended before the edit");
    let own = json!({ "observedGeneration": 2, "phase": "Finalised" });
    assert_eq!(outcome_text(&own, &award(), EDIT), "done");
}

/// They are only observed.
#[test]
fn edits_after_end_do_not_count() {
    let ready = json!([{ "type": "Ready", "status": "True", "reason": "Finalised",
        "message": "", "observedGeneration": 1,
        "lastTransitionTime": "2026-11-23T20:35:25Z" }]);
    let end = json!({ "observedGeneration": 2, "phase": "Finalised", "conditions": ready });
    assert_eq!(outcome_text(&end, &award(), EDIT), "ORDER_ENDED");
    assert_eq!(outcome_text(&end, &award(), IntentGeneration::Edit(1)), "done");
}

#[test]
fn stalled_wish_refuses_no_other() {
    let status = json!({ "observedGeneration": 2, "phase": "Paused", "conditions":
        stalled("PROPOSAL_NOT_FOUND", "award: the order has no proposal p9") });
    assert_eq!(outcome_text(&status, &pause(), EDIT), "done");
    assert_eq!(outcome_text(&status, &award(), EDIT), "PROPOSAL_NOT_FOUND");
    assert_eq!(outcome_text(&status, &EditIntent::Command(BuyerCommand::Resume), EDIT), "pending");
}

/// An intent that was done is shown as done or not at all, whatever happens to the order later.
#[test]
fn done_wishes_are_never_refused_later() {
    let undone = || EditIntent::Command(BuyerCommand::UndoAward(None));
    let at = |phase: &str| json!({ "observedGeneration": 2, "phase": phase });
    let down = |phase: &str| {
        let tracker = json!({ "streamActive": false });
        json!({ "observedGeneration": 2, "phase": phase, "tracker": tracker })
    };
    let award_waits = json!({ "observedGeneration": 2, "phase": "Open",
        "award": { "pendingUntil": "2026-11-23T20:35:25Z" } });
    let earlier = down("Reconnecting");
    let ends = |first: &str, second: &str| vec![at(first), at(second)];
    let paused = vec![down("Paused"), earlier.clone(), at("Deciding"), at("Expired")];
    let resumed = vec![down("Open"), earlier, at("Deciding"), at("Closed")];
    let table = [
        (pause(), at("Paused"), paused, "untold"),
        (EditIntent::Command(BuyerCommand::Resume), at("Open"), resumed, "untold"),
        (undone(), at("Open"), ends("Expired", "Cancelled"), "untold"),
        (undone(), at("Open"), vec![down("Open")], "done"),
        (undoable(), award_waits, ends("Cancelled", "Expired"), "untold"),
        (award(), at("Finalised"), vec![at("Finalised")], "done"),
    ];
    for (intent, before, later, expected) in table {
        assert_eq!(outcome_text(&before, &intent, EDIT), "done", "{intent:?}");
        for status in later {
            assert_eq!(outcome_text(&status, &intent, EDIT), expected, "{intent:?}, then {status}");
        }
    }
}

/// The status shows the time to decide then, and the deadline follows from it.
#[test]
fn extensions_stay_done_while_deciding() {
    let extend = |ms: u64| EditIntent::Command(BuyerCommand::Extend(ms));
    let start = "2026-11-23T20:00:00Z";
    let decide_by = "2026-12-23T21:00:00Z";
    for status in [
        json!({ "observedGeneration": 2, "phase": "Open", "startTime": start,
            "expiresAt": "2026-11-23T21:00:00Z" }),
        json!({ "observedGeneration": 2, "phase": "Deciding", "startTime": start,
            "expiresAt": decide_by, "decideBy": decide_by }),
    ] {
        assert_eq!(outcome_text(&status, &extend(3_600_000), EDIT), "done", "{status}");
        assert_eq!(outcome_text(&status, &extend(7_200_000), EDIT), "pending", "{status}");
    }
}

#[test]
fn edits_after_end_reverse_no_outcome() {
    let at = |phase: &str| json!({ "observedGeneration": 2, "phase": phase });
    let cancel = || EditIntent::Command(BuyerCommand::Cancel(None));
    let later = IntentGeneration::Before(3);
    for (intent, phase, expected) in [
        (award(), "Finalised", "untold"),
        (award(), "Expired", "DEADLINE_PASSED"),
        (undoable(), "Expired", "untold"),
        (pause(), "Expired", "untold"),
        (cancel(), "Cancelled", "done"),
        (cancel(), "Closed", "ORDER_ENDED"),
    ] {
        assert_eq!(outcome_text(&at(phase), &intent, later), expected, "{intent:?} at {phase}");
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
        let intent = EditIntent::FollowUp(FollowUpId::new(id).unwrap());
        match outcome(&resource(&spec, status), &intent, EDIT) {
            None => "untold".to_owned(),
            Some(CommandOutcome::Pending) => "pending".to_owned(),
            Some(CommandOutcome::Done) => "done".to_owned(),
            Some(CommandOutcome::Refused(refusal)) => refusal.reason.as_str().to_owned(),
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
        (sent(1, "f1", "Open", &none), ["done", "pending", "pending"]),
        (sent(2, "f2", "Open", &none), ["done", "done", "pending"]),
        (sent(2, "f2", "Open", &award), ["done", "done", "pending"]),
        (sent(2, "f2", "Expired", &award), ["done", "done", "untold"]),
        (sent(2, "f2", "Expired", &of_third), ["done", "done", "DEADLINE_PASSED"]),
        (sent(2, "f2", "Deciding", &none), ["done", "done", "pending"]),
        // One of the first two was refused, and the status no longer shows which.
        (sent(2, "f3", "Open", &award), ["pending", "pending", "done"]),
        (sent(1, "of-somebody-else", "Open", &none), ["pending", "pending", "pending"]),
        // The end fulfils every intent that the status does not name.
        (sent(4, "of-somebody-else", "Closed", &none), ["done", "done", "done"]),
        (sent(3, "of-somebody-else", "Expired", &of_third), ["done", "done", "DEADLINE_PASSED"]),
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
        let intent = EditIntent::FollowUp(FollowUpId::new(&*id).unwrap());
        let key = intent.key().expect("a key");
        assert_eq!(EditIntent::find(&spec, key.as_str()), Some(intent));
    }
}

/// The key of an intent that the resource does not have finds nothing.
#[test]
fn wishes_are_found_by_key() {
    let spec = json!({ "suspend": true, "cancel": true, "expiresIn": "2h", "award":
        { "proposalId": "p" }, "followUps": [{ "id": "f1", "message": { "message": "?" } }] });
    let spec: OrderRequestSpec = serde_json::from_value(spec).unwrap();
    let found_key = |key: &str| EditIntent::find(&spec, key).and_then(|wish| wish.key());
    for key in ["pause", "cancel", "award", "follow-up:f1", "extend:7200000"] {
        assert_eq!(found_key(key).as_ref().map(IdempotencyKey::as_str), Some(key));
    }
    assert_eq!(found_key("f1").as_ref().map(IdempotencyKey::as_str), Some("follow-up:f1"));
    for key in ["resume", "close", "undo-award", "follow-up:f2", "extend:7200001", "extend:x"] {
        assert_eq!(found_key(key), None, "{key}");
    }
}
