//! Faults that an operator meets, each made on the cluster and removed again: `orderstream check` names
//! the cause and the fix.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::cluster::{Cluster, NAMESPACE, RELEASE, wait_until};

/// The time within which a check names the cause, and within which a fault is over.
const STATE_TIMEOUT: Duration = Duration::from_secs(15);
/// The name of the objects that cannot be made. It sorts before the release's, so that a check of
/// workloads finds these.
const REFUSED: &str = "a-refused";

/// A cause that a check is to name.
struct ExpectedCause {
    group: &'static str,
    id: &'static str,
    cause: &'static str,
    fix: &'static str,
}

pub(super) fn run(cluster: &Cluster) -> anyhow::Result<()> {
    storage_class_is_missing(cluster)?;
    quota_refuses_pods(cluster)?;
    binding_is_removed(cluster)?;
    cluster.check().map(drop)
}

/// Waits until a check fails with a cause and a fix that have these parts.
fn expect(cluster: &Cluster, expected: &ExpectedCause) -> anyhow::Result<()> {
    let ExpectedCause { group, id, cause, fix } = expected;
    let mut last = Value::Null;
    let found = wait_until(&format!("{id} names the cause"), STATE_TIMEOUT, || {
        let report = cluster.report(&["--only", group])?;
        let mut checks = report["checks"].as_array().into_iter().flatten();
        let check = checks.find(|check| check["id"] == *id).context("the check is missing")?;
        last = check.clone();
        let has =
            |field: &str, part: &str| check[field].as_str().is_some_and(|it| it.contains(part));
        Ok((has("cause", cause) && has("fix", fix)).then_some(()))
    });
    println!("   {id}: {} {}", last["text"], last["cause"]);
    found.with_context(|| format!("expected {cause} and {fix}, found {last}"))
}

fn storage_class_is_missing(cluster: &Cluster) -> anyhow::Result<()> {
    let claim = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": REFUSED, "labels": { "app.kubernetes.io/component": "processor" },
        },
        "spec": {
            "accessModes": ["ReadWriteOnce"], "storageClassName": "no-such-class",
            "resources": { "requests": { "storage": "1Mi" } },
        },
    });
    cluster.kubectl_with(&["apply", "-f", "-"], &claim.to_string())?;
    let found = expect(
        cluster,
        &ExpectedCause {
            group: "storage",
            id: "storage-volumes",
            cause: "the storage class no-such-class does not exist",
            fix: "processor.storage.className",
        },
    );
    cluster.kubectl(&["delete", "pvc", REFUSED, "--timeout=30s"])?;
    found
}

/// Checks the message about a quota that pods do not meet. They are those of workloads of their own:
/// the release's pods go on.
fn quota_refuses_pods(cluster: &Cluster) -> anyhow::Result<()> {
    cluster.kubectl(&["create", "quota", REFUSED, "--hard=limits.cpu=1"])?;
    let found = expect_quota(cluster);
    let objects = ["deployment", "statefulset", "quota"].map(|kind| format!("{kind}/{REFUSED}"));
    let [deployment, stateful_set, quota] = &objects;
    cluster.kubectl(&["delete", deployment, stateful_set, quota, "--ignore-not-found"])?;
    found
}

fn expect_quota(cluster: &Cluster) -> anyhow::Result<()> {
    // Until its use is counted, the quota refuses pods with another message.
    let used = ["get", "quota", REFUSED, "-o", "jsonpath={.status.used}"];
    wait_until("the quota is counted", STATE_TIMEOUT, || {
        Ok((!cluster.kubectl(&used)?.is_empty()).then_some(()))
    })?;
    for (kind, component) in [("Deployment", "controller"), ("StatefulSet", "processor")] {
        let workload = workload(kind, component).to_string();
        cluster.kubectl_with(&["apply", "-f", "-"], &workload)?;
    }
    let cause = "must specify limits.cpu";
    expect(
        cluster,
        &ExpectedCause {
            group: "controller",
            id: "controller-ready",
            cause,
            fix: "set them in controller.resources",
        },
    )?;
    expect(
        cluster,
        &ExpectedCause {
            group: "processors",
            id: "processor-ready",
            cause,
            fix: "set them in processor.resources",
        },
    )
}

/// Returns a workload that counts as one of the release, in a namespace that admits only restricted
/// pods.
fn workload(kind: &str, component: &str) -> Value {
    let labels = json!({ "app": REFUSED, "component": component });
    let mut workload = json!({
        "apiVersion": "apps/v1", "kind": kind,
        "metadata": { "name": REFUSED, "labels": {
            "app.kubernetes.io/part-of": "orderstream", "app.kubernetes.io/component": component,
        } },
        "spec": {
            "replicas": 1,
            "selector": { "matchLabels": labels },
            "template": {
                "metadata": { "labels": labels },
                "spec": {
                    "securityContext": {
                        "runAsNonRoot": true, "runAsUser": 65532,
                        "seccompProfile": { "type": "RuntimeDefault" },
                    },
                    "containers": [{
                        "name": component, "image": "none",
                        "securityContext": {
                            "allowPrivilegeEscalation": false,
                            "capabilities": { "drop": ["ALL"] },
                        },
                    }],
                },
            },
        },
    });
    if kind == "StatefulSet" {
        workload["spec"]["serviceName"] = json!(REFUSED);
    }
    workload
}

/// Checks that a removed binding is named, and that an upgrade puts it back, as the fix says.
fn binding_is_removed(cluster: &Cluster) -> anyhow::Result<()> {
    let binding = format!("clusterrolebinding/{NAMESPACE}-{RELEASE}-controller");
    cluster.kubectl(&["delete", &binding])?;
    let order = "apiVersion: orderstream.dev/v1alpha1\nkind: OrderRequest\n\
                 metadata: {name: unwritten}\nspec: {title: Unwritten, expiresIn: 1h}\n";
    let found = cluster.kubectl_with(&["apply", "-f", "-"], order).and_then(|_| {
        let cause = "the controller may not write the status of order requests: 403";
        let fix = "helm upgrade puts roles and bindings back";
        let group = "controller";
        expect(cluster, &ExpectedCause { group, id: "controller-rights", cause, fix })?;
        let fix = "see controller-rights";
        expect(cluster, &ExpectedCause { group: "streams", id: "streams-status", cause, fix })
    });
    let chart = cluster.root.join("deploy/helm/orderstream").display().to_string();
    cluster.helm(&["upgrade", RELEASE, &chart, "--reuse-values", "--wait", "--timeout=60s"])?;
    found?;
    let open = "--for=jsonpath={.status.phase}=Open";
    cluster.kubectl(&["wait", "oreq/unwritten", open, "--timeout=30s"])?;
    cluster.kubectl(&["delete", "oreq", "unwritten", "--timeout=30s"])?;
    let rights = cluster.report(&["--only", "controller"])?.to_string();
    ensure!(rights.contains("the controller has all its"), "rights are missing still: {rights}");
    println!("   helm upgrade put the binding back, and the status was written");
    Ok(())
}
