//! The example bodies of the document. A test sends each of them to a processor.

use serde_json::{Value, json};

/// The order's id in the examples.
pub(super) const ORDER: &str = "SB1029436";
/// The proposal's id in the examples.
pub(super) const PROPOSAL: &str = "P-1";

/// A new or changed proposal.
pub(super) fn proposal() -> Value {
    json!({
        "order_req_id": ORDER,
        "proposal_id": PROPOSAL,
        "seller": "seller1",
        "price": "1249.50",
        "currency": "EUR",
        "lines": [
            { "sku": "A4-80", "quantity": "100", "unit": "box", "price": "1200.00" },
            { "sku": "TONER", "quantity": "1", "price": "49.50" },
        ],
        "note": "Delivered free of charge.",
        "delivery_date": "2026-12-01",
        "valid_until": "2026-12-31T23:59:59Z",
        "attachments": ["https://seller1.example/offers/P-1.pdf"],
    })
}

/// An answer to a follow-up.
pub(super) fn answer() -> Value {
    json!({
        "order_req_id": ORDER,
        "seller": "seller1",
        "follow_up_id": "f-1",
        "message": "In three days.",
    })
}

/// A question to the buyer.
pub(super) fn question() -> Value {
    json!({
        "seller": "seller1",
        "question_id": "q-1",
        "message": "Is recycled paper fine?",
    })
}

/// A mark that the order was seen.
pub(super) fn seen() -> Value {
    json!({ "seller": "seller1" })
}

/// The acquisition of the edit lock.
pub(super) fn lock() -> Value {
    json!({ "order_req_id": ORDER, "holder": "seller1", "lease_ms": 60_000 })
}

/// The withdrawal of a proposal.
pub(super) fn withdraw() -> Value {
    json!({ "order_req_id": ORDER, "reason": "sold out" })
}

/// A decision not to propose.
pub(super) fn decline() -> Value {
    json!({ "seller": "seller2", "reason": "not in stock" })
}
