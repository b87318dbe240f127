//! The notification channels: mail, Google Chat, text messages, signed webhooks and, behind a
//! feature, NATS subjects. One call is one delivery attempt within one timeout; `core::outbox`
//! decides what to send, when and how often.

pub mod authorities;
pub mod config;
pub mod example;
pub mod guard;
pub mod limits;
pub mod proxy;
pub mod templates;

mod chat;
mod connector;
mod http;
mod mail;
#[cfg(feature = "nats")]
mod nats;
mod no_proxy;
mod secret;
mod sms;
mod webhook;

use std::sync::Arc;

use orderstream_core::notification::{
    Blame, DeliveryError, DeliveryFuture, Notification, Notifier,
};
use orderstream_core::port::Clock;
use orderstream_core::spec::{Channel, NotificationType};

pub use config::{Config, ConfigError};
pub use webhook::cloud_event;

use crate::authorities::Authorities;
use crate::chat::Chat;
use crate::guard::AddressPolicy;
use crate::http::Http;
use crate::limits::ATTEMPT_TIMEOUT;
use crate::mail::Mail;
use crate::proxy::ProxySettings;
use crate::sms::Sms;
use crate::templates::Templates;
use crate::webhook::Webhook;

/// The way of calls to the outside: the proxies of those over HTTP, and the authorities that all
/// trust besides the system's.
#[derive(Clone, Debug, Default)]
pub struct Outgoing {
    /// The proxies of calls over HTTP. Mail and NATS use none.
    pub proxies: ProxySettings,
    /// The authorities that HTTP and mail trust besides the system's.
    pub authorities: Authorities,
}

/// The configured channels.
#[derive(Debug)]
pub struct NotificationChannels {
    mail: Option<Mail>,
    sms: Option<Sms>,
    chat: Chat,
    webhook: Webhook,
    #[cfg(feature = "nats")]
    nats: nats::Nats,
    sinks: Vec<Channel>,
    /// The proxies as a text for the log.
    proxies: String,
}

impl NotificationChannels {
    /// Creates the channels; nothing connects yet.
    ///
    /// # Errors
    /// When a setting is invalid; the error names the field.
    pub fn new(
        config: Config,
        outgoing: &Outgoing,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ConfigError> {
        let templates = Arc::new(Templates::load(config.templates.as_deref())?);
        let policy =
            if config.webhook.allow_local { AddressPolicy::Open } else { AddressPolicy::Strict };
        let http = Http::new(policy, outgoing, Arc::clone(&clock))?;
        let authorities = &outgoing.authorities;
        let mail = config
            .smtp
            .map(|smtp| Mail::new(&smtp, authorities, Arc::clone(&templates)))
            .transpose()?;
        let sms = config
            .sms
            .map(|sms| Sms::new(&sms, http.clone(), Arc::clone(&templates)))
            .transpose()?;
        let webhook = Webhook::new(&config.webhook, http.clone(), clock)?;
        Ok(Self {
            mail,
            sms,
            chat: Chat::new(http, templates),
            webhook,
            #[cfg(feature = "nats")]
            nats: nats::Nats::default(),
            sinks: config::sinks(&config.sinks)?,
            proxies: outgoing.proxies.to_string(),
        })
    }

    /// Returns the configured channels as a text for the log, without personal addresses or
    /// secrets.
    pub fn summary(&self) -> String {
        let state = |is_set_up| if is_set_up { "on" } else { "off" };
        let (mail, sms) = (state(self.mail.is_some()), state(self.sms.is_some()));
        let signed = if self.webhook.is_signed() { "signed" } else { "unsigned" };
        let (sinks, proxies) = (self.sinks.len(), &self.proxies);
        format!(
            "Email {mail}, SMS {sms}, GChat on, Webhook on ({signed}), {sinks} sinks, {proxies}"
        )
    }

    async fn attempt(&self, notification: &Notification) -> Result<(), DeliveryError> {
        match notification.channel.kind {
            NotificationType::Email => match &self.mail {
                Some(mail) => mail.send(notification).await,
                None => Err(not_configured("mail")),
            },
            NotificationType::Sms => match &self.sms {
                Some(sms) => sms.send(notification).await,
                None => Err(not_configured("text message")),
            },
            NotificationType::GChat => self.chat.send(notification).await,
            NotificationType::Webhook => {
                #[cfg(feature = "nats")]
                if nats::is_nats_url(&notification.channel.address) {
                    return self.nats.send(notification).await;
                }
                self.webhook.send(notification).await
            }
        }
    }
}

fn not_configured(what: &str) -> DeliveryError {
    // The channel was configured when the notification was queued, and may be configured again.
    DeliveryError::TryAgain {
        reason: format!("{what} is not set up now"),
        after_ms: None,
        blame: Blame::Recipient,
    }
}

impl Notifier for NotificationChannels {
    fn serves(&self, kind: NotificationType) -> bool {
        match kind {
            NotificationType::Email => self.mail.is_some(),
            NotificationType::Sms => self.sms.is_some(),
            NotificationType::GChat | NotificationType::Webhook => true,
        }
    }

    fn sinks(&self) -> &[Channel] {
        &self.sinks
    }

    fn destination(&self, channel: &Channel) -> String {
        match channel.kind {
            NotificationType::Email => "smtp".to_owned(),
            NotificationType::Sms => "sms".to_owned(),
            NotificationType::GChat | NotificationType::Webhook => {
                http::destination(&channel.address)
            }
        }
    }

    fn deliver<'a>(&'a self, notification: &'a Notification) -> DeliveryFuture<'a> {
        Box::pin(async move {
            let attempt = tokio::time::timeout(ATTEMPT_TIMEOUT, self.attempt(notification));
            attempt.await.unwrap_or_else(|_| {
                Err(DeliveryError::TryAgain {
                    reason: format!("no answer within {} s", ATTEMPT_TIMEOUT.as_secs()),
                    after_ms: None,
                    blame: Blame::Destination,
                })
            })
        })
    }
}
