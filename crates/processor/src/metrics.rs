//! What the processor counts. No label ever holds a user's value.

use orderstream_core::Epoch;
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

/// Handles on the processor's metrics.
#[derive(Clone, Debug)]
pub struct Metrics {
    orders: IntGauge,
    trackers: IntGauge,
    observers: IntGauge,
    delivered: IntCounter,
    forwards: IntCounterVec,
}

impl Metrics {
    /// Makes and registers all metrics.
    ///
    /// # Errors
    /// When a name is taken.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let orders = IntGauge::new("orderstream_processor_orders", "Orders held in memory.")?;
        let streams = IntGaugeVec::new(
            Opts::new("orderstream_processor_streams", "Streams open now, by who follows."),
            &["follower"],
        )?;
        let delivered = IntCounter::new(
            "orderstream_processor_events_delivered_total",
            "Events handed to streams.",
        )?;
        registry.register(Box::new(orders.clone()))?;
        registry.register(Box::new(streams.clone()))?;
        registry.register(Box::new(delivered.clone()))?;
        let forwards = IntCounterVec::new(
            Opts::new(
                "orderstream_processor_forwards_total",
                "Requests for orders that are not here, by what came of handing them on.",
            ),
            &["result"],
        )?;
        registry.register(Box::new(forwards.clone()))?;
        for result in ["ok", "refused", "unreached", "unknown_order"] {
            forwards.with_label_values(&[result]).reset();
        }
        let trackers = streams.with_label_values(&["tracker"]);
        let observers = streams.with_label_values(&["observer"]);
        Ok(Self { orders, trackers, observers, delivered, forwards })
    }

    pub(crate) fn set_orders(&self, count: usize) {
        self.orders.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    pub(crate) fn stream_opened(&self, tracker: Option<Epoch>) {
        self.streams(tracker).inc();
    }

    pub(crate) fn stream_closed(&self, tracker: Option<Epoch>) {
        self.streams(tracker).dec();
    }

    pub(crate) fn forwarded(&self, result: &'static str) {
        self.forwards.with_label_values(&[result]).inc();
    }

    pub(crate) fn event_delivered(&self) {
        self.delivered.inc();
    }

    const fn streams(&self, tracker: Option<Epoch>) -> &IntGauge {
        if tracker.is_some() { &self.trackers } else { &self.observers }
    }
}
