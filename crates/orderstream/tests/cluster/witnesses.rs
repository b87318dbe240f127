//! One tender with many witnesses: twenty sellers who behave as sellers do, a buyer who works by
//! manifest, and `kill -9` of processor and controller in the middle. Commands, REST, gRPC,
//! server-sent events, webhooks, the resource's status and MongoDB agree on one list: each event
//! once, in order. Beside it, the deadline of a smaller order passes before its award.

mod compare;
mod expected_webhooks;
mod late;
mod list;
mod readers;
mod sellers;
mod stage;
mod webhook_servers;

use serde_json::{Value, json};

use crate::process::until;
use compare::same;
use list::{Entry, array};
use readers::{follow, listen};
use sellers::{FIRST, LATER, QUESTION, TO_ALL, TO_ONE, hold_session, start_sellers, thank};
use stage::{ORDER, SellerEndpoints, Stage};

/// The number of proposals of ten sellers, one of them uninvited; one proposal is withdrawn.
const PROPOSALS: u64 = 10;

#[test]
fn all_witnesses_have_one_list() {
    let Some(mut stage) = Stage::set() else { return };
    stage.open();
    late::open(&stage);
    let endpoints = stage.endpoints();
    let (followed, listened, watched) = (follow(&endpoints), listen(&endpoints), stage.watch());
    let statuses = stage.read_statuses();
    let stayed = hold_session(&endpoints);

    let first = start_sellers(&endpoints, &FIRST);
    until("proposals come", || {
        let order = endpoints.read("", "")?;
        (order["proposals"]["received"].as_u64()? >= 3).then_some(())
    });
    watched.until_connected();
    stage.bed.processor.kill();
    let later = start_sellers(&endpoints, &LATER);
    stage.bed.processor.restart();
    first.into_iter().chain(later).for_each(|seller| seller.join().unwrap());
    until("the one who stays has spoken", || {
        let order = endpoints.read("", "")?;
        let is_complete = order["proposals"]["received"] == PROPOSALS && order["questions"] == 2;
        is_complete.then_some(())
    });

    let compared = steer(&mut stage, &endpoints);
    let list = followed.join().unwrap();
    compare::numbers(&list);
    compare::script(&list);
    same("server-sent events, resumed", &listened.join().unwrap(), &list);
    same("gRPC, from the end", &follow(&endpoints).join().unwrap(), &list);
    compare::rest(&endpoints, &list);
    compare::session(&stayed.join().unwrap(), &list);
    compare::commands(&stage, &list);
    compare::comparison(&compared, compare::before_award(&list));
    same("orderstream watch, across restarts", &watched.entries(), &list);
    compare::statuses(&stage, &statuses.join().unwrap(), &list);
    compare::tracking(&stage, &list);
    compare::webhooks(&stage, &list);
    late::decided(&stage);
    compare::mongo(&stage, &list);
}

/// Acts as the buyer, by manifest; returns the comparison on which the award is based.
fn steer(stage: &mut Stage, endpoints: &SellerEndpoints) -> Value {
    answer_questions(stage, endpoints);
    pause_and_extend(stage, endpoints);
    let patch = |spec: &Value| stage.bed.patch("tender", &spec.to_string());
    let compared = stage.command(&["compare", ORDER]);
    patch(&json!({ "award": { "proposalId": "p-session", "undoWithin": "1h" } }));
    until_order(endpoints, "the award waits", |order| !order["pending_award"].is_null());
    endpoints.too_late("AWARD_PENDING");
    patch(&json!({ "award": { "undo": true } }));
    until_order(endpoints, "the award is undone", |order| order["pending_award"].is_null());
    let lines = json!([
        { "sku": "CHAIR", "proposalId": "p-rest" },
        { "sku": "TABLE", "proposalId": "p-typist" },
    ]);
    let award = json!({ "proposalId": null, "undo": null, "undoWithin": null, "lines": lines,
        "reason": "the best of each" });
    patch(&json!({ "award": award }));
    stage.bed.until_phase("tender", "Finalised");
    compared
}

fn until_order(endpoints: &SellerEndpoints, what: &str, is: impl Fn(&Value) -> bool) {
    until(what, || endpoints.read("", "").filter(|order| is(order)));
}

/// Pauses, resumes and extends the order; the processor is killed just before the pause or after
/// it.
fn pause_and_extend(stage: &mut Stage, endpoints: &SellerEndpoints) {
    stage.bed.patch("tender", r#"{"suspend":true}"#);
    stage.bed.processor.kill();
    stage.bed.processor.restart();
    until_order(endpoints, "it is paused", |order| order["phase"] == "Paused");
    endpoints.too_late("ORDER_PAUSED");
    stage.bed.patch("tender", r#"{"suspend":false}"#);
    until_order(endpoints, "it goes on", |order| order["phase"] == "Open");
    let before = endpoints.read("", "").unwrap()["expires_at"].clone();
    stage.bed.patch("tender", r#"{"expiresIn":"2h"}"#);
    until_order(endpoints, "it is extended", |order| order["expires_at"] != before);
}

/// Answers one question to all, while the controller is killed, and the other one to its seller.
fn answer_questions(stage: &mut Stage, endpoints: &SellerEndpoints) {
    let message_of = |kind: &str, seller: &str| {
        let page = endpoints.read("/conversation", "")?;
        let mut all = array(&page["conversation"]).iter();
        all.find(|message| message["kind"] == kind && message["seller"] == seller).cloned()
    };
    let question = message_of("question", "session").unwrap()["id"].clone();
    let to_all = json!({ "id": TO_ALL, "answers": question,
        "message": { "message": "With assembly.", "urls": ["https://shop.example/77"] } });
    stage.bed.patch("tender", &json!({ "followUps": [to_all] }).to_string());
    stage.controller.kill();
    stage.controller.restart();
    until("the one who stays has answered", || message_of("answer", "session"));
    let to_one = json!({ "id": TO_ONE, "answers": QUESTION, "audience": ["asker"],
        "message": { "message": "Oak, yes." } });
    stage.bed.patch("tender", &json!({ "followUps": [to_all, to_one] }).to_string());
    until("the other question is answered", || {
        (endpoints.read("", "")?["follow_ups"] == 2).then_some(())
    });
    thank(endpoints);
}

/// A witness fails the comparison if it missed an event, or has one twice, out of order or changed.
#[test]
fn deviating_witnesses_are_found() {
    let entry = |seq: u64, detail: Value| Entry {
        seq,
        at_ms: 1_800_000_000_000,
        event_type: "OrderPaused".to_owned(),
        proposal_id: None,
        follow_up_id: None,
        detail,
    };
    let list: Vec<_> = (1..=4).map(|seq| entry(seq, json!({ "OrderPaused": {} }))).collect();
    same("nobody", &list, &list);
    compare::numbers(&list);
    let missed = [&list[..1], &list[2..]].concat();
    let twice = [&list[..2], &list[1..]].concat();
    let late = list[..3].to_vec();
    let mut turned = list.clone();
    turned.swap(1, 2);
    let mut otherwise = list.clone();
    otherwise[3] = entry(4, json!({ "OrderPaused": { "reason": "budget" } }));
    for witness in [&missed, &twice, &late, &turned, &otherwise] {
        assert!(
            std::panic::catch_unwind(|| same("somebody", witness, &list)).is_err(),
            "{witness:?}"
        );
    }
    for witness in [&missed, &twice, &turned] {
        assert!(std::panic::catch_unwind(|| compare::numbers(witness)).is_err(), "{witness:?}");
    }
}
