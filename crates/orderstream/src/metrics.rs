//! The metrics of the process and of its open journals, and the reference of all metrics.

mod journal;
mod memory;
mod reference;

use std::sync::Arc;

use orderstream_cli::exit::CliError;
use orderstream_rpc::server::http_metrics::HttpMetrics;
use orderstream_support::Register;
use prometheus::{IntGauge, Registry};

pub(crate) use journal::JournalCollector;
pub(crate) use reference::reference;

/// The metrics that every role has, and the registry that holds them.
#[derive(Debug)]
pub(crate) struct CommonMetrics {
    /// The registry, for the role's own metrics.
    pub(crate) registry: Registry,
    /// The metrics of plain HTTP.
    pub(crate) http: Arc<HttpMetrics>,
    /// The process's readiness.
    pub(crate) ready: IntGauge,
}

impl CommonMetrics {
    /// Registers the build, readiness, the memory limit, the process, plain HTTP.
    pub(crate) fn register() -> Result<Self, CliError> {
        let registry = Registry::new();
        let registered = register_common(&registry);
        let (http, ready) = registered.map_err(|error| CliError::unexpected(error.to_string()))?;
        Ok(Self { registry, http, ready })
    }
}

fn register_common(registry: &Registry) -> Result<(Arc<HttpMetrics>, IntGauge), prometheus::Error> {
    let make = Register::new(registry);
    let help = "1, with the version that runs.";
    let build = make.gauges("orderstream_build_info", help, &["version"])?;
    build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
    let ready = make.gauge("orderstream_ready", "1 while /readyz succeeds, else 0.")?;
    let help = "Bytes of memory that the process may use: the limit of its container; 0 when \
                there is none.";
    make.gauge("orderstream_memory_limit_bytes", help)?.set(memory::limit_bytes());
    #[cfg(target_os = "linux")]
    {
        let process = prometheus::process_collector::ProcessCollector::for_self();
        registry.register(Box::new(process))?;
    }
    Ok((HttpMetrics::register(registry)?, ready))
}
