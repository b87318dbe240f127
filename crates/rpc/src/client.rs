//! Clients: a few lazily opened HTTP/2 connections, each wrapped in a client's layers.

use std::fmt::Debug;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Uri};
use http_body::Body;
use hyper_util::rt::TokioIo;
use orderstream_core::port::{DnsAddresses, ProcessorAddresses};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tonic::codec::CompressionEncoding;
use tonic::transport::{Channel, Endpoint};
use tower::{BoxError, Layer as _, Service, service_fn};

use crate::limits;
use crate::observe::{BoundaryService, LogService, MetricsService, RpcMetrics, client_layers};
use crate::v1::order_control_service_client::OrderControlServiceClient;
use crate::v1::order_non_streaming_service_client::OrderNonStreamingServiceClient;
use crate::v1::order_streaming_service_client::OrderStreamingServiceClient;

/// The port of a URL that does not name one.
const HTTP_PORT: u16 = 80;

/// The byte stream of one connection, in both directions.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for T {}

/// A connection that is being established.
pub type DialFuture = Pin<Box<dyn Future<Output = io::Result<Box<dyn ByteStream>>> + Send>>;

/// Establishes the connections for calls.
pub trait Dialer: Send + Sync + Debug + 'static {
    /// Connects to the server with this URL; `uri` has its host and port.
    fn dial(&self, url: &str, uri: &Uri) -> DialFuture;
}

/// Connects over TCP to the current address of the server in `ProcessorAddresses`, or to the URL's
/// host if it has none.
#[derive(Clone, Debug)]
pub struct TcpDialer(pub Arc<dyn ProcessorAddresses>);

impl Dialer for TcpDialer {
    fn dial(&self, url: &str, uri: &Uri) -> DialFuture {
        let (address, uri) = (self.0.address(url), uri.clone());
        Box::pin(async move { Ok(Box::new(dial(address, &uri).await?) as Box<dyn ByteStream>) })
    }
}

/// A channel wrapped in a client's layers.
pub type ClientStack<C = Channel> = LogService<MetricsService<BoundaryService<AnyBody<C>>>>;

/// Connections to one server. Cheap to clone; all clones share the connections.
#[derive(Clone, Debug)]
pub struct Connections {
    stacks: Arc<[ClientStack]>,
    next: Arc<AtomicUsize>,
}

impl Connections {
    /// Returns connection `index` modulo the number of connections, for callers that stay on one
    /// connection.
    pub fn nth(&self, index: usize) -> ClientStack {
        self.stacks[index % self.stacks.len()].clone()
    }

    /// Returns the connections in turn. A client created from one stays on that connection.
    pub fn channel(&self) -> ClientStack {
        let index = self.next.fetch_add(1, Ordering::Relaxed) % self.stacks.len();
        self.stacks[index].clone()
    }

    /// Returns a client of the streaming service on the next connection.
    pub fn streaming(&self) -> OrderStreamingServiceClient<ClientStack> {
        streaming(self.channel())
    }

    /// Returns a client of the non-streaming service on the next connection.
    pub fn non_streaming(&self) -> OrderNonStreamingServiceClient<ClientStack> {
        non_streaming(self.channel())
    }

    /// Returns a client of the control service on the next connection.
    pub fn control(&self) -> OrderControlServiceClient<ClientStack> {
        control(self.channel())
    }
}

/// Prepares `connections` connections (1 to [`limits::CLIENT_CONNECTIONS_MAX`]) to a URL such as
/// `http://127.0.0.1:50051`. Each connects with its first call, and reconnects after an
/// interruption. Must be called inside a Tokio runtime.
///
/// # Errors
/// When the URL is not valid.
pub fn connect(
    url: &str,
    connections: usize,
    metrics: &Arc<RpcMetrics>,
) -> Result<Connections, tonic::transport::Error> {
    connect_at(url, connections, metrics, &(Arc::new(DnsAddresses) as Arc<dyn ProcessorAddresses>))
}

/// Prepares connections as [`connect`] does. Each connects to the current address of the server in
/// `addresses`, or to the URL's host if it has none.
///
/// # Errors
/// When the URL is not valid.
pub fn connect_at(
    url: &str,
    connections: usize,
    metrics: &Arc<RpcMetrics>,
    addresses: &Arc<dyn ProcessorAddresses>,
) -> Result<Connections, tonic::transport::Error> {
    let dialer: Arc<dyn Dialer> = Arc::new(TcpDialer(Arc::clone(addresses)));
    connect_over(url, connections, metrics, &dialer)
}

/// Prepares connections as [`connect`] does, established by `dialer`.
///
/// # Errors
/// When the URL is not valid.
pub fn connect_over(
    url: &str,
    connections: usize,
    metrics: &Arc<RpcMetrics>,
    dialer: &Arc<dyn Dialer>,
) -> Result<Connections, tonic::transport::Error> {
    let endpoint = endpoint(url)?;
    let channel = || {
        let (url, dialer) = (url.to_owned(), Arc::clone(dialer));
        let connector = service_fn(move |uri: Uri| {
            let connection = dialer.dial(&url, &uri);
            async move { connection.await.map(TokioIo::new) }
        });
        endpoint.connect_with_connector_lazy(connector)
    };
    let stacks = (0..connections.clamp(1, limits::CLIENT_CONNECTIONS_MAX))
        .map(|_| stack(channel(), metrics))
        .collect();
    Ok(Connections { stacks, next: Arc::default() })
}

async fn dial(address: Option<SocketAddr>, uri: &Uri) -> io::Result<TcpStream> {
    let stream = match address {
        Some(address) => TcpStream::connect(address).await?,
        None => {
            let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
            TcpStream::connect((host, uri.port_u16().unwrap_or(HTTP_PORT))).await?
        }
    };
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Returns an endpoint with every limit set.
///
/// # Errors
/// When the URL is not valid.
pub fn endpoint(url: &str) -> Result<Endpoint, tonic::transport::Error> {
    Ok(Endpoint::from_shared(url.to_owned())?
        .connect_timeout(limits::CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(limits::KEEPALIVE_INTERVAL)
        .keep_alive_timeout(limits::KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .http2_adaptive_window(false)
        .http2_header_table_size(limits::HEADER_TABLE_BYTES)
        .http2_max_header_list_size(limits::HEADER_LIST_BYTES_MAX)
        .http2_max_local_error_reset_streams(limits::LOCAL_ERROR_RESETS_MAX)
        .max_frame_size(limits::FRAME_BYTES_MAX)
        .initial_stream_window_size(limits::STREAM_WINDOW_BYTES)
        .initial_connection_window_size(limits::CONNECTION_WINDOW_BYTES)
        .buffer_size(limits::CLIENT_QUEUE_LEN_MAX))
}

/// Wraps a channel in a client's layers.
pub fn stack<C>(channel: C, metrics: &Arc<RpcMetrics>) -> ClientStack<C> {
    client_layers(metrics).layer(AnyBody { inner: channel })
}

/// Returns a client of the streaming service with the message limits set; accepts zstd and gzip.
pub fn streaming(channel: ClientStack) -> OrderStreamingServiceClient<ClientStack> {
    OrderStreamingServiceClient::new(channel)
        .max_decoding_message_size(limits::MESSAGE_BYTES_MAX)
        .max_encoding_message_size(limits::MESSAGE_BYTES_MAX)
        .accept_compressed(CompressionEncoding::Zstd)
        .accept_compressed(CompressionEncoding::Gzip)
}

/// Returns a client of the non-streaming service with the message limits set; accepts zstd and
/// gzip.
pub fn non_streaming(channel: ClientStack) -> OrderNonStreamingServiceClient<ClientStack> {
    OrderNonStreamingServiceClient::new(channel)
        .max_decoding_message_size(limits::MESSAGE_BYTES_MAX)
        .max_encoding_message_size(limits::MESSAGE_BYTES_MAX)
        .accept_compressed(CompressionEncoding::Zstd)
        .accept_compressed(CompressionEncoding::Gzip)
}

/// Returns a client of the control service with the message limits set; accepts zstd and gzip.
pub fn control(channel: ClientStack) -> OrderControlServiceClient<ClientStack> {
    OrderControlServiceClient::new(channel)
        .max_decoding_message_size(limits::MESSAGE_BYTES_MAX)
        .max_encoding_message_size(limits::MESSAGE_BYTES_MAX)
        .accept_compressed(CompressionEncoding::Zstd)
        .accept_compressed(CompressionEncoding::Gzip)
}

/// A channel for requests with any body type, which it converts to the channel's type.
#[derive(Clone, Debug)]
pub struct AnyBody<C> {
    inner: C,
}

impl<C, B> Service<Request<B>> for AnyBody<C>
where
    C: Service<Request<tonic::body::Body>>,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = C::Response;
    type Error = C::Error;
    type Future = C::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), C::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        self.inner.call(request.map(tonic::body::Body::new))
    }
}
