//! The content of an order, in its strict form. `input` turns the lenient forms of the wire, of
//! REST and of manifests into it.

use serde::{Deserialize, Serialize};

use crate::date::Zone;
use crate::id::{FollowUpId, SellerId};
use crate::limits::{DECIDE_WITHIN_MS_DEFAULT, EXPIRES_IN_MS_DEFAULT, SELLERS_DEFAULT};
use crate::price::{Currency, Quantity};

/// An order's content, checked. It stays in memory for as long as the order is followed, for tens
/// of thousands of orders: fields that most orders lack take no space in those.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OrderSpec {
    /// The title, one line for people; absent where the buyer gave none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<Box<str>>,
    /// The preferred kind of channel to sellers.
    #[serde(default)]
    pub notification_type: NotificationType,
    /// The buyer's session, stored as received.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<Box<str>>,
    /// The wanted items.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<Item>,
    /// The category that a seller must offer; absent means any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<Box<str>>,
    /// The place and the date of delivery.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<Box<Delivery>>,
    /// The limits on the sellers to invite: number, distance and names.
    #[serde(default)]
    pub sellers: SellerLimits,
    /// The text for the sellers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<Box<Message>>,
    /// The time from the order's opening to its deadline, milliseconds.
    pub expires_in_ms: u64,
    /// The time after the deadline in which the buyer may decide, milliseconds; absent where the
    /// buyer gave none, which means [`DECIDE_WITHIN_MS_DEFAULT`]. 0 ends the order at its deadline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decide_within_ms: Option<u64>,
    /// Prices and sellers stay hidden until the deadline.
    #[serde(default)]
    pub sealed: bool,
    /// The buyer's contact; absent where the buyer is not notified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub buyer: Option<Box<Contact>>,
    /// The only currency of proposals; absent means any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<Currency>,
    /// The name of the time zone in which dates end, such as `Europe/Berlin`; absent means UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<Box<str>>,
}

impl OrderSpec {
    /// Returns the time after the deadline in which the buyer may decide, milliseconds.
    pub fn decide_within_ms(&self) -> u64 {
        self.decide_within_ms.unwrap_or(DECIDE_WITHIN_MS_DEFAULT)
    }

    /// Returns the time zone in which dates end: UTC where the order names none, or one that is not
    /// known.
    pub fn zone(&self) -> Zone {
        self.time_zone.as_deref().and_then(Zone::find).unwrap_or_default()
    }
}

/// The contact of a buyer or seller: its channels and its language.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    /// The channels, the preferred one first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub channels: Vec<Channel>,
    /// A BCP 47 tag such as `de` or `pt-BR`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
}

/// One way to reach a recipient.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Channel {
    /// The kind of channel.
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
            decide_within_ms: None,
            sealed: false,
            buyer: None,
            currency: None,
            time_zone: None,
        }
    }
}

/// A kind of channel for notifications.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum NotificationType {
    /// Google Chat.
    GChat,
    /// An email.
    #[default]
    Email,
    /// A text message.
    #[serde(rename = "SMS")]
    Sms,
    /// An HTTP request to the recipient's address.
    Webhook,
}

impl NotificationType {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::GChat, Self::Email, Self::Sms, Self::Webhook];

    /// Returns the spelling in manifests and replies.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::GChat => "GChat",
            Self::Email => "Email",
            Self::Sms => "SMS",
            Self::Webhook => "Webhook",
        }
    }

    /// Parses any case; `None` for an unknown name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str().eq_ignore_ascii_case(text))
    }
}

/// One wanted item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// The buyer's article number.
    pub sku: String,
    /// A description for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The quantity, in `unit`.
    pub quantity: Quantity,
    /// The unit of the quantity: pieces, kg, hours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// The name of the line, unique in the order; absent where the article number names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<String>,
}

/// The place of delivery, and its latest time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// The place's coordinates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Coordinates>,
    /// The postal address, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The latest time, as the buyer wrote it: a date or a time (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// A point on the Earth, in millionths of a degree (about 11 cm), so that it compares exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coordinates {
    /// From -90 000 000 to 90 000 000.
    pub latitude_udeg: i32,
    /// From -180 000 000 to 180 000 000.
    pub longitude_udeg: i32,
}

/// The limits on the sellers that an order invites.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(clippy::struct_excessive_bools, reason = "independent switches")]
pub struct SellerLimits {
    /// The largest number of sellers to invite.
    pub max_count: u32,
    /// The largest distance from the place of delivery, metres.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_distance_m: Option<u32>,
    /// The only sellers to invite, when any are named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<SellerId>,
    /// The sellers never to invite.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub excluded: Vec<SellerId>,
    /// Sellers that are not invited may propose too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub open_to_all: bool,
    /// Sellers that come while the order is open are invited too, as long as it invites fewer than
    /// it may. Orders of earlier versions lack the field, and invite them.
    #[serde(default = "late_by_default", skip_serializing_if = "is_true")]
    pub late: bool,
}

const fn late_by_default() -> bool {
    true
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
const fn is_true(value: &bool) -> bool {
    *value
}

impl Default for SellerLimits {
    fn default() -> Self {
        Self {
            max_count: SELLERS_DEFAULT,
            max_distance_m: None,
            names: Vec::new(),
            excluded: Vec::new(),
            open_to_all: false,
            late: late_by_default(),
        }
    }
}

/// A text with its type.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The text's format.
    #[serde(default, rename = "type")]
    pub kind: MessageType,
    /// The text.
    pub message: String,
    /// Links that belong to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
}

/// The format of a message's text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MessageType {
    /// Plain text.
    #[default]
    Text,
    /// HTML markup.
    Html,
    /// Markdown markup.
    Markdown,
}

impl MessageType {
    /// Returns the spelling in manifests and replies.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Html => "html",
            Self::Markdown => "markdown",
        }
    }

    /// Parses any case; `None` for an unknown name.
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
    /// The recipients; empty means all sellers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub audience: Vec<SellerId>,
    /// The text.
    pub message: Message,
    /// The seller's question that it answers; absent where it answers none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers: Option<FollowUpId>,
}

/// A seller in the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seller {
    /// The seller's name.
    pub id: SellerId,
    /// Its name for people; absent where they see the seller's name.
    pub display_name: Option<Box<str>>,
    /// The place that it delivers from; absent where it is not known.
    pub place: Option<Coordinates>,
    /// The categories that it sells.
    pub categories: Vec<String>,
    /// The seller's channels and language.
    pub contact: Contact,
    /// The currency in which it usually proposes.
    pub currency: Option<Currency>,
    /// The largest number of open orders that it takes part in; absent means any number.
    pub capacity: Option<u32>,
    /// The seller accepts no invitations now.
    pub suspended: bool,
}

/// The result for one seller of selecting an order's sellers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SellerChoice {
    /// The seller.
    pub seller: SellerId,
    /// The verdict: chosen, or the reason that it was not.
    pub verdict: Verdict,
    /// The great-circle distance to the place of delivery, metres; absent where either place is
    /// unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distance_m: Option<u32>,
    /// The invited seller's name for people, as it was when it was invited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<Box<str>>,
}

/// The result of considering a seller for an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// The seller is invited.
    Chosen,
    /// It is farther than the order allows.
    TooFar,
    /// The order limits the distance, and the seller's place is unknown.
    PlaceUnknown,
    /// It does not sell the category.
    WrongCategory,
    /// The order names its sellers, and this is not one of them.
    NotNamed,
    /// The order excludes it.
    Excluded,
    /// It accepts no invitations now.
    Suspended,
    /// It takes part in as many open orders as it can.
    Full,
    /// It is fit, but the order invites no more.
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

    /// Returns the verdict with this spelling; `None` for an unknown one.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verdict| verdict.as_str() == text)
    }

    /// Returns the spelling on the wire and in replies.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verdict_is_parsed() {
        for verdict in Verdict::ALL {
            assert_eq!(Verdict::parse(verdict.as_str()), Some(verdict));
        }
        assert_eq!(Verdict::parse("chosen"), None);
    }
}
