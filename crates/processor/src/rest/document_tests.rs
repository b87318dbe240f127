//! Tests of the document: it matches the router, and its examples work.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::Method;
use orderstream_core::FollowUpId;
use orderstream_core::OrderKey;
use orderstream_core::command::{Command, CommandKind};
use orderstream_core::spec::{FollowUp, Message};
use serde_json::Value;

use super::body::{ORDER_EXAMPLE, PROPOSAL_EXAMPLE};
use super::document;
use super::tests::Rig;

/// The HTTP methods that a route may take.
const METHODS: [Method; 5] =
    [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

fn document_json() -> Value {
    serde_json::to_value(document()).unwrap()
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

/// Fills in the examples of a path's parameters.
fn filled(path: &str) -> String {
    path.replace("{order_req_id}", ORDER_EXAMPLE).replace("{proposal_id}", PROPOSAL_EXAMPLE)
}

#[tokio::test]
async fn document_has_exactly_the_routes() {
    let rig = Rig::start().await;
    let described: BTreeSet<_> = operations(&document_json()).into_keys().collect();
    let mut served = BTreeSet::new();
    for (path, _) in &described {
        for method in METHODS {
            // For an order that does not exist: nothing waits, and nothing changes.
            let url = path.replace("{order_req_id}", "none").replace("{proposal_id}", "none");
            let (status, ..) = rig.ask(method.clone(), &url, "").await;
            if status != 405 {
                served.insert((path.clone(), method.to_string()));
            }
        }
    }
    assert_eq!(described, served);
}

#[test]
fn operations_have_names_summaries_and_problems() {
    let document = document_json();
    assert_eq!(document["openapi"], "3.1.0");
    let mut names = BTreeSet::new();
    for ((path, method), operation) in operations(&document) {
        assert!(names.insert(operation["operationId"].as_str().unwrap().to_owned()), "{path}");
        assert!(operation["summary"].as_str().unwrap().ends_with('.'), "{method} {path}");
        for (status, response) in operation["responses"].as_object().unwrap() {
            let is_problem = status.as_str() >= "400";
            let kind = &response["content"]["application/problem+json"];
            assert_eq!(kind.is_object(), is_problem, "{method} {path} {status}");
            if is_problem {
                let reasons = response["description"].as_str().unwrap().split(", ").count();
                assert_eq!(kind["examples"].as_object().unwrap().len(), reasons, "one for each");
            }
        }
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        let has = |name: &str| parameters.iter().any(|held| held["name"] == name);
        assert_eq!(has("Idempotency-Key"), method != "GET", "{method} {path}");
        let guarded = operation["responses"]["412"].is_object();
        assert_eq!(has("If-Match"), guarded, "{method} {path}");
    }
}

/// A field that a body does not describe is refused, and the document says so.
#[test]
fn documented_bodies_take_no_other_field() {
    let document = document_json();
    let mut names = BTreeSet::from(["LineBody".to_owned()]);
    for operation in operations(&document).into_values() {
        let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
        let name = schema["$ref"].as_str().and_then(|reference| reference.rsplit('/').next());
        names.extend(name.map(str::to_owned));
    }
    assert_eq!(names.len(), 8, "{names:?}");
    for name in names {
        let body = &document["components"]["schemas"][&name];
        assert_eq!(body["additionalProperties"], false, "{name}");
    }
}

#[tokio::test]
async fn the_examples_of_the_document_work() {
    let rig = Rig::start().await;
    let key = OrderKey::new("", ORDER_EXAMPLE).unwrap();
    rig.open(&key).await;
    let follow_up = FollowUp {
        id: FollowUpId::new("f-1").unwrap(),
        audience: Vec::new(),
        message: Message { message: "How soon?".to_owned(), ..Message::default() },
        answers: None,
    };
    rig.orders().execute(&key, Command::bare(CommandKind::FollowUp(follow_up))).await.unwrap();
    let document = document_json();
    let operations = operations(&document);
    // The life cycle of a proposal: each request needs the ones before it.
    let proposals = "/api/v1/proposals";
    let order = "/api/v1/orders/{order_req_id}";
    let steps = [
        ("POST", proposals.to_owned()),
        ("POST", "/api/v1/proposal-submissions".to_owned()),
        ("POST", format!("{order}/questions")),
        ("POST", format!("{order}/seen")),
        ("POST", format!("{order}/decline")),
        ("POST", format!("{proposals}/{{proposal_id}}/followup")),
        ("POST", format!("{proposals}/{{proposal_id}}/edit-lock")),
        ("DELETE", format!("{proposals}/{{proposal_id}}/edit-lock")),
        ("PUT", format!("{proposals}/{{proposal_id}}")),
        ("POST", format!("{proposals}/{{proposal_id}}/withdraw")),
    ];
    let mut sent = BTreeSet::new();
    for (method, path) in steps {
        let operation = &operations[&(path.clone(), method.to_owned())];
        let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
        let name = schema["$ref"].as_str().unwrap().rsplit('/').next().unwrap();
        let body = &document["components"]["schemas"][name]["example"];
        assert!(body.is_object(), "{name} has an example");
        let url = filled(&path);
        let (status, _, answer) = rig.ask(method.parse().unwrap(), &url, &body.to_string()).await;
        assert!(operation["responses"][status.to_string()].is_object(), "{method} {url} {status}");
        assert!(status < 300, "{method} {url}: {status} {answer}");
        sent.insert((path, method.to_owned()));
    }
    // It needs a dead letter, which only a failing channel produces: see tests/notifications.rs.
    sent.insert(("/api/v1/dead-letters/{notification_id}/replay".to_owned(), "POST".to_owned()));
    let writes: BTreeSet<_> =
        operations.into_keys().filter(|(_, method)| method != "GET").collect();
    assert_eq!(sent, writes, "every operation that writes");
}
