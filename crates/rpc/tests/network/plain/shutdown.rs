//! Tests of the shutdown as connected peers observe it: a request in time gets its response.

use super::*;
use crate::frames::{END_HEADERS, GOAWAY, HEADERS, frame, opening, read, write};

const HELLO: &str = "GET /hello";

/// Returns limits with a long wait for a last request, for busy machines.
fn patient() -> HttpLimits {
    HttpLimits { last_request_time: STUCK, ..HttpLimits::default() }
}

/// Sends a further request: the response arrives, and is marked as the last one.
async fn assert_last_response(socket: &mut TcpStream) {
    let last = ask(socket, HELLO, "", b"").await;
    assert_eq!((last.status, last.body.as_str()), (200, "hello"));
    assert!(last.head.contains("connection: close"), "{last:?}");
    closed(socket).await;
}

/// The connection was established before the shutdown.
#[tokio::test]
async fn first_requests_after_shutdown_are_served() {
    let mut served = TestServer::start(patient()).await;
    let mut fresh = served.socket().await;
    served.shutdown.cancel();
    served.observe_shutdown().await;
    assert_last_response(&mut fresh).await;
    served.ended().await;
}

/// The connection had a request before the shutdown.
#[tokio::test]
async fn next_requests_after_shutdown_are_served() {
    let mut served = TestServer::start(patient()).await;
    let mut idle = served.socket().await;
    assert_eq!(ask(&mut idle, HELLO, "", b"").await.status, 200);
    served.shutdown.cancel();
    served.observe_shutdown().await;
    assert_last_response(&mut idle).await;
    served.ended().await;
}

#[tokio::test]
async fn half_heads_are_served_after_shutdown() {
    let bounds = HttpLimits { last_request_time: SHORT / 10, ..HttpLimits::default() };
    let mut served = TestServer::start(bounds).await;
    let mut slow = served.socket().await;
    slow.write_all(b"GET /hel").await.unwrap();
    served.shutdown.cancel();
    assert!(is_silent(&mut slow, SHORT).await);
    slow.write_all(b"lo HTTP/1.1\r\nhost: test\r\n\r\n").await.unwrap();
    let last = read_response(&mut slow).await;
    assert_eq!((last.status, last.body.as_str()), (200, "hello"));
    served.ended().await;
}

/// The server has not accepted queued connections yet.
#[tokio::test]
async fn queued_connections_are_served_at_shutdown() {
    // The server may accept some of them before it notices the shutdown.
    for _ in 0..10 {
        assert_queue_is_served().await;
    }
}

async fn assert_queue_is_served() {
    const QUEUED: usize = 100;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut queued = Vec::new();
    for _ in 0..QUEUED {
        queued.push(TcpStream::connect(address).await.unwrap());
    }
    let shutdown = CancellationToken::new();
    shutdown.cancel();
    let router = Router::new().route("/hello", get(async || "hello"));
    let mut tasks = JoinSet::new();
    tasks.spawn(http::serve(listener, router, patient(), shutdown));
    for socket in &mut queued {
        let head = format!("{HELLO} HTTP/1.1\r\nhost: test\r\n\r\n");
        socket.write_all(head.as_bytes()).await.unwrap();
    }
    for socket in &mut queued {
        assert_eq!(read_response(socket).await.status, 200);
    }
    timeout(STUCK, tasks.join_next()).await.unwrap();
    TcpStream::connect(address).await.unwrap_err();
}

/// The connection starts HTTP/2 after the shutdown.
#[tokio::test]
async fn late_http2_is_served_with_goaway() {
    let mut served = TestServer::start(patient()).await;
    let mut fresh = served.socket().await;
    served.shutdown.cancel();
    served.observe_shutdown().await;
    let mut bytes = opening();
    bytes.extend(frame(HEADERS, END_HEADERS | 1, 1, &http2::get_block("/hello")));
    assert!(write(&mut fresh, &bytes).await);
    let (mut has_response, mut has_goaway) = (false, false);
    let reading = async {
        while let Some(frame) = read(&mut fresh).await {
            has_response |= frame.kind == HEADERS;
            has_goaway |= frame.kind == GOAWAY;
            if has_response && has_goaway {
                break;
            }
        }
    };
    timeout(STUCK, reading).await.unwrap();
    assert!(has_response, "the call was lost");
    assert!(has_goaway, "nobody said that the server ends");
    drop(fresh);
    served.ended().await;
}
