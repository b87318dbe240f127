//! The promises to trackers: P2 order without gaps, P2b resume, P4 one stream, P5 fencing.

use std::collections::BTreeMap;
use std::sync::Arc;

use orderstream_core::{Epoch, Event, EventKind, Seq, seal};

use crate::simulation::history::{Entry, History};

/// P2: a tracker receives 1, 2, 3, …, and each event is the list's.
pub(crate) fn ordered(history: &History) -> Result<(), String> {
    let mut last: BTreeMap<u64, Seq> = BTreeMap::new();
    for entry in &history.entries {
        let Entry::Deliver { tracker, order, event, .. } = entry else { continue };
        let previous = last.entry(*tracker).or_default();
        if event.seq != previous.next() {
            return Err(format!("tracker {tracker} took {} after {previous}", event.seq));
        }
        *previous = event.seq;
        let index = usize::try_from(event.seq.0 - 1).unwrap();
        let listed = history.finals[*order].list.get(index).cloned().map(Arc::new);
        // Before its opening a sealed order's events are redacted.
        let is_same = |listed: &Arc<Event>| **listed == *event || *seal::event(listed) == *event;
        if !listed.as_ref().is_some_and(is_same) {
            return Err(format!("tracker {tracker} took {event:?}, which the list has not"));
        }
    }
    Ok(())
}

/// P2b: a tracker resumes after the last event that it received, and a stream begins right there.
pub(crate) fn resumed(history: &History) -> Result<(), String> {
    let mut delivered: BTreeMap<u64, Seq> = BTreeMap::new();
    let mut sent: BTreeMap<u64, Seq> = BTreeMap::new();
    for entry in &history.entries {
        match entry {
            Entry::Deliver { tracker, event, .. } => {
                delivered.insert(*tracker, event.seq);
            }
            Entry::Resume { tracker, order, after } => {
                let last = delivered.get(tracker).copied().unwrap_or_default();
                // Redacted events are read again once the order is opened.
                let is_opened = history.finals[*order].list.iter().any(|event| {
                    matches!(event.kind, EventKind::ProposalsOpened { .. }) && event.seq > last
                });
                if *after != last && !(is_opened && *after < last.next()) {
                    return Err(format!("tracker {tracker} has {last} and resumes after {after}"));
                }
            }
            Entry::StreamOpen { stream, after, .. } => {
                sent.insert(*stream, *after);
            }
            Entry::Sent { stream, seq } => {
                let previous = sent.get_mut(stream).ok_or("sent on no stream")?;
                if *seq != previous.next() {
                    return Err(format!("stream {stream} sent {seq} after {previous}"));
                }
                *previous = *seq;
            }
            _ => {}
        }
    }
    Ok(())
}

/// P4: an order has at most one stream at a time, and an epoch one owner.
pub(crate) fn single(history: &History) -> Result<(), String> {
    let mut open: BTreeMap<usize, u64> = BTreeMap::new();
    let mut owners: BTreeMap<Epoch, (usize, u64)> = BTreeMap::new();
    for entry in &history.entries {
        match entry {
            Entry::StreamOpen { order, stream, owner, epoch, .. } => {
                if *owners.entry(*epoch).or_insert(*owner) != *owner {
                    return Err(format!("{epoch:?} was granted to {owner:?} and to another"));
                }
                if let Some(other) = open.insert(*order, *stream) {
                    return Err(format!("order {order}: streams {other} and {stream} at once"));
                }
            }
            Entry::StreamClose { order, stream, .. } => {
                let closed = open.remove(order);
                if closed != Some(*stream) {
                    return Err(format!("order {order}: {stream} ended while {closed:?} was open"));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// P5: no former lead gets a stream or an event after a higher epoch was granted, or is on disk
/// with an event.
pub(crate) fn fenced(history: &History) -> Result<(), String> {
    let mut floors: BTreeMap<usize, Epoch> = BTreeMap::new();
    let mut unsynced: BTreeMap<(usize, Seq), Epoch> = BTreeMap::new();
    for entry in &history.entries {
        match entry {
            Entry::StreamOpen { order, stream, epoch, .. } => {
                let floor = floors.entry(*order).or_default();
                if epoch < floor {
                    return Err(format!("order {order}: stream {stream} of a former {epoch:?}"));
                }
                *floor = *epoch;
            }
            Entry::Append { order, seq, epoch, .. } => {
                // A number that is used again was lost before it was synced.
                unsynced.remove(&(*order, *seq));
                let Some(epoch) = epoch else { continue };
                if epoch < floors.entry(*order).or_default() {
                    return Err(format!("order {order}: event {seq} of a former {epoch:?}"));
                }
                unsynced.insert((*order, *seq), *epoch);
            }
            Entry::Durable { order, through } => {
                let floor = floors.entry(*order).or_default();
                for (_, epoch) in
                    unsynced.extract_if((*order, Seq(0))..=(*order, *through), |_, _| true)
                {
                    *floor = (*floor).max(epoch);
                }
            }
            _ => {}
        }
    }
    Ok(())
}
