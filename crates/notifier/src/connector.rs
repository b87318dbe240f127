//! Connections to the targets of calls: to a checked address or, where a proxy is set for the
//! target, through the proxy. It opens a tunnel to a target with TLS (RFC 9110, section 9.3.6), and
//! forwards the requests to others.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::Uri;
use http::uri::Scheme;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tower::Service;

use crate::guard::{AddressPolicy, GuardedResolver};
use crate::limits::{ATTEMPT_TIMEOUT, CONNECT_TIMEOUT};
use crate::proxy::ProxySettings;

type BoxError = Box<dyn Error + Send + Sync>;
type ConnectFuture<S> = Pin<Box<dyn Future<Output = Result<S, BoxError>> + Send>>;

/// Connects to the targets of calls, with TLS where their URL is https, within the time of one
/// attempt. Cheap to clone.
///
/// The client finishes connecting even if the call that wanted it was served by another connection,
/// and a proxy or a target that is silent, also in the handshake, would keep it forever.
#[derive(Clone, Debug)]
pub(crate) struct DeadlineConnector(HttpsConnector<Connector>);

impl DeadlineConnector {
    /// Creates a connector; `tls` is for targets and proxies with an https URL, and `policy` is for
    /// the targets that are called directly: the name of another target is resolved by its proxy.
    pub(crate) fn new(
        policy: AddressPolicy,
        tls: ClientConfig,
        proxies: Arc<ProxySettings>,
    ) -> Self {
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls.clone())
            .https_or_http()
            .enable_http1()
            .wrap_connector(Connector::new(policy, tls, proxies));
        Self(connector)
    }
}

impl Service<Uri> for DeadlineConnector {
    type Response = MaybeHttpsStream<ConnectorStream>;
    type Error = BoxError;
    type Future = ConnectFuture<Self::Response>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        let connecting = tokio::time::timeout(ATTEMPT_TIMEOUT, self.0.call(target));
        Box::pin(async move {
            match connecting.await {
                Ok(connected) => connected,
                Err(elapsed) => Err(BoxError::from(elapsed)),
            }
        })
    }
}

/// Connects to the targets of calls, without TLS to them and without a deadline.
#[derive(Clone)]
struct Connector {
    direct: HttpConnector<GuardedResolver>,
    to_proxy: HttpsConnector<HttpConnector<GuardedResolver>>,
    proxies: Arc<ProxySettings>,
}

impl Connector {
    /// Creates a connector; `tls` is for proxies with an https URL.
    fn new(policy: AddressPolicy, tls: ClientConfig, proxies: Arc<ProxySettings>) -> Self {
        // The operator chose the proxy, which may well be on this machine.
        let to_proxy = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp(AddressPolicy::Open));
        Self { direct: tcp(policy), to_proxy, proxies }
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").field("proxies", &self.proxies).finish_non_exhaustive()
    }
}

fn tcp(policy: AddressPolicy) -> HttpConnector<GuardedResolver> {
    let mut http = HttpConnector::new_with_resolver(GuardedResolver(policy));
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_connect_timeout(Some(CONNECT_TIMEOUT));
    http
}

impl Service<Uri> for Connector {
    type Response = ConnectorStream;
    type Error = BoxError;
    type Future = ConnectFuture<ConnectorStream>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        if let Err(error) = ready!(self.direct.poll_ready(cx)) {
            return Poll::Ready(Err(error.into()));
        }
        self.to_proxy.poll_ready(cx)
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        let Some(proxy) = self.proxies.of(&target) else {
            let connecting = self.direct.call(target);
            return Box::pin(async move {
                let connected = connecting.await.map_err(BoxError::from);
                connected.map(|stream| ConnectorStream::to_target(MaybeHttpsStream::Http(stream)))
            });
        };
        if target.scheme() == Some(&Scheme::HTTPS) {
            let mut tunnel = Tunnel::new(proxy.url().clone(), self.to_proxy.clone());
            if let Some(authorization) = proxy.authorization() {
                tunnel = tunnel.with_auth(authorization.clone());
            }
            let connecting = tunnel.call(target);
            return Box::pin(async move {
                let connected = connecting.await.map_err(BoxError::from);
                connected.map(ConnectorStream::to_target)
            });
        }
        let connecting = self.to_proxy.call(proxy.url().clone());
        Box::pin(async move {
            let connected = connecting.await;
            connected.map(|stream| ConnectorStream { stream, is_to_proxy: true })
        })
    }
}

/// A connection to a target, or to the proxy that forwards requests to it.
#[derive(Debug)]
pub(crate) struct ConnectorStream {
    stream: MaybeHttpsStream<TokioIo<TcpStream>>,
    is_to_proxy: bool,
}

impl ConnectorStream {
    const fn to_target(stream: MaybeHttpsStream<TokioIo<TcpStream>>) -> Self {
        Self { stream, is_to_proxy: false }
    }
}

impl Connection for ConnectorStream {
    fn connected(&self) -> Connected {
        // Requests to a proxy have the whole URL of their target.
        self.stream.connected().proxy(self.is_to_proxy)
    }
}

impl Read for ConnectorStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buf)
    }
}

impl Write for ConnectorStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, bufs)
    }
}
