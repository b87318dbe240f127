//! The metrics of the process and of its open journals, and the reference of all metrics.

mod journal;
mod reference;

use std::sync::Arc;

use orderstream_cli::exit::CliError;
use orderstream_rpc::server::http_metrics::HttpMetrics;
use prometheus::{IntGaugeVec, Opts, Registry};

pub(crate) use journal::JournalCollector;
pub(crate) use reference::reference;

/// Creates a registry with the metrics that every role has: the build, the process, plain HTTP.
pub(crate) fn registry() -> Result<(Registry, Arc<HttpMetrics>), CliError> {
    let registry = Registry::new();
    let registered = register_common(&registry);
    registered.map(|http| (registry, http)).map_err(|error| CliError::unexpected(error.to_string()))
}

fn register_common(registry: &Registry) -> Result<Arc<HttpMetrics>, prometheus::Error> {
    let options = Opts::new("orderstream_build_info", "1, with the version that runs.");
    let build = IntGaugeVec::new(options, &["version"])?;
    build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
    registry.register(Box::new(build))?;
    #[cfg(target_os = "linux")]
    {
        let process = prometheus::process_collector::ProcessCollector::for_self();
        registry.register(Box::new(process))?;
    }
    HttpMetrics::register(registry)
}
