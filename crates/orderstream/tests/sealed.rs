//! Before a sealed order's opening the processes reveal no price and no seller that proposed:
//! neither in their logs, at any level, nor in their metrics.

use serde_json::{Value, json};

use crate::http::{get, post, send};
use crate::process::{Role, until};

/// Texts of the proposal that must not appear.
const SECRETS: [&str; 5] = ["secret-seller-zq", "7654.21", "7653.21", "secret-note", "CHF"];

fn proposal(price: &str) -> Value {
    json!({ "order_req_id": "sealed-order", "proposal_id": "p", "seller": "secret-seller-zq",
            "price": price, "currency": "CHF", "note": "secret-note" })
}

#[test]
fn logs_and_metrics_hide_sealed_proposals() {
    let dir = tempfile::tempdir().unwrap();
    let path_of = |name: &str| dir.path().join(name);
    let (processor_log, requestor_log) = (path_of("processor.log"), path_of("requestor.log"));
    let (data, store) = (path_of("data"), format!("embedded:{}", path_of("store").display()));
    let mut args = vec!["processor", "--data-dir", data.to_str().unwrap()];
    for flag in ["--grpc-addr", "--rest-addr", "--metrics-addr"] {
        args.extend([flag, "127.0.0.1:0"]);
    }
    let processor = Role::start_logging(&args, dir.path(), &processor_log);
    let url = format!("http://{}", processor.address("grpc"));
    let mut args = vec!["requestor", "--processor", &url, "--store", &store];
    for flag in ["--rest-addr", "--metrics-addr"] {
        args.extend([flag, "127.0.0.1:0"]);
    }
    let requestor = Role::start_logging(&args, dir.path(), &requestor_log);
    let (buyers, sellers) = (requestor.address("requestor"), processor.address("rest"));
    let order = json!({ "order_req_id": "sealed-order", "sealed": true });
    assert_eq!(post(buyers, "/api/v1/orders/initiate", &order.to_string()).unwrap().status, 200);
    until("the order is at its processor", || {
        (get(sellers, "/api/v1/orders/sealed-order").unwrap().status == 200).then_some(())
    });
    let lock = json!({ "order_req_id": "sealed-order", "holder": "secret-seller-zq" });
    let question = json!({ "seller": "secret-seller-zq", "message": "which?" });
    for (request, body, status) in [
        ("POST /api/v1/proposals", proposal("7654.21"), 201),
        ("PUT /api/v1/proposals/p", proposal("7653.21"), 200),
        ("POST /api/v1/proposals", proposal("7653.22"), 409),
        ("POST /api/v1/proposals/p/edit-lock", lock, 200),
        ("POST /api/v1/orders/sealed-order/questions", question, 201),
    ] {
        let response = send(sellers, request, &[], &body.to_string()).unwrap();
        assert_eq!(response.status, status, "{request}: {response:?}");
    }
    let award = json!({ "proposal_id": "p" }).to_string();
    let refused = post(buyers, "/api/v1/orders/award/sealed-order", &award).unwrap();
    assert_eq!((refused.status, &refused.json()["reason"]), (409, &json!("ORDER_SEALED")));
    until("the tracker has seen all", || {
        let tracking = get(buyers, "/api/v1/orders/tracking/sealed-order").unwrap();
        (tracking.json()["last_seq"] == 6).then_some(())
    });
    let mut published = String::new();
    for role in [&processor, &requestor] {
        published.push_str(&get(role.address("metrics"), "/metrics").unwrap().text);
    }
    for log in [&processor_log, &requestor_log] {
        let text = std::fs::read_to_string(log).unwrap();
        assert!(text.contains("sealed-order"), "it says something of the order: {text}");
        published.push_str(&text);
    }
    for secret in SECRETS {
        let line = published.lines().find(|line| line.contains(secret));
        assert!(line.is_none(), "{secret} is told: {line:?}");
    }
}
