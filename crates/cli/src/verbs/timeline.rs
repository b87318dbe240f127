//! An order's last events, read from its processor's server-sent events up to the order's last one;
//! later events are not awaited.

use orderstream_core::event::EventKind;
use orderstream_rest_types::order::OrderView;
use serde::Deserialize;

use super::market::ProcessorRest;
use super::model::TimelineEntry;
use super::print::one_line;
use crate::exit::CliError;

/// The data of a server-sent event.
#[derive(Debug, Deserialize)]
struct SsePayload {
    seq: u64,
    at: String,
    status: String,
    detail: serde_json::Value,
}

/// Reads the last `count` events, the oldest first.
pub(super) async fn last(
    sellers: &ProcessorRest,
    order: &OrderView,
    count: u64,
) -> Result<Vec<TimelineEntry>, CliError> {
    if count == 0 || order.last_seq == 0 {
        return Ok(Vec::new());
    }
    let after = order.last_seq.saturating_sub(count).to_string();
    let last = format!("id: {}\n", order.last_seq);
    let enough = |body: &[u8]| is_complete(body, last.as_bytes());
    let id = &order.order_req_id;
    let text = sellers.text(id, "/events", &[("after", &after)], &enough).await?;
    let events = text.lines().filter_map(|line| line.strip_prefix("data: "));
    Ok(events.filter_map(|data| serde_json::from_str(data).ok()).map(entry).collect())
}

/// Reports whether the body has the last event up to its end, which is an empty line.
fn is_complete(body: &[u8], last: &[u8]) -> bool {
    let found = body.windows(last.len()).rposition(|window| window == last);
    found.and_then(|at| body.get(at..)).is_some_and(|rest| rest.ends_with(b"\n\n"))
}

fn entry(payload: SsePayload) -> TimelineEntry {
    let SsePayload { seq, at, status: event, detail } = payload;
    // A newer server may know events that this binary does not.
    let text = match serde_json::from_value::<EventKind>(detail) {
        Ok(kind) => one_line(&kind.text()),
        Err(_) => String::new(),
    };
    TimelineEntry { seq, at, event, text }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reading stops neither in the middle of it nor at an event whose id only begins like its id.
    #[test]
    fn reading_ends_after_the_last_event() {
        let last = b"id: 2\n";
        assert!(!is_complete(b"id: 1\nevent: a\ndata: {}\n\n", last));
        assert!(!is_complete(b"id: 1\ndata: {}\n\nid: 2\nda", last));
        assert!(is_complete(b"id: 1\ndata: {}\n\nid: 2\ndata: {}\n\n", last));
        assert!(!is_complete(b"id: 22\ndata: {}\n\n", last));
    }
}
