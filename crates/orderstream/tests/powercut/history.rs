//! The test's own entries in the trace: requests, their replies, and received notifications.

use std::collections::BTreeSet;

use fastrand::Rng;
use orderstream_powercut::{DiskChange, Trace, TraceRecord};
use serde::{Deserialize, Serialize};

/// A command of a buyer or a seller.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum LoadCommand {
    Initiate { order: String },
    FollowUp { order: String, id: String },
    Propose { order: String, id: String, price: String },
    Lock { order: String, id: String },
    Award { order: String, id: String },
}

impl LoadCommand {
    pub(super) fn order(&self) -> &str {
        match self {
            Self::Initiate { order }
            | Self::FollowUp { order, .. }
            | Self::Propose { order, .. }
            | Self::Lock { order, .. }
            | Self::Award { order, .. } => order,
        }
    }
}

/// One entry.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum TraceEntry {
    /// Written before the request is sent.
    Requested(LoadCommand),
    /// Written after a success; with the event's sequence number where the reply has it.
    Replied(LoadCommand, Option<u64>),
}

impl TraceEntry {
    pub(super) fn text(&self) -> String {
        serde_json::to_string(self).unwrap()
    }
}

/// The entries before a position in the trace.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    pub(super) requested: BTreeSet<LoadCommand>,
    pub(super) replied: Vec<(LoadCommand, Option<u64>)>,
    /// The ids of the notifications that were received.
    pub(super) notified: BTreeSet<String>,
}

impl History {
    pub(super) fn before(trace: &Trace, index: usize) -> Self {
        let mut history = Self::default();
        for note in trace.notes_before(index) {
            if let Some(id) = note.strip_prefix("heard ") {
                history.notified.insert(id.to_owned());
                continue;
            }
            match serde_json::from_str(note).unwrap() {
                TraceEntry::Requested(command) => drop(history.requested.insert(command)),
                TraceEntry::Replied(command, seq) => history.replied.push((command, seq)),
            }
        }
        history
    }
}

/// Draws a position for a power cut: anywhere, or where it is likely to do harm.
pub(super) fn draw_index(trace: &Trace, rng: &mut Rng) -> usize {
    let kind = rng.u8(..5);
    let hurts = |record: &TraceRecord| match record {
        // After a reply.
        TraceRecord::Note(_) => kind <= 1,
        // During a sync.
        TraceRecord::Change(DiskChange::Sync { .. }) => kind == 2,
        TraceRecord::Change(DiskChange::Write { .. }) => false,
        // After a change of names.
        TraceRecord::Change(_) => kind == 3,
    };
    let records = trace.records.iter().enumerate();
    let hurting = records.filter(|(_, record)| hurts(record)).map(|(index, record)| {
        let is_sync = matches!(record, TraceRecord::Change(DiskChange::Sync { .. }));
        if is_sync { index } else { index + 1 }
    });
    let indices: Vec<usize> = hurting.collect();
    rng.choice(&indices).copied().unwrap_or_else(|| rng.usize(..=trace.records.len()))
}
