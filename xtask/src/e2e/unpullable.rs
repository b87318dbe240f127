//! An image that cannot be pulled: the check before an upgrade does not start, and nothing is
//! touched. Without that check, `orderstream check` names the pod and its state, and a rollback
//! repairs the release.

use std::time::{Duration, Instant};

use anyhow::ensure;

use super::cluster::{Cluster, RELEASE, refusal, wait_until};

/// The image's tag, which no registry has.
const WRONG_TAG: &str = "image.tag=no-such-tag";
/// Helm's flag for the time of the upgrade that fails.
const TIMEOUT: &str = "--timeout=8s";
/// The time within which that upgrade ends: its timeout, and time for the objects of the check.
const FAILED_WITHIN: Duration = Duration::from_secs(8 + 12);
/// The kubelet's reasons for a container without an image.
const REASONS: [&str; 2] = ["ErrImagePull", "ImagePullBackOff"];
/// The time within which the processor is replaced by one that cannot start.
const STATE_TIMEOUT: Duration = Duration::from_secs(60);

pub(super) fn run(cluster: &Cluster) -> anyhow::Result<()> {
    let good = cluster.deployed_revision()?;
    fail_before_anything(cluster)?;
    let unchecked = ["processor.refuseStranding=false"];
    cluster.upgrade_with(&["--set-string", WRONG_TAG], &unchecked)?;
    let cause = wait_until("a check names the pod and its state", STATE_TIMEOUT, || {
        Ok(processor_cause(cluster)?.filter(|cause| {
            let pod = format!("{RELEASE}-processor-0");
            cause.contains(&pod) && REASONS.iter().any(|reason| cause.contains(reason))
        }))
    })?;
    println!("orderstream check: {cause}");
    let began = Instant::now();
    cluster.rollback(&good)?;
    println!("rolled back to revision {good} in {:.1} s", began.elapsed().as_secs_f32());
    cluster.check().map(drop)
}

/// Checks that an upgrade to the image fails in time, and leaves the workloads as they are.
fn fail_before_anything(cluster: &Cluster) -> anyhow::Result<()> {
    let generations = || {
        let path = "jsonpath={.items[*].metadata.generation}";
        cluster.kubectl(&["get", "deployments,statefulsets", "-o", path])
    };
    let before = generations()?;
    let began = Instant::now();
    let flags = ["--wait", TIMEOUT, "--set-string", WRONG_TAG];
    refusal(cluster.upgrade_with(&flags, &[]), "pre-upgrade hooks failed")?;
    let took = began.elapsed();
    ensure!(took < FAILED_WITHIN, "the upgrade failed after {took:?}");
    let after = generations()?;
    ensure!(before == after, "the failed upgrade changed workloads: {before} became {after}");
    println!("an upgrade to {WRONG_TAG} failed after {:.1} s", took.as_secs_f32());
    Ok(())
}

/// Returns the cause for which the processors are not ready, if they are not.
fn processor_cause(cluster: &Cluster) -> anyhow::Result<Option<String>> {
    let report = cluster.report(&["--only", "processors"])?;
    let mut checks = report["checks"].as_array().into_iter().flatten();
    let failed = checks.find(|check| check["id"] == "processor-ready" && check["mark"] == "failed");
    Ok(failed.and_then(|check| check["cause"].as_str()).map(str::to_owned))
}
