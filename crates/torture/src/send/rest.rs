//! Sends sellers' commands over a processor's REST API.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::{ClientRequest, http};
use crate::command::{ClientCommand, ClientOutcome};

pub(super) async fn send(address: SocketAddr, call: &ClientRequest) -> ClientOutcome {
    let Some((request, body)) = request(call) else {
        return ClientOutcome::unknown("sellers' REST has no such act");
    };
    let key = [format!("idempotency-key: {}", call.key)];
    let response = http::send(address, &request, &key, &body.to_string()).await;
    response.map_or_else(ClientOutcome::unknown, |answer| answer.outcome())
}

/// Returns the request line without its version, and the body; `None` for commands that the
/// sellers' REST API does not support.
pub fn request(call: &ClientRequest) -> Option<(String, Value)> {
    let (ClientRequest { actor, token, .. }, order) = (call, call.id());
    let content = |proposal: &str| {
        json!({"order_req_id": order, "proposal_id": proposal, "seller": actor,
            "price": "10", "currency": "EUR", "note": token})
    };
    let path = |proposal: &str, rest: &str| format!("/api/v1/proposals/{proposal}{rest}");
    Some(match &call.command {
        ClientCommand::Propose { proposal, .. } => {
            let mut content = content(proposal);
            content["alternative"] = json!(call.command.label());
            ("POST /api/v1/proposals".to_owned(), content)
        }
        ClientCommand::Amend { proposal } => {
            (format!("PUT {}", path(proposal, "")), content(proposal))
        }
        ClientCommand::Withdraw { proposal } => (
            format!("POST {}", path(proposal, "/withdraw")),
            json!({"order_req_id": order, "seller": actor, "reason": token}),
        ),
        ClientCommand::Lock { proposal, lease_ms } => (
            format!("POST {}", path(proposal, "/edit-lock")),
            json!({"order_req_id": order, "holder": actor, "lease_ms": lease_ms}),
        ),
        ClientCommand::Unlock { proposal } => (
            format!("DELETE {}", path(proposal, "/edit-lock")),
            json!({"order_req_id": order, "holder": actor}),
        ),
        ClientCommand::Decline => (
            format!("POST /api/v1/orders/{order}/decline"),
            json!({"seller": actor, "reason": token}),
        ),
        ClientCommand::Ask => (
            format!("POST /api/v1/orders/{order}/questions"),
            json!({"seller": actor, "message": token}),
        ),
        ClientCommand::See => {
            (format!("POST /api/v1/orders/{order}/seen"), json!({"seller": actor}))
        }
        ClientCommand::Open(_)
        | ClientCommand::FollowUp
        | ClientCommand::Pause
        | ClientCommand::Resume
        | ClientCommand::Extend { .. }
        | ClientCommand::Award { .. }
        | ClientCommand::UndoAward
        | ClientCommand::Close
        | ClientCommand::Cancel => return None,
    })
}
