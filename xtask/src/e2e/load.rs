//! A constant load of proposals by sellers that repeat whatever a client may repeat, and record
//! what was acknowledged.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use serde_json::json;

use super::cluster::{Cluster, NAMESPACE, pause};

/// The number of concurrent sellers.
const SELLERS: usize = 4;
/// The time between two tries of one proposal.
const RETRY: Duration = Duration::from_millis(50);
/// The time between two proposals of one seller.
const THINK: Duration = Duration::from_millis(5);

/// The results that the sellers received.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// Acknowledged proposals by order.
    pub(super) acknowledged: BTreeMap<String, BTreeSet<String>>,
    /// The times from the first try of a proposal to its acknowledgement, sorted once the load has
    /// stopped.
    pub(super) took: Vec<Duration>,
    /// The numbers of repeated tries, by the reason received.
    pub(super) repeated: BTreeMap<String, u32>,
    /// The refusals after which no client may retry.
    pub(super) failed: Vec<String>,
}

/// Sellers that propose until they are stopped.
pub(super) struct Load<'scope> {
    stop: Arc<AtomicBool>,
    sellers: Vec<ScopedJoinHandle<'scope, Heard>>,
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
    pub(super) fn stop(self) -> Heard {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Heard::default();
        for seller in self.sellers {
            let Ok(heard) = seller.join() else {
                all.failed.push("a seller panicked".to_owned());
                continue;
            };
            for (order, ids) in heard.acknowledged {
                all.acknowledged.entry(order).or_default().extend(ids);
            }
            all.took.extend(heard.took);
            all.failed.extend(heard.failed);
            for (why, count) in heard.repeated {
                *all.repeated.entry(why).or_default() += count;
            }
        }
        all.took.sort();
        all
    }
}

fn propose(cluster: &Cluster, orders: &[String], seller: usize, stop: &AtomicBool) -> Heard {
    let path = format!("{}/api/v1/proposals", Cluster::service("processor"));
    let mut heard = Heard::default();
    for serial in 0_usize.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let order = &orders[(serial * SELLERS + seller) % orders.len()];
        let id = format!("s{seller}-{serial}");
        let body = json!({
            "tenant": NAMESPACE, "order_req_id": order, "proposal_id": id,
            "seller": format!("seller-{seller}"), "price": "10.00", "currency": "EUR",
        })
        .to_string();
        let began = Instant::now();
        loop {
            match tried(cluster, &path, &body) {
                Tried::Done => {
                    heard.took.push(began.elapsed());
                    heard.acknowledged.entry(order.clone()).or_default().insert(id);
                    break;
                }
                Tried::Again(why) => *heard.repeated.entry(why).or_default() += 1,
                Tried::Failed(why) => {
                    heard.failed.push(why);
                    break;
                }
            }
            pause(RETRY);
        }
        pause(THINK);
    }
    heard
}

enum Tried {
    Done,
    /// A temporary refusal: overloaded, unavailable, or no response.
    Again(String),
    /// A final refusal.
    Failed(String),
}

fn tried(cluster: &Cluster, path: &str, body: &str) -> Tried {
    match cluster.ask("POST", path, body) {
        Ok(answer) if answer.status == 201 => Tried::Done,
        Ok(answer) if matches!(answer.status, 429 | 502 | 503 | 504) => {
            let reason = answer.json().ok().and_then(|body| {
                Some(body.get("reason").or_else(|| body.get("message"))?.as_str()?.to_owned())
            });
            let reason = reason.unwrap_or_default();
            let reason = reason.split(':').next().unwrap_or_default();
            Tried::Again(format!("{} {reason}", answer.status))
        }
        Ok(answer) => Tried::Failed(format!("{} {}", answer.status, answer.text)),
        Err(_) => Tried::Again("no answer".to_owned()),
    }
}
