//! Tests of the end of a connection, under a paused clock.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::routing::get;
use futures_util::FutureExt as _;
use parking_lot::Mutex;
use tokio::io::{DuplexStream, ReadBuf, duplex};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::*;

const REQUEST: &str = "GET /hello HTTP/1.1\r\nhost: test\r\n\r\n";
const MOMENT: Duration = Duration::from_millis(1);

impl ReadNow for DuplexStream {
    fn read_now(&self, _buffer: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }
}

/// A connection with bytes that the runtime has not noticed yet.
struct UnpolledStream {
    stream: DuplexStream,
    pending: Mutex<Vec<u8>>,
}

impl ReadNow for UnpolledStream {
    fn read_now(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut pending = self.pending.lock();
        let length = pending.len().min(buffer.len());
        buffer[..length].copy_from_slice(&pending[..length]);
        pending.drain(..length);
        Ok(length)
    }
}

impl AsyncRead for UnpolledStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for UnpolledStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Serves a stream whose server is shut down at once, and lets the server observe that.
async fn ending<S>(stream: S) -> JoinHandle<()>
where
    S: AsyncRead + AsyncWrite + ReadNow + Unpin + Send + 'static,
{
    let bounds = HttpLimits::default();
    let router = Router::new().route("/hello", get(async || "hello"));
    let shutdown = CancellationToken::new();
    shutdown.cancel();
    #[allow(clippy::disallowed_methods, reason = "joined by the test")]
    let task = tokio::spawn(async move {
        serve_stream(stream, &builder(&bounds), router, bounds, shutdown).await;
    });
    tokio::task::yield_now().await;
    task
}

/// Reads until the connection ends.
async fn read_to_end(client: &mut DuplexStream) -> String {
    let mut text = String::new();
    client.read_to_string(&mut text).await.unwrap();
    text
}

fn assert_is_last_response(text: &str) {
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "'{text}'");
    assert!(text.contains("connection: close"), "'{text}'");
    assert!(text.ends_with("\r\n\r\nhello"), "'{text}'");
}

#[tokio::test(start_paused = true)]
async fn last_moment_requests_get_a_response() {
    let (server, mut client) = duplex(4096);
    let task = ending(server).await;
    tokio::time::sleep(crate::limits::LAST_REQUEST_TIME - MOMENT).await;
    client.write_all(REQUEST.as_bytes()).await.unwrap();
    assert_is_last_response(&read_to_end(&mut client).await);
    task.await.unwrap();
}

/// Silent connections end after the time for a last request.
#[tokio::test(start_paused = true)]
async fn silent_connections_end_after_shutdown() {
    let (server, mut client) = duplex(4096);
    let begun = Instant::now();
    ending(server).await.await.unwrap();
    assert_eq!(read_to_end(&mut client).await, "");
    let took = begun.elapsed();
    let expected = crate::limits::LAST_REQUEST_TIME;
    assert!((expected..expected + 5 * MOMENT).contains(&took), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn half_requests_have_a_heads_time() {
    let half = REQUEST.len() / 2;
    let (server, mut client) = duplex(4096);
    let task = ending(server).await;
    client.write_all(&REQUEST.as_bytes()[..half]).await.unwrap();
    tokio::time::sleep(crate::limits::HEADER_READ_TIMEOUT - MOMENT).await;
    client.write_all(&REQUEST.as_bytes()[half..]).await.unwrap();
    assert_is_last_response(&read_to_end(&mut client).await);
    task.await.unwrap();

    let (server, mut client) = duplex(4096);
    let (begun, task) = (Instant::now(), ending(server).await);
    client.write_all(&REQUEST.as_bytes()[..half]).await.unwrap();
    task.await.unwrap();
    assert_eq!(begun.elapsed().as_secs(), crate::limits::HEADER_READ_TIMEOUT.as_secs());
}

/// The last bytes are those that the kernel has received and the runtime has not noticed yet.
#[tokio::test(start_paused = true)]
async fn last_bytes_are_read_before_closing() {
    let (stream, mut client) = duplex(4096);
    let pending = Mutex::new(REQUEST.as_bytes().to_vec());
    let task = ending(UnpolledStream { stream, pending }).await;
    assert_is_last_response(&read_to_end(&mut client).await);
    task.await.unwrap();
    assert!(client.read_u8().now_or_never().unwrap().is_err());
}
