//! Tests of the reply to a command: success only for a command in the order's list, a refusal only
//! for one that never will be, and "pending" for the rest. A key's final outcome never changes.

use std::sync::Arc;

use axum::http::Method;
use orderstream_core::command::{Award, CommandKind, OrderOpening};
use orderstream_core::port::OrderStreams as _;
use orderstream_core::{EventKind, IdempotencyKey, Incarnation, OrderSpec, ProposalId};
use serde_json::{Value, json};

use super::tests::{INITIATE, Rig, key, post_with_key, rig, send, until};
use crate::fake_processor::Gate;
use crate::store::STORED_COMMANDS_MAX;
use crate::{Handle, Lists, OrderRecord, OrderStore, StoredOrder};

const AWARD: &str = "/award/SB1029436";
const CANCEL: &str = "/cancel/SB1029436";
const PAUSE: &str = "/pause/SB1029436";

async fn with_proposals() -> Rig {
    let rig = rig().await;
    assert_eq!(rig.post("/initiate", INITIATE).await.0, 200);
    for id in ["a", "b"] {
        rig.fake.propose(&key(), id);
    }
    until("up", || rig.handle.snapshot(&key()).unwrap().last_seq().0 == 4).await;
    rig
}

fn award_of(id: &str) -> String {
    json!({ "proposal_id": id }).to_string()
}

fn finalise(id: &str) -> CommandKind {
    let award = Some(Award::Whole(ProposalId::new(id).unwrap()));
    CommandKind::Finalise { award, reason: None, undo_within_ms: None }
}

fn follow_up(id: &str) -> String {
    json!({ "order_req_id": "SB1029436", "follow_up_id": id, "message": "how soon?" }).to_string()
}

async fn post(handle: &Handle, path: &str, body: &str, key: &str) -> (u16, Value) {
    post_with_key(handle, path, body, key).await
}

/// Returns the outcome of the command under a key, as the REST shows it.
async fn outcome(handle: &Handle, key: &str) -> Value {
    let (status, view) = send(handle, Method::GET, &format!("/SB1029436/acts/{key}"), "").await;
    assert_eq!(status, 200, "{view}");
    view
}

/// Waits until the command under a key has a final outcome, and returns it.
async fn decided(handle: &Handle, key: &str) -> Value {
    for _ in 0..2_000 {
        let view = outcome(handle, key).await;
        if view["state"] != "pending" {
            return view;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    panic!("{key} is never decided");
}

fn state(view: &Value) -> (&str, &str) {
    (view["state"].as_str().unwrap(), view["reason"].as_str().unwrap_or_default())
}

/// Returns the record of a pause that was requested under a caller's key.
fn paused(key: &str) -> OrderRecord {
    let id = IdempotencyKey::new(format!("buyer:{key}")).unwrap();
    OrderRecord::OrderPaused { id, reason: None, incarnation: None }
}

fn stored(rig: &Rig) -> StoredOrder {
    let store = OrderStore::new(Arc::clone(&rig.lists) as Arc<dyn Lists>);
    store.load(&key()).unwrap()
}

fn is_over(rig: &Rig) -> bool {
    rig.handle.snapshot(&key()).unwrap().is_terminal()
}

/// Returns the winner at the processor.
fn winner(rig: &Rig) -> Option<String> {
    let events = rig.fake.events(&key());
    events.iter().find_map(|event| {
        let EventKind::OrderFinalised { award: Some(Award::Whole(id)), .. } = &event.kind else {
            return None;
        };
        Some(id.to_string())
    })
}

#[tokio::test]
async fn one_of_two_concurrent_awards_succeeds() {
    for _ in 0..8 {
        let rig = with_proposals().await;
        let (a, b) = (award_of("a"), award_of("b"));
        let (first, second) = tokio::join!(
            post(&rig.handle, AWARD, &a, "key-a"),
            post(&rig.handle, AWARD, &b, "key-b"),
        );
        let winner = winner(&rig).unwrap();
        for (id, (status, reply)) in [("a", first), ("b", second)] {
            let key = format!("key-{id}");
            if id == winner {
                assert_eq!(status, 200, "{reply}");
                assert_eq!(state(&outcome(&rig.handle, &key).await), ("done", ""));
            } else {
                assert_eq!((status, &reply["reason"]), (409, &json!("ALREADY_AWARDED")));
                let view = outcome(&rig.handle, &key).await;
                assert_eq!(state(&view), ("refused", "ALREADY_AWARDED"));
            }
            let again = post(&rig.handle, AWARD, &award_of(id), &key).await;
            assert_eq!((again.0, &again.1), (status, &reply), "the same key again");
        }
    }
}

/// The order's end arrives before the reply.
#[tokio::test]
async fn overtaken_commands_learn_their_outcome() {
    let rig = with_proposals().await;
    // The award is decided; its own reply comes after the event that ends the order.
    rig.fake.set_gate(Gate::Mute);
    let (a, b) = (award_of("a"), award_of("b"));
    let first = post(&rig.handle, AWARD, &a, "key-a");
    let queued = post(&rig.handle, AWARD, &b, "key-b");
    let paused = post(&rig.handle, PAUSE, "", "key-p");
    let open = async {
        until("over", || is_over(&rig)).await;
        until("the stream is down", || rig.handle.counts().active_streams == 0).await;
        rig.fake.set_gate(Gate::Open);
    };
    let (first, queued, paused, ()) = tokio::join!(first, queued, paused, open);
    let won = winner(&rig).unwrap();
    let (won_by, lost) = if won == "a" { (first, queued) } else { (queued, first) };
    assert_eq!(won_by.0, 200, "{}", won_by.1);
    assert_eq!((lost.0, &lost.1["reason"]), (409, &json!("ALREADY_AWARDED")));
    assert_eq!((paused.0, &paused.1["reason"]), (409, &json!("ORDER_ENDED")));
}

#[tokio::test]
async fn rival_ends_settle_waiting_commands() {
    for rival in [CommandKind::Cancel { reason: None }, finalise("b")] {
        let reason = if rival == finalise("b") { "ALREADY_AWARDED" } else { "ORDER_ENDED" };
        let rig = with_proposals().await;
        rig.fake.set_gate(Gate::Shut);
        let (a, f) = (award_of("a"), follow_up("f-1"));
        let (award, ask, cancel) = (
            post(&rig.handle, AWARD, &a, "key-a"),
            rig.post("/followup", &f),
            post(&rig.handle, CANCEL, "", "key-c"),
        );
        let end = async {
            until("all wait", || stored(&rig).open_commands.len() == 3).await;
            rig.fake.run_rival_command(&key(), rival.clone()).unwrap();
            until("over", || is_over(&rig)).await;
            rig.fake.set_gate(Gate::Open);
        };
        let (award, ask, cancel, ()) = tokio::join!(award, ask, cancel, end);
        assert_eq!((award.0, &award.1["reason"]), (409, &json!(reason)), "{}", award.1);
        assert_eq!((ask.0, &ask.1["reason"]), (409, &json!("ORDER_ENDED")), "{}", ask.1);
        let view = outcome(&rig.handle, "f-1").await;
        assert_eq!(state(&view), ("refused", "ORDER_ENDED"));
        let again = rig.post("/followup", &follow_up("f-1")).await;
        assert_eq!((again.0, &again.1["reason"]), (409, &json!("ORDER_ENDED")), "for ever");
        if rival == finalise("b") {
            assert_eq!((cancel.0, &cancel.1["reason"]), (409, &json!("ORDER_ENDED")));
        } else {
            assert_eq!(cancel.0, 200, "it is cancelled: {}", cancel.1);
        }
    }
}

/// They are decided once the processor replies again.
#[tokio::test]
async fn undecided_commands_are_pending() {
    let rig = with_proposals().await;
    rig.fake.set_gate(Gate::Shut);
    let (a, b) = (award_of("a"), award_of("b"));
    // One after another, so that it is known which was stored first.
    let mut replies = Vec::new();
    let asks = [(AWARD, a.as_str(), "key-a"), (AWARD, b.as_str(), "key-b"), (CANCEL, "", "key-c")];
    for (path, body, key) in asks {
        replies.push((path, body, key, post(&rig.handle, path, body, key).await));
    }
    let reply = rig.post("/followup", &follow_up("f-1")).await;
    assert_eq!((reply.0, &reply.1["follow_up_id"]), (202, &json!("f-1")));
    for (path, body, key, (status, reply)) in &replies {
        let location = format!("/api/v1/orders/SB1029436/acts/{key}");
        assert_eq!((*status, &reply["state"]), (202, &json!("pending")), "{reply}");
        assert_eq!(reply["location"], location);
        assert!(reply.get("success").is_none(), "{reply}");
        assert_eq!(state(&outcome(&rig.handle, key).await), ("pending", ""));
        assert_eq!(post(&rig.handle, path, body, key).await.0, 202, "again, and still not known");
    }
    rig.fake.set_gate(Gate::Open);
    assert_eq!(state(&decided(&rig.handle, "key-a").await), ("done", ""));
    assert_eq!(state(&decided(&rig.handle, "key-b").await), ("refused", "ALREADY_AWARDED"));
    assert_eq!(state(&decided(&rig.handle, "key-c").await), ("refused", "ORDER_ENDED"));
    assert_eq!(state(&decided(&rig.handle, "f-1").await), ("refused", "ORDER_ENDED"));
    assert_eq!(winner(&rig).as_deref(), Some("a"));
    let again = [200, 409, 409];
    for ((path, body, key, _), status) in replies.iter().zip(again) {
        assert_eq!(post(&rig.handle, path, body, key).await.0, status, "{key}");
    }
}

#[tokio::test]
async fn restarts_settle_commands_on_ended_orders() {
    let rig = with_proposals().await;
    rig.fake.set_gate(Gate::Shut);
    let (a, b) = (award_of("a"), award_of("b"));
    for (body, key) in [(&a, "key-a"), (&b, "key-b")] {
        assert_eq!(post(&rig.handle, AWARD, body, key).await.0, 202);
    }
    // The first is done, without a reply; the other waits behind it.
    rig.fake.set_gate(Gate::Mute);
    until("the end is stored", || stored(&rig).ended.is_some()).await;
    assert_eq!(stored(&rig).open_commands.len(), 2);
    rig.stop.cancel();
    rig.fake.set_gate(Gate::Open);
    let (again, _stop) = rig.restarted().await;
    assert_eq!(state(&decided(&again, "key-a").await), ("done", ""));
    assert_eq!(state(&decided(&again, "key-b").await), ("refused", "ALREADY_AWARDED"));
    assert_eq!(post(&again, AWARD, &a, "key-a").await.0, 200);
    let lost = post(&again, AWARD, &b, "key-b").await;
    assert_eq!((lost.0, &lost.1["reason"]), (409, &json!("ALREADY_AWARDED")));

    // Read again: it is in the store by now, whatever the processor replies.
    rig.fake.set_gate(Gate::Shut);
    let (third, _stop) = rig.restarted().await;
    assert_eq!(post(&third, AWARD, &a, "key-a").await.0, 200);
    let lost = post(&third, AWARD, &b, "key-b").await;
    assert_eq!((lost.0, &lost.1["reason"]), (409, &json!("ALREADY_AWARDED")));
}

/// The end settles only the commands that it decides.
#[tokio::test]
async fn the_end_settles_lost_replies() {
    let rig = with_proposals().await;
    rig.fake.set_gate(Gate::Shut);
    let (a, b, f) = (award_of("a"), award_of("b"), follow_up("f-1"));
    let asks = [
        ("/followup", f.as_str(), "f-1"),
        (AWARD, a.as_str(), "key-a"),
        (AWARD, b.as_str(), "key-b"),
        (PAUSE, "", "key-p"),
    ];
    for (path, body, key) in asks {
        assert_eq!(post(&rig.handle, path, body, key).await.0, 202, "{key}");
    }
    rig.fake.run_rival_command(&key(), finalise("b")).unwrap();
    until("over", || is_over(&rig)).await;
    rig.fake.set_gate(Gate::Lost);
    assert_eq!(state(&decided(&rig.handle, "f-1").await), ("refused", "ORDER_ENDED"));
    assert_eq!(state(&decided(&rig.handle, "key-a").await), ("refused", "ALREADY_AWARDED"));
    assert_eq!(state(&decided(&rig.handle, "key-b").await), ("done", ""));
    // An end does not show whether there was a pause before it.
    assert_eq!(state(&outcome(&rig.handle, "key-p").await), ("pending", ""));
    rig.fake.set_gate(Gate::Open);
    assert_eq!(state(&decided(&rig.handle, "key-p").await), ("refused", "ORDER_ENDED"));
}

/// The requestor opens the order again, and its commands take effect there.
#[tokio::test]
async fn lost_orders_run_their_commands_anew() {
    let rig = with_proposals().await;
    rig.fake.set_gate(Gate::Shut);
    for (path, key) in [(PAUSE, "key-p"), (CANCEL, "key-c")] {
        assert_eq!(post(&rig.handle, path, "", key).await.0, 202);
    }
    rig.stop.cancel();
    rig.fake.forget(&key());
    let (again, _stop) = rig.restarted().await;
    until("opened anew", || rig.fake.events(&key()).len() == 2).await;
    rig.fake.set_gate(Gate::Open);
    // The requestor opens the order anew; the commands were on that incarnation, and are done
    // there.
    assert_eq!(state(&decided(&again, "key-p").await), ("done", ""));
    assert_eq!(state(&decided(&again, "key-c").await), ("done", ""));
    let kinds: Vec<_> = rig.fake.events(&key()).iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(kinds[2..], ["OrderPaused", "OrderCancelled"]);
}

#[tokio::test]
async fn follow_ups_succeed_only_when_listed() {
    let rig = with_proposals().await;
    assert_eq!(rig.post("/followup", &follow_up("f-1")).await.0, 200);
    let is_listed = |id: &str| {
        let events = rig.fake.events(&key());
        events.iter().any(|event| event.kind.follow_up_id().is_some_and(|it| it.as_str() == id))
    };
    assert!(is_listed("f-1"));
    assert_eq!(rig.post("/followup", &follow_up("f-1")).await.0, 200, "said again");
    let other = follow_up("f-1").replace("how soon?", "how many?");
    let (status, reply) = rig.post("/followup", &other).await;
    assert_eq!((status, &reply["reason"]), (409, &json!("IDEMPOTENCY_CONFLICT")));
    rig.fake.run_rival_command(&key(), CommandKind::Close { reason: None }).unwrap();
    let (status, reply) = rig.post("/followup", &follow_up("f-2")).await;
    assert_eq!((status, &reply["reason"]), (409, &json!("ORDER_ENDED")));
    assert!(!is_listed("f-2"));
}

/// A refused command leaves no trace.
#[tokio::test]
async fn full_stores_refuse_commands_with_503() {
    let rig = with_proposals().await;
    rig.lists.fail_writes();
    let award = award_of("a");
    let asks = [
        (AWARD, award.as_str()),
        (PAUSE, ""),
        (CANCEL, ""),
        ("/close/SB1029436", ""),
        ("/finalize/SB1029436", ""),
        ("/resume/SB1029436", ""),
        ("/extend/SB1029436", r#"{"expires_in_ms": 7200000}"#),
        ("/undo-award/SB1029436", ""),
        ("/initiate", r#"{"order_req_id": "another"}"#),
    ];
    let follow_up = follow_up("f-1");
    for (path, body) in asks.into_iter().chain([("/followup", follow_up.as_str())]) {
        let (status, reply) = post(&rig.handle, path, body, "key").await;
        assert_eq!((status, &reply["reason"]), (503, &json!("STORAGE_UNAVAILABLE")), "{path}");
        let message = json!("Failed to update order request status");
        assert_eq!((&reply["success"], &reply["message"]), (&json!(false), &message), "{path}");
    }
    rig.lists.recover();
    assert_eq!(rig.fake.commands_received(), 0, "nothing was sent");
    assert_eq!(rig.get("/tracking/SB1029436").await["notes_count"], 0);
    let (status, reply) = send(&rig.handle, Method::GET, "/SB1029436/acts/key", "").await;
    assert_eq!((status, &reply["reason"]), (404, &json!("ACT_NOT_FOUND")));
    assert_eq!(post(&rig.handle, AWARD, &award, "key").await.0, 200, "the same key is free");
}

#[tokio::test]
async fn refusals_are_replied_once_stored() {
    let rig = with_proposals().await;
    rig.fake.set_gate(Gate::Shut);
    let undo = post(&rig.handle, "/undo-award/SB1029436", "", "key-u");
    let fill = async {
        until("it is on its way", || rig.fake.commands_received() == 1).await;
        rig.lists.fail_writes();
        rig.fake.set_gate(Gate::Open);
    };
    let (undo, ()) = tokio::join!(undo, fill);
    assert_eq!(undo.0, 202, "a restart would ask again: {}", undo.1);
    rig.lists.recover();
    let view = decided(&rig.handle, "key-u").await;
    assert_eq!(state(&view), ("refused", "AWARD_NOT_PENDING"));
}

/// The commands are refused with the reason of the opening.
#[tokio::test]
async fn refused_openings_refuse_commands() {
    let rig = rig().await;
    let opening = OrderOpening {
        incarnation: Incarnation::new("of-another-requestor").unwrap(),
        spec: OrderSpec::default(),
        choices: Vec::new(),
    };
    rig.fake.run_rival_command(&key(), CommandKind::Open(Box::new(opening))).unwrap();
    assert_eq!(rig.post("/initiate", INITIATE).await.0, 200);
    let (status, reply) = post(&rig.handle, CANCEL, "", "key-c").await;
    assert_eq!((status, &reply["reason"]), (409, &json!("ORDER_EXISTS")), "{reply}");
    assert_eq!(state(&outcome(&rig.handle, "key-c").await), ("refused", "ORDER_EXISTS"));

    // A command that a former requestor may have sent is sent again, to learn its outcome.
    rig.handle.shared.store.write_guard(&key()).await.append(&paused("key-p")).await.unwrap();
    rig.stop.cancel();
    let (again, _stop) = rig.restarted().await;
    assert_eq!(state(&decided(&again, "key-p").await), ("refused", "ORDER_NOT_FOUND"));

    // The id is free again, and the order is opened at last.
    rig.fake.forget(&key());
    until("up", || again.is_stream_active(&key())).await;
    assert_eq!(post(&again, PAUSE, "", "key-p2").await.0, 200);
}

/// Other commands beyond the limit are refused.
#[tokio::test]
async fn full_orders_can_still_be_ended() {
    let rig = with_proposals().await;
    let list = "requestor/orders/default/SB1029436";
    let mut records = Vec::new();
    for number in 0..STORED_COMMANDS_MAX {
        let id = IdempotencyKey::new(format!("buyer:n{number}")).unwrap();
        let refused = Some("AWARD_NOT_PENDING: no".to_owned());
        records.push(paused(&format!("n{number}")));
        records.push(OrderRecord::CommandSettled { id, refused, refusal: None, incarnation: None });
    }
    let records = records.iter().map(|record| serde_json::to_vec(record).unwrap().into());
    rig.lists.append(list.to_owned(), 1, records.collect()).await.unwrap();
    rig.stop.cancel();
    let (again, _stop) = rig.restarted().await;
    until("up", || again.is_stream_active(&key())).await;
    let asks = [(PAUSE, String::new()), ("/followup", follow_up("f-1"))];
    for (path, body) in asks {
        let (status, reply) = post(&again, path, &body, "").await;
        assert_eq!((status, &reply["reason"]), (429, &json!("LIMIT_REACHED")), "{path}: {reply}");
    }
    assert_eq!(post(&again, PAUSE, "", "n0").await.1["reason"], "AWARD_NOT_PENDING", "said again");
    assert_eq!(post(&again, AWARD, &award_of("a"), "").await.0, 200);
}
