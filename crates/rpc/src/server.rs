//! A gRPC server with every limit set: tonic's builder does not set some of hyper's limits and
//! enforces its own deadline outside the layers, so hyper serves the connections directly. The
//! server for REST, metrics and health is [`self::http`].

mod accept;
mod activity;
mod backlog;
mod connection;
mod drive;
pub mod http;
pub mod http_metrics;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use ::http::{Request, Response};
use bytes::Bytes;
use http_body::Body;
use hyper::body::Incoming;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tonic::codec::CompressionEncoding;
use tonic::service::Routes;
use tonic_health::server::HealthReporter;
use tower::{BoxError, Layer as _, Service};

use self::accept::Port;
use self::activity::MemoryStream;
use crate::limits;
use crate::observe::{
    Authorize, AuthorizeService, BoundaryService, ContentTypeService, DeadlineCap, LogService,
    MetricsService, RpcMetrics, server_layers,
};
use crate::v1;
use crate::v1::order_control_service_server::{OrderControlService, OrderControlServiceServer};
use crate::v1::order_non_streaming_service_server::{
    OrderNonStreamingService, OrderNonStreamingServiceServer,
};
use crate::v1::order_streaming_service_server::{
    OrderStreamingService, OrderStreamingServiceServer,
};

/// The limits of a server; the defaults are those of [`crate::limits`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerLimits {
    /// Concurrent connections; a further one is closed at once.
    pub connections_max: usize,
    /// Concurrent streams on one connection.
    pub concurrent_streams_max: u32,
    /// Streams that the peer reset and that are not yet accepted.
    pub pending_accept_resets_max: usize,
    /// Streams that were reset because the peer violated the protocol.
    pub local_error_resets_max: usize,
    /// The size of all headers of one request, bytes.
    pub header_list_bytes_max: u32,
    /// The time from accepting a connection to the head of its first request.
    pub header_read_timeout: Duration,
    /// The silence after which the peer is pinged.
    pub keepalive_interval: Duration,
    /// The timeout for the peer's acknowledgement of a ping.
    pub keepalive_timeout: Duration,
    /// The silence after the shutdown token that ends a connection.
    pub last_request_time: Duration,
    /// The time from the shutdown token to closing all open connections.
    pub drain_timeout: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            connections_max: limits::CONNECTIONS_MAX,
            concurrent_streams_max: limits::CONCURRENT_STREAMS_MAX,
            pending_accept_resets_max: limits::PENDING_ACCEPT_RESETS_MAX,
            local_error_resets_max: limits::LOCAL_ERROR_RESETS_MAX,
            header_list_bytes_max: limits::HEADER_LIST_BYTES_MAX,
            header_read_timeout: limits::HEADER_READ_TIMEOUT,
            keepalive_interval: limits::KEEPALIVE_INTERVAL,
            keepalive_timeout: limits::KEEPALIVE_TIMEOUT,
            last_request_time: limits::LAST_REQUEST_TIME,
            drain_timeout: limits::DRAIN_TIMEOUT,
        }
    }
}

/// The caps of a server's deadlines.
pub const SERVER_DEADLINE_CAP: DeadlineCap = DeadlineCap {
    unary: Some(limits::UNARY_DEADLINE_MAX),
    client_stream: Some(limits::CLIENT_STREAM_DEADLINE_MAX),
};

/// Returns the streaming service with the message limits set; accepts zstd and gzip.
pub fn streaming<T: OrderStreamingService>(service: T) -> OrderStreamingServiceServer<T> {
    OrderStreamingServiceServer::new(service)
        .max_decoding_message_size(limits::MESSAGE_BYTES_MAX)
        .max_encoding_message_size(limits::MESSAGE_BYTES_MAX)
        .accept_compressed(CompressionEncoding::Zstd)
        .accept_compressed(CompressionEncoding::Gzip)
}

/// Returns the non-streaming service with the message limits set; accepts zstd and gzip.
pub fn non_streaming<T: OrderNonStreamingService>(service: T) -> OrderNonStreamingServiceServer<T> {
    OrderNonStreamingServiceServer::new(service)
        .max_decoding_message_size(limits::MESSAGE_BYTES_MAX)
        .max_encoding_message_size(limits::MESSAGE_BYTES_MAX)
        .accept_compressed(CompressionEncoding::Zstd)
        .accept_compressed(CompressionEncoding::Gzip)
}

/// Returns the control service with the message limits set; accepts zstd and gzip.
pub fn control<T: OrderControlService>(service: T) -> OrderControlServiceServer<T> {
    OrderControlServiceServer::new(service)
        .max_decoding_message_size(limits::MESSAGE_BYTES_MAX)
        .max_encoding_message_size(limits::MESSAGE_BYTES_MAX)
        .accept_compressed(CompressionEncoding::Zstd)
        .accept_compressed(CompressionEncoding::Gzip)
}

/// Adds health and both versions of reflection to the routes. The server as a whole (the empty
/// name) is serving; each service has the state that is set with the reporter.
///
/// # Errors
/// When the embedded descriptors cannot be read.
pub fn with_health_and_reflection(
    routes: Routes,
) -> Result<(Routes, HealthReporter), tonic_reflection::server::Error> {
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(crate::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let (reporter, health) = tonic_health::server::health_reporter();
    let routes = routes
        .add_service(health)
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?);
    Ok((routes, reporter))
}

/// The names of the three services for health checks.
pub const SERVICE_NAMES: [&str; 3] = [
    v1::order_streaming_service_server::SERVICE_NAME,
    v1::order_non_streaming_service_server::SERVICE_NAME,
    v1::order_control_service_server::SERVICE_NAME,
];

/// Routes wrapped in a server's layers.
pub type ServerStack<S = Routes> =
    ContentTypeService<LogService<MetricsService<BoundaryService<AuthorizeService<S>>>>>;

/// Wraps the routes in a server's layers.
pub fn stack<S>(
    inner: S,
    metrics: &Arc<RpcMetrics>,
    authorize: Arc<dyn Authorize>,
) -> ServerStack<S> {
    server_layers(metrics, authorize, SERVER_DEADLINE_CAP).layer(inner)
}

/// Serves a stack on a listener until the shutdown token is cancelled; then still serves the peers
/// that are already connected, lets calls end, and closes all open connections after
/// [`ServerLimits::drain_timeout`]. Streams must end by themselves when the server drains.
pub async fn serve<S, B>(
    listener: TcpListener,
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
    let port = Port {
        listener,
        connections_max: bounds.connections_max,
        last_request_time: bounds.last_request_time,
        drain_timeout: bounds.drain_timeout,
        shutdown: shutdown.clone(),
    };
    let serve = |stream| connection::serve(stream, service.clone(), bounds, shutdown.clone());
    // gRPC clients handle a closed connection; no frame can be sent before their settings.
    accept::accept_all(port, serve, |stream: TcpStream| async move { drop(stream) }).await;
}

/// Serves a stack on one connection that was established elsewhere, such as one in memory, as
/// [`serve`] does on each that it accepts.
pub async fn serve_connection<T, S, B>(
    connection: T,
    service: S,
    bounds: ServerLimits,
    shutdown: CancellationToken,
) where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    connection::serve_over(MemoryStream(connection), service, bounds, shutdown).await;
}
