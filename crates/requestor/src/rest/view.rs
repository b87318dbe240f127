//! Orders as buyers see them.

use orderstream_core::buyer::{Totals, Tracked};
use orderstream_core::{OrderKey, Tenant};
use serde_json::{Value, json};

/// The order's id, with its tenant where that is not the default one.
fn id(key: &OrderKey) -> String {
    if key.tenant == Tenant::default() { key.order_req_id.to_string() } else { key.to_string() }
}

/// `GET /tracking/status`.
pub(super) fn status(counts: &Totals) -> Value {
    json!({
        "total_orders": counts.total_orders,
        "active_streams": counts.active_streams,
        "tracked_order_ids": counts.tracked.iter().map(id).collect::<Vec<_>>(),
    })
}

/// One line of `GET /api/v1/orders`.
pub(super) fn summary(tracked: &Tracked) -> Value {
    json!({
        "order_req_id": tracked.key.order_req_id,
        "tenant": tracked.key.tenant,
        "phase": tracked.phase,
        "proposals": tracked.proposals[0],
        "last_seq": tracked.last_seq,
        "stream_active": tracked.stream_active,
    })
}

/// `GET /tracking/{id}`.
pub(super) fn order(tracked: &Tracked) -> Value {
    let best = tracked.best.as_ref().map(|best| {
        json!({
            "proposal_id": best.proposal_id,
            "price": best.amount,
            "currency": best.currency,
        })
    });
    let [received, open, withdrawn, closed] = tracked.proposals;
    json!({
        "order_req_id": tracked.key.order_req_id,
        "tenant": tracked.key.tenant,
        "incarnation": tracked.incarnation,
        "session_id": tracked.session,
        "notification_type": tracked.notification_type.as_str(),
        "notes_count": tracked.notes,
        "stream_active": tracked.stream_active,
        "phase": tracked.phase,
        "last_seq": tracked.last_seq,
        "last_event": tracked.last_event,
        "proposals_received": received,
        "proposals_open": open,
        "proposals_withdrawn": withdrawn,
        "proposals_closed": closed,
        "best_proposal": best,
        "sellers_selected": tracked.sellers.0,
        "sellers_declined": tracked.sellers.1,
        "processor": tracked.processor,
        "epoch": tracked.epoch,
        "reconnects": tracked.reconnects,
        "attempts": tracked.attempts,
        "reason": tracked.reason,
        "opened_at_ms": tracked.opened_at,
        "expires_at_ms": tracked.expires_at,
        "ended_at_ms": tracked.ended_at,
    })
}
