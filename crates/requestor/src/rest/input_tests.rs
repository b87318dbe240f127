//! Tests of bodies as clients of all kinds write them: null for an absent field, a byte order mark
//! before the text, and fields that are misspelt.

use orderstream_core::input::check_new_order;
use orderstream_core::port::OrderStreams as _;
use orderstream_core::{OrderReqId, OrderSpec};
use serde_json::{Map, Value, json};
use utoipa::PartialSchema;

use super::body::{FollowUpBody, InitiateSchema};
use super::tests::{INITIATE, Rig, key, rig, until};

/// Returns a body in which these fields are given, and all other documented ones are null.
fn with_nulls<T: PartialSchema>(given: &Value) -> String {
    let schema = serde_json::to_value(T::schema()).unwrap();
    let names = schema["properties"].as_object().unwrap().keys();
    let mut body: Map<String, Value> = names.map(|name| (name.clone(), Value::Null)).collect();
    body.extend(given.as_object().unwrap().clone());
    Value::Object(body).to_string()
}

async fn assert_done(rig: &Rig, path: &str, body: &str) {
    let (status, reply) = rig.post(path, body).await;
    assert_eq!((status, &reply["success"]), (200, &json!(true)), "{path} {body}: {reply}");
}

async fn assert_refused(rig: &Rig, path: &str, body: &str, field: &str) {
    let (status, reply) = rig.post(path, body).await;
    assert_eq!((status, &reply["field"]), (422, &json!(field)), "{path} {body}: {reply}");
}

#[tokio::test]
async fn null_counts_as_absent_in_each_body() {
    let rig = rig().await;
    let order = json!({"order_req_id": "SB1029436"});
    assert_done(&rig, "/initiate", &with_nulls::<InitiateSchema>(&order)).await;
    until("up", || rig.handle.snapshot(&key()).unwrap().last_seq().0 == 2).await;
    assert_eq!(rig.get("/tracking/SB1029436").await["notification_type"], "Email");
    assert_refused(&rig, "/initiate", r#"{"order_req_id": null}"#, "order_req_id").await;

    let follow_up = json!({"order_req_id": "SB1029436", "message": "how soon?"});
    assert_done(&rig, "/followup", &with_nulls::<FollowUpBody>(&follow_up)).await;
    let message = json!({"type": null, "message": "how soon?", "urls": null});
    let follow_up = json!({"order_req_id": "SB1029436", "message": message});
    assert_done(&rig, "/followup", &follow_up.to_string()).await;
    let silent = r#"{"order_req_id": "SB1029436", "message": null}"#;
    assert_refused(&rig, "/followup", silent, "message").await;

    rig.fake.propose(&key(), "P-1");
    let award =
        json!({"proposal_id": "P-1", "lines": null, "reason": null, "undo_within_ms": null});
    assert_done(&rig, "/award/SB1029436", &award.to_string()).await;
}

#[tokio::test]
async fn null_counts_as_absent_below_the_top() {
    let rig = rig().await;
    let order = json!({
        "order_req_id": "SB1029436",
        "items": [{"sku": "A", "description": null, "quantity": "1", "unit": null, "line": null}],
        "delivery": {"latitude": null, "longitude": null, "address": null, "by": null},
        "sellers": {"max_count": null, "max_distance_km": null, "names": null, "excluded": null,
            "open_to_all": null, "late": null},
        "message": {"type": null, "message": null, "urls": null},
        "buyer": {"channels": null, "language": null},
    });
    assert_done(&rig, "/initiate", &order.to_string()).await;
    let unnamed = r#"{"order_req_id": "b", "items": [{"sku": null, "quantity": "1"}]}"#;
    assert_refused(&rig, "/initiate", unnamed, "items[0].sku").await;
}

#[tokio::test]
async fn a_byte_order_mark_is_ignored() {
    let rig = rig().await;
    assert_done(&rig, "/initiate", &format!("\u{feff}{INITIATE}")).await;
    until("up", || rig.handle.snapshot(&key()).unwrap().last_seq().0 == 2).await;
    assert_done(&rig, "/pause/SB1029436", "\u{feff}").await;
    assert_done(&rig, "/resume/SB1029436", "\u{feff}{}").await;
}

async fn assert_fix(rig: &Rig, path: &str, body: &Value, field: &str, fix: &str) {
    let (status, reply) = rig.post(path, &body.to_string()).await;
    assert_eq!((status, &reply["field"]), (422, &json!(field)), "{path} {body}: {reply}");
    assert_eq!(reply["reason"], "INVALID_FIELD", "{path} {body}: {reply}");
    assert!(reply["detail"].as_str().unwrap().contains(fix), "{path} {body}: {reply}");
}

/// A field that nothing reads would change what is bought, or who is asked, without a word.
#[tokio::test]
async fn misspelt_fields_of_commands_are_refused() {
    let rig = rig().await;
    assert_done(&rig, "/initiate", INITIATE).await;
    until("up", || rig.handle.snapshot(&key()).unwrap().last_seq().0 == 2).await;
    rig.fake.propose(&key(), "P-1");
    let before = rig.fake.events(&key()).len();
    let award = json!({"proposal_id": "P-1", "undo_within": 60_000});
    let nested = json!({"award": {"proposal_id": "P-1"}});
    for (command, body, field, fix) in [
        ("award", award, "undo_within", "write undo_within_ms"),
        ("finalize", nested, "award", "use one of proposal_id, lines"),
        ("pause", json!({"undo_within_ms": 1}), "undo_within_ms", "use one of reason, or"),
        ("resume", json!({"reason": "lunch"}), "reason", "is not a known field; remove it"),
        ("extend", json!({"expires_in": 7_200_000}), "expires_in", "write expires_in_ms"),
    ] {
        assert_fix(&rig, &format!("/{command}/SB1029436"), &body, field, fix).await;
    }
    let to_some = json!({"order_req_id": "SB1029436", "sellers": ["seller1"], "message": "?"});
    assert_fix(&rig, "/followup", &to_some, "sellers", "follow_up_id, audience").await;
    let textual = json!({"order_req_id": "SB1029436", "message": {"text": "?"}});
    assert_fix(&rig, "/followup", &textual, "message.text", "type, message, urls").await;
    assert_eq!(rig.fake.events(&key()).len(), before, "nothing was done");
}

#[tokio::test]
async fn misspelt_fields_of_orders_are_refused() {
    let rig = rig().await;
    let channel = json!({"kind": "Email", "address": "a@b.example"});
    for (mut body, field, fix) in [
        (json!({"sealled": true}), "sealled", "write sealed"),
        (json!({"items": [{"line_no": "1"}]}), "items[0].line_no", "write line"),
        (json!({"delivery": {"adress": "Munich"}}), "delivery.adress", "write address"),
        (json!({"sellers": {"open_for_all": true}}), "sellers.open_for_all", "write open_to_all"),
        (json!({"message": {"link": "x"}}), "message.link", "type, message, urls"),
        (json!({"buyer": {"mail": "a@b.example"}}), "buyer.mail", "channels, language"),
        (json!({"buyer": {"channels": [channel]}}), "buyer.channels[0].kind", "type, address"),
        (json!({"title": 123}), "title", "is a number; give a text; put it in quotes"),
    ] {
        body["order_req_id"] = json!("SB1029436");
        assert_fix(&rig, "/initiate", &body, field, fix).await;
    }
    assert!(rig.handle.snapshot(&key()).is_none(), "nothing is stored");
}

/// The processor would refuse them at their opening, when their buyer has had its answer.
#[tokio::test]
async fn orders_that_cannot_be_opened_are_refused() {
    let rig = rig().await;
    for (field, order) in [
        ("order_req_id", json!({"order_req_id": "status"})),
        ("order_req_id", json!({"order_req_id": ".."})),
        ("currency", json!({"currency": "EUX"})),
        ("time_zone", json!({"time_zone": "Europe/Belrin"})),
        ("delivery.by", json!({"delivery": {"by": "soon"}})),
        (
            "items[0].line",
            json!({"items": [{"sku": "A", "quantity": "1"}, {"sku": "A", "quantity": "2"}]}),
        ),
    ] {
        let mut body = json!({"order_req_id": "SB1029436"});
        body.as_object_mut().unwrap().extend(order.as_object().unwrap().clone());
        assert_refused(&rig, "/initiate", &body.to_string(), field).await;
        assert!(rig.handle.snapshot(&key()).is_none(), "{field}: nothing is stored");
    }
    let by = json!({"order_req_id": "SB1029436", "currency": "eur", "time_zone": "Europe/Berlin",
        "delivery": {"by": "2030-12-01"}});
    assert_done(&rig, "/initiate", &by.to_string()).await;
    until("up", || rig.handle.snapshot(&key()).unwrap().last_seq().0 == 2).await;
}

/// No new order has the id that stands in a route where others have theirs.
#[test]
fn words_of_routes_are_no_ids() {
    let document = serde_json::to_value(super::document::document()).unwrap();
    let paths = document["paths"].as_object().unwrap().keys();
    let paths: Vec<Vec<&str>> = paths.map(|path| path.split('/').collect()).collect();
    let mut words = Vec::new();
    for path in &paths {
        for other in paths.iter().filter(|other| other.len() == path.len()) {
            let differing: Vec<_> = path.iter().zip(other).filter(|(a, b)| a != b).collect();
            if let [(part, word)] = differing.as_slice()
                && part.starts_with('{')
                && !word.starts_with('{')
            {
                words.push(**word);
            }
        }
    }
    assert!(words.contains(&"status"), "{words:?}");
    for word in words {
        let id = OrderReqId::new(word).unwrap();
        assert!(check_new_order(&id, &OrderSpec::default()).is_err(), "{word}");
    }
}
