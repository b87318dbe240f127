//! Scaling down: refused with the cause while the removed processors own open orders, and allowed
//! afterwards.

use std::time::Duration;

use anyhow::{bail, ensure};

use super::cluster::{Cluster, RELEASE, wait_until};

pub(super) fn run(cluster: &Cluster) -> anyhow::Result<()> {
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
