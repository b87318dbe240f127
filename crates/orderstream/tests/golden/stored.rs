//! The data that a former binary stored, read by the current one: two checked-in folders, the
//! requests that were made under keys, and all replies about them.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use super::client::exchange;
use super::disk::{lists, restore};
use super::stage::{ScriptRequest, Side, Stage, buyers, sellers, start_processor};
use super::transcript::{Transcript, folder};
use crate::process::run;

/// The names of the folders, one for each role.
pub(super) const ROLES: [&str; 2] = ["processor", "requestor"];
/// The file with the requests and the commands to repeat.
pub(super) const REQUESTS: &str = "requests.jsonl";
/// Texts that the stored events have to contain: every kind of event, and its variants.
const CONTENTS: [&str; 29] = [
    "\"OrderOpened\"",
    "\"SellersSelected\"",
    "\"SellerNotified\"",
    "\"NewProposal\"",
    "\"ProposalUpdate\"",
    "\"ProposalClosed\"",
    "\"EditLock\"",
    "\"FollowUpAdded\"",
    "\"OrderPaused\"",
    "\"OrderResumed\"",
    "\"OrderExtended\"",
    "\"ProposalsOpened\"",
    "\"AwardPending\"",
    "\"AwardUndone\"",
    "\"OrderFinalised\"",
    "\"OrderClosed\"",
    "\"OrderCancelled\"",
    "\"result\":\"delivered\"",
    "\"result\":\"bounced\"",
    "\"result\":\"seen\"",
    "\"Amended\"",
    "\"Withdrawn\"",
    "\"Declined\"",
    "\"Answered\"",
    "\"Asked\"",
    "\"expired\":true",
    "\"expired\":false",
    "\"award\":{\"Whole\":",
    "\"award\":{\"Lines\":",
];

/// Starts both roles on copies of the folders, and reads all that they have.
pub(super) fn read() -> Transcript {
    let dir = tempfile::tempdir().unwrap();
    let inspected = tempfile::tempdir().unwrap();
    for role in ROLES {
        restore(&folder().join(role), &dir.path().join(role));
        restore(&folder().join(role), &inspected.path().join(role));
    }
    check_contents(&lists(&inspected.path().join("processor")));
    let mut transcript = Transcript::default();
    for role in ROLES {
        let journal = dir.path().join(role);
        let verified = run(&["journal", "verify", journal.to_str().unwrap(), "-o", "json"]);
        transcript.add_output(&format!("journal verify {role} -o json"), &verified);
    }
    let mut stage = Stage::start(dir.path(), &[], transcript);
    stage.send(sellers("GET /api/v1/orders"));
    let before = list(&stage);
    for order in before["orders"].as_array().unwrap() {
        read_order(&mut stage, order);
    }
    read_lists(&mut stage);
    repeat_requests(&mut stage);
    assert_eq!(list(&stage), before, "nothing is done by asking again");
    stage.stop();
    let mut transcript = std::mem::take(&mut stage.transcript);
    read_dead_letters(&mut transcript, dir.path());
    transcript
}

/// Checks that the lists hold what they were recorded for.
fn check_contents(lists: &[(String, Vec<bytes::Bytes>)]) {
    let of_kind = |kind: &str| {
        let kind = format!("{kind}/");
        lists.iter().filter(move |(name, _)| name.starts_with(&kind)).map(|(_, records)| records)
    };
    let events: Vec<_> = of_kind("e").flatten().map(|it| String::from_utf8_lossy(it)).collect();
    for content in CONTENTS {
        let is_there = events.iter().any(|event| event.contains(content));
        assert!(is_there, "no stored event holds {content}: record a script that makes one");
    }
    let epoch = |record: &bytes::Bytes| u64::from_be_bytes(record.as_ref().try_into().unwrap());
    let mut grants = of_kind("g");
    let is_raised = |records: &Vec<bytes::Bytes>| {
        records.len() > 1 && epoch(records.first().unwrap()) < epoch(records.last().unwrap())
    };
    assert!(grants.any(is_raised), "no grant of a raised epoch is stored");
    assert!(of_kind("n").chain(of_kind("o")).count() > 0, "no outbox is stored");
}

/// Returns the processor's orders.
fn list(stage: &Stage) -> Value {
    let page = stage.read(Side::Sellers, "/api/v1/orders");
    let ended = |order: &Value| !order["ended_at"].is_null();
    let orders = page["orders"].as_array().unwrap();
    assert!(
        !orders.is_empty() && orders.iter().all(ended),
        "no orders: they are removed 999 days after they ended, so record them anew by then"
    );
    page
}

/// Reads all that both interfaces have of an order and of its former incarnations.
fn read_order(stage: &mut Stage, order: &Value) {
    let text = |name: &str| order[name].as_str().unwrap();
    let (id, tenant) = (text("order_req_id"), text("tenant"));
    let formers = order["former_incarnations"].as_array().unwrap();
    let formers = formers.iter().map(|former| former["incarnation"].as_str().unwrap());
    for incarnation in formers.chain([""]) {
        let query = format!("tenant={tenant}&incarnation={incarnation}");
        for part in ["", "/comparison", "/conversation", "/notifications", "/events", "/proposals"]
        {
            stage.send(sellers(&format!("GET /api/v1/orders/{id}{part}?{query}")));
        }
        stage.send(sellers(&format!("GET /api/v1/orders/{id}/comparison?{query}&format=csv")));
        let page = stage.read(Side::Sellers, &format!("/api/v1/orders/{id}/proposals?{query}"));
        let proposals = page["proposals"].as_array();
        for proposal in proposals.unwrap_or_else(|| panic!("{id} cannot be read: {page}")) {
            let proposal = proposal["proposal_id"].as_str().unwrap();
            for part in ["", "/versions"] {
                let path = format!("/api/v1/proposals/{proposal}{part}");
                stage.send(sellers(&format!("GET {path}?order_req_id={id}&{query}")));
            }
        }
        let flag = if incarnation.is_empty() {
            String::new()
        } else {
            format!("--incarnation {incarnation}")
        };
        stage.verb(&format!("status {id} -n {tenant} {flag} -o json"));
    }
    let (last, query) = (&order["last_seq"], format!("tenant={tenant}"));
    stage.send(sellers(&format!("GET /api/v1/orders/{id}/events?after={last}&{query}")));
    stage.send(buyers(&format!("GET /api/v1/orders/tracking/{id}?{query}")));
    stage.verb(&format!("why {id} -n {tenant} -o json"));
}

fn read_lists(stage: &mut Stage) {
    for request in ["GET /api/v1/orders", "GET /api/v1/orders/tracking/status"] {
        stage.send(buyers(request));
    }
    stage.verb("list -A -o json");
}

/// Repeats the requests under keys, and reads the state of their commands.
fn repeat_requests(stage: &mut Stage) {
    let requests = std::fs::read_to_string(folder().join(REQUESTS)).unwrap();
    let mut locations = BTreeSet::new();
    for request_line in requests.lines() {
        let request: Value = serde_json::from_str(request_line).unwrap();
        if let Some(line) = request["ran"].as_str() {
            stage.verb(line);
            continue;
        }
        stage.send(ScriptRequest::from_json(&request));
        locations.extend(location_of(&request));
    }
    for location in locations {
        stage.send(buyers(&format!("GET {location}")));
    }
}

/// Returns the path of a command's state at a requestor; absent for other requests.
fn location_of(request: &Value) -> Option<String> {
    let path = request["request"].as_str()?.strip_prefix("POST /api/v1/orders/")?;
    let body: Value = serde_json::from_str(request["body"].as_str()?).ok()?;
    let id = match path.split_once('/') {
        Some((_, id)) => id,
        None => body["order_req_id"].as_str()?,
    };
    let headers = request["headers"].as_array()?.iter().filter_map(Value::as_str);
    let key = headers.filter_map(|header| header.strip_prefix("idempotency-key: ")).next()?;
    (request["side"] == "buyers").then(|| format!("/api/v1/orders/{id}/acts/{key}"))
}

/// Reads the dead letters from a processor that sends notifications. It also tries the waiting
/// notifications of other tenants again, which is not recorded.
fn read_dead_letters(transcript: &mut Transcript, dir: &Path) {
    let settings = dir.join("notify.yaml");
    std::fs::write(&settings, "{}").unwrap();
    let role = start_processor(dir, &["--notify-config", settings.to_str().unwrap()]);
    let request = "GET /api/v1/dead-letters?tenant=acme";
    let response = exchange(role.address("rest"), request, &[], "", |_| false).unwrap();
    assert!(!response.json()["dead_letters"].as_array().unwrap().is_empty(), "{response:?}");
    transcript.add_response(request, &response);
}
