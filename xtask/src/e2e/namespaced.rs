//! The same chart with rights in a single namespace, on a cluster without an installation.

use anyhow::ensure;

use super::cluster::{Cluster, NAMESPACE, RELEASE};
use super::rights;

pub(super) fn run(cluster: &Cluster) -> anyhow::Result<()> {
    cluster.clear_used_rights();
    cluster.kubectl(&["create", "namespace", NAMESPACE])?;
    cluster.upgrade(&["scope=namespace", "rbac.userRoles=false"])?;
    cluster.apply_sellers()?;
    let proof = cluster.helm(&["test", RELEASE, "--logs", "--timeout=120s"])?;
    ensure!(proof.contains("the order is finalised"), "{proof}");
    let kinds = "clusterroles,clusterrolebindings";
    let selector = "app.kubernetes.io/part-of=orderstream";
    let roles = cluster.kubectl(&["get", kinds, "-l", selector, "-o", "name"])?;
    ensure!(roles.trim().is_empty(), "rights on the cluster were made: {roles}");
    cluster.check()?;
    cluster.upgrade(&["scope=namespace", "rbac.userRoles=false", "processor.replicas=2"])?;
    let roles = ["role/orderstream-controller", "role/orderstream-controller-orders"];
    rights::compare(cluster, &roles)?;
    println!("one namespace: installed, proven, upgraded, with no right on the cluster");
    cluster.helm(&["uninstall", RELEASE, "--wait", "--timeout=60s"])?;
    cluster.kubectl(&["delete", "namespace", NAMESPACE, "--timeout=60s"])?;
    let definitions = ["orderrequests.orderstream.dev", "sellers.orderstream.dev"];
    cluster.kubectl(&["delete", "crd", definitions[0], definitions[1], "--timeout=60s"])?;
    Ok(())
}
