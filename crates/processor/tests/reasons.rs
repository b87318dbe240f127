//! Every reason for which the sellers' REST refuses, each provoked once, with its status, and
//! documented for the operation that gave it.

use std::collections::BTreeSet;

use orderstream_core::Reason;
use orderstream_processor::rest::document;
use orderstream_rpc::v1;
use serde_json::{Value, json};

use crate::faulty::{Disk, DiskSpace};
use crate::http::{HttpResponse, get, post, post_once, send};
use crate::rig::{Rig, START, within};
use crate::wire::{Wire, order, tracker};

/// The provoked reasons, checked against the document.
struct ProvokedReasons {
    document: Value,
    reasons: BTreeSet<Reason>,
}

impl ProvokedReasons {
    fn new() -> Self {
        let document = serde_json::to_value(document()).unwrap();
        Self { document, reasons: BTreeSet::new() }
    }

    /// Checks one refusal of an operation: its reason, its status, and that the document lists it.
    fn check(&mut self, operation: (&str, &str), response: &HttpResponse, reason: Reason) {
        let (method, path) = operation;
        assert_eq!(response.reason(), reason.as_str(), "{method} {path}: {response:?}");
        assert_eq!(response.status, reason.http_status(), "{method} {path}: {response:?}");
        let documented =
            &self.document["paths"][path][method]["responses"][response.status.to_string()];
        let description = documented["description"].as_str().unwrap_or_default();
        assert!(
            description.split(", ").any(|word| word == reason.as_str()),
            "{method} {path}: {description}"
        );
        self.reasons.insert(reason);
    }
}

const PROPOSE: (&str, &str) = ("post", "/api/v1/proposals");
const AMEND: (&str, &str) = ("put", "/api/v1/proposals/{proposal_id}");
const ORDER: (&str, &str) = ("get", "/api/v1/orders/{order_req_id}");

fn proposal(order: &str, id: &str) -> Value {
    json!({ "order_req_id": order, "proposal_id": id, "seller": "seller1", "price": "10",
            "currency": "EUR", "alternative": id })
}

async fn propose(rig: &Rig, order: &str, id: &str) -> HttpResponse {
    post(rig.rest(), "/api/v1/proposals", &proposal(order, id)).await
}

async fn amend(rig: &Rig, order: &str, id: &str, headers: &[&str]) -> HttpResponse {
    let mut body = proposal(order, id);
    body["price"] = json!("11");
    let request = format!("PUT /api/v1/proposals/{id}");
    send(rig.rest(), &request, headers, &body.to_string()).await
}

async fn award(wire: &Wire, id: &str, undo_within_ms: u64) {
    let request = v1::AwardRequest {
        order: Some(order(id)),
        proposal_id: "p".to_owned(),
        undo_within_ms,
        ..v1::AwardRequest::default()
    };
    within("an award", wire.control.clone().award(request)).await.unwrap();
}

/// Provokes the refusals of wrong requests, and of requests that name something absent.
async fn wrong_or_absent(rig: &Rig, provoked: &mut ProvokedReasons) {
    let rest = rig.rest();
    let not_json = send(rest, "POST /api/v1/proposals", &[], "no").await;
    provoked.check(PROPOSE, &not_json, Reason::InvalidRequest);
    let no_price = post(rest, "/api/v1/proposals", &json!({ "order_req_id": "a" })).await;
    provoked.check(PROPOSE, &no_price, Reason::InvalidField);
    provoked.check(ORDER, &get(rest, "/api/v1/orders/none").await, Reason::OrderNotFound);
    provoked.check(AMEND, &amend(rig, "a", "none", &[]).await, Reason::ProposalNotFound);
    let ahead = get(rest, "/api/v1/orders/a/events?after=99").await;
    provoked.check(("get", "/api/v1/orders/{order_req_id}/events"), &ahead, Reason::AheadOfList);
}

/// Provokes the refusals of requests that collide with what exists.
async fn collisions(rig: &Rig, provoked: &mut ProvokedReasons) {
    let rest = rig.rest();
    assert_eq!(propose(rig, "a", "p").await.status, 201);
    let mut other = proposal("a", "p");
    other["price"] = json!("12");
    let exists = post(rest, "/api/v1/proposals", &other).await;
    provoked.check(PROPOSE, &exists, Reason::ProposalExists);
    other["seller"] = json!("stranger");
    other["proposal_id"] = json!("s");
    let uninvited = post(rest, "/api/v1/proposals", &other).await;
    provoked.check(PROPOSE, &uninvited, Reason::NotInvited);
    assert_eq!(post_once(rest, "/api/v1/proposals", "k", &proposal("a", "q")).await.status, 201);
    let conflict = post_once(rest, "/api/v1/proposals", "k", &proposal("a", "r")).await;
    provoked.check(PROPOSE, &conflict, Reason::IdempotencyConflict);
    let changed = amend(rig, "a", "p", &["if-match: \"7\""]).await;
    provoked.check(AMEND, &changed, Reason::Changed);
    let lock = json!({ "order_req_id": "a", "holder": "seller2" });
    assert_eq!(post(rest, "/api/v1/proposals/p/edit-lock", &lock).await.status, 200);
    provoked.check(AMEND, &amend(rig, "a", "p", &[]).await, Reason::Locked);
    let withdraw = json!({ "order_req_id": "a" });
    assert_eq!(post(rest, "/api/v1/proposals/q/withdraw", &withdraw).await.status, 200);
    provoked.check(AMEND, &amend(rig, "a", "q", &[]).await, Reason::ProposalEnded);
}

/// Provokes the refusals by an order's state.
async fn states(rig: &Rig, wire: &Wire, provoked: &mut ProvokedReasons) {
    for id in ["paused", "pending", "ended", "sealed"] {
        let sealed = id == "sealed";
        let spec = v1::OrderSpec { sealed, expires_in_ms: 60_000, ..v1::OrderSpec::default() };
        let request = v1::OrderStreamRequest { order: Some(spec), ..tracker(id) };
        drop(wire.follow(request).await.unwrap());
        assert_eq!(propose(rig, id, "p").await.status, 201);
    }
    let pause = v1::PauseRequest { order: Some(order("paused")), ..v1::PauseRequest::default() };
    within("a pause", wire.control.clone().pause(pause)).await.unwrap();
    provoked.check(PROPOSE, &propose(rig, "paused", "p2").await, Reason::OrderPaused);
    award(wire, "pending", 60_000).await;
    provoked.check(PROPOSE, &propose(rig, "pending", "p2").await, Reason::AwardPending);
    award(wire, "ended", 0).await;
    provoked.check(PROPOSE, &propose(rig, "ended", "p2").await, Reason::OrderEnded);
    rig.clock.set(START.plus_ms(60_000));
    rig.clock.wait_for_expiry_round().await;
    provoked.check(PROPOSE, &propose(rig, "sealed", "p2").await, Reason::DeadlinePassed);
}

/// Provokes the refusals of a server that cannot work now.
async fn faults(provoked: &mut ProvokedReasons) {
    let disk = Disk::default();
    let rig = Rig::start_on(&disk).await;
    drop(rig.wire().await.track("a").await);
    disk.set_space(DiskSpace::None);
    provoked.check(PROPOSE, &propose(&rig, "a", "p").await, Reason::StorageUnavailable);
    let rig = Rig::start().await;
    drop(rig.wire().await.track("a").await);
    rig.orders().drain();
    provoked.check(PROPOSE, &propose(&rig, "a", "p").await, Reason::Draining);
}

#[tokio::test]
async fn every_refusal_reason_is_documented() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    drop(wire.track("a").await);
    let mut provoked = ProvokedReasons::new();
    wrong_or_absent(&rig, &mut provoked).await;
    collisions(&rig, &mut provoked).await;
    states(&rig, &wire, &mut provoked).await;
    faults(&mut provoked).await;
    let documented = documented(&provoked.document);
    // Provoked elsewhere, each with a rig of its own.
    let others = [
        (Reason::NotificationNotFound, "notifications: a dead letter that is not there"),
        (Reason::LimitReached, "streams, inputs: followers, bodies"),
        (Reason::Overloaded, "network: connections"),
        (Reason::RecordsDamaged, "restart: a damaged list"),
        (Reason::Unreachable, "peers: an owner that is silent"),
        (Reason::Internal, "a fault, of which there is none to provoke"),
    ];
    let mut known = provoked.reasons.clone();
    known.extend(others.map(|(reason, _)| reason));
    assert_eq!(documented, known, "what the document says, and what was provoked");
}

/// Returns every reason that the document lists anywhere.
fn documented(document: &Value) -> BTreeSet<Reason> {
    let mut all = BTreeSet::new();
    for item in document["paths"].as_object().unwrap().values() {
        for operation in item.as_object().unwrap().values() {
            for (status, answer) in operation["responses"].as_object().unwrap() {
                if status.as_str() >= "400" {
                    let reasons = answer["description"].as_str().unwrap().split(", ");
                    all.extend(reasons.map(|word| Reason::parse(word).unwrap()));
                }
            }
        }
    }
    all
}
