//! A foreign HTTP server, in this process.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, Uri};
use axum::response::Response;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;

/// One request, as it was received.
#[derive(Debug)]
pub(crate) struct Came {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Came {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// Makes the reply to a request.
type Answers = Arc<dyn Fn(&Came) -> Response + Send + Sync>;

/// The server; it ends when dropped.
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    came: Mutex<mpsc::Receiver<Came>>,
    _tasks: JoinSet<()>,
}

impl Peer {
    pub(crate) async fn start(answers: impl Fn(&Came) -> Response + Send + Sync + 'static) -> Self {
        let (sender, came) = mpsc::channel(64);
        let answers: Answers = Arc::new(answers);
        let router = Router::new().fallback(answer).with_state((answers, sender));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, came: Mutex::new(came), _tasks: tasks }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) async fn came(&self) -> Came {
        self.came.lock().await.recv().await.unwrap()
    }

    /// Reports whether no request came besides those that [`Peer::came`] returned.
    pub(crate) async fn is_alone(&self) -> bool {
        self.came.lock().await.try_recv().is_err()
    }
}

async fn answer(
    State((answers, sender)): State<(Answers, mpsc::Sender<Came>)>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let body = String::from_utf8(body.to_vec()).unwrap();
    let came = Came { method, path: uri.path().to_owned(), headers, body };
    let response = answers(&came);
    sender.send(came).await.unwrap();
    response
}
