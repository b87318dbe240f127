//! Tests with clients that use HTTP/2 and violate gRPC: each receives the fault, as a gRPC status
//! if it uses gRPC at all, and no state of the call remains.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use orderstream_rpc::server::ServerLimits;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;
use tonic::Code;

use crate::attacks::{ENHANCE_YOUR_CALM, goaway_code};
use crate::frames::{
    CONTINUATION, DATA, END_HEADERS, HEADERS, PING, SETTINGS, frame, header_block, opening, read,
    write,
};
use crate::stub::Case;
use crate::{GrpcServer, STUCK, sum};

const PAUSE: &str = "/orderstream.v1.OrderControlService/Pause";
/// A complete message without content.
const EMPTY: &[u8] = &[0; 5];

/// A request with one thing wrong.
struct BadCall {
    fault: &'static str,
    method: Method,
    path: &'static str,
    headers: &'static [(&'static str, &'static str)],
    body: &'static [u8],
}

/// A request with nothing wrong.
const GOOD: BadCall = BadCall {
    fault: "nothing",
    method: Method::POST,
    path: PAUSE,
    headers: &[("content-type", "application/grpc"), ("te", "trailers")],
    body: EMPTY,
};

/// A response: the HTTP status, and the gRPC code if there is one.
type CallOutcome = (u16, Option<Code>);

async fn ask(served: &GrpcServer, bad: &BadCall) -> CallOutcome {
    let (mut client, connection) = h2::client::handshake(served.socket().await).await.unwrap();
    let call = async {
        let uri = format!("http://test{}", bad.path);
        let mut request = Request::builder().method(&bad.method).uri(uri);
        for (name, value) in bad.headers {
            request = request.header(*name, *value);
        }
        let (response, mut body) = client.send_request(request.body(()).unwrap(), false).unwrap();
        // The server may respond and reset the stream before everything is sent.
        let _reset = body.send_data(Bytes::from_static(bad.body), true);
        let (head, mut body) = response.await.unwrap().into_parts();
        while let Some(Ok(data)) = body.data().await {
            body.flow_control().release_capacity(data.len()).unwrap();
        }
        let trailers = body.trailers().await.ok().flatten().unwrap_or_default();
        (head.status.as_u16(), code(&head.headers).or_else(|| code(&trailers)))
    };
    tokio::select! {
        outcome = timeout(STUCK, call) => outcome.unwrap(),
        ended = connection => panic!("{}: the connection ended: {ended:?}", bad.fault),
    }
}

fn code(headers: &HeaderMap) -> Option<Code> {
    Some(Code::from_bytes(headers.get("grpc-status")?.as_bytes()))
}

async fn check(case: Case, table: &[(BadCall, CallOutcome)]) {
    let mut served = GrpcServer::start(case, ServerLimits::default()).await;
    let mut wrong = Vec::new();
    for (bad, expected) in table {
        let outcome = ask(&served, bad).await;
        if outcome != *expected {
            wrong.push(format!("{}: {outcome:?}, expected {expected:?}", bad.fault));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    served.stop().await;
    assert_eq!(sum(&served.registry, "grpc_server_in_flight", &[]), 0);
}

#[tokio::test]
async fn bad_calls_get_a_status() {
    const GRPC: (&str, &str) = ("content-type", "application/grpc");
    let ok = Some(Code::Ok);
    let bad = |fault, body| BadCall { fault, body, ..GOOD };
    let headed = |fault, headers| BadCall { fault, headers, ..GOOD };
    check(
        Case::Ok,
        &[
            (GOOD, (200, ok)),
            (headed("no te: proxies are not our matter", &[GRPC]), (200, ok)),
            (
                BadCall { fault: "no such path", path: "/x/y", ..GOOD },
                (200, Some(Code::Unimplemented)),
            ),
            (
                BadCall {
                    fault: "no such method",
                    path: "/orderstream.v1.OrderControlService/Nothing",
                    ..GOOD
                },
                (200, Some(Code::Unimplemented)),
            ),
            (headed("another content type", &[("content-type", "text/plain")]), (415, None)),
            (headed("no content type", &[]), (415, None)),
            (BadCall { fault: "GET: read as gRPC", method: Method::GET, ..GOOD }, (200, ok)),
            (
                bad("a prefix beyond the limit", &[0, 0xff, 0xff, 0xff, 0xff]),
                (200, Some(Code::ResourceExhausted)),
            ),
            (bad("half a message", &[0, 0, 0, 0, 10, 1, 2]), (200, Some(Code::Internal))),
            (bad("half a prefix", &[0, 0, 0]), (200, Some(Code::Internal))),
            (bad("no message", &[]), (200, Some(Code::InvalidArgument))),
            (bad("no such flag", &[7, 0, 0, 0, 0]), (200, Some(Code::Internal))),
            (bad("compressed with nothing", &[1, 0, 0, 0, 1, 0]), (200, Some(Code::Internal))),
            (bad("no protobuf", &[0, 0, 0, 0, 2, 0xff, 0xff]), (200, Some(Code::InvalidArgument))),
            (
                BadCall {
                    fault: "no zstd",
                    headers: &[GRPC, ("grpc-encoding", "zstd")],
                    body: &[1, 0, 0, 0, 2, 1, 2],
                    ..GOOD
                },
                (200, Some(Code::InvalidArgument)),
            ),
            (
                BadCall {
                    fault: "no gzip",
                    headers: &[GRPC, ("grpc-encoding", "gzip")],
                    body: &[1, 0, 0, 0, 2, 1, 2],
                    ..GOOD
                },
                (200, Some(Code::InvalidArgument)),
            ),
            (
                headed("an encoding that is not taken", &[GRPC, ("grpc-encoding", "br")]),
                (200, Some(Code::Unimplemented)),
            ),
        ],
    )
    .await;
}

/// The bytes would be a good call: they are not read, and nothing is counted, in particular no
/// fault of the server.
#[tokio::test]
async fn other_content_types_are_no_calls() {
    const OTHERS: [&[(&str, &str)]; 6] = [
        &[],
        &[("content-type", "")],
        &[("content-type", "application/json")],
        &[("content-type", "application/x-www-form-urlencoded")],
        &[("content-type", "application/grpc+json")],
        &[("content-type", "application/grpc-web+proto"), ("te", "trailers")],
    ];
    let mut served = GrpcServer::start(Case::Ok, ServerLimits::default()).await;
    for headers in OTHERS {
        let other = BadCall { fault: "another content type", headers, ..GOOD };
        assert_eq!(ask(&served, &other).await, (415, None), "{headers:?}");
    }
    served.stop().await;
    for family in ["started_total", "handled_total", "msg_received_total", "msg_sent_total"] {
        assert_eq!(sum(&served.registry, &format!("grpc_server_{family}"), &[]), 0, "{family}");
    }
}

#[tokio::test]
async fn tiny_deadlines_are_exceeded() {
    let table = ["0n", "1u", "1n"].map(|time| {
        let headers: &'static [_] = match time {
            "0n" => &[("content-type", "application/grpc"), ("grpc-timeout", "0n")],
            "1u" => &[("content-type", "application/grpc"), ("grpc-timeout", "1u")],
            _ => &[("content-type", "application/grpc"), ("grpc-timeout", "1n")],
        };
        (BadCall { fault: time, headers, ..GOOD }, (200, Some(Code::DeadlineExceeded)))
    });
    check(Case::Deadline, &table).await;
}

/// Writes endlessly, and returns the bytes that the server sent before it closed the connection.
async fn flood(served: &GrpcServer, begin: &[u8], piece: &[u8]) -> Vec<u8> {
    let mut socket = served.socket().await;
    let (mut reader, mut writer) = socket.split();
    let write = async {
        let mut is_open = writer.write_all(begin).await.is_ok();
        while is_open {
            is_open = writer.write_all(piece).await.is_ok();
        }
    };
    let mut received = Vec::new();
    // A reset counts as an end too.
    let read = async { reader.read_to_end(&mut received).await.ok() };
    timeout(STUCK, async { tokio::join!(read, write) }).await.unwrap();
    received
}

#[tokio::test]
async fn endless_heads_end_the_connection() {
    let mut served = GrpcServer::start(Case::Ok, ServerLimits::default()).await;
    let mut begin = opening();
    begin.extend(frame(HEADERS, 0, 1, &header_block(PAUSE)));
    // An endless header block: many small headers, none large enough to be refused alone.
    let mut header = vec![0x00, 1, b'x', 100];
    header.extend([b'a'; 100]);
    let received = flood(&served, &begin, &frame(CONTINUATION, 0, 1, &header.repeat(10))).await;
    let code = goaway_code(&received);
    assert!(code.is_none_or(|code| code == ENHANCE_YOUR_CALM), "{code:?}");
    served.stop().await;
    assert_eq!(sum(&served.registry, "grpc_server_started_total", &[]), 0);
}

/// Checks that other peers are served while one peer sends frames and does not read the responses.
async fn others_are_served_beside(piece: Vec<u8>) {
    let bounds = ServerLimits {
        keepalive_interval: Duration::from_millis(200),
        keepalive_timeout: Duration::from_millis(200),
        ..ServerLimits::default()
    };
    let mut served = GrpcServer::start(Case::Ok, bounds).await;
    let mut stalled = served.socket().await;
    assert!(write(&mut stalled, &opening()).await);
    let storm = async { while write(&mut stalled, &piece).await {} };
    let others = async {
        for _ in 0..20 {
            assert_eq!(ask(&served, &GOOD).await, (200, Some(Code::Ok)));
        }
    };
    // The storm ends when the server closes the connection, as its pings are not acknowledged.
    timeout(STUCK, async { tokio::join!(storm, others) }).await.unwrap();
    served.stop().await;
}

/// The storm ends when the server closes the connection.
#[tokio::test]
async fn ping_storms_delay_nobody_else() {
    others_are_served_beside(frame(PING, 0, 0, &[0; 8]).repeat(1_000)).await;
}

/// The storm ends when the server closes the connection.
#[tokio::test]
async fn settings_storms_delay_nobody_else() {
    others_are_served_beside(frame(SETTINGS, 0, 0, &[]).repeat(1_000)).await;
}

/// A peer that opens no window receives only the head.
#[tokio::test]
async fn closed_windows_delay_nobody_else() {
    let bounds = ServerLimits { drain_timeout: Duration::from_millis(200), ..Default::default() };
    let mut served = GrpcServer::start(Case::Ok, bounds).await;
    let mut socket = served.socket().await;
    // SETTINGS_INITIAL_WINDOW_SIZE (4) is 0.
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]));
    bytes.extend(frame(HEADERS, END_HEADERS, 1, &header_block(PAUSE)));
    bytes.extend(frame(DATA, 1, 1, EMPTY));
    assert!(write(&mut socket, &bytes).await);
    let head = async {
        while let Some(frame) = read(&mut socket).await {
            assert!(frame.kind != DATA, "there is no room for it");
            if frame.kind == HEADERS {
                return;
            }
        }
        panic!("no head");
    };
    timeout(STUCK, head).await.unwrap();
    assert_eq!(ask(&served, &GOOD).await, (200, Some(Code::Ok)));
    served.stop().await;
    assert_eq!(sum(&served.registry, "grpc_server_in_flight", &[]), 0);
}
