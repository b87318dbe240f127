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
pub(super) enum Manner {
    /// Accepts everything.
    Takes,
    /// Fails this often, then accepts everything.
    Stutters(usize),
    /// Answers 410 for good.
    Gone,
}

/// One request that a server received.
#[derive(Clone, Debug)]
pub(super) struct Heard {
    pub(super) id: String,
    pub(super) body: Value,
    pub(super) is_signed: bool,
    pub(super) answered: StatusCode,
}

/// One server.
#[derive(Debug)]
struct Ear {
    manner: Manner,
    heard: Mutex<Vec<Heard>>,
}

/// All servers, by their owner.
pub(super) struct Ears {
    addresses: BTreeMap<String, SocketAddr>,
    ears: BTreeMap<String, Arc<Ear>>,
    _runtime: Runtime,
}

impl Ears {
    /// Starts a server on a port of its own for each of these.
    pub(super) fn open<'a>(names: impl IntoIterator<Item = (&'a str, Manner)>) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.unwrap();
        let (mut addresses, mut ears) = (BTreeMap::new(), BTreeMap::new());
        for (name, manner) in names {
            let ear = Arc::new(Ear { manner, heard: Mutex::default() });
            let router = Router::new().fallback(hear).with_state(Arc::clone(&ear));
            let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
            addresses.insert(name.to_owned(), listener.local_addr().unwrap());
            ears.insert(name.to_owned(), ear);
            runtime.spawn(async move {
                serve(listener, router, HttpLimits::default(), CancellationToken::new()).await;
            });
        }
        Self { addresses, ears, _runtime: runtime }
    }

    /// Returns the URL of an owner's server.
    pub(super) fn url(&self, name: &str) -> String {
        format!("http://{}/", self.addresses[name])
    }

    /// Returns all requests about an order so far, by owner, in the order of their arrival.
    pub(super) fn heard(&self, order: &str) -> BTreeMap<String, Vec<Heard>> {
        let of_order = |heard: &&Heard| heard.body["subject"] == order;
        let ears = self.ears.iter();
        ears.map(|(name, ear)| {
            (name.clone(), ear.heard.lock().iter().filter(of_order).cloned().collect())
        })
        .collect()
    }
}

async fn hear(State(ear): State<Arc<Ear>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let header = |name: &str| headers.get(name).map_or("", |value| value.to_str().unwrap());
    let mut heard = ear.heard.lock();
    let status = match ear.manner {
        Manner::Stutters(times) if heard.len() < times => StatusCode::INTERNAL_SERVER_ERROR,
        Manner::Gone => StatusCode::GONE,
        Manner::Takes | Manner::Stutters(_) => StatusCode::NO_CONTENT,
    };
    let (id, at) = (header("webhook-id"), header("webhook-timestamp"));
    heard.push(Heard {
        id: id.to_owned(),
        is_signed: header("webhook-signature") == signature(id, at, &body),
        answered: status,
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
