//! Lists of waiting notifications and of dead letters, and replays of the latter.

use std::ops::Bound;

use orderstream_core::date::rfc3339;
use orderstream_core::notification::{Recipient, order_of};
use orderstream_core::outbox::{DeliveryProgress, OutboxEntry};
use orderstream_core::{
    Incarnation, Order, OrderIncarnation, OrderKey, Outbox, Reason, Refusal, SellerId, seal,
};
use orderstream_rest_types::notification::{DeadLettersPage, NotificationView, OutboxView};

use super::Notifications;
use super::queue::ReplayOutcome;
use crate::limits::{PAGE_NOTIFICATIONS, REQUEST_MS_MAX};
use crate::orders::{OwnedOrders, not_found};

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
                cursor: outbox.cursor().0,
                notifications: listed.map(|(id, kept)| notification(order, id, kept)).collect(),
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
    ) -> Result<DeadLettersPage, Refusal> {
        let Some(notifications) = self.notifications() else {
            return Ok(DeadLettersPage { dead_letters: Vec::new(), next: None });
        };
        let first = after.map(parse_after).transpose()?;
        let mut from = first.clone().map_or(Bound::Unbounded, Bound::Included);
        let mut page: Vec<NotificationView> = Vec::new();
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
                return Ok(DeadLettersPage { dead_letters: page, next });
            }
            from = Bound::Excluded(order_incarnation);
        }
        Ok(DeadLettersPage { dead_letters: page, next: None })
    }

    /// Returns the dead letters of one incarnation; none where they cannot be read.
    async fn dead_of(&self, order_incarnation: &OrderIncarnation) -> Vec<NotificationView> {
        let OrderIncarnation { key, incarnation } = order_incarnation;
        let outbox = self.outbox(key, Some(incarnation)).await;
        let Ok((stored_incarnation, snapshot)) = outbox else { return Vec::new() };
        let outbox = Outbox::new(key.clone(), stored_incarnation, snapshot);
        let view = move |order: &Order, _: &crate::orders::OrderRuntimeState| {
            outbox.dead().map(|(id, kept)| notification(order, id, kept)).collect()
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
    let wrong =
        || Refusal::field("after", "is not the id of a notification; give `next` of a page");
    order_of(id).ok_or_else(wrong)
}

/// Converts a notification; what the order's seal hides is left out.
fn notification(order: &Order, notification_id: String, entry: &OutboxEntry) -> NotificationView {
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
        DeliveryProgress::Waiting { next_at, reason, .. } => (Some(*next_at), None, reason.clone()),
        DeliveryProgress::Delivered => (None, None, None),
        DeliveryProgress::GivenUp { at, reason, .. } => (None, Some(*at), Some(reason.clone())),
    };
    NotificationView {
        notification_id,
        seq: entry.seq.0,
        topic: entry.due.topic.as_str().to_owned(),
        template: entry.due.template.as_str().to_owned(),
        recipient: recipient.to_owned(),
        seller,
        channel: entry.due.channel.kind.as_str().to_owned(),
        address: Some(entry.due.channel.address.clone())
            .filter(|_| is_visible || recipient != "seller"),
        state: state.to_owned(),
        attempts,
        due_at: rfc3339(entry.due_at),
        next_at: next_at.map(rfc3339),
        dead_at: dead_at.map(rfc3339),
        // The text of a server's response may hold an address.
        reason: reason.filter(|_| is_visible),
    }
}

fn redacted_seller(order: &Order, seller: &SellerId) -> String {
    seal::seller(order, seller).to_owned()
}
