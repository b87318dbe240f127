//! Deletes the pods one by one, deletes the leader, and upgrades and evicts all pods while sellers
//! send proposals: each acknowledged proposal is counted exactly once.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::cluster::{Cluster, NAMESPACE, RELEASE, sleep, wait_until};
use super::load::{Load, LoadResults};
use super::orders::order_id;

/// The number of orders under load.
const ORDERS: usize = 200;
/// The timeout for each awaited state.
const STATE_TIMEOUT: Duration = Duration::from_secs(90);
/// The time after which an unnecessary resumption of a stream would have been counted: the longest
/// back-off of a stream.
const SETTLED: Duration = Duration::from_secs(5);
/// The number of times that each processor is down after the first leader, whose count is lost: at
/// the upgrade and at its eviction.
const OUTAGES_MAX: u64 = 2;
/// The time within which a status is up to date after the last command: the guaranteed time, and
/// the same again for a busy machine.
const UP_TO_DATE_WITHIN: Duration = Duration::from_secs(5 + 5);

pub(super) fn run(cluster: &Cluster) -> anyhow::Result<()> {
    let names = open_orders(cluster)?;
    let results = thread::scope(|scope| {
        let load = Load::start(scope, cluster, &names);
        let disturbed = disturb(cluster);
        let results = load.stop();
        disturbed.map(|()| results)
    })?;
    print_results(&results);
    ensure!(
        results.failures.is_empty(),
        "requests failed: {:?}",
        &results.failures[..results.failures.len().min(5)]
    );
    check_all_counted(cluster, &results)
}

fn open_orders(cluster: &Cluster) -> anyhow::Result<Vec<String>> {
    let names: Vec<_> = (0..ORDERS).map(|number| format!("load-{number}")).collect();
    let items: Vec<_> = names
        .iter()
        .map(|name| {
            json!({
                "apiVersion": "orderstream.dev/v1alpha1", "kind": "OrderRequest",
                "metadata": {"name": name},
                "spec": {
                    "expiresIn": "2h", "title": "Under load", "sellers": {"openToAll": true},
                },
            })
        })
        .collect();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string();
    cluster.kubectl_with(&["create", "-f", "-"], &list)?;
    let spread = wait_until("all orders stream", STATE_TIMEOUT, || {
        let mut spread: BTreeMap<String, usize> = BTreeMap::new();
        let streaming = streaming(cluster)?;
        for order in &streaming {
            let processor = order["status"]["stream"]["processor"].as_str().unwrap_or_default();
            *spread.entry(processor.to_owned()).or_default() += 1;
        }
        Ok((streaming.len() == ORDERS).then_some(spread))
    })?;
    println!("{ORDERS} orders stream, spread over processors: {:?}", spread.values());
    ensure!(spread.len() == 3 && spread.values().all(|count| *count > ORDERS / 10), "{spread:?}");
    Ok(names)
}

fn streaming(cluster: &Cluster) -> anyhow::Result<Vec<Value>> {
    let is_under_load = |order: &Value| order_id(order).starts_with("load-");
    let streams = |order: &Value| order["status"]["tracker"]["streamActive"] == true;
    Ok(cluster.orders()?.into_iter().filter(|o| is_under_load(o) && streams(o)).collect())
}

fn disturb(cluster: &Cluster) -> anyhow::Result<()> {
    let leader = leader(cluster)?;
    disturb_processors(cluster, &leader)?;
    drop(cluster.used_rights()?);
    let began = Instant::now();
    cluster.kubectl(&["delete", "pod", &leader, "--wait=false"])?;
    let next = wait_until("another one leads", STATE_TIMEOUT, || {
        let next = self::leader(cluster)?;
        Ok((!next.is_empty() && next != leader).then_some(next))
    })?;
    println!("leader {leader} deleted, {next} leads after {:.1} s", began.elapsed().as_secs_f32());

    let began = Instant::now();
    cluster.upgrade(&[
        "processor.replicas=3",
        "flowSchema.enabled=true",
        "processor.podAnnotations.round=two",
        "controller.podAnnotations.round=two",
    ])?;
    println!("helm upgrade of all pods took {:.1} s", began.elapsed().as_secs_f32());
    evict_all(cluster)?;
    sleep(Duration::from_secs(2));
    Ok(())
}

/// Deletes one processor after the other. Each time its streams resume once, and no other stream
/// does.
fn disturb_processors(cluster: &Cluster, leader: &str) -> anyhow::Result<()> {
    let processors = format!("statefulset/{RELEASE}-processor");
    let mut expected = resumptions(cluster, leader)?;
    for number in 0..3 {
        let began = Instant::now();
        let pod = format!("{RELEASE}-processor-{number}");
        let streams = streams_at(cluster, &pod)?;
        cluster.kubectl(&["delete", "pod", &pod, "--wait=true"])?;
        cluster.kubectl(&["rollout", "status", &processors, "--timeout=90s"])?;
        println!("{pod} deleted, ready again after {:.1} s", began.elapsed().as_secs_f32());
        expected += streams;
        wait_until("its streams came up again", STATE_TIMEOUT, || {
            Ok((resumptions(cluster, leader)? >= expected).then_some(()))
        })?;
        println!("its {streams} streams resumed");
    }
    sleep(SETTLED);
    let counted = resumptions(cluster, leader)?;
    ensure!(
        counted == expected,
        "streams resumed {counted} times, the disturbances cost {expected}"
    );
    Ok(())
}

/// Returns the number of resumptions of this leader's streams.
fn resumptions(cluster: &Cluster, leader: &str) -> anyhow::Result<usize> {
    let name = "orderstream_requestor_stream_reconnects_total";
    let page = cluster.metrics(leader)?;
    let sample = page.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    sample.with_context(|| format!("{leader} does not show {name}"))
}

/// Returns the number of active streams of this processor.
fn streams_at(cluster: &Cluster, pod: &str) -> anyhow::Result<usize> {
    let host = format!("http://{pod}.");
    let is_there = |order: &&Value| {
        let processor = order["status"]["stream"]["processor"].as_str().unwrap_or_default();
        order["status"]["tracker"]["streamActive"] == true && processor.starts_with(&host)
    };
    Ok(cluster.orders()?.iter().filter(is_there).count())
}

/// Returns the pod that holds the Lease.
fn leader(cluster: &Cluster) -> anyhow::Result<String> {
    let holder = "jsonpath={.spec.holderIdentity}";
    let lease = format!("lease/{RELEASE}-controller");
    let holder = cluster.kubectl(&["get", &lease, "-o", holder])?;
    Ok(holder.split('_').next().unwrap_or_default().to_owned())
}

/// Evicts all pods as `kubectl drain` does: repeats each eviction until the disruption budget
/// allows it.
fn evict_all(cluster: &Cluster) -> anyhow::Result<()> {
    let began = Instant::now();
    for component in ["processor", "controller"] {
        for pod in cluster.pods(component)? {
            let pod = pod["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            let eviction = json!({
                "apiVersion": "policy/v1", "kind": "Eviction",
                "metadata": {"name": pod, "namespace": NAMESPACE},
            })
            .to_string();
            let path = format!("/api/v1/namespaces/{NAMESPACE}/pods/{pod}/eviction");
            wait_until("the budget allows the eviction", STATE_TIMEOUT, || {
                let response = cluster.request("POST", &path, &eviction)?;
                Ok((response.status == 201).then_some(()))
            })?;
        }
    }
    for workload in ["statefulset/orderstream-processor", "deployment/orderstream-controller"] {
        cluster.kubectl(&["rollout", "status", workload, "--timeout=90s"])?;
    }
    println!("all pods evicted and ready again in {:.1} s", began.elapsed().as_secs_f32());
    Ok(())
}

fn print_results(results: &LoadResults) {
    let percentile = |part: f64| {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            clippy::cast_sign_loss,
            reason = "a place in a list"
        )]
        let index = (results.latencies.len() as f64 * part) as usize;
        results
            .latencies
            .get(index.min(results.latencies.len().saturating_sub(1)))
            .copied()
            .unwrap_or_default()
    };
    println!(
        "{} proposals acknowledged; first try to acknowledgement: p50 {:?}, p99 {:?}, max {:?}",
        results.latencies.len(),
        percentile(0.5),
        percentile(0.99),
        percentile(1.0),
    );
    println!("repeated: {:?}", results.retries);
}

fn check_all_counted(cluster: &Cluster, results: &LoadResults) -> anyhow::Result<()> {
    let began = Instant::now();
    wait_until("every acknowledged proposal is in its order's status", STATE_TIMEOUT, || {
        let streaming = streaming(cluster)?;
        let is_up_to_date = |order: &Value| {
            let acknowledged =
                results.acknowledged.get(&order_id(order)).map_or(0, |ids| ids.len());
            order["status"]["proposals"]["received"].as_u64() == u64::try_from(acknowledged).ok()
        };
        Ok((streaming.len() == ORDERS && streaming.iter().all(is_up_to_date)).then_some(()))
    })?;
    let took = began.elapsed();
    println!("all statuses are true {:.1} s after the last act", took.as_secs_f32());
    ensure!(took < UP_TO_DATE_WITHIN, "statuses became true after {took:?}");
    for (order, acknowledged) in results.acknowledged.iter().take(ORDERS / 10) {
        let path = format!(
            "{}/api/v1/orders/{order}/proposals?tenant={NAMESPACE}&limit=500",
            Cluster::service("processor")
        );
        let page = cluster.request("GET", &path, "")?.json()?;
        let listed = page["proposals"].as_array().into_iter().flatten();
        let listed: std::collections::BTreeSet<_> = listed
            .filter_map(|proposal| proposal["proposal_id"].as_str().map(str::to_owned))
            .collect();
        ensure!(listed == *acknowledged, "{order}: {listed:?} is held, {acknowledged:?} was heard");
    }
    let reconnects = |order: &Value| order["status"]["tracker"]["reconnects"].as_u64().unwrap_or(0);
    let most = streaming(cluster)?.iter().map(reconnects).max().unwrap_or_default();
    println!("no stream came up again more than {most} times");
    ensure!(
        most <= OUTAGES_MAX,
        "a stream came up again {most} times, its processor {OUTAGES_MAX} times"
    );
    Ok(())
}
