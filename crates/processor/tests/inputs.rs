//! Bad input, over REST and gRPC alike: the same stable reason on both, the field and the limit
//! named, and nothing stored.

use orderstream_core::Reason;
use orderstream_rpc::v1;
use orderstream_rpc::v1::seller_message::Kind as Up;
use serde_json::{Value, json};
use tonic::Code;

use crate::http::{get, post, post_once, send};
use crate::rig::Rig;
use crate::sessions::Session;
use crate::wire::{Wire, order, proposal, reason, refusal, tracker};

/// A change that makes a good submission bad, the field to be named, and the text that names its
/// limit or the fix.
type Case = (fn(&mut v1::ProposalSubmission), &'static str, &'static str);

fn of(submission: &mut v1::ProposalSubmission) -> &mut v1::Proposal {
    submission.proposal.as_mut().unwrap()
}

fn line(submission: &mut v1::ProposalSubmission) -> &mut v1::ProposalLine {
    &mut of(submission).lines[0]
}

const CASES: &[Case] = &[
    (|s| of(s).price.clear(), "price", "is missing; give 0 or more"),
    (|s| of(s).price = "ten".to_owned(), "price", "'ten' is not a decimal number"),
    (|s| of(s).price = "NaN".to_owned(), "price", "'NaN' is not a decimal number"),
    (|s| of(s).price = "-10.50".to_owned(), "price", "give 0 or more"),
    (|s| of(s).price = "1000000000000.01".to_owned(), "price", "at most 1000000000000"),
    (|s| of(s).price = "9".repeat(400), "price", "too many digits; at most 28"),
    (|s| of(s).price = "1_5".to_owned(), "price", "'1_5' is not a decimal number"),
    (|s| of(s).price = "1e1".to_owned(), "price", "'1e1' is not a decimal number; write digits"),
    (|s| of(s).price = "10.5000001".to_owned(), "price", "at most 6"),
    (|s| of(s).price = "11".to_owned(), "price", "the lines add up to 10.50"),
    (|s| of(s).currency.clear(), "currency", "ISO 4217"),
    (|s| of(s).currency = "EURO".to_owned(), "currency", "'EURO' is not an ISO 4217 code"),
    (|s| of(s).currency = "E1R".to_owned(), "currency", "ISO 4217"),
    (|s| of(s).currency = "EUX".to_owned(), "currency", "EUX is not a currency of ISO 4217"),
    (|s| of(s).currency = "XXX".to_owned(), "currency", "XXX is not a currency of ISO 4217"),
    (|s| of(s).currency = "JPY".to_owned(), "price", "is 10.50, and JPY has no decimal places"),
    (in_fractions, "price", "is 10.505, and EUR has 2 decimal places; round it"),
    (|s| of(s).seller.clear(), "seller", "give 1 to 128 characters"),
    (|s| of(s).seller = "s".repeat(129), "seller", "at most 128"),
    (|s| of(s).seller = "two words".to_owned(), "seller", "letters, digits and - _ . : only"),
    (|s| of(s).proposal_id = "p".repeat(129), "proposal_id", "at most 128"),
    (|s| of(s).proposal_id = "p\n".to_owned(), "proposal_id", "letters, digits and - _ . : only"),
    (|s| of(s).note = "n".repeat(4_097), "note", "at most 4096"),
    (|s| of(s).note = "bell\u{7}".to_owned(), "note", "control character; remove it"),
    (|s| of(s).delivery_date = "d".repeat(257), "delivery_date", "at most 256"),
    (|s| of(s).delivery_date = "soon".to_owned(), "delivery_date", "'soon' is not a date; write"),
    (|s| of(s).delivery_date = "2036-12-01 12:00:00Z".to_owned(), "delivery_date", "12:00:00Z"),
    (|s| of(s).delivery_date = "2025-12-31".to_owned(), "delivery_date", "is past; give today"),
    (|s| of(s).valid_until = "v".repeat(257), "valid_until", "at most 256"),
    (|s| of(s).valid_until = "2025-12-31T23:59:59Z".to_owned(), "valid_until", "is past; give"),
    (|s| of(s).alternative = "l".repeat(65), "alternative", "at most 64"),
    (|s| of(s).alternative = "two\nlines".to_owned(), "alternative", "give one line of 1 to 64"),
    (|s| of(s).alternative = " ".to_owned(), "alternative", "give one line of 1 to 64"),
    (|s| of(s).lines = vec![line(s).clone(); 101], "lines", "at most 100"),
    (|s| line(s).sku.clear(), "lines[0].sku", "give 1 to 256 characters"),
    (|s| line(s).sku = "s".repeat(257), "lines[0].sku", "at most 256"),
    (|s| line(s).unit = "u".repeat(257), "lines[0].unit", "at most 256"),
    (|s| line(s).quantity = "0".to_owned(), "lines[0].quantity", "above 0"),
    (|s| line(s).quantity = "-3".to_owned(), "lines[0].quantity", "give a number above 0"),
    (|s| line(s).quantity = "1000000001".to_owned(), "lines[0].quantity", "at most 1000000000"),
    (|s| line(s).quantity = "many".to_owned(), "lines[0].quantity", "not a decimal number"),
    (|s| line(s).quantity = "+2".to_owned(), "lines[0].quantity", "'+2' is not a decimal number"),
    (|s| line(s).price = ".5".to_owned(), "lines[0].price", "'.5' is not a decimal number"),
    (|s| line(s).price = "-10.50".to_owned(), "lines[0].price", "give 0 or more"),
    (|s| s.order_req_id.clear(), "order_req_id", "give 1 to 128 characters"),
    (|s| s.order_req_id = "o".repeat(129), "order_req_id", "at most 128"),
    (|s| s.order_req_id = "a/b".to_owned(), "order_req_id", "letters, digits and - _ . : only"),
    (|s| s.tenant = "t".repeat(64), "tenant", "at most 63"),
    (|s| s.idempotency_key = "k".repeat(129), "idempotency_key", "at most 128"),
];

fn in_fractions(submission: &mut v1::ProposalSubmission) {
    of(submission).price = "10.505".to_owned();
    line(submission).price = "10.505".to_owned();
}

fn good() -> v1::ProposalSubmission {
    let line = v1::ProposalLine {
        sku: "beam".to_owned(),
        quantity: "2".to_owned(),
        unit: "m".to_owned(),
        price: "10.50".to_owned(),
        ..v1::ProposalLine::default()
    };
    let proposal = v1::Proposal { lines: vec![line], ..proposal("p") };
    v1::ProposalSubmission {
        order_req_id: "a".to_owned(),
        proposal: Some(proposal),
        ..v1::ProposalSubmission::default()
    }
}

/// Converts a submission to a REST body.
fn body(submission: &v1::ProposalSubmission) -> Value {
    let proposal = submission.proposal.as_ref().unwrap();
    let line = |line: &v1::ProposalLine| {
        json!({
            "sku": line.sku, "quantity": line.quantity, "unit": line.unit, "price": line.price,
            "line": line.line, "substitutes": line.substitutes,
        })
    };
    json!({
        "order_req_id": submission.order_req_id,
        "tenant": submission.tenant,
        "proposal_id": proposal.proposal_id,
        "seller": proposal.seller,
        "price": proposal.price,
        "currency": proposal.currency,
        "lines": proposal.lines.iter().map(line).collect::<Vec<_>>(),
        "note": proposal.note,
        "delivery_date": proposal.delivery_date,
        "valid_until": proposal.valid_until,
        "your_reference": proposal.your_reference,
        "alternative": proposal.alternative,
    })
}

async fn submit_over_rest(
    rig: &Rig,
    submission: &v1::ProposalSubmission,
) -> crate::http::HttpResponse {
    let (body, key) = (body(submission), &submission.idempotency_key);
    if key.is_empty() {
        return post(rig.rest(), "/api/v1/proposals", &body).await;
    }
    post_once(rig.rest(), "/api/v1/proposals", key, &body).await
}

/// REST and gRPC refuse them alike.
#[tokio::test]
async fn wrong_fields_are_named_with_limits() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    drop(wire.track("a").await);
    for (number, (spoil, field, limit)) in CASES.iter().enumerate() {
        let mut bad = good();
        spoil(&mut bad);
        let response = submit_over_rest(&rig, &bad).await;
        assert_eq!(response.status, 422, "case {number}, {field}: {response:?}");
        assert_eq!(response.reason(), "INVALID_FIELD", "case {number}, {field}");
        let problem = response.json();
        assert_eq!(problem["field"], *field, "case {number}: {problem}");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(limit), "case {number}, {field}: {detail}");
        let summary = wire.submit(vec![bad]).await.unwrap();
        let result = &summary.results[0];
        assert_eq!(result.reason, "INVALID_FIELD", "case {number}, {field}");
        let named = result.message.contains(field) && result.message.contains(limit);
        assert!(named, "case {number}, {field}: {}", result.message);
    }
    assert_eq!(wire.last_seq("a").await, 2, "nothing was stored");
    assert_eq!(submit_over_rest(&rig, &good()).await.status, 201, "what was spoilt is good");
    assert_eq!(wire.submit(vec![good()]).await.unwrap().accepted, 1);
    assert_eq!(wire.last_seq("a").await, 3);
}

/// Makes a proposal whose prices and quantity are this JSON, as it is. The prices are ounces of
/// gold, which has no smallest unit.
async fn propose_written(rig: &Rig, id: &str, price: &str) -> crate::http::HttpResponse {
    let body = format!(
        r#"{{"order_req_id": "a", "proposal_id": "{id}", "seller": "seller1", "alternative": "{id}",
            "currency": "XAU", "price": {price}, "lines": [{{"sku": "beam", "quantity": {price}, "price": {price}}}]}}"#
    );
    send(rig.rest(), "POST /api/v1/proposals", &[], &body).await
}

#[tokio::test]
async fn json_numbers_are_stored_as_written() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    drop(wire.track("a").await);
    let digits = [
        "9.50",
        "\"9.50\"",
        "12",
        "0.000001",
        "0.1",
        "123456789.123456",
        "999999999.000001",
        "7.1000000000",
    ];
    for (row, written) in digits.into_iter().enumerate() {
        let id = format!("p{row}");
        let response = propose_written(&rig, &id, written).await;
        assert_eq!(response.status, 201, "{written}: {response:?}");
        let read = get(rig.rest(), &format!("/api/v1/proposals/{id}?order_req_id=a")).await.json();
        let stored = written.trim_matches('"');
        for decimal in [&read["price"], &read["lines"][0]["price"], &read["lines"][0]["quantity"]] {
            assert_eq!(decimal, stored, "{read}");
        }
    }
    for written in [
        "1e-6",
        "1E3",
        "1.5e2",
        "-1",
        "0.1234567",
        "\"1_5\"",
        "\"+5\"",
        "\".5\"",
        "\"5.\"",
        "true",
        "[]",
        "{}",
    ] {
        let response = propose_written(&rig, "refused", written).await;
        assert_eq!((response.status, response.reason().as_str()), (422, "INVALID_FIELD"));
        assert_eq!(response.json()["field"], "price", "{written}: {response:?}");
    }
    let response = propose_written(&rig, "refused", "1e-6").await;
    assert!(response.text.contains("'1e-6' is not a decimal number; write digits"), "{response:?}");
}

/// Unknown and ended orders, unknown proposals, and a lease that is too long.
#[tokio::test]
async fn rest_and_grpc_refuse_alike() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    drop(wire.track("a").await);
    drop(wire.track("closed").await);
    let close = v1::CloseRequest { order: Some(order("closed")), ..v1::CloseRequest::default() };
    wire.control.clone().close(close).await.unwrap();
    let mut session = Session::open(&wire, "seller1", &[]).await;
    for (order_req_id, reason) in
        [("nobody", Reason::OrderNotFound), ("closed", Reason::OrderEnded)]
    {
        let submission = v1::ProposalSubmission { order_req_id: order_req_id.to_owned(), ..good() };
        let response = submit_over_rest(&rig, &submission).await;
        assert_eq!(
            (response.status, response.reason()),
            (reason.http_status(), reason.as_str().to_owned())
        );
        let result = session.ask(order_req_id, Up::Proposal(submission)).await;
        assert_eq!(result.reason, reason.as_str());
    }
    for (name, path, kind, body) in [
        ("w", "withdraw", withdraw("p9"), json!({ "order_req_id": "a" })),
        ("l", "edit-lock", lock("p9", 1), json!({ "order_req_id": "a", "holder": "seller1" })),
    ] {
        let response = post(rig.rest(), &format!("/api/v1/proposals/p9/{path}"), &body).await;
        assert_eq!((response.status, response.reason().as_str()), (404, "PROPOSAL_NOT_FOUND"));
        assert_eq!(session.ask(name, kind).await.reason, "PROPOSAL_NOT_FOUND");
    }
    let lease = json!({ "order_req_id": "a", "holder": "seller1", "lease_ms": 3_600_001 });
    let response = post(rig.rest(), "/api/v1/proposals/p/edit-lock", &lease).await;
    let result = session.ask("lease", lock("p", 3_600_001)).await;
    assert_eq!((response.status, result.reason.as_str()), (422, "INVALID_FIELD"));
    assert_eq!(response.json()["field"], "lease_ms");
    assert!(result.message.contains("lease_ms") && result.message.contains("3600000"));
    assert_eq!((wire.last_seq("a").await, wire.last_seq("closed").await), (2, 3));
}

fn withdraw(proposal_id: &str) -> Up {
    let (order, proposal_id) = (Some(order("a")), proposal_id.to_owned());
    Up::Withdraw(v1::Withdraw { order, proposal_id, ..v1::Withdraw::default() })
}

fn lock(proposal_id: &str, lease_ms: u64) -> Up {
    let (order, proposal_id) = (Some(order("a")), proposal_id.to_owned());
    Up::Lock(v1::LockRequest { order, proposal_id, lease_ms, version: 0 })
}

#[tokio::test]
async fn unreadable_bodies_are_refused() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    drop(wire.track("a").await);
    for body in ["", "{", "null", "[]", "\"text\"", "{\"price\": }", "{} {}", "\u{0}"] {
        let response = send(rig.rest(), "POST /api/v1/proposals", &[], body).await;
        assert_eq!(
            (response.status, response.reason().as_str()),
            (400, "INVALID_REQUEST"),
            "{body}"
        );
    }
    for (field, body) in [
        ("price", json!({ "order_req_id": "a", "price": true })),
        ("order_req_id", json!({ "order_req_id": 7 })),
        ("lines", json!({ "order_req_id": "a", "lines": {} })),
        ("lines[0].sku", json!({ "order_req_id": "a", "lines": [{ "sku": [] }] })),
    ] {
        let response = post(rig.rest(), "/api/v1/proposals", &body).await;
        assert_eq!((response.status, response.reason().as_str()), (422, "INVALID_FIELD"), "{body}");
        assert_eq!(response.json()["field"], field, "{body}");
    }
    let deep = format!("{{\"lines\": {}", "[".repeat(10_000));
    let response = send(rig.rest(), "POST /api/v1/proposals", &[], &deep).await;
    assert!([400, 422].contains(&response.status), "{response:?}");
    assert_eq!(wire.last_seq("a").await, 2);
}

#[tokio::test]
async fn oversized_messages_are_refused_with_limit() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    drop(wire.track("a").await);
    let mut large = good();
    of(&mut large).note = "n".repeat(64 * 1024);
    let response = submit_over_rest(&rig, &large).await;
    assert_eq!((response.status, response.reason().as_str()), (413, "LIMIT_REACHED"));
    assert!(response.text.contains("at most 65536 bytes"), "{response:?}");
    of(&mut large).note = "n".repeat(1024 * 1024);
    let status = wire.submit(vec![large]).await.err().unwrap();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    assert_eq!(reason(&status), "LIMIT_REACHED");
    assert!(status.message().contains("1048576"), "{status:?}");
    assert_eq!(wire.last_seq("a").await, 2);
    assert_eq!(wire.propose("a", "p").await, 3, "the connection goes on");
}

/// Fields and query parameters alike.
#[tokio::test]
async fn unknown_names_are_refused_by_name() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    drop(wire.track("a").await);
    let mut newer = body(&good());
    newer["carbon_footprint"] = json!("12 kg");
    let refused = post(rig.rest(), "/api/v1/proposals", &newer).await;
    assert_eq!((refused.status, refused.reason().as_str()), (422, "INVALID_FIELD"), "{refused:?}");
    assert_eq!(refused.json()["field"], "carbon_footprint");
    assert_eq!(wire.last_seq("a").await, 2, "nothing was stored");
    for path in ["/api/v1/orders/a?tenat=x", "/api/v1/orders/a/events?afer=1"] {
        let response = get(rig.rest(), path).await;
        assert!([400, 422].contains(&response.status), "{path}: {response:?}");
        let name = path.split_once('?').unwrap().1.split_once('=').unwrap().0;
        assert!(response.text.contains(name), "{path}: {response:?}");
    }
}

/// A change that makes a good opening bad, the field to be named, and its limit or the fix.
type Opening = (fn(&mut v1::OrderStreamRequest), &'static str, &'static str);

fn spec(request: &mut v1::OrderStreamRequest) -> &mut v1::OrderSpec {
    request.order.get_or_insert_default()
}

fn item(quantity: &str) -> v1::OrderItem {
    let (sku, quantity) = ("beam".to_owned(), quantity.to_owned());
    v1::OrderItem { sku, quantity, ..v1::OrderItem::default() }
}

fn delivery(latitude: f64, longitude: Option<f64>) -> Option<v1::Delivery> {
    Some(v1::Delivery { latitude: Some(latitude), longitude, ..v1::Delivery::default() })
}

fn by(text: &str) -> Option<v1::Delivery> {
    Some(v1::Delivery { by: text.to_owned(), ..v1::Delivery::default() })
}

const OPENINGS: &[Opening] = &[
    (|r| r.order_req_id.clear(), "order_req_id", "1 to 128"),
    (|r| r.order_req_id = "a b".to_owned(), "order_req_id", "letters, digits"),
    (|r| r.tenant = "t".repeat(64), "tenant", "at most 63"),
    (|r| r.incarnation = "i".repeat(129), "incarnation", "at most 128"),
    (
        |r| r.notification_type = "pigeon".to_owned(),
        "order.notification_type",
        "use GChat, Email, SMS or Webhook",
    ),
    (|r| r.session = "s".repeat(257), "order.session", "at most 256"),
    (|r| spec(r).title = "t".repeat(257), "order.title", "at most 256"),
    (|r| spec(r).category = "c".repeat(257), "order.category", "at most 256"),
    (|r| spec(r).items = vec![item("1"); 101], "order.items", "at most 100"),
    (|r| spec(r).items = vec![item("1"), item("-1")], "order.items[1].quantity", "above 0"),
    (|r| spec(r).items = vec![item("1e3")], "order.items[0].quantity", "decimal number"),
    (|r| spec(r).delivery = delivery(91.0, Some(0.0)), "order.delivery.latitude", "-90 to 90"),
    (|r| spec(r).delivery = delivery(0.0, Some(f64::NAN)), "order.delivery.longitude", "-180 to"),
    (|r| spec(r).delivery = delivery(0.0, None), "order.delivery.longitude", "both or neither"),
    (
        |r| spec(r).sellers = Some(v1::SellerLimits { max_count: 101, ..Default::default() }),
        "order.sellers.max_count",
        "1 to 100",
    ),
    (
        |r| {
            spec(r).sellers = Some(v1::SellerLimits { max_distance_km: -1.0, ..Default::default() })
        },
        "order.sellers.max_distance_km",
        "at most 20040 km",
    ),
    (
        |r| {
            let message = v1::Message { r#type: "fax".to_owned(), ..v1::Message::default() };
            spec(r).message = Some(message);
        },
        "order.message.type",
        "text, html or markdown",
    ),
    (|r| spec(r).expires_in_ms = 9_999, "order.expires_in_ms", "10000 (10 s) to 15552000000 (180"),
    (|r| spec(r).expires_in_ms = u64::MAX, "order.expires_in_ms", "15552000000 (180 d)"),
    (|r| spec(r).currency = "EURO".to_owned(), "order.currency", "'EURO' is not an ISO 4217 code"),
    (
        |r| spec(r).currency = "EUX".to_owned(),
        "order.currency",
        "EUX is not a currency of ISO 4217",
    ),
    (|r| spec(r).time_zone = "Europe/Belrin".to_owned(), "order.time_zone", "Europe/Berlin"),
    (|r| spec(r).delivery = by("soon"), "order.delivery.by", "'soon' is not a date; write"),
    (|r| spec(r).delivery = by("2036-12-01T12Z"), "order.delivery.by", "2036-12-01T12:00:00Z"),
];

async fn assert_not_opened(wire: &Wire, number: usize, opening: &Opening) {
    let (spoil, field, limit) = opening;
    let mut request = tracker("new");
    spoil(&mut request);
    let status = wire.follow(request).await.err().unwrap();
    assert_eq!(status.code(), Code::InvalidArgument, "case {number}: {status:?}");
    assert_eq!(reason(&status), "INVALID_FIELD", "case {number}");
    assert_eq!(refusal(&status).field.as_deref(), Some(*field), "case {number}");
    assert!(status.message().contains(limit), "case {number}, {field}: {status:?}");
}

/// The refusal names the field.
#[tokio::test]
async fn wrong_fields_prevent_opening() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    for (number, opening) in OPENINGS.iter().enumerate() {
        assert_not_opened(&wire, number, opening).await;
    }
    assert_eq!(rig.orders().count(), 0);
}
