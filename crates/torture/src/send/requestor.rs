//! Sends buyers' commands over the requestor's REST API.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::{ClientRequest, http};
use crate::command::{ClientCommand, ClientOutcome};

pub(super) async fn send(address: SocketAddr, call: &ClientRequest) -> ClientOutcome {
    let Some((path, body)) = request(call) else {
        return ClientOutcome::unknown("buyers' REST has no such act");
    };
    let key = [format!("idempotency-key: {}", call.key)];
    let request = format!("POST /api/v1/orders/{path}");
    let response = http::send(address, &request, &key, &body.to_string()).await;
    response.map_or_else(ClientOutcome::unknown, |answer| answer.outcome())
}

/// Returns the path after `/api/v1/orders/`, and the body; `None` for commands that the buyers'
/// REST API does not support.
pub fn request(call: &ClientRequest) -> Option<(String, Value)> {
    let (token, order) = (&call.token, call.id());
    let on = |act: &str| format!("{act}/{order}");
    let reason = json!({"reason": token});
    Some(match &call.command {
        ClientCommand::Open(opening) => {
            let mut body = json!({"order_req_id": order, "session_id": "torture",
                "notification_type": "email", "expires_in_ms": opening.expires_in_ms,
                "sealed": opening.sealed});
            if let Some(ms) = opening.decide_within_ms {
                body["decide_within_ms"] = json!(ms);
            }
            if !opening.sellers.is_empty() {
                body["sellers"] = json!({"names": opening.sellers});
            }
            ("initiate".to_owned(), body)
        }
        ClientCommand::FollowUp => {
            ("followup".to_owned(), json!({"order_req_id": order, "message": token}))
        }
        ClientCommand::Pause => (on("pause"), reason),
        ClientCommand::Resume => (on("resume"), json!({})),
        ClientCommand::Extend { expires_in_ms } => {
            (on("extend"), json!({"expires_in_ms": expires_in_ms}))
        }
        ClientCommand::Award { proposal, undo_within_ms: 0 } => {
            (on("award"), json!({"proposal_id": proposal, "reason": token}))
        }
        ClientCommand::Award { proposal, undo_within_ms } => (
            on("award"),
            json!({"proposal_id": proposal, "reason": token, "undo_within_ms": undo_within_ms}),
        ),
        ClientCommand::UndoAward => (on("undo-award"), reason),
        ClientCommand::Close => (on("close"), reason),
        ClientCommand::Cancel => (on("cancel"), reason),
        ClientCommand::Propose { .. }
        | ClientCommand::Amend { .. }
        | ClientCommand::Withdraw { .. }
        | ClientCommand::Lock { .. }
        | ClientCommand::Unlock { .. }
        | ClientCommand::Decline
        | ClientCommand::Ask
        | ClientCommand::See => return None,
    })
}
