//! P7, P10 and P15: metrics balance, resources stay within bounds, every client that is connected
//! when a process gets SIGTERM receives a response, and no process ends by itself.

use std::collections::BTreeMap;

use super::{Finding, Sorted};
use crate::history::Figures;
use crate::op::Outcome;

/// The limit of resident memory of one process of an unoptimised build, kilobytes: four times what
/// a run needs.
const RSS_KB_MAX: u64 = 600_000;
/// The limit of open descriptors of one process once all clients are gone.
const DESCRIPTORS_MAX: u64 = 400;

pub(super) fn check(sorted: &Sorted<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for figures in &sorted.figures {
        let wrong = |text: String| Finding::new("P7", "", format!("{}: {text}", figures.process));
        findings.extend(balance(figures).into_iter().map(wrong));
    }
    for gone in &sorted.gone {
        let text = format!("{} ended by itself: {}", gone.process, gone.status);
        findings.push(Finding::new("P15", "", text));
    }
    for act in &sorted.acts {
        let Outcome::Fail { reason } = &act.result else { continue };
        if reason == "INTERNAL" {
            findings.push(Finding::of_act("P15", act, "the server has a fault of its own"));
        }
        if reason.starts_with("CUT") {
            let text = format!("a connection that was made got no answer: {reason}");
            findings.push(Finding::of_act("P10", act, text));
        }
    }
    findings
}

/// Returns the number of calls that are open, by all series that count them.
#[must_use]
pub fn in_flight(series: &BTreeMap<String, f64>) -> f64 {
    series.iter().filter(|(name, _)| name.contains("_in_flight{")).map(|(_, value)| value).sum()
}

fn balance(figures: &Figures) -> Vec<String> {
    let mut wrong = Vec::new();
    for side in ["grpc_server", "grpc_client"] {
        let started = by_method(&figures.series, &format!("{side}_started_total"));
        let handled = by_method(&figures.series, &format!("{side}_handled_total"));
        let open = by_method(&figures.series, &format!("{side}_in_flight"));
        for (method, count) in started {
            let done = handled.get(&method).copied().unwrap_or_default();
            let now = open.get(&method).copied().unwrap_or_default();
            if (count - done - now).abs() > 0.5 {
                wrong.push(format!("{method}: {count} started, {done} handled, {now} open"));
            }
        }
    }
    let negative = figures.series.iter().filter(|(_, value)| **value < 0.0);
    wrong.extend(negative.map(|(name, value)| format!("{name} is {value}")));
    let held = figures.series.get("orderstream_processor_orders");
    if let (Some(listed), Some(held)) = (figures.orders, held)
        && (*held - listed as f64).abs() > 0.5
    {
        wrong.push(format!("{held} orders by the gauge, {listed} by the list"));
    }
    if figures.rss_kb > RSS_KB_MAX {
        wrong.push(format!("{} kB of memory", figures.rss_kb));
    }
    if figures.descriptors > DESCRIPTORS_MAX {
        wrong.push(format!("{} descriptors", figures.descriptors));
    }
    wrong
}

/// Returns the sums of one metric, by method.
fn by_method(series: &BTreeMap<String, f64>, figure: &str) -> BTreeMap<String, f64> {
    let mut sums: BTreeMap<String, f64> = BTreeMap::new();
    for (name, value) in series {
        let Some(labels) = name.strip_prefix(figure).filter(|rest| rest.starts_with('{')) else {
            continue;
        };
        let method = labels.split("grpc_method=\"").nth(1).and_then(|rest| rest.split('"').next());
        *sums.entry(format!("{figure}/{}", method.unwrap_or_default())).or_default() += value;
    }
    // The name of the figure is not part of what is compared.
    sums.into_iter()
        .map(|(key, value)| (key.rsplit('/').next().unwrap_or_default().to_owned(), value))
        .collect()
}
