//! Google Chat, whose incoming webhooks accept `{"text": …}`.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use orderstream_core::notification::{DeliveryError, Notification};
use serde_json::json;

use crate::http::{Http, ascii_url};
use crate::limits::CHAT_BYTES_MAX;
use crate::templates::{Templates, truncated};

/// Sends messages to Google Chat.
#[derive(Debug)]
pub(crate) struct Chat {
    http: Http,
    templates: Arc<Templates>,
}

impl Chat {
    pub(crate) const fn new(http: Http, templates: Arc<Templates>) -> Self {
        Self { http, templates }
    }

    pub(crate) async fn send(&self, notification: &Notification) -> Result<(), DeliveryError> {
        let rendered = self.templates.render(notification)?;
        let text = format!("*{}*\n{}", rendered.subject, rendered.text);
        let body = json!({ "text": truncated(&text, CHAT_BYTES_MAX) }).to_string();
        let request = Request::builder()
            .method(Method::POST)
            .uri(&*ascii_url(&notification.channel.address))
            .header("content-type", "application/json; charset=utf-8")
            .body(Full::new(Bytes::from(body)));
        let request = request.map_err(|_| DeliveryError::Bounced {
            reason: "the address is not a URL that can be asked".to_owned(),
        })?;
        self.http.send(request).await
    }
}
