//! A plain HTTP server (HTTP/1.1 and HTTP/2 on one port) with every limit set: `axum::serve` has no
//! cap on connections, waits for a body indefinitely and uses HTTP/2's defaults.
//!
//! ```text
//! accept ──▶ cap ──▶ first head in time ──▶ router ──▶ idle: next head in time ─┐
//!             │              │                ▲ │                               │
//!        429, closed       closed             └─┼───────────────────────────────┘
//!                                  body: size, time → 413, 408
//! ```
//!
//! The router's responses have no deadline: an event stream may stay open until the shutdown token
//! is cancelled, and should then end by itself; connections still open after the drain timeout are
//! closed.

mod body;
pub mod limits;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use futures_util::FutureExt as _;
use http::header::CONNECTION;
use http::{HeaderValue, Request, Version};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use orderstream_core::{Reason, Refusal};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

pub use self::body::BodyError;
use self::body::BoundedBody;
use super::accept::{Port, accept_all};
use super::activity::{Activity, CallBody, MeteredStream, ReadNow};
use super::drive::{ConnectionTimeouts, drive};
use crate::problem::{Problem, normalise_response};

/// The limits of a plain HTTP server; the defaults are those of [`limits`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpLimits {
    /// Concurrent connections; a further one is refused with 429 and closed.
    pub connections_max: usize,
    /// The time from accepting a connection to the complete head of its first request.
    pub header_read_timeout: Duration,
    /// HTTP/1.1: the time from the end of a response to the complete head of the next request.
    pub idle_timeout: Duration,
    /// HTTP/1.1: the number of headers of one request.
    pub headers_max: usize,
    /// HTTP/1.1: bytes that are read ahead on one connection, and so the size of one head.
    pub buffer_bytes_max: usize,
    /// Bytes of one request's body.
    pub body_bytes_max: usize,
    /// The time from the first read of a body to its end.
    pub body_read_timeout: Duration,
    /// The time for which a peer may leave sent bytes unread or unacknowledged.
    pub write_stall_timeout: Duration,
    /// HTTP/2: concurrent streams on one connection.
    pub concurrent_streams_max: u32,
    /// HTTP/2: streams that the peer reset and that are not yet accepted.
    pub pending_accept_resets_max: usize,
    /// HTTP/2: streams that were reset because the peer violated the protocol.
    pub local_error_resets_max: usize,
    /// HTTP/2: the size of all headers of one request, bytes.
    pub header_list_bytes_max: u32,
    /// HTTP/2: the silence after which the peer is pinged.
    pub keepalive_interval: Duration,
    /// HTTP/2: the timeout for the peer's acknowledgement of a ping.
    pub keepalive_timeout: Duration,
    /// The silence after the shutdown token that ends a connection.
    pub last_request_time: Duration,
    /// The time from the shutdown token to closing all open connections.
    pub drain_timeout: Duration,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            connections_max: limits::CONNECTIONS_MAX,
            header_read_timeout: crate::limits::HEADER_READ_TIMEOUT,
            idle_timeout: limits::IDLE_TIMEOUT,
            headers_max: limits::HEADERS_MAX,
            buffer_bytes_max: limits::BUFFER_BYTES_MAX,
            body_bytes_max: limits::BODY_BYTES_MAX,
            body_read_timeout: limits::BODY_READ_TIMEOUT,
            write_stall_timeout: limits::WRITE_STALL_TIMEOUT,
            concurrent_streams_max: limits::CONCURRENT_STREAMS_MAX,
            pending_accept_resets_max: crate::limits::PENDING_ACCEPT_RESETS_MAX,
            local_error_resets_max: crate::limits::LOCAL_ERROR_RESETS_MAX,
            header_list_bytes_max: crate::limits::HEADER_LIST_BYTES_MAX,
            keepalive_interval: crate::limits::KEEPALIVE_INTERVAL,
            keepalive_timeout: crate::limits::KEEPALIVE_TIMEOUT,
            last_request_time: crate::limits::LAST_REQUEST_TIME,
            drain_timeout: crate::limits::DRAIN_TIMEOUT,
        }
    }
}

/// Returns hyper's connection builder with every limit set.
fn builder(bounds: &HttpLimits) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .keep_alive(true)
        .half_close(false)
        .header_read_timeout(bounds.idle_timeout)
        .max_headers(bounds.headers_max)
        .max_buf_size(bounds.buffer_bytes_max);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(bounds.concurrent_streams_max)
        .max_pending_accept_reset_streams(bounds.pending_accept_resets_max)
        .max_local_error_reset_streams(bounds.local_error_resets_max)
        .max_header_list_size(bounds.header_list_bytes_max)
        .max_frame_size(crate::limits::FRAME_BYTES_MAX)
        .adaptive_window(false)
        .initial_stream_window_size(limits::STREAM_WINDOW_BYTES)
        .initial_connection_window_size(limits::CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(limits::SEND_BUFFER_BYTES_MAX)
        .keep_alive_interval(bounds.keepalive_interval)
        .keep_alive_timeout(bounds.keepalive_timeout);
    builder
}

/// Serves a router until the token is cancelled. Afterwards, peers that are already connected may
/// still send a request: each gets its response, with `Connection: close`. Connections that have
/// been silent for [`HttpLimits::last_request_time`] end, and those still open after
/// [`HttpLimits::drain_timeout`] are closed.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    bounds: HttpLimits,
    shutdown: CancellationToken,
) {
    let port = Port {
        listener,
        connections_max: bounds.connections_max,
        last_request_time: bounds.last_request_time,
        drain_timeout: bounds.drain_timeout,
        shutdown: shutdown.clone(),
    };
    let router = router.with_state(());
    let builder = Arc::new(builder(&bounds));
    let serve =
        |stream| connection(stream, Arc::clone(&builder), router.clone(), bounds, shutdown.clone());
    accept_all(port, serve, refuse).await;
}

async fn connection(
    stream: TcpStream,
    builder: Arc<auto::Builder<TokioExecutor>>,
    router: Router,
    bounds: HttpLimits,
    shutdown: CancellationToken,
) {
    if let Err(error) = prepare(&stream, bounds.write_stall_timeout) {
        tracing::debug!(%error, "cannot set up a connection");
    }
    serve_stream(stream, &builder, router, bounds, shutdown).await;
}

/// Serves the requests of one connection, over any stream.
async fn serve_stream<S>(
    stream: S,
    builder: &auto::Builder<TokioExecutor>,
    router: Router,
    bounds: HttpLimits,
    shutdown: CancellationToken,
) where
    S: AsyncRead + AsyncWrite + ReadNow + Unpin + Send + 'static,
{
    let activity = Arc::<Activity>::default();
    let (call_activity, end) = (Arc::clone(&activity), shutdown.clone());
    let service = service_fn(move |request: Request<Incoming>| {
        let (call, end) = (call_activity.begin_call(), end.clone());
        let (version, response) = (request.version(), respond(router.clone(), request, bounds));
        async move {
            let mut response = response.await?;
            if end.is_cancelled() && version <= Version::HTTP_11 {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(response.map(|body| CallBody::new(body, call)))
        }
    });
    let io = TokioIo::new(MeteredStream::new(stream, Arc::clone(&activity)));
    let connection = builder.serve_connection(io, service);
    let timeouts = ConnectionTimeouts {
        header_read_timeout: bounds.header_read_timeout,
        last_request_time: bounds.last_request_time,
    };
    drive(connection, &activity, timeouts, shutdown).await;
}

/// Disables Nagle's algorithm, and lets the kernel end the connection of a peer that does not read,
/// which saves a timer around every write.
fn prepare(stream: &TcpStream, write_stall_timeout: Duration) -> io::Result<()> {
    stream.set_nodelay(true)?;
    #[cfg(target_os = "linux")]
    socket2::SockRef::from(stream).set_tcp_user_timeout(Some(write_stall_timeout))?;
    #[cfg(not(target_os = "linux"))]
    let _only_linux_has_it = write_stall_timeout;
    Ok(())
}

/// Passes a request to the router; a panic is a server fault, which ends only this request. A body
/// beyond its limits is reported as such, whatever the router's response, and every refusal becomes
/// a problem.
async fn respond(
    router: Router,
    request: Request<Incoming>,
    bounds: HttpLimits,
) -> Result<Response, Infallible> {
    let mut end = None;
    let request = request.map(|body| {
        if body.is_end_stream() {
            return Body::empty();
        }
        let body = BoundedBody::new(body, bounds.body_bytes_max, bounds.body_read_timeout);
        end = Some(body.end());
        Body::new(body)
    });
    let Ok(response) = AssertUnwindSafe(router.oneshot(request)).catch_unwind().await else {
        tracing::error!("a handler panicked");
        let text = "a fault of the server; its log has the cause";
        return Ok(Problem::from(Refusal::new(Reason::Internal, text)).into_response());
    };
    let response = response?;
    match end.as_deref().and_then(OnceLock::get) {
        Some(error) if !response.status().is_success() => Ok(Problem::from(*error).into_response()),
        Some(_) | None => Ok(normalise_response(response)),
    }
}

/// Refuses a connection beyond the cap in HTTP/1.1, which every HTTP client understands.
async fn refuse(mut stream: TcpStream) {
    let refusal = Refusal::new(Reason::Overloaded, "too many connections; try again later");
    let text = Problem::from(refusal).to_http1();
    let sending = async {
        stream.write_all(text.as_bytes()).await?;
        stream.shutdown().await?;
        // Closing with unread bytes would reset the connection and lose the response.
        let mut rest = (&mut stream).take(limits::REFUSAL_READ_BYTES_MAX);
        tokio::io::copy(&mut rest, &mut tokio::io::sink()).await
    };
    if let Ok(Err(error)) = tokio::time::timeout(limits::REFUSAL_TIMEOUT, sending).await {
        tracing::debug!(%error, "a refused connection ended");
    }
}
