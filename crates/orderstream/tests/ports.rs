//! The rules for all plain HTTP ports: one form of errors, and the end of a request whose body does
//! not end.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

use crate::http::{HttpResponse, send};
use crate::process::{WAIT_TIMEOUT, dev};

fn check(response: &HttpResponse, status: u16, reason: &str, field: Option<&str>) {
    let problem = response.json();
    assert_eq!(response.status, status, "{response:?}");
    assert_eq!(problem["type"], format!("https://orderstream.dev/problems/{reason}"), "{problem}");
    assert_eq!(problem["reason"], reason, "{problem}");
    assert_eq!(problem["status"], status, "{problem}");
    assert_eq!(problem.get("field").and_then(Value::as_str), field, "{problem}");
}

#[test]
fn all_ports_refuse_in_one_form() {
    let dir = tempfile::tempdir().unwrap();
    let dev = dev(dir.path(), &[]);
    let named = "/apis/orderstream.dev/v1alpha1/namespaces/default/orderrequests/a";
    for (port, path) in [
        ("rest", "/api/v1/orders"),
        ("requestor", "/api/v1/orders/tracking/status"),
        ("requestor", named),
        ("metrics", "/metrics"),
    ] {
        let address = dev.address(port);
        let exchange = |request: &str, body: &str| send(address, request, &[], body).unwrap();
        check(&exchange("GET /nothing/here", ""), 404, "INVALID_REQUEST", None);
        check(&exchange(&format!("OPTIONS {path}"), ""), 405, "INVALID_REQUEST", None);
        if port != "metrics" {
            check(
                &exchange(&format!("GET {path}?tennant=a"), ""),
                422,
                "INVALID_FIELD",
                Some("tennant"),
            );
        }
    }
    let body = r#"{"order_req_id": 7}"#;
    for (port, path) in [("rest", "/api/v1/proposals"), ("requestor", "/api/v1/orders/initiate")] {
        let response = send(dev.address(port), &format!("POST {path}"), &[], body).unwrap();
        check(&response, 422, "INVALID_FIELD", Some("order_req_id"));
    }
    let large = "x".repeat(100_000);
    for (port, request) in [
        ("rest", "POST /api/v1/proposals".to_owned()),
        ("requestor", "POST /api/v1/orders/initiate".to_owned()),
        ("requestor", format!("PUT {named}")),
    ] {
        let response = send(dev.address(port), &request, &[], &large).unwrap();
        check(&response, 413, "LIMIT_REACHED", None);
        assert!(endless(dev.address(port), &request).starts_with("HTTP/1.1 413 "), "{request}");
    }
}

/// Sends a body for as long as the server reads it; returns the response.
fn endless(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(WAIT_TIMEOUT)).unwrap();
    stream.set_write_timeout(Some(WAIT_TIMEOUT)).unwrap();
    let head = format!("{request} HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let chunk = format!("4000\r\n{}\r\n", " ".repeat(0x4000));
    while stream.write_all(chunk.as_bytes()).is_ok() {}
    let mut response = Vec::new();
    // The server closed the connection while more was in flight, so the end may be a reset.
    let _reset = stream.read_to_end(&mut response);
    String::from_utf8_lossy(&response).into_owned()
}
