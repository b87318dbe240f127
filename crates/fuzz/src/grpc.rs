//! The processor's gRPC: arbitrary bytes as the messages of any method, including sellers'
//! sessions.

use std::time::Duration;

use axum::body::{Body, Bytes};
use http::{HeaderMap, Request};
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

use crate::processor;

/// The methods that accept untrusted messages.
const METHODS: [&str; 14] = [
    "OrderStreamingService/ProcessOrderStream",
    "OrderStreamingService/SellerSession",
    "OrderNonStreamingService/ProcessFollowUp",
    "OrderNonStreamingService/SubmitProposals",
    "OrderControlService/Pause",
    "OrderControlService/Resume",
    "OrderControlService/Extend",
    "OrderControlService/Award",
    "OrderControlService/UndoAward",
    "OrderControlService/Close",
    "OrderControlService/Cancel",
    "OrderControlService/GetOrder",
    "OrderControlService/ListOrders",
    "OrderControlService/LocateOrder",
];
/// The streams that do not end by themselves, which are dropped after a moment.
const ENDLESS: [&str; 2] = [METHODS[0], METHODS[1]];
/// The longest wait for a reply; nothing in memory takes this long.
const REPLY_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest wait for the next message of an endless stream.
const NEXT_MESSAGE: Duration = Duration::from_millis(2);
/// The status codes of a server fault: `UNKNOWN`, `INTERNAL`, `DATA_LOSS`.
const SERVER_FAULTS: [&str; 3] = ["2", "13", "15"];

/// Calls the method that the first byte selects; the rest is its messages, each prefixed by its
/// length in two bytes.
pub(crate) fn any_method(data: &[u8]) {
    let Some((method, data)) = data.split_first() else { return };
    let method = METHODS[usize::from(*method) % METHODS.len()];
    let request = Request::post(format!("/orderstream.v1.{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(tonic::body::Body::new(Body::from(framed(data))))
        .expect("a request");
    processor::call(|_, grpc| {
        let grpc = grpc.clone();
        async move {
            let reply = tokio::time::timeout(REPLY_TIMEOUT, grpc.oneshot(request)).await;
            let reply = reply.unwrap_or_else(|_| panic!("{method}: no answer"));
            let (head, mut body) = reply.expect("infallible").into_parts();
            assert_no_server_fault(method, &head.headers);
            let wait = if ENDLESS.contains(&method) { NEXT_MESSAGE } else { REPLY_TIMEOUT };
            loop {
                match tokio::time::timeout(wait, body.frame()).await {
                    Ok(Some(frame)) => {
                        let frame = frame.unwrap_or_else(|error| panic!("{method}: {error}"));
                        if let Some(trailers) = frame.trailers_ref() {
                            return assert_no_server_fault(method, trailers);
                        }
                    }
                    Ok(None) => return,
                    Err(_) if ENDLESS.contains(&method) => return,
                    Err(_) => panic!("{method}: the answer does not end"),
                }
            }
        }
    });
}

/// Returns the messages as gRPC frames.
fn framed(mut data: &[u8]) -> Bytes {
    let mut frames = Vec::new();
    while let Some((len, rest)) = data.split_first_chunk::<2>() {
        let len = usize::from(u16::from_be_bytes(*len)).min(rest.len());
        let (message, rest) = rest.split_at(len);
        frames.push(0);
        frames.extend_from_slice(&u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes());
        frames.extend_from_slice(message);
        data = rest;
    }
    Bytes::from(frames)
}

fn assert_no_server_fault(method: &str, headers: &HeaderMap) {
    let Some(code) = headers.get("grpc-status") else { return };
    let code = code.to_str().expect("a code is text");
    let text = headers.get("grpc-message").map(|text| text.to_str().unwrap_or("?"));
    assert!(!SERVER_FAULTS.contains(&code), "{method}: {code} {text:?}");
    assert!(code == "0" || text.is_some_and(|text| !text.is_empty()), "{method}: {code}, no text");
}
