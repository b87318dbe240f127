//! The sellers' commands over REST, in the original system's terms.

use orderstream_rpc::v1;
use serde_json::{Value, json};

use crate::http::{HttpResponse, get, post, send};
use crate::rig::{Rig, START};
use crate::wire::Wire;

async fn put(rig: &Rig, path: &str, body: &Value) -> HttpResponse {
    send(rig.rest(), &format!("PUT {path}"), &[], &body.to_string()).await
}

async fn lock(rig: &Rig, holder: &str, lease_ms: u64) -> HttpResponse {
    let body = json!({ "order_req_id": "a", "holder": holder, "lease_ms": lease_ms });
    post(rig.rest(), "/api/v1/proposals/p/edit-lock", &body).await
}

async fn unlock(rig: &Rig, holder: &str) -> HttpResponse {
    let body = json!({ "order_req_id": "a", "holder": holder }).to_string();
    send(rig.rest(), "DELETE /api/v1/proposals/p/edit-lock", &[], &body).await
}

fn assert_refused(response: &HttpResponse, status: u16, reason: &str) {
    assert_eq!((response.status, response.reason().as_str()), (status, reason), "{response:?}");
}

/// Makes an order with proposal `p` of `seller1`.
async fn with_a_proposal(rig: &Rig) -> Wire {
    let wire = rig.wire().await;
    drop(wire.track("a").await);
    let body = json!({
        "order_req_id": "a", "proposal_id": "p", "seller_id": "seller1",
        "price": 10.5, "currency": "eur",
        "lines": [{ "sku": "beam", "quantity": 2, "price": "10.50" }],
    });
    let response = post(rig.rest(), "/api/v1/proposal-submissions", &body).await;
    assert_eq!(response.status, 201, "{response:?}");
    assert_eq!(
        (response.json()["seq"].as_u64(), &response.json()["success"]),
        (Some(3), &json!(true))
    );
    wire
}

#[tokio::test]
async fn proposals_are_amended_and_withdrawn() {
    let rig = Rig::start().await;
    let wire = with_a_proposal(&rig).await;
    let cheaper = json!({
        "order_req_id": "a", "seller": "seller1", "price": "9.00", "currency": "EUR",
    });
    let amended = put(&rig, "/api/v1/proposals/p", &cheaper).await;
    assert_eq!((amended.status, amended.json()["seq"].as_u64()), (200, Some(4)), "{amended:?}");
    let proposal = get(rig.rest(), "/api/v1/proposals/p?order_req_id=a").await.json();
    assert_eq!((&proposal["price"], &proposal["version"]), (&json!("9.00"), &json!(2)));
    assert_eq!(proposal["status"], "Open");
    let foreign = json!({
        "order_req_id": "a", "seller": "seller2", "price": "1", "currency": "EUR",
    });
    let response = put(&rig, "/api/v1/proposals/p", &foreign).await;
    assert_refused(&response, 422, "INVALID_FIELD");
    assert_eq!(response.json()["field"], "seller");
    let why = json!({ "order_req_id": "a", "reason": "sold out" });
    let withdrawn = post(rig.rest(), "/api/v1/proposals/p/withdraw", &why).await;
    assert_eq!((withdrawn.status, withdrawn.json()["seq"].as_u64()), (200, Some(5)));
    let response = put(&rig, "/api/v1/proposals/p", &cheaper).await;
    assert_refused(&response, 409, "PROPOSAL_ENDED");
    let proposal = get(rig.rest(), "/api/v1/proposals/p?order_req_id=a").await.json();
    assert_eq!(proposal["status"], "Withdrawn");
    let kinds = wire.observe("a").await.through(5).await;
    assert_eq!(kinds[2..], ["NewProposal", "ProposalUpdate", "ProposalUpdate"]);
}

/// They end when they are released or expire.
#[tokio::test]
async fn edit_locks_exclude_others() {
    let rig = Rig::start().await;
    let wire = with_a_proposal(&rig).await;
    assert_eq!(lock(&rig, "seller2", 5_000).await.json()["seq"].as_u64(), Some(4));
    let refused = lock(&rig, "seller3", 5_000).await;
    assert_refused(&refused, 423, "LOCKED");
    assert_eq!(refused.json()["metadata"]["holder"], "seller2");
    assert_refused(&unlock(&rig, "seller3").await, 423, "LOCKED");
    let body = json!({ "order_req_id": "a", "seller": "seller1", "price": "9", "currency": "EUR" });
    assert_refused(&put(&rig, "/api/v1/proposals/p", &body).await, 423, "LOCKED");
    assert_eq!(wire.last_seq("a").await, 4);
    assert_eq!(unlock(&rig, "seller2").await.json()["seq"].as_u64(), Some(5));
    assert_eq!(lock(&rig, "seller3", 5_000).await.json()["seq"].as_u64(), Some(6));
    rig.clock.set(START.plus_ms(4_999));
    assert_refused(&lock(&rig, "seller2", 5_000).await, 423, "LOCKED");
    rig.clock.set(START.plus_ms(5_000));
    assert_eq!(lock(&rig, "seller2", 5_000).await.json()["seq"].as_u64(), Some(7));
    for lease_ms in [0, 3_600_001, u64::MAX] {
        let response = lock(&rig, "seller2", lease_ms).await;
        assert_refused(&response, 422, "INVALID_FIELD");
        assert_eq!(response.json()["field"], "lease_ms");
        assert!(response.text.contains("1 to 3600000"), "{response:?}");
    }
}

#[tokio::test]
async fn a_seller_declines_and_answers() {
    let rig = Rig::start().await;
    let wire = with_a_proposal(&rig).await;
    let question = v1::FollowUpRequest {
        order_req_id: "a".to_owned(),
        message: Some(v1::Message { message: "when?".to_owned(), ..v1::Message::default() }),
        ..v1::FollowUpRequest::default()
    };
    let asked = wire.unary.clone().process_follow_up(question).await.unwrap().into_inner();
    assert!(asked.success && !asked.follow_up_id.is_empty(), "{asked:?}");
    let answer = json!({
        "order_req_id": "a", "seller_id": "seller1",
        "follow_up_id": asked.follow_up_id, "message": "tomorrow",
    });
    let answered = post(rig.rest(), "/api/v1/proposals/p/followup", &answer).await;
    assert_eq!((answered.status, answered.json()["seq"].as_u64()), (201, Some(5)), "{answered:?}");
    let unknown = json!({
        "order_req_id": "a", "seller": "seller1", "follow_up_id": "q9", "message": "what?",
    });
    let refused = post(rig.rest(), "/api/v1/proposals/p/followup", &unknown).await;
    assert_refused(&refused, 422, "INVALID_FIELD");
    assert_eq!(refused.json()["field"], "follow_up_id");
    let decline = json!({ "seller": "seller2", "reason": "too far" });
    for _ in 0..2 {
        let declined = post(rig.rest(), "/api/v1/orders/a/decline", &decline).await;
        assert_eq!((declined.status, declined.json()["seq"].as_u64()), (200, Some(6)));
    }
}

#[tokio::test]
async fn absent_resources_give_stable_reasons() {
    let rig = Rig::start().await;
    let _wire = with_a_proposal(&rig).await;
    for (path, reason) in [
        ("/api/v1/orders/nobody", "ORDER_NOT_FOUND"),
        ("/api/v1/orders/nobody/proposals", "ORDER_NOT_FOUND"),
        ("/api/v1/orders/nobody/events", "ORDER_NOT_FOUND"),
        ("/orders/nobody/events", "ORDER_NOT_FOUND"),
        ("/api/v1/proposals/p?order_req_id=nobody", "ORDER_NOT_FOUND"),
        ("/api/v1/proposals/p9?order_req_id=a", "PROPOSAL_NOT_FOUND"),
        ("/api/v1/proposals/p?order_req_id=a&tenant=elsewhere", "ORDER_NOT_FOUND"),
        ("/nothing", "INVALID_REQUEST"),
    ] {
        let response = get(rig.rest(), path).await;
        assert_eq!(response.status, 404, "{path}: {response:?}");
        assert_eq!(response.reason(), reason, "{path}");
    }
    let response = send(rig.rest(), "DELETE /api/v1/orders/a", &[], "").await;
    assert_refused(&response, 405, "INVALID_REQUEST");
    assert!(response.head.contains("allow: get"), "{response:?}");
}

#[tokio::test]
async fn orders_come_in_pages_over_rest() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    for id in ["a", "b", "c", "d", "e"] {
        drop(wire.track(id).await);
    }
    let (mut listed, mut after) = (Vec::new(), String::new());
    loop {
        let page = get(rig.rest(), &format!("/api/v1/orders?limit=2&after={after}")).await.json();
        let ids = page["orders"].as_array().unwrap().iter();
        listed.extend(ids.map(|order| order["order_req_id"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => next.clone_into(&mut after),
            None => break,
        }
    }
    assert_eq!(listed, ["a", "b", "c", "d", "e"]);
}
