//! How many order requests are in each phase, counted from the cache when somebody asks.

use std::sync::Arc;

use parking_lot::RwLock;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntGaugeVec, Opts};

use super::cache::Cache;

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
            let phase = kept.resource.status.as_ref().and_then(|status| status.phase.as_deref());
            let phase = phase.unwrap_or("Pending");
            let place = PHASES.iter().position(|known| *known == phase);
            if let Some(count) = counts.get_mut(place.unwrap_or(PHASES.len() - 1)) {
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
