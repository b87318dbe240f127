//! Tests of the incarnations of an order's id: a command on one has no outcome on another.

use axum::http::Method;
use orderstream_core::port::{Assignment, OrderStreams as _};
use orderstream_core::{Epoch, Incarnation, OrderSpec};
use serde_json::{Value, json};

use super::tests::{Rig, key, post_with_key, rig, send, until};
use crate::fake_processor::Gate;

const PAUSE: &str = "/pause/SB1029436";
const FOLLOW_UP: &str =
    r#"{"order_req_id": "SB1029436", "follow_up_id": "f-1", "message": "how soon?"}"#;

fn incarnation(name: &str) -> Incarnation {
    Incarnation::new(name).unwrap()
}

/// Follows an order of a resource, as after an apply.
async fn apply(rig: &Rig, name: &str) {
    let assignment = Assignment {
        key: key(),
        incarnation: incarnation(name),
        spec: OrderSpec::default(),
        epoch: Epoch(1),
        processor: rig.url.clone(),
    };
    rig.handle.ensure(assignment).unwrap();
    until("up", || rig.handle.snapshot(&key()).unwrap().last_seq().0 == 2).await;
}

/// Deletes the order, as when its resource is deleted.
fn delete(rig: &Rig, name: &str) {
    rig.handle.stop(&key(), &incarnation(name));
    rig.fake.forget(&key());
}

async fn outcome(rig: &Rig, key: &str) -> (u16, Value) {
    send(&rig.handle, Method::GET, &format!("/SB1029436/acts/{key}"), "").await
}

fn kinds(rig: &Rig) -> Vec<&'static str> {
    rig.fake.events(&key()).iter().map(|event| event.kind.as_str()).collect()
}

/// A key has one effect for each incarnation.
#[tokio::test]
async fn new_incarnations_reuse_keys() {
    let rig = rig().await;
    apply(&rig, "uid-1").await;
    assert_eq!(post_with_key(&rig.handle, PAUSE, "", "k").await.0, 200);
    assert_eq!(rig.post("/followup", FOLLOW_UP).await.0, 200);
    delete(&rig, "uid-1");
    assert_eq!(
        post_with_key(&rig.handle, PAUSE, "", "k").await.0,
        200,
        "what came of it is known still"
    );

    apply(&rig, "uid-2").await;
    for key in ["k", "f-1"] {
        let (status, reply) = outcome(&rig, key).await;
        assert_eq!((status, &reply["reason"]), (404, &json!("ACT_NOT_FOUND")), "{key}");
    }
    assert_eq!(post_with_key(&rig.handle, PAUSE, "", "k").await.0, 200);
    assert_eq!(rig.post("/followup", FOLLOW_UP).await.0, 200);
    assert_eq!(kinds(&rig)[2..], ["OrderPaused", "FollowUpAdded"]);
    for key in ["k", "f-1"] {
        assert_eq!(outcome(&rig, key).await.1["state"], "done", "{key}");
    }
    assert_eq!(post_with_key(&rig.handle, PAUSE, "", "k").await.0, 200, "again");
    assert_eq!(kinds(&rig).len(), 4, "once");
    // A key of another incarnation may be used for any command.
    let (status, reply) = post_with_key(&rig.handle, "/resume/SB1029436", "", "k").await;
    assert_eq!((status, &reply["reason"]), (409, &json!("IDEMPOTENCY_CONFLICT")));
}

#[tokio::test]
async fn late_outcomes_stay_with_their_incarnation() {
    let rig = rig().await;
    apply(&rig, "uid-1").await;
    rig.fake.set_gate(Gate::Shut);
    assert_eq!(post_with_key(&rig.handle, PAUSE, "", "k").await.0, 202);
    delete(&rig, "uid-1");
    apply(&rig, "uid-2").await;
    let again = post_with_key(&rig.handle, PAUSE, "", "k");
    let open = async {
        until("both wait", || {
            rig.handle.shared.store.load(&key()).unwrap().open_commands.len() == 2
        })
        .await;
        rig.fake.set_gate(Gate::Open);
    };
    let (again, ()) = tokio::join!(again, open);
    assert_eq!(again.0, 200, "{}", again.1);
    assert_eq!(outcome(&rig, "k").await.1["state"], "done");
    assert_eq!(kinds(&rig)[2..], ["OrderPaused"]);
}
