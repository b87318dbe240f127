//! Tests of webhooks, Google Chat and text messages.

use std::fmt::Write as _;

use axum::body::Body;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use orderstream_core::notification::{Blame, DeliveryError, Template};
use orderstream_core::spec::NotificationType;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::peer::Peer;
use crate::{NOW, channels, example, send};

fn ok() -> Response {
    StatusCode::OK.into_response()
}

/// Returns HMAC-SHA256 as RFC 2104 defines it, without the crate that the product signs with.
fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut block = [0_u8; 64];
    block[..key.len()].copy_from_slice(key);
    let padded = |pad: u8| block.map(|byte| byte ^ pad);
    let inner = Sha256::new().chain_update(padded(0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(padded(0x5c)).chain_update(inner).finalize().to_vec()
}

/// Returns the Base64 (RFC 4648) of bytes, by hand for the same reason.
fn base64(bytes: &[u8]) -> String {
    const SIGNS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte));
        let word = word << (8 * (3 - chunk.len()));
        for index in 0..4 {
            let sign = SIGNS[(word >> (18 - 6 * index) & 63) as usize];
            text.push(if index > chunk.len() { '=' } else { char::from(sign) });
        }
    }
    text
}

/// The body is a `CloudEvent`.
#[tokio::test]
async fn every_secret_signs_webhook_event() {
    let peer = Peer::start(|_| ok()).await;
    let dir = tempfile::tempdir().unwrap();
    let secrets = [[7_u8; 32], [9_u8; 32]];
    let mut settings = "webhook:\n  allow-local: true\n  secret-files:\n".to_owned();
    for (number, secret) in secrets.iter().enumerate() {
        let file = dir.path().join(format!("secret-{number}"));
        std::fs::write(&file, format!("whsec_{}\n", base64(secret))).unwrap();
        writeln!(settings, "    - {}", file.display()).unwrap();
    }
    let channels = channels(&settings);
    assert!(channels.summary().contains("(signed)"));
    let notification = example(Template::Proposal, NotificationType::Webhook, peer.url("/rfq"));
    assert_eq!(send(&channels, &notification).await, Ok(()));
    let request = peer.next_request().await;
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/rfq"));
    let (id, time) = (request.header("webhook-id"), request.header("webhook-timestamp"));
    assert_eq!((id, time), (notification.id.as_str(), (NOW.0 / 1_000).to_string().as_str()));
    let signed = format!("{id}.{time}.{}", request.body);
    let expected = secrets.map(|key| format!("v1,{}", base64(&hmac(&key, signed.as_bytes()))));
    assert_eq!(request.header("webhook-signature"), expected.join(" "));
    assert!(request.header("content-type").starts_with("application/cloudevents+json"));
    let event: Value = serde_json::from_str(&request.body).unwrap();
    for (field, expected) in [
        ("specversion", "1.0"),
        ("id", notification.id.as_str()),
        ("source", "/orderstream/default/A-2026-17"),
        ("type", "dev.orderstream.BUYER_NOTIFY"),
        ("subject", "A-2026-17"),
        ("time", "2026-03-02T10:00:00Z"),
        ("datacontenttype", "application/json"),
        ("template", "proposal"),
    ] {
        assert_eq!(event[field], expected, "{field}");
    }
    assert_eq!(event["data"]["event"]["price"], "18400.00");
}

#[tokio::test]
async fn peer_replies_decide_about_retry() {
    let peer = Peer::start(|request| match request.path.as_str() {
        "/gone" => StatusCode::GONE.into_response(),
        "/moved" => (StatusCode::FOUND, [("location", "/elsewhere")]).into_response(),
        "/busy" => (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "30")]).into_response(),
        "/endless" => {
            let chunks = std::iter::repeat_with(|| Ok::<_, std::io::Error>("x".repeat(1 << 20)));
            let chunks = futures_stream(chunks.take(1 << 12));
            Body::from_stream(chunks).into_response()
        }
        _ => StatusCode::BAD_GATEWAY.into_response(),
    })
    .await;
    let channels = channels("webhook: {allow-local: true}");
    let deliver = async |path: &str| {
        let notification = example(Template::Pause, NotificationType::Webhook, peer.url(path));
        send(&channels, &notification).await
    };
    assert!(matches!(deliver("/gone").await, Err(DeliveryError::Bounced { .. })));
    let Err(DeliveryError::Bounced { reason }) = deliver("/moved").await else { panic!() };
    assert!(reason.contains("redirects are not followed"), "{reason}");
    let Err(DeliveryError::TryAgain { after_ms, blame, .. }) = deliver("/busy").await else {
        panic!()
    };
    assert_eq!((after_ms, blame), (Some(30_000), Blame::Destination));
    assert!(matches!(
        deliver("/broken").await,
        Err(DeliveryError::TryAgain { after_ms: None, blame: Blame::Destination, .. })
    ));
    assert_eq!(deliver("/endless").await, Ok(()), "what was taken is taken, its answer is cut");
    for expected in ["/gone", "/moved", "/busy", "/broken", "/endless"] {
        assert_eq!(peer.next_request().await.path, expected);
    }
    assert!(peer.is_drained().await, "nobody went /elsewhere");
}

fn futures_stream<T: Send + 'static>(
    items: impl Iterator<Item = T> + Send + 'static,
) -> impl tokio_stream::Stream<Item = T> {
    tokio_stream::iter(items)
}

/// Local servers receive messages only if the operator allows local addresses.
#[tokio::test]
async fn local_servers_receive_nothing() {
    let peer = Peer::start(|_| ok()).await;
    let port = peer.address.port();
    let channels = channels("sinks: []");
    for host in [
        "127.0.0.1",
        "127。0。0。1",
        "localhost",
        "[::1]",
        "0.0.0.0",
        "169.254.169.254",
        "[::ffff:127.0.0.1]",
    ] {
        for kind in [NotificationType::Webhook, NotificationType::GChat] {
            let address = format!("http://{host}:{port}/");
            let refused = send(&channels, &example(Template::Pause, kind, address)).await;
            let Err(DeliveryError::Bounced { reason }) = refused else {
                panic!("{host}: {refused:?}")
            };
            assert!(reason.contains("--webhook-allow-local"), "{host}: {reason}");
        }
    }
    assert!(peer.is_drained().await);
}

/// The full stops are those of Chinese and Japanese, so that the host is this machine.
#[tokio::test]
async fn international_hosts_are_reached() {
    let peer = Peer::start(|_| ok()).await;
    let channels = channels("webhook: {allow-local: true}");
    let port = peer.address.port();
    for kind in [NotificationType::Webhook, NotificationType::GChat] {
        let address = format!("http://127。0。0。1:{port}/größe");
        assert_eq!(send(&channels, &example(Template::Pause, kind, address)).await, Ok(()));
        assert_eq!(peer.next_request().await.path, "/gr%C3%B6%C3%9Fe");
    }
}

#[tokio::test]
async fn chat_and_sms_send_own_forms() {
    let peer = Peer::start(|_| ok()).await;
    let dir = tempfile::tempdir().unwrap();
    let token = dir.path().join("token");
    std::fs::write(&token, "Bearer secret\n").unwrap();
    let settings = format!(
        "webhook: {{allow-local: true}}\nsms:\n  url: {}\n  method: PUT\n  headers: {{x-brand: acme}}\n  \
         header-files: {{authorization: {}}}\n  \
         body: '{{\"to\": {{{{ to|tojson }}}}, \"text\": {{{{ text|tojson }}}}}}'\n",
        peer.url("/sms"),
        token.display()
    );
    let channels = channels(&settings);
    let chat = example(Template::Question, NotificationType::GChat, peer.url("/space?key=k"));
    assert_eq!(send(&channels, &chat).await, Ok(()));
    let request = peer.next_request().await;
    let text: Value = serde_json::from_str(&request.body).unwrap();
    assert_eq!(
        text["text"],
        "*Frage: Steel beams for hall 4 (A-2026-17)*\nStahl Nord GmbH fragt:\n\nCan you deliver in two lots?"
    );
    let sms = example(Template::Invitation, NotificationType::Sms, "+491711234567");
    assert_eq!(send(&channels, &sms).await, Ok(()));
    let request = peer.next_request().await;
    assert_eq!((request.method.as_str(), request.path.as_str()), ("PUT", "/sms"));
    assert_eq!(request.header("authorization"), "Bearer secret");
    assert_eq!(
        (request.header("x-brand"), request.header("idempotency-key")),
        ("acme", sms.id.as_str())
    );
    let sent: Value = serde_json::from_str(&request.body).unwrap();
    assert_eq!(sent["to"], "+491711234567");
    assert_eq!(
        sent["text"],
        "Preisanfrage Steel beams for hall 4 (A-2026-17): Sie werden um ein Angebot bis \
         2026-03-03T09:00:00Z gebeten."
    );
    assert!(!format!("{channels:?}").contains("Bearer"), "{channels:?}");
}

#[tokio::test(start_paused = true)]
async fn silent_peers_cost_one_deadline() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/", listener.local_addr().unwrap());
    let channels = channels("webhook: {allow-local: true}");
    let began = tokio::time::Instant::now();
    let notification = example(Template::Pause, NotificationType::Webhook, address);
    let refused = send(&channels, &notification).await;
    assert!(
        matches!(refused, Err(DeliveryError::TryAgain { blame: Blame::Destination, .. })),
        "{refused:?}"
    );
    assert!(began.elapsed().as_secs() <= 16, "{:?}", began.elapsed());
}
