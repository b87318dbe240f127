//! The types of notifications, which the outbox passes to a channel. A notification carries the id
//! of the event behind it, so that a recipient can recognise a duplicate.

mod announcement;
mod compose;
mod due;
mod template;

use std::fmt::Debug;
use std::pin::Pin;

use serde::{Deserialize, Serialize};

use crate::hash::StableHasher;
use crate::id::{Incarnation, OrderIncarnation, OrderKey, SellerId, Seq, Timestamp};
use crate::spec::{Channel, NotificationType};

pub use announcement::Announcement;
pub use compose::compose;
pub(crate) use due::due_for_failure;
pub use due::{Audience, DueNotification, due, has_recipients};
pub use template::Template;

/// The kinds of notification, by recipient and purpose, as the original system named its topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Topic {
    /// To the buyer: the request was accepted.
    #[serde(rename = "BUYER_ACKNOWLEDGEMENTS")]
    BuyerAcknowledgements,
    /// To the buyer: what sellers do, and the order's end.
    #[serde(rename = "BUYER_NOTIFY")]
    BuyerNotify,
    /// A seller could not be notified.
    #[serde(rename = "REQ_failures")]
    RequestFailures,
    /// To a seller: its proposal was accepted.
    #[serde(rename = "SELLER_ACKNOWLEDGEMENTS")]
    SellerAcknowledgements,
    /// To a seller: the order, and what the buyer does.
    #[serde(rename = "SELLER_NOTIFY")]
    SellerNotify,
    /// The buyer could not be notified of a proposal.
    #[serde(rename = "PRP_FAILURES")]
    ProposalFailures,
}

impl Topic {
    /// Every topic, for tables and metrics.
    pub const ALL: [Self; 6] = [
        Self::BuyerAcknowledgements,
        Self::BuyerNotify,
        Self::RequestFailures,
        Self::SellerAcknowledgements,
        Self::SellerNotify,
        Self::ProposalFailures,
    ];

    /// Returns the original system's spelling.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BuyerAcknowledgements => "BUYER_ACKNOWLEDGEMENTS",
            Self::BuyerNotify => "BUYER_NOTIFY",
            Self::RequestFailures => "REQ_failures",
            Self::SellerAcknowledgements => "SELLER_ACKNOWLEDGEMENTS",
            Self::SellerNotify => "SELLER_NOTIFY",
            Self::ProposalFailures => "PRP_FAILURES",
        }
    }
}

/// The recipient of a notification.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Recipient {
    /// The buyer who opened the order.
    Buyer,
    /// One seller.
    Seller(SellerId),
    /// A program of the operator's, which receives every topic.
    Sink,
}

/// One message to one recipient over one channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Notification {
    /// Unique for ever, and the same at every attempt: made of the order's incarnation, the event's
    /// sequence number, the topic, the template, the recipient and the channel.
    pub id: String,
    /// The notification's kind.
    pub topic: Topic,
    /// The name of the template that renders it.
    pub template: Template,
    /// The order's tenant and id.
    pub key: OrderKey,
    /// The order's incarnation.
    pub incarnation: Incarnation,
    /// The sequence number of the event behind it.
    pub seq: Seq,
    /// The time of that event.
    pub at: Timestamp,
    /// The buyer, a seller or a sink.
    pub recipient: Recipient,
    /// The kind of channel, and the address on it.
    pub channel: Channel,
    /// The recipient's language, a BCP 47 tag; English when absent.
    pub language: Option<String>,
    /// The values for templates and programs: the order's public content, and the event's. Nothing
    /// that is sealed is in it.
    pub data: serde_json::Value,
}

/// A notification that was given up, as the content of the notification that reports it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryFailure {
    /// The id of the notification that was given up.
    pub id: String,
    /// The template that it was to use.
    pub template: Template,
    /// The kind of channel that it was sent over.
    pub channel: NotificationType,
    /// The seller that was to be notified; absent when it was the buyer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seller: Option<SellerId>,
    /// The cause of the failed delivery, for people.
    pub reason: String,
}

/// The result of a delivery attempt that failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeliveryError {
    /// It may be delivered later.
    #[error("{reason}")]
    TryAgain {
        /// The party at fault.
        blame: Blame,
        /// The cause, for people; without secrets.
        reason: String,
        /// The wait that the other side requests, milliseconds from now.
        after_ms: Option<u64>,
    },
    /// It will never be delivered: the address does not exist, or the message is refused for good.
    #[error("{reason}")]
    Bounced {
        /// The cause, for people; without secrets.
        reason: String,
    },
}

/// The party at fault when a notification was not delivered yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The server behind the address is down or busy: notifications to others at it need not be
    /// tried now.
    Destination,
    /// Only this recipient.
    Recipient,
}

/// The future of one delivery attempt.
pub type DeliveryFuture<'a> = Pin<Box<dyn Future<Output = Result<(), DeliveryError>> + Send + 'a>>;

/// Sends notifications over their channels. Each call is one attempt, and ends within the
/// channel's own deadline.
pub trait Notifier: Send + Sync + Debug + 'static {
    /// Reports whether it can send over this kind of channel. Nothing is due over the others.
    fn serves(&self, kind: NotificationType) -> bool;

    /// Returns the channels of the operator's own programs, which receive every topic.
    fn sinks(&self) -> &[Channel];

    /// Returns the server behind this channel, such as a host and a port. Channels that share a
    /// destination share its failures.
    fn destination(&self, channel: &Channel) -> String;

    /// Makes one delivery attempt.
    fn deliver<'a>(&'a self, notification: &'a Notification) -> DeliveryFuture<'a>;
}

/// The separator between the parts of a notification's id: no name contains it, and URLs need not
/// escape it.
const ID_SEPARATOR: char = '~';

/// Returns the id of the notification of one event to one recipient over one channel. `given_up_id`
/// is the id of the notification that was given up, where this one reports that.
pub fn id(
    key: &OrderKey,
    incarnation: &Incarnation,
    seq: Seq,
    due: &DueNotification,
    given_up_id: Option<&str>,
) -> String {
    let (kind, seller) = match &due.recipient {
        Recipient::Buyer => ("buyer", ""),
        Recipient::Seller(seller) => ("seller", seller.as_str()),
        Recipient::Sink => ("sink", ""),
    };
    let parts = [
        due.topic.as_str(),
        due.template.as_str(),
        kind,
        seller,
        due.channel.kind.as_str(),
        &due.channel.address,
        given_up_id.unwrap_or_default(),
    ];
    let (tenant, order) = (&key.tenant, &key.order_req_id);
    let hash = StableHasher::default().texts(&parts).finish();
    format!(
        "{tenant}{ID_SEPARATOR}{order}{ID_SEPARATOR}{incarnation}{ID_SEPARATOR}{seq}{ID_SEPARATOR}{hash:016x}"
    )
}

/// Returns the order's incarnation that a notification's id names; `None` where it is malformed.
pub fn order_of(id: &str) -> Option<OrderIncarnation> {
    let mut parts = id.split(ID_SEPARATOR);
    let key = OrderKey::new(parts.next()?, parts.next()?).ok()?;
    let incarnation = Incarnation::new(parts.next()?).ok()?;
    (parts.count() == 2).then_some(OrderIncarnation { key, incarnation })
}

#[cfg(test)]
mod tests;
