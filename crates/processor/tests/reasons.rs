//! Every reason for which the sellers' REST refuses, each provoked once, with its status, and
//! documented for the operation that gave it.

use std::collections::BTreeSet;

use orderstream_core::Reason;
use orderstream_processor::rest::document;
use orderstream_rpc::v1;
use serde_json::{Value, json};

use crate::faulty::{Disk, Room};
use crate::http::{Answer, get, post, post_once, send};
use crate::rig::{Rig, START, within};
use crate::wire::{Wire, order, tracker};

/// The provoked reasons, checked against the document.
struct Seen {
    document: Value,
    reasons: BTreeSet<Reason>,
}

impl Seen {
    fn new() -> Self {
        let document = serde_json::to_value(document()).unwrap();
        Self { document, reasons: BTreeSet::new() }
    }

    /// Checks one refusal of an operation: its reason, its status, and that the document lists it.
    fn check(&mut self, operation: (&str, &str), answer: &Answer, reason: Reason) {
        let (method, path) = operation;
        assert_eq!(answer.reason(), reason.as_str(), "{method} {path}: {answer:?}");
        assert_eq!(answer.status, reason.http_status(), "{method} {path}: {answer:?}");
        let said = &self.document["paths"][path][method]["responses"][answer.status.to_string()];
        let said = said["description"].as_str().unwrap_or_default();
        assert!(said.split(", ").any(|word| word == reason.as_str()), "{method} {path}: {said}");
        self.reasons.insert(reason);
    }
}

const PROPOSE: (&str, &str) = ("post", "/api/v1/proposals");
const AMEND: (&str, &str) = ("put", "/api/v1/proposals/{proposal_id}");
const ORDER: (&str, &str) = ("get", "/api/v1/orders/{order_req_id}");

fn proposal(order: &str, id: &str) -> Value {
    json!({ "order_req_id": order, "proposal_id": id, "seller": "seller1", "price": "10",
            "currency": "EUR" })
}

async fn propose(rig: &Rig, order: &str, id: &str) -> Answer {
    post(rig.rest(), "/api/v1/proposals", &proposal(order, id)).await
}

async fn amend(rig: &Rig, order: &str, id: &str, headers: &[&str]) -> Answer {
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
async fn wrong_or_absent(rig: &Rig, seen: &mut Seen) {
    let rest = rig.rest();
    let not_json = send(rest, "POST /api/v1/proposals", &[], "no").await;
    seen.check(PROPOSE, &not_json, Reason::InvalidRequest);
    let no_price = post(rest, "/api/v1/proposals", &json!({ "order_req_id": "a" })).await;
    seen.check(PROPOSE, &no_price, Reason::InvalidField);
    seen.check(ORDER, &get(rest, "/api/v1/orders/none").await, Reason::OrderNotFound);
    seen.check(AMEND, &amend(rig, "a", "none", &[]).await, Reason::ProposalNotFound);
    let ahead = get(rest, "/api/v1/orders/a/events?after=99").await;
    seen.check(("get", "/api/v1/orders/{order_req_id}/events"), &ahead, Reason::AheadOfList);
}

/// Provokes the refusals of requests that collide with what exists.
async fn collisions(rig: &Rig, seen: &mut Seen) {
    let rest = rig.rest();
    assert_eq!(propose(rig, "a", "p").await.status, 201);
    let mut other = proposal("a", "p");
    other["price"] = json!("12");
    let exists = post(rest, "/api/v1/proposals", &other).await;
    seen.check(PROPOSE, &exists, Reason::ProposalExists);
    assert_eq!(post_once(rest, "/api/v1/proposals", "k", &proposal("a", "q")).await.status, 201);
    let conflict = post_once(rest, "/api/v1/proposals", "k", &proposal("a", "r")).await;
    seen.check(PROPOSE, &conflict, Reason::IdempotencyConflict);
    let changed = amend(rig, "a", "p", &["if-match: \"7\""]).await;
    seen.check(AMEND, &changed, Reason::Changed);
    let lock = json!({ "order_req_id": "a", "holder": "seller2" });
    assert_eq!(post(rest, "/api/v1/proposals/p/edit-lock", &lock).await.status, 200);
    seen.check(AMEND, &amend(rig, "a", "p", &[]).await, Reason::Locked);
    let withdraw = json!({ "order_req_id": "a" });
    assert_eq!(post(rest, "/api/v1/proposals/q/withdraw", &withdraw).await.status, 200);
    seen.check(AMEND, &amend(rig, "a", "q", &[]).await, Reason::ProposalEnded);
}

/// Provokes the refusals by an order's state.
async fn states(rig: &Rig, wire: &Wire, seen: &mut Seen) {
    for id in ["paused", "pending", "ended", "sealed"] {
        let sealed = id == "sealed";
        let spec = v1::OrderSpec { sealed, expires_in_ms: 60_000, ..v1::OrderSpec::default() };
        let request = v1::OrderStreamRequest { order: Some(spec), ..tracker(id) };
        drop(wire.follow(request).await.unwrap());
        assert_eq!(propose(rig, id, "p").await.status, 201);
    }
    let pause = v1::PauseRequest { order: Some(order("paused")), ..v1::PauseRequest::default() };
    within("a pause", wire.control.clone().pause(pause)).await.unwrap();
    seen.check(PROPOSE, &propose(rig, "paused", "p2").await, Reason::OrderPaused);
    award(wire, "pending", 60_000).await;
    seen.check(PROPOSE, &propose(rig, "pending", "p2").await, Reason::AwardPending);
    award(wire, "ended", 0).await;
    seen.check(PROPOSE, &propose(rig, "ended", "p2").await, Reason::OrderEnded);
    rig.clock.set(START.plus_ms(60_000));
    rig.clock.has_been_heeded().await;
    seen.check(PROPOSE, &propose(rig, "sealed", "p2").await, Reason::DeadlinePassed);
}

/// Provokes the refusals of a server that cannot work now.
async fn faults(seen: &mut Seen) {
    let disk = Disk::default();
    let rig = Rig::start_on(&disk).await;
    drop(rig.wire().await.track("a").await);
    disk.set_room(Room::None);
    seen.check(PROPOSE, &propose(&rig, "a", "p").await, Reason::StorageUnavailable);
    let rig = Rig::start().await;
    drop(rig.wire().await.track("a").await);
    rig.orders().drain();
    seen.check(PROPOSE, &propose(&rig, "a", "p").await, Reason::Draining);
}

#[tokio::test]
async fn every_refusal_reason_is_documented() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    drop(wire.track("a").await);
    let mut seen = Seen::new();
    wrong_or_absent(&rig, &mut seen).await;
    collisions(&rig, &mut seen).await;
    states(&rig, &wire, &mut seen).await;
    faults(&mut seen).await;
    let documented = documented(&seen.document);
    // Provoked elsewhere, each with a rig of its own.
    let elsewhere = [
        (Reason::NotificationNotFound, "notifications: a dead letter that is not there"),
        (Reason::LimitReached, "streams, inputs: followers, bodies"),
        (Reason::Overloaded, "network: connections"),
        (Reason::RecordsDamaged, "restart: a damaged list"),
        (Reason::Unreachable, "peers: an owner that is silent"),
        (Reason::Internal, "a fault, of which there is none to provoke"),
    ];
    let mut known = seen.reasons.clone();
    known.extend(elsewhere.map(|(reason, _)| reason));
    assert_eq!(documented, known, "what the document says, and what was provoked");
}

/// Returns every reason that the document lists anywhere.
fn documented(document: &Value) -> BTreeSet<Reason> {
    let mut all = BTreeSet::new();
    for item in document["paths"].as_object().unwrap().values() {
        for operation in item.as_object().unwrap().values() {
            for (status, answer) in operation["responses"].as_object().unwrap() {
                if status.as_str() >= "400" {
                    let words = answer["description"].as_str().unwrap().split(", ");
                    all.extend(words.map(|word| Reason::parse(word).unwrap()));
                }
            }
        }
    }
    all
}
