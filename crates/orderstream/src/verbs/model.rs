//! What the processors answer, as far as the verbs read it, and what the verbs print for programs. A
//! field that an older server does not send has its default.

#![allow(clippy::struct_excessive_bools, reason = "facts of answers, as they come")]

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One wanted thing.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct ItemView {
    /// The buyer's number of the thing.
    pub(crate) sku: String,
    /// For people.
    pub(crate) description: Option<String>,
    /// How many, a decimal.
    pub(crate) quantity: String,
    /// Of what.
    pub(crate) unit: Option<String>,
}

/// An order at its processor.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct OrderView {
    pub(crate) order_req_id: String,
    pub(crate) title: Option<String>,
    pub(crate) items: Vec<ItemView>,
    pub(crate) phase: String,
    pub(crate) last_seq: u64,
    pub(crate) opened_at: String,
    pub(crate) expires_at: String,
    pub(crate) ended_at: Option<String>,
    pub(crate) epoch: u64,
    pub(crate) stream_active: bool,
    pub(crate) sellers: Vec<ConsideredSeller>,
    pub(crate) invitations: Vec<Invitation>,
    pub(crate) proposals: ProposalCounts,
    pub(crate) follow_ups: u64,
    pub(crate) award: Option<serde_json::Value>,
    pub(crate) pending_award: Option<serde_json::Value>,
    pub(crate) decide_until: Option<String>,
    pub(crate) sealed: bool,
    pub(crate) incarnation: String,
    pub(crate) former_incarnations: Vec<FormerIncarnation>,
}

/// An incarnation of an id that a newer one took the place of.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct FormerIncarnation {
    /// Its own name.
    pub(crate) incarnation: String,
    /// When it reached its end, RFC 3339.
    pub(crate) ended_at: Option<String>,
}

/// A seller that was considered for an order.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct ConsideredSeller {
    /// Who.
    pub(crate) seller: String,
    /// Whether it was invited.
    pub(crate) chosen: bool,
    /// The verdict: `Chosen`, `TooFar`, `PlaceUnknown`, `WrongCategory`, `NotNamed`, `Excluded`,
    /// `Suspended`, `Full` or `BeyondCount`.
    pub(crate) reason: String,
    /// Great-circle distance to the place of delivery, metres.
    pub(crate) distance_m: Option<u32>,
}

/// An invited seller, and how far it is.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Invitation {
    /// Who.
    pub(crate) seller: String,
    /// `Invited`, `Bounced`, `Notified`, `Seen`, `Declined` or `Proposed`.
    pub(crate) state: String,
    /// Since when, RFC 3339.
    pub(crate) at: Option<String>,
    /// Why it could not be told, or why it declined.
    pub(crate) reason: Option<String>,
}

/// How many proposals there are.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct ProposalCounts {
    /// Ever made.
    pub(crate) received: u32,
    /// Can be awarded.
    pub(crate) open: u32,
    /// Taken back.
    pub(crate) withdrawn: u32,
    /// Out.
    pub(crate) closed: u32,
}

/// A page of proposals.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ProposalsPage {
    pub(crate) proposals: Vec<ProposalView>,
    pub(crate) next: Option<String>,
}

/// One proposal.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct ProposalView {
    /// Which.
    pub(crate) proposal_id: String,
    /// Whose.
    pub(crate) seller: String,
    /// `Open`, `Withdrawn` or `Closed`.
    pub(crate) status: String,
    /// Its version; 1 is the first.
    pub(crate) version: u32,
    /// For how much in all, a decimal.
    pub(crate) price: String,
    /// ISO 4217.
    pub(crate) currency: String,
    /// Per line.
    pub(crate) lines: Vec<ProposalLineView>,
    /// For the buyer.
    pub(crate) note: Option<String>,
    /// When it would be delivered, as the seller wrote it.
    pub(crate) delivery_date: Option<String>,
    /// Until when it stands, as the seller wrote it.
    pub(crate) valid_until: Option<String>,
    /// Addresses of documents.
    pub(crate) attachments: Vec<String>,
    /// Who edits it now.
    pub(crate) locked_by: Option<String>,
    /// Until when.
    pub(crate) locked_until: Option<String>,
    /// When it came, RFC 3339.
    pub(crate) at: String,
}

/// One line of a proposal.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct ProposalLineView {
    /// The buyer's number of the thing.
    pub(crate) sku: String,
    /// A decimal.
    pub(crate) quantity: String,
    /// Of what.
    pub(crate) unit: Option<String>,
    /// For how much in all, a decimal.
    pub(crate) price: String,
}

/// What `compare` prints: the proposals that were not taken back, side by side.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Comparison {
    /// The order's articles, in its order; those that only proposals name come after them.
    pub(crate) skus: Vec<String>,
    /// The proposals, the best first.
    pub(crate) rows: Vec<Row>,
    /// Proposals beyond the bound.
    pub(crate) omitted: usize,
    /// Whether nothing can be shown yet because the order is sealed.
    pub(crate) sealed: bool,
}

/// One proposal in a comparison.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Row {
    /// Which.
    pub(crate) proposal_id: String,
    /// Whose.
    pub(crate) seller: String,
    /// Its version.
    pub(crate) version: u32,
    /// Whether it can be awarded.
    pub(crate) open: bool,
    /// Whether it won, all or a part.
    pub(crate) awarded: bool,
    /// The total, a decimal.
    pub(crate) total: String,
    /// ISO 4217.
    pub(crate) currency: String,
    /// Whether no other total in its currency is lower, of those that offer everything.
    pub(crate) best_total: bool,
    /// When it would be delivered, as the seller wrote it.
    pub(crate) delivery_date: Option<String>,
    /// Whether no other one is delivered earlier.
    pub(crate) best_delivery: bool,
    /// Whether it is delivered when the order wants it; absent where one of the two does not say.
    pub(crate) in_time: Option<bool>,
    /// From the seller to the place of delivery, metres.
    pub(crate) distance_m: Option<u32>,
    /// Whether its time of validity is over.
    pub(crate) lapsed: bool,
    /// What it offers of each of `skus`, in their order; null: not, or only as a whole.
    pub(crate) lines: Vec<Option<ComparedLine>>,
    /// Articles of the order that it does not offer.
    pub(crate) missing: Vec<String>,
}

/// One line of a proposal in a comparison.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct ComparedLine {
    /// A decimal.
    pub(crate) quantity: String,
    /// For how much in all, a decimal.
    pub(crate) price: String,
    /// Whether nobody offers the line for less in this currency.
    pub(crate) best: bool,
}

/// What `conversation` prints, and a page of it at the processor.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Conversation {
    /// What was said, the oldest first.
    pub(crate) conversation: Vec<Said>,
    /// Where the next page begins; absent at the end.
    pub(crate) next: Option<u64>,
}

/// One thing that was said.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Said {
    /// The event's number.
    pub(crate) seq: u64,
    /// When, RFC 3339.
    pub(crate) at: String,
    /// `follow_up` of the buyer, `question` of a seller, or `answer` of a seller.
    pub(crate) kind: String,
    /// The follow-up's or the question's id; an answer has none.
    pub(crate) id: Option<String>,
    /// The seller who spoke; absent for the buyer.
    pub(crate) seller: Option<String>,
    /// To whom the buyer spoke; empty means to all.
    pub(crate) audience: Vec<String>,
    /// The text.
    pub(crate) message: String,
    /// The question or follow-up that it answers.
    pub(crate) answers: Option<String>,
}

/// What an act prints.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub(crate) struct Done {
    /// The order's id.
    pub(crate) order_req_id: String,
    /// The verb.
    pub(crate) act: String,
    /// The order's last event when the act was seen to be done.
    pub(crate) last_seq: u64,
    /// The order's phase then: `Open`, `Paused`, `Finalised`, `Expired`, `Closed` or `Cancelled`.
    pub(crate) phase: String,
    /// The proposal that it was about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) proposal_id: Option<String>,
    /// The follow-up or question that it was about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) follow_up_id: Option<String>,
    /// The idempotency key: the same act with it is done once, unless it edits an order request.
    pub(crate) key: String,
}

/// What `status` prints.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub(crate) struct StatusReport {
    /// The order's id.
    pub(crate) order_req_id: String,
    /// The buyer's tenant.
    pub(crate) tenant: String,
    /// One line for people.
    pub(crate) title: Option<String>,
    /// Which incarnation of the id.
    pub(crate) incarnation: String,
    /// Incarnations that it took the place of, the last one first.
    pub(crate) former_incarnations: Vec<FormerIncarnation>,
    /// What is wanted.
    pub(crate) items: Vec<ItemView>,
    /// `Open`, `Paused`, `Finalised`, `Expired`, `Closed` or `Cancelled`.
    pub(crate) phase: String,
    /// Whether prices and sellers are hidden still.
    pub(crate) sealed: bool,
    /// When it was opened, RFC 3339.
    pub(crate) opened_at: String,
    /// When its time runs out.
    pub(crate) expires_at: String,
    /// Until when a sealed order that was opened waits for a decision.
    pub(crate) decide_until: Option<String>,
    /// When it reached its end.
    pub(crate) ended_at: Option<String>,
    /// Who won, in words.
    pub(crate) award: Option<String>,
    /// Who is to win while that can be undone, in words.
    pub(crate) pending_award: Option<String>,
    /// How many proposals there are.
    pub(crate) proposal_counts: ProposalCounts,
    /// The newest content of each proposal, at most 100.
    pub(crate) proposals: Vec<ProposalView>,
    /// The invited sellers.
    pub(crate) sellers: Vec<Invitation>,
    /// How many sellers were considered.
    pub(crate) sellers_considered: usize,
    /// The order's stream to its buyer.
    pub(crate) stream: StreamReport,
    /// The last events, the oldest first.
    pub(crate) timeline: Vec<TimelineEntry>,
    /// What is still to be told, and what was given up.
    pub(crate) notifications: Vec<NotificationView>,
}

/// An order's stream to its buyer.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub(crate) struct StreamReport {
    /// Whether it is up, as its processor sees it.
    pub(crate) active: bool,
    /// Why it is not, and what to do.
    pub(crate) down_because: Option<String>,
    /// The last event.
    pub(crate) last_seq: u64,
    /// The fencing number of its reader.
    pub(crate) epoch: u64,
    /// The processor that holds the order, where the buyer's server says it.
    pub(crate) processor: Option<String>,
    /// How often it came up again, where the buyer's server says it.
    pub(crate) reconnects: Option<u64>,
}

/// One event.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub(crate) struct TimelineEntry {
    /// Its number.
    pub(crate) seq: u64,
    /// When, RFC 3339.
    pub(crate) at: String,
    /// Its word.
    pub(crate) event: String,
    /// What happened, in words.
    pub(crate) text: String,
}

/// One notification.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct NotificationView {
    /// Its id.
    pub(crate) notification_id: String,
    /// What sort.
    pub(crate) topic: String,
    /// Who is told: `buyer`, `seller` or `sink`.
    pub(crate) recipient: String,
    /// Which seller.
    pub(crate) seller: Option<String>,
    /// By which channel.
    pub(crate) channel: String,
    /// `waiting`, `delivered` (the order is being told) or `dead`.
    pub(crate) state: String,
    /// How often it was tried.
    pub(crate) attempts: u32,
    /// Why it was not delivered.
    pub(crate) reason: Option<String>,
}

/// What `why` prints.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub(crate) struct WhyReport {
    /// The order's id.
    pub(crate) order_req_id: String,
    /// Every seller that was considered, the invited ones first.
    pub(crate) sellers: Vec<ConsideredSeller>,
    /// The order's stream to its buyer.
    pub(crate) stream: StreamReport,
}
