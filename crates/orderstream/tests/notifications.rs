//! An order's notifications: a real processor, real HTTP servers that fail on purpose, and `kill
//! -9` while notifications are sent.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use parking_lot::Mutex;
use serde_json::Value;

use crate::http::{get, post};
use crate::process::{Role, root, until};

pub(crate) const ORDER: &str = "SB-77";

/// One request that a server received.
#[derive(Clone, Debug)]
struct ReceivedRequest {
    path: String,
    id: String,
    body: Value,
    is_accepted: bool,
}

#[derive(Debug, Default)]
pub(crate) struct RecipientState {
    requests: Mutex<Vec<ReceivedRequest>>,
    count: AtomicU64,
    pub(crate) is_down: AtomicBool,
}

/// An HTTP server of a recipient: it refuses every fifth request, and all while it is down.
pub(crate) struct RecipientServer {
    pub(crate) address: SocketAddr,
    pub(crate) state: Arc<RecipientState>,
    _runtime: tokio::runtime::Runtime,
}

impl RecipientServer {
    pub(crate) fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let state = Arc::new(RecipientState::default());
        let router = Router::new().fallback(receive).with_state(Arc::clone(&state));
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async move { axum_serve(listener, router).await });
        Self { address, state, _runtime: runtime }
    }

    fn accepted(&self) -> Vec<ReceivedRequest> {
        let requests = self.state.requests.lock();
        requests.iter().filter(|request| request.is_accepted).cloned().collect()
    }
}

async fn axum_serve(listener: tokio::net::TcpListener, router: Router) {
    orderstream_rpc::server::http::serve(
        listener,
        router,
        orderstream_rpc::server::http::HttpLimits::default(),
        tokio_util::sync::CancellationToken::new(),
    )
    .await;
}

async fn receive(
    State(state): State<Arc<RecipientState>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let count = state.count.fetch_add(1, Ordering::SeqCst);
    let is_taken = count % 5 != 4 && !state.is_down.load(Ordering::SeqCst);
    let id = headers.get("webhook-id").map(|id| id.to_str().unwrap().to_owned());
    state.requests.lock().push(ReceivedRequest {
        path: uri.path().to_owned(),
        id: id.unwrap_or_default(),
        body: serde_json::from_slice(&body).unwrap(),
        is_accepted: is_taken,
    });
    if is_taken { StatusCode::NO_CONTENT } else { StatusCode::SERVICE_UNAVAILABLE }
}

/// Starts a processor with two sellers, notified at a server, and with these settings.
fn processor(dir: &Path, recipient: SocketAddr, settings: &str) -> Role {
    let args = processor_args(dir, recipient, settings);
    Role::start(&args.iter().map(String::as_str).collect::<Vec<_>>(), dir)
}

/// Writes the files of such a processor; returns its arguments.
pub(crate) fn processor_args(dir: &Path, recipient: SocketAddr, settings: &str) -> Vec<String> {
    let sellers: String = ["north", "south"]
        .map(|name| {
            format!(
                "---\napiVersion: orderstream.dev/v1alpha1\nkind: Seller\nmetadata:\n  name: {name}\n\
                 spec:\n  channels:\n    - type: Webhook\n      address: http://{recipient}/{name}\n"
            )
        })
        .concat();
    std::fs::write(dir.join("sellers.yaml"), sellers).unwrap();
    std::fs::write(dir.join("notify.yaml"), settings).unwrap();
    let path = |name: &str| dir.join(name).to_str().unwrap().to_owned();
    let (data, sellers, settings) = (path("data"), path("sellers.yaml"), path("notify.yaml"));
    let mut args = vec!["processor", "--data-dir", &data, "--sellers", &sellers];
    args.extend(["--notify-config", &settings]);
    for flag in ["--grpc-addr", "--rest-addr", "--metrics-addr"] {
        args.extend([flag, "127.0.0.1:0"]);
    }
    args.into_iter().map(str::to_owned).collect()
}

pub(crate) fn requestor(dir: &Path, processor: &Role) -> Role {
    let url = format!("http://{}", processor.address("grpc"));
    let store = format!("embedded:{}", dir.join("requestor").display());
    let mut args = vec!["requestor", "--processor", &url, "--store", &store];
    for flag in ["--rest-addr", "--metrics-addr"] {
        args.extend([flag, "127.0.0.1:0"]);
    }
    Role::start(&args, dir)
}

fn propose(rest: SocketAddr, id: &str, seller: &str) -> bool {
    let body = format!(
        r#"{{"order_req_id":"{ORDER}","proposal_id":"{id}","seller":"{seller}",
            "price":"10.50","currency":"EUR","alternative":"{id}"}}"#
    );
    post(rest, "/api/v1/proposals", &body).is_ok_and(|response| response.status == 201)
}

/// Returns the events of the order, as its owner has them.
fn events(rest: SocketAddr) -> Vec<Value> {
    let text = get(rest, &format!("/orders/{ORDER}/events")).unwrap().text;
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(|data| serde_json::from_str(data).unwrap()).collect()
}

/// Returns the notifications due, as `path topic seq`, from the list of events alone.
fn due(events: &[Value]) -> BTreeSet<String> {
    let mut due = BTreeSet::new();
    let mut add = |path: &str, topic: &str, seq: u64| {
        due.insert(format!("{path} dev.orderstream.{topic} {seq:020}"));
    };
    for event in events {
        let seq = event["seq"].as_u64().unwrap();
        let both = |add: &mut dyn FnMut(&str, &str, u64), topic: &str| {
            for path in ["/north", "/south", "/sink"] {
                add(path, topic, seq);
            }
        };
        match event["status"].as_str().unwrap() {
            "OrderOpened" => add("/sink", "BUYER_ACKNOWLEDGEMENTS", seq),
            "SellersSelected" => both(&mut add, "SELLER_NOTIFY"),
            "NewProposal" => {
                let detail = event["detail"].to_string();
                let seller = if detail.contains("north") { "/north" } else { "/south" };
                add("/sink", "BUYER_NOTIFY", seq);
                add("/sink", "SELLER_ACKNOWLEDGEMENTS", seq);
                add(seller, "SELLER_ACKNOWLEDGEMENTS", seq);
            }
            "OrderFinalised" => {
                add("/sink", "BUYER_NOTIFY", seq);
                both(&mut add, "SELLER_NOTIFY");
            }
            "SellerNotified" | "ProposalClosed" => {}
            other => panic!("unexpected {other}"),
        }
    }
    due
}

fn named(request: &ReceivedRequest) -> String {
    let text = |field: &str| request.body[field].as_str().unwrap().to_owned();
    format!("{} {} {}", request.path, text("type"), text("sequence"))
}

/// Waits until both sellers are notified: one that proposes before needs no invitation any more.
fn until_sellers_are_notified(rest: SocketAddr) {
    until("the order knows that its sellers were told", || {
        let order = get(rest, &format!("/api/v1/orders/{ORDER}")).ok()?.json();
        let invited = order["invitations"].as_array()?;
        invited.iter().all(|one| one["state"] == "Notified").then_some(())
    });
}

/// Each arrives under one id.
#[test]
fn notifications_survive_kills_in_order() {
    let (dir, recipient) = (tempfile::tempdir().unwrap(), RecipientServer::start());
    let sink = recipient.address;
    let settings = format!("sinks: ['http://{sink}/sink']\nwebhook: {{allow-local: true}}\n");
    let mut owner = processor(dir.path(), recipient.address, &settings);
    let buyer = requestor(dir.path(), &owner);
    let rest = owner.address("rest");
    let body = format!(r#"{{"order_req_id":"{ORDER}","session_id":"s"}}"#);
    let response = post(buyer.address("requestor"), "/api/v1/orders/initiate", &body).unwrap();
    assert_eq!(response.status, 200, "{response:?}");
    until("the order is open", || {
        get(rest, &format!("/api/v1/orders/{ORDER}")).ok().filter(|response| response.status == 200)
    });
    until_sellers_are_notified(rest);
    for round in 0..6_u32 {
        for number in 0..4 {
            let (id, seller) = (format!("p{round}-{number}"), ["north", "south"][number % 2]);
            until("a proposal is taken", || propose(rest, &id, seller).then_some(()));
        }
        // In the middle of the deliveries, at any point.
        owner.kill();
        owner.restart();
    }
    let award = r#"{"proposal_id":"p0-0","reason":"the best"}"#;
    let finalised = || {
        let path = format!("/api/v1/orders/finalize/{ORDER}");
        post(buyer.address("requestor"), &path, award)
            .ok()
            .filter(|response| response.status == 200)
    };
    until("the order is awarded", finalised);
    let ended = || {
        let events = events(rest);
        let last = events.last().and_then(|event| event["status"].as_str().map(str::to_owned));
        (last.as_deref() == Some("OrderFinalised")).then_some(events)
    };
    let events = until("the order is over", ended);
    let due = due(&events);
    until("all was heard", || {
        let received: BTreeSet<String> = recipient.accepted().iter().map(named).collect();
        due.is_subset(&received).then_some(())
    });
    let mut ids: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut firsts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for request in recipient.accepted() {
        assert!(due.contains(&named(&request)), "{request:?} is not due");
        assert_eq!(request.body["id"], request.id.as_str());
        ids.entry(named(&request)).or_default().insert(request.id.clone());
        if seen.insert(request.id.clone()) {
            let sequence = request.body["sequence"].as_str().unwrap().to_owned();
            firsts.entry(request.path).or_default().push(sequence);
        }
    }
    for (what, ids) in &ids {
        assert_eq!(ids.len(), 1, "{what}: {ids:?}");
    }
    for (who, sequences) in &firsts {
        assert!(sequences.is_sorted(), "{who}: {sequences:?}");
    }
    // Nothing is left to do, and the outbox shows it.
    until("the outbox is empty", || {
        let path = format!("/api/v1/orders/{ORDER}/notifications");
        let listed = get(rest, &path).unwrap().json();
        (listed["waiting"] == 0 && listed["notifications"] == Value::Array(Vec::new()))
            .then_some(())
    });
}

/// Nothing listens at the address, and it is this machine's, which is refused unless it is allowed.
#[test]
fn status_lists_undelivered_notifications() {
    let dir = tempfile::tempdir().unwrap();
    let processor = processor(dir.path(), SocketAddr::from(([127, 0, 0, 1], 9)), "{}");
    let requestor = requestor(dir.path(), &processor);
    let body = format!(r#"{{"order_req_id":"{ORDER}","notification_type":"Webhook"}}"#);
    let initiate = "/api/v1/orders/initiate";
    let response = post(requestor.address("requestor"), initiate, &body).unwrap();
    assert_eq!(response.status, 200, "{response:?}");
    let rest = processor.address("rest");
    until("both are given up", || {
        let listed = get(rest, &format!("/api/v1/orders/{ORDER}/notifications")).ok()?.json();
        (listed["dead"] == 2).then_some(())
    });
    let status = |more: &[&str]| {
        let sellers = format!("http://{rest}");
        let output = crate::process::run(
            &[&["status", ORDER, "--processor-rest", &sellers][..], more].concat(),
        );
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let table = status(&[]);
    for seller in ["north", "south"] {
        let is_listed =
            |line: &str| ["SELLER_NOTIFY", seller, "dead"].iter().all(|part| line.contains(part));
        assert!(table.lines().any(is_listed), "{table}");
    }
    let report: Value = serde_json::from_str(&status(&["-o", "json"])).unwrap();
    let first = &report["notifications"][0];
    assert_eq!(
        (&first["seller"], &first["channel"]),
        (&"north".into(), &"Webhook".into()),
        "{first}"
    );
    assert!(first["reason"].as_str().is_some_and(|why| why.contains("local")), "{first}");
}

/// Runs a command on the notifications; returns its exit code, its output and its error.
fn notify(line: &str, processor: &Role, requestor: &Role) -> (Option<i32>, String, String) {
    let sellers = format!("http://{}", processor.address("rest"));
    let server = format!("http://{}", requestor.address("requestor"));
    let mut args: Vec<&str> = line.split(' ').collect();
    args.extend(["--processor-rest", &sellers, "--server", &server]);
    let output = crate::process::run(&args);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// This machine's addresses are refused unless they are allowed, so that nothing is delivered.
#[test]
fn dead_letters_are_listed_and_sent_again() {
    let dir = tempfile::tempdir().unwrap();
    let processor = processor(dir.path(), SocketAddr::from(([127, 0, 0, 1], 9)), "{}");
    let requestor = requestor(dir.path(), &processor);
    let run = |line: &str| notify(line, &processor, &requestor);
    assert_eq!(run("notify dead").1, "no notification was given up\n");
    let body = format!(r#"{{"order_req_id":"{ORDER}","notification_type":"Webhook"}}"#);
    let initiate = "/api/v1/orders/initiate";
    let response = post(requestor.address("requestor"), initiate, &body).unwrap();
    assert_eq!(response.status, 200, "{response:?}");
    let dead = || {
        let (_, json, error) = run(&format!("notify dead {ORDER} -o json"));
        let report: Value = serde_json::from_str(&json).unwrap_or_else(|_| panic!("{error}"));
        let all = report["notifications"].as_array().unwrap().clone();
        (all.len() == 2).then_some(all)
    };
    let given_up = until("both are given up", || {
        let (code, _, _) = run(&format!("notify dead {ORDER}"));
        if code == Some(0) { dead() } else { None }
    });
    let (_, table, _) = run("notify dead");
    for entry in &given_up {
        let (id, seller) = (entry["notification_id"].as_str().unwrap(), &entry["seller"]);
        let line = table.lines().find(|line| line.starts_with(id)).unwrap();
        assert!(line.contains(seller.as_str().unwrap()) && line.contains("local"), "{table}");
    }
    assert!(table.ends_with("next: orderstream notify replay --all\n"), "{table}");
    let (_, text, error) = run("notify replay --all");
    assert_eq!(text, "2 notifications to be sent again\n", "{error}");
    until("both are given up again", dead);
    let id = given_up[0]["notification_id"].as_str().unwrap();
    let (_, json, error) = run(&format!("notify replay {id} -o json"));
    let report: Value = serde_json::from_str(&json).unwrap_or_else(|_| panic!("{error}"));
    assert_eq!(report["notifications"][0]["order_req_id"], ORDER, "{report}");
    let (code, _, error) = run("notify replay nonsense");
    assert!(code == Some(4) && error.contains("[NOTIFICATION_NOT_FOUND]"), "{error}");
}

#[test]
fn waiting_notifications_are_listed() {
    let (dir, recipient) = (tempfile::tempdir().unwrap(), RecipientServer::start());
    recipient.state.is_down.store(true, Ordering::SeqCst);
    let settings = "webhook: {allow-local: true}\n";
    let processor = processor(dir.path(), recipient.address, settings);
    let requestor = requestor(dir.path(), &processor);
    let body = format!(r#"{{"order_req_id":"{ORDER}","session_id":"s"}}"#);
    let initiate = "/api/v1/orders/initiate";
    let response = post(requestor.address("requestor"), initiate, &body).unwrap();
    assert_eq!(response.status, 200, "{response:?}");
    let table = until("both wait", || {
        let (_, table, _) = notify("notify pending", &processor, &requestor);
        let is_waiting = |seller: &str| {
            let mut lines = table.lines().filter(|line| line.starts_with(ORDER));
            lines.any(|line| line.contains(seller) && line.contains("503"))
        };
        (is_waiting("north") && is_waiting("south")).then_some(table)
    });
    assert!(table.starts_with("ORDER "), "{table}");
}

/// One line names the fault, and no port is open before.
#[test]
fn wrong_settings_are_refused_at_start() {
    let dir = tempfile::tempdir().unwrap();
    for (settings, expected) in [
        ("smpt: {}", "unknown field `smpt`"),
        ("sinks: ['ftp://x']", "sinks[0]: is not http, https or nats"),
        ("smtp: {url: 'smtp://u@h', from: 'a@b.c'}", "give password-file too"),
        ("smtp: {url: 'smtp://h?tls=maybe', from: 'a@b.c'}", "not required, optional or none"),
        ("webhook: {secret-files: [/nowhere]}", "/nowhere: No such file"),
        ("sms: {url: 'https://h/', body: '{{ what }}'}", "sms.body"),
        ("templates: /nowhere", "/nowhere: No such file"),
    ] {
        let file = dir.path().join("notify.yaml");
        std::fs::write(&file, settings).unwrap();
        let data = dir.path().join("data");
        for role in ["processor", "dev"] {
            let args = [role, "--data-dir", data.to_str().unwrap(), "--notify-config"];
            let output = crate::process::run(&[&args[..], &[file.to_str().unwrap()]].concat());
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{settings}: {stderr}");
            assert!(stderr.contains(expected), "{settings}: {stderr}");
            // All of it fits a pod's termination message.
            assert_eq!(stderr.trim().lines().count(), 1, "{settings}: {stderr}");
        }
    }
}

#[test]
fn dev_notifies_local_programs_if_allowed() {
    let (dir, recipient) = (tempfile::tempdir().unwrap(), RecipientServer::start());
    let file = dir.path().join("notify.yaml");
    std::fs::write(&file, format!("sinks: ['http://{}/sink']", recipient.address)).unwrap();
    let more = ["--notify-config", file.to_str().unwrap(), "--webhook-allow-local"];
    let dev = crate::process::dev(dir.path(), &more);
    let body = format!(r#"{{"order_req_id":"{ORDER}","session_id":"s"}}"#);
    let response = post(dev.address("requestor"), "/api/v1/orders/initiate", &body).unwrap();
    assert_eq!(response.status, 200, "{response:?}");
    let expected = "/sink dev.orderstream.BUYER_ACKNOWLEDGEMENTS 00000000000000000001";
    until("the sink is told", || {
        recipient.accepted().iter().any(|request| named(request) == expected).then_some(())
    });
}

/// A clock that is fixed at 0; nothing here reads it.
#[derive(Debug)]
struct FrozenClock;

impl orderstream_core::port::Clock for FrozenClock {
    fn now(&self) -> orderstream_core::Timestamp {
        orderstream_core::Timestamp(0)
    }
}

/// The chart's own test holds the text that it writes; here that text is loaded.
#[tokio::test]
async fn chart_settings_set_up_channels() {
    let dir = tempfile::tempdir().unwrap();
    for (key, secret) in [
        ("secrets/smtp-password", "secret"),
        ("secrets/sms-authorization", "Bearer secret"),
        ("secrets/webhook-secret", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        ("templates/de-at/invitation.j2", "Anfrage {{ about }}\n"),
    ] {
        let path = dir.path().join(key);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, secret).unwrap();
    }
    let cases = std::fs::read_to_string(root().join("deploy/helm/tests/cases.yaml")).unwrap();
    let cases: Vec<Value> = serde_saphyr::from_str(&cases).unwrap();
    let claims = cases.iter().filter_map(|case| case["claims"].as_array()).flatten();
    let texts = claims.filter(|claim| claim["path"] == "/data/notify.yaml");
    let texts: Vec<_> = texts.map(|claim| claim["is"].as_str().unwrap()).collect();
    assert!(texts.len() >= 3, "{texts:?}");
    let path_of = |name: &str| dir.path().join(name).display().to_string();
    for text in texts {
        let text = text
            .replace("/etc/orderstream-notification-secrets", &path_of("secrets"))
            .replace("/etc/orderstream-templates", &path_of("templates"));
        let file = dir.path().join("notify.yaml");
        std::fs::write(&file, &text).unwrap();
        let settings = orderstream_notifier::Config::load(&file).unwrap();
        let outgoing = orderstream_notifier::Outgoing::default();
        let clock = Arc::new(FrozenClock);
        let channels =
            orderstream_notifier::NotificationChannels::new(settings, &outgoing, clock).unwrap();
        assert_eq!(channels.summary().contains("Email on, SMS on"), text.contains("smtp:"));
    }
}

#[test]
fn previews_print_rendered_notifications() {
    let output = crate::process::run(&[
        "notify",
        "preview",
        "pause",
        "--channel",
        "Email",
        "--language",
        "de-AT",
    ]);
    let text = String::from_utf8_lossy(&output.stdout);
    let expected = "Angehalten: Steel beams for hall 4 (A-2026-17)\n\n\
                  Zurzeit werden keine Angebote angenommen.\n\nThe budget is set.\n";
    assert_eq!(text, expected);
    let output = crate::process::run(&["notify", "preview", "nothing"]);
    assert_eq!(output.status.code(), Some(2));
}
