//! Tests of the paths of the local API server over real connections, and of its loop.

use std::time::Duration;

use orderstream_rpc::problem;
use orderstream_rpc::server::http::{self, HttpLimits};
use orderstream_testbed::{ManifestCase, ManifestReading};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::tests::{Rig, hand_clock};
use super::*;

/// The time that a body may take in these tests.
const SLOW: Duration = Duration::from_millis(200);
const BASE: &str = "/apis/orderstream.dev/v1alpha1";
const NAMED: &str = "/apis/orderstream.dev/v1alpha1/namespaces/default/orderrequests/chairs";

struct TestServer {
    rig: Rig,
    address: std::net::SocketAddr,
    _server: JoinSet<()>,
    _sellers: tempfile::TempDir,
}

async fn serve() -> TestServer {
    let dir = tempfile::tempdir().unwrap();
    let sellers = LocalSellers::open(dir.path(), Vec::new(), hand_clock()).unwrap();
    serve_with(dir, Some(sellers)).await
}

async fn serve_with(dir: tempfile::TempDir, sellers: Option<LocalSellers>) -> TestServer {
    let rig = Rig::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    // The routes as the binary serves them.
    let router = rest::router(rig.local.clone(), sellers);
    let router = problem::with_fallbacks(router, problem::PortSide::Buyers);
    let mut server = JoinSet::new();
    let bounds = HttpLimits { body_read_timeout: SLOW, ..HttpLimits::default() };
    server.spawn(http::serve(listener, router, bounds, CancellationToken::new()));
    TestServer { rig, address, _server: server, _sellers: dir }
}

impl TestServer {
    /// Returns status, content type and body of a response.
    async fn call(&self, method: &str, path: &str, body: &str) -> (u16, String, Value) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\
             content-length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut response = Vec::new();
        stream.read_to_end(&mut response).await.unwrap();
        let response = String::from_utf8(response).unwrap();
        let (head, body) = response.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a code");
        let kind = head.lines().find_map(|line| line.strip_prefix("content-type: "));
        let kind = kind.unwrap_or_default().to_owned();
        (status, kind, serde_json::from_str(body).unwrap_or_default())
    }
}

fn manifest(spec: &str) -> String {
    format!(
        r#"{{"apiVersion": "orderstream.dev/v1alpha1", "kind": "OrderRequest",
            "metadata": {{"name": "chairs"}}, "spec": {spec}}}"#
    )
}

#[tokio::test]
async fn buyers_verbs_work_over_http() {
    let served = serve().await;
    let (code, _, created) = served.call("PUT", NAMED, &manifest("{}")).await;
    assert_eq!((code, &created["metadata"]["generation"]), (201, &Value::from(1)));
    let (code, _, same) = served.call("PUT", NAMED, &created.to_string()).await;
    assert_eq!((code, &same), (200, &created));
    let (code, _, read) = served.call("GET", NAMED, "").await;
    assert_eq!((code, &read), (200, &created));
    for path in
        [format!("{BASE}/orderrequests"), format!("{BASE}/namespaces/default/orderrequests")]
    {
        let (code, _, list) = served.call("GET", &path, "").await;
        assert_eq!((code, list["kind"].as_str()), (200, Some("OrderRequestList")));
        assert_eq!(list["items"], Value::Array(vec![created.clone()]));
    }
    let (code, _, deleted) = served.call("DELETE", NAMED, "").await;
    assert_eq!(code, 200);
    assert!(deleted["metadata"]["deletionTimestamp"].is_string(), "{deleted}");
}

/// A PUT replaces the resource instead.
#[tokio::test]
async fn patches_are_merged() {
    let served = serve().await;
    let document = manifest(r#"{"title": "Chairs", "ttlAfterFinished": "2h"}"#);
    let (code, ..) = served.call("PATCH", NAMED, &document).await;
    assert_eq!(code, 201);
    let (_, _, mut read) = served.call("GET", NAMED, "").await;
    read["spec"]["suspend"] = true.into();
    let (code, ..) = served.call("PUT", NAMED, &read.to_string()).await;
    assert_eq!(code, 200);
    let (code, _, same) = served.call("PATCH", NAMED, &document).await;
    assert_eq!((code, &same["spec"]["suspend"]), (200, &Value::Bool(true)));
    assert_eq!(same["metadata"]["generation"], 2);
    let less = manifest(r#"{"title": "Chairs"}"#);
    let (_, _, fewer) = served.call("PATCH", NAMED, &less).await;
    assert_eq!(fewer["spec"]["ttlAfterFinished"], "7d");
    let (_, _, replaced) = served.call("PUT", NAMED, &less).await;
    assert_eq!(replaced["spec"]["suspend"], false);
}

#[tokio::test]
async fn manifests_are_read_as_the_table_says() {
    for case in ManifestCase::all() {
        let served = serve().await;
        let plural = format!("{}s", case.kind.to_lowercase());
        let path = format!("{BASE}/namespaces/default/{plural}/{}", case.named);
        let (code, _, reply) = served.call("PATCH", &path, &case.text).await;
        let is_taken = case.reading == ManifestReading::Taken;
        assert_eq!(code == 201, is_taken, "{}: {code} {reply}", case.text);
        if is_taken {
            let differences = case.differences(&reply["spec"]);
            assert_eq!(differences, Vec::<String>::new(), "{}", case.text);
        }
    }
}

fn seller(name: &str, spec: &str) -> String {
    manifest(spec).replace("OrderRequest", "Seller").replace("chairs", name)
}

#[tokio::test]
async fn sellers_are_applied_and_deleted() {
    let served = serve().await;
    let named = format!("{BASE}/namespaces/default/sellers/acme");
    let (code, _, created) =
        served.call("PATCH", &named, &seller("acme", r#"{"capacity": 3}"#)).await;
    assert_eq!((code, &created["metadata"]["namespace"]), (201, &Value::from("default")));
    let (code, _, read) = served.call("GET", &named, "").await;
    assert_eq!((code, &read), (200, &created));
    let (code, _, same) = served.call("PATCH", &named, &seller("acme", r#"{"capacity": 3}"#)).await;
    assert_eq!((code, &same), (200, &created));
    let (_, _, other) = served.call("PUT", &named, &seller("acme", "{}")).await;
    assert_eq!(
        (&other["spec"]["capacity"], &other["metadata"]["generation"]),
        (&Value::Null, &Value::from(2))
    );
    for path in [format!("{BASE}/sellers"), format!("{BASE}/namespaces/default/sellers")] {
        let (_, _, list) = served.call("GET", &path, "").await;
        assert_eq!(
            (list["kind"].as_str(), list["items"].as_array().unwrap().len()),
            (Some("SellerList"), 1)
        );
    }
    for (path, body, code, field) in [
        (&named, seller("other", "{}"), 422, Some("metadata.name")),
        (&named, seller("acme", r#"{"capacity": 0}"#), 422, Some("spec.capacity")),
        (&named, manifest("{}"), 400, None),
    ] {
        let (got, _, problem) = served.call("PATCH", path, &body).await;
        assert_eq!((got, problem["field"].as_str()), (code, field), "{problem}");
    }
    assert_eq!(served.call("DELETE", &named, "").await.0, 200);
    let (code, _, gone) = served.call("GET", &named, "").await;
    assert_eq!((code, &gone["reason"]), (404, &Value::from("ORDER_NOT_FOUND")));
}

/// A requestor has none: its processors are given theirs.
#[tokio::test]
async fn servers_without_sellers_name_their_place() {
    let served = serve_with(tempfile::tempdir().unwrap(), None).await;
    let named = format!("{BASE}/namespaces/default/sellers/acme");
    for (method, path) in [("GET", format!("{BASE}/sellers")), ("PATCH", named)] {
        let (code, kind, problem) = served.call(method, &path, &seller("acme", "{}")).await;
        assert_eq!((code, kind.as_str()), (400, "application/problem+json"));
        assert!(problem["detail"].as_str().unwrap().contains("processor --sellers"), "{problem}");
    }
}

/// They name the reason and the field.
#[tokio::test]
async fn refusals_are_problem_documents() {
    let served = serve().await;
    let (code, ..) = served.call("PUT", NAMED, &manifest("{}")).await;
    assert_eq!(code, 201);
    let field = manifest(r#"{"expiresIn": "1s"}"#);
    let fixed = manifest(r#"{"category": "x"}"#);
    let shrunk = manifest(r#"{"expiresIn": "29m"}"#);
    let other = manifest("{}").replace("chairs", "tables");
    let large = manifest(&format!(r#"{{"title": "{}"}}"#, "x".repeat(70_000)));
    let unknown = format!("{BASE}/namespaces/default/orderrequests/none");
    let (all, dry) = (format!("{BASE}/orderrequests"), format!("{NAMED}?dryRun=All"));
    let (same, unnamed) = (manifest("{}"), format!("{BASE}/namespaces/default/orderrequests/%FF"));
    let table = [
        ("PUT", NAMED, field.as_str(), 422, "INVALID_FIELD", Some("spec.expiresIn")),
        ("PUT", NAMED, fixed.as_str(), 422, "INVALID_FIELD", Some("spec.category")),
        ("PUT", NAMED, shrunk.as_str(), 409, "EXPIRY_SHRINKS", Some("spec.expiresIn")),
        ("PUT", NAMED, other.as_str(), 422, "INVALID_FIELD", Some("metadata.name")),
        ("PUT", NAMED, "[1, 2", 400, "INVALID_REQUEST", None),
        ("PUT", NAMED, "", 400, "INVALID_REQUEST", None),
        ("PUT", NAMED, large.as_str(), 413, "LIMIT_REACHED", None),
        ("GET", unknown.as_str(), "", 404, "ORDER_NOT_FOUND", None),
        ("DELETE", unknown.as_str(), "", 404, "ORDER_NOT_FOUND", None),
        ("GET", "/apis/apps/v1/deployments", "", 404, "ORDER_NOT_FOUND", None),
        ("GET", "/elsewhere", "", 404, "INVALID_REQUEST", None),
        ("POST", NAMED, "", 405, "INVALID_REQUEST", None),
        ("DELETE", all.as_str(), "", 405, "INVALID_REQUEST", None),
        ("PUT", dry.as_str(), same.as_str(), 422, "INVALID_FIELD", Some("dryRun")),
        ("GET", unnamed.as_str(), "", 422, "INVALID_FIELD", Some("metadata.name")),
    ];
    for (method, path, body, code, reason, field) in table {
        let (got, kind, problem) = served.call(method, path, body).await;
        assert_eq!((got, kind.as_str()), (code, "application/problem+json"), "{path}: {problem}");
        assert_eq!(problem["reason"], reason, "{problem}");
        assert_eq!(problem["field"].as_str(), field, "{problem}");
        assert_eq!(problem["status"], code, "{problem}");
        for part in ["type", "title", "detail"] {
            assert!(problem[part].as_str().is_some_and(|text| !text.is_empty()), "{problem}");
        }
    }
    let (_, _, stored) = served.call("GET", NAMED, "").await;
    assert_eq!(stored["metadata"]["generation"], 1, "nothing of it was stored");
}

#[tokio::test]
async fn slow_bodies_get_a_timeout_problem() {
    let served = serve().await;
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    let head = format!("PUT {NAMED} HTTP/1.1\r\nhost: test\r\ncontent-length: 9\r\n\r\n{{");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    assert!(response.starts_with("HTTP/1.1 408 "), "{response}");
    assert!(response.contains("application/problem+json"), "{response}");
}

#[tokio::test]
async fn loop_follows_applied_orders_and_stops() {
    let served = serve().await;
    let mut running = JoinSet::new();
    running.spawn(served.rig.local.clone().run());
    let (code, ..) = served.call("PUT", NAMED, &manifest("{}")).await;
    assert_eq!(code, 201);
    let streaming = async {
        while served.call("GET", NAMED, "").await.2["status"]["phase"] != "Open" {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), streaming).await.expect("it is followed");
    served.rig.local.0.shutdown.cancel();
    let stopped = tokio::time::timeout(Duration::from_secs(10), running.join_next()).await;
    stopped.expect("it stops").expect("one task").expect("no panic");
}

#[tokio::test]
async fn statuses_that_cannot_survive_are_hidden() {
    let served = serve().await;
    served.call("PUT", NAMED, &manifest("{}")).await;
    served.rig.settle();
    let (code, _, shown) = served.call("GET", NAMED, "").await;
    assert_eq!((code, &shown["status"]["phase"]), (200, &Value::from("Open")));
    served.rig.fill();
    for path in [NAMED, &format!("{BASE}/orderrequests")] {
        let (code, _, refused) = served.call("GET", path, "").await;
        assert_eq!((code, &refused["reason"]), (503, &Value::from("STORAGE_UNAVAILABLE")));
    }
    // The edit is applied nevertheless.
    let (code, _, changed) = served.call("PUT", NAMED, &manifest(r#"{"suspend": true}"#)).await;
    assert_eq!((code, &changed["status"]), (200, &Value::Null));
    assert_eq!(changed["metadata"]["generation"], 2);
}
