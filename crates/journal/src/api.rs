//! The journal's port to services.

use std::fmt::{self, Debug};

use bytes::Bytes;
use orderstream_core::id::Seq;
use orderstream_core::withheld::{Durable, ListHash};
use tokio::sync::oneshot;

use crate::error::{AppendError, ReadError, RemoveError, SubmitError};

/// Durable, ordered lists of records. Each list has a key (1 to
/// [`LIST_KEY_BYTES_MAX`](crate::limits::LIST_KEY_BYTES_MAX) bytes) and records numbered 1, 2, 3, …
pub trait Journal: Send + Sync + Debug + 'static {
    /// Queues an append and returns at once. `done` is called exactly once, on the writer's
    /// thread, after the sync of the append's batch or its failure; it must not block.
    ///
    /// # Errors
    /// When the append is not accepted; `done` is then dropped without being called.
    fn submit(&self, append: Append) -> Result<(), SubmitError> {
        self.submit_all(vec![append])
    }

    /// Queues several appends as a group: they are written in one batch, whatever its limits, so
    /// that after a crash the disk has all of them or none. Each has its own outcome; outcomes are
    /// reported in order.
    ///
    /// # Errors
    /// When the group is not accepted; it is accepted as a whole or not at all.
    fn submit_all(&self, appends: Vec<Append>) -> Result<(), SubmitError>;

    /// Returns the reason that the journal is read only until an operator acts; `None` while it
    /// takes appends, or while a failed store is being opened again.
    fn read_only(&self) -> Option<String>;

    /// Reports whether the store holds what it will hold: not from a failure until it is open again,
    /// when it may turn out to hold records whose appends failed.
    fn is_settled(&self) -> bool;

    /// Reads at most `limit` records with numbers above `after`, in order; returns none for a list
    /// that does not exist, or whose removal is being written. Blocks on the disk.
    ///
    /// # Errors
    /// [`ReadError::Damaged`] when one of those records is missing or damaged; [`ReadError::Io`]
    /// when the store cannot be read now.
    fn read(&self, list: &[u8], after: u64, limit: usize) -> Result<Vec<JournalRecord>, ReadError>;

    /// Returns the key and the last number of every list, in no particular order, except those
    /// whose removal is being written.
    ///
    /// # Errors
    /// When the store cannot be read now.
    fn lists(&self) -> Result<Vec<(Vec<u8>, u64)>, ReadError>;

    /// Removes a list and all its records; the removal is durable on return. A list that does not
    /// exist counts as removed. Blocks on the disk, so it must not be called from `done`.
    ///
    /// # Errors
    /// As [`RemoveError`] lists.
    fn remove(&self, list: &[u8]) -> Result<(), RemoveError>;

    /// Visits every record in one pass, list by list and in order within a list. A damaged record
    /// is passed to the visitor as an error for its list; the rest of that list is skipped, and the
    /// pass continues with the next list.
    ///
    /// # Errors
    /// When the store cannot be read at all.
    fn scan(&self, visit: &mut RecordVisitor<'_>) -> Result<(), ReadError>;
}

/// The callback of [`Journal::scan`]; it receives a list's key and one record of it.
pub type RecordVisitor<'a> = dyn FnMut(&[u8], Result<JournalRecord, ReadError>) + 'a;

/// The callback that receives an append's outcome.
pub type AppendCallback = Box<dyn FnOnce(Result<AppendReceipt, AppendError>) + Send>;

/// Records to add to the end of a list, all of them or none.
pub struct Append {
    /// The list's key. The first append creates the list.
    pub list: Bytes,
    /// The last number that the caller expects the list to have; 0 for a list that does not exist.
    pub expected: u64,
    /// The payloads, each at most [`RECORD_BYTES_MAX`](crate::limits::RECORD_BYTES_MAX) bytes.
    pub records: Vec<Bytes>,
    /// Called once with the outcome.
    pub done: AppendCallback,
}

impl Debug for Append {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Append")
            .field("list", &self.list)
            .field("expected", &self.expected)
            .field("records", &self.records.len())
            .finish_non_exhaustive()
    }
}

/// A proof that a list is on disk up to a number. Only a journal's writer creates one, after the
/// sync.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppendReceipt {
    list: Bytes,
    last: u64,
}

impl AppendReceipt {
    pub(crate) const fn new(list: Bytes, last: u64) -> Self {
        Self { list, last }
    }

    /// Returns the list's key.
    pub const fn list(&self) -> &Bytes {
        &self.list
    }

    /// Returns the number of the last record that the append wrote; every record up to it is on
    /// disk.
    pub const fn last(&self) -> u64 {
        self.last
    }
}

impl From<&AppendReceipt> for DurableProof {
    fn from(appended: &AppendReceipt) -> Self {
        Self { list: ListHash::of(&appended.list), last: appended.last }
    }
}

/// A proof that a list is on disk up to a number. Only a journal creates one: from an append after
/// its sync, or from a record that was read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DurableProof {
    list: ListHash,
    last: u64,
}

impl DurableProof {
    /// Returns the number of the last record that is proven to be on disk.
    pub const fn last(self) -> u64 {
        self.last
    }
}

impl Durable for DurableProof {
    fn proves(&self, list: ListHash, until: Seq) -> bool {
        self.list == list && self.last >= until.0
    }
}

/// A record of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalRecord {
    /// The record's number in its list, from 1.
    pub seq: u64,
    /// The bytes as they were appended.
    pub payload: Bytes,
    list: ListHash,
}

impl JournalRecord {
    pub(crate) fn read(list: &[u8], seq: u64, payload: &[u8]) -> Self {
        Self { seq, payload: Bytes::copy_from_slice(payload), list: ListHash::of(list) }
    }
}

impl From<&JournalRecord> for DurableProof {
    fn from(record: &JournalRecord) -> Self {
        Self { list: record.list, last: record.seq }
    }
}

/// Appends and waits for the outcome. Dropping the future does not undo the append.
///
/// # Errors
/// As [`AppendError`] lists.
pub async fn append(
    journal: &dyn Journal,
    list: Bytes,
    expected: u64,
    records: Vec<Bytes>,
) -> Result<AppendReceipt, AppendError> {
    let (sender, receiver) = oneshot::channel();
    let done: AppendCallback = Box::new(move |outcome| {
        // The caller may have stopped waiting.
        drop(sender.send(outcome));
    });
    journal.submit(Append { list, expected, records, done })?;
    receiver.await.unwrap_or(Err(AppendError::Stopped))
}
