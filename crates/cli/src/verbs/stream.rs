//! The state of an order's stream to its buyer, and the cause where it is down.

use orderstream_api::conditions::{READY, STALLED};
use orderstream_api::order_status::OrderRequestStatus;
use orderstream_core::StreamPhase;
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
    let phase = match (is_ended(order), report.active) {
        (true, _) => Some(StreamPhase::Ended),
        (false, true) => Some(StreamPhase::Active),
        (false, false) => reader.phase,
    };
    report.phase = phase.map(|phase| phase.to_string());
    report.down_because = (!report.active).then(|| down_reason(order, &reader));
    Ok(report)
}

/// The stream's reader, as it reports itself.
#[derive(Clone, Debug, Default)]
struct StreamReader {
    /// The stream's phase; absent where nobody follows the order.
    phase: Option<StreamPhase>,
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
        phase: stream_phase(resource),
        processor: text("/status/stream/processor"),
        reconnects: number("/status/tracker/reconnects"),
        attempts: number("/status/stream/attempts").unwrap_or(0),
        trouble,
    }
}

fn of_tracking(tracked: &TrackedView) -> StreamReader {
    // A server of an earlier version has no word for the stream.
    let is_up = if tracked.stream_active { StreamPhase::Active } else { StreamPhase::Reconnecting };
    StreamReader {
        phase: Some(StreamPhase::parse(&tracked.stream).unwrap_or(is_up)),
        processor: tracked.processor.as_deref().map(one_line),
        reconnects: Some(u64::from(tracked.reconnects)),
        attempts: u64::from(tracked.attempts),
        trouble: tracked.reason.as_deref().map(one_line),
    }
}

/// Returns the phase of the stream that an order request shows; `None` before it has a status.
pub(super) fn stream_phase(resource: &Value) -> Option<StreamPhase> {
    let phase = resource.pointer("/status/phase")?.as_str()?.to_owned();
    let tracker = resource.pointer("/status/tracker").cloned();
    let tracker = tracker.and_then(|tracker| serde_json::from_value(tracker).ok());
    let status = OrderRequestStatus { phase: Some(phase), tracker, ..Default::default() };
    Some(status.stream_phase())
}

/// Describes the reason that the stream has no reader, and the fix.
fn down_reason(order: &OrderView, reader: &StreamReader) -> String {
    if is_ended(order) {
        return format!("the order has ended ({}); nothing is left to follow", order.phase);
    }
    let trouble = reader.trouble.as_deref().map(|text| format!(" ({text})")).unwrap_or_default();
    match reader.phase {
        None => format!(
            "nobody follows the order here{trouble}; check that the requestor or controller runs"
        ),
        Some(StreamPhase::Reconnecting) => {
            let attempts = reader.attempts;
            format!(
                "it broke and comes back by itself; failed attempts so far: {attempts}{trouble}"
            )
        }
        Some(StreamPhase::Pending) => {
            format!("it was never up{trouble}; check that a processor is ready")
        }
        Some(phase @ (StreamPhase::Active | StreamPhase::Ended)) => {
            format!("its reader has it as {phase}{trouble}")
        }
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
    fn orders_without_a_reader_name_the_fix() {
        assert!(reason("Open", &json!({})).starts_with("nobody follows the order here"));
        let pending = json!({"status": {"phase": "Pending"}});
        assert!(reason("Open", &pending).starts_with("it was never up"));
    }

    #[test]
    fn broken_streams_report_attempts_and_cause() {
        let resource = json!({"status": {
            "phase": "Deciding",
            "tracker": {"streamActive": false, "stream": "Reconnecting"},
            "stream": {"epoch": 1, "attempts": 7},
            "conditions": [
                {"type": "Ready", "status": "False", "reason": "UNREACHABLE", "message": "refused"},
            ],
        }});
        let text = reason("Open", &resource);
        assert!(text.contains("failed attempts so far: 7 (UNREACHABLE: refused)"), "{text}");
    }
}
