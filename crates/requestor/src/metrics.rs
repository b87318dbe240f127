//! The requestor's metrics. No label ever holds a user's value.

use orderstream_support::Register;
use prometheus::{Histogram, IntCounter, IntGauge, Registry};

use crate::projector::ProjectionMetrics;

/// Buckets of the time from an event to the tracker, seconds.
const LAG_BOUNDS: [f64; 12] =
    [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0, 300.0];

/// Handles of all series, resolved once.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Streams that are up.
    pub streams_active: IntGauge,
    /// Orders in the tracker, ended ones included.
    pub orders_tracked: IntGauge,
    /// Streams that came up again after they had been up.
    pub stream_reconnects: IntCounter,
    /// Events received over streams, repeated ones included.
    pub events_received: IntCounter,
    /// Streams that were granted from the order's first event.
    pub granted_from_start: IntCounter,
    /// Streams that were granted after a cursor.
    pub granted_from_cursor: IntCounter,
    /// The time from an event until it is folded into the tracker.
    pub event_lag: Histogram,
    /// The metrics of the projection.
    pub projection: ProjectionMetrics,
}

impl Metrics {
    /// Makes the series and registers them.
    ///
    /// # Errors
    /// When the registry has one of the names already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let make = Register::new(registry);
        let granted = make.counters(
            "orderstream_requestor_streams_granted_total",
            "Order streams opened, by whether they began at the order's first event.",
            &["from"],
        )?;
        let event_lag = make.histogram(
            "orderstream_requestor_event_lag_seconds",
            "Time from an event to its receipt by the tracker; after an outage, its length.",
            &LAG_BOUNDS,
        )?;
        Ok(Self {
            granted_from_start: granted.with_label_values(&["start"]),
            granted_from_cursor: granted.with_label_values(&["cursor"]),
            event_lag,
            projection: ProjectionMetrics::register(registry)?,
            streams_active: make
                .gauge("orderstream_requestor_streams_active", "Order streams that are up.")?,
            orders_tracked: make.gauge(
                "orderstream_requestor_orders_tracked",
                "Tracked orders, ended ones included.",
            )?,
            stream_reconnects: make.counter(
                "orderstream_requestor_stream_reconnects_total",
                "Order streams reopened after they were up before.",
            )?,
            events_received: make.counter(
                "orderstream_requestor_events_received_total",
                "Events received over order streams, repeated ones included.",
            )?,
        })
    }
}
