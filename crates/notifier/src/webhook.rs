//! CloudEvents 1.0 in structured JSON, signed according to Standard Webhooks: `webhook-id`,
//! `webhook-timestamp` and one `v1` signature for each secret.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{Method, Request};
use http_body_util::Full;
use jiff::Timestamp;
use orderstream_core::notification::{DeliveryError, Notification, Recipient};
use orderstream_core::port::Clock;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::config::{ConfigError, WebhookConfig, read_secret};
use crate::http::{Http, ascii_url};
use crate::limits::SECRETS_MAX;

/// The prefix of a secret in Standard Webhooks.
const SECRET_PREFIX: &str = "whsec_";
/// The length of a secret in Standard Webhooks, bytes.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// The prefix of topics in CloudEvents types.
pub(crate) const TYPE_PREFIX: &str = "dev.orderstream.";

/// Sends webhooks.
pub(crate) struct Webhook {
    http: Http,
    clock: Arc<dyn Clock>,
    secrets: Vec<Vec<u8>>,
}

impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Webhook").field("secrets", &self.secrets.len()).finish_non_exhaustive()
    }
}

impl Webhook {
    pub(crate) fn new(
        config: &WebhookConfig,
        http: Http,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ConfigError> {
        let files = &config.secret_files;
        if files.len() > SECRETS_MAX {
            let text = format!("names {} files; name at most {SECRETS_MAX}", files.len());
            return Err(ConfigError::field("webhook.secret-files", text));
        }
        let secrets = files.iter().map(|file| {
            key(read_secret(file)?.expose()).ok_or_else(|| {
                let text = "is not whsec_ and 24 to 64 bytes in base64; make one with \
                            `echo whsec_$(openssl rand -base64 32)`";
                ConfigError::file(file, text)
            })
        });
        Ok(Self { http, clock, secrets: secrets.collect::<Result<_, _>>()? })
    }

    pub(crate) const fn is_signed(&self) -> bool {
        !self.secrets.is_empty()
    }

    pub(crate) async fn send(&self, notification: &Notification) -> Result<(), DeliveryError> {
        let body = cloud_event(notification).to_string();
        // The time of this attempt: receivers refuse old events.
        let now = self.clock.now().0.max(0).unsigned_abs() / 1_000;
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(&*ascii_url(&notification.channel.address))
            .header("content-type", "application/cloudevents+json; charset=utf-8")
            .header("user-agent", concat!("orderstream/", env!("CARGO_PKG_VERSION")))
            .header("webhook-id", &notification.id)
            .header("webhook-timestamp", now);
        if self.is_signed() {
            let signatures = self.signatures(&notification.id, now, &body);
            request = request.header("webhook-signature", signatures);
        }
        let request = request.body(Full::new(Bytes::from(body)));
        let request = request.map_err(|_| DeliveryError::Bounced {
            reason: "the address is not a URL that can be asked".to_owned(),
        })?;
        self.http.send(request).await
    }

    /// Returns one signature for each secret, separated by spaces.
    fn signatures(&self, id: &str, now: u64, body: &str) -> String {
        let signed = format!("{id}.{now}.{body}");
        let signatures = self.secrets.iter().filter_map(|secret| {
            let mut mac = Hmac::<Sha256>::new_from_slice(secret).ok()?;
            mac.update(signed.as_bytes());
            Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
        });
        signatures.collect::<Vec<_>>().join(" ")
    }
}

fn key(secret: &str) -> Option<Vec<u8>> {
    let bytes = STANDARD.decode(secret.strip_prefix(SECRET_PREFIX)?).ok()?;
    SECRET_BYTES.contains(&bytes.len()).then_some(bytes)
}

/// Returns a notification as a `CloudEvent`.
pub fn cloud_event(notification: &Notification) -> Value {
    let (tenant, order) = (&notification.key.tenant, &notification.key.order_req_id);
    let time = Timestamp::from_millisecond(notification.at.0).unwrap_or_default();
    let recipient = match &notification.recipient {
        Recipient::Buyer => "buyer",
        Recipient::Seller(_) => "seller",
        Recipient::Sink => "sink",
    };
    json!({
        "specversion": "1.0",
        "id": notification.id,
        "source": format!("/orderstream/{tenant}/{order}"),
        "type": format!("{TYPE_PREFIX}{}", notification.topic.as_str()),
        "subject": order,
        "time": time.to_string(),
        "datacontenttype": "application/json",
        // Extensions, by which programs can filter without parsing the data.
        "sequence": format!("{:020}", notification.seq.0),
        "template": notification.template.as_str(),
        "recipient": recipient,
        "data": notification.data,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A clock that is never read.
    #[derive(Debug)]
    struct UnreadClock;

    impl Clock for UnreadClock {
        fn now(&self) -> orderstream_core::Timestamp {
            orderstream_core::Timestamp(0)
        }
    }

    #[test]
    fn signature_matches_standards_example() {
        // The example of the reference libraries of Standard Webhooks.
        let secret = key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let clock: Arc<dyn Clock> = Arc::new(UnreadClock);
        let policy = crate::guard::AddressPolicy::Strict;
        let http = Http::new(policy, &crate::Outgoing::default(), Arc::clone(&clock)).unwrap();
        let webhook = Webhook { http, clock, secrets: vec![secret] };
        let body = r#"{"test": 2432232314}"#;
        assert_eq!(
            webhook.signatures("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }

    #[test]
    fn secrets_need_prefix_and_length() {
        assert!(key("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").is_none());
        assert!(key("whsec_c2hvcnQ=").is_none());
        assert!(key("whsec_!").is_none());
        assert!(key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").is_some());
    }
}
