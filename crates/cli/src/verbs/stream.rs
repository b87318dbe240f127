//! The state of an order's stream to its buyer, and the cause where it is down.

use orderstream_api::conditions::{READY, STALLED};
use orderstream_core::RequestPhase;
use orderstream_rest_types::order::OrderView;
use orderstream_rest_types::tracking::TrackedView;
use serde_json::Value;

use super::market::{Market, Subject};
use super::model::StreamReport;
use super::order_commands::is_ended;
use super::print::one_line;
use crate::exit::CliError;

/// Reports the state of the stream, as the processor and the stream's reader know it.
pub(super) async fn report(
    market: &Market,
    subject: &Subject,
    order: &OrderView,
) -> Result<StreamReport, CliError> {
    let mut report = StreamReport {
        active: order.stream_active,
        last_seq: order.last_seq,
        epoch: order.epoch,
        ..StreamReport::default()
    };
    let reader = match subject.resource() {
        // A former incarnation has no reader; a known reader is that of the newest one.
        _ if market.sellers().reads_named_incarnation() => StreamReader::default(),
        Some(resource) => of_resource(resource),
        None => match market.tracking(subject).await {
            Ok(tracked) => tracked.as_ref().map(of_tracking).unwrap_or_default(),
            Err(failure) if failure.is_not_reached() || failure.is_refused() => {
                StreamReader { trouble: Some(failure.to_string()), ..StreamReader::default() }
            }
            Err(failure) => return Err(failure),
        },
    };
    report.processor.clone_from(&reader.processor);
    report.reconnects = reader.reconnects;
    report.down_because = (!report.active).then(|| down_reason(order, &reader));
    Ok(report)
}

/// The stream's reader, as it reports itself.
#[derive(Clone, Debug, Default)]
struct StreamReader {
    phase: String,
    processor: Option<String>,
    reconnects: Option<u64>,
    attempts: u64,
    trouble: Option<String>,
}

fn of_resource(resource: &Value) -> StreamReader {
    let text = |path: &str| resource.pointer(path).and_then(Value::as_str).map(one_line);
    let number = |path: &str| resource.pointer(path).and_then(Value::as_u64);
    let conditions = resource.pointer("/status/conditions").and_then(Value::as_array);
    let is_bad = |condition: &&Value| {
        let is =
            |name: &str, value: &str| condition.get(name).and_then(Value::as_str) == Some(value);
        is("type", STALLED) && is("status", "True") || is("type", READY) && is("status", "False")
    };
    let trouble = conditions.into_iter().flatten().find(is_bad).map(|condition| {
        let text = |name: &str| condition.get(name).and_then(Value::as_str).unwrap_or_default();
        one_line(&format!("{}: {}", text("reason"), text("message")))
    });
    StreamReader {
        phase: text("/status/phase").unwrap_or_default(),
        processor: text("/status/stream/processor"),
        reconnects: number("/status/tracker/reconnects"),
        attempts: number("/status/stream/attempts").unwrap_or(0),
        trouble,
    }
}

fn of_tracking(tracked: &TrackedView) -> StreamReader {
    StreamReader {
        phase: one_line(&tracked.phase),
        processor: tracked.processor.as_deref().map(one_line),
        reconnects: Some(u64::from(tracked.reconnects)),
        attempts: u64::from(tracked.attempts),
        trouble: tracked.reason.as_deref().map(one_line),
    }
}

/// Describes the reason that the stream has no reader, and the fix.
fn down_reason(order: &OrderView, reader: &StreamReader) -> String {
    if is_ended(order) {
        return format!("the order has ended ({}); nothing is left to follow", order.phase);
    }
    let trouble = reader.trouble.as_deref().map(|text| format!(" ({text})")).unwrap_or_default();
    if reader.phase.is_empty() {
        return format!(
            "nobody follows the order here{trouble}; check that the requestor or controller runs"
        );
    }
    match RequestPhase::parse(&reader.phase) {
        Some(RequestPhase::Reconnecting) => {
            let attempts = reader.attempts;
            format!(
                "it broke and comes back by itself; failed attempts so far: {attempts}{trouble}"
            )
        }
        Some(RequestPhase::Pending) => {
            format!("it was never up{trouble}; check that a processor is ready")
        }
        _ => format!("its reader is in phase {}{trouble}", reader.phase),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn reason(phase: &str, resource: &Value) -> String {
        let order = OrderView { phase: phase.to_owned(), ..OrderView::default() };
        down_reason(&order, &of_resource(resource))
    }

    #[test]
    fn an_ended_order_needs_no_stream() {
        assert!(reason("Finalised", &json!({})).starts_with("the order has ended (Finalised)"));
    }

    #[test]
    fn broken_streams_report_attempts_and_cause() {
        let resource = json!({"status": {
            "phase": "Reconnecting",
            "stream": {"attempts": 7},
            "conditions": [
                {"type": "Ready", "status": "False", "reason": "UNREACHABLE", "message": "refused"},
            ],
        }});
        let text = reason("Open", &resource);
        assert!(text.contains("failed attempts so far: 7 (UNREACHABLE: refused)"), "{text}");
    }
}
