//! Tests of the channels with real servers: HTTP peers in this process, and aiosmtpd.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it skips"
)]

mod forwarding;
mod http;
mod mail;
#[cfg(feature = "nats")]
mod nats;
mod peer;
mod proxy;

use std::sync::Arc;

use orderstream_core::Timestamp;
use orderstream_core::notification::{DeliveryError, Notification, Notifier as _, Template};
use orderstream_core::port::Clock;
use orderstream_core::spec::NotificationType;
use orderstream_notifier::{Config, NotificationChannels, Outgoing, example};

/// The clock of all channels: 2026-03-02T10:00:00Z.
pub(crate) const NOW: Timestamp = Timestamp(1_772_445_600_000);

#[derive(Debug)]
struct FixedClock;

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        NOW
    }
}

/// Creates channels from a settings file, as an operator would write it.
pub(crate) fn channels(settings: &str) -> NotificationChannels {
    channels_to(settings, &Outgoing::default())
}

/// Creates channels with proxies and authorities.
pub(crate) fn channels_to(settings: &str, outgoing: &Outgoing) -> NotificationChannels {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("notify.yaml");
    std::fs::write(&file, settings).unwrap();
    let config = Config::load(&file).unwrap();
    NotificationChannels::new(config, outgoing, Arc::new(FixedClock)).unwrap()
}

/// Returns a template's example notification to an address.
pub(crate) fn example(
    template: Template,
    kind: NotificationType,
    address: impl Into<String>,
) -> Notification {
    let mut notification = example::notification(template, kind, "de");
    notification.channel.address = address.into();
    notification
}

pub(crate) async fn send(
    channels: &NotificationChannels,
    notification: &Notification,
) -> Result<(), DeliveryError> {
    channels.deliver(notification).await
}
