//! An order whose deadline passes before its award, while processor and controller are killed: its
//! statuses and its webhooks are compared with its list.

use std::collections::BTreeSet;

use serde_json::json;

use super::expected_webhooks::{message, messages};
use super::list::{Entry, FoldedOrder, status_part, text};
use super::stage::Stage;
use crate::http::{get, post};
use crate::process::until;

/// The buyer's id of the order; the resource is named `late`.
const LATE: &str = "RFQ-78";
/// The time to decide, of which the buyer is notified at the deadline.
const DECIDE_WITHIN_MS: i64 = 3_600_000;

/// Opens the order; one seller proposes, the other one asks.
pub(super) fn open(stage: &Stage) {
    let address = stage.webhook_servers.url("buyer");
    stage.apply(
        "late",
        &json!({
            "orderReqId": LATE, "notificationType": "Webhook", "expiresIn": "15s",
            "decideWithin": "1h", "items": [{ "sku": "CHAIR", "quantity": 1 }],
            "sellers": { "names": ["asker", "rest"] },
            "buyer": { "channels": [{ "type": "Webhook", "address": address }] },
        }),
    );
    stage.bed.until_phase("late", "Open");
    let endpoints = stage.endpoints();
    let proposal = json!({ "tenant": endpoints.tenant, "order_req_id": LATE,
        "proposal_id": "p-late", "seller": "rest", "price": "10.00", "currency": "EUR" });
    let question = json!({ "tenant": endpoints.tenant, "seller": "asker", "question_id": "q-late",
        "message": "Until when?" });
    let questions = format!("/api/v1/orders/{LATE}/questions");
    for (path, body) in [("/api/v1/proposals", proposal), (questions.as_str(), question)] {
        let response = post(endpoints.rest, path, &body.to_string()).unwrap();
        assert!(response.status < 300, "{path}: {response:?}");
    }
}

/// Waits until the deadline has passed, awards, and compares statuses and webhooks with the list.
pub(super) fn decided(stage: &Stage) {
    let deciding = stage.bed.until_phase("late", "Deciding");
    let lines = json!([{ "sku": "CHAIR", "proposalId": "p-late" }]);
    stage.bed.patch("late", &json!({ "award": { "lines": lines } }).to_string());
    let ended = stage.bed.until_phase("late", "Finalised");
    let list = list(stage);
    let folded = FoldedOrder::of(&list);
    assert_eq!(folded.decide_by_ms, Some(folded.expires_ms + DECIDE_WITHIN_MS));
    for resource in [&deciding, &ended] {
        let status = &resource["status"];
        let seq = usize::try_from(status["tracker"]["lastSeq"].as_u64().unwrap()).unwrap();
        let folded = FoldedOrder::of(&list[..seq]);
        assert_eq!(status_part(status), folded.status(), "{status}");
        assert_eq!(status["phase"], folded.phase, "{status}");
    }
    webhooks(stage, &list);
}

/// Returns the list of the ended order, over REST.
fn list(stage: &Stage) -> Vec<Entry> {
    let endpoints = stage.endpoints();
    let path = format!("/api/v1/orders/{LATE}/events?tenant={}&after=0", endpoints.tenant);
    let text = get(endpoints.rest, &path).unwrap().text;
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(|data| Entry::of_data(&serde_json::from_str(data).unwrap())).collect()
}

/// Checks that everyone received the webhooks that were due, and no others: at the deadline the
/// buyer alone.
fn webhooks(stage: &Stage, list: &[Entry]) {
    let endpoints = stage.endpoints();
    let path = format!("/api/v1/orders/{LATE}/notifications?tenant={}", endpoints.tenant);
    until("nothing of the late order waits", || {
        let outbox = get(endpoints.rest, &path).ok()?.json();
        (outbox["waiting"] == 0 && outbox["cursor"] == list.len()).then_some(())
    });
    let mut received = BTreeSet::new();
    for (who, requests) in stage.webhook_servers.requests(LATE) {
        for request in requests.iter().filter(|request| request.status.is_success()) {
            let body = &request.body;
            let seq = text(&body["sequence"]).parse().unwrap();
            let topic = text(&body["type"]).trim_start_matches("dev.orderstream.");
            received.insert(message(&who, seq, topic, text(&body["template"])));
        }
    }
    assert_eq!(received, messages(list));
}
