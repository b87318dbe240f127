//! Invalid requests, each with a fault of its own. None of them changes anything.

use serde_json::{Value, json};

use super::script::proposal;
use super::stage::{Stage, buyers, sellers};

/// Sends all of them, to an order for chairs that is open and has proposals.
pub(super) fn play(stage: &mut Stage) {
    propose_wrongly(stage);
    read_wrongly(stage);
    buy_wrongly(stage);
}

/// Returns a proposal with one field replaced.
fn wrong(field: &str, value: Value) -> Value {
    let mut body = proposal("chairs", "p-9", "north", "1");
    body[field] = value;
    body
}

fn propose_wrongly(stage: &mut Stage) {
    let propose = || sellers("POST /api/v1/proposals");
    for (field, value) in [
        ("price", json!("-1")),
        ("price", json!(["1"])),
        ("currency", json!("Euro")),
        ("delivery_date", json!("soon")),
        ("attachments", json!(["ftp://example.com"])),
        ("order_req_id", json!("no blanks")),
        ("order_req_id", json!("nowhere")),
        ("tenant", json!("NotALabel")),
        ("proposal_id", json!("p-1")),
    ] {
        stage.send(propose().header("idempotency-key: s-9").json(wrong(field, value)));
    }
    // The same key with another body, an invalid key, and invalid bodies.
    let fine = wrong("price", json!("1"));
    stage.send(propose().header("idempotency-key: s-1").json(fine.clone()));
    stage.send(propose().header("idempotency-key: no blanks").json(fine.clone()));
    stage.send(propose().text("{"));
    stage.send(propose().text(&"x".repeat(70_000)));
    stage.send(sellers("PUT /api/v1/proposals/p-1").header("if-match: 7").json(fine));
}

fn read_wrongly(stage: &mut Stage) {
    for request in [
        "GET /api/v1/nothing",
        "DELETE /api/v1/proposals",
        "GET /api/v1/orders?limti=1",
        "GET /api/v1/orders/chairs/comparison?by=luck",
        "GET /api/v1/orders/nowhere",
        "GET /api/v1/orders/chairs?incarnation=other",
        "GET /api/v1/proposals/p-8?order_req_id=chairs",
        "GET /api/v1/orders/chairs/events?after=999",
        "POST /api/v1/dead-letters/nothing/replay",
    ] {
        stage.send(sellers(request));
    }
    for request in [
        "GET /api/v1/orders/tracking/nowhere",
        "GET /api/v1/orders/chairs/acts/b-9",
        "GET /api/v1/orders?phase=Lucky",
        "GET /apis/x",
    ] {
        stage.send(buyers(request));
    }
}

fn buy_wrongly(stage: &mut Stage) {
    let initiate = |more: Value| ("initiate", more);
    let follow_up = |mut more: Value| {
        more["order_req_id"] = json!("chairs");
        ("followup", more)
    };
    for (number, (path, body)) in [
        initiate(json!({"order_req_id": "x", "expires_in_ms": 1})),
        initiate(json!({"order_req_id": "x", "notification_type": "Pigeon"})),
        initiate(json!({})),
        ("award/chairs", json!({})),
        ("award/chairs", json!({"proposal_id": "p-8"})),
        ("award/chairs", json!({"lines": [["SOFA", "p-1"]]})),
        ("award/chairs", json!({"proposal_id": "p-1", "undo_within_ms": 86_400_001})),
        ("extend/chairs", json!({"expires_in_ms": 60_000})),
        ("undo-award/chairs", json!({})),
        ("close/nowhere", json!({})),
        follow_up(json!({"message": 7})),
        follow_up(json!({"message": "?", "answers": "q-9"})),
    ]
    .into_iter()
    .enumerate()
    {
        let key = format!("idempotency-key: b-0{number}");
        stage.send(buyers(&format!("POST /api/v1/orders/{path}")).header(&key).json(body));
    }
}
