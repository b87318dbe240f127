//! An order's outbox, and dead letters. The OpenAPI document does not describe their fields.

use serde::{Deserialize, Serialize};

/// One notification in a list. While the order is sealed, sellers and their addresses are hidden.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NotificationView {
    /// Its id, the same in every message.
    pub notification_id: String,
    /// The sequence number of the event that caused it.
    pub seq: u64,
    /// The notification's topic.
    pub topic: String,
    /// The template of its text.
    pub template: String,
    /// `buyer`, `seller` or `sink`.
    pub recipient: String,
    /// The seller that receives it; absent for the others.
    pub seller: Option<String>,
    /// The channel that it is sent over.
    pub channel: String,
    /// The address that it is sent to.
    pub address: Option<String>,
    /// `waiting`, `delivered` (the report to the order is outstanding) or `dead`.
    pub state: String,
    /// The number of attempts so far.
    pub attempts: u32,
    /// The time from which it is due, RFC 3339.
    pub due_at: String,
    /// The time of the next attempt, RFC 3339; absent unless it waits.
    pub next_at: Option<String>,
    /// The time at which it was given up, RFC 3339; absent unless it was.
    pub dead_at: Option<String>,
    /// The reason of the last failure.
    pub reason: Option<String>,
}

/// The outbox of one order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct OutboxView {
    /// The sequence number of the last event that the outbox has folded.
    pub cursor: u64,
    /// The waiting notifications, then the dead letters, each oldest first; at most a page.
    pub notifications: Vec<NotificationView>,
    /// The number of waiting notifications.
    pub waiting: usize,
    /// The number of dead letters.
    pub dead: usize,
    /// The number of dead letters that were dropped.
    pub forgotten: u64,
}

/// A page of dead letters.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeadLettersPage {
    /// The dead letters, grouped by order.
    pub dead_letters: Vec<NotificationView>,
    /// The `after` of the next page; absent at the end.
    pub next: Option<String>,
}
