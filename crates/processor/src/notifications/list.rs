//! What is still to be told and what was given up, for people who look, and sending again.

use orderstream_core::date;
use std::ops::Bound;

use orderstream_core::notification::{Recipient, order_of};
use orderstream_core::outbox::{Kept, State};
use orderstream_core::{
    Incarnation, Order, OrderKey, Outbox, Reason, Refusal, SellerId, Seq, Timestamp, seal,
};
use serde::Serialize;

use super::Notifications;
use super::queue::Replayed;
use crate::limits::{PAGE_NOTIFICATIONS, REQUEST_MS_MAX};
use crate::orders::{Life, Orders, not_found};

/// One notification in a list. Under seal no seller and no address is shown.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Listed {
    /// Its id, the same in every message.
    pub notification_id: String,
    /// The event behind it.
    pub seq: Seq,
    /// What sort.
    pub topic: &'static str,
    /// What it says.
    pub template: &'static str,
    /// `buyer`, `seller` or `sink`.
    pub recipient: &'static str,
    /// Which seller.
    pub seller: Option<String>,
    /// Over which channel.
    pub channel: &'static str,
    /// Where to.
    pub address: Option<String>,
    /// `waiting`, `delivered` (the order is being told) or `dead`.
    pub state: &'static str,
    /// Attempts so far.
    pub attempts: u32,
    /// Since when it is due.
    #[serde(serialize_with = "rfc3339")]
    pub due_at: Timestamp,
    /// When it is tried again.
    #[serde(serialize_with = "rfc3339_option")]
    pub next_at: Option<Timestamp>,
    /// When it was given up.
    #[serde(serialize_with = "rfc3339_option")]
    pub dead_at: Option<Timestamp>,
    /// Why the last attempt failed.
    pub reason: Option<String>,
}

/// The outbox of one order.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OutboxListed {
    /// The last event that was looked at.
    pub cursor: Seq,
    /// What waits or was given up, oldest first; at most a page.
    pub notifications: Vec<Listed>,
    /// How many wait.
    pub waiting: usize,
    /// How many were given up.
    pub dead: usize,
    /// How many of those that were given up are forgotten.
    pub forgotten: u64,
}

/// A page of what was given up.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DeadLetters {
    /// The page, by order.
    pub dead_letters: Vec<Listed>,
    /// What to give as `after` for the next page.
    pub next: Option<String>,
}

impl Orders {
    /// What of an order is still to be told, at most about a second old.
    ///
    /// # Errors
    /// An order that is not here, or whose outbox cannot be read.
    pub async fn notifications_of(
        &self,
        key: &OrderKey,
        named: Option<&Incarnation>,
    ) -> Result<OutboxListed, Refusal> {
        let (life, snapshot) = self.outbox(key, named).await?;
        let outbox = Outbox::new(key.clone(), life, snapshot);
        let view = move |order: &Order, _: &crate::orders::Facts| {
            let (waiting, dead) = outbox.snapshot().counts();
            let listed = outbox.all().take(PAGE_NOTIFICATIONS);
            OutboxListed {
                cursor: outbox.cursor(),
                notifications: listed.map(|(id, kept)| Listed::new(order, id, kept)).collect(),
                waiting,
                dead,
                forgotten: outbox.forgotten(),
            }
        };
        self.read_one(key, named, view).await
    }

    /// A page of what was given up, of one tenant or of all, after a notification.
    ///
    /// # Errors
    /// An `after` that is no notification's id.
    pub async fn dead_letters(
        &self,
        tenant: Option<&str>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<DeadLetters, Refusal> {
        let Some(notifications) = self.notifications() else {
            return Ok(DeadLetters { dead_letters: Vec::new(), next: None });
        };
        let first = after.map(life_named).transpose()?;
        let mut from = first.clone().map_or(Bound::Unbounded, Bound::Included);
        let mut page: Vec<Listed> = Vec::new();
        while let Some(life) = notifications.0.queue.with_dead(from) {
            let is_wanted = tenant.is_none_or(|tenant| life.0.tenant.as_str() == tenant);
            let same = first.as_ref() == Some(&life);
            let dead = if is_wanted { self.dead_of(&life).await } else { Vec::new() };
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
            from = Bound::Excluded(life);
        }
        Ok(DeadLetters { dead_letters: page, next: None })
    }

    /// What was given up of one order; nothing where it cannot be read.
    async fn dead_of(&self, (key, incarnation): &Life) -> Vec<Listed> {
        let outbox = self.outbox(key, Some(incarnation)).await;
        let Ok((life, snapshot)) = outbox else { return Vec::new() };
        let outbox = Outbox::new(key.clone(), life, snapshot);
        let view = move |order: &Order, _: &crate::orders::Facts| {
            outbox.dead().map(|(id, kept)| Listed::new(order, id, kept)).collect()
        };
        self.read_one(key, Some(incarnation), view).await.unwrap_or_default()
    }

    /// Sends again what was given up; answers when that is on disk.
    ///
    /// # Errors
    /// A notification that was not given up here.
    pub async fn replay_notification(&self, id: &str) -> Result<(), Refusal> {
        let missing = || {
            Refusal::new(
                Reason::NotificationNotFound,
                "no such notification was given up; list them at /api/v1/dead-letters",
            )
        };
        let life = order_of(id).ok_or_else(missing)?;
        let notifications: &Notifications = self.notifications().ok_or_else(missing)?;
        if self.incarnation(&life.0).is_none() {
            return Err(not_found(&life.0));
        }
        if self.holds(&life.0, Some(&life.1)).is_none() {
            return Err(missing());
        }
        let replayed = notifications.0.queue.replay(&life, id.to_owned());
        let limit = std::time::Duration::from_millis(REQUEST_MS_MAX);
        match tokio::time::timeout(limit, replayed).await {
            Ok(Ok(Replayed::Done)) => Ok(()),
            Ok(Ok(Replayed::Unknown)) => Err(missing()),
            Ok(Err(_)) | Err(_) => Err(Refusal::new(
                Reason::Overloaded,
                "the order's outbox is busy; list the dead letters, and ask again",
            )),
        }
    }
}

fn life_named(id: &str) -> Result<Life, Refusal> {
    let wrong = || Refusal::field("after", "is no notification's id; give `next` of a page");
    order_of(id).ok_or_else(wrong)
}

impl Listed {
    fn new(order: &Order, notification_id: String, kept: &Kept) -> Self {
        let is_shown = !order.is_sealed();
        let (recipient, seller) = match &kept.due.recipient {
            Recipient::Buyer => ("buyer", None),
            Recipient::Seller(seller) => ("seller", Some(shown(order, seller))),
            Recipient::Sink => ("sink", None),
        };
        let (state, attempts) = match &kept.state {
            State::Waiting { attempts, .. } => ("waiting", *attempts),
            State::Told => ("delivered", 1),
            State::GivenUp { attempts, .. } => ("dead", *attempts),
        };
        let (next_at, dead_at, reason) = match &kept.state {
            State::Waiting { next_at, reason, .. } => (Some(*next_at), None, reason.clone()),
            State::Told => (None, None, None),
            State::GivenUp { at, reason, .. } => (None, Some(*at), Some(reason.clone())),
        };
        Self {
            notification_id,
            seq: kept.seq,
            topic: kept.due.topic.as_str(),
            template: kept.due.template.as_str(),
            recipient,
            seller,
            channel: kept.due.channel.kind.as_str(),
            address: Some(kept.due.channel.address.clone())
                .filter(|_| is_shown || recipient != "seller"),
            state,
            attempts,
            due_at: kept.due_at,
            next_at,
            dead_at,
            // What a server says may hold an address.
            reason: reason.filter(|_| is_shown),
        }
    }
}

fn shown(order: &Order, seller: &SellerId) -> String {
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
