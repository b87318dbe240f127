//! Text messages over any provider with an HTTP interface: the operator configures the URL, the
//! headers and a template of the body.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use http_body_util::Full;
use minijinja::{Environment, UndefinedBehavior, context};
use orderstream_core::notification::{DeliveryError, Notification};

use crate::config::{ConfigError, SmsConfig, read_secret};
use crate::http::{Http, ascii_url};
use crate::limits::{SMS_CHARS_MAX, TEMPLATE_STEPS_MAX};
use crate::templates::Templates;

/// The name of the body's template.
const BODY: &str = "body";

/// Sends text messages.
pub(crate) struct Sms {
    http: Http,
    templates: Arc<Templates>,
    uri: Uri,
    method: Method,
    headers: HeaderMap,
    body: Environment<'static>,
}

impl fmt::Debug for Sms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sms").field("host", &self.uri.host()).finish_non_exhaustive()
    }
}

impl Sms {
    pub(crate) fn new(
        config: &SmsConfig,
        http: Http,
        templates: Arc<Templates>,
    ) -> Result<Self, ConfigError> {
        let uri: Uri = ascii_url(&config.url)
            .parse()
            .ok()
            .filter(|uri: &Uri| uri.host().is_some())
            .ok_or_else(|| ConfigError::field("sms.url", "is not a URL; write https://…"))?;
        let method = match config.method.as_deref() {
            None | Some("POST") => Method::POST,
            Some("PUT") => Method::PUT,
            Some(_) => return Err(ConfigError::field("sms.method", "is not POST or PUT")),
        };
        let mut body = Environment::new();
        body.set_undefined_behavior(UndefinedBehavior::Strict);
        body.set_fuel(Some(TEMPLATE_STEPS_MAX));
        body.add_template_owned(BODY, config.body.clone())
            .map_err(|error| ConfigError::field("sms.body", error.to_string()))?;
        let sms = Self { http, templates, uri, method, headers: headers(config)?, body };
        sms.body("+491711234567", "text", "id")
            .map_err(|reason| ConfigError::field("sms.body", reason))?;
        Ok(sms)
    }

    pub(crate) async fn send(&self, notification: &Notification) -> Result<(), DeliveryError> {
        let rendered = self.templates.render(notification)?;
        let text: String = rendered.text.chars().take(SMS_CHARS_MAX).collect();
        let (to, id) = (&notification.channel.address, &notification.id);
        let body = self.body(to, &text, id).map_err(|reason| DeliveryError::Bounced { reason })?;
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.uri_mut() = self.uri.clone();
        *request.method_mut() = self.method.clone();
        *request.headers_mut() = self.headers.clone();
        // A provider that supports the header sends each message only once.
        if let Ok(id) = HeaderValue::from_str(&notification.id) {
            request.headers_mut().insert("idempotency-key", id);
        }
        self.http.send(request).await
    }

    fn body(&self, to: &str, text: &str, id: &str) -> Result<String, String> {
        let template = self.body.get_template(BODY).map_err(|error| error.to_string())?;
        template.render(context! { to, text, id }).map_err(|error| error.to_string())
    }
}

fn headers(config: &SmsConfig) -> Result<HeaderMap, ConfigError> {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("application/json; charset=utf-8"));
    let from_files = config.header_files.iter().map(|(name, file)| {
        read_secret(file).map(|secret| (name, secret.expose().to_owned(), "header-files"))
    });
    let plain = config.headers.iter().map(|(name, value)| Ok((name, value.clone(), "headers")));
    for header in plain.chain(from_files) {
        let (name, value, field) = header?;
        let wrong = |text: &str| ConfigError::field(format!("sms.{field}.{name}"), text);
        let name = HeaderName::try_from(name).map_err(|_| wrong("is not a header's name"))?;
        let mut value = HeaderValue::try_from(value).map_err(|_| wrong("has a wrong value"))?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(headers)
}
