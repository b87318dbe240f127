//! Tests of the plain HTTP server over raw sockets: the limits that peers observe.

mod bodies;
mod connections;
mod http2;
mod shutdown;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::routing::{get, post};
use futures_util::StreamExt as _;
use orderstream_rpc::problem::{self, Problem};
use orderstream_rpc::server::http::{self, HttpLimits};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::STUCK;

/// A timeout that is short enough for a test to wait for.
const SHORT: Duration = Duration::from_millis(200);

/// A plain server on a port of its own.
struct TestServer {
    address: std::net::SocketAddr,
    shutdown: CancellationToken,
    tasks: JoinSet<()>,
    /// Lets `/slow` respond.
    go: Arc<Notify>,
    /// Notified when `/slow` was reached.
    reached: Arc<Notify>,
}

async fn length(request: Request) -> Result<String, Problem> {
    let bytes = problem::read_bytes(request, http::limits::BODY_BYTES_MAX).await?;
    Ok(bytes.len().to_string())
}

/// Sends ticks endlessly.
async fn events() -> Body {
    let ticks = futures_util::stream::unfold((), async |()| {
        tokio::time::sleep(Duration::from_millis(20)).await;
        Some((Ok::<_, std::io::Error>(Bytes::from_static(b": tick\n\n")), ()))
    });
    Body::from_stream(ticks)
}

/// Sends more bytes than the kernels of both sides can buffer.
async fn flood() -> Body {
    let piece = Bytes::from_static(&[b'x'; 64 * 1024]);
    Body::from_stream(futures_util::stream::repeat(piece).map(Ok::<_, std::io::Error>))
}

impl TestServer {
    async fn start(bounds: HttpLimits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (go, reached) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (released, notify_reached) = (Arc::clone(&go), Arc::clone(&reached));
        let slow = async move || {
            notify_reached.notify_one();
            released.notified().await;
            "slow"
        };
        let router = Router::new()
            .route("/hello", get(async || "hello"))
            .route("/length", post(length))
            .route("/bytes", post(async |bytes: Bytes| bytes.len().to_string()))
            .route("/events", get(events))
            .route("/flood", get(flood))
            .route("/slow", get(slow))
            .route("/panic", get(async || -> &'static str { panic!("planted") }));
        let shutdown = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let router = problem::with_fallbacks(router, problem::PortSide::Operators);
        tasks.spawn(http::serve(listener, router, bounds, shutdown.clone()));
        Self { address, shutdown, tasks, go, reached }
    }

    async fn socket(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn hello(&self) -> u16 {
        let mut socket = self.socket().await;
        ask(&mut socket, "GET /hello", "", b"").await.status
    }

    async fn stop(mut self) {
        self.shutdown.cancel();
        self.ended().await;
    }

    /// Lets every task of the server run until it has observed the shutdown.
    async fn observe_shutdown(&self) {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }

    async fn ended(&mut self) {
        timeout(STUCK, async { while self.tasks.join_next().await.is_some() {} }).await.unwrap();
    }
}

/// One HTTP/1.1 response.
#[derive(Debug)]
struct TestResponse {
    status: u16,
    head: String,
    body: String,
}

impl TestResponse {
    fn problem(&self) -> Value {
        assert!(self.head.contains("content-type: application/problem+json"), "{self:?}");
        serde_json::from_str(&self.body).unwrap()
    }
}

/// Reads one response with a `Content-Length`.
async fn read_response(socket: &mut TcpStream) -> TestResponse {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at;
        }
        let read = timeout(STUCK, socket.read_buf(&mut bytes)).await.unwrap().unwrap();
        assert!(read > 0, "closed after {:?}", String::from_utf8_lossy(&bytes));
    };
    let head = String::from_utf8(bytes[..head_end].to_vec()).unwrap().to_ascii_lowercase();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let length = head
        .split("content-length: ")
        .nth(1)
        .map_or(0, |rest| rest.split("\r\n").next().unwrap().parse().unwrap());
    let mut body = bytes.split_off(head_end + 4);
    while body.len() < length {
        assert!(timeout(STUCK, socket.read_buf(&mut body)).await.unwrap().unwrap() > 0);
    }
    TestResponse { status, head, body: String::from_utf8(body).unwrap() }
}

/// Sends one request and reads its response; `headers` are complete lines.
async fn ask(socket: &mut TcpStream, line: &str, headers: &str, body: &[u8]) -> TestResponse {
    let head = format!("{line} HTTP/1.1\r\nhost: test\r\n{headers}\r\n");
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.write_all(body).await.unwrap();
    read_response(socket).await
}

/// Waits until the server has closed this connection.
async fn closed(socket: &mut TcpStream) {
    let mut rest = Vec::new();
    // A reset counts as an end too.
    let _reset = timeout(STUCK, socket.read_to_end(&mut rest)).await.unwrap();
}

/// Reports whether nothing arrives for a while, not even the end.
async fn is_silent(socket: &mut TcpStream, time: Duration) -> bool {
    timeout(time, socket.read_u8()).await.is_err()
}
