//! The page of events: each with its meaning, the sellers that see it, the phase that it leads to,
//! and an example of its JSON.

use orderstream_cli::exit::CliError;
use orderstream_core::event::{Event, EventKind, ProposalUpdate, SellerAudience};
use orderstream_processor::rest::event_json;

use super::ReferencePage;
use super::markdown::{code, head, row};

/// An example of each event, as it is stored.
const EXAMPLES: &str = include_str!("events.jsonl");

/// The words for an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct EventText {
    /// The heading: the name, and the case where a name stands for several.
    title: &'static str,
    /// The meaning, as a sentence.
    meaning: &'static str,
}

/// Returns the page.
///
/// # Errors
/// When an example cannot be read.
pub(super) fn page() -> Result<ReferencePage, CliError> {
    let examples = EXAMPLES.lines().map(serde_json::from_str::<Event>);
    let examples = examples.collect::<Result<Vec<Event>, _>>();
    let examples =
        examples.map_err(|error| CliError::unexpected(format!("an example event: {error}")))?;
    let mut text = String::from(
        "# Events\n\nMade from the code by `cargo xtask codegen`.\n\nAn order's events are \
         numbered from 1, and never change. `GET /api/v1/orders/ORDER/events` of the sellers' \
         REST sends them as server-sent events: `id` is the number, `event` the name, and `data` \
         the JSON below. `orderstream watch ORDER -o json` prints the same, one event on each \
         line. `content` has the event's content with degrees, decimals and RFC 3339 times; `detail` has \
         it as it is stored. `orderstream schema watch` prints the JSON Schema. Over gRPC an event is an `OrderStreamResponse` of \
         [event.proto](../../proto/orderstream/v1/event.proto).\n\nWhile an order is sealed, prices and the \
         sellers' names are left out. A seller's session gets the events of the second column; \
         the buyer gets all of them.\n\n",
    );
    head(&mut text, &["event", "sellers that see it", "phase afterwards", "meaning"]);
    for Event { kind, .. } in &examples {
        let EventText { title, meaning } = words(kind);
        row(&mut text, &[title, audience(kind), phase_after(kind), meaning]);
    }
    for example in &examples {
        let EventText { title, meaning } = words(&example.kind);
        let json = serde_json::to_string_pretty(&event_json(example)).unwrap_or_default();
        text.push_str(&format!("\n## {title}\n\n{meaning}\n\n```json\n{json}\n```\n"));
    }
    text.push_str(&format!(
        "\n## The end of a stream\n\nAfter an order's last event the stream ends, and a request \
         with {} of that event gets 204. An event {} without a number means that the server \
         stops: connect again. {} means that the list cannot be read on, with the reason.\n",
        code("Last-Event-ID"),
        code("Draining"),
        code("Error"),
    ));
    Ok(ReferencePage { path: "events.md".to_owned(), text })
}

/// Returns the words for an event; each title has an example.
fn words(kind: &EventKind) -> EventText {
    let text = |title, meaning| EventText { title, meaning };
    match kind {
        EventKind::OrderOpened(_) => text(
            "OrderOpened",
            "The order was opened: its content, and the deadline if nobody extends it.",
        ),
        EventKind::SellersSelected(_) => text(
            "SellersSelected",
            "Every seller that was considered, with the verdict; those that were chosen are invited. \
             A later one adds sellers that came while the order was open, and has all that are \
             invited by then.",
        ),
        EventKind::SellerNotified { .. } => text(
            "SellerNotified",
            "A seller was notified of the order, could not be, or has seen it.",
        ),
        EventKind::NewProposal(_) => text("NewProposal", "A seller made a proposal."),
        EventKind::ProposalUpdate(update) => update_words(update),
        EventKind::ProposalClosed { .. } => text("ProposalClosed", "A proposal did not win."),
        EventKind::EditLock { until: Some(_), .. } => text(
            "EditLock (taken)",
            "A seller locked its proposal: nobody else changes it until this time.",
        ),
        EventKind::EditLock { until: None, .. } => {
            text("EditLock (released)", "The lock of a proposal was released.")
        }
        EventKind::FollowUpAdded(_) => text(
            "FollowUpAdded",
            "The buyer wrote to the sellers in `audience`, or to all where it is absent; `answers` \
             names the question that it answers.",
        ),
        EventKind::OrderPaused { expired: true, decide_by: Some(_), .. } => text(
            "OrderPaused (deadline)",
            "The deadline has passed; the buyer decides until `decide_by`.",
        ),
        EventKind::OrderPaused { expired: true, decide_by: None, .. } => text(
            "OrderPaused (expired)",
            "The order expired: at its deadline without a proposal, or without a decision in time.",
        ),
        EventKind::OrderPaused { expired: false, .. } => {
            text("OrderPaused (by the buyer)", "The buyer paused the order: it takes no proposals.")
        }
        EventKind::OrderResumed => text("OrderResumed", "The order takes proposals again."),
        EventKind::OrderExtended { .. } => text("OrderExtended", "The order has a later deadline."),
        EventKind::ProposalsOpened { .. } => text(
            "ProposalsOpened",
            "A sealed order reached its deadline: from now on its list is read without redaction, \
             from its first event. The buyer decides until `decide_until`.",
        ),
        EventKind::AwardPending { .. } => text(
            "AwardPending",
            "The buyer decided, and can undo it until `effective_at`; nobody is notified before.",
        ),
        EventKind::AwardUndone { .. } => text("AwardUndone", "The buyer undid a pending award."),
        EventKind::OrderFinalised { .. } => text(
            "OrderFinalised",
            "The order was awarded, as a whole or per line; to nobody where `award` is null.",
        ),
        EventKind::OrderClosed { .. } => {
            text("OrderClosed", "The buyer closed the order without an award.")
        }
        EventKind::OrderCancelled { .. } => {
            text("OrderCancelled", "The buyer cancelled the order.")
        }
    }
}

fn update_words(update: &ProposalUpdate) -> EventText {
    let text = |title, meaning| EventText { title, meaning };
    match update {
        ProposalUpdate::Amended { .. } => text(
            "ProposalUpdate (amended)",
            "A seller changed its proposal; the first content is version 1.",
        ),
        ProposalUpdate::Withdrawn { .. } => {
            text("ProposalUpdate (withdrawn)", "A seller withdrew its proposal.")
        }
        ProposalUpdate::Declined { .. } => {
            text("ProposalUpdate (declined)", "A seller will not propose.")
        }
        ProposalUpdate::Answered { .. } => {
            text("ProposalUpdate (answered)", "A seller answered a follow-up.")
        }
        ProposalUpdate::Asked { .. } => {
            text("ProposalUpdate (asked)", "A seller asked the buyer a question.")
        }
    }
}

fn audience(kind: &EventKind) -> &'static str {
    if matches!(kind, EventKind::FollowUpAdded(_)) {
        return "all, or those in `audience`";
    }
    match kind.audience() {
        SellerAudience::All => "all",
        SellerAudience::Nobody => "none",
        SellerAudience::Sellers(_) | SellerAudience::Seller(_) => "the named one",
        SellerAudience::Proposer(_) | SellerAudience::OwnerOf(_) => "the proposing one",
    }
}

fn phase_after(kind: &EventKind) -> &'static str {
    kind.phase_after().map_or("as before", |phase| phase.as_str())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    fn titles(lines: &str) -> BTreeSet<&'static str> {
        let events = lines.lines().map(|line| serde_json::from_str::<Event>(line).unwrap());
        events.map(|event| words(&event.kind).title).collect()
    }

    /// The golden file of stored events has a line for each kind.
    #[test]
    fn every_event_has_an_example() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let golden = root.join("../core/src/golden/events.jsonl");
        let golden = std::fs::read_to_string(golden).unwrap();
        let (examples, golden) = (titles(EXAMPLES), titles(&golden));
        assert!(golden.is_subset(&examples), "{:?}", golden.difference(&examples));
        assert_eq!(EXAMPLES.lines().count(), examples.len(), "an event has two examples");
    }

    #[test]
    fn examples_are_those_of_the_stream() {
        let text = page().unwrap().text;
        let finalised = "| OrderFinalised | all | Finalised | The order was awarded";
        assert!(text.contains(finalised), "{text}");
        assert!(text.contains("| SellersSelected | none | as before | "), "{text}");
        assert!(text.contains("\"at\": \"2027-01-12T09:00:00Z\""), "{text}");
        assert!(!text.contains("fingerprint"), "the cause stays with the owner");
    }
}
