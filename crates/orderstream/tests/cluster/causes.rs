//! The causes that `orderstream check` finds on a real API server, and that a controller writes to its
//! log. There are no other controllers here: their conditions and events are written by the tests.

use orderstream_testbed::ApiServer;
use serde_json::{Value, json};

use super::bed::shared;
use crate::process::{Role, root, run, until};

/// The name of the Deployment, and of the Lease in `deploy/rbac`.
const CONTROLLER: &str = "orderstream-controller";

/// A namespace of the shared API server.
#[derive(Debug)]
struct Installation {
    server: &'static ApiServer,
    namespace: &'static str,
}

impl Installation {
    fn make(namespace: &'static str) -> Option<Self> {
        let server = shared()?;
        server.kubectl(&["create", "namespace", namespace]);
        Some(Self { server, namespace })
    }

    fn kubectl(&self, args: &[&str]) -> String {
        self.server.kubectl(&[&["-n", self.namespace][..], args].concat())
    }

    fn apply(&self, object: &Value) {
        let args = ["-n", self.namespace, "apply", "-f", "-"];
        let output = self.server.kubectl_with(&args, &object.to_string());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Applies a Deployment of the controller that watches this namespace.
    fn apply_controller(&self) {
        self.apply(&json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": { "name": CONTROLLER, "labels": labels("controller") },
            "spec": {
                "replicas": 1,
                "selector": { "matchLabels": { "app": "controller" } },
                "template": self.template("controller"),
            },
        }));
    }

    fn template(&self, component: &str) -> Value {
        json!({
            "metadata": { "labels": { "app": component } },
            "spec": {
                "serviceAccountName": "account",
                "containers": [{
                    "name": component, "image": "none",
                    "args": [component, format!("--namespace={}", self.namespace)],
                }],
            },
        })
    }

    fn check(&self, group: &str, id: &str) -> Value {
        check_of(self.server, self.namespace, group, id)
    }
}

/// Returns a check of a group on an API server.
fn check_of(server: &ApiServer, namespace: &str, group: &str, id: &str) -> Value {
    let kubeconfig = server.kubeconfig().display().to_string();
    let args = ["check", "--kubeconfig", &kubeconfig, "-n", namespace, "--only", group];
    let output = run(&[&args[..], &["-o", "json"]].concat());
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut checks = report["checks"].as_array().unwrap().iter();
    let found = checks.find(|check| check["id"] == id);
    found.unwrap_or_else(|| panic!("no {id} in {report}")).clone()
}

fn labels(component: &str) -> Value {
    json!({
        "app.kubernetes.io/part-of": "orderstream",
        "app.kubernetes.io/component": component,
        "app.kubernetes.io/instance": "quotes",
    })
}

fn check_parts(check: &Value, mark: &str, parts: &[&str]) {
    let text = check.to_string();
    assert!(check["mark"] == mark && parts.iter().all(|part| text.contains(part)), "{text}");
}

#[test]
fn missing_rights_of_the_controller_are_found() {
    let Some(installation) = Installation::make("causes-rights") else { return };
    installation.apply_controller();
    let status = "the controller may not write the status of order requests: 403";
    let refused = installation.check("controller", "controller-rights");
    check_parts(&refused, "failed", &["patch orderrequests/status", "update leases", status]);

    let roles = root().join("deploy/rbac").display().to_string();
    installation.kubectl(&["apply", "-f", &roles]);
    let account = "--serviceaccount=causes-rights:account";
    let (orders, own) =
        ("--clusterrole=orderstream-controller", "--role=orderstream-controller-own");
    installation.kubectl(&["create", "rolebinding", "orders", orders, account]);
    installation.kubectl(&["create", "rolebinding", "own", own, account]);
    until("the rights are granted", || {
        let granted = installation.check("controller", "controller-rights");
        (granted["mark"] == "ok").then_some(())
    });

    installation.kubectl(&["delete", "rolebinding", "orders"]);
    let refused = until("the rights are revoked", || {
        let refused = installation.check("controller", "controller-rights");
        (refused["mark"] == "failed").then_some(refused)
    });
    check_parts(&refused, "failed", &[status, "system:serviceaccount:causes-rights:account"]);
    assert!(!refused["text"].as_str().unwrap().contains("leases"), "{refused}");
}

#[test]
fn refused_pods_are_the_cause() {
    let Some(installation) = Installation::make("causes-quota") else { return };
    installation.apply_controller();
    let message =
        "pods \"c-1\" is forbidden: failed quota: q: must specify limits.cpu for: controller";
    let status = json!({ "status": { "conditions": [{
        "type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message,
    }] } });
    let deployment = format!("deployment/{CONTROLLER}");
    let patch = status.to_string();
    let args = ["patch", &deployment, "--subresource=status", "--type=merge", "-p", &patch];
    installation.kubectl(&args);
    let check = installation.check("controller", "controller-ready");
    check_parts(&check, "failed", &["must specify limits.cpu", "controller.resources"]);
    let leader = installation.check("controller", "controller-leader");
    check_parts(&leader, "failed", &["no controller is ready yet: see controller-ready"]);

    installation.apply(&json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": { "name": "orderstream-processor", "labels": labels("processor") },
        "spec": {
            "replicas": 1, "serviceName": "processors",
            "selector": { "matchLabels": { "app": "processor" } },
            "template": installation.template("processor"),
        },
    }));
    for (name, time, message) in [
        ("old", "2026-03-01T12:00:00Z", "an older failure"),
        ("new", "2026-03-01T12:00:01Z", "create Pod p-0 failed error: exceeded quota: q"),
    ] {
        installation.apply(&json!({
            "apiVersion": "v1", "kind": "Event", "metadata": { "name": name },
            "involvedObject": {
                "apiVersion": "apps/v1", "kind": "StatefulSet", "name": "orderstream-processor",
                "namespace": installation.namespace,
            },
            "type": "Warning", "reason": "FailedCreate", "message": message, "lastTimestamp": time,
        }));
    }
    let check = installation.check("processors", "processor-ready");
    check_parts(&check, "failed", &["exceeded quota: q", "raise the quota, or lower processor."]);
}

#[test]
fn missing_storage_classes_are_named() {
    let Some(installation) = Installation::make("causes-storage") else { return };
    installation.apply(&json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
        "metadata": { "name": "causes-standard" }, "provisioner": "none.example.com",
    }));
    installation.apply(&json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": { "name": "data-p-0", "labels": labels("processor") },
        "spec": {
            "accessModes": ["ReadWriteOnce"], "storageClassName": "fast-ssd",
            "resources": { "requests": { "storage": "1Gi" } },
        },
    }));
    let check = installation.check("storage", "storage-volumes");
    let class = "the storage class fast-ssd does not exist";
    let value = "processor.storage.className (causes-standard)";
    check_parts(&check, "failed", &["data-p-0 is Pending", class, value]);
}

#[test]
fn pods_without_addresses_are_not_asked_for_metrics() {
    let Some(installation) = Installation::make("causes-address") else { return };
    installation.apply(&json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": "c-a", "labels": labels("controller") },
        "spec": { "containers": [{ "name": "controller", "image": "none" }] },
    }));
    let check = installation.check("monitoring", "monitoring-metrics");
    check_parts(&check, "failed", &["the pod has no address yet", "see controller-ready"]);
}

/// An order that is younger than a minute may wait; the API server selects those without a phase.
#[test]
fn orders_without_status_are_selected() {
    let Some(installation) = Installation::make("causes-orders") else { return };
    installation.apply_controller();
    installation.apply(&json!({
        "apiVersion": "orderstream.dev/v1alpha1", "kind": "OrderRequest",
        "metadata": { "name": "fresh" }, "spec": { "expiresIn": "1h" },
    }));
    let selected = ["get", "oreq", "--field-selector=status.phase=", "-o", "name"];
    assert!(installation.kubectl(&selected).contains("fresh"));
    let check = installation.check("streams", "streams-first-status");
    check_parts(&check, "ok", &["no order request waits for its first status"]);
}

/// The commands of the fixes are run here.
#[test]
fn fixes_install_missing_and_old_definitions() {
    let Some(server) = ApiServer::start() else { return };
    let check = |id: &str| check_of(&server, "default", "crds", id);
    let by_hand = "orderstream crd | kubectl apply --server-side -f -";
    check_parts(&check("crd-installed"), "failed", &["orderrequests.orderstream.dev", by_hand]);
    let definitions = String::from_utf8(run(&["crd"]).stdout).unwrap();
    let apply = |more: &[&str]| {
        let args = [&["apply", "--server-side"][..], more, &["-f", "-"]].concat();
        let output = server.kubectl_with(&args, &definitions);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    apply(&[]);
    server.kubectl(&["wait", "--for=condition=Established", "crd", "--all", "--timeout=30s"]);
    check_parts(&check("crd-version"), "ok", &["orderrequests.orderstream.dev"]);

    let old = r#"[{"op":"remove","path":"/spec/versions/0/additionalPrinterColumns"}]"#;
    server.kubectl(&["patch", "crd", "orderrequests.orderstream.dev", "--type=json", "-p", old]);
    let fix = "orderstream crd | kubectl apply --server-side --force-conflicts -f -";
    check_parts(&check("crd-version"), "failed", &["versions[0].additionalPrinterColumns", fix]);
    apply(&["--force-conflicts"]);
    check_parts(&check("crd-version"), "ok", &["orderrequests.orderstream.dev"]);
}

#[test]
fn controllers_name_the_api_server_that_they_do_not_reach() {
    let dir = tempfile::tempdir().unwrap();
    let (file, log) = (dir.path().join("kubeconfig"), dir.path().join("controller.log"));
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "test",
        "clusters": [{ "name": "test", "cluster": { "server": "http://127.0.0.1:9" } }],
        "users": [{ "name": "test", "user": {} }],
        "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "test" } }],
    });
    std::fs::write(&file, config.to_string()).unwrap();
    let kubeconfig = file.display().to_string();
    let mut args = vec!["controller", "--kubeconfig", &kubeconfig, "--lease-namespace", "shop"];
    args.extend(["--processor", "http://127.0.0.1:9", "--namespace", "shop"]);
    for flag in ["--metrics-addr", "--rest-addr"] {
        args.extend([flag, "127.0.0.1:0"]);
    }
    let _controller = Role::start_logging(&args, dir.path(), &log);
    until("the log names the address", || {
        let text = std::fs::read_to_string(&log).ok()?;
        let mut failures = text.lines().filter(|line| line.contains("the watch of order requests"));
        failures.any(|line| line.contains("127.0.0.1:9/ is not reached: ")).then_some(())
    });
}
