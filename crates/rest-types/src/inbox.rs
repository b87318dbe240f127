//! A seller's inbox: the orders that it is invited to, and its own proposals for each.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One order that the seller is invited to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema, JsonSchema)]
#[serde(default)]
#[schemars(rename = "InboxEntry")]
pub struct InboxEntryView {
    /// The order's tenant.
    #[schema(required)]
    pub tenant: String,
    /// The order's id, given by the buyer.
    #[schema(required)]
    pub order_req_id: String,
    /// The incarnation of the order id.
    #[schema(required)]
    pub incarnation: String,
    /// The title, one line for people.
    pub title: Option<String>,
    /// The state of the seller's invitation: `Invited`, `Bounced`, `Notified`, `Seen`, `Declined` or
    /// `Proposed`. While the order is sealed it is `Invited`, whatever the seller does.
    #[schema(required, example = "Notified")]
    pub state: String,
    /// The time at which the invitation reached this state; that of the opening while the order is
    /// sealed.
    #[schema(required, format = DateTime)]
    pub at: String,
    /// The order's phase: `Open`, `Paused`, `Deciding`, `Finalised`, `Expired`, `Closed` or
    /// `Cancelled`.
    #[schema(required, example = "Open")]
    pub phase: String,
    /// True while prices and the proposing sellers are hidden.
    #[schema(required)]
    pub sealed: bool,
    /// The time of its opening.
    #[schema(required, format = DateTime)]
    pub opened_at: String,
    /// The deadline for proposals.
    #[schema(required, format = DateTime)]
    pub expires_at: String,
    /// The time until which the buyer decides; absent before the deadline.
    #[schema(format = DateTime)]
    pub decide_until: Option<String>,
    /// The time of its end; absent before.
    #[schema(format = DateTime)]
    pub ended_at: Option<String>,
    /// The sequence number of the order's last event.
    #[schema(required)]
    pub last_seq: u64,
    /// The seller's own proposals, the open ones and the main one first; at most 20, and none while
    /// the order is sealed.
    #[schema(required)]
    pub proposals: Vec<OwnProposalView>,
}

/// A proposal of the seller whose inbox it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema, JsonSchema)]
#[serde(default)]
#[schemars(rename = "OwnProposal")]
pub struct OwnProposalView {
    /// The proposal's id.
    #[schema(required)]
    pub proposal_id: String,
    /// The status: `Open`, `Withdrawn` or `Closed`.
    #[schema(required, example = "Open")]
    pub status: String,
    /// The version, 1 is the first.
    #[schema(required)]
    pub version: u32,
    /// The label of an alternative; absent for the main proposal.
    pub alternative: Option<String>,
    /// The total price, a decimal.
    #[schema(example = "1249.50")]
    pub price: Option<String>,
    /// The currency, ISO 4217.
    #[schema(example = "EUR")]
    pub currency: Option<String>,
    /// True if the order, or a line of it, was awarded to this proposal.
    #[schema(required)]
    pub won: bool,
}

/// A page of a seller's inbox.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct InboxPage {
    /// The orders, by id.
    #[schema(required)]
    pub invitations: Vec<InboxEntryView>,
    /// The `after` of the next page; absent at the end. A page with it may be short or empty.
    pub next: Option<String>,
    /// The processors that did not answer; their orders are missing on this page.
    #[schema(required)]
    pub unreached: Vec<String>,
}
