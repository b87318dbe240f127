//! The test's own entries in the trace: requests, their replies, and received notifications.

use std::collections::BTreeSet;

use fastrand::Rng;
use orderstream_powercut::{Change, Record, Trace};
use serde::{Deserialize, Serialize};

/// A command of a buyer or a seller.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Act {
    Initiate { order: String },
    FollowUp { order: String, id: String },
    Propose { order: String, id: String, price: String },
    Lock { order: String, id: String },
    Award { order: String, id: String },
}

impl Act {
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
pub(super) enum Noted {
    /// Written before the request is sent.
    Asked(Act),
    /// Written after a success; with the event's sequence number where the reply has it.
    Answered(Act, Option<u64>),
}

impl Noted {
    pub(super) fn text(&self) -> String {
        serde_json::to_string(self).unwrap()
    }
}

/// The entries before a place in the trace.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    pub(super) asked: BTreeSet<Act>,
    pub(super) answered: Vec<(Act, Option<u64>)>,
    /// The ids of the notifications that were received.
    pub(super) heard: BTreeSet<String>,
}

impl History {
    pub(super) fn before(trace: &Trace, place: usize) -> Self {
        let mut history = Self::default();
        for note in trace.notes_before(place) {
            if let Some(id) = note.strip_prefix("heard ") {
                history.heard.insert(id.to_owned());
                continue;
            }
            match serde_json::from_str(note).unwrap() {
                Noted::Asked(act) => drop(history.asked.insert(act)),
                Noted::Answered(act, seq) => history.answered.push((act, seq)),
            }
        }
        history
    }
}

/// Draws a place for a power cut: anywhere, or where it is likely to do harm.
pub(super) fn draw_place(trace: &Trace, rng: &mut Rng) -> usize {
    let kind = rng.u8(..5);
    let hurts = |record: &Record| match record {
        // After an answer.
        Record::Note(_) => kind <= 1,
        // During a sync.
        Record::Change(Change::Sync { .. }) => kind == 2,
        Record::Change(Change::Write { .. }) => false,
        // After a change of names.
        Record::Change(_) => kind == 3,
    };
    let records = trace.records.iter().enumerate();
    let hurting = records.filter(|(_, record)| hurts(record)).map(|(place, record)| {
        let is_sync = matches!(record, Record::Change(Change::Sync { .. }));
        if is_sync { place } else { place + 1 }
    });
    let places: Vec<usize> = hurting.collect();
    rng.choice(&places).copied().unwrap_or_else(|| rng.usize(..=trace.records.len()))
}
