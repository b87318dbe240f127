//! Two controllers of different names over one namespace, each with a Lease and a processor of its
//! own: each takes its own orders, and nobody else's.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::bed::Bed;
use crate::http::{get, post};
use crate::process::{Role, until};

/// Two beds, of which the second one's controller watches the first one's namespace.
struct TwoControllers {
    bed: Bed,
    other: Bed,
    _first: Role,
    second: Role,
}

impl TwoControllers {
    fn start() -> Option<Self> {
        let (bed, other) = (Bed::make()?, Bed::make()?);
        let first = bed.controller();
        let processor = format!("http://{}", other.processor.address("grpc"));
        let flags = [
            ["--processor", &processor],
            ["--namespace", &bed.namespace],
            ["--controller-name", "team-b"],
            ["--seller-statuses", "false"],
        ];
        let second = other.controller_of(&other.server.kubeconfig(), &flags.concat());
        Some(Self { bed, other, _first: first, second })
    }

    /// Applies an order for the controller of a name.
    fn order(&self, name: &str, controller: &str) {
        let spec = json!({ "expiresIn": "1h", "controllerName": controller });
        self.bed.apply(&orderstream_testbed::resource("OrderRequest", name, &spec).to_string());
    }

    /// Reports at which of the two processors an order is.
    fn places(&self, order: &str) -> [bool; 2] {
        let is_at = |sellers: SocketAddr| {
            let path = format!("/api/v1/orders/{order}?tenant={}", self.bed.namespace);
            get(sellers, &path).unwrap().status == 200
        };
        [is_at(self.bed.sellers()), is_at(self.other.sellers())]
    }
}

#[test]
fn controllers_take_only_their_orders() {
    let Some(two) = TwoControllers::start() else { return };
    let bed = &two.bed;
    two.order("for-nobody", "team-x");
    bed.order("plain");
    two.order("for-default", "orderstream");
    two.order("for-b", "team-b");
    for (name, places) in
        [("plain", [true, false]), ("for-default", [true, false]), ("for-b", [false, true])]
    {
        bed.until_phase(name, "Open");
        assert_eq!(two.places(name), places, "{name}");
    }
    assert_eq!(bed.get("for-nobody").unwrap().get("status"), None);
    assert_eq!(two.places("for-nobody"), [false, false]);

    // Until a controller has taken it, it may be given to another one.
    bed.patch("for-nobody", r#"{"controllerName":"team-b"}"#);
    bed.until_phase("for-nobody", "Open");
    assert_eq!(two.places("for-nobody"), [false, true]);
    let patch = r#"{"spec":{"controllerName":null}}"#;
    let args = ["-n", &bed.namespace, "patch", "oreq", "for-b", "--type=merge", "-p", patch];
    let output = bed.server.kubectl_with(&args, "");
    let stderr = String::from_utf8_lossy(&output.stderr);
    let refusal = "controllerName cannot change once a controller has taken the order";
    assert!(!output.status.success() && stderr.contains(refusal), "{stderr}");
    for name in ["plain", "for-b"] {
        assert_eq!(bed.get(name).unwrap()["status"]["phase"], "Open", "{name} goes on");
    }
}

#[test]
fn buyers_rest_serves_its_controllers_orders() {
    let Some(two) = TwoControllers::start() else { return };
    let bed = &two.bed;
    bed.order("plain");
    bed.until_phase("plain", "Open");
    let requestor = two.second.address("requestor");
    let initiate = |id: &str| {
        let body = json!({ "tenant": bed.namespace, "order_req_id": id });
        post(requestor, "/api/v1/orders/initiate", &body.to_string()).unwrap()
    };
    let started = initiate("asked");
    assert_eq!(started.status, 200, "{started:?}");
    let asked = bed.until_phase("asked", "Open");
    assert_eq!(asked["spec"]["controllerName"], "team-b");
    assert_eq!(two.places("asked"), [false, true]);

    let taken = initiate("plain");
    assert_eq!((taken.status, &taken.json()["reason"]), (409, &json!("ORDER_EXISTS")));
    let path = format!("/api/v1/orders/pause/{}%2Fplain", bed.namespace);
    let unknown = post(requestor, &path, "").unwrap();
    assert_eq!((unknown.status, &unknown.json()["reason"]), (404, &json!("ORDER_NOT_FOUND")));
    assert_eq!(bed.get("plain").unwrap()["spec"].get("suspend"), Some(&Value::Bool(false)));
}

/// A controller that got another name finds the orders without a resource, and leaves those that it
/// opened under its former name.
#[test]
fn renamed_controllers_cancel_no_open_orders() {
    let Some(bed) = Bed::make() else { return };
    let mut controller = bed.controller();
    for name in ["kept", "deleted"] {
        bed.order(name);
        bed.until_phase(name, "Open");
    }
    controller.kill();
    bed.kubectl(&["delete", "oreq", "deleted"]);
    let processor = format!("http://{}", bed.processor.address("grpc"));
    let flags = [
        ["--processor", &processor],
        ["--namespace", &bed.namespace],
        ["--controller-name", "team-b"],
    ];
    let _renamed = bed.controller_of(&bed.server.kubeconfig(), &flags.concat());
    let phase = |name: &str| {
        let path = format!("/api/v1/orders/{name}?tenant={}", bed.namespace);
        get(bed.sellers(), &path).unwrap().json()["phase"].clone()
    };
    until("the deleted order is cancelled", || (phase("deleted") == "Cancelled").then_some(()));
    assert_eq!(phase("kept"), "Open");
}
