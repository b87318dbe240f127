//! Tests of calls through an HTTP proxy, and of authorities of one's own.

use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use orderstream_core::notification::{Blame, DeliveryError, Template};
use orderstream_core::spec::NotificationType;
use orderstream_notifier::Outgoing;
use orderstream_notifier::authorities::Authorities;
use orderstream_notifier::proxy::ProxySettings;
use tempfile::TempDir;

use crate::forwarding::ForwardProxy;
use crate::peer::{Peer, ReceivedRequest};
use crate::{channels_to, example, send};

const ALLOW_LOCAL: &str = "webhook: {allow-local: true}";
/// The name in the certificate of a receiver; no DNS knows it.
const RECEIVER: &str = "receiver.example";

fn ok(_: &ReceivedRequest) -> Response {
    StatusCode::OK.into_response()
}

/// Returns settings with these variables, and with the authority of the folder's certificate.
fn outgoing(variables: &[(&str, String)], trusted: Option<&TempDir>) -> Outgoing {
    let proxies = ProxySettings::from_variables(|name| {
        variables.iter().find(|(variable, _)| *variable == name).map(|(_, value)| value.clone())
    });
    let authorities = trusted.map(|dir| Authorities::read(&dir.path().join("cert.pem")).unwrap());
    Outgoing { proxies: proxies.unwrap(), authorities: authorities.unwrap_or_default() }
}

async fn post(settings: &str, outgoing: &Outgoing, url: &str) -> Result<(), DeliveryError> {
    let notification = example(Template::Pause, NotificationType::Webhook, url);
    send(&channels_to(settings, outgoing), &notification).await
}

fn certificate() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    orderstream_testbed::make_certificate(RECEIVER, dir.path());
    dir
}

/// The name of the receiver is resolved by the proxy.
#[tokio::test]
async fn plain_requests_are_forwarded() {
    let peer = Peer::start(ok).await;
    let proxy = ForwardProxy::start(peer.address).await;
    let variable = ("http_proxy", format!("ann:s%40cret@{}", proxy.address));
    let outgoing = outgoing(&[variable], None);
    let url = format!("http://{RECEIVER}/rfq?a=b");
    assert_eq!(post("sinks: []", &outgoing, &url).await, Ok(()));
    let head = proxy.next_head().await.to_lowercase();
    assert!(head.starts_with(&format!("post {url} http/1.1\r\n")), "{head}");
    assert!(head.contains("\r\nhost: receiver.example\r\n"), "{head}");
    assert!(head.contains("\r\nproxy-authorization: basic yw5uonnay3jlda=="), "{head}");
    assert_eq!(peer.next_request().await.path, "/rfq");
}

/// They are in the URL of the notification, and a proxy receives the whole URL.
#[tokio::test]
async fn credentials_of_receivers_stay_here() {
    let peer = Peer::start(ok).await;
    let proxy = ForwardProxy::start(peer.address).await;
    let outgoing = outgoing(&[("HTTP_PROXY", format!("http://{}", proxy.address))], None);
    let url = format!("http://ann:s%40cret@{RECEIVER}:81/rfq?a=b");
    assert_eq!(post("sinks: []", &outgoing, &url).await, Ok(()));
    let head = proxy.next_head().await;
    assert!(head.starts_with(&format!("POST http://{RECEIVER}:81/rfq?a=b HTTP/1.1\r\n")), "{head}");
    assert!(head.to_lowercase().contains("\r\nhost: receiver.example:81\r\n"), "{head}");
    for secret in ["ann:", "cret", "YW5u"] {
        assert!(!head.contains(secret), "{head}");
    }
    assert_eq!(peer.next_request().await.path, "/rfq");
}

/// The proxy learns the name of the receiver, and nothing else of the request.
#[tokio::test]
async fn encrypted_requests_go_through_tunnels() {
    let dir = certificate();
    let peer = Peer::start_encrypted(ok, dir.path()).await;
    let proxy = ForwardProxy::start(peer.address).await;
    let variable = ("HTTPS_PROXY", format!("http://ann:s%40cret@{}", proxy.address));
    let outgoing = outgoing(&[variable], Some(&dir));
    assert_eq!(post("sinks: []", &outgoing, &format!("https://{RECEIVER}/rfq")).await, Ok(()));
    let head = proxy.next_head().await;
    assert!(head.starts_with("CONNECT receiver.example:443 HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("Basic YW5uOnNAY3JldA==") && !head.contains("/rfq"), "{head}");
    let request = peer.next_request().await;
    assert_eq!((request.path.as_str(), request.header("proxy-authorization")), ("/rfq", ""));
}

/// On Linux 0.0.0.0 is this machine, which another name of it would not be called through a proxy.
#[tokio::test]
async fn no_proxy_leads_past_the_proxy() {
    let peer = Peer::start(ok).await;
    let proxy = ForwardProxy::start(peer.address).await;
    let url = format!("http://0.0.0.0:{}/x", peer.address.port());
    let given = ("HTTP_PROXY", format!("http://{}", proxy.address));
    let exception = ("NO_PROXY", format!("a.example,0.0.0.0:{}", peer.address.port()));
    let proxied = outgoing(std::slice::from_ref(&given), None);
    assert_eq!(post(ALLOW_LOCAL, &proxied, &url).await, Ok(()));
    assert!(proxy.next_head().await.starts_with(&format!("POST {url} ")));
    let direct = outgoing(&[given, exception], None);
    assert_eq!(post(ALLOW_LOCAL, &direct, &url).await, Ok(()));
    assert!(proxy.is_drained().await);
    for _ in 0..2 {
        assert_eq!(peer.next_request().await.path, "/x");
    }
}

#[tokio::test]
async fn credentials_of_proxies_are_never_shown() {
    // Nothing listens there once the listener is dropped.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let given = format!("http://ann:s%40cret@{address}");
    let outgoing = outgoing(&[("HTTP_PROXY", given.clone()), ("HTTPS_PROXY", given)], None);
    let channels = channels_to("sinks: []", &outgoing);
    assert!(channels.summary().contains(&address.to_string()), "{}", channels.summary());
    let mut printed = format!("{} {channels:?} {outgoing:?}", channels.summary());
    for scheme in ["http", "https"] {
        let url = format!("{scheme}://{RECEIVER}/");
        let notification = example(Template::Pause, NotificationType::Webhook, url);
        let failed = send(&channels, &notification).await;
        let Err(DeliveryError::TryAgain { reason, blame, .. }) = failed else { panic!() };
        assert_eq!(blame, Blame::Destination);
        assert!(reason.contains(&format!("through the proxy {address}")), "{reason}");
        printed.push_str(&reason);
    }
    for secret in ["ann:", "@cret", "40cret", "YW5u"] {
        assert!(!printed.contains(secret), "{printed}");
    }
}

/// Addresses of the sender's own machine and link are refused before a proxy is asked.
#[tokio::test]
async fn proxies_receive_no_local_addresses() {
    let peer = Peer::start(ok).await;
    let proxy = ForwardProxy::start(peer.address).await;
    let address = format!("http://{}", proxy.address);
    let variables = [("HTTP_PROXY", address.clone()), ("HTTPS_PROXY", address)];
    let outgoing = outgoing(&variables, None);
    for host in [
        "127.0.0.1",
        "127.1",
        "localhost",
        "[::1]",
        "[fe80::1%25eth0]",
        "169.254.169.254",
        "0.0.0.0",
    ] {
        for scheme in ["http", "https"] {
            let refused = post("sinks: []", &outgoing, &format!("{scheme}://{host}/")).await;
            assert!(
                matches!(refused, Err(DeliveryError::Bounced { .. })),
                "{scheme} {host}: {refused:?}"
            );
        }
    }
    assert!(proxy.is_drained().await && peer.is_drained().await);
}

#[tokio::test(start_paused = true)]
async fn silent_proxies_cost_one_deadline() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let outgoing = outgoing(&[("HTTPS_PROXY", address)], None);
    let began = tokio::time::Instant::now();
    let failed = post("sinks: []", &outgoing, &format!("https://{RECEIVER}/")).await;
    assert!(
        matches!(failed, Err(DeliveryError::TryAgain { blame: Blame::Destination, .. })),
        "{failed:?}"
    );
    assert!(began.elapsed().as_secs() <= 16, "{:?}", began.elapsed());
}

#[tokio::test]
async fn unknown_authorities_receive_nothing() {
    let (dir, other) = (certificate(), certificate());
    let peer = Peer::start_encrypted(ok, dir.path()).await;
    let proxy = ForwardProxy::start(peer.address).await;
    let variable = [("HTTPS_PROXY", format!("http://{}", proxy.address))];
    let url = format!("https://{RECEIVER}/");
    for trusted in [None, Some(&other)] {
        let refused = post("sinks: []", &outgoing(&variable, trusted), &url).await;
        assert!(
            matches!(refused, Err(DeliveryError::TryAgain { blame: Blame::Destination, .. })),
            "{refused:?}"
        );
    }
    assert!(peer.is_drained().await);
}
