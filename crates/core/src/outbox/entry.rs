//! A notification that the outbox holds, its progress, and its report to the order.

use serde::{Deserialize, Serialize};

use crate::id::{SellerId, Seq, Timestamp};
use crate::notification::{DeliveryFailure, DueNotification, Recipient, Template};
use crate::spec::NotificationType;

/// The result of an invitation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvitationReport {
    /// The notification's number.
    pub number: u64,
    /// The seller that was invited.
    pub seller: SellerId,
    /// The kind of channel.
    pub channel: NotificationType,
    /// The cause for which it was not delivered; absent when it was.
    pub failure: Option<String>,
}

/// A notification that the outbox holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxEntry {
    /// The sequence number of the event behind it.
    pub seq: Seq,
    /// The time since which it is due.
    pub due_at: Timestamp,
    /// The notification without its content.
    #[serde(flatten)]
    pub due: DueNotification,
    /// The notification that was given up, where this one reports that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<DeliveryFailure>,
    /// Its progress.
    pub state: DeliveryProgress,
}

/// The progress of a notification.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeliveryProgress {
    /// It waits for its first or next attempt.
    Waiting {
        /// The number of attempts so far.
        attempts: u32,
        /// The earliest time of the next attempt.
        next_at: Timestamp,
        /// The cause for which the last attempt failed; absent before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// It was delivered, and the order has not recorded the result yet.
    #[serde(rename = "Told")]
    Delivered,
    /// It was given up. While it is among the pending ones, the order has not recorded the result
    /// yet.
    GivenUp {
        /// The number of attempts that were made.
        attempts: u32,
        /// The time at which it was given up.
        at: Timestamp,
        /// The cause, for people.
        reason: String,
    },
}

impl OutboxEntry {
    /// Reports whether the order receives the result.
    pub(super) fn reports_to_order(&self) -> bool {
        let is_invitation = self.due.template == Template::Invitation;
        is_invitation && matches!(self.due.recipient, Recipient::Seller(_))
    }

    /// Returns the result of an invitation; `None` where the recipient is not a seller.
    pub(super) fn report(&self, number: u64) -> Option<InvitationReport> {
        let Recipient::Seller(seller) = &self.due.recipient else { return None };
        let failure = match &self.state {
            DeliveryProgress::GivenUp { reason, .. } => Some(reason.clone()),
            DeliveryProgress::Delivered | DeliveryProgress::Waiting { .. } => None,
        };
        Some(InvitationReport {
            number,
            seller: seller.clone(),
            channel: self.due.channel.kind,
            failure,
        })
    }
}
