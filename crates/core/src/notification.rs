//! What is told to whom: the types that the outbox hands to a channel. A notification carries the id
//! of the event behind it, so that who hears it twice can tell.

use std::fmt::Debug;
use std::pin::Pin;

use serde::{Deserialize, Serialize};

use crate::id::{Incarnation, OrderKey, SellerId, Seq, Timestamp};
use crate::spec::Channel;

/// The original system's topics: who is told what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Topic {
    /// The buyer hears that the request was taken.
    #[serde(rename = "BUYER_ACKNOWLEDGEMENTS")]
    BuyerAcknowledgements,
    /// The buyer hears what sellers do, and of the order's end.
    #[serde(rename = "BUYER_NOTIFY")]
    BuyerNotify,
    /// A seller could not be told.
    #[serde(rename = "REQ_failures")]
    RequestFailures,
    /// A seller hears that a proposal was taken.
    #[serde(rename = "SELLER_ACKNOWLEDGEMENTS")]
    SellerAcknowledgements,
    /// A seller hears of an order, and of what the buyer does.
    #[serde(rename = "SELLER_NOTIFY")]
    SellerNotify,
    /// The buyer could not be told of a proposal.
    #[serde(rename = "PRP_FAILURES")]
    ProposalFailures,
}

impl Topic {
    /// Every topic, for tables and series.
    pub const ALL: [Self; 6] = [
        Self::BuyerAcknowledgements,
        Self::BuyerNotify,
        Self::RequestFailures,
        Self::SellerAcknowledgements,
        Self::SellerNotify,
        Self::ProposalFailures,
    ];

    /// The original system's spelling.
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

/// Whom a notification is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Recipient {
    /// Whoever asked for the order.
    Buyer,
    /// One seller.
    Seller(SellerId),
    /// A program of the operator's, which hears of every topic.
    Sink,
}

/// One message to one recipient over one channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Notification {
    /// Unique for ever, and the same at every attempt: made of the order's life, the event's number,
    /// the recipient and the channel.
    pub id: String,
    /// What sort.
    pub topic: Topic,
    /// What happened, as the name of a template: `invitation`, `follow-up`, `proposal`, …
    pub template: String,
    /// Whose, and which number.
    pub key: OrderKey,
    /// Which life of the name.
    pub incarnation: Incarnation,
    /// The event behind it.
    pub seq: Seq,
    /// When that was.
    pub at: Timestamp,
    /// For whom.
    pub recipient: Recipient,
    /// Where to.
    pub channel: Channel,
    /// The recipient's language, a BCP 47 tag; English when absent.
    pub language: Option<String>,
    /// What templates and programs may say: the order's public content, and the event's. Nothing
    /// that is sealed is in it.
    pub data: serde_json::Value,
}

/// Why a notification did not arrive.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeliveryError {
    /// It may arrive later.
    #[error("{reason}")]
    TryAgain {
        /// Why, for people; without secrets.
        reason: String,
        /// When the other side wants to be asked again, milliseconds from now.
        after_ms: Option<u64>,
    },
    /// It never will: the address does not exist, or the message is refused for good.
    #[error("{reason}")]
    Bounced {
        /// Why, for people; without secrets.
        reason: String,
    },
}

/// What comes of an attempt.
pub type Delivery<'a> = Pin<Box<dyn Future<Output = Result<(), DeliveryError>> + Send + 'a>>;

/// Sends notifications over their channels. Each call is one attempt, and ends within the
/// channel's own deadline.
pub trait Notifier: Send + Sync + Debug + 'static {
    /// Tries once.
    fn deliver<'a>(&'a self, notification: &'a Notification) -> Delivery<'a>;
}
