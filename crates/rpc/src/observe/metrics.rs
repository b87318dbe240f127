//! The series of one side, with the names and labels of go-grpc-prometheus, resolved once per
//! method: the hot path is an index and an atomic add.

use std::sync::Arc;
use std::time::Instant;

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry,
};
use tonic::Code;

use super::code::{CODE_NAMES, code_index};
use super::{CallContext, RpcSide};
use crate::method::{METHODS, MethodInfo, RpcKind, UNKNOWN};

/// Buckets in seconds; a unary call takes from a network round trip up to its deadline.
const UNARY_BUCKETS: [f64; 13] =
    [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Buckets in seconds; a stream lasts up to an order's end, 30 minutes unless extended.
const STREAM_BUCKETS: [f64; 13] =
    [0.01, 0.1, 1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0];
/// The labels that identify a method.
const LABELS: [&str; 3] = ["grpc_type", "grpc_service", "grpc_method"];
/// Every kind of call, with its buckets.
const KINDS: [(RpcKind, &[f64]); 5] = [
    (RpcKind::Unary, &UNARY_BUCKETS),
    (RpcKind::ClientStream, &STREAM_BUCKETS),
    (RpcKind::ServerStream, &STREAM_BUCKETS),
    (RpcKind::BidiStream, &STREAM_BUCKETS),
    (RpcKind::Unknown, &UNARY_BUCKETS),
];

/// The series of one method.
#[derive(Debug)]
pub(super) struct MethodSeries {
    started: IntCounter,
    handled: Vec<IntCounter>,
    pub(super) received: IntCounter,
    pub(super) sent: IntCounter,
    handling: Histogram,
    in_flight: IntGauge,
}

/// All series of one side; each exists with the value 0 from the start.
#[derive(Debug)]
pub struct RpcMetrics {
    side: RpcSide,
    methods: Vec<MethodSeries>,
    unknown: MethodSeries,
}

impl RpcMetrics {
    /// Registers the series of one side.
    ///
    /// # Errors
    /// When the registry has series of these names already.
    pub fn new(registry: &Registry, side: RpcSide) -> Result<Arc<Self>, prometheus::Error> {
        let families = Families::register(registry, side)?;
        let methods: Result<_, _> = METHODS.iter().map(|method| families.series(method)).collect();
        Ok(Arc::new(Self { side, methods: methods?, unknown: families.series(&UNKNOWN)? }))
    }

    /// Returns the side that the series are for.
    pub fn side(&self) -> RpcSide {
        self.side
    }

    pub(super) fn of(&self, method: &MethodInfo) -> &MethodSeries {
        self.methods.get(method.index).unwrap_or(&self.unknown)
    }
}

/// The metric families of the series.
struct Families {
    started: IntCounterVec,
    handled: IntCounterVec,
    received: IntCounterVec,
    sent: IntCounterVec,
    handling: Vec<(RpcKind, HistogramVec)>,
    in_flight: IntGaugeVec,
}

impl Families {
    fn register(registry: &Registry, side: RpcSide) -> Result<Self, prometheus::Error> {
        let side = side.as_str();
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let opts = Opts::new(format!("grpc_{side}_{name}"), format!("{help} the {side}."));
            let family = IntCounterVec::new(opts, labels)?;
            registry.register(Box::new(family.clone()))?;
            Ok::<_, prometheus::Error>(family)
        };
        let with_code = [LABELS[0], LABELS[1], LABELS[2], "grpc_code"];
        let started = counter("started_total", "RPCs started on", &LABELS)?;
        let handled = counter("handled_total", "RPCs completed, by code, on", &with_code)?;
        let received = counter("msg_received_total", "Messages received on", &LABELS)?;
        let sent = counter("msg_sent_total", "Messages sent by", &LABELS)?;
        let opts = Opts::new(format!("grpc_{side}_in_flight"), format!("RPCs open on the {side}."));
        let in_flight = IntGaugeVec::new(opts, &LABELS)?;
        registry.register(Box::new(in_flight.clone()))?;
        let handling = KINDS
            .iter()
            .map(|&(kind, buckets)| {
                // The kind is a constant label: one family per kind can have its own buckets.
                let name = format!("grpc_{side}_handling_seconds");
                let opts = HistogramOpts::new(name, format!("Duration of RPCs on the {side}."))
                    .const_label(LABELS[0], kind.as_str())
                    .buckets(buckets.to_vec());
                let family = HistogramVec::new(opts, &LABELS[1..])?;
                registry.register(Box::new(family.clone()))?;
                Ok((kind, family))
            })
            .collect::<Result<_, prometheus::Error>>()?;
        Ok(Self { started, handled, received, sent, handling, in_flight })
    }

    fn series(&self, method: &MethodInfo) -> Result<MethodSeries, prometheus::Error> {
        let labels = [method.kind.as_str(), method.service, method.method];
        let handled = CODE_NAMES
            .iter()
            .map(|code| {
                self.handled.get_metric_with_label_values(&[labels[0], labels[1], labels[2], code])
            })
            .collect::<Result<_, _>>()?;
        let handling =
            self.handling.iter().find(|(kind, _)| *kind == method.kind).ok_or_else(|| {
                prometheus::Error::Msg("no buckets for this kind of RPC".to_owned())
            })?;
        Ok(MethodSeries {
            started: self.started.get_metric_with_label_values(&labels)?,
            handled,
            received: self.received.get_metric_with_label_values(&labels)?,
            sent: self.sent.get_metric_with_label_values(&labels)?,
            handling: handling.1.get_metric_with_label_values(&labels[1..])?,
            in_flight: self.in_flight.get_metric_with_label_values(&labels)?,
        })
    }
}

/// Counts one call exactly once, however it ends; a call that is dropped before its end is
/// `Canceled`.
#[derive(Debug)]
pub(super) struct CallGuard {
    metrics: Arc<RpcMetrics>,
    context: CallContext,
    started: Instant,
}

impl CallGuard {
    pub(super) fn start(metrics: Arc<RpcMetrics>, context: CallContext) -> Self {
        let series = metrics.of(context.method());
        series.started.inc();
        series.in_flight.inc();
        Self { metrics, context, started: Instant::now() }
    }

    pub(super) fn series(&self) -> &MethodSeries {
        self.metrics.of(self.context.method())
    }

    pub(super) fn context(&self) -> &CallContext {
        &self.context
    }

    pub(super) fn side(&self) -> RpcSide {
        self.metrics.side
    }

    /// Ends the call. Only the first call of this function counts.
    pub(super) fn finish(&self, code: Code) {
        if self.context.code().is_some() {
            return;
        }
        self.context.finish(code);
        let series = self.series();
        series.in_flight.dec();
        series.handling.observe(self.started.elapsed().as_secs_f64());
        if let Some(handled) = series.handled.get(code_index(code)) {
            handled.inc();
        }
    }
}

impl Drop for CallGuard {
    fn drop(&mut self) {
        self.finish(Code::Cancelled);
    }
}
