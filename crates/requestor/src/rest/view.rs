//! Orders as buyers see them: pure functions from what is tracked to what is sent.

use orderstream_core::buyer::{
    BestProposal, BuyerOrderView, CommandOutcome, CommandStatus, TrackerTotals,
};
use orderstream_core::command::Award;
use orderstream_core::{IdempotencyKey, OrderKey, Tenant};
use orderstream_rest_types::command::{ActView, SuccessView};
use orderstream_rest_types::tracking::{
    BestView, StatusView, SummaryView, TrackedAwardView, TrackedView,
};

/// Returns the order's id, with its tenant where that is not the default one.
fn id(key: &OrderKey) -> String {
    if key.tenant == Tenant::default() { key.order_req_id.to_string() } else { key.to_string() }
}

/// Returns the reply to a request that is done.
pub(super) fn success(message: &str) -> SuccessView {
    SuccessView { success: true, message: message.to_owned() }
}

/// Converts a command and its outcome.
pub(super) fn command(
    key: &OrderKey,
    command_key: &IdempotencyKey,
    stored: CommandStatus,
) -> ActView {
    let (state, refusal) = match stored.outcome {
        CommandOutcome::Pending => ("pending", None),
        CommandOutcome::Done => ("done", None),
        CommandOutcome::Refused(refusal) => ("refused", Some(refusal)),
    };
    ActView {
        order_req_id: key.order_req_id.to_string(),
        tenant: key.tenant.to_string(),
        key: command_key.to_string(),
        command: stored.name,
        state: state.to_owned(),
        reason: refusal.as_ref().map(|refusal| refusal.reason.as_str().to_owned()),
        detail: refusal.as_ref().map(|refusal| refusal.message.clone()),
        field: refusal.and_then(|refusal| refusal.field),
    }
}

/// Converts the totals of tracked orders.
pub(super) fn status(totals: &TrackerTotals) -> StatusView {
    StatusView {
        total_orders: totals.total_orders,
        active_streams: totals.active_streams,
        tracked_order_ids: totals.tracked.iter().map(id).collect(),
    }
}

/// Converts an order to its line in a list.
pub(super) fn summary(tracked: &BuyerOrderView) -> SummaryView {
    SummaryView {
        order_req_id: tracked.key.order_req_id.to_string(),
        tenant: tracked.key.tenant.to_string(),
        phase: tracked.phase.to_string(),
        proposals: tracked.proposals[0],
        last_seq: tracked.last_seq.0,
        stream_active: tracked.stream_active,
        stream: tracked.stream.to_string(),
    }
}

/// Converts an order.
pub(super) fn tracked(tracked: &BuyerOrderView) -> TrackedView {
    let [received, open, withdrawn, closed] = tracked.proposals;
    TrackedView {
        order_req_id: tracked.key.order_req_id.to_string(),
        tenant: tracked.key.tenant.to_string(),
        incarnation: tracked.incarnation.as_ref().map(ToString::to_string),
        session_id: tracked.session.clone(),
        notification_type: tracked.notification_type.as_str().to_owned(),
        follow_up_count: tracked.follow_up_count,
        stream_active: tracked.stream_active,
        stream: tracked.stream.to_string(),
        phase: tracked.phase.to_string(),
        last_seq: tracked.last_seq.0,
        last_event: tracked.last_event.clone(),
        proposals_received: received,
        proposals_open: open,
        proposals_withdrawn: withdrawn,
        proposals_closed: closed,
        best_proposal: tracked.best.as_ref().map(best),
        sellers_selected: tracked.sellers.0,
        sellers_declined: tracked.sellers.1,
        processor: tracked.processor.clone(),
        epoch: tracked.epoch.0,
        reconnects: tracked.reconnects,
        attempts: tracked.attempts,
        reason: tracked.reason.clone(),
        opened_at_ms: tracked.opened_at.map(|at| at.0),
        expires_at_ms: tracked.expires_at.map(|at| at.0),
        decide_until_ms: tracked.decide_until.map(|at| at.0),
        ended_at_ms: tracked.ended_at.map(|at| at.0),
        award: tracked.award.as_ref().map(award),
    }
}

fn best(best: &BestProposal) -> BestView {
    BestView {
        proposal_id: best.proposal_id.clone(),
        price: best.amount.clone(),
        currency: best.currency.clone(),
    }
}

fn award(award: &Award) -> TrackedAwardView {
    match award {
        Award::Whole(id) => {
            TrackedAwardView { proposal_id: Some(id.to_string()), lines: Vec::new() }
        }
        Award::Lines(lines) => {
            let lines = lines.iter().map(|(sku, id)| (sku.clone(), id.to_string()));
            TrackedAwardView { proposal_id: None, lines: lines.collect() }
        }
    }
}
