//! P7, P10 and P15: metrics balance, resources stay within limits, every client that is connected
//! when a process gets SIGTERM receives a response, and no process ends unexpectedly.

use std::collections::BTreeMap;

use super::{HistoryFinding, SortedHistory};
use crate::command::ClientOutcome;
use crate::history::ProcessMeasurements;

/// The limit on the resident memory of one process of an unoptimised build, kilobytes: four times
/// what a run needs.
const RSS_KB_MAX: u64 = 600_000;
/// The limit on the open descriptors of one process after all clients have disconnected.
const DESCRIPTORS_MAX: u64 = 400;

pub(super) fn check(history: &SortedHistory<'_>) -> Vec<HistoryFinding> {
    let mut findings = Vec::new();
    for measurements in &history.measurements {
        let wrong = |text: String| {
            HistoryFinding::new("P7", "", format!("{}: {text}", measurements.process))
        };
        findings.extend(balance(measurements).into_iter().map(wrong));
    }
    for exit in &history.exits {
        let text = format!("{} ended by itself: {}", exit.process, exit.status);
        findings.push(HistoryFinding::new("P15", "", text));
    }
    for attempt in &history.attempts {
        let ClientOutcome::Fail { reason } = &attempt.result else { continue };
        if reason == "INTERNAL" {
            findings.push(HistoryFinding::of_command(
                "P15",
                attempt,
                "the server has a fault of its own",
            ));
        }
        if reason.starts_with("CUT") {
            let text = format!("a connection that was made got no answer: {reason}");
            findings.push(HistoryFinding::of_command("P10", attempt, text));
        }
    }
    findings
}

/// Returns the number of open calls, from all series that count them.
#[must_use]
pub fn in_flight(series: &BTreeMap<String, f64>) -> f64 {
    series.iter().filter(|(name, _)| name.contains("_in_flight{")).map(|(_, value)| value).sum()
}

fn balance(measurements: &ProcessMeasurements) -> Vec<String> {
    let mut wrong = Vec::new();
    for side in ["grpc_server", "grpc_client"] {
        let started = by_method(&measurements.series, &format!("{side}_started_total"));
        let handled = by_method(&measurements.series, &format!("{side}_handled_total"));
        let open = by_method(&measurements.series, &format!("{side}_in_flight"));
        for (method, count) in started {
            let done = handled.get(&method).copied().unwrap_or_default();
            let now = open.get(&method).copied().unwrap_or_default();
            if (count - done - now).abs() > 0.5 {
                wrong.push(format!("{method}: {count} started, {done} handled, {now} open"));
            }
        }
    }
    let negative = measurements.series.iter().filter(|(_, value)| **value < 0.0);
    wrong.extend(negative.map(|(name, value)| format!("{name} is {value}")));
    let gauge = measurements.series.get("orderstream_processor_orders");
    if let (Some(listed), Some(gauge)) = (measurements.orders, gauge)
        && (*gauge - listed as f64).abs() > 0.5
    {
        wrong.push(format!("{gauge} orders by the gauge, {listed} by the list"));
    }
    if measurements.rss_kb > RSS_KB_MAX {
        wrong.push(format!("{} kB of memory", measurements.rss_kb));
    }
    if measurements.descriptors > DESCRIPTORS_MAX {
        wrong.push(format!("{} descriptors", measurements.descriptors));
    }
    wrong
}

/// Returns the sums of one metric, by method.
fn by_method(series: &BTreeMap<String, f64>, metric: &str) -> BTreeMap<String, f64> {
    let mut sums: BTreeMap<String, f64> = BTreeMap::new();
    for (name, value) in series {
        let Some(labels) = name.strip_prefix(metric).filter(|rest| rest.starts_with('{')) else {
            continue;
        };
        let method = labels.split("grpc_method=\"").nth(1).and_then(|rest| rest.split('"').next());
        *sums.entry(format!("{metric}/{}", method.unwrap_or_default())).or_default() += value;
    }
    // The metric's name is not compared.
    sums.into_iter()
        .map(|(key, value)| (key.rsplit('/').next().unwrap_or_default().to_owned(), value))
        .collect()
}
