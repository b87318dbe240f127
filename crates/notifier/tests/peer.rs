//! An external HTTP server, simulated in this process.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, Uri};
use axum::response::Response;
use axum::serve::Listener;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// One received request.
#[derive(Debug)]
pub(crate) struct ReceivedRequest {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl ReceivedRequest {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// Creates the response to a request.
type Responder = Arc<dyn Fn(&ReceivedRequest) -> Response + Send + Sync>;

/// The server; it ends when dropped.
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    received: Mutex<mpsc::Receiver<ReceivedRequest>>,
    _tasks: JoinSet<()>,
}

impl Peer {
    pub(crate) async fn start(
        responder: impl Fn(&ReceivedRequest) -> Response + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::start_on(listener, Arc::new(responder))
    }

    /// Starts a server with TLS; the folder has its certificate and its key.
    pub(crate) async fn start_encrypted(
        responder: impl Fn(&ReceivedRequest) -> Response + Send + Sync + 'static,
        dir: &Path,
    ) -> Self {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::start_on(TlsListener { tcp, tls: acceptor(dir) }, Arc::new(responder))
    }

    fn start_on(listener: impl Listener<Addr = SocketAddr>, responder: Responder) -> Self {
        let (sender, received) = mpsc::channel(64);
        let router = Router::new().fallback(respond).with_state((responder, sender));
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, received: Mutex::new(received), _tasks: tasks }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) async fn next_request(&self) -> ReceivedRequest {
        self.received.lock().await.recv().await.unwrap()
    }

    /// Reports whether no requests arrived other than those that [`Peer::next_request`] returned.
    pub(crate) async fn is_drained(&self) -> bool {
        self.received.lock().await.try_recv().is_err()
    }
}

/// A listener of TLS connections.
struct TlsListener {
    tcp: TcpListener,
    tls: TlsAcceptor,
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        loop {
            let (stream, address) = TcpListener::accept(&self.tcp).await.unwrap();
            // A client that does not trust the certificate ends the handshake.
            if let Ok(stream) = self.tls.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        TcpListener::local_addr(&self.tcp)
    }
}

fn acceptor(dir: &Path) -> TlsAcceptor {
    let certificate = CertificateDer::from_pem_file(dir.join("cert.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(dir.join("key.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

async fn respond(
    State((responder, sender)): State<(Responder, mpsc::Sender<ReceivedRequest>)>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let body = String::from_utf8(body.to_vec()).unwrap();
    let request = ReceivedRequest { method, path: uri.path().to_owned(), headers, body };
    let response = responder(&request);
    sender.send(request).await.unwrap();
    response
}
