//! The journal's errors, with one variant for each case that a caller handles differently.

use std::io;
use std::path::PathBuf;

use bytes::Bytes;

/// The reason for which an append was not accepted. Its `done` is not called.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// The queue is full; retry later.
    #[error("the journal's queue is full")]
    Full,
    /// The journal is closing or closed.
    #[error("the journal is stopped")]
    Stopped,
    /// The store has failed and is not open again yet; retry later.
    #[error("the journal takes no writes: {0}")]
    Unhealthy(String),
    /// The store is damaged and accepts nothing until an operator intervenes; do not retry.
    #[error("the journal is read only: {0}")]
    ReadOnly(String),
    /// The key or a payload exceeds its limit, or the key is empty; do not retry.
    #[error("the journal refuses the append: {0}")]
    TooLarge(&'static str),
}

/// The reason for which an append is not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The list does not end where the caller expects; nothing of the append was written.
    #[error("the list ends at {actual}, not at {expected}")]
    Conflict {
        /// The last number that the caller expected the list to have.
        expected: u64,
        /// The last number that the list has.
        actual: u64,
    },
    /// The list is damaged and refused; nothing of the append was written.
    #[error("the list is damaged: {0}")]
    Damaged(String),
    /// The disk is full. The append may or may not exist when the store is open again.
    #[error("the disk is full: {0}")]
    Full(String),
    /// The write or its sync failed. The append may or may not exist when the store is open again;
    /// until then nothing is acknowledged.
    #[error("the write failed: {0}")]
    Failed(String),
    /// The journal was stopped before the append was written.
    #[error("the journal is stopped")]
    Stopped,
    /// The append was not accepted into the queue.
    #[error(transparent)]
    NotQueued(#[from] SubmitError),
}

/// The reason for which records cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A record is missing or damaged. Its list is refused; others are served.
    #[error("the list is damaged at record {seq}: {reason}")]
    Damaged {
        /// The key of the list.
        list: Bytes,
        /// The number of the record; 0 if the list itself is damaged.
        seq: u64,
        /// A human-readable description of the fault.
        reason: String,
    },
    /// The store cannot be read now.
    #[error("the store cannot be read: {0}")]
    Io(#[from] io::Error),
}

/// The reason that a removal is not durable. The list may be there or not.
#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    /// The list is damaged so that its records cannot be found. It stays, and is refused.
    #[error("the list is damaged at record {seq}: {reason}")]
    Damaged {
        /// The number of the record, 0 where the list itself is damaged.
        seq: u64,
        /// The fault, for people.
        reason: String,
    },
    /// The removal was not taken or not written: try again later.
    // Users know the text; it is that of `ReadError::Io`.
    #[error("the store cannot be read: {0}")]
    NotDurable(#[from] io::Error),
}

/// The reason that a journal cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has the journal open.
    #[error("the journal at {} is open in another process", dir.display())]
    Locked {
        /// The journal's directory.
        dir: PathBuf,
    },
    /// The directory cannot be created or written.
    #[error("the journal's directory {} cannot be written", dir.display())]
    Unwritable {
        /// The journal's directory.
        dir: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The store in the directory cannot be opened.
    #[error("the journal at {} cannot be opened: {reason}", dir.display())]
    Store {
        /// The journal's directory.
        dir: PathBuf,
        /// The store's error.
        reason: String,
    },
}
