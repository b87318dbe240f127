//! Mail over SMTP: STARTTLS unless configured otherwise, text and HTML, and headers with which a
//! mail client shows one order as one conversation.
//!
//! Domains go out as A-labels (`xn--…`), which every server takes. An address that cannot be sent
//! to is its recipient's failure and bounces at once; it never counts against the server.

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

use crate::authorities::Authorities;
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
    pub(crate) fn new(
        config: &SmtpConfig,
        authorities: &Authorities,
        templates: Arc<Templates>,
    ) -> Result<Self, ConfigError> {
        let wrong =
            || ConfigError::field("smtp.from", "is not a sender; write Name <name@example.com>");
        let from: Mailbox = config.from.parse().map_err(|_| wrong())?;
        let email = ascii_domain_address(from.email.as_ref()).ok_or_else(wrong)?;
        let from = Mailbox::new(from.name, email);
        Ok(Self { transport: transport(config, authorities)?, from, templates })
    }

    pub(crate) async fn send(&self, notification: &Notification) -> Result<(), DeliveryError> {
        let address = ascii_domain_address(&notification.channel.address)
            .ok_or_else(|| bounced("the address is not one that mail can be sent to"))?;
        let is_ascii = address.user().is_ascii();
        let message = self.message(notification, address)?;
        let Err(error) = self.transport.send(message).await else { return Ok(()) };
        if !is_ascii && error.is_client() && self.is_server_usable().await {
            return Err(bounced(
                "the mail server takes no letters beyond ASCII before the @ (SMTPUTF8); give \
                 another address",
            ));
        }
        Err(verdict(&error))
    }

    /// Reports whether the server accepts a connection, with encryption and login as configured.
    ///
    /// The client reports a missing STARTTLS and a missing way to log in as the same kind of error
    /// as an address that the server does not take. These are the operator's to fix, and prevent
    /// the connection.
    async fn is_server_usable(&self) -> bool {
        matches!(self.transport.test_connection().await, Ok(true))
    }

    fn message(
        &self,
        notification: &Notification,
        address: Address,
    ) -> Result<Message, DeliveryError> {
        let rendered = self.templates.render(notification)?;
        let domain = self.from.email.domain();
        // All mails of an order belong to one conversation, and a repetition has the same message
        // id.
        let (id, incarnation) = (&notification.id, &notification.incarnation);
        let raw = |name: &'static str, value: String| {
            HeaderValue::new(HeaderName::new_from_ascii_str(name), value)
        };
        let html = self.templates.html(&rendered)?;
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

/// Returns the address with its domain in A-labels; `None` if it is not a mail address.
fn ascii_domain_address(text: &str) -> Option<Address> {
    let (user, domain) = text.rsplit_once('@')?;
    if domain.is_ascii() {
        return Address::new(user, domain).ok();
    }
    Address::new(user, idna::domain_to_ascii_strict(domain).ok()?).ok()
}

fn bounced(reason: &str) -> DeliveryError {
    DeliveryError::Bounced { reason: reason.to_owned() }
}

fn transport(config: &SmtpConfig, authorities: &Authorities) -> Result<Transport, ConfigError> {
    let wrong = |text: &str| ConfigError::field("smtp.url", text);
    let url = Url::parse(config.url.expose())
        .map_err(|_| wrong("is not a URL; write smtp://user@host:587?tls=required"))?;
    // An IPv6 address has brackets in a URL only.
    let host = url.host_str().ok_or_else(|| wrong("names no host"))?.trim_matches(['[', ']']);
    let tls_mode = url.query_pairs().find(|(name, _)| name == "tls").map(|(_, value)| value);
    let parameters = || parameters(config, host, authorities);
    let (tls, port) = match (url.scheme(), tls_mode.as_deref()) {
        ("smtps", None) => (Tls::Wrapper(parameters()?), 465),
        ("smtp", None | Some("required")) => (Tls::Required(parameters()?), 587),
        ("smtp", Some("optional")) => (Tls::Opportunistic(parameters()?), 587),
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

fn parameters(
    config: &SmtpConfig,
    host: &str,
    authorities: &Authorities,
) -> Result<TlsParameters, ConfigError> {
    let wrong = |error: Error| ConfigError::field("smtp.url", error.to_string());
    let mut builder = TlsParameters::builder(host.to_owned());
    for certificate in authorities.certificates() {
        let certificate = Certificate::from_der(certificate.to_vec()).map_err(wrong)?;
        builder = builder.add_root_certificate(certificate);
    }
    if let Some(file) = &config.ca_file {
        let certificate = Certificate::from_pem(read_text(file)?.as_bytes())
            .map_err(|error| ConfigError::file(file, error))?;
        builder = builder.add_root_certificate(certificate);
    }
    builder.build_rustls().map_err(wrong)
}

/// Classifies a failure of an address that every server can be given. A refused login and a server
/// that cannot be used are the operator's to fix, and not the fault of the address.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_become_a_labels() {
        for (text, expected) in [
            ("sales@north.example", Some("sales@north.example")),
            ("einkauf@büro.example", Some("einkauf@xn--bro-hoa.example")),
            ("Einkauf@BÜRO.example", Some("Einkauf@xn--bro-hoa.example")),
            ("einkauf@büro。example", Some("einkauf@xn--bro-hoa.example")),
            ("einkauf@xn--bro-hoa.example", Some("einkauf@xn--bro-hoa.example")),
            ("a@straße.example", Some("a@xn--strae-oqa.example")),
            ("a@例え.テスト", Some("a@xn--r8jz45g.xn--zckzah")),
            ("jörg@example.com", Some("jörg@example.com")),
            ("jörg@büro.example", Some("jörg@xn--bro-hoa.example")),
            ("a@r3---sn.example", Some("a@r3---sn.example")),
            ("a@[127.0.0.1]", Some("a@[127.0.0.1]")),
            ("a@bü ro.example", None),
            ("a@bü_ro.example", None),
            ("a@-bü.example", None),
            ("a@bü..example", None),
            ("@büro.example", None),
            ("büro.example", None),
        ] {
            let address = ascii_domain_address(text).map(|address| address.to_string());
            assert_eq!(address.as_deref(), expected, "{text}");
        }
    }
}
