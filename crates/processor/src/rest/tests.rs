//! Tests of the problems that sellers receive for wrong requests, and of the end of event streams.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{Method, header};
use http_body_util::BodyExt as _;
use orderstream_core::port::{Clock, SellerDirectory};
use orderstream_core::spec::Seller;
use orderstream_core::{OrderSpec, Timestamp};
use orderstream_journal::{Embedded, Options};
use orderstream_rpc::problem::CONTENT_TYPE;
use orderstream_rpc::server::http::{self as plain, HttpLimits};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use orderstream_core::{OrderKey, Tenant};
use serde_json::json;

use super::*;
use crate::limits::KEEP_ENDED;
use crate::metrics::Metrics;
use crate::orders::{Join, Parts};

/// Longer than anything in these tests takes; a test that reaches it is stuck.
const STUCK: Duration = Duration::from_secs(30);

#[derive(Debug)]
struct FrozenClock;

impl Clock for FrozenClock {
    fn now(&self) -> Timestamp {
        Timestamp(1_000)
    }
}

#[derive(Debug)]
struct SellerlessDirectory;

impl SellerDirectory for SellerlessDirectory {
    fn sellers(&self, _: &Tenant) -> Arc<[Seller]> {
        Arc::default()
    }
}

/// The REST over one open order, `SB1`.
pub(super) struct Rig {
    orders: OwnedOrders,
    _dir: tempfile::TempDir,
}

impl Rig {
    pub(super) async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().to_owned();
        let orders = tokio::task::spawn_blocking(move || {
            let journal = Arc::new(Embedded::open(&path, Options::default()).unwrap());
            let metrics = Metrics::new(&prometheus::Registry::new()).unwrap();
            let (directory, clock) = (Arc::new(SellerlessDirectory), Arc::new(FrozenClock));
            OwnedOrders::replay(Parts {
                journal,
                directory,
                clock,
                metrics,
                keep_ended: KEEP_ENDED,
            })
            .unwrap()
        });
        let orders = orders.await.unwrap();
        let rig = Self { orders, _dir: dir };
        rig.open(&OrderKey::new("", "SB1").unwrap()).await;
        rig
    }

    pub(super) async fn open(&self, key: &OrderKey) {
        let join =
            Join { key: key.clone(), incarnation: None, spec: OrderSpec::default(), tracker: None };
        self.orders.open(join).await.unwrap();
    }

    pub(super) const fn orders(&self) -> &OwnedOrders {
        &self.orders
    }

    pub(super) async fn ask(&self, method: Method, path: &str, body: &str) -> (u16, String, Value) {
        let request = Request::builder().method(method).uri(path);
        // The content type that `curl -d` sends; bodies are read as JSON all the same.
        let request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let response = router(self.orders.clone()).oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let kind = head.headers.get(header::CONTENT_TYPE).map(|kind| kind.to_str().unwrap());
        let kind = kind.unwrap_or_default().to_owned();
        let bytes = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        (head.status.as_u16(), kind, serde_json::from_slice(&bytes).unwrap_or_default())
    }
}

/// Method, path, body; status, reason, field.
type Row<'a> = (Method, &'a str, &'a str, u16, &'a str, Option<&'a str>);

#[tokio::test]
async fn bad_input_is_named_in_problem() {
    const PROPOSALS: &str = "/api/v1/proposals";
    const ONE: &str = "/api/v1/orders/SB1";
    const INBOX: &str = "/api/v1/sellers/a/invitations";
    const FIELD: &str = "INVALID_FIELD";
    const REQUEST: &str = "INVALID_REQUEST";
    let rig = Rig::start().await;
    let long = format!(r#"{{"note": "{}"}}"#, "x".repeat(70_000));
    let priced = |price: &str| {
        format!(r#"{{"order_req_id": "SB1", "seller": "a", "currency": "EUR", "price": {price}}}"#)
    };
    let (mistyped, negative) = (priced("true"), priced(r#""-1""#));
    let table: [Row<'_>; 28] = [
        (Method::GET, "/api/v1/nothing", "", 404, REQUEST, None),
        (Method::PATCH, PROPOSALS, "{}", 405, REQUEST, None),
        (Method::GET, "/api/v1/orders/none", "", 404, "ORDER_NOT_FOUND", None),
        (Method::GET, "/api/v1/proposals/p?order_req_id=SB1", "", 404, "PROPOSAL_NOT_FOUND", None),
        (
            Method::GET,
            "/api/v1/proposals/%FF?order_req_id=SB1",
            "",
            422,
            FIELD,
            Some("proposal_id"),
        ),
        (Method::GET, "/api/v1/proposals/p", "", 422, FIELD, Some("order_req_id")),
        (Method::GET, "/api/v1/proposals/p?order_id=SB1", "", 422, FIELD, Some("order_id")),
        (Method::GET, "/api/v1/orders/%FF", "", 422, FIELD, Some("order_req_id")),
        (Method::GET, "/api/v1/orders/SB1?tennant=a", "", 422, FIELD, Some("tennant")),
        (Method::GET, "/api/v1/orders?limit=many", "", 422, FIELD, Some("limit")),
        (Method::GET, "/api/v1/orders?after=no%20name", "", 422, FIELD, Some("after")),
        (Method::GET, "/api/v1/orders?tenant=no%20name", "", 422, FIELD, Some("tenant")),
        (Method::GET, &format!("{ONE}/proposals?after=no%20name"), "", 422, FIELD, Some("after")),
        (Method::GET, &format!("{ONE}/proposals?limit=-1"), "", 422, FIELD, Some("limit")),
        (Method::GET, &format!("{ONE}/events?after=x"), "", 422, FIELD, Some("after")),
        (Method::GET, &format!("{ONE}/events?from=1"), "", 422, FIELD, Some("from")),
        (Method::GET, "/api/v1/sellers/no%20name/invitations", "", 422, FIELD, Some("seller")),
        (Method::GET, &format!("{INBOX}?after=no%20name"), "", 422, FIELD, Some("after")),
        (Method::GET, &format!("{INBOX}?tenant=no%20name"), "", 422, FIELD, Some("tenant")),
        (Method::GET, &format!("{INBOX}?ended=maybe"), "", 422, FIELD, Some("ended")),
        (Method::POST, "/api/v1/proposals?tenant=a", "{}", 422, FIELD, Some("tenant")),
        (Method::POST, PROPOSALS, "", 400, REQUEST, None),
        (Method::POST, PROPOSALS, "{\"price\": ", 400, REQUEST, None),
        (Method::POST, PROPOSALS, "[]", 400, REQUEST, None),
        (Method::POST, PROPOSALS, &long, 413, "LIMIT_REACHED", None),
        (Method::POST, PROPOSALS, &mistyped, 422, FIELD, Some("price")),
        (Method::POST, PROPOSALS, &negative, 422, FIELD, Some("price")),
        (Method::POST, &format!("{ONE}/decline"), r#"{"seller": 7}"#, 422, FIELD, Some("seller")),
    ];
    for (method, path, body, status, reason, field) in table {
        let (got, kind, problem) = rig.ask(method, path, body).await;
        assert_eq!((got, kind.as_str()), (status, CONTENT_TYPE), "{path} {problem}");
        assert_eq!(problem["status"], status, "{path} {problem}");
        assert_eq!(problem["reason"], reason, "{path} {problem}");
        assert_eq!(problem["field"].as_str(), field, "{path} {problem}");
        assert_eq!(problem["type"], format!("https://orderstream.dev/problems/{reason}"));
    }
    let (status, _, order) = rig.ask(Method::GET, ONE, "").await;
    assert_eq!((status, &order["proposals"]["received"]), (200, &json!(0)), "nothing was stored");
    let (status, ..) = rig.ask(Method::POST, PROPOSALS, &priced("9.5")).await;
    assert_eq!(status, 201);
}

/// A field that nothing reads would change what is offered without a word.
#[tokio::test]
async fn misspelt_fields_are_refused_with_the_fix() {
    let rig = Rig::start().await;
    let offer = |more: Value| {
        let mut body = json!({
            "order_req_id": "SB1", "proposal_id": "p", "seller": "a", "price": "9", "currency": "EUR",
        });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let lines = offer(json!({"lines": [{"sku": "A", "substitute": "B"}]}));
    let until = offer(json!({"valid_till": "2030-12-31"}));
    for (request, body, field, fix) in [
        ("POST proposals", until, "valid_till", "write valid_until"),
        ("POST proposals", lines, "lines[0].substitute", "write substitutes"),
        ("POST proposals", offer(json!({"discount": 1})), "discount", "use one of tenant, order"),
        ("POST proposals", offer(json!({"note": 7})), "note", "give a text; put it in quotes"),
        ("PUT proposals/p", offer(json!({"notes": "x"})), "notes", "write note"),
        ("POST proposals/p/withdraw", json!({"sellr": "a"}), "sellr", "write seller"),
        ("POST proposals/p/edit-lock", json!({"lease": 1}), "lease", "write lease_ms"),
        ("DELETE proposals/p/edit-lock", json!({"owner": "a"}), "owner", "order_req_id, holder"),
        ("POST proposals/p/followup", json!({"followup": "f"}), "followup", "write follow_up_id"),
        ("POST orders/SB1/questions", json!({"id": "q-1"}), "id", "question_id, message"),
        ("POST orders/SB1/seen", json!({"by": "a"}), "by", "use one of tenant, seller, seller_id"),
        ("POST orders/SB1/decline", json!({"reasons": "far"}), "reasons", "write reason"),
    ] {
        let (method, path) = request.split_once(' ').unwrap();
        let path = format!("/api/v1/{path}");
        let (status, _, problem) = rig.ask(method.parse().unwrap(), &path, &body.to_string()).await;
        assert_eq!((status, problem["field"].as_str()), (422, Some(field)), "{request} {problem}");
        assert_eq!(problem["reason"], "INVALID_FIELD", "{request} {problem}");
        assert!(problem["detail"].as_str().unwrap().contains(fix), "{request} {problem}");
    }
    let (_, _, order) = rig.ask(Method::GET, "/api/v1/orders/SB1", "").await;
    assert_eq!(order["last_seq"], 2, "nothing was stored");
}

/// A wrong number names its range, and an empty one counts as absent.
#[tokio::test]
async fn numbers_in_queries_have_a_range() {
    let rig = Rig::start().await;
    let proposal = r#"{"order_req_id": "SB1", "proposal_id": "p", "seller": "a", "price": "9",
        "currency": "EUR"}"#;
    assert_eq!(rig.ask(Method::POST, "/api/v1/proposals", proposal).await.0, 201);
    for (path, name, range) in [
        ("orders?", "limit", "1 to 1000"),
        ("orders/SB1/proposals?", "limit", "1 to 500"),
        ("orders/SB1/conversation?", "limit", "1 to 500"),
        ("orders/SB1/conversation?", "after", "0 to 18446744073709551615"),
        ("orders/SB1/comparison?", "limit", "1 to 500"),
        ("orders/SB1/events?", "after", "0 to 18446744073709551615"),
        ("proposals/p/versions?order_req_id=SB1&", "after", "0 to 4294967295"),
        ("proposals/p/versions?order_req_id=SB1&", "limit", "1 to 100"),
        ("sellers/a/invitations?", "limit", "1 to 200"),
        ("dead-letters?", "limit", "1 to 500"),
    ] {
        let path = format!("/api/v1/{path}{name}=");
        let (status, _, problem) = rig.ask(Method::GET, &format!("{path}-1"), "").await;
        assert_eq!((status, problem["field"].as_str()), (422, Some(name)), "{path} {problem}");
        let detail = format!("is a whole number from {range}, and this is `-1`");
        assert_eq!(problem["detail"], detail, "{path}");
        // A stream of an open order has no end.
        if !path.contains("/events") {
            let (status, _, page) = rig.ask(Method::GET, &path, "").await;
            assert_eq!(status, 200, "{path} {page}");
        }
    }
}

#[tokio::test]
async fn null_is_absent_and_a_mark_ignored() {
    let rig = Rig::start().await;
    let proposal = r#"{"order_req_id": "SB1", "tenant": null, "proposal_id": null, "seller": "a",
        "price": "9.5", "currency": "EUR", "lines": null, "note": null, "delivery_date": null,
        "valid_until": null, "attachments": null}"#;
    let marked = format!("\u{feff}{}", proposal.replace("\"a\"", "\"b\""));
    for body in [proposal, &marked] {
        let (status, _, reply) = rig.ask(Method::POST, "/api/v1/proposals", body).await;
        assert_eq!(status, 201, "{body} {reply}");
    }
    let unpriced = proposal.replace("\"9.5\"", "null");
    let (status, _, problem) = rig.ask(Method::POST, "/api/v1/proposals", &unpriced).await;
    assert_eq!((status, problem["field"].as_str()), (422, Some("price")), "{problem}");
}

/// The HTTP server's time limits end no stream.
#[tokio::test]
async fn event_streams_outlive_limits_until_drain() {
    let short = Duration::from_millis(100);
    let bounds = HttpLimits {
        header_read_timeout: short,
        idle_timeout: short,
        body_read_timeout: short,
        drain_timeout: STUCK * 2,
        ..HttpLimits::default()
    };
    let rig = Rig::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let mut tasks = JoinSet::new();
    tasks.spawn(plain::serve(listener, router(rig.orders.clone()), bounds, shutdown.clone()));
    let mut socket = TcpStream::connect(address).await.unwrap();
    let request = b"GET /orders/SB1/events HTTP/1.1\r\nhost: test\r\n\r\n";
    socket.write_all(request).await.unwrap();
    let mut bytes = Vec::new();
    let quiet = async { while socket.read_buf(&mut bytes).await.unwrap() > 0 {} };
    tokio::time::timeout(short * 5, quiet).await.expect_err("it stays open");
    shutdown.cancel();
    rig.orders.drain();
    let rest = tokio::time::timeout(STUCK, socket.read_to_end(&mut bytes));
    rest.await.unwrap().unwrap();
    let text = String::from_utf8(bytes).unwrap();
    assert!(text.contains("event: OrderOpened"), "{text}");
    assert!(text.contains("event: Draining"), "{text}");
    assert!(text.ends_with("0\r\n\r\n"), "the answer ends as it should: {text}");
    tokio::time::timeout(STUCK, tasks.join_next()).await.unwrap();
}

/// The next page begins where the last one ended.
#[tokio::test]
async fn pages_of_long_proposals_end_early() {
    const PROPOSALS: usize = 100;
    let rig = Rig::start().await;
    let note = "x".repeat(4_000);
    for serial in 0..PROPOSALS {
        let body = json!({
            "order_req_id": "SB1", "proposal_id": format!("p{serial:03}"), "seller": format!("s{serial}"),
            "price": "1", "currency": "EUR", "note": note,
        });
        let (status, ..) = rig.ask(Method::POST, "/api/v1/proposals", &body.to_string()).await;
        assert_eq!(status, 201);
    }
    let (mut after, mut pages, mut listed) = (String::new(), 0, Vec::new());
    loop {
        let path = format!("/api/v1/orders/SB1/proposals?limit=500&after={after}");
        let (status, _, page) = rig.ask(Method::GET, &path, "").await;
        assert_eq!(status, 200);
        assert!(page.to_string().len() <= 2 * crate::limits::PAGE_BYTES_MAX);
        pages += 1;
        let proposals = page["proposals"].as_array().unwrap();
        listed.extend(proposals.iter().map(|p| p["proposal_id"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => next.clone_into(&mut after),
            None => break,
        }
    }
    let expected: Vec<_> = (0..PROPOSALS).map(|serial| format!("p{serial:03}")).collect();
    assert!(pages > 1 && listed == expected, "{pages} pages: {listed:?}");
}

/// A comment is sent every 15 seconds, so that proxies keep the connection.
#[tokio::test]
async fn silent_streams_carry_comments() {
    let rig = Rig::start().await;
    let path = "/api/v1/orders/SB1/events?after=2";
    let request = Request::builder().uri(path).body(Body::empty()).unwrap();
    let response = router(rig.orders.clone()).oneshot(request).await.unwrap();
    assert_eq!(response.status(), 200);
    let mut body = response.into_body();
    // From here on time only passes while everything waits.
    tokio::time::pause();
    let began = tokio::time::Instant::now();
    for _ in 0..3 {
        let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert!(frame.starts_with(b":"), "a comment: {frame:?}");
    }
    assert_eq!(began.elapsed().as_secs(), 45);
}
