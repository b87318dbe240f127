//! A processor and a requestor of the binary, the recipients of their notifications, and the
//! requests to them that go into the transcript.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

use super::client::{FullResponse, exchange, get};
use super::receiver::Receiver;
use super::transcript::{Transcript, quoted};
use crate::market::split_args;
use crate::process::{BINARY, Role, root, until};

/// A secret as Standard Webhooks defines it.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// The limit of orders that the requestor follows at one time.
const ORDERS_MAX: &str = "4";
/// The seller whose server refuses for an hour, so that its notifications wait.
const SILENT: &str = "east";

/// The REST interface that is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Buyers,
    Sellers,
}

impl Side {
    const fn name(self) -> &'static str {
        match self {
            Self::Buyers => "buyers",
            Self::Sellers => "sellers",
        }
    }
}

/// The reply that a request waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReplyWait {
    /// One that is decided.
    Decided,
    /// The first one, decided or not.
    Any,
}

/// One request.
#[derive(Clone, Debug)]
pub(super) struct ScriptRequest {
    side: Side,
    request: String,
    headers: Vec<String>,
    body: String,
    is_repeatable: bool,
    reply_wait: ReplyWait,
    /// The sequence number of the last event to read; only for a stream that does not end.
    last_seq: Option<u64>,
}

/// Returns a request to the buyers' REST: method and path.
pub(super) fn buyers(request: &str) -> ScriptRequest {
    ScriptRequest::new(Side::Buyers, request)
}

/// Returns a request to the sellers' REST: method and path.
pub(super) fn sellers(request: &str) -> ScriptRequest {
    ScriptRequest::new(Side::Sellers, request)
}

impl ScriptRequest {
    fn new(side: Side, request: &str) -> Self {
        let (request, headers, body) = (request.to_owned(), Vec::new(), String::new());
        let (is_repeatable, reply_wait, last_seq) = (false, ReplyWait::Decided, None);
        Self { side, request, headers, body, is_repeatable, reply_wait, last_seq }
    }

    #[allow(clippy::needless_pass_by_value, reason = "bodies are made where they are given")]
    pub(super) fn json(self, body: Value) -> Self {
        self.header("content-type: application/json").text(&body.to_string())
    }

    pub(super) fn text(self, body: &str) -> Self {
        Self { body: body.to_owned(), ..self }
    }

    pub(super) fn header(mut self, header: &str) -> Self {
        self.headers.push(header.to_owned());
        self
    }

    /// Adds a key, under which it can be repeated at any time.
    pub(super) fn key(self, key: &str) -> Self {
        let request = self.header(&format!("idempotency-key: {key}"));
        Self { is_repeatable: true, ..request }
    }

    /// Accepts the first reply, decided or not.
    pub(super) fn pending(self) -> Self {
        Self { reply_wait: ReplyWait::Any, ..self }
    }

    /// Reads a stream up to this event.
    pub(super) fn up_to(self, last_seq: u64) -> Self {
        Self { last_seq: Some(last_seq), ..self }
    }

    fn exchange(&self, address: SocketAddr) -> FullResponse {
        let enough = |text: &str| {
            let Some(last) = self.last_seq else { return false };
            let event =
                text.split("\n\n").find(|event| event.starts_with(&format!("id: {last}\n")));
            event.is_some_and(|event| text.contains(&format!("{event}\n\n")))
        };
        exchange(address, &self.request, &self.headers, &self.body, enough).unwrap()
    }

    /// Returns the request as it is stored for a repetition.
    fn into_json(self) -> Value {
        json!({"side": self.side.name(), "request": self.request, "headers": self.headers,
            "body": self.body})
    }

    /// Reads a request that was stored.
    pub(super) fn from_json(value: &Value) -> Self {
        let text = |name: &str| value[name].as_str().unwrap();
        let side = if text("side") == Side::Buyers.name() { Side::Buyers } else { Side::Sellers };
        let headers = value["headers"].as_array().unwrap().iter();
        let headers = headers.map(|header| header.as_str().unwrap().to_owned()).collect();
        Self { headers, ..Self::new(side, text("request")).text(text("body")) }
    }
}

/// The processes and the transcript.
pub(super) struct Stage {
    pub(super) transcript: Transcript,
    pub(super) processor: Role,
    pub(super) requestor: Role,
    dir: PathBuf,
    /// The requests under keys, to be repeated on the stored folders.
    repeatable: Vec<String>,
}

impl Stage {
    /// Starts both on empty folders, with notifications on.
    pub(super) fn fresh(dir: &Path, receiver: &Receiver) -> Self {
        let path_of = |name: &str| dir.join(name).to_str().unwrap().to_owned();
        let (sellers, notify, secret) =
            (path_of("sellers.yaml"), path_of("notify.yaml"), path_of("key"));
        std::fs::write(&sellers, manifests(receiver.address)).unwrap();
        std::fs::write(&secret, SECRET).unwrap();
        let sink = receiver.address;
        let webhook = format!("{{allow-local: true, secret-files: ['{secret}']}}");
        let settings = format!("sinks: ['http://{sink}/sink']\nwebhook: {webhook}\n");
        std::fs::write(&notify, settings).unwrap();
        let more = ["--sellers", &sellers, "--notify-config", &notify];
        let mut stage = Self::start(dir, &more, Transcript::masked());
        let masks = stage.transcript.masks.as_mut().unwrap();
        masks.name(receiver.address.to_string(), "receiver");
        masks.name(dir.display().to_string(), "dir");
        for (role, name, mask) in [
            (&stage.processor, "grpc", "processor"),
            (&stage.processor, "rest", "sellers"),
            (&stage.requestor, "requestor", "buyers"),
        ] {
            masks.name(role.address(name).to_string(), mask);
        }
        stage
    }

    /// Starts both on the folders `processor` and `requestor` of a folder.
    pub(super) fn start(dir: &Path, more: &[&str], transcript: Transcript) -> Self {
        let processor = start_processor(dir, more);
        let url = format!("http://{}", processor.address("grpc"));
        let store = format!("embedded:{}", dir.join("requestor").display());
        let mut args = vec!["requestor", "--processor", &url, "--store", &store];
        args.extend(["--max-orders", ORDERS_MAX]);
        for flag in ["--rest-addr", "--metrics-addr"] {
            args.extend([flag, "127.0.0.1:0"]);
        }
        let requestor = Role::start(&args, dir);
        let dir = dir.to_owned();
        Self { transcript, processor, requestor, dir, repeatable: Vec::new() }
    }

    /// Returns the folder that holds both roles' folders.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    fn address(&self, side: Side) -> SocketAddr {
        match side {
            Side::Buyers => self.requestor.address("requestor"),
            Side::Sellers => self.processor.address("rest"),
        }
    }

    /// Sends a request, and records its reply. It is repeated until the reply is decided.
    pub(super) fn send(&mut self, ask: ScriptRequest) -> FullResponse {
        self.send_to(self.address(ask.side), ask)
    }

    /// Sends a request to another process, and records its reply.
    pub(super) fn send_to(&mut self, address: SocketAddr, request: ScriptRequest) -> FullResponse {
        let response = until("an act is decided", || {
            let response = request.exchange(address);
            (response.status != 202 || request.reply_wait == ReplyWait::Any).then_some(response)
        });
        self.transcript
            .add_response(&format!("{} {}", request.side.name(), request.request), &response);
        if request.is_repeatable {
            self.repeatable.push(request.into_json().to_string());
        }
        response
    }

    /// Reads a path, and does not record it.
    pub(super) fn read(&self, side: Side, path: &str) -> Value {
        get(self.address(side), path).unwrap().json()
    }

    /// Runs a command against both, and records its output; `{dir}` is the stage's folder.
    pub(super) fn verb(&mut self, line: &str) -> Output {
        let whole = line.replace("{dir}", self.dir.to_str().unwrap());
        let mut command = Command::new(BINARY);
        command.args(split_args(&whole)).current_dir(root());
        command.env("ORDERSTREAM_SERVER", format!("http://{}", self.address(Side::Buyers)));
        let rest = format!("http://{}", self.address(Side::Sellers));
        let output = command.env("ORDERSTREAM_PROCESSOR_REST", rest).output().unwrap();
        self.transcript.add_output(line, &output);
        output
    }

    /// Runs a command under a key, which can be repeated at any time.
    pub(super) fn verb_under_key(&mut self, line: &str) {
        self.verb(line);
        self.repeatable.push(json!({ "ran": line }).to_string());
    }

    /// Returns the requests under keys.
    pub(super) fn repeatable(&self) -> &[String] {
        &self.repeatable
    }

    /// Waits until all of an order is known to its tracker and its outbox, and its notifications
    /// are sent.
    pub(super) fn settle(&self, order: &str) {
        let (tenant, id) = order.split_once('/').unwrap_or(("default", order));
        let query = format!("{id}?tenant={tenant}");
        let outbox = format!("/api/v1/orders/{id}/notifications?tenant={tenant}");
        until(&format!("{order} is settled"), || {
            let current = self.read(Side::Sellers, &format!("/api/v1/orders/{query}"));
            let tracked = self.read(Side::Buyers, &format!("/api/v1/orders/tracking/{query}"));
            let is_over = !current["ended_at"].is_null();
            let is_known = ["last_seq", "epoch", "incarnation"]
                .iter()
                .all(|name| !current[name].is_null() && current[name] == tracked[name]);
            let is_followed = [&current, &tracked].iter().all(|it| it["stream_active"] != is_over);
            let is_end_tracked = is_over != tracked["ended_at_ms"].is_null();
            let notifications = self.read(Side::Sellers, &outbox);
            let is_notified =
                notifications["cursor"] == current["last_seq"] && only_silent_waits(&notifications);
            (is_known && is_followed && is_end_tracked && is_notified).then_some(())
        });
    }

    /// Waits until an order is in a phase at its processor.
    pub(super) fn until_phase(&self, id: &str, phase: &str) {
        until(&format!("{id} is {phase}"), || {
            let order = self.read(Side::Sellers, &format!("/api/v1/orders/{id}"));
            (order["phase"] == phase).then_some(())
        });
    }

    /// Restarts the requestor: its next streams have a higher epoch.
    pub(super) fn restart_requestor(&mut self) {
        self.requestor.terminate();
        assert!(self.requestor.wait().success());
        self.requestor.restart();
        self.transcript.add(&[("restarted", quoted("requestor"))]);
    }

    /// Stops both.
    pub(super) fn stop(&mut self) {
        for role in [&mut self.requestor, &mut self.processor] {
            role.terminate();
            assert!(role.wait().success());
        }
    }
}

/// Starts a processor on the folder `processor` of a folder; it keeps ended orders as long as it
/// can.
pub(super) fn start_processor(dir: &Path, more: &[&str]) -> Role {
    let data = dir.join("processor");
    let mut args = vec!["processor", "--data-dir", data.to_str().unwrap()];
    args.extend(["--keep-ended", "999d"]);
    for flag in ["--grpc-addr", "--rest-addr", "--metrics-addr"] {
        args.extend([flag, "127.0.0.1:0"]);
    }
    args.extend(more);
    Role::start(&args, dir)
}

/// Reports whether only notifications of [`SILENT`] wait, the first of them tried once.
fn only_silent_waits(outbox: &Value) -> bool {
    let all = outbox["notifications"].as_array();
    let mut waiting = all.into_iter().flatten().filter(|one| one["state"] != "dead").peekable();
    waiting.peek().is_none_or(|first| first["attempts"] == 1)
        && waiting.all(|one| one["seller"] == SILENT && one["state"] == "waiting")
}

/// Returns sellers of which an order for furniture in Munich invites three, with every verdict.
fn manifests(receiver: SocketAddr) -> String {
    const ROWS: [(&str, &str); 9] = [
        ("north", "location: {latitude: 48.2, longitude: 11.6}\n  categories: [furniture]"),
        (
            "south",
            "location: {latitude: 48.1, longitude: 11.5}\n  categories: [furniture]\n  languages: [de-AT]",
        ),
        (
            "east",
            "location: {latitude: 48.1, longitude: 11.7}\n  categories: [furniture, light]\n  currency: EUR",
        ),
        ("beyond", "location: {latitude: 48.9, longitude: 11.6}"),
        ("far", "location: {latitude: 52.5, longitude: 13.4}"),
        ("unplaced", "categories: [furniture]"),
        ("coils", "location: {latitude: 48.2, longitude: 11.6}\n  categories: [steel]"),
        ("asleep", "suspended: true"),
        ("full", "location: {latitude: 48.2, longitude: 11.6}\n  capacity: 1"),
    ];
    let manifest = |(name, spec): (&str, &str)| {
        format!(
            "---\napiVersion: orderstream.dev/v1alpha1\nkind: Seller\nmetadata:\n  name: {name}\n\
             spec:\n  {spec}\n  channels:\n    - type: Webhook\n      address: http://{receiver}/{name}\n"
        )
    };
    ROWS.into_iter().map(manifest).collect()
}
