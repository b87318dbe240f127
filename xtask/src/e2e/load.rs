//! A constant load of proposals from sellers that retry whatever a client may retry, and record the
//! acknowledged proposals.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use serde_json::json;

use super::cluster::{Cluster, NAMESPACE, sleep};

/// The number of concurrent sellers.
const SELLERS: usize = 4;
/// The time between two attempts of one proposal.
const RETRY: Duration = Duration::from_millis(50);
/// The time between two proposals of one seller.
const THINK_TIME: Duration = Duration::from_millis(5);

/// The results that the sellers received.
#[derive(Debug, Default)]
pub(super) struct LoadResults {
    /// Acknowledged proposals by order.
    pub(super) acknowledged: BTreeMap<String, BTreeSet<String>>,
    /// The times from the first attempt of a proposal to its acknowledgement, sorted once the load
    /// has stopped.
    pub(super) latencies: Vec<Duration>,
    /// The numbers of retries, by the received reason.
    pub(super) retries: BTreeMap<String, u32>,
    /// The final refusals, after which a client must not retry.
    pub(super) failures: Vec<String>,
}

/// Sellers that send proposals until they are stopped.
pub(super) struct Load<'scope> {
    stop: Arc<AtomicBool>,
    sellers: Vec<ScopedJoinHandle<'scope, LoadResults>>,
}

impl<'scope> Load<'scope> {
    /// Starts the sellers on these orders.
    pub(super) fn start<'env>(
        scope: &'scope Scope<'scope, 'env>,
        cluster: &'env Cluster,
        orders: &'env [String],
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let sellers = (0..SELLERS)
            .map(|seller| {
                let stop = Arc::clone(&stop);
                scope.spawn(move || propose(cluster, orders, seller, &stop))
            })
            .collect();
        Self { stop, sellers }
    }

    /// Stops the sellers, and returns all their results.
    pub(super) fn stop(self) -> LoadResults {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = LoadResults::default();
        for seller in self.sellers {
            let Ok(results) = seller.join() else {
                all.failures.push("a seller panicked".to_owned());
                continue;
            };
            for (order, ids) in results.acknowledged {
                all.acknowledged.entry(order).or_default().extend(ids);
            }
            all.latencies.extend(results.latencies);
            all.failures.extend(results.failures);
            for (reason, count) in results.retries {
                *all.retries.entry(reason).or_default() += count;
            }
        }
        all.latencies.sort();
        all
    }
}

fn propose(cluster: &Cluster, orders: &[String], seller: usize, stop: &AtomicBool) -> LoadResults {
    let path = format!("{}/api/v1/proposals", Cluster::service("processor"));
    let mut results = LoadResults::default();
    for serial in 0_usize.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let order = &orders[(serial * SELLERS + seller) % orders.len()];
        let id = format!("s{seller}-{serial}");
        let body = json!({
            "tenant": NAMESPACE, "order_req_id": order, "proposal_id": id,
            "seller": format!("seller-{seller}"), "price": "10.00", "currency": "EUR",
            "alternative": id,
        })
        .to_string();
        let began = Instant::now();
        loop {
            match try_propose(cluster, &path, &body) {
                ProposeOutcome::Acknowledged => {
                    results.latencies.push(began.elapsed());
                    results.acknowledged.entry(order.clone()).or_default().insert(id);
                    break;
                }
                ProposeOutcome::Retry(reason) => *results.retries.entry(reason).or_default() += 1,
                ProposeOutcome::Failed(reason) => {
                    results.failures.push(reason);
                    break;
                }
            }
            sleep(RETRY);
        }
        sleep(THINK_TIME);
    }
    results
}

enum ProposeOutcome {
    Acknowledged,
    /// A temporary refusal: overloaded, unavailable, or no response.
    Retry(String),
    /// A final refusal.
    Failed(String),
}

fn try_propose(cluster: &Cluster, path: &str, body: &str) -> ProposeOutcome {
    match cluster.request("POST", path, body) {
        Ok(response) if response.status == 201 => ProposeOutcome::Acknowledged,
        Ok(response) if matches!(response.status, 429 | 502 | 503 | 504) => {
            let reason = response.json().ok().and_then(|body| {
                Some(body.get("reason").or_else(|| body.get("message"))?.as_str()?.to_owned())
            });
            let reason = reason.unwrap_or_default();
            let reason = reason.split(':').next().unwrap_or_default();
            ProposeOutcome::Retry(format!("{} {reason}", response.status))
        }
        Ok(response) => ProposeOutcome::Failed(format!("{} {}", response.status, response.text)),
        Err(_) => ProposeOutcome::Retry("no answer".to_owned()),
    }
}
