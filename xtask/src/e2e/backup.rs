//! Copies and restores a processor's volume as in docs/backup.md, with orders on it: an order
//! without events since the copy continues; one with later events is refused, and not silently
//! rolled back.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};

use super::cluster::{Cluster, wait_until};
use super::docs::NAMESPACE;

/// The timeout for each awaited state.
const STATE_TIMEOUT: Duration = Duration::from_secs(60);
/// The largest number of orders that are created until one has the same owner as the first.
const ORDERS_MAX: usize = 30;
/// The name of the order that gets further events after the copy.
const BUSY: &str = "busy";

/// A processor's volume on this machine, with a quiet and a busy order.
#[derive(Debug)]
pub(super) struct Volume {
    path: PathBuf,
    copy: PathBuf,
    quiet: String,
}

/// Creates the orders; `None` if the volumes are not on this machine.
pub(super) fn prepare(cluster: &Cluster) -> anyhow::Result<Option<Volume>> {
    let owner = order(cluster, BUSY)?;
    let pod = pod_of(&owner).context("the processor's pod")?.to_owned();
    let claim = kubectl(cluster, &["get", "pvc", &format!("data-{pod}"), "-o", "json"])?;
    let claim: Value = serde_json::from_str(&claim)?;
    let name = claim["spec"]["volumeName"].as_str().context("the claim's volume")?.to_owned();
    let volume: Value =
        serde_json::from_str(&kubectl(cluster, &["get", "pv", &name, "-o", "json"])?)?;
    let path = ["/spec/local/path", "/spec/hostPath/path"]
        .iter()
        .find_map(|at| volume.pointer(at)?.as_str())
        .map(PathBuf::from)
        .filter(|path| path.is_dir());
    let Some(path) = path else {
        println!("   copying a volume: SKIPPED, {name} is not a folder on this machine");
        return Ok(None);
    };
    let mut quiet = None;
    for number in 0..ORDERS_MAX {
        let name = format!("quiet-{number}");
        if order(cluster, &name)? == owner {
            quiet.get_or_insert(name);
        }
        // There are several orders, so that the one that cannot continue is in the minority.
        if number >= 3 && quiet.is_some() {
            break;
        }
    }
    let quiet = quiet.context("no second order came to the same processor")?;
    for name in [BUSY, &quiet] {
        propose(cluster, name, "before")?;
        received(cluster, name, 1)?;
    }
    let copy = cluster.root.join("target/e2e/volume");
    println!("   {quiet} and {BUSY} are on {pod}, whose volume is {}", path.display());
    Ok(Some(Volume { path, copy, quiet }))
}

impl Volume {
    /// Performs a manual step of the page.
    pub(super) fn by_hand(&self, what: &str) -> anyhow::Result<()> {
        if what.starts_with("copy the volume") {
            copy(&self.path, &self.copy)
        } else if what.starts_with("put the copy") {
            copy(&self.copy, &self.path)
        } else {
            bail!("nobody does this: {what}")
        }
    }

    /// Adds events to one order after the copy.
    pub(super) fn add_events(&self, cluster: &Cluster) -> anyhow::Result<()> {
        for name in [BUSY, &self.quiet] {
            until_streaming(cluster, name)?;
        }
        propose(cluster, BUSY, "after")?;
        received(cluster, BUSY, 2)
    }

    /// Checks, after the copy was restored, that the quiet order continues and the busy one is
    /// refused.
    pub(super) fn check_restored(&self, cluster: &Cluster) -> anyhow::Result<()> {
        until_streaming(cluster, &self.quiet)?;
        propose(cluster, &self.quiet, "after")?;
        received(cluster, &self.quiet, 2)?;
        // The status already showed the stream as down; now it also has the reason.
        wait_until("the order that is ahead says so", STATE_TIMEOUT, || {
            let status = get(cluster, BUSY)?["status"].take();
            let is_reported = status["conditions"].to_string().contains("AHEAD_OF_LIST");
            Ok((is_reported && status["tracker"]["stream"] == "Reconnecting").then_some(()))
        })?;
        kubectl(cluster, &["delete", "oreq", BUSY, "--timeout=60s"])?;
        println!("   restored: {} goes on, {BUSY} is refused with AHEAD_OF_LIST", self.quiet);
        fs::remove_dir_all(&self.copy).context("remove the copy")
    }
}

/// Creates an order, and returns its owner.
fn order(cluster: &Cluster, name: &str) -> anyhow::Result<String> {
    let manifest = json!({
        "apiVersion": "orderstream.dev/v1alpha1", "kind": "OrderRequest",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"expiresIn": "2h", "sellers": {"openToAll": true}},
    });
    cluster.kubectl_with(&["apply", "-n", NAMESPACE, "-f", "-"], &manifest.to_string())?;
    until_streaming(cluster, name)?;
    let order = get(cluster, name)?;
    Ok(order["status"]["stream"]["processor"].as_str().unwrap_or_default().to_owned())
}

fn pod_of(processor: &str) -> Option<&str> {
    processor.strip_prefix("http://")?.split('.').next()
}

fn get(cluster: &Cluster, name: &str) -> anyhow::Result<Value> {
    Ok(serde_json::from_str(&kubectl(cluster, &["get", "oreq", name, "-o", "json"])?)?)
}

fn until_streaming(cluster: &Cluster, name: &str) -> anyhow::Result<()> {
    let is_up = "--for=jsonpath={.status.tracker.stream}=Active";
    kubectl(cluster, &["wait", "oreq", name, is_up, "--timeout=60s"]).map(drop)
}

fn kubectl(cluster: &Cluster, args: &[&str]) -> anyhow::Result<String> {
    cluster.kubectl(&[args, &["-n", NAMESPACE]].concat())
}

fn propose(cluster: &Cluster, order: &str, id: &str) -> anyhow::Result<()> {
    let path = format!(
        "/api/v1/namespaces/{NAMESPACE}/services/orderstream-processor:rest/proxy/api/v1/proposals"
    );
    let body = json!({
        "tenant": NAMESPACE, "order_req_id": order, "proposal_id": id,
        "seller": "anybody", "price": "10.00", "currency": "EUR", "alternative": id,
    });
    let response = wait_until("the proposal is taken", STATE_TIMEOUT, || {
        let response = cluster.request("POST", &path, &body.to_string())?;
        Ok((response.status != 503).then_some(response))
    })?;
    ensure!(response.status == 201, "{order}: {response:?}");
    Ok(())
}

fn received(cluster: &Cluster, name: &str, count: u64) -> anyhow::Result<()> {
    wait_until("the proposal is in the status", STATE_TIMEOUT, || {
        let order = get(cluster, name)?;
        Ok((order["status"]["proposals"]["received"] == count).then_some(()))
    })
}

/// Replaces the content of `to` with that of `from`.
fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    ensure!(from.is_dir(), "{} is not there", from.display());
    fs::create_dir_all(to)?;
    for old in fs::read_dir(to)? {
        let old = old?.path();
        if old.is_dir() { fs::remove_dir_all(old)? } else { fs::remove_file(old)? }
    }
    let status = Command::new("cp").arg("-a").arg(from.join(".")).arg(to).status()?;
    ensure!(status.success(), "cp failed: {status}");
    Ok(())
}
