//! Lists of waiting notifications and of dead letters, and replays of the latter.

use orderstream_core::date;
use std::ops::Bound;

use orderstream_core::notification::{Recipient, order_of};
use orderstream_core::outbox::{DeliveryProgress, OutboxEntry};
use orderstream_core::{
    Incarnation, Order, OrderIncarnation, OrderKey, Outbox, Reason, Refusal, SellerId, Seq,
    Timestamp, seal,
};
use serde::Serialize;

use super::Notifications;
use super::queue::ReplayOutcome;
use crate::limits::{PAGE_NOTIFICATIONS, REQUEST_MS_MAX};
use crate::orders::{OwnedOrders, not_found};

/// One notification in a list. While the order is sealed, sellers and their addresses are hidden.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ListedNotification {
    /// Its id, the same in every message.
    pub notification_id: String,
    /// The sequence number of the event that caused it.
    pub seq: Seq,
    /// The notification's topic.
    pub topic: &'static str,
    /// The template of its text.
    pub template: &'static str,
    /// `buyer`, `seller` or `sink`.
    pub recipient: &'static str,
    /// The seller that receives it; absent for the others.
    pub seller: Option<String>,
    /// The channel that it is sent over.
    pub channel: &'static str,
    /// The address that it is sent to.
    pub address: Option<String>,
    /// `waiting`, `delivered` (the report to the order is outstanding) or `dead`.
    pub state: &'static str,
    /// The number of attempts so far.
    pub attempts: u32,
    /// The time from which it is due.
    #[serde(serialize_with = "rfc3339")]
    pub due_at: Timestamp,
    /// The time of the next attempt; absent unless it waits.
    #[serde(serialize_with = "rfc3339_option")]
    pub next_at: Option<Timestamp>,
    /// The time at which it was given up; absent unless it was.
    #[serde(serialize_with = "rfc3339_option")]
    pub dead_at: Option<Timestamp>,
    /// The reason of the last failure.
    pub reason: Option<String>,
}

/// The outbox of one order.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OutboxView {
    /// The sequence number of the last event that the outbox has folded.
    pub cursor: Seq,
    /// The waiting notifications, then the dead letters, each oldest first; at most a page.
    pub notifications: Vec<ListedNotification>,
    /// The number of waiting notifications.
    pub waiting: usize,
    /// The number of dead letters.
    pub dead: usize,
    /// The number of dead letters that were dropped.
    pub forgotten: u64,
}

/// A page of dead letters.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DeadLetters {
    /// The dead letters, grouped by order.
    pub dead_letters: Vec<ListedNotification>,
    /// The `after` of the next page; absent at the end.
    pub next: Option<String>,
}

impl OwnedOrders {
    /// Returns an order's waiting notifications and dead letters, as of about a second ago at most.
    ///
    /// # Errors
    /// The order is not here, or its outbox cannot be read.
    pub async fn notifications_of(
        &self,
        key: &OrderKey,
        named: Option<&Incarnation>,
    ) -> Result<OutboxView, Refusal> {
        let (incarnation, snapshot) = self.outbox(key, named).await?;
        let outbox = Outbox::new(key.clone(), incarnation, snapshot);
        let view = move |order: &Order, _: &crate::orders::OrderRuntimeState| {
            let (waiting, dead) = outbox.snapshot().counts();
            let listed = outbox.all().take(PAGE_NOTIFICATIONS);
            OutboxView {
                cursor: outbox.cursor(),
                notifications: listed
                    .map(|(id, kept)| ListedNotification::new(order, id, kept))
                    .collect(),
                waiting,
                dead,
                forgotten: outbox.dropped(),
            }
        };
        self.read_one(key, named, view).await
    }

    /// Returns a page of dead letters, of one tenant or of all, after a given one.
    ///
    /// # Errors
    /// `after` is not the id of a notification.
    pub async fn dead_letters(
        &self,
        tenant: Option<&str>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<DeadLetters, Refusal> {
        let Some(notifications) = self.notifications() else {
            return Ok(DeadLetters { dead_letters: Vec::new(), next: None });
        };
        let first = after.map(parse_after).transpose()?;
        let mut from = first.clone().map_or(Bound::Unbounded, Bound::Included);
        let mut page: Vec<ListedNotification> = Vec::new();
        while let Some(order_incarnation) = notifications.0.queue.next_with_dead(from) {
            let is_in_tenant =
                tenant.is_none_or(|tenant| order_incarnation.key.tenant.as_str() == tenant);
            let same = first.as_ref() == Some(&order_incarnation);
            let dead =
                if is_in_tenant { self.dead_of(&order_incarnation).await } else { Vec::new() };
            let skip = match after.filter(|_| same) {
                Some(id) => dead
                    .iter()
                    .position(|dead| dead.notification_id == id)
                    .map_or(0, |n| n.saturating_add(1)),
                None => 0,
            };
            page.extend(dead.into_iter().skip(skip));
            if page.len() >= limit {
                page.truncate(limit);
                let next = page.last().map(|last| last.notification_id.clone());
                return Ok(DeadLetters { dead_letters: page, next });
            }
            from = Bound::Excluded(order_incarnation);
        }
        Ok(DeadLetters { dead_letters: page, next: None })
    }

    /// Returns the dead letters of one incarnation; none where they cannot be read.
    async fn dead_of(&self, order_incarnation: &OrderIncarnation) -> Vec<ListedNotification> {
        let OrderIncarnation { key, incarnation } = order_incarnation;
        let outbox = self.outbox(key, Some(incarnation)).await;
        let Ok((stored_incarnation, snapshot)) = outbox else { return Vec::new() };
        let outbox = Outbox::new(key.clone(), stored_incarnation, snapshot);
        let view = move |order: &Order, _: &crate::orders::OrderRuntimeState| {
            outbox.dead().map(|(id, kept)| ListedNotification::new(order, id, kept)).collect()
        };
        self.read_one(key, Some(incarnation), view).await.unwrap_or_default()
    }

    /// Queues a dead letter to be sent again; returns when that decision is on disk.
    ///
    /// # Errors
    /// The notification was not given up here.
    pub async fn replay_notification(&self, id: &str) -> Result<(), Refusal> {
        let missing = || {
            Refusal::new(
                Reason::NotificationNotFound,
                "no such notification was given up; list them at /api/v1/dead-letters",
            )
        };
        let order_incarnation = order_of(id).ok_or_else(missing)?;
        let notifications: &Notifications = self.notifications().ok_or_else(missing)?;
        if self.incarnation(&order_incarnation.key).is_none() {
            return Err(not_found(&order_incarnation.key));
        }
        if self
            .find_incarnation(&order_incarnation.key, Some(&order_incarnation.incarnation))
            .is_none()
        {
            return Err(missing());
        }
        let replayed = notifications.0.queue.replay(&order_incarnation, id.to_owned());
        let limit = std::time::Duration::from_millis(REQUEST_MS_MAX);
        match tokio::time::timeout(limit, replayed).await {
            Ok(Ok(ReplayOutcome::Requeued)) => Ok(()),
            Ok(Ok(ReplayOutcome::Unknown)) => Err(missing()),
            Ok(Err(_)) | Err(_) => Err(Refusal::new(
                Reason::Overloaded,
                "the order's outbox is busy; list the dead letters, and ask again",
            )),
        }
    }
}

fn parse_after(id: &str) -> Result<OrderIncarnation, Refusal> {
    let wrong = || Refusal::field("after", "is no notification's id; give `next` of a page");
    order_of(id).ok_or_else(wrong)
}

impl ListedNotification {
    fn new(order: &Order, notification_id: String, entry: &OutboxEntry) -> Self {
        let is_visible = !order.is_sealed();
        let (recipient, seller) = match &entry.due.recipient {
            Recipient::Buyer => ("buyer", None),
            Recipient::Seller(seller) => ("seller", Some(redacted_seller(order, seller))),
            Recipient::Sink => ("sink", None),
        };
        let (state, attempts) = match &entry.state {
            DeliveryProgress::Waiting { attempts, .. } => ("waiting", *attempts),
            DeliveryProgress::Delivered => ("delivered", 1),
            DeliveryProgress::GivenUp { attempts, .. } => ("dead", *attempts),
        };
        let (next_at, dead_at, reason) = match &entry.state {
            DeliveryProgress::Waiting { next_at, reason, .. } => {
                (Some(*next_at), None, reason.clone())
            }
            DeliveryProgress::Delivered => (None, None, None),
            DeliveryProgress::GivenUp { at, reason, .. } => (None, Some(*at), Some(reason.clone())),
        };
        Self {
            notification_id,
            seq: entry.seq,
            topic: entry.due.topic.as_str(),
            template: entry.due.template.as_str(),
            recipient,
            seller,
            channel: entry.due.channel.kind.as_str(),
            address: Some(entry.due.channel.address.clone())
                .filter(|_| is_visible || recipient != "seller"),
            state,
            attempts,
            due_at: entry.due_at,
            next_at,
            dead_at,
            // The text of a server's response may hold an address.
            reason: reason.filter(|_| is_visible),
        }
    }
}

fn redacted_seller(order: &Order, seller: &SellerId) -> String {
    seal::seller(order, seller).to_owned()
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn rfc3339<S: serde::Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&date::rfc3339(*at))
}

#[allow(clippy::ref_option, reason = "serde gives a reference")]
fn rfc3339_option<S: serde::Serializer>(
    at: &Option<Timestamp>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => rfc3339(at, serializer),
        None => serializer.serialize_none(),
    }
}
