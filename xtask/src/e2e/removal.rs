//! The removal of the release with its orders, of the namespace, and of the custom resource
//! definitions; each completes.

use std::time::{Duration, Instant};

use anyhow::ensure;

use super::cluster::{Cluster, NAMESPACE, RELEASE, wait_until};

/// The time limit of each removal.
const REMOVAL_MAX: Duration = Duration::from_secs(60);

pub(super) fn run(cluster: &Cluster) -> anyhow::Result<()> {
    let order = "apiVersion: orderstream.dev/v1alpha1\nkind: OrderRequest\n\
                 metadata: {name: left-over}\nspec: {title: Left over, expiresIn: 1h}\n";
    cluster.kubectl_with(&["apply", "-f", "-"], order)?;
    let streaming = "--for=jsonpath={.status.tracker.stream}=Active";
    cluster.kubectl(&["wait", "oreq/left-over", streaming, "--timeout=30s"])?;
    timed("helm uninstall", || cluster.helm(&["uninstall", RELEASE, "--wait", "--timeout=60s"]))?;
    let crds = cluster.kubectl(&["get", "crd", "-o", "name"])?;
    ensure!(crds.contains("orderrequests.orderstream.dev"), "the definitions are gone: {crds}");
    timed("deleting the namespace", || {
        cluster.kubectl(&["delete", "namespace", NAMESPACE, "--timeout=60s"])
    })?;
    timed("deleting the definitions", || {
        cluster.kubectl(&[
            "delete",
            "crd",
            "orderrequests.orderstream.dev",
            "sellers.orderstream.dev",
            "--timeout=60s",
        ])
    })?;
    wait_until("nothing of the cluster's own is left", REMOVAL_MAX, || {
        let kinds = "clusterroles,clusterrolebindings";
        let selector = "app.kubernetes.io/part-of=orderstream";
        let left = cluster.kubectl(&["get", kinds, "-l", selector, "-o", "name"])?;
        Ok(left.trim().is_empty().then_some(()))
    })
}

fn timed(what: &str, action: impl FnOnce() -> anyhow::Result<String>) -> anyhow::Result<()> {
    let began = Instant::now();
    action()?;
    let took = began.elapsed();
    println!("{what} took {:.1} s", took.as_secs_f32());
    ensure!(took < REMOVAL_MAX, "{what} took {took:?}");
    Ok(())
}
