//! Orders and proposals as JSON: pure functions from what the owner holds to what goes out.

use orderstream_core::order::{Proposal, ProposalPhase};
use orderstream_core::spec::Verdict;
use orderstream_core::{Order, ProposalId, Timestamp};
use serde_json::{Value, json};

use crate::orders::Facts;
use crate::page;

/// Milliseconds since 1970 as RFC 3339.
pub(super) fn rfc3339(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.0).map(|at| at.to_string()).unwrap_or_default()
}

/// An order in one object.
pub(super) fn order(order: &Order, facts: &Facts) -> Value {
    let counts = order.proposal_counts();
    let sellers: Vec<Value> = order
        .choices
        .iter()
        .map(|choice| {
            json!({
                "seller": choice.seller,
                "chosen": choice.verdict == Verdict::Chosen,
                "reason": choice.verdict,
                "distance_m": choice.distance_m,
            })
        })
        .collect();
    json!({
        "tenant": order.key.tenant,
        "order_req_id": order.key.order_req_id,
        "incarnation": order.incarnation,
        "title": order.spec.title,
        "items": order.spec.items,
        "phase": order.phase,
        "last_seq": order.last_seq,
        "opened_at": rfc3339(order.opened_at),
        "expires_at": rfc3339(order.expires_at),
        "ended_at": order.ended_at.map(rfc3339),
        "epoch": facts.epoch,
        "stream_active": facts.has_tracker,
        "sellers": sellers,
        "proposals": {
            "received": counts.received,
            "open": counts.open,
            "withdrawn": counts.withdrawn,
            "closed": counts.closed,
        },
        "follow_ups": order.follow_ups.len(),
        "award": order.award,
    })
}

/// One proposal, if the order has it.
pub(super) fn proposal(order: &Order, id: &ProposalId, now: Timestamp) -> Option<Value> {
    order.proposals.get(id).map(|held| one(id, held, now))
}

fn one(id: &ProposalId, held: &Proposal, now: Timestamp) -> Value {
    let status = match held.phase {
        ProposalPhase::Open => "Open",
        ProposalPhase::Withdrawn => "Withdrawn",
        ProposalPhase::Closed => "Closed",
    };
    json!({
        "proposal_id": id,
        "seller": held.content.seller,
        "status": status,
        "version": held.version,
        "price": held.content.price.amount().to_string(),
        "currency": held.content.price.currency(),
        "lines": held.content.lines.iter().map(|line| json!({
            "sku": line.sku,
            "quantity": line.quantity.value().to_string(),
            "unit": line.unit,
            "price": line.price.amount().to_string(),
        })).collect::<Vec<_>>(),
        "note": held.content.note,
        "delivery_date": held.content.delivery_date,
        "valid_until": held.content.valid_until,
        "locked_by": held.locked_by(now),
        "at": rfc3339(held.at),
    })
}

/// A page of an order's proposals, and where the next one begins.
pub(super) fn proposals(
    order: &Order,
    after: Option<&ProposalId>,
    limit: usize,
    now: Timestamp,
) -> Value {
    let page = page::of(order, after, limit);
    let shown: Vec<_> = page.proposals.iter().map(|(id, held)| one(id, held, now)).collect();
    json!({ "proposals": shown, "next": page.next })
}
