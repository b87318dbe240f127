//! The requestor's figures. No label takes a user's value.

use prometheus::{IntCounter, IntGauge, Registry};

/// Handles of all series, resolved once.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Streams that are up.
    pub streams_active: IntGauge,
    /// Orders in the tracker, ended ones included.
    pub orders_tracked: IntGauge,
    /// Streams that came up again after they were up before.
    pub stream_reconnects: IntCounter,
    /// Events that came over streams, repeated ones included.
    pub events_received: IntCounter,
}

impl Metrics {
    /// Makes the series and registers them.
    ///
    /// # Errors
    /// When the registry has one of the names already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let gauge = |name: &str, help: &str| -> Result<IntGauge, prometheus::Error> {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        let counter = |name: &str, help: &str| -> Result<IntCounter, prometheus::Error> {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        Ok(Self {
            streams_active: gauge(
                "orderstream_requestor_streams_active",
                "Order streams that are up.",
            )?,
            orders_tracked: gauge(
                "orderstream_requestor_orders_tracked",
                "Orders in the tracker, ended ones included.",
            )?,
            stream_reconnects: counter(
                "orderstream_requestor_stream_reconnects_total",
                "Order streams that came up again after they were up before.",
            )?,
            events_received: counter(
                "orderstream_requestor_events_received_total",
                "Events that came over order streams, repeated ones included.",
            )?,
        })
    }
}
