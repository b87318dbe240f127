//! The original system's REST beside the controller: the same contract, and every command is an
//! edit of an OrderRequest.

use serde_json::{Value, json};

use super::bed::Bed;
use crate::conversation::hold_conversation;
use crate::http::{get, post};
use crate::process::until;

#[test]
fn original_conversation_uses_order_requests() {
    let Some(bed) = Bed::make_in("default".to_owned()) else { return };
    let first = bed.controller();
    until("it is ready", || {
        get(first.address("metrics"), "/readyz").ok().filter(|answer| answer.status == 200)
    });
    hold_conversation(first.address("requestor"));
    let resources = bed.kubectl(&["get", "oreq", "-o", "jsonpath={.items[*].spec.orderReqId}"]);
    assert_eq!(resources, "SB1029436");

    // The same answers on a replica that does not lead.
    let second = bed.controller();
    let status = until("the other replica knows the order", || {
        let answer = get(second.address("requestor"), "/api/v1/orders/tracking/status").ok()?;
        (answer.json()["total_orders"] == 1).then(|| answer.json())
    });
    assert_eq!(status["tracked_order_ids"], json!(["SB1029436"]));
    let again = r#"{"order_req_id": "SB1029436", "session_id": "s", "notification_type": "SMS"}"#;
    let answer = post(second.address("requestor"), "/api/v1/orders/initiate", again).unwrap();
    assert_eq!(answer.json()["message"], "Order already being processed");

    let requestor = second.address("requestor");
    let paused = post(requestor, "/api/v1/orders/pause/SB1029436", "").unwrap();
    // The status may take its time under load.
    assert!(matches!(paused.status, 200 | 202), "{paused:?}");
    let tracked = |phase: &str| {
        until(phase, || {
            let path = "/api/v1/orders/tracking/SB1029436";
            let tracked = get(requestor, path).ok()?.json();
            (tracked["phase"] == phase).then_some(tracked)
        })
    };
    tracked("Paused");
    let reason = r#"{"reason": "the project was stopped"}"#;
    let ended = post(requestor, "/api/v1/orders/finalize/SB1029436", reason).unwrap();
    assert!(matches!(ended.status, 200 | 202), "{ended:?}");
    assert_eq!(tracked("Finalised")["proposals_received"], 0);
    let again = post(requestor, "/api/v1/orders/initiate", again).unwrap();
    assert_eq!((again.status, &again.json()["reason"]), (409, &json!("ORDER_ENDED")));
    let unknown = post(requestor, "/api/v1/orders/pause/SB2", "").unwrap();
    assert_eq!((unknown.status, &unknown.json()["reason"]), (404, &json!("ORDER_NOT_FOUND")));
}

/// The buyer's REST sends a manifest's fields back as its author wrote them: with the empty lists
/// removed, the rules would refuse the edit.
#[test]
fn rest_edits_leave_empty_lists_alone() {
    let Some(bed) = Bed::make() else { return };
    let controller = bed.controller();
    bed.apply(
        "apiVersion: orderstream.dev/v1alpha1\nkind: OrderRequest\nmetadata: {name: plain}\n\
         spec:\n  items: []\n  title: null\n  sellers: {maxCount: 3, names: []}\n  \
         followUps: [{id: f1, audience: [], message: {message: When, urls: []}}]\n",
    );
    let before = bed.until_phase("plain", "Streaming");
    let requestor = controller.address("requestor");
    let ask = |path: &str, body: &str| {
        let answer = post(requestor, &format!("/api/v1/orders/{path}"), body).unwrap();
        assert!(matches!(answer.status, 200 | 202), "{answer:?}");
    };
    let path = format!("{}%2Fplain", bed.namespace);
    let note = json!({ "tenant": bed.namespace, "order_req_id": "plain", "follow_up_id": "f2",
        "message": { "message": "Where?" } });
    ask("followup", &note.to_string());
    ask(&format!("pause/{path}"), "");
    ask(&format!("finalize/{path}"), r#"{"reason": "the project was stopped"}"#);
    let after = bed.until_phase("plain", "Finalised");
    for field in ["items", "sellers"] {
        assert_eq!(after["spec"][field], before["spec"][field]);
    }
    assert_eq!(after["spec"]["followUps"][0], before["spec"]["followUps"][0]);
    assert_eq!(after["spec"]["followUps"].as_array().map(Vec::len), Some(2));
    assert_eq!(after["spec"].get("title"), None::<&Value>);
}

/// A processor that is stopped still has the award when it continues; until then it is not known
/// whether there is one to undo.
#[test]
fn undo_waits_for_silent_processors() {
    let Some(bed) = Bed::make() else { return };
    let controller = bed.controller();
    bed.order("slow");
    bed.until_phase("slow", "Streaming");
    assert_eq!(bed.propose("slow", "p1", "10").unwrap().status, 201);
    bed.until_status("slow", "the proposal shows", |status| status["proposals"]["received"] == 1);
    let requestor = controller.address("requestor");
    let id = format!("{}%2Fslow", bed.namespace);
    let act = |word: &str, body: &Value| {
        let answer = post(requestor, &format!("/api/v1/orders/{word}/{id}"), &body.to_string());
        answer.unwrap().status
    };
    let told = || {
        let path = format!("/api/v1/orders/{id}/acts/undo-award");
        get(requestor, &path).unwrap().json()["state"].clone()
    };
    bed.processor.signal("STOP");
    assert_eq!(act("award", &json!({ "proposal_id": "p1", "undo_within_ms": 3_600_000 })), 202);
    assert_eq!(act("undo-award", &json!({})), 202);
    assert_eq!(told(), "pending");
    bed.processor.signal("CONT");
    until("the undoing is told", || (told() == "done").then_some(()));
    let order = bed.order_at_processor("slow").unwrap();
    assert_eq!(order["pending_award"], Value::Null);
    let is_undone = |status: &Value| status["tracker"]["lastEvent"]["type"] == "AwardUndone";
    bed.until_status("slow", "the award was made, and undone", is_undone);
}
