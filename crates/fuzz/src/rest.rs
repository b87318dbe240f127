//! The REST API of sellers and of buyers: no request may cause a server fault, and every refusal
//! has a reason.

use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tower::ServiceExt as _;

use crate::processor;

mod buyer;

/// The size of the longest response that is read, bytes.
const REPLY_BYTES_MAX: usize = 4 << 20;
/// The longest wait for a response; nothing in memory takes this long.
const REPLY_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest wait for the next event of a stream that may have none.
const NEXT_EVENT: Duration = Duration::from_millis(2);

/// Sends an arbitrary request to the sellers' REST API.
pub(crate) fn sellers_rest(data: &[u8]) {
    let Some(request) = request(data) else { return };
    processor::call(|orders, _| {
        check_reply(orderstream_processor::rest::router(orders.clone()), request)
    });
}

/// Sends an arbitrary request to the buyers' REST API.
pub(crate) fn buyers_rest(data: &[u8]) {
    let Some(request) = request(data) else { return };
    let router = orderstream_requestor::rest::router(Arc::new(buyer::AcceptingBuyer));
    processor::call(|_, _| check_reply(router, request));
}

/// Sends an arbitrary query and `Last-Event-ID` to pages and streams: the first byte selects the
/// path, the first line is the query, and the rest is the header.
pub(crate) fn parameters(data: &[u8]) {
    const PATHS: [&str; 8] = [
        "/api/v1/orders",
        "/api/v1/orders/SB1",
        "/api/v1/orders/SB1/proposals",
        "/api/v1/orders/SB1/comparison",
        "/api/v1/orders/SB1/conversation",
        "/api/v1/orders/SB1/events",
        "/api/v1/orders/SB2/events",
        "/api/v1/dead-letters",
    ];
    let Some((path, rest)) = data.split_first() else { return };
    let path = PATHS[usize::from(*path) % PATHS.len()];
    let mut parts = rest.splitn(2, |byte| *byte == b'\n');
    let query = String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
    let Ok(uri) = Uri::from_str(&format!("{path}?{query}")) else { return };
    let mut request = Request::builder().uri(uri);
    if let Some(Ok(last)) = parts.next().map(HeaderValue::from_bytes) {
        request = request.header("last-event-id", last);
    }
    let Ok(request) = request.body(Body::empty()) else { return };
    processor::call(|orders, _| {
        check_reply(orderstream_processor::rest::router(orders.clone()), request)
    });
}

/// Parses `METHOD path`, headers, an empty line and a body; `None` if it is not valid HTTP.
fn request(data: &[u8]) -> Option<Request<Body>> {
    let head_end = data.windows(2).position(|pair| pair == b"\n\n").unwrap_or(data.len());
    let (head, body) = data.split_at(head_end);
    let body = body.get(2..).unwrap_or_default();
    let mut lines = head.split(|byte| *byte == b'\n');
    let (method, uri) = std::str::from_utf8(lines.next()?).ok()?.split_once(' ')?;
    let uri = Uri::from_str(uri).ok().filter(|uri| uri.path().starts_with('/'))?;
    let mut request = Request::builder().method(Method::from_str(method).ok()?).uri(uri);
    for line in lines {
        let at = line.iter().position(|byte| *byte == b':')?;
        let name = HeaderName::from_bytes(line.get(..at)?).ok()?;
        let value = line.get(at.saturating_add(1)..)?.trim_ascii();
        request = request.header(name, HeaderValue::from_bytes(value).ok()?);
    }
    request.body(Body::from(Bytes::copy_from_slice(body))).ok()
}

async fn check_reply(router: Router, request: Request<Body>) {
    let request_line = format!("{} {}", request.method(), request.uri());
    let is_head = request.method() == Method::HEAD;
    let reply = tokio::time::timeout(REPLY_TIMEOUT, router.oneshot(request)).await;
    let reply = reply.unwrap_or_else(|_| panic!("{request_line}: no answer")).expect("infallible");
    let status = reply.status();
    assert_ne!(status, StatusCode::INTERNAL_SERVER_ERROR, "{request_line}");
    if kind(&reply).starts_with("text/event-stream") {
        return events(&request_line, reply).await;
    }
    let kind = kind(&reply).to_owned();
    let body = tokio::time::timeout(
        REPLY_TIMEOUT,
        axum::body::to_bytes(reply.into_body(), REPLY_BYTES_MAX),
    );
    let body = body.await.unwrap_or_else(|_| panic!("{request_line}: the answer does not end"));
    let body = body.unwrap_or_else(|error| panic!("{request_line}: {error}"));
    if (status.is_client_error() || status.is_server_error()) && !is_head {
        assert_eq!(kind, "application/problem+json", "{request_line}: {status}");
        let problem: Value = serde_json::from_slice(&body).expect("a problem is JSON");
        let has_text = |field: &str| problem[field].as_str().is_some_and(|text| !text.is_empty());
        assert!(has_text("reason") && has_text("detail"), "{request_line}: {problem}");
    }
}

fn kind(reply: &Response<Body>) -> &str {
    let kind = reply.headers().get(http::header::CONTENT_TYPE);
    kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default()
}

/// Reads the events that a stream has at the moment, and checks that each number follows the one
/// before.
async fn events(request_line: &str, reply: Response<Body>) {
    let mut body = reply.into_body();
    let mut text = Vec::new();
    while let Ok(Some(frame)) = tokio::time::timeout(NEXT_EVENT, body.frame()).await {
        let frame = frame.unwrap_or_else(|error| panic!("{request_line}: {error}"));
        text.extend_from_slice(frame.data_ref().map(AsRef::as_ref).unwrap_or_default());
    }
    let text = String::from_utf8(text).expect("events are text");
    let ids = text.lines().filter_map(|line| line.strip_prefix("id:"));
    let ids: Vec<u64> = ids.map(|id| id.trim().parse().expect("an id is a number")).collect();
    assert!(ids.windows(2).all(|pair| pair[1] == pair[0] + 1), "{request_line}: {ids:?}");
}
