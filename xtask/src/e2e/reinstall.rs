//! A rollback to fewer processors, and a new installation with fewer than before: both are refused
//! while open orders are on the others. With as many as before, all orders continue.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use super::cluster::{Cluster, RELEASE, refusal, wait_until};

/// The revision of the installation, with one processor.
const FIRST_REVISION: &str = "1";
/// The text of both refusals.
const REFUSED: &str = "open orders are on processors beyond the first 1:";
/// The number of streams that a controller holds.
const STREAMS: &str = "orderstream_requestor_streams_active";
/// The time within which all streams are up again: that of an unused Lease, and of the streams.
const STATE_TIMEOUT: Duration = Duration::from_secs(60);

pub(super) fn run(cluster: &Cluster) -> anyhow::Result<()> {
    refuse_rollback(cluster)?;
    let before = streams(cluster)?;
    ensure!(before > 0, "no order is open");
    cluster.helm(&["uninstall", RELEASE, "--wait", "--timeout=60s"])?;
    refusal(cluster.upgrade(&["processor.replicas=1"]), REFUSED)?;
    let made = cluster.kubectl(&["get", "deployments,statefulsets", "-o", "name"])?;
    ensure!(made.trim().is_empty(), "the refused installation made {made}");
    let began = Instant::now();
    cluster.upgrade(&["processor.replicas=3"])?;
    // A status shows what was last written; the streams themselves are in the metrics.
    wait_until("all orders have a stream again", STATE_TIMEOUT, || {
        Ok((streams(cluster)? >= before).then_some(()))
    })?;
    let took = began.elapsed();
    println!("installed again: {before} orders have a stream after {:.1} s", took.as_secs_f32());
    Ok(())
}

/// Checks that a rollback that would strand orders is refused, and that one to the deployed revision
/// ends Helm's waiting for it.
fn refuse_rollback(cluster: &Cluster) -> anyhow::Result<()> {
    let deployed = cluster.deployed_revision()?;
    refusal(cluster.rollback(FIRST_REVISION), REFUSED)?;
    let replicas = ["get", "statefulset", "-o", "jsonpath={.items[0].spec.replicas}"];
    ensure!(cluster.kubectl(&replicas)? == "3", "the refused rollback changed the replicas");
    // Until then the release is `pending-rollback`, and no upgrade begins.
    refusal(cluster.upgrade(&["processor.replicas=3"]), "another operation")?;
    cluster.rollback(&deployed).context("back to the deployed revision")?;
    println!("a rollback to one processor is refused, one to revision {deployed} is not");
    Ok(())
}

/// Returns the number of streams that the controllers hold.
fn streams(cluster: &Cluster) -> anyhow::Result<usize> {
    let mut count = 0;
    for pod in cluster.pods("controller")? {
        let page = cluster.metrics(pod["metadata"]["name"].as_str().unwrap_or_default())?;
        let sample = page.lines().find_map(|line| line.strip_prefix(STREAMS)?.strip_prefix(' '));
        let sample = sample.with_context(|| format!("no sample of {STREAMS}"))?;
        count += sample.trim().parse::<usize>().context(STREAMS)?;
    }
    Ok(count)
}
