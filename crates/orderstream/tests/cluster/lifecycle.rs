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
    bed.until_phase("warm", "Streaming");

    let applied = Instant::now();
    bed.apply(MANIFEST);
    bed.until_phase("office-chairs", "Streaming");
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
    bed.until_phase("office-chairs", "Streaming");

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
    bed.until_phase("over", "Streaming");
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
    bed.until_phase("office-chairs", "Streaming");
    let cells = |text: &str, line: usize| -> Vec<String> {
        let line = text.lines().nth(line).unwrap_or_default();
        line.split_whitespace().map(ToOwned::to_owned).collect()
    };
    let table = bed.kubectl(&["get", "oreq"]);
    let columns = ["NAME", "PHASE", "PROPOSALS", "BEST", "STREAM", "EXPIRES", "AGE"];
    assert_eq!(cells(&table, 0), columns, "{table}");
    let wide = bed.kubectl(&["get", "oreq", "-o", "wide"]);
    assert!(
        cells(&wide, 0).ends_with(&["PROCESSOR", "SELLERS", "REASON"].map(String::from)),
        "{wide}"
    );
    let selected = |phase: &str| {
        let selector = format!("status.phase={phase}");
        bed.kubectl(&["get", "oreq", "--field-selector", &selector, "-o", "name"])
    };
    assert!(selected("Streaming").contains("office-chairs"));
    assert_eq!(selected("Paused"), "");
    let explained = bed.kubectl(&["explain", "oreq.spec.followUps"]);
    assert!(explained.contains("The list only grows"), "{explained}");
    let events = bed.kubectl(&["get", "events", "-o", "jsonpath={.items[*].reason}"]);
    assert!(events.contains("Streaming"), "{events}");
}

#[test]
fn statuses_show_reasons_of_refusals() {
    let Some(bed) = Bed::make() else { return };
    let _controller = bed.controller();
    bed.order("wrong-award");
    bed.until_phase("wrong-award", "Streaming");
    bed.patch("wrong-award", r#"{"award":{"proposalId":"nobody"}}"#);
    let stalled = |status: &Value| condition(status, "Stalled") == "True";
    let resource = bed.until_status("wrong-award", "the refusal is shown", stalled);
    assert!(resource["status"].to_string().contains("PROPOSAL_NOT_FOUND"), "{resource}");
    assert_eq!(resource["status"]["phase"], "Streaming", "the order goes on");

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
    bed.until_phase("brief", "Streaming");
    bed.patch("brief", r#"{"cancel":true}"#);
    crate::process::until("the resource is removed", || bed.get("brief").is_none().then_some(()));
    assert_eq!(bed.order_at_processor("brief").unwrap()["phase"], "Cancelled");
}
