//! An external HTTP server, simulated in this process.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, Uri};
use axum::response::Response;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;

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
        let (sender, received) = mpsc::channel(64);
        let responder: Responder = Arc::new(responder);
        let router = Router::new().fallback(respond).with_state((responder, sender));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
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
