//! P2 and P2b: readers receive the list without gaps or repetitions, from the requested cursor on.

use std::collections::BTreeMap;

use super::{HistoryFinding, SortedHistory};
use crate::event::ComparableEvent;
use crate::history::{EventReceipt, ReaderKind};

pub(super) fn check(history: &SortedHistory<'_>) -> Vec<HistoryFinding> {
    let mut findings = Vec::new();
    let mut connections: BTreeMap<(&str, u32, &str), Vec<&EventReceipt>> = BTreeMap::new();
    for receipt in &history.receipts {
        let connection = (receipt.name.as_str(), receipt.connection, receipt.order.as_str());
        connections.entry(connection).or_default().push(receipt);
    }
    for ((name, connection, order), receipts) in connections {
        let mut last = receipts.first().map_or(0, |receipt| receipt.after);
        for (index, receipt) in receipts.iter().enumerate() {
            let seq = receipt.event.seq;
            let follows = match receipt.reader {
                // While the order's owner is unreachable, its cursor cannot be used, which the
                // session reports: once the owner is back, all events are sent from the first.
                ReaderKind::Session => seq > last || (index == 0 && seq == 1),
                ReaderKind::Observer | ReaderKind::Tracker | ReaderKind::Sse => seq == last + 1,
            };
            if !follows {
                let text =
                    format!("{name} was told #{seq} after #{last} (connection {connection})");
                findings.push(HistoryFinding::new("P2", order, text));
            }
            last = seq;
        }
        let Some(list) = history.lists.get(order) else { continue };
        for receipt in receipts {
            if let Some(text) = differs(receipt, list) {
                findings.push(HistoryFinding::new("P2", order, format!("{name} {text}")));
            }
        }
    }
    findings
}

/// Compares a received event with the list; returns a description of the difference.
fn differs(receipt: &EventReceipt, list: &[ComparableEvent]) -> Option<String> {
    let event = &receipt.event;
    let at = usize::try_from(event.seq).ok()?.checked_sub(1)?;
    let Some(listed) = list.get(at) else {
        return Some(format!("was told #{}, and the list ends at #{}", event.seq, list.len()));
    };
    let is_sealed = list.first().is_some_and(|first| first.sealed);
    let is_same = if is_sealed {
        // Content is sent only after the opening; sequence numbers, times and kinds are the same
        // before.
        (event.seq, event.at, &event.kind, &event.proposal)
            == (listed.seq, listed.at, &listed.kind, &listed.proposal)
    } else {
        event == listed
    };
    (!is_same).then(|| format!("was told {event:?}, and the list has {listed:?}"))
}
