//! Orders as buyers see them.

use orderstream_core::buyer::{AskedAct, BestProposal, Outcome, Totals, Tracked};
use orderstream_core::command::Award;
use orderstream_core::{IdempotencyKey, OrderKey, Tenant};
use serde::Serialize;
use utoipa::ToSchema;

/// The order's id, with its tenant where that is not the default one.
fn id(key: &OrderKey) -> String {
    if key.tenant == Tenant::default() { key.order_req_id.to_string() } else { key.to_string() }
}

/// What was asked is done.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SuccessView {
    /// Always true.
    success: bool,
    /// What was done, for people.
    #[schema(example = "Order processing initiated")]
    message: &'static str,
}

impl SuccessView {
    pub(super) const fn new(message: &'static str) -> Self {
        Self { success: true, message }
    }
}

/// A follow-up is stored.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct FollowUpView {
    /// Always true.
    pub(super) success: bool,
    /// What was done, for people.
    #[schema(example = "Follow-up added")]
    pub(super) message: &'static str,
    /// The follow-up's id.
    pub(super) follow_up_id: String,
}

/// What was asked is stored and goes on by itself; it is not decided yet.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PendingView {
    /// Always `pending`.
    #[schema(example = "pending")]
    pub(super) state: &'static str,
    /// What that means, for people.
    pub(super) message: &'static str,
    /// The key under which what comes of it is told.
    pub(super) key: String,
    /// Where that is told, the same as in the header `Location`.
    #[schema(example = "/api/v1/orders/SB1029436/acts/3f6b1c1e")]
    pub(super) location: String,
    /// The follow-up's id, where it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub(super) follow_up_id: Option<String>,
}

/// An act that was asked for, and what came of it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ActView {
    /// The buyer's number of the order.
    order_req_id: String,
    /// Whose.
    tenant: String,
    /// The key.
    key: String,
    /// What was asked: `finalise` (also an award), `undo-award`, `pause`, `resume`, `extend`,
    /// `close`, `cancel` or `follow-up`.
    #[schema(example = "finalise")]
    act: String,
    /// `pending`; `done`: it is in the order's list; or `refused`: it never will be. The last two
    /// stay so for ever.
    #[schema(example = "done")]
    state: &'static str,
    /// Why it was refused, for programs.
    reason: Option<&'static str>,
    /// Why it was refused, for people.
    detail: Option<String>,
    /// The field that is wrong, where one is.
    field: Option<String>,
}

impl ActView {
    pub(super) fn new(key: &OrderKey, act: &IdempotencyKey, asked: AskedAct) -> Self {
        let (state, refusal) = match asked.outcome {
            Outcome::Pending => ("pending", None),
            Outcome::Done => ("done", None),
            Outcome::Refused(refusal) => ("refused", Some(refusal)),
        };
        Self {
            order_req_id: key.order_req_id.to_string(),
            tenant: key.tenant.to_string(),
            key: act.to_string(),
            act: asked.act,
            state,
            reason: refusal.as_ref().map(|refusal| refusal.reason.as_str()),
            detail: refusal.as_ref().map(|refusal| refusal.message.clone()),
            field: refusal.and_then(|refusal| refusal.field),
        }
    }
}

/// How many orders there are.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct StatusView {
    /// All that are tracked, also those that have ended.
    total_orders: usize,
    /// With a stream that is up.
    active_streams: usize,
    /// Their ids, sorted; `tenant/id` where the tenant is not the default one.
    tracked_order_ids: Vec<String>,
}

/// One order in a list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SummaryView {
    /// The buyer's number.
    order_req_id: String,
    /// Whose.
    tenant: String,
    /// As users see it.
    #[schema(example = "Streaming")]
    phase: String,
    /// Proposals ever made.
    proposals: u32,
    /// The last event handled.
    last_seq: u64,
    /// Whether a stream is up.
    stream_active: bool,
}

/// A page of orders.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OrdersPage {
    /// The orders, by tenant and number.
    pub(super) orders: Vec<SummaryView>,
    /// Give it as `after` for the next page; absent at the end.
    pub(super) next: Option<String>,
}

/// The lowest price among the open proposals.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BestView {
    /// Which.
    proposal_id: String,
    /// The amount, a decimal.
    #[schema(example = "1249.50")]
    price: String,
    /// ISO 4217.
    #[schema(example = "EUR")]
    currency: String,
}

/// One order.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TrackedView {
    /// The buyer's number.
    order_req_id: String,
    /// Whose.
    tenant: String,
    /// Which life of the name.
    incarnation: Option<String>,
    /// The buyer's session.
    session_id: Option<String>,
    /// How sellers are told: `GChat`, `Email`, `SMS` or `Webhook`.
    #[schema(example = "Email")]
    notification_type: &'static str,
    /// Follow-ups known.
    notes_count: u64,
    /// Whether a stream is up.
    stream_active: bool,
    /// As users see it.
    #[schema(example = "Streaming")]
    phase: String,
    /// The last event handled.
    last_seq: u64,
    /// Its word.
    last_event: Option<String>,
    /// Proposals ever made.
    proposals_received: u32,
    /// Proposals that can be awarded.
    proposals_open: u32,
    /// Proposals taken back.
    proposals_withdrawn: u32,
    /// Proposals that are out.
    proposals_closed: u32,
    /// The lowest price among the open ones; absent while the order is sealed.
    best_proposal: Option<BestView>,
    /// Sellers invited.
    sellers_selected: u64,
    /// Sellers who said no.
    sellers_declined: u64,
    /// The processor that holds it.
    processor: Option<String>,
    /// The fencing number of its stream.
    epoch: u64,
    /// How often its stream came up again.
    reconnects: u32,
    /// Failed attempts since it was last up.
    attempts: u32,
    /// Why it is not up.
    reason: Option<String>,
    /// When it was opened, milliseconds since 1970.
    opened_at_ms: Option<i64>,
    /// When its time runs out, milliseconds since 1970.
    expires_at_ms: Option<i64>,
    /// When it reached its end, milliseconds since 1970.
    ended_at_ms: Option<i64>,
    /// Who won; absent before the end, where nobody did, and of an order that has an order request.
    award: Option<AwardView>,
}

/// Who won: one proposal, or one for each line.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AwardView {
    /// The proposal that takes all.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "P-1", required = false, nullable = false)]
    proposal_id: Option<String>,
    /// Lines and the proposals that take them.
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

impl From<&Totals> for StatusView {
    fn from(totals: &Totals) -> Self {
        Self {
            total_orders: totals.total_orders,
            active_streams: totals.active_streams,
            tracked_order_ids: totals.tracked.iter().map(id).collect(),
        }
    }
}

impl From<&Tracked> for SummaryView {
    fn from(tracked: &Tracked) -> Self {
        Self {
            order_req_id: tracked.key.order_req_id.to_string(),
            tenant: tracked.key.tenant.to_string(),
            phase: tracked.phase.clone(),
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

impl From<&Tracked> for TrackedView {
    fn from(tracked: &Tracked) -> Self {
        let [received, open, withdrawn, closed] = tracked.proposals;
        Self {
            order_req_id: tracked.key.order_req_id.to_string(),
            tenant: tracked.key.tenant.to_string(),
            incarnation: tracked.incarnation.as_ref().map(ToString::to_string),
            session_id: tracked.session.clone(),
            notification_type: tracked.notification_type.as_str(),
            notes_count: tracked.notes,
            stream_active: tracked.stream_active,
            phase: tracked.phase.clone(),
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
