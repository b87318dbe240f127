//! The conversation of the original system, with the same JSON.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::http::{get, post, send};
use crate::process::{Pair, dev};

pub(crate) fn run_conversation(requestor: SocketAddr) {
    let orders = "/api/v1/orders";
    let status = || get(requestor, &format!("{orders}/tracking/status")).unwrap();
    let empty = json!({ "total_orders": 0, "active_streams": 0, "tracked_order_ids": [] });
    assert_eq!(status().json(), empty);

    let initiate = r#"{"order_req_id": "SB1029436", "session_id": "sess_123",
                       "notification_type": "email"}"#;
    let response = post(requestor, &format!("{orders}/initiate"), initiate).unwrap();
    assert_eq!((response.status, &response.json()["success"]), (200, &json!(true)));
    let one = json!({ "total_orders": 1, "active_streams": 1, "tracked_order_ids": ["SB1029436"] });
    assert_eq!(status().json(), one);

    let tracking = || get(requestor, &format!("{orders}/tracking/SB1029436")).unwrap().json();
    assert_eq!(tracking()["notes_count"], 0);
    assert_eq!(tracking()["session_id"], "sess_123");

    let follow_up = r#"{"order_req_id": "SB1029436", "audience": ["seller1"],
                        "message": {"message": "Can you deliver by Friday?", "urls": []}}"#;
    let response = post(requestor, &format!("{orders}/followup"), follow_up).unwrap();
    assert_eq!((response.status, &response.json()["success"]), (200, &json!(true)));
    assert_eq!(tracking()["notes_count"], 1);

    let form = ["content-type: application/x-www-form-urlencoded"];
    for headers in [&[][..], &form[..]] {
        let path = format!("POST {orders}/initiate");
        let again: Value = send(requestor, &path, headers, initiate).unwrap().json();
        assert_eq!(again, json!({ "success": true, "message": "Order already being processed" }));
    }
    assert_eq!(status().json(), one);
}

#[test]
fn dev_holds_the_original_conversation() {
    let dir = tempfile::tempdir().unwrap();
    let dev = dev(dir.path(), &[]);
    run_conversation(dev.address("requestor"));
}

#[test]
fn separate_processes_hold_the_original_conversation() {
    let pair = Pair::start();
    run_conversation(pair.requestor.address("requestor"));
}
