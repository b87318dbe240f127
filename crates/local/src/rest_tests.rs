//! Tests of the paths of the local API server over real connections, and of its loop.

use std::time::Duration;

use orderstream_rpc::problem;
use orderstream_rpc::server::http::{self, HttpLimits};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::tests::Rig;
use super::*;

/// The time that a body may take in these tests.
const SLOW: Duration = Duration::from_millis(200);
const BASE: &str = "/apis/orderstream.dev/v1alpha1";
const NAMED: &str = "/apis/orderstream.dev/v1alpha1/namespaces/default/orderrequests/chairs";

struct TestServer {
    rig: Rig,
    address: std::net::SocketAddr,
    _server: JoinSet<()>,
}

async fn serve() -> TestServer {
    let rig = Rig::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    // The routes as the binary serves them.
    let router = problem::with_fallbacks(rest::router(rig.local.clone()));
    let mut server = JoinSet::new();
    let bounds = HttpLimits { body_read_timeout: SLOW, ..HttpLimits::default() };
    server.spawn(http::serve(listener, router, bounds, CancellationToken::new()));
    TestServer { rig, address, _server: server }
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
        while served.call("GET", NAMED, "").await.2["status"]["phase"] != "Streaming" {
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
    assert_eq!((code, &shown["status"]["phase"]), (200, &Value::from("Streaming")));
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
