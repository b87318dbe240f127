//! An order's last events, read from its processor's server-sent events up to the order's last one;
//! later events are not awaited.

use orderstream_core::event::EventKind;
use orderstream_rest_types::order::OrderView;
use orderstream_rest_types::proposal::ProposalView;

use super::event_line::{EventLine, ProposalOwners};
use super::market::ProcessorRest;
use super::model::{TimelineEntry, WatchedEvent};
use super::print::one_line;
use super::sse::SseReader;
use crate::exit::CliError;

/// Reads the last `count` events, the oldest first; the proposals have the sellers of those that
/// were made before.
pub(super) async fn last(
    sellers: &ProcessorRest,
    order: &OrderView,
    proposals: &[ProposalView],
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
    let owners = owners(proposals);
    let messages = SseReader::default().push(text.as_bytes());
    let events = messages.iter().filter_map(|message| serde_json::from_str(&message.data).ok());
    Ok(events.map(|event| entry(event, &owners)).collect())
}

/// Returns the sellers of proposals.
pub(super) fn owners(proposals: &[ProposalView]) -> ProposalOwners {
    let mut owners = ProposalOwners::default();
    for proposal in proposals {
        owners.add(&proposal.proposal_id, &proposal.content.seller);
    }
    owners
}

/// Reports whether the body has the last event up to its end, which is an empty line.
fn is_complete(body: &[u8], last: &[u8]) -> bool {
    let found = body.windows(last.len()).rposition(|window| window == last);
    found.and_then(|at| body.get(at..)).is_some_and(|rest| rest.ends_with(b"\n\n"))
}

fn entry(event: WatchedEvent, owners: &ProposalOwners) -> TimelineEntry {
    let WatchedEvent { seq, at, status: name, detail, .. } = event;
    // A newer server may know events that this binary does not.
    let (text, line) = match serde_json::from_value::<EventKind>(detail) {
        Ok(kind) => (one_line(&kind.text()), EventLine::of(&kind, owners)),
        Err(_) => (String::new(), EventLine::unknown(&name)),
    };
    TimelineEntry { seq, at, event: name, text, line }
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
