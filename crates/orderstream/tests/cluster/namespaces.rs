//! Controllers and processors of several namespaces, and of all but some.

use serde_json::Value;

use super::Bed;
use crate::http::{get, post};
use crate::process::until;

const CHAIRS: &str = "apiVersion: orderstream.dev/v1alpha1\nkind: Seller\n\
                      metadata: {name: chairs}\nspec: {}\n";

/// Applies a manifest in a namespace.
fn apply(bed: &Bed, namespace: &str, manifest: &str) {
    let output = bed.server.kubectl_with(&["-n", namespace, "apply", "-f", "-"], manifest);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Applies an order request that expires after an hour.
fn order(bed: &Bed, namespace: &str, name: &str) {
    let manifest = format!(
        "apiVersion: orderstream.dev/v1alpha1\nkind: OrderRequest\nmetadata: {{name: {name}}}\n\
         spec: {{expiresIn: 1h}}\n"
    );
    apply(bed, namespace, &manifest);
}

/// Returns an order request's status; null while there is none.
fn status(bed: &Bed, namespace: &str, name: &str) -> Value {
    let text = bed.server.kubectl(&["-n", namespace, "get", "oreq", name, "-o", "json"]);
    let resource: Value = serde_json::from_str(&text).unwrap();
    resource["status"].clone()
}

fn until_open(bed: &Bed, namespace: &str, name: &str) -> Value {
    until(&format!("{namespace}/{name} is open"), || {
        let status = status(bed, namespace, name);
        (status["phase"] == "Open").then_some(status)
    })
}

/// Returns an order's phase at the processor; null where it has no such order.
fn phase_at_processor(bed: &Bed, namespace: &str, name: &str) -> Value {
    let path = format!("/api/v1/orders/{name}?tenant={namespace}");
    let response = get(bed.sellers(), &path).unwrap();
    if response.status == 200 { response.json()["phase"].clone() } else { Value::Null }
}

fn delete(bed: &Bed, namespace: &str, name: &str) {
    bed.server.kubectl(&["-n", namespace, "delete", "oreq", name, "--timeout=10s"]);
}

fn until_cancelled(bed: &Bed, namespace: &str, name: &str) {
    until(&format!("{namespace}/{name} is cancelled"), || {
        (phase_at_processor(bed, namespace, name) == "Cancelled").then_some(())
    });
}

/// A namespace that is taken out of the scope keeps its open orders, though the sweep finds those of
/// the others.
#[test]
fn controllers_serve_two_namespaces_of_three() {
    let (second, third) = ("two-of-three-b", "two-of-three-c");
    let more = ["--sellers-namespace", second];
    let Some(server) = super::bed::shared() else { return };
    let Some(bed) = Bed::make_with_sellers_and(&server.kubeconfig(), &more) else { return };
    let first = bed.namespace.as_str();
    for namespace in [second, third] {
        server.kubectl(&["create", "namespace", namespace]);
    }
    for namespace in [first, second, third] {
        apply(&bed, namespace, CHAIRS);
    }
    let processor = format!("http://{}", bed.processor.address("grpc"));
    let controller_of = |namespaces: &str| {
        let flags = ["--processor", &processor, "--namespace", namespaces];
        bed.controller_of(&server.kubeconfig(), &flags)
    };
    let mut controller = controller_of(&format!("{first},{second}"));
    order(&bed, third, "other");
    for namespace in [first, second] {
        for name in ["a", "b"] {
            order(&bed, namespace, name);
        }
        for name in ["a", "b"] {
            let status = until_open(&bed, namespace, name);
            assert_eq!(status["sellers"]["selected"], 1, "{namespace}/{name}: {status}");
        }
    }
    assert_eq!(status(&bed, third, "other"), Value::Null);
    assert_eq!(phase_at_processor(&bed, third, "other"), Value::Null);
    delete(&bed, second, "a");
    until_cancelled(&bed, second, "a");

    controller.kill();
    delete(&bed, first, "a");
    delete(&bed, second, "b");
    let _controller = controller_of(first);
    until_cancelled(&bed, first, "a");
    assert_eq!(phase_at_processor(&bed, first, "b"), "Open");
    assert_eq!(phase_at_processor(&bed, second, "b"), "Open", "it is not watched any more");
}

/// The API server is one of its own: the controller would take the orders of other tests.
#[test]
fn controllers_serve_all_namespaces_but_one() {
    let Some(bed) = Bed::make_alone("served".to_owned()) else { return };
    let (first, second, third) = ("served", "served-too", "left-out");
    for namespace in [second, third] {
        bed.server.kubectl(&["create", "namespace", namespace]);
    }
    let processor = format!("http://{}", bed.processor.address("grpc"));
    let flags = ["--processor", &processor, "--except-namespace", third];
    let controller = bed.controller_of(&bed.server.kubeconfig(), &flags);
    for namespace in [third, first, second] {
        order(&bed, namespace, "a");
    }
    for namespace in [first, second] {
        until_open(&bed, namespace, "a");
    }
    assert_eq!(status(&bed, third, "a"), Value::Null);
    assert_eq!(phase_at_processor(&bed, third, "a"), Value::Null);

    let body = format!(r#"{{"tenant":"{third}","order_req_id":"asked"}}"#);
    let requestor = controller.address("requestor");
    let refused = post(requestor, "/api/v1/orders/initiate", &body).unwrap();
    assert_eq!(refused.json()["field"], "tenant", "{refused:?}");
}
