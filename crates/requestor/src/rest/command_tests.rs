//! Tests of the buyers' commands beyond the original contract, of repetitions, and of the document.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::Method;
use orderstream_core::port::OrderStreams as _;
use orderstream_core::{Reason, RequestPhase};
use serde_json::{Value, json};

use super::tests::{INITIATE, Rig, key, post_with_key, rig, send, until};
use super::{document, examples};

async fn started() -> Rig {
    let rig = rig().await;
    assert_eq!(rig.post("/initiate", INITIATE).await.0, 200);
    until("up", || rig.handle.snapshot(&key()).unwrap().last_seq().0 == 2).await;
    rig
}

/// Returns the kinds of the order's events at the processor.
fn kinds(rig: &Rig) -> Vec<&'static str> {
    rig.fake.events(&key()).iter().map(|event| event.kind.as_str()).collect()
}

/// Checks one refusal, and that the document names it for the operation.
async fn refused(rig: &Rig, path: &str, body: &str, reason: Reason) {
    let (status, reply) = rig.post(path, body).await;
    assert_eq!(reply["reason"], reason.as_str(), "{path}: {reply}");
    assert_eq!(status, reason.http_status(), "{path}: {reply}");
    let action = path.split('/').nth(1).unwrap();
    let document = serde_json::to_value(document()).unwrap();
    let operations = operations(&document);
    let named = operations.keys().find(|(path, _)| path.contains(&format!("/orders/{action}")));
    let documented = &operations[named.unwrap()]["responses"][status.to_string()]["description"];
    let reasons = documented.as_str().unwrap_or_default();
    assert!(reasons.split(", ").any(|name| name == reason.as_str()), "{path} {status}: {reasons}");
}

/// An order is paused, resumed, extended, awarded, undone and closed.
#[tokio::test]
async fn buyers_can_run_every_command() {
    let rig = started().await;
    rig.fake.propose(&key(), "P-1");
    for (path, body, message) in [
        ("/pause/SB1029436", "", "Order paused"),
        ("/resume/SB1029436", "", "Order resumed"),
        ("/extend/SB1029436", r#"{"expires_in_ms": 7200000}"#, "Order extended"),
        ("/award/SB1029436", r#"{"proposal_id": "P-1", "undo_within_ms": 60000}"#, "Order awarded"),
        ("/undo-award/SB1029436", r#"{"reason": "too soon"}"#, "Award undone"),
        ("/close/SB1029436", r#"{"reason": "enough"}"#, "Order closed"),
    ] {
        let (status, reply) = rig.post(path, body).await;
        let done = json!({ "success": true, "message": message });
        assert_eq!((status, reply), (200, done), "{path}");
    }
    let expected = [
        "OrderPaused",
        "OrderResumed",
        "OrderExtended",
        "AwardPending",
        "AwardUndone",
        "OrderClosed",
    ];
    assert_eq!(kinds(&rig)[3..], expected);
    until("closed", || rig.handle.snapshot(&key()).unwrap().phase() == RequestPhase::Closed).await;
    refused(&rig, "/cancel/SB1029436", "", Reason::OrderEnded).await;
}

#[tokio::test]
async fn processor_refusals_reach_the_caller() {
    let rig = started().await;
    rig.fake.propose(&key(), "P-1");
    refused(&rig, "/undo-award/SB1029436", "", Reason::AwardNotPending).await;
    let none = r#"{"proposal_id": "none"}"#;
    refused(&rig, "/award/SB1029436", none, Reason::ProposalNotFound).await;
    let short = r#"{"expires_in_ms": 10000}"#;
    refused(&rig, "/extend/SB1029436", short, Reason::ExpiryShrinks).await;
    let pending = r#"{"proposal_id": "P-1", "undo_within_ms": 60000}"#;
    assert_eq!(rig.post("/award/SB1029436", pending).await.0, 200);
    let other = r#"{"reason": "nobody"}"#;
    refused(&rig, "/finalize/SB1029436", other, Reason::AwardPending).await;
    refused(&rig, "/award/SB1029436", "{}", Reason::InvalidField).await;
    refused(&rig, "/extend/SB1029436", "{}", Reason::InvalidField).await;
    refused(&rig, "/pause/nobody", "", Reason::OrderNotFound).await;
    let long = r#"{"proposal_id": "P-1", "undo_within_ms": 86400001}"#;
    refused(&rig, "/award/SB1029436", long, Reason::InvalidField).await;
}

/// The same award again succeeds.
#[tokio::test]
async fn second_awards_are_refused() {
    let rig = started().await;
    for id in ["P-1", "P-2"] {
        rig.fake.propose(&key(), id);
    }
    let award = r#"{"proposal_id": "P-1"}"#;
    assert_eq!(rig.post("/award/SB1029436", award).await.0, 200);
    until("over", || rig.handle.snapshot(&key()).unwrap().phase() == RequestPhase::Finalised).await;
    assert_eq!(rig.post("/award/SB1029436", award).await.0, 200, "said again");
    let other = r#"{"proposal_id": "P-2"}"#;
    refused(&rig, "/award/SB1029436", other, Reason::AlreadyAwarded).await;
    refused(&rig, "/undo-award/SB1029436", "", Reason::AwardNotPending).await;
    refused(&rig, "/pause/SB1029436", "", Reason::OrderEnded).await;
}

/// A sealed order cannot be awarded either.
#[tokio::test]
async fn sealed_orders_hide_prices_and_sellers() {
    let rig = rig().await;
    let sealed = r#"{"order_req_id": "SB1029436", "sealed": true}"#;
    assert_eq!(rig.post("/initiate", sealed).await.0, 200);
    until("up", || rig.handle.snapshot(&key()).unwrap().last_seq().0 == 2).await;
    rig.fake.propose(&key(), "P-1");
    let award = r#"{"proposal_id": "P-1"}"#;
    refused(&rig, "/award/SB1029436", award, Reason::OrderSealed).await;
    until("the proposal is known", || rig.handle.snapshot(&key()).unwrap().last_seq().0 == 3).await;
    for path in ["/tracking/SB1029436", "/tracking/status", ""] {
        let text = rig.get(path).await.to_string();
        assert!(!text.contains("10.50") && !text.contains("seller-of-"), "{path}: {text}");
    }
}

#[tokio::test]
async fn repeated_keys_have_one_effect() {
    let rig = started().await;
    let path = "/pause/SB1029436";
    let pause = async |body: &str, key: &str| post_with_key(&rig.handle, path, body, key).await;
    let first = pause(r#"{"reason": "lunch"}"#, "k1").await;
    assert_eq!(first.0, 200);
    assert_eq!(rig.post("/resume/SB1029436", "").await.0, 200);
    assert_eq!(pause(r#"{"reason": "lunch"}"#, "k1").await, first);
    assert_eq!(kinds(&rig)[2..], ["OrderPaused", "OrderResumed"], "once");
    let (status, reply) = pause(r#"{"reason": "tea"}"#, "k1").await;
    assert_eq!((status, &reply["reason"]), (409, &json!("IDEMPOTENCY_CONFLICT")));
    let undo = "/undo-award/SB1029436";
    let no = post_with_key(&rig.handle, undo, "", "k2").await;
    assert_eq!(no.1["reason"], "AWARD_NOT_PENDING");
    let again = post_with_key(&rig.handle, undo, "", "k2").await;
    assert_eq!((again.0, &again.1["reason"]), (no.0, &no.1["reason"]), "a refusal too");
    let close = "/close/SB1029436";
    assert_eq!(post_with_key(&rig.handle, close, "", "k3").await.0, 200);
    until("closed", || rig.handle.snapshot(&key()).unwrap().phase() == RequestPhase::Closed).await;
    assert_eq!(post_with_key(&rig.handle, close, "", "k3").await.0, 200, "also after the end");
    let (status, reply) = post_with_key(&rig.handle, path, "", "not a key").await;
    assert_eq!((status, &reply["field"]), (422, &json!("idempotency_key")));
}

#[tokio::test]
async fn paths_or_queries_name_the_tenant() {
    let rig = rig().await;
    let body = r#"{"order_req_id": "a", "tenant": "team"}"#;
    assert_eq!(rig.post("/initiate", body).await.0, 200);
    for path in ["/tracking/team%2Fa", "/tracking/a?tenant=team", "/tracking/team%2Fa?tenant=team"]
    {
        assert_eq!(rig.get(path).await["tenant"], "team", "{path}");
    }
    let (status, reply) = send(&rig.handle, Method::GET, "/tracking/team%2Fa?tenant=b", "").await;
    assert_eq!((status, &reply["field"]), (422, &json!("tenant")));
    assert_eq!(send(&rig.handle, Method::GET, "/tracking/a", "").await.0, 404);
    assert_eq!(rig.post("/pause/a?tenant=team", "").await.0, 200);
}

#[tokio::test]
async fn orders_are_listed_page_by_page() {
    let rig = rig().await;
    for number in 0..7 {
        let tenant = if number % 2 == 0 { "even" } else { "odd" };
        let body = json!({ "order_req_id": format!("o{number}"), "tenant": tenant }).to_string();
        assert_eq!(rig.post("/initiate", &body).await.0, 200);
    }
    let ids = |page: &Value| {
        let orders = page["orders"].as_array().unwrap().iter();
        orders.map(|order| order["order_req_id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let all = rig.get("").await;
    assert_eq!((ids(&all).len(), &all["next"]), (7, &Value::Null));
    let (mut after, mut paged) = (String::new(), Vec::new());
    loop {
        let page = rig.get(&format!("?limit=2&after={after}")).await;
        assert!(ids(&page).len() <= 2);
        paged.extend(ids(&page));
        match page["next"].as_str() {
            Some(next) => after = next.replace('/', "%2F"),
            None => break,
        }
    }
    assert_eq!(paged, ids(&all));
    assert_eq!(ids(&rig.get("?tenant=odd").await), ["o1", "o3", "o5"]);
    let (status, reply) = send(&rig.handle, Method::GET, "?limit=x", "").await;
    assert_eq!((status, &reply["field"]), (422, &json!("limit")));
    assert_eq!(reply["detail"], "is a whole number from 1 to 1000, and this is `x`");
    let (status, reply) = send(&rig.handle, Method::GET, "?limit=", "").await;
    assert_eq!((status, &ids(&reply)), (200, &ids(&all)), "an empty value is absent");
}

/// A field that a body does not describe is refused, and the document says so.
#[test]
fn documented_bodies_take_no_other_field() {
    let document = serde_json::to_value(document()).unwrap();
    let mut checked = BTreeSet::new();
    for ((path, _), operation) in operations(&document) {
        let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
        let reference = schema.pointer("/$ref").or_else(|| schema.pointer("/oneOf/0/$ref"));
        let Some(name) = reference.map(|named| named.as_str().unwrap()) else { continue };
        let name = name.rsplit('/').next().unwrap();
        let body = &document["components"]["schemas"][name];
        assert_eq!(body["additionalProperties"], false, "{path}: {name}");
        checked.insert(name.to_owned());
    }
    assert_eq!(checked.len(), 5, "{checked:?}");
}

/// Returns every operation of the document by path and method.
fn operations(document: &Value) -> BTreeMap<(String, String), Value> {
    let mut all = BTreeMap::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            all.insert((path.clone(), method.to_uppercase()), operation.clone());
        }
    }
    all
}

#[tokio::test]
async fn document_has_exactly_the_routes() {
    let rig = rig().await;
    let document = serde_json::to_value(document()).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    let described: BTreeSet<_> = operations(&document).into_keys().collect();
    let mut served = BTreeSet::new();
    for (path, _) in &described {
        let url = path.replace("{order_req_id}", "none");
        let url = url.strip_prefix("/api/v1/orders").unwrap_or("/../openapi.json").to_owned();
        if url.starts_with("/..") {
            served.insert((path.clone(), "GET".to_owned()));
            continue;
        }
        for method in [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            if send(&rig.handle, method.clone(), &url, "").await.0 != 405 {
                served.insert((path.clone(), method.to_string()));
            }
        }
    }
    assert_eq!(described, served);
}

#[tokio::test]
async fn the_examples_of_the_document_work() {
    let rig = rig().await;
    let document = serde_json::to_value(document()).unwrap();
    let operations = operations(&document);
    let mut sent = BTreeSet::new();
    // Each end needs an order of its own.
    for (suffix, action) in [
        ("1", "initiate"),
        ("1", "followup"),
        ("1", "pause"),
        ("1", "resume"),
        ("1", "extend"),
        ("1", "award"),
        ("1", "undo-award"),
        ("1", "finalize"),
        ("2", "initiate"),
        ("2", "close"),
        ("3", "initiate"),
        ("3", "cancel"),
    ] {
        let named = operations.keys().find(|(path, _)| path.contains(&format!("/orders/{action}")));
        let (path, method) = named.unwrap().clone();
        let operation = &operations[&(path.clone(), method.clone())];
        let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
        let name = [&schema["$ref"], &schema["oneOf"][1]["$ref"]]
            .into_iter()
            .find_map(|name| name.as_str()?.rsplit('/').next());
        let body = name.map(|name| document["components"]["schemas"][name]["example"].clone());
        let mut body = body.unwrap_or_else(|| json!({}));
        let order_id = format!("{}-{suffix}", examples::ORDER);
        if body["order_req_id"].is_string() {
            body["order_req_id"] = json!(order_id);
        }
        let url = path.replace("{order_req_id}", &order_id);
        let url = url.strip_prefix("/api/v1/orders").unwrap();
        let (status, reply) = rig.post(url, &body.to_string()).await;
        assert_eq!(status, 200, "{url} {body}: {reply}");
        if action == "followup" {
            let order = orderstream_core::OrderKey::new("", &order_id).unwrap();
            rig.fake.propose(&order, "P-1");
        }
        sent.insert((path, method));
    }
    let writes: BTreeSet<_> =
        operations.keys().filter(|(_, method)| method == "POST").cloned().collect();
    assert_eq!(sent, writes, "every operation that writes");
}
