//! A resource that the server's definition accepts and the controller's types do not, as when the
//! definition is of a newer version: it is reported, and the others are served.

use serde_json::{Value, json};

use super::bed::Bed;
use crate::process::until;

/// Makes the server's definition newer than the controller, with one more channel and one more type
/// of text.
fn upgrade(bed: &Bed) {
    let spec = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties";
    let add = |path: &str, value: &str| json!({ "op": "add", "path": format!("{spec}/{path}/enum/-"), "value": value });
    let patch = json!([
        add("notificationType", "Pigeon"),
        add("followUps/items/properties/message/properties/type", "rtf"),
    ]);
    let definition = "orderrequests.orderstream.dev";
    bed.kubectl(&["patch", "crd", definition, "--type=json", "-p", &patch.to_string()]);
    let resource = order("probe", &json!({ "notificationType": "Pigeon" }));
    until("the newer definition is served", || {
        let args = ["-n", &bed.namespace, "create", "--dry-run=server", "-f", "-"];
        bed.server.kubectl_with(&args, &resource).status.success().then_some(())
    });
}

fn order(name: &str, spec: &Value) -> String {
    orderstream_testbed::resource("OrderRequest", name, spec).to_string()
}

/// Returns the number of Events about a resource that report it as unreadable.
fn unreadable_events(bed: &Bed, name: &str) -> usize {
    let selector = format!("reason=Unreadable,regarding.name={name}");
    let args = ["get", "events.events.k8s.io", "--field-selector", &selector, "-o", "name"];
    bed.kubectl(&args).lines().count()
}

/// One Event reports such a resource.
#[test]
fn unreadable_resources_stop_no_others() {
    let Some(bed) = Bed::make_alone("newer".to_owned()) else { return };
    upgrade(&bed);
    let mut controller = bed.controller();
    bed.order("before");
    bed.until_phase("before", "Open");

    bed.apply(&order("odd", &json!({ "notificationType": "Pigeon" })));
    until("it is told", || (unreadable_events(&bed, "odd") == 1).then_some(()));
    bed.patch("odd", r#"{"suspend":true}"#);
    bed.order("after");
    bed.until_phase("after", "Open");
    assert_eq!(bed.propose("before", "p1", "10").unwrap().status, 201);
    bed.until_status("before", "others are followed", |status| {
        status["proposals"]["received"] == 1
    });
    assert_eq!(unreadable_events(&bed, "odd"), 1, "the same again is the same Event");
    assert_eq!(bed.get("odd").unwrap().get("status"), None);

    // In a list it harms no more than in a watch.
    controller.kill();
    controller.restart();
    bed.order("later");
    bed.until_phase("later", "Open");
    assert_eq!(bed.propose("before", "p2", "9").unwrap().status, 201);
    bed.until_status("before", "others are followed", |status| {
        status["proposals"]["received"] == 2
    });
}

#[test]
fn orders_outlive_unreadable_edits() {
    let Some(bed) = Bed::make_alone("newer".to_owned()) else { return };
    upgrade(&bed);
    let mut controller = bed.controller();
    bed.order("a");
    bed.until_phase("a", "Open");
    bed.patch("a", r#"{"followUps":[{"id":"f1","message":{"type":"rtf","message":"When"}}]}"#);
    until("it is told", || (unreadable_events(&bed, "a") == 1).then_some(()));
    assert_eq!(bed.propose("a", "p1", "10").unwrap().status, 201);
    bed.until_status("a", "it is followed", |status| status["proposals"]["received"] == 1);
    let writes = || {
        let requests = bed.server.requests().into_iter();
        requests.filter(|it| it.subresource == "status" && it.name == "a").count()
    };
    let before = writes();
    bed.order("b");
    bed.until_phase("b", "Open");

    // The sweep that finds missed deletions spares resources that are only unreadable.
    controller.kill();
    bed.kubectl(&["delete", "oreq", "b"]);
    controller.restart();
    until("the orphan is cancelled", || {
        (bed.order_at_processor("b")?["phase"] == "Cancelled").then_some(())
    });
    assert_eq!(bed.order_at_processor("a").unwrap()["phase"], "Open");
    assert_eq!(writes(), before, "nothing is written over and over");
    bed.kubectl(&["delete", "oreq", "a"]);
    until("its order goes with it", || {
        (bed.order_at_processor("a")?["phase"] == "Cancelled").then_some(())
    });
}
