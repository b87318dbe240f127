//! Mail of a real processor over a real mail server.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use orderstream_testbed::{SmtpExtensions, SmtpServer};

use crate::http::{get, post};
use crate::process::{dev, until};

/// The number of odd addresses of each of two kinds: five failures of a server in a row would stop
/// all mail.
const ODD_OF_A_KIND: usize = 5;

/// Opens an order whose buyer is notified at this address.
fn initiate(requestor: SocketAddr, order: &str, address: &str) {
    let body = serde_json::json!({
        "order_req_id": order,
        "session_id": "s",
        "buyer": {"channels": [{"type": "Email", "address": address}]},
    });
    let response = post(requestor, "/api/v1/orders/initiate", &body.to_string()).unwrap();
    assert_eq!(response.status, 200, "{response:?}");
}

/// Opens an order, and returns the time until its buyer has mail.
fn time_to_mail(server: &SmtpServer, requestor: SocketAddr, order: &str) -> Duration {
    let address = format!("{order}@north.example");
    let began = Instant::now();
    initiate(requestor, order, &address);
    until("the buyer has mail", || server.mails().contains(&address).then_some(()));
    began.elapsed()
}

/// Five addresses have an international domain, and five a name that the server does not take.
#[test]
fn odd_addresses_delay_no_other_mail() {
    let Some(server) = SmtpServer::start_blocking(SmtpExtensions::Starttls) else { return };
    let dir = tempfile::tempdir().unwrap();
    let settings = dir.path().join("notify.yaml");
    std::fs::write(&settings, server.trusted()).unwrap();
    let dev = dev(dir.path(), &["--notify-config", settings.to_str().unwrap()]);
    let (requestor, rest) = (dev.address("requestor"), dev.address("rest"));
    let usual = time_to_mail(&server, requestor, "first");
    for number in 0..ODD_OF_A_KIND {
        initiate(requestor, &format!("domain-{number}"), &format!("einkauf{number}@büro.example"));
        initiate(requestor, &format!("name-{number}"), &format!("jörg{number}@north.example"));
    }
    for order in ["second", "third", "fourth"] {
        let time = time_to_mail(&server, requestor, order);
        assert!(time < usual + Duration::from_secs(1), "{order}: {time:?}; the first: {usual:?}");
    }
    for number in 0..ODD_OF_A_KIND {
        let address = format!("einkauf{number}@xn--bro-hoa.example");
        until("mail to the domain's A-labels", || server.mails().contains(&address).then_some(()));
        let path = format!("/api/v1/orders/name-{number}/notifications");
        let listed = until("the other one bounces", || {
            let listed = get(rest, &path).ok()?.json();
            (listed["dead"] == 1).then_some(listed)
        });
        let bounced = &listed["notifications"][0];
        assert_eq!(bounced["attempts"], 1, "{bounced}");
        let reason = bounced["reason"].as_str().unwrap();
        assert!(reason.contains("beyond ASCII before the @"), "{reason}");
    }
}
