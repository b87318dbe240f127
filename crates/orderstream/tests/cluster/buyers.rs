//! The original system's REST beside the controller: the same contract, and every command is an
//! edit of an OrderRequest.

use serde_json::{Value, json};

use super::bed::Bed;
use crate::conversation::run_conversation;
use crate::http::{get, post};
use crate::process::until;

#[test]
fn original_conversation_uses_order_requests() {
    let Some(bed) = Bed::make_in("default".to_owned()) else { return };
    let first = bed.controller();
    until("it is ready", || {
        get(first.address("metrics"), "/readyz").ok().filter(|response| response.status == 200)
    });
    run_conversation(first.address("requestor"));
    let resources = bed.kubectl(&["get", "oreq", "-o", "jsonpath={.items[*].spec.orderReqId}"]);
    assert_eq!(resources, "SB1029436");

    // The same replies on a replica that does not lead.
    let second = bed.controller();
    let status = until("the other replica knows the order", || {
        let response = get(second.address("requestor"), "/api/v1/orders/tracking/status").ok()?;
        (response.json()["total_orders"] == 1).then(|| response.json())
    });
    assert_eq!(status["tracked_order_ids"], json!(["SB1029436"]));
    let again = r#"{"order_req_id": "SB1029436", "session_id": "s", "notification_type": "SMS"}"#;
    let response = post(second.address("requestor"), "/api/v1/orders/initiate", again).unwrap();
    assert_eq!(response.json()["message"], "Order already being processed");

    let requestor = second.address("requestor");
    let paused = post(requestor, "/api/v1/orders/pause/SB1029436", "").unwrap();
    // The status may be late under load.
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
    let before = bed.until_phase("plain", "Open");
    let requestor = controller.address("requestor");
    let post_command = |path: &str, body: &str| {
        let response = post(requestor, &format!("/api/v1/orders/{path}"), body).unwrap();
        assert!(matches!(response.status, 200 | 202), "{response:?}");
    };
    let path = format!("{}%2Fplain", bed.namespace);
    let follow_up = json!({ "tenant": bed.namespace, "order_req_id": "plain", "follow_up_id": "f2",
        "message": { "message": "Where?" } });
    post_command("followup", &follow_up.to_string());
    post_command(&format!("pause/{path}"), "");
    post_command(&format!("finalize/{path}"), r#"{"reason": "the project was stopped"}"#);
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
    bed.until_phase("slow", "Open");
    assert_eq!(bed.propose("slow", "p1", "10").unwrap().status, 201);
    bed.until_status("slow", "the proposal shows", |status| status["proposals"]["received"] == 1);
    let requestor = controller.address("requestor");
    let id = format!("{}%2Fslow", bed.namespace);
    let send_command = |command: &str, body: &Value| {
        let response =
            post(requestor, &format!("/api/v1/orders/{command}/{id}"), &body.to_string());
        response.unwrap().status
    };
    let undo_state = || {
        let path = format!("/api/v1/orders/{id}/acts/undo-award");
        get(requestor, &path).unwrap().json()["state"].clone()
    };
    bed.processor.signal("STOP");
    assert_eq!(
        send_command("award", &json!({ "proposal_id": "p1", "undo_within_ms": 3_600_000 })),
        202
    );
    assert_eq!(send_command("undo-award", &json!({})), 202);
    assert_eq!(undo_state(), "pending");
    bed.processor.signal("CONT");
    until("the undoing is told", || (undo_state() == "done").then_some(()));
    let order = bed.order_at_processor("slow").unwrap();
    assert_eq!(order["pending_award"], Value::Null);
    let is_undone = |status: &Value| status["tracker"]["lastEvent"]["type"] == "AwardUndone";
    bed.until_status("slow", "the award was made, and undone", is_undone);
}
