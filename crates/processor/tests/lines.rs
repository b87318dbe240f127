//! Proposals for the lines of an order, over REST and gRPC: what they are for, what is stored of
//! them, and how lines are awarded.

use orderstream_rpc::v1;
use serde_json::{Value, json};

use crate::http::{get, post};
use crate::rig::{Rig, within};
use crate::wire::{Wire, order, proposal, refusal, submission, tracker};

fn item(sku: &str, line: &str) -> v1::OrderItem {
    v1::OrderItem {
        sku: sku.to_owned(),
        quantity: "2".to_owned(),
        line: line.to_owned(),
        ..v1::OrderItem::default()
    }
}

/// Follows an order with these items as its tracker.
async fn open(wire: &Wire, items: Vec<v1::OrderItem>) -> Result<(), tonic::Status> {
    let spec = v1::OrderSpec { items, ..v1::OrderSpec::default() };
    wire.follow(v1::OrderStreamRequest { order: Some(spec), ..tracker("a") }).await.map(drop)
}

fn line(sku: &str, line: &str, substitutes: &str) -> v1::ProposalLine {
    v1::ProposalLine {
        sku: sku.to_owned(),
        quantity: "2".to_owned(),
        price: "10".to_owned(),
        line: line.to_owned(),
        substitutes: substitutes.to_owned(),
        ..v1::ProposalLine::default()
    }
}

/// Returns a proposal with these lines at 10 each, as gRPC and as REST send it.
fn offer(id: &str, lines: Vec<v1::ProposalLine>) -> (v1::ProposalSubmission, Value) {
    let price = (10 * lines.len()).to_string();
    let in_json = |line: &v1::ProposalLine| {
        json!({
            "sku": line.sku, "quantity": line.quantity, "price": line.price, "line": line.line,
            "substitutes": line.substitutes,
        })
    };
    let body = json!({
        "order_req_id": "a", "proposal_id": id, "seller": "seller1", "price": price,
        "currency": "EUR", "lines": lines.iter().map(in_json).collect::<Vec<_>>(),
        "your_reference": "OFFER-7", "alternative": id,
    });
    let your_reference = "OFFER-7".to_owned();
    let offered = v1::Proposal { price, lines, your_reference, ..proposal(id) };
    (v1::ProposalSubmission { proposal: Some(offered), ..submission("a", "") }, body)
}

#[tokio::test]
async fn items_of_one_article_need_lines() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    for (items, field) in [
        (vec![item("desk", ""), item("desk", "")], "order.items[0].line"),
        (vec![item("desk", "10"), item("lamp", "10")], "order.items[1].line"),
    ] {
        let status = open(&wire, items).await.unwrap_err();
        assert_eq!(refusal(&status).field.as_deref(), Some(field), "{status:?}");
        assert_eq!(rig.orders().count(), 0);
    }
    open(&wire, vec![item("desk", "10"), item("desk", "20")]).await.unwrap();
    let view = get(rig.rest(), "/api/v1/orders/a").await.json();
    assert_eq!(view["items"][1]["line"], "20", "{view}");
}

#[tokio::test]
async fn lines_are_for_listed_articles() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    open(&wire, vec![item("desk", "10"), item("desk", "20"), item("lamp", "")]).await.unwrap();
    let bad = [
        (vec![line("chair", "", "")], "lines[0].sku", "which lists 'desk', 'lamp';"),
        (vec![line("bulb", "", "light")], "lines[0].substitutes", "'light' is not an article"),
        (vec![line("lamp", "", "lamp")], "lines[0].substitutes", "is the article itself"),
        (vec![line("desk", "", "")], "lines[0].line", "in the lines '10', '20'"),
        (vec![line("desk", "30", "")], "lines[0].line", "'30' is not a line of the order"),
        (vec![line("lamp", "10", "")], "lines[0].line", "'10' is a line of 'desk'"),
        (vec![line("lamp", "", ""), line("lamp", "", "")], "lines[1].sku", "offered twice"),
    ];
    for (lines, field, text) in bad {
        let (submission, body) = offer("p", lines);
        let response = post(rig.rest(), "/api/v1/proposals", &body).await;
        assert_eq!((response.status, response.reason().as_str()), (422, "INVALID_FIELD"));
        let problem = response.json();
        assert_eq!(problem["field"], field, "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains(text), "{problem}");
        let summary = wire.submit(vec![submission]).await.unwrap();
        assert!(summary.results[0].message.contains(text), "{summary:?}");
    }
    assert_eq!(wire.last_seq("a").await, 2, "nothing was stored");
}

/// Lines are read back as they were sent, and awarded by the item that they are for.
#[tokio::test]
async fn substitutes_can_be_awarded() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    open(&wire, vec![item("desk", "10"), item("desk", "20"), item("lamp", "")]).await.unwrap();
    let lines = vec![line("desk", "10", ""), line("table", "20", "desk"), line("bulb", "", "lamp")];
    let (submission, body) = offer("p", lines);
    assert_eq!(wire.submit(vec![submission]).await.unwrap().accepted, 1);
    let again = post(rig.rest(), "/api/v1/proposals", &body).await;
    assert_eq!(again.json()["seq"], 3, "the same proposal over REST: {again:?}");
    let read = get(rig.rest(), "/api/v1/proposals/p?order_req_id=a").await.json();
    assert_eq!(read["your_reference"], "OFFER-7");
    assert_eq!(read["lines"][1]["line"], "20");
    assert_eq!(read["lines"][1]["substitutes"], "desk");
    assert_eq!(read["lines"][0]["substitutes"], Value::Null);
    let comparison = get(rig.rest(), "/api/v1/orders/a/comparison").await.json();
    assert_eq!(comparison["skus"], json!(["10", "20", "lamp"]));
    assert_eq!(comparison["rows"][0]["missing"], json!([]));
    let award = |key: &str| v1::AwardRequest {
        order: Some(order("a")),
        lines: vec![v1::AwardLine { sku: key.to_owned(), proposal_id: "p".to_owned() }],
        ..v1::AwardRequest::default()
    };
    let refused = within("an award", wire.control.clone().award(award("desk"))).await.unwrap_err();
    assert!(refused.message().contains("name the line: 10, 20"), "{refused:?}");
    within("an award", wire.control.clone().award(award("20"))).await.unwrap();
}
