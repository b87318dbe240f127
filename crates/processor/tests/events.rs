//! An order's events as server-sent events.

use orderstream_rpc::v1;
use serde_json::json;

use crate::http::{SseStream, get, post, send, status};
use crate::rig::Rig;
use crate::wire::{Wire, order, tracker};

async fn close(wire: &Wire, id: &str) {
    let close = v1::CloseRequest { order: Some(order(id)), ..v1::CloseRequest::default() };
    wire.control.clone().close(close).await.unwrap();
}

/// The stream ends with the order.
#[tokio::test]
async fn event_ids_are_sequence_numbers() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    drop(wire.track("a").await);
    let mut events = SseStream::open(rig.rest(), "/orders/a/events", &[]).await;
    wire.propose("a", "p").await;
    close(&wire, "a").await;
    let kinds = ["OrderOpened", "SellersSelected", "NewProposal", "OrderClosed"];
    for (seq, kind) in (1..).zip(kinds) {
        let event = events.next().await.unwrap();
        assert_eq!((event.id, event.event.as_str()), (seq.to_string(), kind));
        assert_eq!(event.data["seq"], seq);
        assert_eq!(event.data["status"], kind);
        if kind == "NewProposal" {
            assert_eq!(event.data["proposal_id"], "p");
        }
    }
    assert!(events.next().await.is_none());
}

/// At status 204 an `EventSource` does not reconnect.
#[tokio::test]
async fn finished_readers_get_no_content() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    drop(wire.track("a").await);
    close(&wire, "a").await;
    let mut before_the_end = SseStream::open(rig.rest(), "/orders/a/events?after=2", &[]).await;
    assert_eq!(before_the_end.next().await.unwrap().event, "OrderClosed");
    assert!(before_the_end.next().await.is_none());
    for path in ["/orders/a/events", "/api/v1/orders/a/events"] {
        let head = status(rig.rest(), path, "last-event-id: 3").await;
        assert!(head.contains(" 204 "), "{head}");
        let by_query = format!("{path}?lastEventId=3");
        let head = status(rig.rest(), &by_query, "accept: text/event-stream").await;
        assert!(head.contains(" 204 "), "{head}");
    }
}

/// `after` and `lastEventId` do the same; live events follow.
#[tokio::test]
async fn last_event_id_resumes_from_disk() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    drop(wire.track("a").await);
    wire.propose_many("a", 400).await;
    for path in ["/orders/a/events", "/api/v1/orders/a/events"] {
        for after in [0, 1, 57, 401, 402] {
            let resume = format!("last-event-id: {after}");
            let mut by_header = SseStream::open(rig.rest(), path, &[&resume]).await;
            let by_query = format!("{path}?after={after}");
            let mut by_query = SseStream::open(rig.rest(), &by_query, &[]).await;
            // A library appends its parameter to the URL that it was given.
            let appended = format!("{path}?after=0&lastEventId={after}");
            let mut appended = SseStream::open(rig.rest(), &appended, &[]).await;
            for seq in after + 1..=402 {
                assert_eq!(by_header.next().await.unwrap().id, seq.to_string());
                assert_eq!(by_query.next().await.unwrap().id, seq.to_string());
                assert_eq!(appended.next().await.unwrap().id, seq.to_string());
            }
        }
    }
    let at_the_end = ["last-event-id: 402"];
    let mut events = SseStream::open(rig.rest(), "/orders/a/events", &at_the_end).await;
    wire.propose("a", "live").await;
    let event = events.next().await.unwrap();
    assert_eq!((event.id.as_str(), &event.data["proposal_id"]), ("403", &json!("live")));
}

/// An `EventSource` does not come back after a refusal, so an empty id must not be one.
#[tokio::test]
async fn empty_event_ids_begin_at_the_start() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    drop(wire.track("a").await);
    for (path, header) in [
        ("/orders/a/events", "last-event-id:"),
        ("/orders/a/events?lastEventId=", "accept: text/event-stream"),
    ] {
        let mut events = SseStream::open(rig.rest(), path, &[header]).await;
        assert_eq!(events.next().await.unwrap().id, "1", "{path}");
    }
}

/// nginx would hold the events back until a buffer is full.
#[tokio::test]
async fn event_streams_forbid_buffering() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    drop(wire.track("a").await);
    let events = SseStream::open(rig.rest(), "/orders/a/events", &[]).await;
    assert!(events.head.contains("\nx-accel-buffering: no\n"), "{}", events.head);
    assert!(events.head.contains("\ncontent-type: text/event-stream\n"), "{}", events.head);
}

#[tokio::test]
async fn wrong_last_event_ids_are_refused() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    drop(wire.track("a").await);
    for wrong in ["x", "-1", "1.5", "18446744073709551616"] {
        let header = format!("last-event-id: {wrong}");
        let response = send(rig.rest(), "GET /orders/a/events", &[&header], "").await;
        assert_eq!(
            (response.status, response.reason().as_str()),
            (422, "INVALID_FIELD"),
            "{wrong}"
        );
        assert_eq!(response.json()["field"], "last-event-id");
    }
    let ahead = send(rig.rest(), "GET /orders/a/events", &["last-event-id: 3"], "").await;
    assert_eq!((ahead.status, ahead.reason().as_str()), (416, "AHEAD_OF_LIST"));
    assert_eq!(ahead.json()["metadata"]["last_seq"], "2");
}

/// They are counted as observers.
#[tokio::test]
async fn event_readers_supersede_no_tracker() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    let mut tracked = wire.track("a").await;
    let mut events = SseStream::open(rig.rest(), "/orders/a/events", &[]).await;
    assert_eq!(events.next().await.unwrap().id, "1");
    let body = json!({ "order_req_id": "a", "seller": "seller1", "price": 1, "currency": "EUR" });
    assert_eq!(post(rig.rest(), "/api/v1/proposals", &body).await.status, 201);
    assert_eq!(tracked.through(3).await.len(), 3);
    let view = get(rig.rest(), "/api/v1/orders/a").await.json();
    assert_eq!(view["stream_active"], true);
    assert_eq!(rig.metric("orderstream_processor_streams", &["tracker"]), 1.0);
    assert_eq!(rig.metric("orderstream_processor_streams", &["observer"]), 1.0);
}

/// The order says what its first event said: all that is wanted, and nothing of the buyer's own.
#[tokio::test]
async fn sellers_read_the_whole_request() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    let delivery = v1::Delivery {
        latitude: Some(48.137_154),
        longitude: Some(11.576_124),
        address: "Marienplatz 1, Munich".to_owned(),
        by: "2030-02-01".to_owned(),
    };
    let message = v1::Message {
        message: "Both lines, please.".to_owned(),
        urls: vec!["https://example.com/terms.pdf".to_owned()],
        ..v1::Message::default()
    };
    let spec = v1::OrderSpec {
        title: "Chairs".to_owned(),
        category: "furniture".to_owned(),
        delivery: Some(delivery),
        message: Some(message),
        currency: "EUR".to_owned(),
        time_zone: "Europe/Berlin".to_owned(),
        session: "sess_123".to_owned(),
        decide_within_ms: Some(86_400_000),
        ..v1::OrderSpec::default()
    };
    let request = v1::OrderStreamRequest { order: Some(spec), ..tracker("a") };
    drop(wire.follow(request).await.unwrap());
    let order = get(rig.rest(), "/api/v1/orders/a").await.json();
    let mut events = SseStream::open(rig.rest(), "/orders/a/events", &[]).await;
    let opened = events.next().await.unwrap().data["content"].clone();
    for (field, value) in [
        ("order_req_id", json!("a")),
        ("title", json!("Chairs")),
        ("items", json!([])),
        ("category", json!("furniture")),
        (
            "delivery",
            json!({"latitude": 48.137_154, "longitude": 11.576_124,
                "address": "Marienplatz 1, Munich", "by": "2030-02-01"}),
        ),
        (
            "message",
            json!({"type": "text", "message": "Both lines, please.",
                "urls": ["https://example.com/terms.pdf"]}),
        ),
        ("currency", json!("EUR")),
        ("time_zone", json!("Europe/Berlin")),
        ("decide_within_ms", json!(86_400_000)),
        ("sealed", json!(false)),
        ("open_to_all", json!(false)),
        ("session", json!(null)),
    ] {
        assert_eq!(order[field], value, "{field} of the order");
        assert_eq!(opened[field], value, "{field} of its opening");
    }
    assert_eq!(opened["expires_at"], order["expires_at"]);
}
