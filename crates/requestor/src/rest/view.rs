//! Orders as buyers see them.

use orderstream_core::buyer::{
    BestProposal, BuyerOrderView, CommandOutcome, CommandStatus, TrackerTotals,
};
use orderstream_core::command::Award;
use orderstream_core::{IdempotencyKey, OrderKey, Tenant};
use serde::Serialize;
use utoipa::ToSchema;

/// Returns the order's id, with its tenant where that is not the default one.
fn id(key: &OrderKey) -> String {
    if key.tenant == Tenant::default() { key.order_req_id.to_string() } else { key.to_string() }
}

/// The reply to a request that is done.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SuccessView {
    /// Always true.
    success: bool,
    /// The result, for people.
    #[schema(example = "Order processing initiated")]
    message: &'static str,
}

impl SuccessView {
    pub(super) const fn new(message: &'static str) -> Self {
        Self { success: true, message }
    }
}

/// The reply to a follow-up that is in the order's list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct FollowUpView {
    /// Always true.
    pub(super) success: bool,
    /// The result, for people.
    #[schema(example = "Follow-up added")]
    pub(super) message: &'static str,
    /// The follow-up's id.
    pub(super) follow_up_id: String,
}

/// The reply to a command that is stored and not decided yet; it proceeds by itself.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PendingView {
    /// Always `pending`.
    #[schema(example = "pending")]
    pub(super) state: &'static str,
    /// The meaning of the state, for people.
    pub(super) message: &'static str,
    /// The key under which the command's outcome is found.
    pub(super) key: String,
    /// The path of the command's outcome, the same as in the header `Location`.
    #[schema(example = "/api/v1/orders/SB1029436/acts/3f6b1c1e")]
    pub(super) location: String,
    /// The follow-up's id; absent for other commands.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub(super) follow_up_id: Option<String>,
}

/// A command, and its outcome.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ActView {
    /// The order's id.
    order_req_id: String,
    /// The order's tenant.
    tenant: String,
    /// The command's key.
    key: String,
    /// The command's name: `finalise` (also for an award), `undo-award`, `pause`, `resume`,
    /// `extend`, `close`, `cancel` or `follow-up`.
    #[schema(example = "finalise")]
    #[serde(rename = "act")]
    command: String,
    /// The outcome: `pending`; `done`, when the command is in the order's list; or `refused`, when
    /// it never will be. The last two are final.
    #[schema(example = "done")]
    state: &'static str,
    /// The reason code of the refusal; absent unless refused.
    reason: Option<&'static str>,
    /// The text of the refusal, for people; absent unless refused.
    detail: Option<String>,
    /// The field that is wrong, where the refusal names one.
    field: Option<String>,
}

impl ActView {
    pub(super) fn new(key: &OrderKey, command_key: &IdempotencyKey, stored: CommandStatus) -> Self {
        let (state, refusal) = match stored.outcome {
            CommandOutcome::Pending => ("pending", None),
            CommandOutcome::Done => ("done", None),
            CommandOutcome::Refused(refusal) => ("refused", Some(refusal)),
        };
        Self {
            order_req_id: key.order_req_id.to_string(),
            tenant: key.tenant.to_string(),
            key: command_key.to_string(),
            command: stored.name,
            state,
            reason: refusal.as_ref().map(|refusal| refusal.reason.as_str()),
            detail: refusal.as_ref().map(|refusal| refusal.message.clone()),
            field: refusal.and_then(|refusal| refusal.field),
        }
    }
}

/// The totals of tracked orders.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct StatusView {
    /// The number of tracked orders, ended ones included.
    total_orders: usize,
    /// The number of orders whose stream is up.
    active_streams: usize,
    /// The ids of tracked orders, sorted; `tenant/id` where the tenant is not the default one.
    tracked_order_ids: Vec<String>,
}

/// One order in a list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SummaryView {
    /// The order's id.
    order_req_id: String,
    /// The order's tenant.
    tenant: String,
    /// The phase: `Pending`, `Streaming`, `Paused`, `Reconnecting`, `Finalised`, `Expired`,
    /// `Closed`, `Cancelled` or `Failed`.
    #[schema(example = "Streaming")]
    phase: String,
    /// The number of all proposals ever made.
    proposals: u32,
    /// The sequence number of the last event shown.
    last_seq: u64,
    /// True while the order's stream is up.
    stream_active: bool,
}

/// A page of orders.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OrdersPage {
    /// The orders, by tenant and id.
    pub(super) orders: Vec<SummaryView>,
    /// The value of `after` for the next page; absent at the end.
    pub(super) next: Option<String>,
}

/// The open proposal with the lowest price.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BestView {
    /// The proposal's id.
    proposal_id: String,
    /// The amount, a decimal.
    #[schema(example = "1249.50")]
    price: String,
    /// The currency, ISO 4217.
    #[schema(example = "EUR")]
    currency: String,
}

/// One order.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TrackedView {
    /// The order's id.
    order_req_id: String,
    /// The order's tenant.
    tenant: String,
    /// The order's incarnation.
    incarnation: Option<String>,
    /// The buyer's session.
    session_id: Option<String>,
    /// The preferred kind of channel to sellers: `GChat`, `Email`, `SMS` or `Webhook`.
    #[schema(example = "Email")]
    notification_type: &'static str,
    /// The number of known follow-ups.
    #[serde(rename = "notes_count")]
    follow_up_count: u64,
    /// True while the order's stream is up.
    stream_active: bool,
    /// The phase: `Pending`, `Streaming`, `Paused`, `Reconnecting`, `Finalised`, `Expired`,
    /// `Closed`, `Cancelled` or `Failed`.
    #[schema(example = "Streaming")]
    phase: String,
    /// The sequence number of the last event shown.
    last_seq: u64,
    /// The kind of the last event shown.
    last_event: Option<String>,
    /// The number of all proposals ever made.
    proposals_received: u32,
    /// The number of proposals that can be awarded, or have won.
    proposals_open: u32,
    /// The number of proposals that were withdrawn.
    proposals_withdrawn: u32,
    /// The number of proposals that did not win.
    proposals_closed: u32,
    /// The open proposal with the lowest price; absent where none is open, and while the order is
    /// sealed.
    best_proposal: Option<BestView>,
    /// The number of invited sellers.
    sellers_selected: u64,
    /// The number of sellers that declined; 0 while the order is sealed.
    sellers_declined: u64,
    /// The URL of the processor that owns the order.
    processor: Option<String>,
    /// The epoch of the order's stream.
    epoch: u64,
    /// The number of times the order's stream came up again.
    reconnects: u32,
    /// The number of failed attempts since the stream was last up.
    attempts: u32,
    /// The reason that the stream is down; absent while it is up.
    reason: Option<String>,
    /// The time of the opening, milliseconds since 1970.
    opened_at_ms: Option<i64>,
    /// The time of the expiry, milliseconds since 1970.
    expires_at_ms: Option<i64>,
    /// The time of the end, milliseconds since 1970.
    ended_at_ms: Option<i64>,
    /// The award; absent before the end, where nobody won, and for an order that has an order
    /// request.
    award: Option<AwardView>,
}

/// The winner: one proposal, or one for each line.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AwardView {
    /// The proposal that wins the whole order.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "P-1", required = false, nullable = false)]
    proposal_id: Option<String>,
    /// The lines, as pairs of article number and proposal id.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    lines: Vec<(String, String)>,
}

impl From<&Award> for AwardView {
    fn from(award: &Award) -> Self {
        match award {
            Award::Whole(id) => Self { proposal_id: Some(id.to_string()), lines: Vec::new() },
            Award::Lines(lines) => {
                let lines = lines.iter().map(|(sku, id)| (sku.clone(), id.to_string()));
                Self { proposal_id: None, lines: lines.collect() }
            }
        }
    }
}

impl From<&TrackerTotals> for StatusView {
    fn from(totals: &TrackerTotals) -> Self {
        Self {
            total_orders: totals.total_orders,
            active_streams: totals.active_streams,
            tracked_order_ids: totals.tracked.iter().map(id).collect(),
        }
    }
}

impl From<&BuyerOrderView> for SummaryView {
    fn from(tracked: &BuyerOrderView) -> Self {
        Self {
            order_req_id: tracked.key.order_req_id.to_string(),
            tenant: tracked.key.tenant.to_string(),
            phase: tracked.phase.to_string(),
            proposals: tracked.proposals[0],
            last_seq: tracked.last_seq.0,
            stream_active: tracked.stream_active,
        }
    }
}

impl From<&BestProposal> for BestView {
    fn from(best: &BestProposal) -> Self {
        Self {
            proposal_id: best.proposal_id.clone(),
            price: best.amount.clone(),
            currency: best.currency.clone(),
        }
    }
}

impl From<&BuyerOrderView> for TrackedView {
    fn from(tracked: &BuyerOrderView) -> Self {
        let [received, open, withdrawn, closed] = tracked.proposals;
        Self {
            order_req_id: tracked.key.order_req_id.to_string(),
            tenant: tracked.key.tenant.to_string(),
            incarnation: tracked.incarnation.as_ref().map(ToString::to_string),
            session_id: tracked.session.clone(),
            notification_type: tracked.notification_type.as_str(),
            follow_up_count: tracked.follow_up_count,
            stream_active: tracked.stream_active,
            phase: tracked.phase.to_string(),
            last_seq: tracked.last_seq.0,
            last_event: tracked.last_event.clone(),
            proposals_received: received,
            proposals_open: open,
            proposals_withdrawn: withdrawn,
            proposals_closed: closed,
            best_proposal: tracked.best.as_ref().map(BestView::from),
            sellers_selected: tracked.sellers.0,
            sellers_declined: tracked.sellers.1,
            processor: tracked.processor.clone(),
            epoch: tracked.epoch.0,
            reconnects: tracked.reconnects,
            attempts: tracked.attempts,
            reason: tracked.reason.clone(),
            opened_at_ms: tracked.opened_at.map(|at| at.0),
            expires_at_ms: tracked.expires_at.map(|at| at.0),
            ended_at_ms: tracked.ended_at.map(|at| at.0),
            award: tracked.award.as_ref().map(AwardView::from),
        }
    }
}
