//! The example bodies of the document. A test sends each of them to a requestor.

use serde_json::{Value, json};

/// The id of the examples' order.
pub(super) const ORDER: &str = "SB1029436";

/// Returns the body of an order.
pub(super) fn initiate() -> Value {
    json!({
        "order_req_id": ORDER,
        "session_id": "sess_123",
        "notification_type": "Email",
        "title": "Office supplies",
        "items": [
            { "sku": "A4-80", "description": "Paper A4, 80 g/m²", "quantity": "100", "unit": "box" },
            { "sku": "TONER", "quantity": "1" },
        ],
        "category": "office",
        "delivery": { "latitude": 48.137, "longitude": 11.575, "by": "2030-12-15" },
        "sellers": { "max_count": 10, "max_distance_km": 200.0, "excluded": ["seller9"],
                     "open_to_all": false, "late": true },
        "message": { "type": "text", "message": "Please quote.", "urls": [] },
        "expires_in_ms": 3_600_000,
        "decide_within_ms": 604_800_000,
        "sealed": false,
        "buyer": {
            "channels": [{ "type": "Email", "address": "buyer@example.com" }],
            "language": "en",
        },
        "currency": "EUR",
        "time_zone": "Europe/Berlin",
    })
}

/// Returns the body of a follow-up.
pub(super) fn follow_up() -> Value {
    json!({
        "order_req_id": ORDER,
        "follow_up_id": "f-1",
        "audience": ["seller1"],
        "message": { "type": "text", "message": "How soon?", "urls": [] },
    })
}

/// Returns the body of an award.
pub(super) fn award() -> Value {
    json!({ "proposal_id": "P-1", "reason": "the best total", "undo_within_ms": 60_000 })
}

/// Returns the body of an extension.
pub(super) fn extend() -> Value {
    json!({ "expires_in_ms": 7_200_000 })
}

/// Returns the body of a reason.
pub(super) fn reason() -> Value {
    json!({ "reason": "not needed any more" })
}
