//! Metrics stay few, whatever users request: no id, path, method or name becomes a series.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use tower::{Service as _, ServiceExt as _};

use crate::http::{get, post};
use crate::process::{Pair, WAIT_TIMEOUT};

/// The number of requests of each kind, over all ports that accept it.
const RANDOM: usize = 10_000;
/// The number of requests in flight at one time.
const BATCH: usize = 100;
/// The limit of series of one process.
const SERIES_MAX: usize = 2_000;
/// The start of a response.
const HEAD: &str = "HTTP/1.1 ";
/// The start of a made-up word.
const MARK: &str = "madeup";

/// Sends the heads of many requests over one connection, and waits for all responses.
fn request_all(address: SocketAddr, heads: &[String]) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(WAIT_TIMEOUT)).unwrap();
    for batch in heads.chunks(BATCH) {
        let request = |head: &String| format!("{head} HTTP/1.1\r\nhost: test\r\n\r\n");
        stream.write_all(batch.iter().map(request).collect::<String>().as_bytes()).unwrap();
        let (mut received, mut responses, mut chunk) = (String::new(), 0, [0_u8; 0x4000]);
        while responses < batch.len() {
            let read = stream.read(&mut chunk).unwrap();
            assert!(read > 0, "hung up after {received}");
            received.push_str(&String::from_utf8_lossy(&chunk[..read]));
            // A possible first half of the next one stays.
            let consumed = received.rfind(HEAD).map_or(0, |last| last + HEAD.len());
            responses += received[..consumed].matches(HEAD).count();
            received.drain(..consumed);
        }
    }
}

/// Calls made-up methods of made-up services.
fn call_all(grpc: SocketAddr) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let url = format!("http://{grpc}");
        let channel = tonic::transport::Endpoint::from_shared(url).unwrap().connect_lazy();
        for number in 0..RANDOM {
            let path = match number % 2 {
                0 => format!("/orderstream.v1.OrderNonStreamingService/{MARK}{number}"),
                _ => format!("/{MARK}{number}.Service/Method"),
            };
            let request = http::Request::post(format!("http://{grpc}{path}"))
                .header("content-type", "application/grpc")
                .body(tonic::body::Body::empty())
                .unwrap();
            let mut channel = channel.clone();
            let response = channel.ready().await.unwrap().call(request).await.unwrap();
            assert_eq!(response.headers().get("grpc-status").unwrap(), "12", "{path}");
        }
    });
}

fn series(metrics: SocketAddr) -> usize {
    let page = get(metrics, "/metrics").unwrap().text;
    let line = page.lines().find(|line| line.contains(MARK));
    assert!(line.is_none(), "what a user wrote is a series: {line:?}");
    page.lines().filter(|line| !line.starts_with('#')).count()
}

/// Ten thousand ids, paths and methods are tried.
#[test]
fn random_requests_add_no_metric_series() {
    let pair = Pair::start();
    let (sellers, buyers) = (pair.processor.address("rest"), pair.requestor.address("requestor"));
    for (address, orders) in [(sellers, "/api/v1/orders"), (buyers, "/api/v1/orders/tracking")] {
        let kinds: [fn(&str, usize) -> String; 3] = [
            |orders, number| format!("GET {orders}/{MARK}{number}"),
            |_, number| format!("GET /{MARK}{number}/{MARK}"),
            |orders, number| format!("MADEUP{number} {orders}"),
        ];
        for kind in kinds {
            let heads: Vec<_> = (0..RANDOM / 2).map(|number| kind(orders, number)).collect();
            request_all(address, &heads);
        }
    }
    // Ids, tenants and sellers that are stored, not only requested.
    for number in 0..BATCH {
        let order = format!(r#"{{"order_req_id": "{MARK}{number}", "tenant": "{MARK}-{number}"}}"#);
        post(buyers, "/api/v1/orders/initiate", &order).unwrap();
        let proposal = format!(
            r#"{{"order_req_id": "{MARK}{number}", "tenant": "{MARK}-{number}",
                "proposal_id": "{MARK}{number}", "seller": "{MARK}{number}",
                "price": "1", "currency": "EUR"}}"#
        );
        post(sellers, "/api/v1/proposals", &proposal).unwrap();
    }
    call_all(pair.processor.address("grpc"));
    for (name, role) in [("processor", &pair.processor), ("requestor", &pair.requestor)] {
        let series = series(role.address("metrics"));
        assert!(series <= SERIES_MAX, "the {name} has {series} series");
        println!("{name}: {series} series");
    }
}
