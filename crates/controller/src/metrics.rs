//! The controller's metrics, under the names that users of controller-runtime and client-go know,
//! and its own. No label ever holds a user's value.

mod requests;
mod rights;

use orderstream_support::Register;
use prometheus::{
    Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
};

pub use self::requests::Requests;

/// The value of the label `controller`, and of the queue's label `name`.
const NAME: &str = "orderrequest";

/// The result of a reconcile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReconcileResult {
    /// It succeeded.
    Success,
    /// It failed and is tried again.
    Error,
    /// It succeeded, and the resource is requeued at a time.
    RequeueAfter,
}

/// The urgency of a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Band {
    /// The order's end.
    Terminal,
    /// A change of phase, or an edit that was processed.
    Edge,
    /// Counters, and other changes that can wait.
    Progress,
}

impl Band {
    /// All urgencies, the highest first.
    pub(crate) const ALL: [Self; 3] = [Self::Terminal, Self::Edge, Self::Progress];

    /// Returns the value of the label `band`.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Terminal => "terminal",
            Self::Edge => "edge",
            Self::Progress => "progress",
        }
    }
}

/// The controller's metrics.
#[derive(Debug)]
pub(crate) struct Metrics {
    reconciles: IntCounterVec,
    reconcile_seconds: Histogram,
    queue_depth: IntGauge,
    queue_adds: IntCounter,
    queue_retries: IntCounter,
    queue_seconds: Histogram,
    leader: IntGauge,
    failover_seconds: Histogram,
    workers: IntGauge,
    status_writes: IntCounterVec,
    status_coalesced: IntCounter,
    status_waiting: IntGauge,
    status_rate: Gauge,
    watch_restarts: IntCounter,
    watch_errors: IntCounter,
    resources: IntGauge,
    orphans: IntCounter,
    fenced: IntCounter,
    events_dropped: IntCounter,
}

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(name, help)
}

fn seconds(name: &str, help: &str, labels: [(&str, &str); 1]) -> HistogramOpts {
    let [(label, value)] = labels;
    HistogramOpts::new(name, help)
        .const_label(label, value)
        .buckets(vec![0.000_1, 0.000_5, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0])
}

fn failover() -> HistogramOpts {
    HistogramOpts::new(
        "orderstream_failover_seconds",
        "Time from the last observed renewal of the former leader to the lead of this process.",
    )
    .buckets(vec![0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0, 60.0, 300.0])
}

fn reconciles() -> Opts {
    opts("controller_runtime_reconcile_total", "Reconciliations, by result.")
        .const_label("controller", NAME)
}

fn workers() -> Opts {
    opts(
        "controller_runtime_active_workers",
        "1 while resources are reconciled, one after the other, by one worker.",
    )
    .const_label("controller", NAME)
}

const LEADER: &str = "leader_election_master_status";

impl Metrics {
    /// Registers all series; each exists at 0 from the start. The election's label `name` has the
    /// Lease's name.
    ///
    /// # Errors
    /// When one of the names is registered already.
    pub(crate) fn register(registry: &Registry, lease: &str) -> Result<Self, prometheus::Error> {
        let queue = |name: &str, help: &str| opts(name, help).const_label("name", NAME);
        let make = Register::new(registry);
        let queue_counter =
            |name: &str, help: &str| make.register(IntCounter::with_opts(queue(name, help))?);
        let leader = make.gauges(LEADER, "1 while this process leads.", &["name"])?;
        let metrics = Self {
            reconciles: make.register(IntCounterVec::new(reconciles(), &["result"])?)?,
            reconcile_seconds: make.register(Histogram::with_opts(seconds(
                "controller_runtime_reconcile_time_seconds",
                "Duration of one reconciliation.",
                [("controller", NAME)],
            ))?)?,
            queue_depth: make.register(IntGauge::with_opts(queue(
                "workqueue_depth",
                "Resources in the queue.",
            ))?)?,
            queue_adds: queue_counter("workqueue_adds_total", "Resources queued.")?,
            queue_retries: queue_counter(
                "workqueue_retries_total",
                "Reconciliations that failed and are retried.",
            )?,
            queue_seconds: make.register(Histogram::with_opts(seconds(
                "workqueue_queue_duration_seconds",
                "Time from queueing a resource to its reconciliation.",
                [("name", NAME)],
            ))?)?,
            leader: leader.with_label_values(&[lease]),
            failover_seconds: make.register(Histogram::with_opts(failover())?)?,
            workers: make.register(IntGauge::with_opts(workers())?)?,
            status_writes: make.counters(
                "orderstream_status_writes_total",
                "Statuses written, by urgency and result.",
                &["band", "result"],
            )?,
            status_coalesced: make.counter(
                "orderstream_status_coalesced_total",
                "Statuses that a newer one replaced before they were written.",
            )?,
            status_waiting: make.gauge(
                "orderstream_status_writes_waiting",
                "Statuses in the queue to be written.",
            )?,
            status_rate: make.seconds(
                "orderstream_status_writes_per_second_limit",
                "Statuses that may be written per second now.",
            )?,
            watch_restarts: make.counter(
                "orderstream_watch_restarts_total",
                "Lists of all resources, at the start and after a broken watch.",
            )?,
            watch_errors: make
                .counter("orderstream_watch_errors_total", "Failures of the watch.")?,
            resources: make.gauge("orderstream_order_requests", "Resources in the cache.")?,
            orphans: make.counter(
                "orderstream_orphans_cancelled_total",
                "Orders cancelled because their resource is gone.",
            )?,
            fenced: make.counter(
                "orderstream_fenced_total",
                "Epochs raised because a processor knew a higher one.",
            )?,
            events_dropped: make.counter(
                "orderstream_events_dropped_total",
                "Kubernetes Events that were not published.",
            )?,
        };
        metrics.start_at_zero();
        Ok(metrics)
    }

    fn start_at_zero(&self) {
        for result in ["success", "error", "requeue_after"] {
            self.reconciles.with_label_values(&[result]).reset();
        }
        for band in Band::ALL {
            for result in ["ok", "conflict", "throttled", "error"] {
                self.status_writes.with_label_values(&[band.as_str(), result]).reset();
            }
        }
        self.stopped_leading();
    }

    pub(crate) fn reconciled(&self, result: ReconcileResult, seconds: f64) {
        let result = match result {
            ReconcileResult::Success => "success",
            ReconcileResult::Error => "error",
            ReconcileResult::RequeueAfter => "requeue_after",
        };
        self.reconciles.with_label_values(&[result]).inc();
        self.reconcile_seconds.observe(seconds);
    }

    pub(crate) fn worker_started(&self) {
        self.workers.set(1);
    }

    pub(crate) fn worker_idle(&self) {
        self.workers.set(0);
    }

    /// Records the seconds from the former leader's last sign of life to this process's lead.
    pub(crate) fn took_over(&self, seconds: f64) {
        self.failover_seconds.observe(seconds);
    }

    pub(crate) fn queue_added(&self, depth: usize) {
        self.queue_adds.inc();
        self.queue_depth.set(number(depth));
    }

    pub(crate) fn queue_taken(&self, depth: usize, waited: f64) {
        self.queue_depth.set(number(depth));
        self.queue_seconds.observe(waited);
    }

    pub(crate) fn queue_retried(&self) {
        self.queue_retries.inc();
    }

    pub(crate) fn started_leading(&self) {
        self.leader.set(1);
    }

    pub(crate) fn stopped_leading(&self) {
        self.leader.set(0);
    }

    pub(crate) fn status_written(&self, band: Band, result: &'static str) {
        self.status_writes.with_label_values(&[band.as_str(), result]).inc();
    }

    pub(crate) fn status_coalesced(&self) {
        self.status_coalesced.inc();
    }

    pub(crate) fn set_statuses_waiting(&self, waiting: usize, per_second: f64) {
        self.status_waiting.set(number(waiting));
        self.status_rate.set(per_second);
    }

    pub(crate) fn watch_restarted(&self) {
        self.watch_restarts.inc();
    }

    pub(crate) fn watch_failed(&self) {
        self.watch_errors.inc();
    }

    pub(crate) fn set_resources(&self, count: usize) {
        self.resources.set(number(count));
    }

    pub(crate) fn orphan_cancelled(&self) {
        self.orphans.inc();
    }

    pub(crate) fn fenced(&self) {
        self.fenced.inc();
    }

    pub(crate) fn event_dropped(&self) {
        self.events_dropped.inc();
    }
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use prometheus::TextEncoder;

    use super::*;

    #[test]
    fn leader_metric_names_the_lease() {
        let registry = Registry::new();
        let metrics = Metrics::register(&registry, "shop-controller").unwrap();
        let page = || TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        let line = r#"leader_election_master_status{name="shop-controller"}"#;
        assert!(page().contains(&format!("{line} 0\n")));
        metrics.started_leading();
        assert!(page().contains(&format!("{line} 1\n")));
    }
}
