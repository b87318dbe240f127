//! Orders as buyers see them.

use orderstream_core::order::ProposalCounts;
use orderstream_core::{OrderKey, OrderSpec, Snapshot, Tenant};
use serde_json::{Value, json};

use crate::registry::Counts;

/// The order's id, with its tenant where that is not the default one.
fn id(key: &OrderKey) -> String {
    if key.tenant == Tenant::default() { key.order_req_id.to_string() } else { key.to_string() }
}

/// `GET /tracking/status`.
pub(super) fn status(counts: &Counts) -> Value {
    json!({
        "total_orders": counts.total_orders,
        "active_streams": counts.active_streams,
        "tracked_order_ids": counts.tracked.iter().map(id).collect::<Vec<_>>(),
    })
}

fn proposal_counts(snapshot: &Snapshot) -> ProposalCounts {
    snapshot.order.as_ref().map(|order| order.proposal_counts()).unwrap_or_default()
}

/// One line of `GET /api/v1/orders`.
pub(super) fn summary(snapshot: &Snapshot) -> Value {
    json!({
        "order_req_id": snapshot.key.order_req_id,
        "tenant": snapshot.key.tenant,
        "phase": snapshot.phase(),
        "proposals": proposal_counts(snapshot).received,
        "last_seq": snapshot.last_seq(),
        "stream_active": snapshot.stream.active,
    })
}

/// `GET /tracking/{id}`.
pub(super) fn order(snapshot: &Snapshot, spec: &OrderSpec) -> Value {
    let order = snapshot.order.as_deref();
    let counts = proposal_counts(snapshot);
    let best = counts.best.as_ref().map(|(id, price)| {
        json!({
            "proposal_id": id,
            "price": price.amount().to_string(),
            "currency": price.currency().as_str(),
        })
    });
    json!({
        "order_req_id": snapshot.key.order_req_id,
        "tenant": snapshot.key.tenant,
        "incarnation": snapshot.incarnation,
        "session_id": spec.session,
        "notification_type": spec.notification_type.as_str(),
        "notes_count": snapshot.notes,
        "stream_active": snapshot.stream.active,
        "phase": snapshot.phase(),
        "last_seq": snapshot.last_seq(),
        "last_event": order.map(|order| order.last_event.1),
        "proposals_received": counts.received,
        "proposals_open": counts.open,
        "proposals_withdrawn": counts.withdrawn,
        "proposals_closed": counts.closed,
        "best_proposal": best,
        "sellers_selected": order.map_or(0, |order| order.selected()),
        "sellers_declined": order.map_or(0, |order| order.declined.len()),
        "processor": snapshot.stream.processor,
        "epoch": snapshot.stream.epoch,
        "reconnects": snapshot.stream.reconnects,
        "attempts": snapshot.stream.attempts,
        "reason": snapshot.stream.reason,
        "opened_at_ms": order.map(|order| order.opened_at),
        "expires_at_ms": order.map(|order| order.expires_at),
        "ended_at_ms": order.and_then(|order| order.ended_at),
    })
}
