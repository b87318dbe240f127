//! Somebody else writes a status: ours comes back, without a war of writes, and people are told of
//! a writer who does not stop.

use serde_json::{Value, json};

use super::bed::{Bed, condition};
use super::rbac::grant;
use crate::process::Role;

/// The controller of these tests speaks as this user, so that its writes can be counted.
const USER: &str = "somebody";

/// A controller whose writes can be told from those of kubectl.
fn controller(bed: &Bed) -> Role {
    grant(bed, USER, "rolebinding");
    bed.controller_with(&bed.server.kubeconfig_of(USER, &bed.namespace), &[])
}

/// How often the controller wrote a resource's status.
fn writes(bed: &Bed, name: &str) -> usize {
    let requests = bed.server.requests().into_iter();
    requests
        .filter(|it| (it.user.as_str(), it.verb.as_str()) == (USER, "patch"))
        .filter(|it| it.subresource == "status" && it.namespace == bed.namespace)
        .filter(|it| it.name == name)
        .count()
}

/// Writes a status as somebody else.
fn meddle(bed: &Bed, name: &str, status: &Value) {
    let patch = json!({ "status": status }).to_string();
    bed.kubectl(&["patch", "oreq", name, "--subresource=status", "--type=merge", "-p", &patch]);
}

/// An order with a proposal, and its status once nothing is left to be written.
fn settled(bed: &Bed, name: &str) -> Value {
    bed.order(name);
    bed.until_phase(name, "Streaming");
    assert_eq!(bed.propose(name, "p1", "10").unwrap().status, 201);
    let order = bed.order_at_processor(name).unwrap();
    let shown = bed.until_status(name, "all of the order is shown", |status| {
        status["proposals"]["received"] == 1 && status["tracker"]["lastSeq"] == order["last_seq"]
    });
    shown["status"].clone()
}

/// Lets another order come to its end, so that what the controller had to do before is done.
fn let_pass(bed: &Bed, name: &str) {
    bed.order(name);
    bed.until_phase(name, "Streaming");
    bed.patch(name, r#"{"cancel":true}"#);
    bed.until_phase(name, "Cancelled");
}

#[test]
fn what_somebody_else_changes_and_removes_is_put_right_by_one_write() {
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
    meddle(&bed, "a", &wrong);
    bed.until_status("a", "the status is as it was", |status| *status == before);
    let_pass(&bed, "b");
    assert_eq!(bed.get("a").unwrap()["status"], before);
    assert_eq!(writes(&bed, "a"), count + 1);
    assert_eq!(bed.order_at_processor("a").unwrap()["phase"], "Open", "the order goes on");
    assert_eq!(bed.propose("a", "p2", "9").unwrap().status, 201);
    bed.until_status("a", "it is followed", |status| status["proposals"]["received"] == 2);
}

#[test]
fn what_somebody_else_adds_is_taken_out_but_for_conditions_of_their_own() {
    let Some(bed) = Bed::make() else { return };
    let _controller = controller(&bed);
    let before = settled(&bed, "a");
    let count = writes(&bed, "a");
    meddle(&bed, "a", &json!({ "completionTime": "2026-01-01T00:00:00Z" }));
    bed.until_status("a", "the status is as it was", |status| *status == before);
    // One applies what is ours, one takes out what is not.
    assert_eq!(writes(&bed, "a"), count + 2);

    let mut conditions = before["conditions"].clone();
    let approved = json!({ "type": "Approved", "status": "True", "reason": "Fine", "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z" });
    conditions.as_array_mut().unwrap().insert(0, approved);
    meddle(&bed, "a", &json!({ "conditions": conditions }));
    let_pass(&bed, "b");
    assert_eq!(condition(&bed.get("a").unwrap()["status"], "Approved"), "True");
    assert_eq!(writes(&bed, "a"), count + 2, "it is nobody's business");
    bed.patch("a", r#"{"suspend":true}"#);
    let paused = bed.until_phase("a", "Paused");
    assert_eq!(condition(&paused["status"], "Approved"), "True");
}

#[test]
fn the_end_of_an_order_comes_back_too() {
    let Some(bed) = Bed::make() else { return };
    let _controller = controller(&bed);
    bed.order("a");
    bed.until_phase("a", "Streaming");
    bed.patch("a", r#"{"cancel":true}"#);
    let before = bed.until_phase("a", "Cancelled")["status"].clone();
    let_pass(&bed, "b");
    let count = writes(&bed, "a");
    meddle(&bed, "a", &json!({ "phase": "Streaming", "completionTime": null }));
    bed.until_status("a", "the end is shown again", |status| *status == before);
    let_pass(&bed, "c");
    assert_eq!(writes(&bed, "a"), count + 1);
}

#[test]
fn a_writer_who_does_not_stop_is_told_of_and_not_answered_write_for_write() {
    const FOREIGN: usize = 24;
    let Some(bed) = Bed::make() else { return };
    let _controller = controller(&bed);
    let before = settled(&bed, "a");
    let count = writes(&bed, "a");
    for number in 0..FOREIGN {
        meddle(&bed, "a", &json!({ "phase": format!("Wrong{number}") }));
    }
    let told = bed.until_status("a", "it is told", |status| condition(status, "Stalled") == "True");
    assert!(told["status"].to_string().contains("STATUS_CONTESTED"), "{told}");
    let ours = writes(&bed, "a") - count;
    // Three at once, one that tells, and one for each twenty seconds that this may have taken.
    assert!((4..=8).contains(&ours), "{ours} writes against {FOREIGN}");
    let args = ["get", "events", "-o", "jsonpath={.items[*].reason}"];
    assert_eq!(bed.kubectl(&args).matches("StatusContested").count(), 1);
    assert_eq!(bed.propose("a", "p2", "9").unwrap().status, 201, "the order goes on");

    let after = bed.until_status("a", "peace is shown", |status| {
        condition(status, "Stalled") == "False" && status["phase"] == "Streaming"
    });
    assert_eq!(after["status"]["proposals"]["received"], 2);
    assert_eq!(after["status"]["startTime"], before["startTime"]);
}

#[test]
fn a_new_leader_believes_no_end_and_no_place_that_somebody_else_wrote() {
    let Some(bed) = Bed::make() else { return };
    let mut controller = controller(&bed);
    let before = settled(&bed, "live");
    for name in ["ended", "untouched"] {
        let_pass(&bed, name);
    }
    let untouched = bed.get("untouched").unwrap();
    controller.kill();
    let wrong = json!({
        "phase": "Closed",
        "completionTime": "2026-01-01T00:00:00Z",
        "tracker": { "lastSeq": 999 },
        "stream": { "processor": "http://127.0.0.1:1" },
    });
    meddle(&bed, "live", &wrong);
    meddle(&bed, "ended", &json!({ "phase": "Finalised" }));
    controller.restart();
    // What others own beside ours goes with a second write, right after.
    let shown = bed.until_status("live", "nothing foreign is left", |status| {
        status["phase"] == "Streaming" && status.get("completionTime").is_none()
    })["status"]
        .clone();
    assert_eq!(shown["stream"]["processor"], before["stream"]["processor"]);
    assert_eq!(shown["tracker"]["lastSeq"], before["tracker"]["lastSeq"]);
    assert_eq!(shown["proposals"], before["proposals"]);
    assert_eq!(bed.propose("live", "p2", "9").unwrap().status, 201, "the order goes on");
    bed.until_status("live", "it is followed", |status| status["proposals"]["received"] == 2);
    bed.until_phase("ended", "Cancelled");

    // What is ours again is believed by the next leader, without asking and without a write.
    let_pass(&bed, "between");
    let count = writes(&bed, "ended");
    controller.kill();
    controller.restart();
    let_pass(&bed, "after");
    assert_eq!(writes(&bed, "ended"), count);
    assert_eq!(bed.get("untouched").unwrap(), untouched, "what is ours is left alone");
}
