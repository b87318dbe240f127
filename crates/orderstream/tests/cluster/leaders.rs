//! Two controllers: one leads, and however it is lost the other one takes over without harm.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::bed::Bed;
use crate::http::get;
use crate::process::{Role, until};

fn lease(bed: &Bed) -> Value {
    let args = ["get", "lease", "orderstream-controller", "-o", "json"];
    serde_json::from_str(&bed.kubectl(&args)).unwrap()
}

fn leads(controller: &Role) -> bool {
    let response = get(controller.address("metrics"), "/metrics");
    response.is_ok_and(|answer| {
        answer
            .text
            .lines()
            .any(|line| line.starts_with("leader_election_master_status{") && line.ends_with(" 1"))
    })
}

fn until_leads(controller: &Role) {
    until("the controller leads", || leads(controller).then_some(()));
}

/// The second controller leads within a second.
#[test]
fn stopping_leaders_release_their_lease() {
    let Some(bed) = Bed::make() else { return };
    let mut first = bed.controller();
    until_leads(&first);
    let second = bed.controller();
    bed.order("a");
    bed.until_phase("a", "Open");
    assert!(!leads(&second));
    let before = lease(&bed)["spec"]["leaseTransitions"].as_i64().unwrap();
    first.terminate();
    let terminated = Instant::now();
    until_leads(&second);
    let took = terminated.elapsed();
    assert!(took < Duration::from_secs(1), "{took:?}: the lease was not given back");
    assert_eq!(first.wait().code(), Some(0));
    assert_eq!(lease(&bed)["spec"]["leaseTransitions"], before + 1);
    bed.order("b");
    bed.until_phase("b", "Open");
    bed.until_status("a", "the new leader follows the old orders", |status| {
        status["phase"] == "Open"
    });
}

#[test]
fn killed_leaders_are_replaced_within_lease() {
    let Some(bed) = Bed::make() else { return };
    let mut first = bed.controller();
    until_leads(&first);
    let second = bed.controller();
    bed.order("a");
    bed.until_phase("a", "Open");
    first.kill();
    let killed = Instant::now();
    until_leads(&second);
    let took = killed.elapsed();
    assert!(took < Duration::from_secs(3 + 2), "{took:?}");
    let text = get(second.address("metrics"), "/metrics").unwrap().text;
    let line = text.lines().find(|line| line.starts_with("orderstream_failover_seconds_sum"));
    let silent: f64 = line.unwrap().split_whitespace().last().unwrap().parse().unwrap();
    assert!((1.0..5.0).contains(&silent), "the former leader was silent for {silent} s");
    assert_eq!(bed.propose("a", "p1", "10").unwrap().status, 201);
    bed.until_status("a", "the new leader counts", |status| status["proposals"]["received"] == 1);
}

/// The leader was stopped for longer than its lease lasts.
#[test]
fn leaders_without_lease_change_nothing() {
    let Some(bed) = Bed::make() else { return };
    let first = bed.controller();
    until_leads(&first);
    let second = bed.controller();
    bed.order("a");
    bed.until_phase("a", "Open");
    first.signal("STOP");
    until_leads(&second);
    let epoch = lease(&bed)["spec"]["leaseTransitions"].as_i64().unwrap();
    bed.patch("a", r#"{"cancel":true}"#);
    let ended = bed.until_phase("a", "Cancelled");
    first.signal("CONT");
    until("the sleeper knows that it leads no longer", || (!leads(&first)).then_some(()));
    bed.order("b");
    let other = bed.until_phase("b", "Open");
    assert_eq!(other["status"]["stream"]["epoch"], epoch);
    let after = bed.get("a").unwrap();
    assert_eq!(after["metadata"]["resourceVersion"], ended["metadata"]["resourceVersion"]);
    assert_eq!(lease(&bed)["spec"]["leaseTransitions"], epoch);
}

/// A lease that was deleted continues above the epochs that processors know.
#[test]
fn recreated_leases_exceed_known_epochs() {
    let Some(bed) = Bed::make() else { return };
    let mut first = bed.controller();
    until_leads(&first);
    bed.order("a");
    bed.until_phase("a", "Open");
    // Raise the count as many acquisitions would.
    let patch = r#"{"spec":{"leaseTransitions":40,"holderIdentity":""}}"#;
    bed.kubectl(&["patch", "lease", "orderstream-controller", "--type=merge", "-p", patch]);
    until("the count is taken up", || {
        (lease(&bed)["spec"]["leaseTransitions"].as_i64()? > 40).then_some(())
    });
    bed.patch("a", r#"{"followUps":[{"id":"f1","message":{"message":"When?"}}]}"#);
    until("the processor knows the new epoch", || {
        (bed.order_at_processor("a")?["epoch"].as_i64()? > 40).then_some(())
    });
    first.kill();
    bed.kubectl(&["delete", "lease", "orderstream-controller"]);
    first.restart();
    assert_eq!(bed.propose("a", "p1", "10").unwrap().status, 201);
    bed.until_status("a", "the order is followed again", |status| {
        status["proposals"]["received"] == 1
    });
    assert!(lease(&bed)["spec"]["leaseTransitions"].as_i64().unwrap() > 40);
}
