//! Another writer changes a status: the controller restores it, without countering each write, and
//! reports a writer that does not stop.

use serde_json::{Value, json};

use super::bed::{Bed, condition};
use super::rbac::grant;
use crate::process::Role;

/// The user of these tests' controller, by which its writes are counted.
const USER: &str = "somebody";

/// Starts a controller whose writes differ from kubectl's by their user.
fn controller(bed: &Bed) -> Role {
    grant(bed, USER, "rolebinding");
    bed.controller_with(&bed.server.kubeconfig_of(USER, &bed.namespace), &[])
}

/// Returns the number of status writes of the controller to a resource.
fn writes(bed: &Bed, name: &str) -> usize {
    let requests = bed.server.requests().into_iter();
    requests
        .filter(|it| (it.user.as_str(), it.verb.as_str()) == (USER, "patch"))
        .filter(|it| it.subresource == "status" && it.namespace == bed.namespace)
        .filter(|it| it.name == name)
        .count()
}

/// Writes a status as another writer.
fn write_foreign_status(bed: &Bed, name: &str, status: &Value) {
    let patch = json!({ "status": status }).to_string();
    bed.kubectl(&["patch", "oreq", name, "--subresource=status", "--type=merge", "-p", &patch]);
}

/// Makes an order with a proposal; returns its status once nothing is left to write.
fn settled(bed: &Bed, name: &str) -> Value {
    bed.order(name);
    bed.until_phase(name, "Open");
    assert_eq!(bed.propose(name, "p1", "10").unwrap().status, 201);
    let order = bed.order_at_processor(name).unwrap();
    let resource = bed.until_status(name, "all of the order is shown", |status| {
        status["proposals"]["received"] == 1 && status["tracker"]["lastSeq"] == order["last_seq"]
    });
    resource["status"].clone()
}

/// Opens and ends another order, so that all earlier work of the controller is done.
fn run_other_order(bed: &Bed, name: &str) {
    bed.order(name);
    bed.until_phase(name, "Open");
    bed.patch(name, r#"{"cancel":true}"#);
    bed.until_phase(name, "Cancelled");
}

/// One write restores changed and removed fields of a status.
#[test]
fn foreign_changes_cost_one_write() {
    let Some(bed) = Bed::make() else { return };
    let _controller = controller(&bed);
    let before = settled(&bed, "a");
    let count = writes(&bed, "a");
    let wrong = json!({
        "phase": "Closed",
        "tracker": { "lastSeq": 999 },
        "proposals": null,
        "conditions": null,
        "stream": { "processor": "http://127.0.0.1:1" },
    });
    write_foreign_status(&bed, "a", &wrong);
    bed.until_status("a", "the status is as it was", |status| *status == before);
    run_other_order(&bed, "b");
    assert_eq!(bed.get("a").unwrap()["status"], before);
    assert_eq!(writes(&bed, "a"), count + 1);
    assert_eq!(bed.order_at_processor("a").unwrap()["phase"], "Open", "the order goes on");
    assert_eq!(bed.propose("a", "p2", "9").unwrap().status, 201);
    bed.until_status("a", "it is followed", |status| status["proposals"]["received"] == 2);
}

/// Other additions are removed.
#[test]
fn foreign_conditions_stay_in_statuses() {
    let Some(bed) = Bed::make() else { return };
    let _controller = controller(&bed);
    let before = settled(&bed, "a");
    let count = writes(&bed, "a");
    write_foreign_status(&bed, "a", &json!({ "completionTime": "2026-01-01T00:00:00Z" }));
    bed.until_status("a", "the status is as it was", |status| *status == before);
    // One applies our fields, one removes the others.
    assert_eq!(writes(&bed, "a"), count + 2);

    let mut conditions = before["conditions"].clone();
    let approved = json!({ "type": "Approved", "status": "True", "reason": "Fine", "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z" });
    conditions.as_array_mut().unwrap().insert(0, approved);
    write_foreign_status(&bed, "a", &json!({ "conditions": conditions }));
    run_other_order(&bed, "b");
    assert_eq!(condition(&bed.get("a").unwrap()["status"], "Approved"), "True");
    assert_eq!(writes(&bed, "a"), count + 2, "it is nobody's business");
    bed.patch("a", r#"{"suspend":true}"#);
    let paused = bed.until_phase("a", "Paused");
    assert_eq!(condition(&paused["status"], "Approved"), "True");
}

#[test]
fn ended_statuses_are_restored_too() {
    let Some(bed) = Bed::make() else { return };
    let _controller = controller(&bed);
    bed.order("a");
    bed.until_phase("a", "Open");
    bed.patch("a", r#"{"cancel":true}"#);
    let before = bed.until_phase("a", "Cancelled")["status"].clone();
    run_other_order(&bed, "b");
    let count = writes(&bed, "a");
    write_foreign_status(&bed, "a", &json!({ "phase": "Open", "completionTime": null }));
    bed.until_status("a", "the end is shown again", |status| *status == before);
    run_other_order(&bed, "c");
    assert_eq!(writes(&bed, "a"), count + 1);
}

/// Their writes are not corrected one by one.
#[test]
fn persistent_foreign_writers_are_reported() {
    const FOREIGN: usize = 24;
    let Some(bed) = Bed::make() else { return };
    let _controller = controller(&bed);
    let before = settled(&bed, "a");
    let count = writes(&bed, "a");
    for number in 0..FOREIGN {
        // Each write differs from the one before.
        let phase = if number % 2 == 0 { "Paused" } else { "Deciding" };
        write_foreign_status(&bed, "a", &json!({ "phase": phase }));
    }
    let reported =
        bed.until_status("a", "it is told", |status| condition(status, "Stalled") == "True");
    assert!(reported["status"].to_string().contains("STATUS_CONTESTED"), "{reported}");
    let ours = writes(&bed, "a") - count;
    // Three at once, one that reports it, and one for each twenty seconds that this may have taken.
    assert!((4..=8).contains(&ours), "{ours} writes against {FOREIGN}");
    let args = ["get", "events", "-o", "jsonpath={.items[*].reason}"];
    assert_eq!(bed.kubectl(&args).matches("StatusContested").count(), 1);
    assert_eq!(bed.propose("a", "p2", "9").unwrap().status, 201, "the order goes on");

    let after = bed.until_status("a", "peace is shown", |status| {
        condition(status, "Stalled") == "False" && status["phase"] == "Open"
    });
    assert_eq!(after["status"]["proposals"]["received"], 2);
    assert_eq!(after["status"]["startTime"], before["startTime"]);
}

/// Neither an end nor a processor that another writer named counts.
#[test]
fn new_leaders_ignore_foreign_statuses() {
    let Some(bed) = Bed::make() else { return };
    let mut controller = controller(&bed);
    let before = settled(&bed, "live");
    for name in ["ended", "untouched"] {
        run_other_order(&bed, name);
    }
    let untouched = bed.get("untouched").unwrap();
    controller.kill();
    let wrong = json!({
        "phase": "Closed",
        "completionTime": "2026-01-01T00:00:00Z",
        "tracker": { "lastSeq": 999 },
        "stream": { "processor": "http://127.0.0.1:1" },
    });
    write_foreign_status(&bed, "live", &wrong);
    write_foreign_status(&bed, "ended", &json!({ "phase": "Finalised" }));
    controller.restart();
    // The fields that others own beside ours are removed by a second write, right after.
    let status = bed.until_status("live", "nothing foreign is left", |status| {
        status["phase"] == "Open" && status.get("completionTime").is_none()
    })["status"]
        .clone();
    assert_eq!(status["stream"]["processor"], before["stream"]["processor"]);
    assert_eq!(status["tracker"]["lastSeq"], before["tracker"]["lastSeq"]);
    assert_eq!(status["proposals"], before["proposals"]);
    assert_eq!(bed.propose("live", "p2", "9").unwrap().status, 201, "the order goes on");
    bed.until_status("live", "it is followed", |status| status["proposals"]["received"] == 2);
    bed.until_phase("ended", "Cancelled");

    // The next leader trusts a status that is ours again, without asking processors and without a
    // write.
    run_other_order(&bed, "between");
    let count = writes(&bed, "ended");
    controller.kill();
    controller.restart();
    run_other_order(&bed, "after");
    assert_eq!(writes(&bed, "ended"), count);
    assert_eq!(bed.get("untouched").unwrap(), untouched, "what is ours is left alone");
}
