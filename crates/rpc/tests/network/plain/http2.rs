//! Tests of HTTP/2 on the plain port.

use std::collections::BTreeMap;

use orderstream_rpc::limits;

use super::*;
use crate::attacks::{ENHANCE_YOUR_CALM, goaway_code};
use crate::frames::{
    END_HEADERS, GOAWAY, HEADERS, RST_STREAM, SETTINGS, WINDOW_UPDATE, frame, opening, read,
    u32_at, write,
};

const END_STREAM: u8 = 1;

/// Returns a header block (RFC 7541, no Huffman coding): GET, http, a path and an authority.
pub(super) fn get_block(path: &str) -> Vec<u8> {
    let mut block = vec![0x82, 0x86, 0x04, u8::try_from(path.len()).unwrap()];
    block.extend_from_slice(path.as_bytes());
    block.extend_from_slice(&[0x01, 1, b'a']);
    block
}

#[tokio::test]
async fn settings_say_every_bound() {
    let served = TestServer::start(HttpLimits::default()).await;
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
        (3, http::limits::CONCURRENT_STREAMS_MAX),
        (4, http::limits::STREAM_WINDOW_BYTES),
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
    assert_eq!(window + 65_535, http::limits::CONNECTION_WINDOW_BYTES);
    drop(socket);
    served.stop().await;
}

#[tokio::test]
async fn reset_storms_end_their_connection_only() {
    const STREAMS: u32 = 100_000;
    let served = TestServer::start(HttpLimits::default()).await;
    let mut other = served.socket().await;
    assert_eq!(ask(&mut other, "GET /hello", "", b"").await.status, 200);
    let mut socket = served.socket().await;
    let block = get_block("/slow");
    let mut storm = opening();
    for stream in (0..STREAMS).map(|n| 2 * n + 1) {
        storm.extend(frame(HEADERS, END_HEADERS | END_STREAM, stream, &block));
        storm.extend(frame(RST_STREAM, 0, stream, &8u32.to_be_bytes()));
    }
    let (mut reader, mut writer) = socket.split();
    let storm = async {
        // A failed write is expected: the server has closed the connection.
        let _hung_up = writer.write_all(&storm).await;
    };
    let mut received = Vec::new();
    let read = async { reader.read_to_end(&mut received).await.ok() };
    timeout(STUCK, async { tokio::join!(read, storm) }).await.unwrap();
    assert_eq!(goaway_code(&received), Some(ENHANCE_YOUR_CALM));
    assert_eq!(ask(&mut other, "GET /hello", "", b"").await.status, 200);
    assert_eq!(served.hello().await, 200);
    served.stop().await;
}

#[tokio::test]
async fn unanswered_pings_end_the_connection() {
    let bounds = HttpLimits {
        keepalive_interval: SHORT / 4,
        keepalive_timeout: SHORT / 4,
        ..HttpLimits::default()
    };
    let served = TestServer::start(bounds).await;
    let mut socket = served.socket().await;
    let mut bytes = opening();
    bytes.extend(frame(HEADERS, END_HEADERS | END_STREAM, 1, &get_block("/slow")));
    assert!(write(&mut socket, &bytes).await);
    timeout(STUCK, async { while read(&mut socket).await.is_some() {} }).await.unwrap();
    served.stop().await;
}

/// A call in progress gets its response.
#[tokio::test]
async fn shutdown_sends_goaway_and_responds() {
    let mut served = TestServer::start(HttpLimits::default()).await;
    let mut socket = served.socket().await;
    let mut bytes = opening();
    bytes.extend(frame(HEADERS, END_HEADERS | END_STREAM, 1, &get_block("/slow")));
    assert!(write(&mut socket, &bytes).await);
    served.reached.notified().await;
    served.shutdown.cancel();
    let next = async |socket: &mut TcpStream, kind| {
        while timeout(STUCK, read(socket)).await.unwrap().unwrap().kind != kind {}
    };
    next(&mut socket, GOAWAY).await;
    served.go.notify_one();
    next(&mut socket, HEADERS).await;
    drop(socket);
    served.ended().await;
}
