//! The servers that receive webhooks for buyer, sellers and the operator: one each, some of which
//! fail on purpose. A wrong signature fails the test.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use orderstream_rpc::server::http::{HttpLimits, serve};
use parking_lot::Mutex;
use serde_json::Value;
use sha2::Sha256;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

/// The secret that only the processor and the recipients have.
pub(super) const SECRET: &str = "whsec_dGhpcnR5LXR3byBieXRlcyB0aGF0IG5vYm9keSBrbm93cw==";

/// A server's behaviour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ServerBehaviour {
    /// Accepts everything.
    Accepts,
    /// Fails this often, then accepts everything.
    FailsFirst(usize),
    /// Responds with 410 for good.
    Gone,
}

/// One request that a server received.
#[derive(Clone, Debug)]
pub(super) struct ReceivedWebhook {
    pub(super) id: String,
    pub(super) body: Value,
    pub(super) is_signed: bool,
    pub(super) status: StatusCode,
}

/// One server.
#[derive(Debug)]
struct WebhookServer {
    behaviour: ServerBehaviour,
    requests: Mutex<Vec<ReceivedWebhook>>,
}

/// All servers, by their owner.
pub(super) struct WebhookServers {
    addresses: BTreeMap<String, SocketAddr>,
    servers: BTreeMap<String, Arc<WebhookServer>>,
    _runtime: Runtime,
}

impl WebhookServers {
    /// Starts a server on a port of its own for each of these.
    pub(super) fn open<'a>(names: impl IntoIterator<Item = (&'a str, ServerBehaviour)>) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.unwrap();
        let (mut addresses, mut servers) = (BTreeMap::new(), BTreeMap::new());
        for (name, manner) in names {
            let server = Arc::new(WebhookServer { behaviour: manner, requests: Mutex::default() });
            let router = Router::new().fallback(receive).with_state(Arc::clone(&server));
            let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
            addresses.insert(name.to_owned(), listener.local_addr().unwrap());
            servers.insert(name.to_owned(), server);
            runtime.spawn(async move {
                serve(listener, router, HttpLimits::default(), CancellationToken::new()).await;
            });
        }
        Self { addresses, servers, _runtime: runtime }
    }

    /// Returns the URL of an owner's server.
    pub(super) fn url(&self, name: &str) -> String {
        format!("http://{}/", self.addresses[name])
    }

    /// Returns all requests about an order so far, by owner, in the order of their arrival.
    pub(super) fn requests(&self, order: &str) -> BTreeMap<String, Vec<ReceivedWebhook>> {
        let of_order = |request: &&ReceivedWebhook| request.body["subject"] == order;
        let servers = self.servers.iter();
        servers
            .map(|(name, server)| {
                (name.clone(), server.requests.lock().iter().filter(of_order).cloned().collect())
            })
            .collect()
    }
}

async fn receive(
    State(server): State<Arc<WebhookServer>>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let header = |name: &str| headers.get(name).map_or("", |value| value.to_str().unwrap());
    let mut requests = server.requests.lock();
    let status = match server.behaviour {
        ServerBehaviour::FailsFirst(times) if requests.len() < times => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
        ServerBehaviour::Gone => StatusCode::GONE,
        ServerBehaviour::Accepts | ServerBehaviour::FailsFirst(_) => StatusCode::NO_CONTENT,
    };
    let (id, at) = (header("webhook-id"), header("webhook-timestamp"));
    requests.push(ReceivedWebhook {
        id: id.to_owned(),
        is_signed: header("webhook-signature") == signature(id, at, &body),
        status,
        body: serde_json::from_slice(&body).unwrap(),
    });
    status
}

/// Returns the signature that Standard Webhooks defines.
fn signature(id: &str, at: &str, body: &[u8]) -> String {
    let key = STANDARD.decode(SECRET.trim_start_matches("whsec_")).unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
    mac.update(format!("{id}.{at}.").as_bytes());
    mac.update(body);
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}
