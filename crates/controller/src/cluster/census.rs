//! How many order requests are in each phase, counted from the cache when somebody asks.

use std::sync::Arc;

use parking_lot::RwLock;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntGaugeVec, Opts};

use super::cache::Cache;
use crate::order_status::OrderRequestStatus;

/// All phases of a resource; what else a status says counts as `Unknown`.
const PHASES: [&str; 10] = [
    "Pending",
    "Streaming",
    "Reconnecting",
    "Paused",
    "Finalised",
    "Expired",
    "Closed",
    "Cancelled",
    "Failed",
    "Unknown",
];

/// A phase that is counted: its place in the list of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Phase(u8);

impl Phase {
    /// The phase that a status says; `Pending` while there is none.
    pub fn of(status: Option<&OrderRequestStatus>) -> Self {
        let said = status.and_then(|status| status.phase.as_deref()).unwrap_or("Pending");
        let place = PHASES.iter().position(|known| *known == said);
        Self(u8::try_from(place.unwrap_or(PHASES.len() - 1)).unwrap_or_default())
    }
}

/// Counts the cache's resources by phase.
#[derive(Debug)]
pub(super) struct Census {
    cache: Arc<RwLock<Cache>>,
    orders: IntGaugeVec,
}

impl Census {
    pub(super) fn new(cache: Arc<RwLock<Cache>>) -> Result<Self, prometheus::Error> {
        let opts = Opts::new("orderstream_orders", "Order requests in the cache, by phase.");
        Ok(Self { cache, orders: IntGaugeVec::new(opts, &["phase"])? })
    }

    fn count(&self) {
        let mut counts = [0_i64; PHASES.len()];
        for (_, kept) in self.cache.read().iter() {
            if let Some(count) = counts.get_mut(usize::from(kept.phase.0)) {
                *count += 1;
            }
        }
        for (phase, count) in PHASES.iter().zip(counts) {
            self.orders.with_label_values(&[*phase]).set(count);
        }
    }
}

impl Collector for Census {
    fn desc(&self) -> Vec<&Desc> {
        self.orders.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.count();
        self.orders.collect()
    }
}
