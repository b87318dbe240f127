//! Creates and registers metrics in one step, in the registry that the role serves.

use prometheus::core::Collector;
use prometheus::{
    Error, Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry,
};

/// Creates and registers metrics. Each call fails if the name is taken or malformed.
#[derive(Clone, Copy, Debug)]
pub struct Register<'a>(&'a Registry);

impl<'a> Register<'a> {
    /// Registers in this registry.
    pub const fn new(registry: &'a Registry) -> Self {
        Self(registry)
    }

    /// Creates an integer gauge.
    ///
    /// # Errors
    /// When the name is taken.
    pub fn gauge(self, name: &str, help: &str) -> Result<IntGauge, Error> {
        self.register(IntGauge::new(name, help)?)
    }

    /// Creates a gauge of seconds, or of other floating-point values.
    ///
    /// # Errors
    /// When the name is taken.
    pub fn seconds(self, name: &str, help: &str) -> Result<Gauge, Error> {
        self.register(Gauge::new(name, help)?)
    }

    /// Creates a counter.
    ///
    /// # Errors
    /// When the name is taken.
    pub fn counter(self, name: &str, help: &str) -> Result<IntCounter, Error> {
        self.register(IntCounter::new(name, help)?)
    }

    /// Creates counters with these labels.
    ///
    /// # Errors
    /// When the name is taken.
    pub fn counters(self, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec, Error> {
        self.register(IntCounterVec::new(Opts::new(name, help), labels)?)
    }

    /// Creates gauges with these labels.
    ///
    /// # Errors
    /// When the name is taken.
    pub fn gauges(self, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec, Error> {
        self.register(IntGaugeVec::new(Opts::new(name, help), labels)?)
    }

    /// Creates a histogram with these upper bounds.
    ///
    /// # Errors
    /// When the name is taken, or the bounds do not rise.
    pub fn histogram(self, name: &str, help: &str, bounds: &[f64]) -> Result<Histogram, Error> {
        let opts = HistogramOpts::new(name, help).buckets(bounds.to_vec());
        self.register(Histogram::with_opts(opts)?)
    }

    /// Creates histograms with these upper bounds and labels.
    ///
    /// # Errors
    /// When the name is taken, or the bounds do not rise.
    pub fn histograms(self, opts: HistogramOpts, labels: &[&str]) -> Result<HistogramVec, Error> {
        self.register(HistogramVec::new(opts, labels)?)
    }

    /// Registers a metric that was created elsewhere.
    ///
    /// # Errors
    /// When the name is taken.
    pub fn register<T: Collector + Clone + 'static>(self, metric: T) -> Result<T, Error> {
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }
}
