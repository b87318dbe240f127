//! The processors' responses, as far as the verbs read them, and the verbs' JSON output. A field
//! that an older server does not send has its default.

#![allow(clippy::struct_excessive_bools, reason = "facts of answers, as they come")]

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An article that the buyer wants.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct ItemView {
    /// The buyer's article number.
    pub(crate) sku: String,
    /// A description for people.
    pub(crate) description: Option<String>,
    /// The quantity, a decimal.
    pub(crate) quantity: String,
    /// The quantity's unit, such as `pieces`.
    pub(crate) unit: Option<String>,
}

/// An order as its processor returns it.
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

/// An incarnation of an id that a newer one replaced.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct FormerIncarnation {
    /// The incarnation's name.
    pub(crate) incarnation: String,
    /// The time of its end, RFC 3339.
    pub(crate) ended_at: Option<String>,
}

/// A seller that was considered for an order.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct ConsideredSeller {
    /// The seller's name.
    pub(crate) seller: String,
    /// The seller was invited.
    pub(crate) chosen: bool,
    /// The verdict: `Chosen`, `TooFar`, `PlaceUnknown`, `WrongCategory`, `NotNamed`, `Excluded`,
    /// `Suspended`, `Full` or `BeyondCount`.
    pub(crate) reason: String,
    /// Great-circle distance to the place of delivery, metres.
    pub(crate) distance_m: Option<u32>,
}

/// An invited seller, and the state of its invitation.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Invitation {
    /// The seller's name.
    pub(crate) seller: String,
    /// `Invited`, `Bounced`, `Notified`, `Seen`, `Declined` or `Proposed`.
    pub(crate) state: String,
    /// The time at which it reached this state, RFC 3339.
    pub(crate) at: Option<String>,
    /// The reason that it could not be notified, or that it gave for declining.
    pub(crate) reason: Option<String>,
}

/// The number of an order's proposals in each state.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct ProposalCounts {
    /// The number of all proposals ever made.
    pub(crate) received: u32,
    /// The number of proposals that can be awarded, or have won.
    pub(crate) open: u32,
    /// The number of proposals that were withdrawn.
    pub(crate) withdrawn: u32,
    /// The number of proposals that did not win.
    pub(crate) closed: u32,
}

/// A page of proposals as a processor returns it.
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
    /// The proposal's id.
    pub(crate) proposal_id: String,
    /// The seller's name.
    pub(crate) seller: String,
    /// `Open`, `Withdrawn` or `Closed`.
    pub(crate) status: String,
    /// The proposal's version; the first is 1.
    pub(crate) version: u32,
    /// The total price, a decimal.
    pub(crate) price: String,
    /// The price's currency, ISO 4217.
    pub(crate) currency: String,
    /// The lines; empty where the seller gave none.
    pub(crate) lines: Vec<ProposalLineView>,
    /// A note to the buyer.
    pub(crate) note: Option<String>,
    /// The date of delivery, as the seller wrote it.
    pub(crate) delivery_date: Option<String>,
    /// The end of its validity, as the seller wrote it.
    pub(crate) valid_until: Option<String>,
    /// The URLs of documents.
    pub(crate) attachments: Vec<String>,
    /// The holder of the edit lock; absent while there is none.
    pub(crate) locked_by: Option<String>,
    /// The end of the edit lock, RFC 3339.
    pub(crate) locked_until: Option<String>,
    /// The time of its first version, RFC 3339.
    pub(crate) at: String,
}

/// One line of a proposal.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct ProposalLineView {
    /// The buyer's article number.
    pub(crate) sku: String,
    /// The quantity, a decimal.
    pub(crate) quantity: String,
    /// The quantity's unit, such as `pieces`.
    pub(crate) unit: Option<String>,
    /// The total price, a decimal.
    pub(crate) price: String,
}

/// The JSON output of `compare`: the proposals that were not withdrawn, side by side.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Comparison {
    /// The order's articles, in its order; those that only proposals name come after them.
    pub(crate) skus: Vec<String>,
    /// The proposals, the best first.
    pub(crate) rows: Vec<Row>,
    /// The number of proposals beyond the limit of rows.
    pub(crate) omitted: usize,
    /// True while the order is sealed and nothing can be shown.
    pub(crate) sealed: bool,
}

/// One proposal in a comparison.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Row {
    /// The proposal's id.
    pub(crate) proposal_id: String,
    /// The seller's name.
    pub(crate) seller: String,
    /// The proposal's version.
    pub(crate) version: u32,
    /// True while the proposal can be awarded, and once it has won.
    pub(crate) open: bool,
    /// True if it won, as a whole or with a line.
    pub(crate) awarded: bool,
    /// The total price, a decimal.
    pub(crate) total: String,
    /// The price's currency, ISO 4217.
    pub(crate) currency: String,
    /// True if it offers everything, and no other such proposal in its currency has a lower total.
    pub(crate) best_total: bool,
    /// The date of delivery, as the seller wrote it.
    pub(crate) delivery_date: Option<String>,
    /// True if no other proposal is delivered earlier.
    pub(crate) best_delivery: bool,
    /// True if it is delivered by the order's date; absent if either has no date.
    pub(crate) in_time: Option<bool>,
    /// The distance from the seller to the place of delivery, metres.
    pub(crate) distance_m: Option<u32>,
    /// True once its validity has ended.
    pub(crate) lapsed: bool,
    /// Its lines, in the order of `skus`; null where it does not offer the article, or only within
    /// a whole.
    pub(crate) lines: Vec<Option<ComparedLine>>,
    /// The order's articles that it does not offer; none where it offers only a whole.
    pub(crate) missing: Vec<String>,
}

/// One line of a proposal in a comparison.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct ComparedLine {
    /// The quantity, a decimal.
    pub(crate) quantity: String,
    /// The total price, a decimal.
    pub(crate) price: String,
    /// True if no other proposal offers the line for less in this currency.
    pub(crate) best: bool,
}

/// The JSON output of `conversation`, and a page of it at the processor.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Conversation {
    /// The messages, the oldest first.
    pub(crate) conversation: Vec<ConversationItem>,
    /// The cursor of the next page; absent at the end.
    pub(crate) next: Option<u64>,
}

/// One message of a conversation.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(rename = "Said")]
pub(crate) struct ConversationItem {
    /// The event's sequence number.
    pub(crate) seq: u64,
    /// The time of the event, RFC 3339.
    pub(crate) at: String,
    /// `follow_up` (from the buyer), `question` or `answer` (from a seller).
    pub(crate) kind: String,
    /// The follow-up's or the question's id; an answer has none.
    pub(crate) id: Option<String>,
    /// The seller who sent it; absent for the buyer.
    pub(crate) seller: Option<String>,
    /// The sellers that the buyer's message goes to; empty for all.
    pub(crate) audience: Vec<String>,
    /// The text of the message.
    pub(crate) message: String,
    /// The id of the question or follow-up that it answers.
    pub(crate) answers: Option<String>,
}

/// The JSON output of a command on an order.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
#[schemars(rename = "Done")]
pub(crate) struct CommandReport {
    /// The order's id.
    pub(crate) order_req_id: String,
    /// The verb that was run.
    #[serde(rename = "act")]
    pub(crate) verb: String,
    /// The sequence number of the order's last event when the command was observed to be done.
    pub(crate) last_seq: u64,
    /// The order's phase then: `Open`, `Paused`, `Finalised`, `Expired`, `Closed` or `Cancelled`.
    pub(crate) phase: String,
    /// The id of the proposal that the command was about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) proposal_id: Option<String>,
    /// The id of the follow-up or question that the command was about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) follow_up_id: Option<String>,
    /// The idempotency key: a command repeated with it has one effect, unless it edits an order
    /// request.
    pub(crate) key: String,
}

/// The JSON output of `status`.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub(crate) struct StatusReport {
    /// The order's id.
    pub(crate) order_req_id: String,
    /// The order's tenant.
    pub(crate) tenant: String,
    /// The title, one line for people.
    pub(crate) title: Option<String>,
    /// The incarnation of the id.
    pub(crate) incarnation: String,
    /// The incarnations that a newer one replaced, the last one first.
    pub(crate) former_incarnations: Vec<FormerIncarnation>,
    /// The wanted articles.
    pub(crate) items: Vec<ItemView>,
    /// `Open`, `Paused`, `Finalised`, `Expired`, `Closed` or `Cancelled`.
    pub(crate) phase: String,
    /// The order is sealed: prices and sellers are hidden.
    pub(crate) sealed: bool,
    /// The time of its opening, RFC 3339.
    pub(crate) opened_at: String,
    /// The time of its expiry, RFC 3339.
    pub(crate) expires_at: String,
    /// The time until which an opened sealed order waits for a decision, RFC 3339.
    pub(crate) decide_until: Option<String>,
    /// The time of its end, RFC 3339; absent before.
    pub(crate) ended_at: Option<String>,
    /// The award, in words.
    pub(crate) award: Option<String>,
    /// The pending award, in words.
    pub(crate) pending_award: Option<String>,
    /// The number of proposals in each state.
    pub(crate) proposal_counts: ProposalCounts,
    /// The newest version of each proposal, at most 100.
    pub(crate) proposals: Vec<ProposalView>,
    /// The invited sellers.
    pub(crate) sellers: Vec<Invitation>,
    /// The number of sellers that were considered.
    pub(crate) sellers_considered: usize,
    /// The order's stream to its buyer.
    pub(crate) stream: StreamReport,
    /// The last events, the oldest first.
    pub(crate) timeline: Vec<TimelineEntry>,
    /// The waiting notifications and the dead letters.
    pub(crate) notifications: Vec<NotificationView>,
}

/// An order's stream to its buyer.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub(crate) struct StreamReport {
    /// True while the stream is up, as its processor reports it.
    pub(crate) active: bool,
    /// The reason that it is down, and the fix; absent while it is up.
    pub(crate) down_because: Option<String>,
    /// The sequence number of the order's last event.
    pub(crate) last_seq: u64,
    /// The epoch of its tracker.
    pub(crate) epoch: u64,
    /// The processor that holds the order, where the buyer's server reports it.
    pub(crate) processor: Option<String>,
    /// The number of reconnections, where the buyer's server reports it.
    pub(crate) reconnects: Option<u64>,
}

/// One event of an order.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub(crate) struct TimelineEntry {
    /// The event's sequence number.
    pub(crate) seq: u64,
    /// The time of the event, RFC 3339.
    pub(crate) at: String,
    /// The event's type.
    pub(crate) event: String,
    /// The event's content, in words; empty for a type that this version does not know.
    pub(crate) text: String,
}

/// One notification.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct NotificationView {
    /// The notification's id.
    pub(crate) notification_id: String,
    /// The notification's topic.
    pub(crate) topic: String,
    /// The recipient: `buyer`, `seller` or `sink`.
    pub(crate) recipient: String,
    /// The seller's name, where the recipient is one.
    pub(crate) seller: Option<String>,
    /// The channel.
    pub(crate) channel: String,
    /// `waiting`, `delivered` (the report to the order is outstanding) or `dead`.
    pub(crate) state: String,
    /// The number of delivery attempts.
    pub(crate) attempts: u32,
    /// The cause of the last failure.
    pub(crate) reason: Option<String>,
}

/// The JSON output of `why`.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub(crate) struct WhyReport {
    /// The order's id.
    pub(crate) order_req_id: String,
    /// Every seller that was considered, the invited ones first.
    pub(crate) sellers: Vec<ConsideredSeller>,
    /// The order's stream to its buyer.
    pub(crate) stream: StreamReport,
}
