//! The rules for all ports: both families of addresses, one form of errors over plain HTTP, and the
//! end of a request whose body does not end.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};

use serde_json::{Value, json};

use crate::http::{HttpResponse, get, post, send};
use crate::process::{Role, WAIT_TIMEOUT, dev, until};

/// Reports whether this machine has IPv6, and prints what is not tested without it.
pub(crate) fn has_ipv6(test: &str) -> bool {
    let bound = std::net::TcpListener::bind((Ipv6Addr::LOCALHOST, 0));
    if let Err(error) = &bound {
        println!("SKIPPED: {test}: this machine has no IPv6 ({error})");
    }
    bound.is_ok()
}

/// Starts a processor on every address of this machine.
fn open_processor(dir: &std::path::Path) -> Role {
    let data = dir.join("data");
    let mut args = vec!["processor", "--data-dir", data.to_str().unwrap()];
    for flag in ["--grpc-addr", "--rest-addr", "--metrics-addr"] {
        args.extend([flag, "[::]:0"]);
    }
    Role::start(&args, dir)
}

/// The wildcard of IPv6 takes IPv4 too; without IPv6 on the machine it takes that alone.
#[test]
fn ports_listen_on_both_families() {
    let dir = tempfile::tempdir().unwrap();
    let processor = open_processor(dir.path());
    let mut loopbacks = vec![IpAddr::V4(Ipv4Addr::LOCALHOST)];
    if has_ipv6("ports over IPv6") {
        loopbacks.push(IpAddr::V6(Ipv6Addr::LOCALHOST));
    }
    let at = |name: &str, ip: IpAddr| SocketAddr::new(ip, processor.address(name).port());
    for ip in loopbacks {
        assert_eq!(get(at("metrics", ip), "/healthz").unwrap().text, "ok\n", "{ip}");
        assert_eq!(get(at("rest", ip), "/api/v1/orders").unwrap().status, 200, "{ip}");
        TcpStream::connect(at("grpc", ip)).unwrap();
    }
}

/// `localhost` may be either of them.
#[test]
fn dev_listens_on_both_loopbacks() {
    if !has_ipv6("dev over IPv6") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let dev = dev(dir.path(), &[]);
    let at = |name: &str| SocketAddr::from((Ipv6Addr::LOCALHOST, dev.address(name).port()));
    assert_eq!(get(at("metrics"), "/healthz").unwrap().text, "ok\n");
    assert_eq!(get(at("rest"), "/api/v1/orders").unwrap().status, 200);
    let body = json!({"order_req_id": "V6", "session_id": "s", "notification_type": "email"});
    let path = "/api/v1/orders/initiate";
    let response = post(at("requestor"), path, &body.to_string()).unwrap();
    assert_eq!(response.status, 200, "{response:?}");
    TcpStream::connect(at("grpc")).unwrap();
}

#[test]
fn requestors_reach_processors_over_ipv6() {
    if !has_ipv6("a requestor over IPv6") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let processor = open_processor(dir.path());
    let url = format!("http://[::1]:{}", processor.address("grpc").port());
    let store = format!("embedded:{}", dir.path().join("requestor").display());
    let addresses = ["requestor", "--rest-addr", "[::1]:0", "--metrics-addr", "[::1]:0"];
    let more = ["--processor", &url, "--store", &store];
    let requestor = Role::start(&[&addresses[..], &more[..]].concat(), dir.path());
    let body = json!({"order_req_id": "V6", "session_id": "s", "notification_type": "email"});
    let path = "/api/v1/orders/initiate";
    let response = post(requestor.address("requestor"), path, &body.to_string()).unwrap();
    assert_eq!(response.status, 200, "{response:?}");
    let rest = SocketAddr::from((Ipv6Addr::LOCALHOST, processor.address("rest").port()));
    until("the order is at its processor", || {
        (get(rest, "/api/v1/orders/V6").unwrap().status == 200).then_some(())
    });
}

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
