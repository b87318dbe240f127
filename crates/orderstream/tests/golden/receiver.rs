//! The recipients of webhooks: sellers, a buyer and a sink at one server, which stores all that it
//! receives.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use orderstream_rpc::server::http::{HttpLimits, serve};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::transcript::{Transcript, headers_json, json_or_text, quoted};

/// The headers of a webhook that its sender chooses.
const HEADERS: [&str; 5] =
    ["content-type", "user-agent", "webhook-id", "webhook-signature", "webhook-timestamp"];

/// A server that receives webhooks: `/south` and `/gone` refuse for good, `/east` for an hour.
pub(super) struct Receiver {
    pub(super) address: SocketAddr,
    state: Arc<ReceiverState>,
    _runtime: Runtime,
}

#[derive(Debug)]
struct ReceiverState {
    webhooks: Mutex<Vec<RecordedWebhook>>,
    /// Set once `/south` may respond.
    south: watch::Sender<bool>,
}

/// One webhook.
#[derive(Clone, Debug)]
struct RecordedWebhook {
    path: String,
    headers: BTreeMap<String, String>,
    body: String,
}

impl Receiver {
    pub(super) fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let state = Arc::new(ReceiverState {
            webhooks: Mutex::default(),
            south: watch::Sender::new(false),
        });
        let router = Router::new().fallback(receive).with_state(Arc::clone(&state));
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        runtime.spawn(async move {
            serve(listener, router, HttpLimits::default(), stop).await;
        });
        Self { address, state, _runtime: runtime }
    }

    /// Lets `/south` respond, which it does not do before, so that its webhooks come last.
    pub(super) fn let_south_respond(&self) {
        self.state.south.send_replace(true);
    }

    /// Adds all received webhooks to the transcript in short, and the first of each kind in full.
    pub(super) fn append_webhooks(&self, transcript: &mut Transcript) {
        let mut webhooks: BTreeMap<(String, u64, String), RecordedWebhook> = BTreeMap::new();
        for one in self.state.webhooks.lock().iter() {
            webhooks.entry(one.sort_key()).or_insert_with(|| one.clone());
        }
        let mut recorded_kinds: Vec<String> = Vec::new();
        for one in webhooks.values() {
            let kind = one.kind();
            if !recorded_kinds.contains(&kind) {
                recorded_kinds.push(kind);
                transcript.add(&[
                    ("heard", quoted(&one.path)),
                    ("headers", headers_json(&one.headers)),
                    ("body", json_or_text(&one.body)),
                ]);
            }
        }
        let mut summaries: Vec<String> = webhooks.values().map(RecordedWebhook::summary).collect();
        summaries.sort();
        transcript.add(&[("heard_in_all", Value::from(summaries).to_string())]);
    }
}

impl RecordedWebhook {
    fn body(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    fn text(&self, pointer: &str) -> String {
        let text = self.body().pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        text.unwrap_or_default()
    }

    /// Returns its sort key, independent of the time: order and incarnation, event, and id.
    fn sort_key(&self) -> (String, u64, String) {
        let body = self.body();
        let incarnation = self.text("/source") + "~" + &self.text("/data/order/incarnation");
        let seq = body["data"]["event"]["seq"].as_u64().unwrap();
        // The id ends with a hash of the address, which differs from run to run.
        let failed = self.text("/data/failed/template") + &self.text("/data/failed/seller");
        (incarnation, seq, format!("{} {} {failed}", self.path, self.text("/type")))
    }

    /// Returns the key of its kind; webhooks of one kind have the same form.
    fn kind(&self) -> String {
        let prefix = format!("{} {}", self.text("/recipient"), self.text("/template"));
        if !self.body()["data"]["failed"].is_null() {
            return prefix;
        }
        let (event, change) = (self.text("/data/event/kind"), self.text("/data/event/change"));
        format!("{prefix} {event} {change} {}", self.body()["data"]["order"]["sealed"])
    }

    fn summary(&self) -> String {
        let order = self.text("/source").replacen("/orderstream/", "", 1);
        let (seq, template) = (&self.body()["data"]["event"]["seq"], self.text("/template"));
        format!("{order} {seq} {} {template}", self.path)
    }
}

async fn receive(
    State(state): State<Arc<ReceiverState>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let header = |name: &&str| {
        let value = headers.get(*name)?.to_str().ok()?;
        // The version and the second differ from run to run.
        let value = match *name {
            "user-agent" => value.replace(env!("CARGO_PKG_VERSION"), "<version>"),
            "webhook-timestamp" => "<time>".to_owned(),
            _ => value.to_owned(),
        };
        Some(((*name).to_owned(), value))
    };
    state.webhooks.lock().push(RecordedWebhook {
        path: uri.path().to_owned(),
        headers: HEADERS.iter().filter_map(header).collect(),
        body: String::from_utf8(body.to_vec()).unwrap(),
    });
    match uri.path() {
        "/south" => {
            let mut may_respond = state.south.subscribe();
            drop(may_respond.wait_for(|may_answer| *may_answer).await);
            StatusCode::GONE.into_response()
        }
        "/gone" => StatusCode::GONE.into_response(),
        "/east" => (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "3600")]).into_response(),
        _ => StatusCode::NO_CONTENT.into_response(),
    }
}
