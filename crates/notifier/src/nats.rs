//! NATS subjects as sinks: `nats://host:4222/prefix` receives each topic under
//! `prefix.TOPIC.tenant` as a `CloudEvent`; the default prefix is `orderstream`.

use std::collections::BTreeMap;

use async_nats::connection::State;
use async_nats::{Client, ConnectOptions, HeaderMap};
use bytes::Bytes;
use futures_util::StreamExt as _;
use orderstream_core::notification::{Blame, DeliveryError, Notification};
use tokio::sync::Mutex;
use url::Url;

use crate::limits::CONNECT_TIMEOUT;
use crate::webhook::cloud_event;

/// The connections, by server.
#[derive(Debug, Default)]
pub(crate) struct Nats {
    clients: Mutex<BTreeMap<String, Client>>,
}

/// Reports whether a sink is a NATS server.
pub(crate) fn is_nats_url(address: &str) -> bool {
    address.starts_with("nats://")
}

impl Nats {
    pub(crate) async fn send(&self, notification: &Notification) -> Result<(), DeliveryError> {
        let url = Url::parse(&notification.channel.address)
            .map_err(|error| DeliveryError::Bounced { reason: error.to_string() })?;
        let client = self.client(&url).await?;
        let mut headers = HeaderMap::new();
        // JetStream stores only one message per id.
        headers.insert("Nats-Msg-Id", notification.id.as_str());
        headers.insert("content-type", "application/cloudevents+json; charset=utf-8");
        let body = cloud_event(notification).to_string();
        let subject = subject(&url, notification);
        publish_acknowledged(&client, subject, headers, body).await
    }

    async fn client(&self, url: &Url) -> Result<Client, DeliveryError> {
        let mut server = url.clone();
        server.set_path("");
        let server = server.to_string();
        if let Some(client) = self.clients.lock().await.get(&server) {
            return Ok(client.clone());
        }
        let options = ConnectOptions::new().connection_timeout(CONNECT_TIMEOUT);
        let client = options.connect(&server).await.map_err(|error| connection_error(&error))?;
        self.clients.lock().await.insert(server, client.clone());
        Ok(client)
    }
}

/// Publishes a message, and waits until the server has it. The server does not acknowledge
/// messages, but handles those of one connection in order: once a message to this client's own
/// inbox has come back, the one before it has arrived. A flush would only prove that the message
/// left this process.
async fn publish_acknowledged(
    client: &Client,
    subject: String,
    headers: HeaderMap,
    body: String,
) -> Result<(), DeliveryError> {
    // Otherwise the message would be buffered in this process, and be sent in addition to the next
    // attempt.
    if client.connection_state() != State::Connected {
        return Err(connection_error(&"the connection is lost, and being made again"));
    }
    let echo = client.new_inbox();
    let echoed = client.subscribe(echo.clone()).await;
    let mut echoed = echoed.map_err(|error| connection_error(&error))?;
    let published = client.publish_with_headers(subject, headers, body.into()).await;
    published.map_err(|error| connection_error(&error))?;
    let echo_published = client.publish(echo, Bytes::new()).await;
    echo_published.map_err(|error| connection_error(&error))?;
    echoed.next().await.map(drop).ok_or_else(|| connection_error(&"the connection ended"))
}

fn subject(url: &Url, notification: &Notification) -> String {
    let prefix = match url.path().trim_matches('/') {
        "" => "orderstream",
        prefix => prefix,
    };
    format!("{prefix}.{}.{}", notification.topic.as_str(), notification.key.tenant)
}

fn connection_error(error: &dyn std::fmt::Display) -> DeliveryError {
    DeliveryError::TryAgain {
        reason: format!("NATS cannot be reached: {error}"),
        after_ms: None,
        blame: Blame::Destination,
    }
}
