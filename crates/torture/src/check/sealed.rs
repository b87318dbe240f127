//! P14: no reader receives content that it must not: sealed content, or other sellers' proposals.

use super::{HistoryFinding, SortedHistory};
use crate::command::ClientCommand;
use crate::history::{EventReceipt, Micros, ReaderKind};

/// The name that replaces every seller's while the order is sealed.
const SEALED: &str = "sealed";

pub(super) fn check(history: &SortedHistory<'_>) -> Vec<HistoryFinding> {
    let mut findings = Vec::new();
    for receipt in &history.receipts {
        let name = receipt.name.strip_prefix("again-").unwrap_or(&receipt.name);
        let seller = name.split(['-', '#']).next().unwrap_or_default();
        if receipt.reader == ReaderKind::Session
            && is_proposal(receipt)
            && receipt.event.actor != seller
        {
            let is_hidden = receipt.event.actor.is_empty() || receipt.event.actor == SEALED;
            if !is_hidden {
                let text =
                    format!("{name} was told of {}'s {:?}", receipt.event.actor, receipt.event);
                findings.push(HistoryFinding::new("P14", &receipt.order, text));
            }
        }
        let earliest = earliest_opening(history, &receipt.order);
        if earliest.is_some_and(|earliest| receipt.received_at < earliest) && leaks_content(receipt)
        {
            let text = format!("{name} was told content under the seal: {:?}", receipt.event);
            findings.push(HistoryFinding::new("P14", &receipt.order, text));
        }
    }
    findings
}

fn is_proposal(receipt: &EventReceipt) -> bool {
    receipt.event.kind == "NewProposal"
        || (receipt.event.kind == "ProposalUpdate" && receipt.event.change == "amended")
}

fn leaks_content(receipt: &EventReceipt) -> bool {
    is_proposal(receipt) && (receipt.event.actor != SEALED || !receipt.event.token.is_empty())
}

/// Returns the earliest time at which a sealed order can be opened: its opening plus its lifetime.
fn earliest_opening(history: &SortedHistory<'_>, order: &str) -> Option<Micros> {
    let attempts = history.attempts.iter().filter(|act| act.order == order);
    let openings = attempts.filter_map(|act| {
        let ClientCommand::Open(opening) = &act.command else { return None };
        let opens = act.called_at + opening.expires_in_ms.saturating_mul(1_000);
        opening.sealed.then_some(opens)
    });
    openings.min()
}
