//! Claims about the incarnations of an order's id: a command on one has no outcome on another.

use axum::http::Method;
use orderstream_core::port::{Assignment, OrderStreams as _};
use orderstream_core::{Epoch, Incarnation, OrderSpec};
use serde_json::{Value, json};

use super::tests::{Rig, ask, ask_once, key, rig, until};
use crate::fake::Gate;

const PAUSE: (Method, &str, &str) = (Method::POST, "/pause/SB1029436", "");
const FOLLOW_UP: &str =
    r#"{"order_req_id": "SB1029436", "follow_up_id": "f-1", "message": "how soon?"}"#;

fn life(name: &str) -> Incarnation {
    Incarnation::new(name).unwrap()
}

/// Follows an order of a resource, as after an apply.
async fn apply(rig: &Rig, name: &str) {
    let wanted = Assignment {
        key: key(),
        incarnation: life(name),
        spec: OrderSpec::default(),
        epoch: Epoch(1),
        processor: rig.url.clone(),
    };
    rig.handle.ensure(wanted).unwrap();
    until("up", || rig.handle.snapshot(&key()).unwrap().last_seq().0 == 2).await;
}

/// Deletes the order, as when its resource is deleted.
fn delete(rig: &Rig, name: &str) {
    rig.handle.stop(&key(), &life(name));
    rig.fake.forget(&key());
}

async fn outcome(rig: &Rig, key: &str) -> (u16, Value) {
    ask(&rig.handle, Method::GET, &format!("/SB1029436/acts/{key}"), "").await
}

fn kinds(rig: &Rig) -> Vec<&'static str> {
    rig.fake.events(&key()).iter().map(|event| event.kind.as_str()).collect()
}

/// A key has one effect for each incarnation.
#[tokio::test]
async fn new_incarnations_reuse_keys() {
    let rig = rig().await;
    apply(&rig, "uid-1").await;
    assert_eq!(ask_once(&rig.handle, PAUSE, "k").await.0, 200);
    assert_eq!(rig.post("/followup", FOLLOW_UP).await.0, 200);
    delete(&rig, "uid-1");
    assert_eq!(ask_once(&rig.handle, PAUSE, "k").await.0, 200, "what came of it is known still");

    apply(&rig, "uid-2").await;
    for key in ["k", "f-1"] {
        let (status, answer) = outcome(&rig, key).await;
        assert_eq!((status, &answer["reason"]), (404, &json!("ACT_NOT_FOUND")), "{key}");
    }
    assert_eq!(ask_once(&rig.handle, PAUSE, "k").await.0, 200);
    assert_eq!(rig.post("/followup", FOLLOW_UP).await.0, 200);
    assert_eq!(kinds(&rig)[2..], ["OrderPaused", "FollowUpAdded"]);
    for key in ["k", "f-1"] {
        assert_eq!(outcome(&rig, key).await.1["state"], "done", "{key}");
    }
    assert_eq!(ask_once(&rig.handle, PAUSE, "k").await.0, 200, "again");
    assert_eq!(kinds(&rig).len(), 4, "once");
    // A key of another incarnation may be used for any command.
    let (status, answer) =
        ask_once(&rig.handle, (Method::POST, "/resume/SB1029436", ""), "k").await;
    assert_eq!((status, &answer["reason"]), (409, &json!("IDEMPOTENCY_CONFLICT")));
}

#[tokio::test]
async fn late_outcomes_stay_with_their_incarnation() {
    let rig = rig().await;
    apply(&rig, "uid-1").await;
    rig.fake.gate(Gate::Shut);
    assert_eq!(ask_once(&rig.handle, PAUSE, "k").await.0, 202);
    delete(&rig, "uid-1");
    apply(&rig, "uid-2").await;
    let again = ask_once(&rig.handle, PAUSE, "k");
    let open = async {
        until("both wait", || rig.handle.shared.store.load(&key()).unwrap().open_acts.len() == 2)
            .await;
        rig.fake.gate(Gate::Open);
    };
    let (again, ()) = tokio::join!(again, open);
    assert_eq!(again.0, 200, "{}", again.1);
    assert_eq!(outcome(&rig, "k").await.1["state"], "done");
    assert_eq!(kinds(&rig)[2..], ["OrderPaused"]);
}
