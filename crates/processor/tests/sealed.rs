//! The secrecy of a sealed order before its opening: nobody learns its prices or its proposing
//! sellers, from any path of the document, header, event or metric. After the opening everybody
//! learns all.

use orderstream_processor::rest::document;
use orderstream_rpc::v1;
use serde_json::{Value, json};

use crate::http::{HttpResponse, SseStream, get, post, send};
use crate::rig::{Rig, START, within};
use crate::wire::{Wire, order, tracker};

/// A seller's name that no other text in a response contains, so that it appears only where it
/// leaks.
const SELLER: &str = "secret-seller-zq";
const SECRETS: [&str; 10] = [
    SELLER,
    "7654.21",
    "7653.21",
    "secret-note",
    "secret.example",
    "secret-sku",
    "secret-reference",
    "secret-label",
    "CHF",
    "2031-",
];

const EXPIRES_IN_MS: u64 = 60_000;

fn proposal(price: &str) -> Value {
    json!({
        "order_req_id": "a", "proposal_id": "p", "seller": SELLER, "price": price,
        "currency": "CHF", "note": "secret-note", "delivery_date": "2031-01-01",
        "valid_until": "2031-02-01", "attachments": ["https://secret.example/p.pdf"],
        "lines": [{ "sku": "secret-sku", "quantity": "1", "price": price }],
        "your_reference": "secret-reference", "alternative": "secret-label",
    })
}

/// Makes a sealed order with everything that sellers do in it.
async fn sealed(rig: &Rig, wire: &Wire) {
    let sellers = Some(v1::SellerLimits { open_to_all: true, ..v1::SellerLimits::default() });
    let spec = v1::OrderSpec {
        sealed: true,
        expires_in_ms: EXPIRES_IN_MS,
        sellers,
        ..v1::OrderSpec::default()
    };
    let request = v1::OrderStreamRequest { order: Some(spec), ..tracker("a") };
    drop(wire.follow(request).await.unwrap());
    let follow_up = v1::FollowUpRequest {
        order_req_id: "a".to_owned(),
        follow_up_id: "f1".to_owned(),
        message: Some(v1::Message { message: "how soon?".to_owned(), ..v1::Message::default() }),
        ..v1::FollowUpRequest::default()
    };
    within("a follow-up", wire.unary.clone().process_follow_up(follow_up)).await.unwrap();
    let rest = rig.rest();
    let answer = json!({ "order_req_id": "a", "seller": SELLER, "follow_up_id": "f1",
                       "message": "soon" });
    let steps = [
        ("POST /api/v1/proposals", proposal("7654.21")),
        ("PUT /api/v1/proposals/p", proposal("7653.21")),
        ("POST /api/v1/proposals/p/followup", answer),
        ("POST /api/v1/orders/a/questions", json!({ "seller": SELLER, "message": "which?" })),
        ("POST /api/v1/orders/a/decline", json!({ "seller": "seller2", "reason": "secret-note" })),
        ("POST /api/v1/proposals/p/edit-lock", json!({ "order_req_id": "a", "holder": SELLER })),
    ];
    for (request, body) in steps {
        let response = send(rest, request, &[], &body.to_string()).await;
        assert!(response.status < 300, "{request}: {response:?}");
        assert_secret(request, &format!("{}{}", response.head, response.text));
    }
    // A conflict with the lock must not reveal its holder.
    let mut other = proposal("1");
    other["seller"] = json!("seller3");
    let withdraw = json!({ "order_req_id": "a" });
    let lock = json!({ "order_req_id": "a", "holder": "seller3" });
    for (request, body) in [
        ("PUT /api/v1/proposals/p", &other),
        ("POST /api/v1/proposals", &other),
        ("POST /api/v1/proposals/p/edit-lock", &lock),
        ("DELETE /api/v1/proposals/p/edit-lock", &lock),
        ("POST /api/v1/proposals/none/withdraw", &withdraw),
    ] {
        let response = send(rest, request, &[], &body.to_string()).await;
        assert!(response.status >= 400, "{request}: {response:?}");
        assert_secret(request, &format!("{}{}", response.head, response.text));
    }
}

fn assert_secret(what: &str, text: &str) {
    for secret in SECRETS {
        assert!(!text.contains(secret), "{what} tells {secret}: {text}");
    }
}

/// Returns every path of the document that reads an order or a proposal, with its queries.
fn reads() -> Vec<String> {
    let document = serde_json::to_value(document()).unwrap();
    let mut paths = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        if item["get"].is_null() || path.ends_with("/events") || path.ends_with("openapi.json") {
            continue;
        }
        let url = path.replace("{order_req_id}", "a").replace("{proposal_id}", "p");
        let url = url.replace("{seller}", "seller2");
        if path.contains("{proposal_id}") {
            paths.push(format!("{url}?order_req_id=a"));
        } else {
            paths.push(url.clone());
        }
        if path.ends_with("/comparison") {
            for query in ["by=delivery", "by=distance", "format=csv"] {
                paths.push(format!("{url}?{query}"));
            }
        }
    }
    assert!(paths.len() >= 10, "{paths:?}");
    paths
}

async fn read_all(rig: &Rig) -> Vec<(String, HttpResponse)> {
    let mut responses = Vec::new();
    for path in reads() {
        let response = get(rig.rest(), &path).await;
        assert_eq!(response.status, 200, "{path}: {response:?}");
        responses.push((path, response));
    }
    responses
}

/// Nothing leaks in a response, event or metric; after the opening everything is shown.
#[tokio::test]
async fn sealed_order_leaks_nothing_before_opening() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    sealed(&rig, &wire).await;
    for (path, response) in read_all(&rig).await {
        assert_secret(&path, &format!("{}{}", response.head, response.text));
    }
    let last = wire.last_seq("a").await;
    let mut events = SseStream::open(rig.rest(), "/api/v1/orders/a/events", &[]).await;
    for _ in 0..last {
        let event = events.next().await.unwrap();
        assert_secret("an event", &event.data.to_string());
    }
    assert_secret("the figures", &rig.metrics());
    let award = v1::AwardRequest {
        order: Some(order("a")),
        proposal_id: "p".to_owned(),
        ..v1::AwardRequest::default()
    };
    let refused = within("an award", wire.control.clone().award(award)).await.err().unwrap();
    assert_eq!(crate::wire::reason(&refused), "ORDER_SEALED");

    rig.clock.set(START.plus_ms(EXPIRES_IN_MS));
    let opened = events.next().await.unwrap();
    assert_eq!(opened.event, "ProposalsOpened");
    let view = get(rig.rest(), "/api/v1/orders/a").await.json();
    assert_eq!((&view["sealed"], &view["phase"]), (&json!(false), &json!("Deciding")));
    assert_eq!(view["decide_until"], "2026-01-31T00:01:00Z");
    for path in [
        "/api/v1/proposals/p?order_req_id=a",
        "/api/v1/proposals/p/versions?order_req_id=a",
        "/api/v1/orders/a/proposals",
        "/api/v1/orders/a/comparison?format=csv",
        "/api/v1/orders/a/conversation",
    ] {
        let response = get(rig.rest(), path).await;
        assert!(response.text.contains(SELLER), "{path}: {response:?}");
    }
    let mut again = SseStream::open(rig.rest(), "/api/v1/orders/a/events", &[]).await;
    let mut text = String::new();
    for _ in 0..=last {
        text.push_str(&again.next().await.unwrap().data.to_string());
    }
    assert!(text.contains(SELLER) && text.contains("7653.21"), "read again, it tells all");
    let late = post(rig.rest(), "/api/v1/proposals", &proposal("1")).await;
    assert_eq!(late.status, 409, "and nothing more is taken: {late:?}");
}
