//! One HTTP/2 connection of a server.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::{Connected as _, TcpConnectInfo};
use tower::{BoxError, Service, ServiceExt as _};

use super::ServerLimits;
use super::activity::{Activity, CallBody, MeteredStream, ReadNow};
use super::drive::{ConnectionTimeouts, drive};
use crate::limits;

/// Returns hyper's connection builder with every limit set.
fn builder(bounds: &ServerLimits) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(bounds.concurrent_streams_max)
        .max_pending_accept_reset_streams(bounds.pending_accept_resets_max)
        .max_local_error_reset_streams(bounds.local_error_resets_max)
        .max_header_list_size(bounds.header_list_bytes_max)
        .header_table_size(limits::HEADER_TABLE_BYTES)
        .max_frame_size(limits::FRAME_BYTES_MAX)
        .adaptive_window(false)
        .initial_stream_window_size(limits::STREAM_WINDOW_BYTES)
        .initial_connection_window_size(limits::CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(limits::SEND_BUFFER_BYTES_MAX)
        .keep_alive_interval(bounds.keepalive_interval)
        .keep_alive_timeout(bounds.keepalive_timeout);
    builder
}

/// Serves one connection over TCP, as [`serve_over`].
pub(super) async fn serve<S, B>(
    stream: TcpStream,
    service: S,
    bounds: ServerLimits,
    shutdown: CancellationToken,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    let info: TcpConnectInfo = stream.connect_info();
    let with_connect_info = tower::service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(info.clone());
        service.clone().oneshot(request)
    });
    serve_over(stream, with_connect_info, bounds, shutdown).await;
}

/// Serves one connection until it ends, until the head of its first request is overdue, or, after
/// the token, until its calls have ended.
pub(super) async fn serve_over<T, S, B>(
    stream: T,
    service: S,
    bounds: ServerLimits,
    shutdown: CancellationToken,
) where
    T: AsyncRead + AsyncWrite + ReadNow + Send + Unpin + 'static,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let activity = Arc::<Activity>::default();
    let call_activity = Arc::clone(&activity);
    let service = service_fn(move |request: Request<Incoming>| {
        let call = call_activity.begin_call();
        let response = service.clone().oneshot(request);
        async move { Ok::<_, Infallible>(response.await?.map(|body| CallBody::new(body, call))) }
    });
    let io = TokioIo::new(MeteredStream::new(stream, Arc::clone(&activity)));
    let connection = builder(&bounds).serve_connection(io, service);
    let timeouts = ConnectionTimeouts {
        header_read_timeout: bounds.header_read_timeout,
        last_request_time: bounds.last_request_time,
    };
    drive(connection, &activity, timeouts, shutdown).await;
}
