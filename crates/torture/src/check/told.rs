//! P2 and P2b: readers receive the list, without gap or repeat, from the requested cursor on.

use std::collections::BTreeMap;

use super::{Finding, Sorted};
use crate::event::Event;
use crate::history::{Reader, Told};

pub(super) fn check(sorted: &Sorted<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut connections: BTreeMap<(&str, u32, &str), Vec<&Told>> = BTreeMap::new();
    for told in &sorted.told {
        let connection = (told.name.as_str(), told.connection, told.order.as_str());
        connections.entry(connection).or_default().push(told);
    }
    for ((name, connection, order), told) in connections {
        let mut last = told.first().map_or(0, |told| told.after);
        for (place, told) in told.iter().enumerate() {
            let seq = told.event.seq;
            let follows = match told.reader {
                // Where the order's processor is away its cursor cannot be used, and is said to be so:
                // all comes from the first event, once it is back.
                Reader::Session => seq > last || (place == 0 && seq == 1),
                Reader::Observer | Reader::Tracker | Reader::Sse => seq == last + 1,
            };
            if !follows {
                let text =
                    format!("{name} was told #{seq} after #{last} (connection {connection})");
                findings.push(Finding::new("P2", order, text));
            }
            last = seq;
        }
        let Some(list) = sorted.lists.get(order) else { continue };
        for told in told {
            if let Some(text) = differs(told, list) {
                findings.push(Finding::new("P2", order, format!("{name} {text}")));
            }
        }
    }
    findings
}

/// Compares a received event with the list; returns a description of the difference.
fn differs(told: &Told, list: &[Event]) -> Option<String> {
    let event = &told.event;
    let at = usize::try_from(event.seq).ok()?.checked_sub(1)?;
    let Some(listed) = list.get(at) else {
        return Some(format!("was told #{}, and the list ends at #{}", event.seq, list.len()));
    };
    let is_sealed = list.first().is_some_and(|first| first.sealed);
    let is_same = if is_sealed {
        // Content is told only after the opening; numbers, times and kinds are the same before.
        (event.seq, event.at, &event.kind, &event.proposal)
            == (listed.seq, listed.at, &listed.kind, &listed.proposal)
    } else {
        event == listed
    };
    (!is_same).then(|| format!("was told {event:?}, and the list has {listed:?}"))
}
