//! Deleted custom resource definitions: an upgrade creates them again, and orders and sellers that
//! are applied together work as on a new cluster.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::cluster::{Cluster, wait_until};

/// The definitions of the chart.
const DEFINITIONS: [&str; 2] = ["crd/orderrequests.orderstream.dev", "crd/sellers.orderstream.dev"];
/// The time within which sellers are invited that came after the orders.
const STATE_TIMEOUT: Duration = Duration::from_secs(30);

pub(super) fn run(cluster: &Cluster) -> anyhow::Result<()> {
    let [orders, sellers] = DEFINITIONS;
    cluster.kubectl(&["delete", orders, sellers, "--timeout=60s"])?;
    let began = Instant::now();
    cluster.upgrade(&[])?;
    let established = "--for=condition=Established";
    cluster.kubectl(&["wait", established, orders, sellers, "--timeout=30s"])?;
    println!("the definitions are back after {:.1} s", began.elapsed().as_secs_f32());
    // The first upgrade may leave nothing that stops the next one.
    cluster.upgrade(&[])?;
    apply_examples(cluster)?;
    cluster.check().map(drop)
}

/// Applies all examples with one command, which creates most orders before the sellers.
fn apply_examples(cluster: &Cluster) -> anyhow::Result<()> {
    let examples = cluster.root.join("examples").display().to_string();
    let began = Instant::now();
    cluster.kubectl(&["apply", "-f", &examples])?;
    let streaming = "--for=jsonpath={.status.tracker.stream}=Active";
    cluster.kubectl(&["wait", "oreq", "--all", streaming, "--timeout=60s"])?;
    let ready = "--for=condition=Ready";
    cluster.kubectl(&["wait", "sellers", "--all", ready, "--timeout=60s"])?;
    let is_invited =
        |order: &Value| order["status"]["sellers"]["selected"].as_u64().is_some_and(|it| it > 0);
    wait_until("every order invites sellers, whichever came first", STATE_TIMEOUT, || {
        Ok(cluster.orders()?.iter().all(is_invited).then_some(()))
    })?;
    let took = began.elapsed();
    println!("all examples, applied together, are taken up after {:.1} s", took.as_secs_f32());
    cluster.kubectl(&["delete", "oreq", "--all", "--timeout=60s"])?;
    Ok(())
}
