//! Tests of the server's defences against hostile peers.

use std::collections::BTreeMap;
use std::time::Duration;

use orderstream_rpc::limits;
use orderstream_rpc::server::ServerLimits;
use tokio::time::timeout;

use crate::frames::{
    DATA, END_HEADERS, GOAWAY, HEADERS, RST_STREAM, SETTINGS, WINDOW_UPDATE, frame, header_block,
    opening, read, u32_at, write,
};
use crate::stub::Case;
use crate::{GrpcServer, STUCK, sum};

/// "Enhance your calm" (RFC 9113, section 7).
pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;

#[tokio::test]
async fn settings_say_every_bound() {
    let mut served = GrpcServer::start(Case::Ok, ServerLimits::default()).await;
    let mut socket = served.socket().await;
    assert!(write(&mut socket, &opening()).await);
    let settings = read(&mut socket).await.unwrap();
    assert_eq!(settings.kind, SETTINGS);
    let found: BTreeMap<u16, u32> = settings
        .payload
        .chunks_exact(6)
        .map(|entry| (u16::from_be_bytes([entry[0], entry[1]]), u32_at(entry, 2)))
        .collect();
    let expected = BTreeMap::from([
        (1, limits::HEADER_TABLE_BYTES),
        (3, limits::CONCURRENT_STREAMS_MAX),
        (4, limits::STREAM_WINDOW_BYTES),
        (5, limits::FRAME_BYTES_MAX),
        (6, limits::HEADER_LIST_BYTES_MAX),
    ]);
    assert_eq!(found, expected);
    let window = loop {
        let frame = timeout(STUCK, read(&mut socket)).await.unwrap().unwrap();
        if frame.kind == WINDOW_UPDATE {
            break u32_at(&frame.payload, 0);
        }
    };
    assert_eq!(window + 65_535, limits::CONNECTION_WINDOW_BYTES);
    drop(socket);
    served.stop().await;
}

/// Opens a connection, sends these bytes and nothing more; the server must close it.
async fn assert_is_closed(bytes: &[u8]) {
    let bounds = ServerLimits {
        header_read_timeout: Duration::from_millis(50),
        keepalive_interval: Duration::from_millis(50),
        keepalive_timeout: Duration::from_millis(50),
        ..ServerLimits::default()
    };
    let mut served = GrpcServer::start(Case::Ok, bounds).await;
    let mut socket = served.socket().await;
    assert!(write(&mut socket, bytes).await);
    timeout(STUCK, async { while read(&mut socket).await.is_some() {} }).await.unwrap();
    assert_eq!(sum(&served.registry, "grpc_server_started_total", &[]), 0);
    served.stop().await;
}

#[tokio::test]
async fn silent_peers_are_closed() {
    assert_is_closed(b"").await;
}

#[tokio::test]
async fn peers_that_never_call_are_closed() {
    assert_is_closed(&opening()).await;
}

#[tokio::test]
async fn unfinished_heads_are_closed() {
    let mut bytes = opening();
    bytes.extend(frame(HEADERS, 0, 1, &header_block("/x/y")));
    assert_is_closed(&bytes).await;
}

/// The connection is closed.
#[tokio::test]
async fn unanswered_pings_end_a_call() {
    let bounds = ServerLimits {
        keepalive_interval: Duration::from_millis(50),
        keepalive_timeout: Duration::from_millis(50),
        ..ServerLimits::default()
    };
    let mut served = GrpcServer::start(Case::Ok, bounds).await;
    let mut socket = served.socket().await;
    let mut bytes = opening();
    let path = "/orderstream.v1.OrderNonStreamingService/SubmitProposals";
    bytes.extend(frame(HEADERS, END_HEADERS, 1, &header_block(path)));
    assert!(write(&mut socket, &bytes).await);
    timeout(STUCK, async { while read(&mut socket).await.is_some() {} }).await.unwrap();
    served.stop().await;
    assert_eq!(sum(&served.registry, "grpc_server_started_total", &["SubmitProposals"]), 1);
    assert_eq!(sum(&served.registry, "grpc_server_handled_total", &["SubmitProposals"]), 1);
    assert_eq!(sum(&served.registry, "grpc_server_in_flight", &[]), 0);
}

#[tokio::test]
async fn reset_storms_end_the_connection() {
    const STREAMS: u32 = 100_000;
    let mut served = GrpcServer::start(Case::Ok, ServerLimits::default()).await;
    let mut socket = served.socket().await;
    let block = header_block("/orderstream.v1.OrderControlService/Pause");
    let mut storm = opening();
    for stream in (0..STREAMS).map(|n| 2 * n + 1) {
        storm.extend(frame(HEADERS, END_HEADERS, stream, &block));
        storm.extend(frame(RST_STREAM, 0, stream, &8u32.to_be_bytes()));
    }
    // Both directions run concurrently; otherwise the two sides could wait for each other.
    let (mut reader, mut writer) = socket.split();
    let storm = async {
        // A failed write is expected: the server has closed the connection.
        let _hung_up = tokio::io::AsyncWriteExt::write_all(&mut writer, &storm).await;
    };
    let mut received = Vec::new();
    let read = async { tokio::io::AsyncReadExt::read_to_end(&mut reader, &mut received).await };
    let (_end, ()) = timeout(STUCK, async { tokio::join!(read, storm) }).await.unwrap();
    served.stop().await;
    let started = sum(&served.registry, "grpc_server_started_total", &[]);
    assert!(started < u64::from(STREAMS) / 100, "{started} calls were started");
    assert_eq!(sum(&served.registry, "grpc_server_in_flight", &[]), 0);
    assert_eq!(goaway_code(&received), Some(ENHANCE_YOUR_CALM));
}

/// Returns the error code of the last GOAWAY among these bytes.
pub(crate) fn goaway_code(mut bytes: &[u8]) -> Option<u32> {
    let mut code = None;
    while bytes.len() >= 9 {
        let length = (u32_at(bytes, 0) >> 8) as usize;
        if bytes.len() < 9 + length {
            break;
        }
        if bytes[3] == GOAWAY {
            code = Some(u32_at(bytes, 9 + 4));
        }
        bytes = &bytes[9 + length..];
    }
    code
}

/// Endless messages are refused at their prefix.
#[tokio::test]
async fn endless_messages_are_refused_early() {
    let mut served = GrpcServer::start(Case::Ok, ServerLimits::default()).await;
    let mut socket = served.socket().await;
    let path = "/orderstream.v1.OrderNonStreamingService/SubmitProposals";
    let mut bytes = opening();
    bytes.extend(frame(HEADERS, END_HEADERS, 1, &header_block(path)));
    bytes.extend(frame(DATA, 0, 1, &[0, 0xff, 0xff, 0xff, 0xff]));
    bytes.extend(frame(DATA, 0, 1, &[0xff; 16_000]));
    assert!(write(&mut socket, &bytes).await);
    // The response to the call; nothing more was sent, and the body never ended.
    let has_head = async {
        loop {
            let frame = read(&mut socket).await.unwrap();
            if frame.kind == HEADERS {
                break;
            }
        }
    };
    timeout(STUCK, has_head).await.unwrap();
    drop(socket);
    served.stop().await;
    let labels = ["SubmitProposals", "ResourceExhausted"];
    assert_eq!(sum(&served.registry, "grpc_server_handled_total", &labels), 1);
    assert_eq!(sum(&served.registry, "grpc_server_msg_received_total", &[]), 0);
}

#[tokio::test]
async fn excess_connections_are_closed_at_once() {
    let bounds = ServerLimits { connections_max: 1, ..ServerLimits::default() };
    let mut served = GrpcServer::start(Case::Ok, bounds).await;
    let mut first = served.socket().await;
    assert!(write(&mut first, &opening()).await);
    assert!(read(&mut first).await.is_some());
    let mut second = served.socket().await;
    assert!(timeout(STUCK, read(&mut second)).await.unwrap().is_none());
    drop(first);
    served.stop().await;
}
