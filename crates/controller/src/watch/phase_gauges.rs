//! The number of order requests in each phase, and with their streams in each phase, counted from
//! the cache when the metrics are collected.

use std::collections::BTreeMap;
use std::sync::Arc;

use orderstream_api::order_status::OrderRequestStatus;
use orderstream_core::{RequestPhase, StreamPhase};
use parking_lot::RwLock;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntGaugeVec, Opts};

use super::cache::Cache;

/// The label of a phase that is not known here.
const UNKNOWN: &str = "Unknown";

/// The phase under which a resource is counted; absent where its status has an unknown one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CountedPhase(Option<RequestPhase>);

impl CountedPhase {
    /// Returns the phase of a status; `Pending` while there is none.
    pub(crate) fn of(status: Option<&OrderRequestStatus>) -> Self {
        let phase = status.and_then(|status| status.phase.as_deref());
        Self(phase.map_or(Some(RequestPhase::Pending), RequestPhase::read_stored))
    }

    fn as_str(self) -> &'static str {
        self.0.map_or(UNKNOWN, RequestPhase::as_str)
    }
}

/// A collector that counts the cache's resources by their phase, and by that of their stream.
#[derive(Debug)]
pub(crate) struct PhaseGauges {
    cache: Arc<RwLock<Cache>>,
    orders: IntGaugeVec,
    streams: IntGaugeVec,
}

impl PhaseGauges {
    pub(crate) fn new(cache: Arc<RwLock<Cache>>) -> Result<Self, prometheus::Error> {
        let orders = Opts::new("orderstream_orders", "Order requests in the cache, by phase.");
        let streams = Opts::new(
            "orderstream_order_streams",
            "Order requests in the cache, by the phase of their stream.",
        );
        let (orders, streams) =
            (IntGaugeVec::new(orders, &["phase"])?, IntGaugeVec::new(streams, &["stream"])?);
        Ok(Self { cache, orders, streams })
    }

    fn count(&self) {
        let all = RequestPhase::ALL.map(Some).into_iter().chain([None]);
        let mut orders: BTreeMap<_, i64> =
            all.map(|phase| (CountedPhase(phase).as_str(), 0)).collect();
        let mut streams: BTreeMap<_, i64> =
            StreamPhase::ALL.into_iter().map(|phase| (phase.as_str(), 0)).collect();
        for (_, cached) in self.cache.read().iter() {
            *orders.entry(cached.phase.as_str()).or_default() += 1;
            *streams.entry(cached.stream.as_str()).or_default() += 1;
        }
        for (phase, count) in orders {
            self.orders.with_label_values(&[phase]).set(count);
        }
        for (phase, count) in streams {
            self.streams.with_label_values(&[phase]).set(count);
        }
    }
}

impl Collector for PhaseGauges {
    fn desc(&self) -> Vec<&Desc> {
        self.orders.desc().into_iter().chain(self.streams.desc()).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.count();
        self.orders.collect().into_iter().chain(self.streams.collect()).collect()
    }
}
