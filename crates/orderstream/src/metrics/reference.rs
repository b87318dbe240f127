//! The reference of all metrics, generated from the metrics that each role registers.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use orderstream_controller as controller;
use orderstream_rpc::observe::{RpcMetrics, RpcSide};
use prometheus::Registry;
use prometheus::proto::{MetricFamily, MetricType};

use super::JournalCollector;

/// A role's name, and the function that registers its metrics.
type RoleMetrics = (&'static str, fn(&Registry) -> Result<(), prometheus::Error>);

const ROLES: [RoleMetrics; 3] =
    [("processor", processor), ("controller", controller), ("requestor", requestor)];

fn processor(registry: &Registry) -> Result<(), prometheus::Error> {
    orderstream_processor::metrics::Metrics::new(registry)?;
    RpcMetrics::new(registry, RpcSide::Server)?;
    RpcMetrics::new(registry, RpcSide::Client)?;
    registry.register(Box::new(JournalCollector::of_none()?))
}

fn requestor(registry: &Registry) -> Result<(), prometheus::Error> {
    orderstream_requestor::Metrics::register(registry)?;
    RpcMetrics::new(registry, RpcSide::Client)?;
    registry.register(Box::new(JournalCollector::of_none()?))
}

fn controller(registry: &Registry) -> Result<(), prometheus::Error> {
    orderstream_requestor::Metrics::register(registry)?;
    RpcMetrics::new(registry, RpcSide::Client)?;
    controller::register_metrics(registry)
}

/// A metric of the reference.
#[derive(Debug, Default)]
struct Metric {
    kind: &'static str,
    labels: BTreeSet<String>,
    help: String,
    roles: Vec<&'static str>,
}

/// Returns the reference as Markdown.
///
/// # Errors
/// When two roles register one name differently.
pub(crate) fn reference() -> Result<String, prometheus::Error> {
    let mut metrics: BTreeMap<String, Metric> = BTreeMap::new();
    let mut series = Vec::new();
    for (role, register) in ROLES {
        let registry = Registry::new();
        super::register_common(&registry)?;
        register(&registry)?;
        let families = registry.gather();
        series.push((role, families.iter().map(count).sum::<usize>()));
        for family in families {
            let metric = metrics.entry(family.name().to_owned()).or_default();
            metric.kind = kind(family.get_field_type());
            family.help().clone_into(&mut metric.help);
            let labels = family.get_metric().iter().flat_map(|metric| metric.get_label());
            metric.labels.extend(labels.map(|label| label.name().to_owned()));
            metric.roles.push(role);
        }
    }
    Ok(page(&metrics, &series))
}

/// Returns the number of series that a family has on the page of a scrape.
fn count(family: &MetricFamily) -> usize {
    let of = |metric: &prometheus::proto::Metric| match family.get_field_type() {
        MetricType::HISTOGRAM => metric.get_histogram().get_bucket().len() + 3,
        MetricType::COUNTER | MetricType::GAUGE | MetricType::SUMMARY | MetricType::UNTYPED => 1,
    };
    family.get_metric().iter().map(of).sum()
}

const fn kind(kind: MetricType) -> &'static str {
    match kind {
        MetricType::COUNTER => "counter",
        MetricType::GAUGE => "gauge",
        MetricType::HISTOGRAM => "histogram",
        MetricType::SUMMARY => "summary",
        MetricType::UNTYPED => "untyped",
    }
}

fn page(metrics: &BTreeMap<String, Metric>, series: &[(&str, usize)]) -> String {
    let mut page = String::from(
        "# Metrics\n\nMade from the code by `orderstream metrics`. Every role serves them at \
         `/metrics` on its metrics port, 9090 in the chart. No label takes a user's value: ids, \
         paths and names are never in a series.\n\n",
    );
    for (role, count) in series {
        let line = writeln!(page, "- {role}: {count} series at the start");
        debug_assert!(line.is_ok(), "a text takes every line");
    }
    page.push_str("\n| name | type | labels | roles | meaning |\n|---|---|---|---|---|\n");
    for (name, metric) in metrics {
        let Metric { kind, labels, help, roles } = metric;
        let labels: Vec<_> = labels.iter().map(|label| format!("`{label}`")).collect();
        let (labels, roles) = (labels.join(", "), roles.join(", "));
        let line = writeln!(page, "| `{name}` | {kind} | {labels} | {roles} | {help} |");
        debug_assert!(line.is_ok(), "a text takes every line");
    }
    page
}

#[cfg(test)]
mod tests {
    /// Each has a meaning, and a role has fewer than 2 000 series at its start.
    #[test]
    fn reference_has_metrics_of_all_roles() {
        let page = super::reference().unwrap();
        for name in [
            "orderstream_processor_delivery_seconds",
            "orderstream_orders",
            "orderstream_order_streams",
            "orderstream_requestor_streams_active",
            "grpc_server_handled_total",
            "http_server_requests_total",
            "process_resident_memory_bytes",
            "orderstream_ready",
            "orderstream_memory_limit_bytes",
            "orderstream_processor_listed",
        ] {
            assert!(page.contains(&format!("| `{name}` |")), "{name} is missing");
        }
        let empty: Vec<_> = page.lines().filter(|line| line.ends_with("|  |")).collect();
        assert_eq!(empty, [""; 0]);
        for line in page.lines().filter(|line| line.contains(" series at the start")) {
            let count = line.split_whitespace().find_map(|word| word.parse::<usize>().ok());
            assert!(count.unwrap() < 2_000, "{line}");
        }
    }
}
