//! What a buyer asks for: the strict form. The lenient forms of the wire, of REST and of manifests
//! are turned into it in `input`.

use serde::{Deserialize, Serialize};

use crate::id::{FollowUpId, SellerId};
use crate::limits::{EXPIRES_IN_MS_DEFAULT, SELLERS_DEFAULT};
use crate::price::{Currency, Quantity};

/// An order's content, checked. Held for as long as the order is followed, by ten thousands: what most
/// orders do not say takes no room in those.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OrderSpec {
    /// One line for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<Box<str>>,
    /// How the sellers are told.
    #[serde(default)]
    pub notification_type: NotificationType,
    /// The buyer's session, kept as it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<Box<str>>,
    /// What is wanted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<Item>,
    /// Which sellers are fit; absent fits all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<Box<str>>,
    /// Where and when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<Box<Delivery>>,
    /// How many sellers, how far, and which.
    #[serde(default)]
    pub sellers: SellerLimits,
    /// The text that goes to the sellers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<Box<Message>>,
    /// Life of the order from its opening, milliseconds.
    pub expires_in_ms: u64,
    /// Whether prices and who proposed stay hidden until the deadline.
    #[serde(default)]
    pub sealed: bool,
    /// Where the buyer is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub buyer: Option<Box<Contact>>,
}

/// Where somebody is told, and how to speak to them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    /// Ways to reach them, the preferred one first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub channels: Vec<Channel>,
    /// A BCP 47 tag such as `de` or `pt-BR`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
}

/// One way to reach somebody.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Channel {
    /// Which way.
    #[serde(rename = "type")]
    pub kind: NotificationType,
    /// A mail address for `Email`, a number for `SMS`, a URL for `GChat` and `Webhook`.
    pub address: String,
}

impl Default for OrderSpec {
    fn default() -> Self {
        Self {
            title: None,
            notification_type: NotificationType::default(),
            session: None,
            items: Vec::new(),
            category: None,
            delivery: None,
            sellers: SellerLimits::default(),
            message: None,
            expires_in_ms: EXPIRES_IN_MS_DEFAULT,
            sealed: false,
            buyer: None,
        }
    }
}

/// How sellers are told.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum NotificationType {
    /// Google Chat.
    GChat,
    /// Mail.
    #[default]
    Email,
    /// Text message.
    #[serde(rename = "SMS")]
    Sms,
    /// An HTTP request to the seller's address.
    Webhook,
}

impl NotificationType {
    /// The spelling in manifests and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::GChat => "GChat",
            Self::Email => "Email",
            Self::Sms => "SMS",
            Self::Webhook => "Webhook",
        }
    }

    /// Reads any case; `None` for an unknown word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::GChat, Self::Email, Self::Sms, Self::Webhook]
            .into_iter()
            .find(|kind| kind.as_str().eq_ignore_ascii_case(text))
    }
}

/// One wanted thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// The buyer's number of the thing.
    pub sku: String,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// How many.
    pub quantity: Quantity,
    /// Of what: pieces, kg, hours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
}

/// Where and until when to deliver.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// The place on the Earth.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// The place in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Until when, as the buyer wrote it (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// A point on the Earth, in millionths of a degree (about 11 cm), so that it compares exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// -90 000 000 to 90 000 000.
    pub latitude_udeg: i32,
    /// -180 000 000 to 180 000 000.
    pub longitude_udeg: i32,
}

/// Which sellers an order invites.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SellerLimits {
    /// At most so many.
    pub max_count: u32,
    /// Not farther than this from the place of delivery, metres.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_distance_m: Option<u32>,
    /// Only these, when any are named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<SellerId>,
    /// None of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub excluded: Vec<SellerId>,
}

impl Default for SellerLimits {
    fn default() -> Self {
        Self {
            max_count: SELLERS_DEFAULT,
            max_distance_m: None,
            names: Vec::new(),
            excluded: Vec::new(),
        }
    }
}

/// A text with its type.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// How to read the text.
    #[serde(default, rename = "type")]
    pub kind: MessageType,
    /// The text.
    pub message: String,
    /// Links that belong to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
}

/// How to read a message's text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MessageType {
    /// As it is.
    #[default]
    Text,
    /// HTML.
    Html,
    /// Markdown.
    Markdown,
}

impl MessageType {
    /// The spelling in manifests and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Html => "html",
            Self::Markdown => "markdown",
        }
    }

    /// Reads any case; `None` for an unknown word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Text, Self::Html, Self::Markdown]
            .into_iter()
            .find(|kind| kind.as_str().eq_ignore_ascii_case(text))
    }
}

/// The buyer's question or remark to all sellers, or to some.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FollowUp {
    /// Unique in its order.
    pub id: FollowUpId,
    /// To these sellers; empty means to all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub audience: Vec<SellerId>,
    /// The text.
    pub message: Message,
    /// The seller's question that it answers, if it answers one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers: Option<FollowUpId>,
}

/// A seller as the directory knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seller {
    /// The name.
    pub id: SellerId,
    /// Where it delivers from.
    pub place: Option<Place>,
    /// What it sells.
    pub categories: Vec<String>,
    /// Where it is told, and in which language.
    pub contact: Contact,
    /// The currency in which it usually proposes.
    pub currency: Option<Currency>,
    /// Open orders that it takes part in at most; absent means any number.
    pub capacity: Option<u32>,
    /// Whether it takes no invitations now.
    pub suspended: bool,
}

/// What became of one seller when an order's sellers were selected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SellerChoice {
    /// The seller.
    pub seller: SellerId,
    /// Chosen, or why not.
    pub verdict: Verdict,
    /// Great-circle distance to the place of delivery, metres, where both places are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distance_m: Option<u32>,
}

/// Why a seller was chosen or left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// Invited.
    Chosen,
    /// Farther than the order allows.
    TooFar,
    /// The order wants a distance, and the seller's place is unknown.
    PlaceUnknown,
    /// Does not sell the category.
    WrongCategory,
    /// The order names its sellers, and not this one.
    NotNamed,
    /// The order excludes it.
    Excluded,
    /// Takes no invitations now.
    Suspended,
    /// Takes part in as many open orders as it can.
    Full,
    /// Fit, but the order invites no more.
    BeyondCount,
}

impl Verdict {
    /// Every verdict, for tables.
    pub const ALL: [Self; 9] = [
        Self::Chosen,
        Self::TooFar,
        Self::PlaceUnknown,
        Self::WrongCategory,
        Self::NotNamed,
        Self::Excluded,
        Self::Suspended,
        Self::Full,
        Self::BeyondCount,
    ];

    /// The verdict with this spelling.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verdict| verdict.as_str() == text)
    }

    /// The spelling on the wire and in answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Chosen => "Chosen",
            Self::TooFar => "TooFar",
            Self::PlaceUnknown => "PlaceUnknown",
            Self::WrongCategory => "WrongCategory",
            Self::NotNamed => "NotNamed",
            Self::Excluded => "Excluded",
            Self::Suspended => "Suspended",
            Self::Full => "Full",
            Self::BeyondCount => "BeyondCount",
        }
    }
}
