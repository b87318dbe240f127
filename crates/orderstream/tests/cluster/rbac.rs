//! The controller's rights against its requests: a user with just these rights runs a scenario that
//! needs all of them, and the API server's audit log is compared.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Instant;

use orderstream_testbed::{AuditedRequest, Proxy, ProxyFault};
use serde_json::{Value, json};

use super::bed::Bed;
use crate::http::post;
use crate::process::{Role, WAIT_TIMEOUT, pause, root, until};

/// A right that is requested or granted: verb, group, resource, subresource.
type Right = [String; 4];

/// The names of the controller's roles.
const CONTROLLER: [&str; 2] = ["orderstream-controller", "orderstream-controller-own"];

/// Returns the rights of these roles in `deploy/rbac`.
fn granted(roles: &[&str]) -> BTreeSet<Right> {
    let mut rights = BTreeSet::new();
    for name in roles {
        let path = root().join(format!("deploy/rbac/{name}.yaml"));
        let role: Value = serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        for rule in role["rules"].as_array().unwrap() {
            let strings = |field: &str| rule[field].as_array().unwrap().iter();
            for (group, resource) in strings("apiGroups").zip(strings("resources")) {
                let resource = resource.as_str().unwrap();
                let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
                rights.extend(strings("verbs").map(|verb| {
                    [verb.as_str(), group.as_str(), Some(resource), Some(subresource)]
                        .map(|word| word.unwrap().to_owned())
                }));
            }
        }
    }
    rights
}

/// Grants a user the rights to orders by a binding of this kind, and the others in this namespace.
pub(crate) fn grant(bed: &Bed, user: &str, binding: &str) {
    let roles = root().join("deploy/rbac").display().to_string();
    bed.kubectl(&["apply", "-f", &roles]);
    let user = format!("--user={user}");
    bed.kubectl(&["create", binding, "orders", "--clusterrole=orderstream-controller", &user]);
    bed.kubectl(&["create", "rolebinding", "own", "--role=orderstream-controller-own", &user]);
}

/// Makes the bed's processor the one endpoint of a Service.
fn serve(bed: &Bed) {
    let grpc = bed.processor.address("grpc");
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": { "name": "processor-1", "labels": { "kubernetes.io/service-name": "processor" } },
        // With an IP address type the server would refuse this machine's address.
        "addressType": "FQDN",
        "endpoints": [{ "addresses": [grpc.ip().to_string()], "conditions": { "ready": true } }],
        "ports": [{ "name": "grpc", "port": grpc.port() }],
    });
    bed.apply(&slice.to_string());
}

/// Runs a scenario that needs every right.
fn exercise_rights(bed: &Bed, controller: &Role) {
    bed.apply(
        "apiVersion: orderstream.dev/v1alpha1\nkind: Seller\nmetadata: {name: a}\nspec: {}\n",
    );
    bed.apply(
        "apiVersion: orderstream.dev/v1alpha1\nkind: OrderRequest\nmetadata: {name: applied}\n\
         spec: {ttlAfterFinished: 1s}\n",
    );
    bed.until_phase("applied", "Open");
    // Two Events for the same reason are one, with a count.
    for (suspend, phase) in [(true, "Paused"), (false, "Open"), (true, "Paused")] {
        bed.patch("applied", &format!(r#"{{"suspend":{suspend}}}"#));
        bed.until_phase("applied", phase);
    }
    bed.patch("applied", r#"{"cancel":true}"#);
    until("the ended resource is removed", || bed.get("applied").is_none().then_some(()));

    let requestor = controller.address("requestor");
    let post_command = |path: &str, body: &str| {
        let response = post(requestor, &format!("/api/v1/orders/{path}"), body).unwrap();
        assert_eq!(response.status, 200, "{response:?}");
    };
    let order_body = json!({ "tenant": bed.namespace, "order_req_id": "asked" });
    post_command("initiate", &order_body.to_string());
    bed.until_phase("asked", "Open");
    post_command(&format!("pause/{}%2Fasked", bed.namespace), "");
    bed.until_phase("asked", "Paused");
    post_command(&format!("finalize/{}%2Fasked", bed.namespace), r#"{"reason": "late"}"#);
    bed.until_phase("asked", "Finalised");
}

/// Compares the rights with a user's requests.
fn judge(bed: &Bed, user: &str, roles: &[&str]) {
    let granted = granted(roles);
    let began = Instant::now();
    loop {
        let requests: Vec<_> =
            bed.server.requests().into_iter().filter(|it| it.user == user).collect();
        let refused: Vec<_> = requests.iter().filter(|request| request.code == 403).collect();
        assert!(refused.is_empty(), "missing: {refused:?}");
        let right = |it: &AuditedRequest| {
            [&it.verb, &it.group, &it.resource, &it.subresource].map(String::clone)
        };
        let used: BTreeSet<_> = requests.iter().map(right).collect();
        if used == granted {
            return;
        }
        // Events and the lease have their own time.
        let unused: Vec<_> = granted.difference(&used).collect();
        let unneeded: Vec<_> = used.difference(&granted).collect();
        assert!(
            began.elapsed() < WAIT_TIMEOUT,
            "unused: {unused:?}, asked without need: {unneeded:?}"
        );
        pause(std::time::Duration::from_millis(50));
    }
}

/// Returns a proxy to the API server that streams no lists, so that the right to list is needed.
fn in_pages(bed: &Bed, user: &str) -> (Proxy, PathBuf) {
    let (proxy, kubeconfig) = bed.server.proxy_of(user, &bed.namespace);
    proxy.set(ProxyFault::ListsInPages);
    (proxy, kubeconfig)
}

/// Every right is used, and none is missing.
#[test]
fn cluster_wide_rights_are_exact() {
    let Some(bed) = Bed::make_alone("everywhere".to_owned()) else { return };
    grant(&bed, "operator", "clusterrolebinding");
    serve(&bed);
    let (_proxy, kubeconfig) = in_pages(&bed, "operator");
    let controller = bed.controller_of(&kubeconfig, &["--processor-service", "processor"]);
    exercise_rights(&bed, &controller);
    judge(&bed, "operator", &CONTROLLER);
}

/// Every right is used, and none is missing.
#[test]
fn namespaced_rights_are_exact() {
    let Some(bed) = Bed::make() else { return };
    grant(&bed, "operator-of-one", "rolebinding");
    serve(&bed);
    let (_proxy, kubeconfig) = in_pages(&bed, "operator-of-one");
    let flags = ["--processor-service", "processor", "--namespace", &bed.namespace];
    let controller = bed.controller_of(&kubeconfig, &flags);
    exercise_rights(&bed, &controller);
    judge(&bed, "operator-of-one", &CONTROLLER);
}

#[test]
fn processors_only_read_sellers() {
    let Some(bed) = Bed::make() else { return };
    let roles = root().join("deploy/rbac").display().to_string();
    bed.kubectl(&["apply", "-f", &roles]);
    let (all, one) = ("processor", "processor-of-one");
    let role = "--clusterrole=orderstream-processor";
    bed.kubectl(&["create", "clusterrolebinding", all, role, &format!("--user={all}")]);
    bed.kubectl(&["create", "rolebinding", one, role, &format!("--user={one}")]);
    for (user, more) in [(all, vec![]), (one, vec!["--sellers-namespace", &bed.namespace])] {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data").display().to_string();
        let kubeconfig = bed.server.kubeconfig_of(user, &bed.namespace).display().to_string();
        let mut args = vec!["processor", "--data-dir", &data, "--sellers-from-cluster"];
        args.extend(["--kubeconfig", &kubeconfig]);
        for flag in ["--grpc-addr", "--rest-addr", "--metrics-addr"] {
            args.extend([flag, "127.0.0.1:0"]);
        }
        args.extend(more);
        let processor = Role::start(&args, dir.path());
        until("it is ready", || {
            let response = crate::http::get(processor.address("metrics"), "/readyz").ok()?;
            (response.status == 200).then_some(())
        });
        judge(&bed, user, &["orderstream-processor"]);
    }
}
