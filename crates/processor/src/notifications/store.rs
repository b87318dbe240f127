//! How an outbox lies in the journal: snapshots, each of which replaces the ones before it. Lists
//! only grow, so there are two for each life of an order: when one has its share of snapshots, the
//! next one begins the other, and then the full one is removed. The highest revision counts.

use bytes::Bytes;
use orderstream_core::outbox::Snapshot;
use orderstream_core::{Seq, Timestamp};
use serde::{Deserialize, Serialize};

/// Which of the two lists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Half {
    /// The first.
    #[default]
    A,
    /// The other.
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

/// Where an order's newest snapshot lies, and what it says in short.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// In which list.
    pub(crate) half: Half,
    /// The last record of that list; 0 where there is none.
    pub(crate) record: u64,
    /// Which snapshot it is.
    pub(crate) revision: u64,
    /// What it says.
    pub(crate) head: Head,
    /// Whether it can be read.
    pub(crate) health: OutboxHealth,
}

/// Whether an outbox can be read. From a damaged one nobody is notified: it is not known who was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum OutboxHealth {
    /// It was, whenever it was tried.
    #[default]
    Whole,
    /// It was found damaged, and is tried again.
    Doubtful {
        /// When it was found so first.
        since: Timestamp,
    },
    /// It cannot.
    Damaged,
}

/// A snapshot in short.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Head {
    /// The last event that was looked at.
    pub(crate) cursor: Seq,
    /// How many notifications wait.
    pub(crate) pending: usize,
    /// How many were given up.
    pub(crate) dead: usize,
    /// Since when the oldest of those that wait is due.
    pub(crate) oldest: Option<Timestamp>,
}

#[derive(Serialize, Deserialize)]
struct Short {
    revision: u64,
    head: Head,
}

#[derive(Serialize)]
struct Written<'a> {
    revision: u64,
    head: Head,
    outbox: &'a Snapshot,
}

#[derive(Deserialize)]
struct Read {
    outbox: Snapshot,
}

impl Head {
    pub(crate) fn of(outbox: &Snapshot) -> Self {
        let (pending, dead) = outbox.counts();
        Self { cursor: outbox.cursor, pending, dead, oldest: outbox.oldest_due_at() }
    }
}

impl Place {
    /// Takes in one record of one of the lists.
    pub(crate) fn fold(&mut self, half: Half, record: u64, payload: &[u8]) {
        match serde_json::from_slice::<Short>(payload) {
            Ok(short) if short.revision >= self.revision => {
                let Short { revision, head } = short;
                *self = Self { half, record, revision, head, health: self.health };
            }
            Ok(_) => {}
            Err(_) => self.health = OutboxHealth::Damaged,
        }
    }
}

pub(crate) fn encode(revision: u64, outbox: &Snapshot) -> Result<Bytes, serde_json::Error> {
    let written = Written { revision, head: Head::of(outbox), outbox };
    serde_json::to_vec(&written).map(Bytes::from)
}

pub(crate) fn decode(payload: &[u8]) -> Result<Snapshot, serde_json::Error> {
    serde_json::from_slice::<Read>(payload).map(|read| read.outbox)
}

#[cfg(test)]
mod tests;
