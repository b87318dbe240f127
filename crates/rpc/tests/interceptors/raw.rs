//! Tests with the bytes that the original system's clients send, and of the faults that callers
//! receive.

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use orderstream_core::refusal::Reason;
use orderstream_rpc::status::refusal_from_status;
use orderstream_rpc::v1;
use tonic::{Code, Status};
use tower::ServiceExt as _;

use crate::drive::Rig;
use crate::stub::Case;

/// Sends one framed message through all layers of the server; returns the status at the end.
async fn send(rig: &Rig, path: &str, message: &[u8]) -> Status {
    let mut framed = vec![0];
    framed.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
    framed.extend_from_slice(message);
    send_body(rig, path, framed).await
}

async fn send_body(rig: &Rig, path: &str, body: Vec<u8>) -> Status {
    let request = Request::post(path)
        .header("content-type", "application/grpc")
        .header("x-request-id", "test-1")
        .body(tonic::body::Body::new(Full::new(Bytes::from(body)).map_err(|error| match error {})))
        .unwrap();
    let response = rig.memory.server.clone().oneshot(request).await.unwrap();
    assert_eq!(response.headers()["x-request-id"], "test-1");
    if let Some(status) = Status::from_header_map(response.headers()) {
        return status;
    }
    let collected = response.into_body().collect().await.unwrap();
    Status::from_header_map(collected.trailers().unwrap()).unwrap()
}

#[tokio::test]
async fn original_bytes_arrive_as_typed_requests() {
    let rig = Rig::new(Case::Ok);
    let path = "/orderstream.v1.OrderStreamingService/ProcessOrderStream";
    let status = send(&rig, path, b"\x0a\x09SB1029436").await;
    assert_eq!(status.code(), Code::Ok);
    let expected =
        v1::OrderStreamRequest { order_req_id: "SB1029436".to_owned(), ..Default::default() };
    assert_eq!(*rig.stub.received.lock(), [expected]);
}

#[tokio::test]
async fn malformed_messages_reach_no_handler() {
    let rig = Rig::new(Case::Ok);
    let path = "/orderstream.v1.OrderStreamingService/ProcessOrderStream";
    for bad in [&b"\x0a\x7fSB"[..], b"\xff\xff\xff\xff", b"\x08\x01", b"\x0a\x02\xff\xfe"] {
        let status = send(&rig, path, bad).await;
        let refusal = refusal_from_status(&status).unwrap();
        assert_eq!(
            (status.code(), refusal.reason),
            (Code::InvalidArgument, Reason::InvalidRequest)
        );
    }
    assert!(rig.stub.received.lock().is_empty());
}

/// This happens when the caller is killed during the call.
#[tokio::test]
async fn missing_messages_are_caller_faults() {
    let rig = Rig::new(Case::Ok);
    for method in ["OrderControlService/LocateOrder", "OrderStreamingService/ProcessOrderStream"] {
        let status = send_body(&rig, &format!("/orderstream.v1.{method}"), Vec::new()).await;
        assert_eq!(status.code(), Code::InvalidArgument, "{method}");
    }
}

#[tokio::test]
async fn faults_show_the_request_id_only() {
    let rig = Rig::new(Case::Ok);
    let status = send(&rig, "/orderstream.v1.OrderControlService/Resume", b"").await;
    assert_eq!(status.code(), Code::Internal);
    assert_eq!(refusal_from_status(&status).unwrap().reason, Reason::Internal);
    assert!(!status.message().contains("hunter2") && status.message().contains("test-1"));
}

#[tokio::test]
async fn the_handler_knows_who_calls() {
    let rig = Rig::new(Case::Ok);
    let status = send(&rig, "/orderstream.v1.OrderControlService/Extend", b"").await;
    assert_eq!(status.code(), Code::Ok);
}
