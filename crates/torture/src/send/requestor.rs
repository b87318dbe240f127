//! Buyers' commands over the requestor's REST.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::{Call, http};
use crate::op::{Op, Outcome};

pub(super) async fn send(address: SocketAddr, call: &Call) -> Outcome {
    let Some((act, body)) = request(call) else {
        return Outcome::unknown("buyers' REST has no such act");
    };
    let key = [format!("idempotency-key: {}", call.key)];
    let request = format!("POST /api/v1/orders/{act}");
    let answer = http::send(address, &request, &key, &body.to_string()).await;
    answer.map_or_else(Outcome::unknown, |answer| answer.outcome())
}

/// Returns the path after `/api/v1/orders/`, and the body; `None` for commands that buyers' REST
/// does not have.
pub fn request(call: &Call) -> Option<(String, Value)> {
    let (token, order) = (&call.token, call.id());
    let on = |act: &str| format!("{act}/{order}");
    let reason = json!({"reason": token});
    Some(match &call.op {
        Op::Open(opening) => {
            let mut body = json!({"order_req_id": order, "session_id": "torture",
                "notification_type": "email", "expires_in_ms": opening.expires_in_ms,
                "sealed": opening.sealed});
            if !opening.sellers.is_empty() {
                body["sellers"] = json!({"names": opening.sellers});
            }
            ("initiate".to_owned(), body)
        }
        Op::FollowUp => ("followup".to_owned(), json!({"order_req_id": order, "message": token})),
        Op::Pause => (on("pause"), reason),
        Op::Resume => (on("resume"), json!({})),
        Op::Extend { expires_in_ms } => (on("extend"), json!({"expires_in_ms": expires_in_ms})),
        Op::Award { proposal, undo_within_ms: 0 } => {
            (on("award"), json!({"proposal_id": proposal, "reason": token}))
        }
        Op::Award { proposal, undo_within_ms } => (
            on("award"),
            json!({"proposal_id": proposal, "reason": token, "undo_within_ms": undo_within_ms}),
        ),
        Op::UndoAward => (on("undo-award"), reason),
        Op::Close => (on("close"), reason),
        Op::Cancel => (on("cancel"), reason),
        Op::Propose { .. }
        | Op::Amend { .. }
        | Op::Withdraw { .. }
        | Op::Lock { .. }
        | Op::Unlock { .. }
        | Op::Decline
        | Op::Ask
        | Op::See => return None,
    })
}
