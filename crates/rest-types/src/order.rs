//! An order as its processor shows it.

use schemars::JsonSchema;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[allow(clippy::struct_excessive_bools, reason = "independent facts")]
pub struct OrderView {
    /// The order's tenant.
    #[serde(default)]
    #[schema(required)]
    pub tenant: String,
    /// The order's id, given by the buyer.
    #[serde(default)]
    #[schema(required)]
    pub order_req_id: String,
    /// The incarnation of the order id.
    #[serde(default)]
    #[schema(required)]
    pub incarnation: String,
    /// The title, one line for people.
    pub title: Option<String>,
    /// The wanted items.
    #[serde(default)]
    #[schema(required)]
    pub items: Vec<ItemView>,
    /// The phase: `Open`, `Paused`, `Finalised`, `Expired`, `Closed` or `Cancelled`.
    #[serde(default)]
    #[schema(required, example = "Open")]
    pub phase: String,
    /// The sequence number of its last event; also the ETag.
    #[serde(default)]
    #[schema(required)]
    pub last_seq: u64,
    /// The time of its opening.
    #[serde(default)]
    #[schema(required, format = DateTime)]
    pub opened_at: String,
    /// The time at which it expires.
    #[serde(default)]
    #[schema(required, format = DateTime)]
    pub expires_at: String,
    /// The time of its end; absent before.
    #[schema(format = DateTime)]
    pub ended_at: Option<String>,
    /// True while prices and the proposing sellers are hidden.
    #[serde(default)]
    #[schema(required)]
    pub sealed: bool,
    /// The time until which a sealed order that was opened waits for a decision.
    #[schema(format = DateTime)]
    pub decide_until: Option<String>,
    /// The highest epoch that was granted.
    #[serde(default)]
    #[schema(required)]
    pub epoch: u64,
    /// True while its tracker follows it.
    #[serde(default)]
    #[schema(required)]
    pub stream_active: bool,
    /// Every considered seller, with the verdict on it.
    #[serde(default)]
    #[schema(required)]
    pub sellers: Vec<ConsideredSellerView>,
    /// The chosen sellers, with the state of each invitation.
    #[serde(default)]
    #[schema(required)]
    pub invitations: Vec<InvitationView>,
    /// True where sellers that are not invited may propose too. Otherwise only invited ones may,
    /// unless the order invites none.
    #[serde(default)]
    #[schema(required)]
    pub open_to_all: bool,
    /// The number of proposals in each state.
    #[serde(default)]
    #[schema(required)]
    pub proposals: ProposalCountsView,
    /// The number of the buyer's follow-ups.
    #[serde(default)]
    #[schema(required)]
    pub follow_ups: usize,
    /// The number of the sellers' questions.
    #[serde(default)]
    #[schema(required)]
    pub questions: usize,
    /// The award; absent without one.
    pub award: Option<AwardView>,
    /// The award that can still be undone; absent without one.
    pub pending_award: Option<PendingAwardView>,
    /// Incarnations of the order id that a newer one replaced, the last one first; at most 100.
    /// Each can be read with `?incarnation=` for as long as it is kept after its end.
    #[serde(default)]
    #[schema(required)]
    pub former_incarnations: Vec<FormerIncarnationView>,
    /// The category that a seller must offer; absent means any.
    pub category: Option<String>,
    /// The place and the date of delivery.
    pub delivery: Option<DeliveryView>,
    /// The buyer's text for the sellers, with the URLs of documents.
    pub message: Option<MessageView>,
    /// The only currency of proposals, ISO 4217; absent means any.
    #[schema(example = "EUR")]
    pub currency: Option<String>,
    /// The IANA name of the time zone in which dates end; absent means UTC.
    #[schema(example = "Europe/Berlin")]
    pub time_zone: Option<String>,
    /// The time after the deadline in which the buyer may decide, milliseconds.
    #[serde(default)]
    #[schema(required)]
    pub decide_within_ms: u64,
}

/// The place and the date of delivery.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema, JsonSchema)]
#[serde(default)]
#[schemars(rename = "Delivery")]
pub struct DeliveryView {
    /// The latitude, degrees north.
    #[schema(example = 48.14)]
    pub latitude: Option<f64>,
    /// The longitude, degrees east.
    #[schema(example = 11.58)]
    pub longitude: Option<f64>,
    /// The postal address.
    pub address: Option<String>,
    /// The latest date or time, as the buyer wrote it (RFC 3339). A date counts to its end in the
    /// order's time zone.
    #[schema(example = "2027-02-01")]
    pub by: Option<String>,
}

/// A text with its format and links.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema, JsonSchema)]
#[serde(default)]
#[schemars(rename = "Message")]
pub struct MessageView {
    /// The format of the text: `text`, `html` or `markdown`.
    #[serde(rename = "type")]
    #[schema(required, example = "text")]
    pub text_type: String,
    /// The text.
    #[schema(required)]
    pub message: String,
    /// The links that belong to it: terms, drawings, other documents.
    #[schema(required)]
    pub urls: Vec<String>,
}

/// An incarnation of an order id that a newer one replaced.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
#[schema(as = FormerView)]
pub struct FormerIncarnationView {
    /// The incarnation's name.
    #[schema(required)]
    pub incarnation: String,
    /// Its phase; absent where its records are damaged.
    #[schema(example = "Finalised")]
    pub phase: Option<String>,
    /// The sequence number of its last event.
    #[schema(required)]
    pub last_seq: u64,
    /// The time of its opening; absent where its records are damaged.
    #[schema(format = DateTime)]
    pub opened_at: Option<String>,
    /// The time of its end; absent without one.
    #[schema(format = DateTime)]
    pub ended_at: Option<String>,
}

/// One wanted item.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema, JsonSchema)]
#[serde(default)]
pub struct ItemView {
    /// The buyer's article number.
    #[schema(required)]
    pub sku: String,
    /// The description for people.
    pub description: Option<String>,
    /// The quantity, a decimal.
    #[schema(required, example = "12")]
    pub quantity: String,
    /// The unit of the quantity.
    pub unit: Option<String>,
    /// The name of the line; absent where the article number names it.
    pub line: Option<String>,
}

/// The verdict on one seller that was considered for the order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema, JsonSchema)]
#[serde(default)]
#[schema(as = ChoiceView)]
#[schemars(rename = "ConsideredSeller")]
pub struct ConsideredSellerView {
    /// The seller's name.
    #[schema(required)]
    pub seller: String,
    /// True if the seller was invited.
    #[schema(required)]
    pub chosen: bool,
    /// The verdict: `Chosen`, `TooFar`, `PlaceUnknown`, `WrongCategory`, `NotNamed`, `Excluded`,
    /// `Suspended`, `Full` or `BeyondCount`.
    #[schema(required, example = "Chosen")]
    pub reason: String,
    /// The distance from the seller to the place of delivery, in metres, where both are known.
    pub distance_m: Option<u32>,
    /// The invited seller's name for people; absent where it has none.
    #[schema(example = "Möbel Müller")]
    pub display_name: Option<String>,
}

/// One invited seller.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema, JsonSchema)]
#[serde(default)]
#[schemars(rename = "Invitation")]
pub struct InvitationView {
    /// The seller's name.
    #[schema(required)]
    pub seller: String,
    /// `Invited`, `Bounced`, `Notified`, `Seen`, `Declined` or `Proposed`. While the order is
    /// sealed, nothing beyond `Notified` is shown.
    #[schema(required, example = "Notified")]
    pub state: String,
    // An older processor leaves it out.
    /// The time at which it reached this state.
    #[schema(required, value_type = String, format = DateTime)]
    pub at: Option<String>,
    /// The reason that the seller could not be notified, or that it gave for declining.
    pub reason: Option<String>,
    /// The seller's name for people; absent where it has none.
    #[schema(example = "Möbel Müller")]
    pub display_name: Option<String>,
}

/// The number of an order's proposals in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema, JsonSchema)]
#[serde(default)]
#[schemars(rename = "ProposalCounts")]
pub struct ProposalCountsView {
    /// The number of all proposals ever made.
    #[schema(required)]
    pub received: u32,
    /// The number of proposals that can be awarded, or have won.
    #[schema(required)]
    pub open: u32,
    /// The number of proposals that were withdrawn.
    #[schema(required)]
    pub withdrawn: u32,
    /// The number of proposals that did not win.
    #[schema(required)]
    pub closed: u32,
}

/// The proposals that win.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(from = "AnyAward")]
pub enum AwardView {
    /// One proposal wins the whole order.
    Whole(String),
    /// The lines go to different proposals, as pairs of article number and proposal id.
    Lines(Vec<(String, String)>),
    /// A form of a later server.
    #[serde(skip)]
    Other,
}

/// An award as it is read: a form that this version lacks is no error.
#[derive(Deserialize)]
enum AnyAward {
    Whole(String),
    Lines(Vec<(String, String)>),
    #[serde(untagged)]
    Other(IgnoredAny),
}

impl From<AnyAward> for AwardView {
    fn from(award: AnyAward) -> Self {
        match award {
            AnyAward::Whole(proposal) => Self::Whole(proposal),
            AnyAward::Lines(lines) => Self::Lines(lines),
            AnyAward::Other(_) => Self::Other,
        }
    }
}

/// An award that can still be undone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct PendingAwardView {
    /// The award; absent where no proposal wins.
    pub award: Option<AwardView>,
    /// The buyer's reason.
    pub reason: Option<String>,
    /// The time at which it takes effect.
    #[schema(required, format = DateTime)]
    pub effective_at: String,
}

/// A page of orders.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct OrdersPage {
    /// The orders, by tenant and id.
    #[schema(required)]
    pub orders: Vec<OrderView>,
    /// The `after` of the next page; absent at the end.
    pub next: Option<String>,
}
