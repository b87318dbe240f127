//! The content of an order's events, in the shapes of people: degrees, RFC 3339 times, decimals.

use schemars::JsonSchema;
use serde::Serialize;

use crate::order::{ConsideredSellerView, DeliveryView, ItemView, MessageView};
use crate::proposal::ContentView;

/// The content of an event; its form follows from the event's `status`. Fields without a value are
/// left out, or null.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "EventContent")]
pub enum EventContentView {
    /// `OrderOpened`: what the order wants, and its deadline.
    OrderOpened(Box<OpenedContentView>),
    /// `SellersSelected`: every seller that was considered at the opening; a later one adds sellers
    /// that came while the order was open, and has all that are invited by then.
    SellersSelected {
        /// The sellers, with the verdict on each.
        sellers: Vec<ConsideredSellerView>,
    },
    /// `SellerNotified`: a seller was notified of the order, could not be, or has seen it.
    SellerNotified {
        /// The seller's name.
        seller: String,
        /// The channel: `GChat`, `Email`, `SMS` or `Webhook`; `session` where it has seen the order.
        channel: String,
        /// `delivered`, `bounced` or `seen`.
        result: String,
        /// The reason that it could not be notified.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// `NewProposal`, and `ProposalUpdate` where a proposal was amended: the whole proposal.
    Proposal(Box<ProposalEventView>),
    /// `NewProposal`, and an amending `ProposalUpdate`, while the order is sealed.
    SealedProposal(Box<SealedProposalView>),
    /// `ProposalUpdate`, where no proposal was amended.
    ProposalUpdate(Box<UpdateContentView>),
    /// `ProposalClosed`: a proposal did not win.
    ProposalClosed {
        /// The proposal's id.
        proposal_id: String,
        /// The reason, as text.
        reason: String,
    },
    /// `EditLock`: the lock of a proposal was taken or released.
    EditLock {
        /// The proposal's id.
        proposal_id: String,
        /// The seller that took or released it.
        seller: String,
        /// True if it was taken.
        locked: bool,
        /// The time at which it expires, RFC 3339.
        #[serde(skip_serializing_if = "Option::is_none")]
        expires_at: Option<String>,
    },
    /// `FollowUpAdded`: the buyer wrote.
    FollowUpAdded {
        /// The follow-up's id.
        follow_up_id: String,
        /// The sellers that it goes to; empty for all.
        audience: Vec<String>,
        /// The text.
        message: MessageView,
        /// The question that it answers.
        #[serde(skip_serializing_if = "Option::is_none")]
        answers: Option<String>,
    },
    /// `OrderPaused`: the buyer paused the order, or its time ran out.
    OrderPaused {
        /// True if its time ran out.
        expired: bool,
        /// The reason, as text.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// The time until which the buyer may still decide, RFC 3339.
        #[serde(skip_serializing_if = "Option::is_none")]
        decide_by: Option<String>,
    },
    /// `OrderExtended`: the order has a later deadline.
    OrderExtended {
        /// The new deadline, RFC 3339.
        expires_at: String,
    },
    /// `ProposalsOpened`: a sealed order is opened.
    ProposalsOpened {
        /// The time until which the buyer may decide, RFC 3339.
        decide_until: String,
    },
    /// `AwardPending`: the buyer decided, and can undo it.
    AwardPending {
        /// The award; null where nobody is to win.
        award: Option<WinnersView>,
        /// The buyer's reason.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// The time at which it takes effect, RFC 3339.
        effective_at: String,
    },
    /// `OrderFinalised`: the order was awarded.
    OrderFinalised {
        /// The award; null where nobody won.
        award: Option<WinnersView>,
        /// The buyer's reason.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// `AwardUndone`, `OrderClosed` and `OrderCancelled`; nothing for `OrderResumed`.
    Reason {
        /// The buyer's reason.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
}

/// The content of an order, as far as it is for its sellers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
#[schemars(rename = "OpenedContent")]
#[allow(clippy::struct_excessive_bools, reason = "independent facts")]
pub struct OpenedContentView {
    /// The order's tenant.
    pub tenant: String,
    /// The order's id, given by the buyer.
    pub order_req_id: String,
    /// The incarnation of the order id.
    pub incarnation: String,
    /// The title, one line for people.
    pub title: Option<String>,
    /// The wanted items.
    pub items: Vec<ItemView>,
    /// The category that a seller must offer; absent means any.
    pub category: Option<String>,
    /// The place and the date of delivery.
    pub delivery: Option<DeliveryView>,
    /// The buyer's text for the sellers, with the URLs of documents.
    pub message: Option<MessageView>,
    /// The only currency of proposals, ISO 4217; absent means any.
    pub currency: Option<String>,
    /// The IANA name of the time zone in which dates end; absent means UTC.
    pub time_zone: Option<String>,
    /// The deadline if nobody extends it, RFC 3339.
    pub expires_at: String,
    /// The time after the deadline in which the buyer may decide, milliseconds.
    pub decide_within_ms: u64,
    /// True where prices and the proposing sellers are hidden until the deadline.
    pub sealed: bool,
    /// True where sellers that are not invited may propose too.
    pub open_to_all: bool,
}

/// A proposal, as an event has it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
#[schemars(rename = "ProposalEvent")]
pub struct ProposalEventView {
    /// `amended` in a `ProposalUpdate`; absent in a `NewProposal`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change: Option<String>,
    /// The proposal's id.
    pub proposal_id: Option<String>,
    /// The version, 1 is the first.
    pub version: u32,
    /// The content of this version.
    #[serde(flatten)]
    pub content: ContentView,
}

/// A proposal, as an event of a sealed order has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "SealedProposal")]
pub struct SealedProposalView {
    /// `amended` in a `ProposalUpdate`; absent in a `NewProposal`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change: Option<String>,
    /// The proposal's id.
    pub proposal_id: Option<String>,
    /// The version, 1 is the first.
    pub version: u32,
    /// The word `sealed` in place of the seller.
    pub seller: String,
    /// Null, because the price is hidden.
    pub price: Option<String>,
    /// Null, because the currency is hidden.
    pub currency: Option<String>,
}

/// What a seller did, other than to change the content of a proposal.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
#[schemars(rename = "UpdateContent")]
pub struct UpdateContentView {
    /// The change: `withdrawn`, `declined`, `answered` or `asked`.
    pub change: String,
    /// The proposal that was withdrawn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proposal_id: Option<String>,
    /// The seller; absent where a proposal was withdrawn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seller: Option<String>,
    /// The follow-up that was answered, or the question that was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub follow_up_id: Option<String>,
    /// The answer or the question.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The seller's reason to withdraw or decline.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The proposals that win.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Winners")]
pub struct WinnersView {
    /// The proposal that wins the whole order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proposal_id: Option<String>,
    /// The winner of each line, where lines go to several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<WonLineView>,
}

/// One line of an award.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "WonLine")]
pub struct WonLineView {
    /// The line's name, or else its article number.
    pub sku: String,
    /// The proposal that wins it.
    pub proposal_id: String,
}
