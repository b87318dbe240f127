//! Sellers' commands over a processor's REST.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::{Call, http};
use crate::op::{Op, Outcome};

pub(super) async fn send(address: SocketAddr, call: &Call) -> Outcome {
    let Some((request, body)) = request(call) else {
        return Outcome::unknown("sellers' REST has no such act");
    };
    let key = [format!("idempotency-key: {}", call.key)];
    let answer = http::send(address, &request, &key, &body.to_string()).await;
    answer.map_or_else(Outcome::unknown, |answer| answer.outcome())
}

/// Returns the request line without its version, and the body; `None` for commands that sellers'
/// REST does not have.
pub fn request(call: &Call) -> Option<(String, Value)> {
    let (Call { actor, token, .. }, order) = (call, call.id());
    let content = |proposal: &str| {
        json!({"order_req_id": order, "proposal_id": proposal, "seller": actor,
            "price": "10", "currency": "EUR", "note": token})
    };
    let path = |proposal: &str, rest: &str| format!("/api/v1/proposals/{proposal}{rest}");
    Some(match &call.op {
        Op::Propose { proposal } => ("POST /api/v1/proposals".to_owned(), content(proposal)),
        Op::Amend { proposal } => (format!("PUT {}", path(proposal, "")), content(proposal)),
        Op::Withdraw { proposal } => (
            format!("POST {}", path(proposal, "/withdraw")),
            json!({"order_req_id": order, "reason": token}),
        ),
        Op::Lock { proposal, lease_ms } => (
            format!("POST {}", path(proposal, "/edit-lock")),
            json!({"order_req_id": order, "holder": actor, "lease_ms": lease_ms}),
        ),
        Op::Unlock { proposal } => (
            format!("DELETE {}", path(proposal, "/edit-lock")),
            json!({"order_req_id": order, "holder": actor}),
        ),
        Op::Decline => (
            format!("POST /api/v1/orders/{order}/decline"),
            json!({"seller": actor, "reason": token}),
        ),
        Op::Ask => (
            format!("POST /api/v1/orders/{order}/questions"),
            json!({"seller": actor, "message": token}),
        ),
        Op::See => (format!("POST /api/v1/orders/{order}/seen"), json!({"seller": actor})),
        Op::Open(_)
        | Op::FollowUp
        | Op::Pause
        | Op::Resume
        | Op::Extend { .. }
        | Op::Award { .. }
        | Op::UndoAward
        | Op::Close
        | Op::Cancel => return None,
    })
}
