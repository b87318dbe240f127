//! The form of an outbox in the journal: snapshots, each of which replaces the ones before it.
//! Lists only grow, so there are two for each incarnation of an order: when one holds its limit of
//! snapshots, the next snapshot begins the other, and then the full one is removed. The snapshot
//! with the highest revision is the current one.

use bytes::Bytes;
use orderstream_core::outbox::OutboxSnapshot;
use orderstream_core::{Seq, Timestamp};
use serde::{Deserialize, Serialize};

/// One of the two lists of an outbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Half {
    /// The list that is written first.
    #[default]
    A,
    /// The other list; the two alternate.
    B,
}

impl Half {
    pub(crate) const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

/// The location of an order's newest snapshot, and its summary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct OutboxLocation {
    /// The list that holds it.
    pub(crate) half: Half,
    /// The last record of that list; 0 where there is none.
    pub(crate) record: u64,
    /// The snapshot's revision; the highest one is current.
    pub(crate) revision: u64,
    /// The snapshot's summary.
    pub(crate) summary: OutboxSummary,
    /// The state of the outbox's records.
    pub(crate) health: OutboxHealth,
}

/// The state of an outbox's records. Nothing is sent from a damaged outbox, because it is not known
/// who was notified already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum OutboxHealth {
    /// Every read succeeded.
    #[default]
    Whole,
    /// The outbox was found damaged, and is read again.
    Doubtful {
        /// The time at which that was first found.
        since: Timestamp,
    },
    /// The outbox cannot be read.
    Damaged,
}

/// The summary of a snapshot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OutboxSummary {
    /// The last event that the outbox has folded.
    pub(crate) cursor: Seq,
    /// The number of waiting notifications.
    pub(crate) pending: usize,
    /// The number of given-up notifications.
    pub(crate) dead: usize,
    /// The due time of the oldest waiting notification.
    pub(crate) oldest: Option<Timestamp>,
}

#[derive(Serialize, Deserialize)]
struct OutboxRecordHeader {
    revision: u64,
    head: OutboxSummary,
}

#[derive(Serialize)]
struct OutboxRecord<'a> {
    revision: u64,
    head: OutboxSummary,
    outbox: &'a OutboxSnapshot,
}

#[derive(Deserialize)]
struct OutboxRecordBody {
    outbox: OutboxSnapshot,
}

impl OutboxSummary {
    pub(crate) fn of(outbox: &OutboxSnapshot) -> Self {
        let (pending, dead) = outbox.counts();
        Self { cursor: outbox.cursor, pending, dead, oldest: outbox.oldest_due_at() }
    }
}

impl OutboxLocation {
    /// Folds one record of one of the lists.
    pub(crate) fn fold(&mut self, half: Half, record: u64, payload: &[u8]) {
        match serde_json::from_slice::<OutboxRecordHeader>(payload) {
            Ok(header) if header.revision >= self.revision => {
                let OutboxRecordHeader { revision, head: summary } = header;
                *self = Self { half, record, revision, summary, health: self.health };
            }
            Ok(_) => {}
            Err(_) => self.health = OutboxHealth::Damaged,
        }
    }
}

pub(crate) fn encode(revision: u64, outbox: &OutboxSnapshot) -> Result<Bytes, serde_json::Error> {
    let record = OutboxRecord { revision, head: OutboxSummary::of(outbox), outbox };
    serde_json::to_vec(&record).map(Bytes::from)
}

pub(crate) fn decode(payload: &[u8]) -> Result<OutboxSnapshot, serde_json::Error> {
    serde_json::from_slice::<OutboxRecordBody>(payload).map(|read| read.outbox)
}

#[cfg(test)]
mod tests;
