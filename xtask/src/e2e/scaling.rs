//! Scaling down: refused with the cause while the removed processors own open orders, and allowed
//! afterwards.

use std::time::Duration;

use anyhow::{bail, ensure};

use super::cluster::{Cluster, RELEASE, wait_until};

pub(super) fn run(cluster: &Cluster) -> anyhow::Result<()> {
    names_and_sizes_stay(cluster)?;
    let error = match cluster.upgrade(&["processor.replicas=1"]) {
        Ok(notes) => bail!("orders were stranded: {notes}"),
        Err(error) => format!("{error:#}"),
    };
    let refusal = error.lines().find(|line| line.contains("open orders are on processors"));
    let Some(refusal) = refusal else { bail!("it is not said which orders: {error}") };
    let stranded = refusal.rsplit('×').next().and_then(|words| words.split("stranding").next());
    println!("refused:{}", stranded.unwrap_or(refusal).trim_end());
    let replicas = ["get", "statefulset", "-o", "jsonpath={.items[0].spec.replicas}"];
    ensure!(cluster.kubectl(&replicas)? == "3", "the refused upgrade changed the replicas");

    cluster.kubectl(&["delete", "oreq", "--all", "--timeout=60s"])?;
    cluster.kubectl(&["delete", "oreq", "--all", "-n", "default", "--timeout=60s"])?;
    wait_until("the orders have ended", Duration::from_secs(60), || {
        Ok(cluster.orders()?.is_empty().then_some(()))
    })?;
    cluster.upgrade(&["processor.replicas=1"])?;
    wait_until("two pods are gone", Duration::from_secs(90), || {
        Ok((cluster.pods("processor")?.len() == 1).then_some(()))
    })?;
    let proof = cluster.helm(&["test", RELEASE, "--logs", "--timeout=120s"])?;
    ensure!(proof.contains("the order is finalised"), "{proof}");
    let volumes = cluster.kubectl(&["get", "pvc", "-o", "name"])?;
    println!("scaled to one; the volumes stay: {}", volumes.replace('\n', " "));
    cluster.check()?;
    Ok(())
}

/// Checks that values that would leave the volumes behind, or that Kubernetes cannot apply, are
/// refused with the way to do it.
fn names_and_sizes_stay(cluster: &Cluster) -> anyhow::Result<()> {
    for (setting, expected) in [
        ("nameOverride=quotes", "set nameOverride and fullnameOverride as they were"),
        ("namespaceOverride=default", "would move from namespace"),
        ("processor.storage.size=20Gi", "which Kubernetes does not change in place"),
        ("processor.storage.className=fast-ssd", "which Kubernetes does not change"),
        ("processor.storage.labels.team=buying", "processor.storage.labels cannot change"),
    ] {
        match cluster.upgrade(&["processor.replicas=3", setting]) {
            Ok(notes) => bail!("{setting} was taken: {notes}"),
            Err(error) => ensure!(format!("{error:#}").contains(expected), "{error:#}"),
        }
    }
    Ok(())
}
