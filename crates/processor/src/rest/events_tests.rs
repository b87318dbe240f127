//! Properties of event streams: they can be cut anywhere, and resumed with any value.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode};
use http_body_util::BodyExt as _;
use orderstream_core::{Command, CommandKind, OrderKey, Reason};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};
use serde_json::Value;
use tokio::runtime::Runtime;
use tower::ServiceExt as _;

use super::router;
use super::tests::Rig;

/// Proposals in the order under test; its opening, its choice of sellers and its end are three more
/// events.
const PROPOSALS: u64 = 5;
const LAST: u64 = PROPOSALS + 3;

fn runner() -> TestRunner {
    TestRunner::new(Config { cases: 256, failure_persistence: None, ..Config::default() })
}

/// Makes an order that has ended, so that each response is complete.
async fn ended() -> Rig {
    let rig = Rig::start().await;
    for serial in 0..PROPOSALS {
        let body = format!(
            r#"{{"order_req_id": "SB1", "proposal_id": "p{serial}", "seller": "s{serial}", "price": 1,
                "currency": "EUR", "note": "a: b\ndata: c\n\nid: 7"}}"#
        );
        let request = Request::post("/api/v1/proposals").header("content-type", "application/json");
        let response = ask(&rig, request.body(Body::from(body)).unwrap()).await;
        assert_eq!(response.0, StatusCode::CREATED);
    }
    let key = OrderKey::new("", "SB1").unwrap();
    rig.orders().execute(&key, Command::bare(CommandKind::Close { reason: None })).await.unwrap();
    rig
}

async fn ask(rig: &Rig, request: Request) -> (StatusCode, Vec<u8>) {
    let (head, body) = router(rig.orders().clone()).oneshot(request).await.unwrap().into_parts();
    (head.status, body.collect().await.unwrap().to_bytes().to_vec())
}

async fn events(rig: &Rig, last_id: Option<&HeaderValue>, query: &str) -> (StatusCode, Vec<u8>) {
    let mut request = Request::get(format!("/orders/SB1/events{query}"));
    if let Some(id) = last_id {
        request = request.header("last-event-id", id);
    }
    ask(rig, request.body(Body::empty()).unwrap()).await
}

/// Returns the ids of the complete events in these bytes, as an `EventSource` reads them.
fn dispatched(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let Some((whole, _)) = text.rsplit_once("\n\n") else { return Vec::new() };
    let id =
        |event: &str| event.lines().find_map(|line| line.strip_prefix("id: ").map(str::to_owned));
    whole.split("\n\n").filter_map(id).collect()
}

/// Streams are cut at any byte; no event is repeated either.
#[test]
fn cut_streams_resume_without_gap() {
    let runtime = Runtime::new().unwrap();
    let rig = runtime.block_on(ended());
    let cuts = prop::collection::vec(any::<Index>(), 0..8);
    let check = |cuts: Vec<Index>| {
        let mut received: Vec<String> = Vec::new();
        for cut in cuts.into_iter().map(Some).chain([None]) {
            let last_id = received.last().map(|id| HeaderValue::from_str(id).unwrap());
            let (status, bytes) = runtime.block_on(events(&rig, last_id.as_ref(), ""));
            if status == StatusCode::NO_CONTENT {
                break;
            }
            prop_assert_eq!(status, StatusCode::OK);
            let end = cut.map_or(bytes.len(), |cut| cut.index(bytes.len() + 1));
            received.extend(dispatched(&bytes[..end]));
        }
        let expected: Vec<_> = (1..=LAST).map(|seq| seq.to_string()).collect();
        prop_assert_eq!(received, expected);
        Ok(())
    };
    runner().run(&cuts, check).unwrap();
}

/// Generates values that programs send, and wrong ones.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        "[0-9]{1,25}".prop_map(String::into_bytes),
        "[ +-]?[0-9]{1,2}[ .,e]?[0-9]?".prop_map(String::into_bytes),
        (0..=LAST + 1).prop_map(|number| number.to_string().into_bytes()),
    ]
}

/// Checks that an id resumes the stream or is refused by its name. An empty one counts as none.
fn check_resumed(
    name: &str,
    id: &[u8],
    status: StatusCode,
    body: &[u8],
) -> Result<(), TestCaseError> {
    let is_number = id.iter().all(u8::is_ascii_digit);
    let number = match id {
        [] => Some(0),
        id => String::from_utf8_lossy(id).parse::<u64>().ok().filter(|_| is_number),
    };
    match number {
        Some(LAST) => prop_assert_eq!(status, StatusCode::NO_CONTENT),
        Some(after) if after < LAST => {
            let expected: Vec<_> = (after + 1..=LAST).map(|seq| seq.to_string()).collect();
            prop_assert_eq!(dispatched(body), expected);
        }
        Some(_) => {
            prop_assert_eq!(status, StatusCode::RANGE_NOT_SATISFIABLE);
            prop_assert_eq!(&problem(body)["reason"], Reason::AheadOfList.as_str());
        }
        None => {
            prop_assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
            prop_assert_eq!(&problem(body)["field"], name);
        }
    }
    Ok(())
}

/// Any bytes are sent; the refusal names the header.
#[test]
fn last_event_ids_resume_or_are_refused() {
    let runtime = Runtime::new().unwrap();
    let rig = runtime.block_on(ended());
    let check = |bytes: Vec<u8>| {
        // Other bytes cannot be sent in a header at all.
        let Ok(id) = HeaderValue::from_bytes(&bytes) else { return Ok(()) };
        let (status, body) = runtime.block_on(events(&rig, Some(&id), ""));
        check_resumed("last-event-id", &bytes, status, &body)
    };
    runner().run(&bytes(), check).unwrap();
}

/// Any bytes are sent; the refusal names the parameter.
#[test]
fn query_event_ids_resume_or_are_refused() {
    let runtime = Runtime::new().unwrap();
    let rig = runtime.block_on(ended());
    let check = |bytes: Vec<u8>| {
        let query = format!("?lastEventId={}", encoded(&bytes));
        let (status, body) = runtime.block_on(events(&rig, None, &query));
        check_resumed("lastEventId", &bytes, status, &body)
    };
    runner().run(&bytes(), check).unwrap();
}

/// The header precedes `lastEventId`, and that precedes `after`; an empty id counts as none.
#[tokio::test]
async fn newest_event_id_takes_precedence() {
    let rig = ended().await;
    for (header, query, after) in [
        (None, "?after=3&lastEventId=6", 6),
        (None, "?lastEventId=&after=3", 3),
        (None, "?lastEventId=", 0),
        (None, "?after=", 0),
        (None, "?after=&lastEventId=6", 6),
        (Some("7"), "?after=3&lastEventId=6", 7),
        (Some(""), "?after=3&lastEventId=6", 6),
        (Some(""), "?after=3", 3),
        (Some(""), "", 0),
    ] {
        let header = header.map(HeaderValue::from_static);
        let (status, body) = events(&rig, header.as_ref(), query).await;
        let expected: Vec<_> = (after + 1..=LAST).map(|seq| seq.to_string()).collect();
        assert_eq!((status, dispatched(&body)), (StatusCode::OK, expected), "{header:?} {query}");
    }
}

/// Any bytes are sent; the refusal names the parameter.
#[test]
fn after_numbers_resume_or_are_refused() {
    let runtime = Runtime::new().unwrap();
    let rig = runtime.block_on(ended());
    let check = |bytes: Vec<u8>| {
        let query = format!("?after={}", encoded(&bytes));
        let (status, body) = runtime.block_on(events(&rig, None, &query));
        match status {
            StatusCode::OK | StatusCode::NO_CONTENT => {
                // An empty number counts as none.
                let text = String::from_utf8(bytes).unwrap();
                let number = if text.is_empty() { 0 } else { text.parse::<u64>().unwrap() };
                let expected: Vec<_> = (number + 1..=LAST).map(|seq| seq.to_string()).collect();
                prop_assert_eq!(dispatched(&body), expected);
            }
            StatusCode::RANGE_NOT_SATISFIABLE => {}
            refused => {
                prop_assert!(refused.is_client_error(), "{}", refused);
                prop_assert!(problem(&body).to_string().contains("after"), "{:?}", body);
            }
        }
        Ok(())
    };
    runner().run(&bytes(), check).unwrap();
}

/// Percent-encodes every byte.
fn encoded(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("%{byte:02x}")).collect()
}

fn problem(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap()
}
