//! The state of a processor after a stop or a crash: everything that it had acknowledged.

use orderstream_rpc::v1;
use serde_json::json;
use tonic::Code;

use crate::faulty::Disk;
use crate::http::{get, post, post_once};
use crate::rig::Rig;
use crate::wire::{Wire, observer, order, proposal, reason, refusal, submission, tracker};

const PHASES: [&str; 6] = ["open", "paused", "closed", "cancelled", "awarded", "split"];

/// Brings one order into each phase, with some of everything in it.
async fn fill(wire: &Wire) {
    for id in PHASES {
        let spec = v1::OrderSpec {
            title: format!("order {id}"),
            category: "steel".to_owned(),
            items: ["beam", "nail"].map(item).into(),
            ..v1::OrderSpec::default()
        };
        let request = v1::OrderStreamRequest { epoch: 4, order: Some(spec), ..tracker(id) };
        drop(wire.follow(request).await.unwrap());
        wire.propose_many(id, 3).await;
        let amended = v1::Proposal { price: "9.75".to_owned(), version: 1, ..proposal("many-1") };
        let amended = v1::ProposalSubmission { proposal: Some(amended), ..submission(id, "") };
        assert_eq!(wire.submit(vec![amended]).await.unwrap().accepted, 1);
        let question = v1::FollowUpRequest {
            order_req_id: id.to_owned(),
            follow_up_id: "q1".to_owned(),
            audience: vec!["seller1".to_owned()],
            message: Some(v1::Message { message: "when?".to_owned(), ..v1::Message::default() }),
            ..v1::FollowUpRequest::default()
        };
        assert!(wire.unary.clone().process_follow_up(question).await.unwrap().into_inner().success);
    }
    let mut control = wire.control.clone();
    let (why, of) = ("because".to_owned(), |id| Some(order(id)));
    let pause = v1::PauseRequest { order: of("paused"), reason: why.clone(), ..Default::default() };
    control.pause(pause).await.unwrap();
    let close = v1::CloseRequest { order: of("closed"), reason: why.clone(), ..Default::default() };
    control.close(close).await.unwrap();
    let cancel = v1::CancelRequest { order: of("cancelled"), reason: why, ..Default::default() };
    control.cancel(cancel).await.unwrap();
    let whole = v1::AwardRequest {
        order: of("awarded"),
        proposal_id: "many-1".to_owned(),
        ..v1::AwardRequest::default()
    };
    control.award(whole).await.unwrap();
    let line = |sku: &str, proposal_id: &str| v1::AwardLine {
        sku: sku.to_owned(),
        proposal_id: proposal_id.to_owned(),
    };
    let lines = vec![line("beam", "many-2")];
    let split = v1::AwardRequest { order: of("split"), lines, ..v1::AwardRequest::default() };
    control.award(split).await.unwrap();
}

fn item(sku: &str) -> v1::OrderItem {
    v1::OrderItem {
        sku: sku.to_owned(),
        quantity: "12.5".to_owned(),
        unit: "m".to_owned(),
        ..v1::OrderItem::default()
    }
}

/// Returns everything that a caller can see of the orders.
async fn observe(rig: &Rig) -> Vec<(v1::OrderState, String, Vec<String>)> {
    let wire = rig.wire().await;
    let mut all = Vec::new();
    for id in PHASES {
        let state = wire.state(id).await.unwrap();
        let view = get(rig.rest(), &format!("/api/v1/orders/{id}/proposals")).await.text;
        let mut follow = wire.follow(observer(id)).await.unwrap();
        let events = follow.through(state.last_seq).await;
        all.push((state, view, events));
    }
    all
}

#[tokio::test]
async fn state_survives_restart_and_crash() {
    let mut rig = Rig::start().await;
    fill(&rig.wire().await).await;
    let mut before = observe(&rig).await;
    let lock = json!({ "order_req_id": "open", "holder": "seller1", "lease_ms": 60_000 });
    let path = "/api/v1/proposals/many-0/edit-lock";
    assert_eq!(post(rig.rest(), path, &lock).await.status, 200);
    before[0] = observe(&rig).await.swap_remove(0);
    rig.restart().await;
    assert_eq!(observe(&rig).await, before);
    rig.crash().await;
    rig.begin().await;
    assert_eq!(observe(&rig).await, before);
    let foreign = json!({ "order_req_id": "open", "holder": "seller2" });
    let response = post(rig.rest(), path, &foreign).await;
    assert_eq!(
        (response.status, response.reason().as_str()),
        (423, "LOCKED"),
        "the lock still holds"
    );
    let wire = rig.wire().await;
    let last = wire.last_seq("open").await;
    assert_eq!(wire.propose("open", "after").await, last + 1, "the list goes on");
}

#[tokio::test]
async fn idempotency_keys_survive_restart() {
    let mut rig = Rig::start().await;
    let wire = rig.wire().await;
    drop(wire.track("a").await);
    let body = json!({ "order_req_id": "a", "seller": "seller1", "price": "7", "currency": "EUR" });
    let dearer =
        json!({ "order_req_id": "a", "seller": "seller1", "price": "8", "currency": "EUR" });
    let first = post_once(rig.rest(), "/api/v1/proposals", "key-1", &body).await;
    assert_eq!(first.status, 201, "{first:?}");
    let keyed = |key: &str, text: &str| v1::FollowUpRequest {
        order_req_id: "a".to_owned(),
        idempotency_key: key.to_owned(),
        follow_up_id: "q".to_owned(),
        message: Some(v1::Message { message: text.to_owned(), ..v1::Message::default() }),
        ..v1::FollowUpRequest::default()
    };
    let asked = wire.unary.clone().process_follow_up(keyed("key-2", "when?")).await;
    let asked = asked.unwrap().into_inner();
    wire.propose("a", "later").await;
    for _ in 0..2 {
        let wire = rig.wire().await;
        let again = post_once(rig.rest(), "/api/v1/proposals", "key-1", &body).await;
        assert_eq!(again.json(), first.json(), "the same proposal id and number");
        let other = post_once(rig.rest(), "/api/v1/proposals", "key-1", &dearer).await;
        assert_eq!((other.status, other.reason().as_str()), (409, "IDEMPOTENCY_CONFLICT"));
        assert_eq!(other.json()["field"], "idempotency_key");
        let mut unary = wire.unary.clone();
        let again = unary.process_follow_up(keyed("key-2", "when?")).await.unwrap();
        assert_eq!(again.into_inner(), asked);
        let status = unary.process_follow_up(keyed("key-2", "where?")).await.err().unwrap();
        assert_eq!(status.code(), Code::Aborted);
        assert_eq!(reason(&status), "IDEMPOTENCY_CONFLICT");
        let conflict = v1::ProposalSubmission {
            idempotency_key: "key-1".to_owned(),
            ..submission("a", "another")
        };
        let summary = wire.submit(vec![conflict]).await.unwrap();
        assert_eq!(summary.results[0].reason, "IDEMPOTENCY_CONFLICT", "one key for all ways in");
        assert_eq!(wire.last_seq("a").await, 5);
        rig.restart().await;
    }
}

/// Changes one byte of the stored record that holds this text.
fn damage(disk: &Disk, text: &str) {
    disk.tamper(|map| {
        let holds = |value: &[u8]| value.windows(text.len()).any(|part| part == text.as_bytes());
        let record = map.values_mut().find(|value| holds(value)).unwrap();
        *record.last_mut().unwrap() ^= 1;
    });
}

/// The refusal names the record, and the other orders are served.
#[tokio::test]
async fn damaged_records_refuse_their_order_only() {
    let disk = Disk::default();
    let mut rig = Rig::start_on(&disk).await;
    let wire = rig.wire().await;
    for id in ["a", "b", "c"] {
        drop(wire.track(id).await);
        wire.propose(id, &format!("proposal-of-{id}")).await;
    }
    damage(&disk, "proposal-of-b");
    rig.restart().await;
    let wire = rig.wire().await;
    let state = wire.state("b").await.err().unwrap();
    let tracked = wire.follow(tracker("b")).await.err().unwrap();
    let observed = wire.follow(observer("b")).await.err().unwrap();
    let pause = v1::PauseRequest { order: Some(order("b")), ..v1::PauseRequest::default() };
    let paused = wire.control.clone().pause(pause).await.err().unwrap();
    for status in [state, tracked, observed, paused] {
        assert_eq!(status.code(), Code::DataLoss, "{status:?}");
        assert_eq!(reason(&status), "RECORDS_DAMAGED");
        assert!(refusal(&status).message.contains("record 3"), "{status:?}");
    }
    let summary = wire.submit(vec![submission("b", "p"), submission("a", "p")]).await.unwrap();
    assert_eq!(summary.results[0].reason, "RECORDS_DAMAGED");
    assert_eq!(summary.accepted, 1, "the others are served: {summary:?}");
    for path in ["/api/v1/orders/b", "/api/v1/orders/b/events", "/api/v1/orders/b/proposals"] {
        let response = get(rig.rest(), path).await;
        assert_eq!(
            (response.status, response.reason().as_str()),
            (500, "RECORDS_DAMAGED"),
            "{path}"
        );
    }
    assert_eq!(wire.track("c").await.through(3).await.len(), 3);
    // No record of the damaged order was removed: with the byte restored, the order is complete.
    damage(&disk, "proposal-of-b");
    rig.restart().await;
    assert_eq!(rig.wire().await.track("b").await.through(3).await.len(), 3);
}

/// Returns the last position of this text in a log.
fn position_of(log: &[u8], text: &str) -> usize {
    log.windows(text.len()).rposition(|bytes| bytes == text.as_bytes()).unwrap()
}

/// The other orders are served.
#[tokio::test]
async fn truncated_log_refuses_shortened_orders() {
    let mut rig = Rig::start().await;
    let wire = rig.wire().await;
    for id in ["a", "b"] {
        drop(wire.track(id).await);
        wire.propose(id, &format!("proposal-of-{id}")).await;
    }
    rig.restart_on(|log| log.truncate(position_of(log, "proposal-of-b"))).await;
    let wire = rig.wire().await;
    let status = wire.state("b").await.err().unwrap();
    assert_eq!(reason(&status), "RECORDS_DAMAGED");
    let expected = "record 3: 1 of its 3 records are missing that were acknowledged";
    assert!(refusal(&status).message.contains(expected), "{status:?}");
    let summary = wire.submit(vec![submission("b", "p"), submission("a", "p")]).await.unwrap();
    assert_eq!(summary.results[0].reason, "RECORDS_DAMAGED", "its number is not given again");
    assert_eq!(summary.accepted, 1, "the others are served: {summary:?}");
    assert_eq!(wire.track("a").await.through(4).await.len(), 4);
}

/// Undamaged orders can be read and streamed.
#[tokio::test]
async fn damaged_log_takes_no_commands() {
    let mut rig = Rig::start().await;
    let wire = rig.wire().await;
    for id in ["a", "b", "c"] {
        drop(wire.track(id).await);
        wire.propose(id, &format!("proposal-of-{id}")).await;
    }
    rig.restart_on(|log| {
        let at = position_of(log, "proposal-of-b");
        log[at] ^= 1;
    })
    .await;
    let wire = rig.wire().await;
    let status = wire.state("b").await.err().unwrap();
    assert_eq!(reason(&status), "RECORDS_DAMAGED");
    for id in ["a", "c"] {
        assert!(wire.state(id).await.is_ok(), "{id}");
        let newer = v1::OrderStreamRequest { epoch: 9, ..tracker(id) };
        assert_eq!(wire.follow(newer).await.unwrap().through(3).await.len(), 3, "{id}");
        let refused = wire.submit(vec![submission(id, "p")]).await.unwrap().results.remove(0);
        assert_eq!(refused.reason, "STORAGE_UNAVAILABLE");
        for text in ["read only", "store/0.jnl at byte ", "orderstream journal salvage"] {
            assert!(refused.message.contains(text), "{text}: {refused:?}");
        }
        let events = get(rig.rest(), &format!("/api/v1/orders/{id}")).await;
        assert_eq!(events.status, 200, "reads go on after an act was refused");
    }
    let opening = wire.follow(tracker("new")).await.err().unwrap();
    assert_eq!(reason(&opening), "STORAGE_UNAVAILABLE");
}
