//! The proposals of one seller, alike over REST, in one call and in a session: one without a label,
//! and one with each label. Only their seller withdraws them.

use orderstream_rpc::v1;
use orderstream_rpc::v1::seller_message::Kind as Up;
use serde_json::{Value, json};

use crate::http::{get, post};
use crate::rig::Rig;
use crate::sessions::Session;
use crate::wire::{Wire, order, proposal, submission};

fn offer(id: &str, label: &str) -> v1::ProposalSubmission {
    let offered = v1::Proposal { alternative: label.to_owned(), ..proposal(id) };
    v1::ProposalSubmission { proposal: Some(offered), ..submission("a", "") }
}

fn body(id: &str, label: &Value) -> Value {
    json!({ "order_req_id": "a", "proposal_id": id, "seller": "seller1", "price": "10.50",
            "currency": "EUR", "alternative": label })
}

/// Proposes over each interface; returns the reason of each refusal, and its text.
async fn refusals(rig: &Rig, wire: &Wire, id: &str, label: &str) -> Vec<(String, String)> {
    let response = post(rig.rest(), "/api/v1/proposals", &body(id, &json!(label))).await;
    let over_rest = if response.status == 201 {
        (String::new(), String::new())
    } else {
        let problem = response.json();
        assert_eq!((response.status, &problem["metadata"]["proposal_id"]), (409, &json!("p")));
        (response.reason(), problem["detail"].as_str().unwrap().to_owned())
    };
    let summary = wire.submit(vec![offer(id, label)]).await.unwrap();
    let mut session = Session::open(wire, "seller1", &[]).await;
    let result = session.ask(id, Up::Proposal(offer(id, label))).await;
    let in_bulk = &summary.results[0];
    vec![
        over_rest,
        (in_bulk.reason.clone(), in_bulk.message.clone()),
        (result.reason, result.message),
    ]
}

#[tokio::test]
async fn second_proposals_of_a_seller_are_refused() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    drop(wire.track("a").await);
    let first = post(rig.rest(), "/api/v1/proposals", &body("p", &Value::Null)).await;
    assert_eq!(first.status, 201, "{first:?}");
    for (reason, text) in refusals(&rig, &wire, "q", "").await {
        assert_eq!(reason, "PROPOSAL_EXISTS");
        assert!(text.contains("seller1 has proposed p already; amend it, or give"), "{text}");
    }
    for (reason, text) in refusals(&rig, &wire, "p", "").await {
        assert_eq!(reason, "", "the same again is a repetition: {text}");
    }
    assert_eq!(wire.last_seq("a").await, 3);
    for (reason, text) in refusals(&rig, &wire, "r", "from stock").await {
        assert_eq!(reason, "", "an alternative stands beside it: {text}");
    }
    assert_eq!(wire.last_seq("a").await, 4);
    let read = get(rig.rest(), "/api/v1/proposals/r?order_req_id=a").await.json();
    assert_eq!(read["alternative"], "from stock", "{read}");
    let marked = json!({ "order_req_id": "a", "seller": "seller1", "price": "9", "currency": "EUR",
                         "alternative": true, "label": "express" });
    let marked = post(rig.rest(), "/api/v1/proposals", &marked).await;
    assert_eq!((marked.status, marked.json()["seq"].as_u64()), (201, Some(5)), "{marked:?}");
}

/// Over REST the seller may be left out, as before there was a field for it.
#[tokio::test]
async fn withdrawals_compare_the_seller() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    drop(wire.track("a").await);
    wire.propose("a", "p").await;
    let path = "/api/v1/proposals/p/withdraw";
    let foreign =
        post(rig.rest(), path, &json!({ "order_req_id": "a", "seller": "seller2" })).await;
    assert_eq!((foreign.status, foreign.reason().as_str()), (422, "INVALID_FIELD"), "{foreign:?}");
    assert_eq!(foreign.json()["field"], "seller");
    let (order, proposal_id) = (Some(order("a")), "p".to_owned());
    let withdraw = Up::Withdraw(v1::Withdraw { order, proposal_id, ..v1::Withdraw::default() });
    let mut stranger = Session::open(&wire, "seller2", &[]).await;
    let refused = stranger.ask("1", withdraw.clone()).await;
    assert_eq!(refused.reason, "INVALID_FIELD", "{refused:?}");
    assert_eq!(wire.last_seq("a").await, 3);
    let own = post(rig.rest(), path, &json!({ "order_req_id": "a", "seller": "seller1" })).await;
    assert_eq!((own.status, own.json()["seq"].as_u64()), (200, Some(4)), "{own:?}");
    for body in
        [json!({ "order_req_id": "a" }), json!({ "order_req_id": "a", "seller": "seller1" })]
    {
        assert_eq!(post(rig.rest(), path, &body).await.json()["seq"], 4, "it is so already");
    }
}
