//! Mail over SMTP: STARTTLS unless configured otherwise, text and HTML, and headers with which a
//! mail client shows one order as one conversation.

use std::fmt;
use std::sync::Arc;

use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::transport::smtp::{Error, PoolConfig};
use lettre::{Address, AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
use orderstream_core::notification::{Blame, DeliveryError, Notification};
use url::Url;

use crate::config::{ConfigError, SmtpConfig, read_secret, read_text};
use crate::limits::{ATTEMPT_TIMEOUT, IDLE_TIMEOUT, SMTP_CONNECTIONS_MAX};
use crate::templates::Templates;

type Transport = AsyncSmtpTransport<Tokio1Executor>;

/// Sends mail.
pub(crate) struct Mail {
    transport: Transport,
    from: Mailbox,
    templates: Arc<Templates>,
}

impl fmt::Debug for Mail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mail").field("from", &self.from).finish_non_exhaustive()
    }
}

impl Mail {
    pub(crate) fn new(config: &SmtpConfig, templates: Arc<Templates>) -> Result<Self, ConfigError> {
        let from = config.from.parse().map_err(|_| {
            ConfigError::field("smtp.from", "is not a sender; write Name <name@example.com>")
        })?;
        Ok(Self { transport: transport(config)?, from, templates })
    }

    pub(crate) async fn send(&self, notification: &Notification) -> Result<(), DeliveryError> {
        let message = self.message(notification)?;
        match self.transport.send(message).await {
            Ok(_) => Ok(()),
            Err(error) => Err(verdict(&error)),
        }
    }

    fn message(&self, notification: &Notification) -> Result<Message, DeliveryError> {
        let rendered = self.templates.render(notification)?;
        let address: Address = notification
            .channel
            .address
            .parse()
            .map_err(|_| bounced("the address is not one that mail can be sent to"))?;
        let domain = self.from.email.domain();
        // All mails of an order belong to one conversation, and a repetition has the same message
        // id.
        let (id, incarnation) = (&notification.id, &notification.incarnation);
        let raw = |name: &'static str, value: String| {
            HeaderValue::new(HeaderName::new_from_ascii_str(name), value)
        };
        let html = self.templates.html(&rendered, notification.language.as_deref())?;
        Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, address))
            .subject(rendered.subject.clone())
            .message_id(Some(format!("<{id}@{domain}>")))
            .references(format!("<{incarnation}@{domain}>"))
            .raw_header(raw("Auto-Submitted", "auto-generated".to_owned()))
            .raw_header(raw("X-Orderstream-Notification", id.clone()))
            .multipart(MultiPart::alternative_plain_html(rendered.text, html))
            .map_err(|error| bounced(&format!("cannot be written as mail: {error}")))
    }
}

fn bounced(reason: &str) -> DeliveryError {
    DeliveryError::Bounced { reason: reason.to_owned() }
}

fn transport(config: &SmtpConfig) -> Result<Transport, ConfigError> {
    let wrong = |text: &str| ConfigError::field("smtp.url", text);
    let url = Url::parse(config.url.expose())
        .map_err(|_| wrong("is not a URL; write smtp://user@host:587?tls=required"))?;
    let host = url.host_str().ok_or_else(|| wrong("names no host"))?;
    let tls_mode = url.query_pairs().find(|(name, _)| name == "tls").map(|(_, value)| value);
    let (tls, port) = match (url.scheme(), tls_mode.as_deref()) {
        ("smtps", None) => (Tls::Wrapper(parameters(config, host)?), 465),
        ("smtp", None | Some("required")) => (Tls::Required(parameters(config, host)?), 587),
        ("smtp", Some("optional")) => (Tls::Opportunistic(parameters(config, host)?), 587),
        ("smtp", Some("none")) => (Tls::None, 25),
        ("smtp", Some(_)) => return Err(wrong("has a tls that is not required, optional or none")),
        _ => return Err(wrong("is not smtp:// or smtps:// (which takes no tls)")),
    };
    let mut builder = Transport::builder_dangerous(host)
        .port(url.port().unwrap_or(port))
        .tls(tls)
        .timeout(Some(ATTEMPT_TIMEOUT))
        .pool_config(PoolConfig::new().max_size(SMTP_CONNECTIONS_MAX).idle_timeout(IDLE_TIMEOUT));
    let password = match &config.password_file {
        Some(file) => Some(read_secret(file)?.expose().to_owned()),
        None => url.password().map(decoded).transpose().map_err(wrong)?,
    };
    match (decoded(url.username()).map_err(wrong)?, password) {
        (user, _) if user.is_empty() => {}
        (_, None) => return Err(wrong("names a user; give password-file too")),
        (user, Some(password)) => builder = builder.credentials(Credentials::new(user, password)),
    }
    Ok(builder.build())
}

/// Returns a part of a URL with its escapes decoded.
fn decoded(part: &str) -> Result<String, &'static str> {
    let pair = format!("x={}", part.replace('+', "%2B"));
    let found = url::form_urlencoded::parse(pair.as_bytes()).next();
    found.map(|(_, value)| value.into_owned()).ok_or("has a user that cannot be read")
}

fn parameters(config: &SmtpConfig, host: &str) -> Result<TlsParameters, ConfigError> {
    let mut builder = TlsParameters::builder(host.to_owned());
    if let Some(file) = &config.ca_file {
        let certificate = Certificate::from_pem(read_text(file)?.as_bytes())
            .map_err(|error| ConfigError::file(file, error))?;
        builder = builder.add_root_certificate(certificate);
    }
    builder.build_rustls().map_err(|error| ConfigError::field("smtp.url", error.to_string()))
}

/// Classifies a failure. A refused login is the operator's to fix, and not the fault of the
/// address.
fn verdict(error: &Error) -> DeliveryError {
    let reason = match (error.status(), std::error::Error::source(error)) {
        (Some(code), Some(source)) => format!("the mail server said {code} {source}"),
        (_, Some(cause)) => format!("the mail server cannot be used: {cause}"),
        (_, None) => format!("the mail server cannot be used: {error}"),
    };
    let code = error.status().map(u16::from);
    match code {
        Some(530 | 534 | 535 | 538 | 421) | None => {
            DeliveryError::TryAgain { reason, after_ms: None, blame: Blame::Destination }
        }
        Some(_) if error.is_permanent() => DeliveryError::Bounced { reason },
        Some(_) => DeliveryError::TryAgain { reason, after_ms: None, blame: Blame::Recipient },
    }
}
