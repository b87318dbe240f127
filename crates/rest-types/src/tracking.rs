//! Orders as their requestor tracks them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The totals of tracked orders.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct StatusView {
    /// The number of tracked orders, ended ones included.
    #[schema(required)]
    pub total_orders: usize,
    /// The number of orders whose stream is up.
    #[schema(required)]
    pub active_streams: usize,
    /// The ids of tracked orders, sorted; `tenant/id` where the tenant is not the default one.
    #[schema(required)]
    pub tracked_order_ids: Vec<String>,
}

/// One order in a list.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct SummaryView {
    /// The order's id.
    #[schema(required)]
    pub order_req_id: String,
    /// The order's tenant.
    #[schema(required)]
    pub tenant: String,
    /// The phase: `Pending`, `Open`, `Paused`, `Deciding`, `Finalised`, `Expired`, `Closed`,
    /// `Cancelled` or `Failed`.
    #[schema(required, example = "Open")]
    pub phase: String,
    /// The number of all proposals ever made.
    #[schema(required)]
    pub proposals: u32,
    /// The sequence number of the last event shown.
    #[schema(required)]
    pub last_seq: u64,
    /// True while the order's stream is up.
    #[schema(required)]
    pub stream_active: bool,
    /// The phase of the order's stream: `Pending`, `Active` or `Reconnecting`; `Ended` from the
    /// order's end on.
    #[schema(required, example = "Active")]
    pub stream: String,
}

/// A page of orders.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
#[schema(as = OrdersPage)]
pub struct TrackedOrdersPage {
    /// The orders, by tenant and id.
    #[schema(required)]
    pub orders: Vec<SummaryView>,
    /// The value of `after` for the next page; absent at the end.
    pub next: Option<String>,
}

/// The open proposal with the lowest price.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct BestView {
    /// The proposal's id.
    #[schema(required)]
    pub proposal_id: String,
    /// The amount, a decimal.
    #[schema(required, example = "1249.50")]
    pub price: String,
    /// The currency, ISO 4217.
    #[schema(required, example = "EUR")]
    pub currency: String,
}

/// One order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct TrackedView {
    /// The order's id.
    #[schema(required)]
    pub order_req_id: String,
    /// The order's tenant.
    #[schema(required)]
    pub tenant: String,
    /// The order's incarnation.
    pub incarnation: Option<String>,
    /// The buyer's session.
    pub session_id: Option<String>,
    /// The preferred kind of channel to sellers: `GChat`, `Email`, `SMS` or `Webhook`.
    #[schema(required, example = "Email")]
    pub notification_type: String,
    /// The number of known follow-ups.
    #[serde(rename = "notes_count")]
    #[schema(required)]
    pub follow_up_count: u64,
    /// True while the order's stream is up.
    #[schema(required)]
    pub stream_active: bool,
    /// The phase of the order's stream: `Pending`, `Active` or `Reconnecting`; `Ended` from the
    /// order's end on.
    #[schema(required, example = "Active")]
    pub stream: String,
    /// The phase: `Pending`, `Open`, `Paused`, `Deciding`, `Finalised`, `Expired`, `Closed`,
    /// `Cancelled` or `Failed`.
    #[schema(required, example = "Open")]
    pub phase: String,
    /// The sequence number of the last event shown.
    #[schema(required)]
    pub last_seq: u64,
    /// The kind of the last event shown.
    pub last_event: Option<String>,
    /// The number of all proposals ever made.
    #[schema(required)]
    pub proposals_received: u32,
    /// The number of proposals that can be awarded, or have won.
    #[schema(required)]
    pub proposals_open: u32,
    /// The number of proposals that were withdrawn.
    #[schema(required)]
    pub proposals_withdrawn: u32,
    /// The number of proposals that did not win.
    #[schema(required)]
    pub proposals_closed: u32,
    /// The open proposal with the lowest price of those that are complete, of an invited seller,
    /// valid and in time; absent where there is none or where they are in several currencies, and
    /// while the order is sealed. It is judged at the order's last event, or later.
    pub best_proposal: Option<BestView>,
    /// The number of invited sellers.
    #[schema(required)]
    pub sellers_selected: u64,
    /// The number of sellers that declined; 0 while the order is sealed.
    #[schema(required)]
    pub sellers_declined: u64,
    /// The URL of the processor that owns the order.
    pub processor: Option<String>,
    /// The epoch of the order's stream.
    #[schema(required)]
    pub epoch: u64,
    /// The number of times the order's stream came up again.
    #[schema(required)]
    pub reconnects: u32,
    /// The number of failed attempts since the stream was last up.
    #[schema(required)]
    pub attempts: u32,
    /// The reason that the stream is down; absent while it is up.
    pub reason: Option<String>,
    /// The time of the opening, milliseconds since 1970.
    pub opened_at_ms: Option<i64>,
    /// The deadline for proposals, milliseconds since 1970.
    pub expires_at_ms: Option<i64>,
    /// The time until which the buyer decides, milliseconds since 1970; absent before the deadline,
    /// and where there was nothing to decide.
    pub decide_until_ms: Option<i64>,
    /// The time of the end, milliseconds since 1970.
    pub ended_at_ms: Option<i64>,
    /// The award; absent before the end, where nobody won, and for an order that has an order
    /// request.
    pub award: Option<TrackedAwardView>,
}

/// The winner: one proposal, or one for each line.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = AwardView)]
pub struct TrackedAwardView {
    /// The proposal that wins the whole order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "P-1", required = false, nullable = false)]
    pub proposal_id: Option<String>,
    /// The lines, as pairs of article number and proposal id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub lines: Vec<(String, String)>,
}
