//! Scaling down: refused with the cause while the removed processors own open orders, and allowed
//! afterwards, also after `kubectl scale`.

use std::time::Duration;

use anyhow::ensure;

use super::cluster::{Cluster, RELEASE, refusal, wait_until};

pub(super) fn run(cluster: &Cluster) -> anyhow::Result<()> {
    names_and_sizes_stay(cluster)?;
    let reason = "open orders are on processors";
    let error = refusal(cluster.upgrade(&["processor.replicas=1"]), reason)?;
    let line = error.lines().find(|line| line.contains(reason)).unwrap_or_default();
    let stranded = line.rsplit('×').next().and_then(|words| words.split("stranding").next());
    println!("refused:{}", stranded.unwrap_or(line).trim_end());
    let replicas = ["get", "statefulset", "-o", "jsonpath={.items[0].spec.replicas}"];
    ensure!(cluster.kubectl(&replicas)? == "3", "the refused upgrade changed the replicas");

    cluster.kubectl(&["delete", "oreq", "--all", "--timeout=60s"])?;
    cluster.kubectl(&["delete", "oreq", "--all", "-n", "default", "--timeout=60s"])?;
    wait_until("the orders have ended", Duration::from_secs(60), || {
        Ok(cluster.orders()?.is_empty().then_some(()))
    })?;
    scale_by_hand(cluster)?;
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

/// Checks that kubectl owns the number of processors after `kubectl scale`, also after it was scaled
/// back, until an upgrade takes it over by force.
fn scale_by_hand(cluster: &Cluster) -> anyhow::Result<()> {
    let set = format!("statefulset/{RELEASE}-processor");
    for replicas in ["--replicas=2", "--replicas=3"] {
        cluster.kubectl(&["scale", &set, replicas])?;
    }
    let fewer = ["processor.replicas=1"];
    let error = refusal(cluster.upgrade(&fewer), ".spec.replicas")?;
    ensure!(error.contains("conflict"), "{error}");
    cluster.upgrade_with(&["--force-conflicts", "--wait", "--timeout=180s"], &fewer)?;
    println!("after kubectl scale, an upgrade takes the number of processors over by force only");
    Ok(())
}

/// Checks that values that would leave the volumes or the open orders behind, or that Kubernetes
/// cannot apply, are refused with the way to do it.
fn names_and_sizes_stay(cluster: &Cluster) -> anyhow::Result<()> {
    for (setting, expected) in [
        ("nameOverride=quotes", "set nameOverride and fullnameOverride as they were"),
        ("namespaceOverride=default", "would move from namespace"),
        ("controllerName=other", "keeps its name"),
        ("processor.storage.size=20Gi", "which Kubernetes does not change in place"),
        ("processor.storage.className=fast-ssd", "which Kubernetes does not change"),
        ("processor.storage.labels.team=buying", "processor.storage.labels cannot change"),
    ] {
        refusal(cluster.upgrade(&["processor.replicas=3", setting]), expected)?;
    }
    Ok(())
}
