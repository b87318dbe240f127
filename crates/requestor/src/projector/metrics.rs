//! The projection's metrics. No label ever holds a user's value.

use orderstream_core::Timestamp;
use orderstream_support::Register;
use prometheus::{Histogram, IntCounter, IntGauge, Registry};

/// Buckets of the time from an event to its projection, seconds: at best a few milliseconds, after
/// an outage as long as that was.
const LAG_BOUNDS: [f64; 12] =
    [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 300.0, 1_800.0, 7_200.0];

/// The outcome of a pass over one order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PassOutcome {
    /// Events were projected.
    Projected,
    /// All events were projected before.
    Current,
    /// The order's incarnation does not exist any more.
    NotFound,
    /// Another process moved the cursor, or the order is projected from its first event again.
    Moved,
    /// The projection is unreachable.
    Unavailable,
    /// The projection refuses the events.
    Refused,
    /// The order's processor is unreachable.
    Unreachable,
    /// The order's list cannot be read at the moment.
    Failed,
}

impl PassOutcome {
    const ALL: [Self; 8] = [
        Self::Projected,
        Self::Current,
        Self::NotFound,
        Self::Moved,
        Self::Unavailable,
        Self::Refused,
        Self::Unreachable,
        Self::Failed,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Projected => "projected",
            Self::Current => "current",
            Self::NotFound => "gone",
            Self::Moved => "moved",
            Self::Unavailable => "unavailable",
            Self::Refused => "refused",
            Self::Unreachable => "unreached",
            Self::Failed => "failed",
        }
    }
}

/// Handles of all series, resolved once.
#[derive(Clone, Debug)]
pub struct ProjectionMetrics {
    /// Orders with events that are not projected.
    pub waiting: IntGauge,
    /// 1 while the projection is unreachable.
    pub down: IntGauge,
    /// Events that were projected.
    pub events: IntCounter,
    /// The time from an event to its projection.
    pub lag: Histogram,
    /// Finished comparisons of all lists with the projection.
    pub sweeps: IntCounter,
    passes: Vec<(PassOutcome, IntCounter)>,
}

impl ProjectionMetrics {
    /// Makes the series and registers them.
    ///
    /// # Errors
    /// When the registry has one of the names already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let make = Register::new(registry);
        let passes = make.counters(
            "orderstream_requestor_projection_passes_total",
            "Projection passes over one order, by result.",
            &["outcome"],
        )?;
        let lag = make.histogram(
            "orderstream_requestor_projection_lag_seconds",
            "Time from an event to its projection; after an outage, its length.",
            &LAG_BOUNDS,
        )?;
        let of = |outcome: PassOutcome| (outcome, passes.with_label_values(&[outcome.as_str()]));
        Ok(Self {
            waiting: make.gauge(
                "orderstream_requestor_projection_orders_waiting",
                "Orders with events that are not projected yet.",
            )?,
            down: make.gauge(
                "orderstream_requestor_projection_down",
                "1 while the projection (MongoDB) is not reached, else 0.",
            )?,
            events: make.counter(
                "orderstream_requestor_projection_events_total",
                "Events that were projected.",
            )?,
            sweeps: make.counter(
                "orderstream_requestor_projection_sweeps_total",
                "Completed comparisons of all lists with the projection.",
            )?,
            passes: PassOutcome::ALL.map(of).to_vec(),
            lag,
        })
    }

    /// Counts a pass by its outcome.
    pub(super) fn observe_pass(&self, outcome: PassOutcome) {
        if let Some((_, counter)) = self.passes.iter().find(|(known, _)| *known == outcome) {
            counter.inc();
        }
    }

    /// Counts a projected event, and observes the time since `at`.
    #[allow(clippy::cast_precision_loss, reason = "milliseconds of days fit in 53 bits")]
    pub(super) fn observe_event(&self, at: Timestamp, now: Timestamp) {
        self.events.inc();
        self.lag.observe(now.ms_since(at) as f64 / 1_000.0);
    }
}
