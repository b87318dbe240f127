//! Tests with bodies that are too large, too slow, or never end.

use super::*;

const CHUNKED: &str = "transfer-encoding: chunked\r\n";

/// The bytes of an endless body are discarded.
#[tokio::test]
async fn endless_bodies_end_with_413() {
    let served = TestServer::start(HttpLimits::default()).await;
    let mut socket = served.socket().await;
    let head = format!("POST /length HTTP/1.1\r\nhost: test\r\n{CHUNKED}\r\n");
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut chunk = b"4000\r\n".to_vec();
    chunk.extend([b' '; 0x4000]);
    chunk.extend(b"\r\n");
    let (mut reader, mut writer) = socket.split();
    let mut written = 0_usize;
    let flood = async {
        while writer.write_all(&chunk).await.is_ok() {
            written += chunk.len();
        }
    };
    let mut text = Vec::new();
    let read = async { reader.read_to_end(&mut text).await.ok() };
    timeout(STUCK, async { tokio::join!(flood, read) }).await.unwrap();
    let text = String::from_utf8_lossy(&text);
    assert!(text.starts_with("HTTP/1.1 413 "), "{text}");
    assert!(text.contains("application/problem+json"), "{text}");
    // The bytes that were discarded, and those in the buffers of the two kernels.
    assert!(written < 32 << 20, "{written} bytes were taken");
    assert_eq!(served.hello().await, 200);
    served.stop().await;
}

/// A body is refused by its declared length.
#[tokio::test]
async fn oversized_lengths_are_refused_unread() {
    let served = TestServer::start(HttpLimits::default()).await;
    let mut socket = served.socket().await;
    let response = ask(&mut socket, "POST /length", "content-length: 99999999999\r\n", b"").await;
    assert_eq!((response.status, &response.problem()["reason"]), (413, &"LIMIT_REACHED".into()));
    closed(&mut socket).await;
    served.stop().await;
}

/// The body is refused with 413, and the next request is served.
#[tokio::test]
async fn oversized_bodies_keep_the_connection() {
    let served = TestServer::start(HttpLimits::default()).await;
    let mut socket = served.socket().await;
    for (path, length, status) in [
        ("/length", 64 * 1024, 200),
        ("/length", 64 * 1024 + 1, 413),
        ("/bytes", 64 * 1024 + 1, 413),
        ("/length", 500_000, 413),
        ("/bytes", 1, 200),
    ] {
        let headers = format!("content-length: {length}\r\n");
        let response =
            ask(&mut socket, &format!("POST {path}"), &headers, &vec![b' '; length]).await;
        assert_eq!(response.status, status, "{length}: {response:?}");
        if status == 413 {
            let problem = response.problem();
            assert_eq!(problem["metadata"]["bytes_max"], "65536", "{problem}");
        }
    }
    served.stop().await;
}

#[tokio::test]
async fn a_trickling_body_ends_with_408() {
    let bounds = HttpLimits { body_read_timeout: SHORT, ..HttpLimits::default() };
    let served = TestServer::start(bounds).await;
    // Our own reader, and axum's, which has no timeout.
    for (path, headers) in [
        ("/length", CHUNKED),
        ("/length", "content-length: 1000\r\n"),
        ("/bytes", "content-length: 1000\r\n"),
    ] {
        let mut socket = served.socket().await;
        let head = format!("POST {path} HTTP/1.1\r\nhost: test\r\n{headers}\r\n");
        socket.write_all(head.as_bytes()).await.unwrap();
        let piece: &[u8] = if headers == CHUNKED { b"1\r\n \r\n" } else { b" " };
        let (mut reader, mut writer) = socket.split();
        let trickle = async {
            while writer.write_all(piece).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let mut text = Vec::new();
        let read = async { reader.read_to_end(&mut text).await.ok() };
        timeout(STUCK, async { tokio::join!(trickle, read) }).await.unwrap();
        let text = String::from_utf8_lossy(&text);
        assert!(text.starts_with("HTTP/1.1 408 "), "{text}");
        assert!(text.contains("did not arrive within 0.2 s"), "{text}");
    }
    served.stop().await;
}

#[tokio::test]
async fn cut_bodies_harm_nobody() {
    let served = TestServer::start(HttpLimits::default()).await;
    let mut socket = served.socket().await;
    let head = "POST /length HTTP/1.1\r\nhost: test\r\ncontent-length: 10\r\n\r\nabc";
    socket.write_all(head.as_bytes()).await.unwrap();
    drop(socket);
    assert_eq!(served.hello().await, 200);
    served.stop().await;
}
