//! An order from its manifest to its removal, by kubectl alone.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::bed::{Bed, condition};

const MANIFEST: &str = include_str!("../../../../examples/office-chairs.yaml");

#[test]
fn manifests_and_their_edits_reach_orders() {
    let Some(bed) = Bed::make() else { return };
    let _controller = bed.controller();
    bed.order("warm");
    bed.until_phase("warm", "Open");

    let applied = Instant::now();
    bed.apply(MANIFEST);
    bed.until_phase("office-chairs", "Open");
    assert!(applied.elapsed() < Duration::from_secs(5), "{:?}", applied.elapsed());
    let args = ["wait", "--for=condition=Ready", "oreq/office-chairs", "--timeout=10s"];
    assert!(bed.kubectl(&args).contains("condition met"));

    let response = bed.propose("OR-2041", "p1", "1200").unwrap();
    assert_eq!(response.status, 201, "{response:?}");
    let resource = bed.until_status("office-chairs", "the proposal is counted", |status| {
        status["proposals"]["received"] == 1
    });
    assert_eq!(resource["status"]["proposals"]["best"]["price"], "1200 EUR");

    bed.patch("office-chairs", r#"{"followUps":[{"id":"f1","message":{"message":"When?"}}]}"#);
    bed.until_status("office-chairs", "the follow-up is sent", |status| {
        status["followUps"]["lastId"] == "f1" && status["observedGeneration"] == 2
    });
    bed.patch("office-chairs", r#"{"suspend":true}"#);
    bed.until_phase("office-chairs", "Paused");
    assert_eq!(bed.propose("OR-2041", "p2", "1100").unwrap().status, 409);
    bed.patch("office-chairs", r#"{"suspend":false,"expiresIn":"2h"}"#);
    bed.until_phase("office-chairs", "Open");

    bed.patch("office-chairs", r#"{"award":{"proposalId":"p1"}}"#);
    let args = ["wait", "--for=jsonpath={.status.phase}=Finalised", "oreq/office-chairs"];
    assert!(bed.kubectl(&args).contains("condition met"));
    let ended = bed.get("office-chairs").unwrap();
    assert_eq!(condition(&ended["status"], "Ready"), "True");
    assert_eq!(bed.order_at_processor("OR-2041").unwrap()["phase"], "Finalised");
}

/// kstatus and the health check for Argo CD wait for `observedGeneration`.
#[test]
fn next_controllers_observe_edits_after_end() {
    let Some(bed) = Bed::make() else { return };
    let mut controller = bed.controller();
    bed.order("over");
    bed.until_phase("over", "Open");
    bed.patch("over", r#"{"cancel":true}"#);
    bed.until_phase("over", "Cancelled");
    controller.kill();
    bed.patch("over", r#"{"ttlAfterFinished":"2h"}"#);
    controller.restart();
    let edited = bed
        .until_status("over", "the edit is observed", |status| status["observedGeneration"] == 3);
    assert_eq!(edited["status"]["phase"], "Cancelled");
    assert_eq!(condition(&edited["status"], "Ready"), "True");
}

#[test]
fn kubectl_prints_promised_order_columns() {
    let Some(bed) = Bed::make() else { return };
    let _controller = bed.controller();
    bed.apply(MANIFEST);
    bed.until_phase("office-chairs", "Open");
    let cells = |text: &str, line: usize| -> Vec<String> {
        let line = text.lines().nth(line).unwrap_or_default();
        line.split_whitespace().map(ToOwned::to_owned).collect()
    };
    let table = bed.kubectl(&["get", "oreq"]);
    let columns = ["NAME", "PHASE", "PROPOSALS", "BEST", "STREAM", "EXPIRES", "AGE"];
    assert_eq!(cells(&table, 0), columns, "{table}");
    let wide = bed.kubectl(&["get", "oreq", "-o", "wide"]);
    let columns = ["PROCESSOR", "SELLERS", "REASON", "CATEGORY", "TITLE"].map(String::from);
    assert!(cells(&wide, 0).ends_with(&columns), "{wide}");
    let selected = |phase: &str| {
        let selector = format!("status.phase={phase}");
        bed.kubectl(&["get", "oreq", "--field-selector", &selector, "-o", "name"])
    };
    assert!(selected("Open").contains("office-chairs"));
    assert_eq!(selected("Paused"), "");
    let streams = ["get", "oreq", "--field-selector", "status.tracker.stream=Active", "-o", "name"];
    assert!(bed.kubectl(&streams).contains("office-chairs"));
    let explained = bed.kubectl(&["explain", "oreq.spec.followUps"]);
    assert!(explained.contains("The list only grows"), "{explained}");
    let events = bed.kubectl(&["get", "events", "-o", "jsonpath={.items[*].reason}"]);
    assert!(events.contains("Open"), "{events}");
}

#[test]
fn statuses_show_reasons_of_refusals() {
    let Some(bed) = Bed::make() else { return };
    let _controller = bed.controller();
    bed.order("wrong-award");
    bed.until_phase("wrong-award", "Open");
    bed.patch("wrong-award", r#"{"award":{"proposalId":"nobody"}}"#);
    let stalled = |status: &Value| condition(status, "Stalled") == "True";
    let resource = bed.until_status("wrong-award", "the refusal is shown", stalled);
    assert!(resource["status"].to_string().contains("PROPOSAL_NOT_FOUND"), "{resource}");
    assert_eq!(resource["status"]["phase"], "Open", "the order goes on");

    bed.apply(
        "apiVersion: orderstream.dev/v1alpha1\nkind: OrderRequest\nmetadata: {name: twin}\n\
         spec: {orderReqId: wrong-award}\n",
    );
    let resource = bed.until_phase("twin", "Failed");
    assert!(resource["status"].to_string().contains("ORDER_EXISTS"), "{resource}");
}

#[test]
fn ended_resources_are_removed_in_time() {
    let Some(bed) = Bed::make() else { return };
    let _controller = bed.controller();
    bed.apply(
        "apiVersion: orderstream.dev/v1alpha1\nkind: OrderRequest\nmetadata: {name: brief}\n\
         spec: {ttlAfterFinished: 1s}\n",
    );
    bed.until_phase("brief", "Open");
    bed.patch("brief", r#"{"cancel":true}"#);
    crate::process::until("the resource is removed", || bed.get("brief").is_none().then_some(()));
    assert_eq!(bed.order_at_processor("brief").unwrap()["phase"], "Cancelled");
}

/// Nothing was sent to anybody before, so the same resource becomes an order.
#[test]
fn refused_order_requests_may_be_corrected() {
    let Some(bed) = Bed::make() else { return };
    let _controller = bed.controller();
    let order = |name: &str, id: &str, currency: &str| {
        format!(
            "apiVersion: orderstream.dev/v1alpha1\nkind: OrderRequest\nmetadata: {{name: {name}}}\n\
             spec: {{orderReqId: {id}, currency: {currency}}}\n"
        )
    };
    bed.apply(&order("no-money", "NO-MONEY", "ZZZ"));
    let refused = bed.until_phase("no-money", "Failed");
    assert!(refused["status"].to_string().contains("spec.currency"), "{refused}");
    assert!(bed.order_at_processor("NO-MONEY").is_none());
    bed.apply(&order("no-money", "NO-MONEY", "EUR"));
    let opened = bed.until_phase("no-money", "Open");
    assert_eq!(opened["metadata"]["uid"], refused["metadata"]["uid"]);
    assert_eq!(opened["status"]["completionTime"], Value::Null);
    assert_eq!(condition(&opened["status"], "Stalled"), "False");

    bed.apply(&order("second", "NO-MONEY", "EUR"));
    bed.until_phase("second", "Failed");
    bed.apply(&order("second", "SECOND", "EUR"));
    bed.until_phase("second", "Open");
    assert_eq!(bed.order_at_processor("NO-MONEY").unwrap()["phase"], "Open");
}

/// The definition takes a text that an order cannot have, and the next controller does not follow
/// the order before it is fixed.
#[test]
fn opened_orders_outlive_refused_edits() {
    let Some(bed) = Bed::make() else { return };
    let mut controller = bed.controller();
    bed.order("mistyped");
    bed.until_phase("mistyped", "Open");
    controller.kill();
    bed.patch("mistyped", r#"{"suspendReason":"a\u000b"}"#);
    controller.restart();
    let stalled = |status: &Value| condition(status, "Stalled") == "True";
    let held = bed.until_status("mistyped", "the refusal is shown", stalled);
    assert!(held["status"].to_string().contains("spec.suspendReason"), "{held}");
    assert_eq!(held["status"]["phase"], "Open", "the order goes on");
    assert_eq!(bed.propose("mistyped", "p1", "10").unwrap().status, 201);

    bed.patch("mistyped", r#"{"suspendReason":"stock-taking"}"#);
    let followed = bed.until_status("mistyped", "the order is followed again", |status| {
        condition(status, "Stalled") == "False" && status["proposals"]["received"] == 1
    });
    assert_eq!(followed["status"]["phase"], "Open");
}
