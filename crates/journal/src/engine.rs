//! The journal's interface to a store, so that a store can be benchmarked, replaced or made to
//! fail.

pub mod fjall;

use std::fmt::Debug;
use std::io;
use std::ops::ControlFlow;

use bytes::Bytes;

use crate::damage::FileDamage;

/// A change of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteOp {
    /// Sets the value of a key.
    Put(Vec<u8>, Vec<u8>),
    /// Removes a key.
    Delete(Vec<u8>),
}

/// The callback of [`Engine::range`]; it receives a key and its value.
pub type EntryVisitor<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

/// An open store: keys in byte order, each with a value.
pub trait Engine: Send + Sync + Debug {
    /// Writes all changes or none, syncs once, and only then makes them visible to readers.
    ///
    /// # Errors
    /// After any error the changes may or may not be on disk, and the store is not written to
    /// again.
    fn commit(&self, ops: Vec<WriteOp>) -> Result<(), EngineError>;

    /// Visits the keys from `from` (inclusive) to `to` (exclusive) in order, in one snapshot.
    ///
    /// # Errors
    /// When a key or value cannot be read.
    fn range(
        &self,
        from: &[u8],
        to: &[u8],
        visit: &mut EntryVisitor<'_>,
    ) -> Result<(), EngineError>;

    /// Returns the last key from `from` (inclusive) to `to` (exclusive).
    ///
    /// # Errors
    /// When the key cannot be read.
    fn last_key(&self, from: &[u8], to: &[u8]) -> Result<Option<Vec<u8>>, EngineError>;

    /// Returns the files that were damaged when the store was opened, in ways that do not prevent
    /// writes.
    fn damage(&self) -> Vec<FileDamage> {
        Vec::new()
    }
}

/// The location of a store. It can be opened repeatedly, but only once at a time.
pub trait StoreLocation: Send + Sync + Debug {
    /// Opens the store, or creates it. Everything that readers see afterwards is on disk.
    ///
    /// # Errors
    /// When the store cannot be opened, or is already open.
    fn open(&self, reason: OpenReason) -> Result<Box<dyn Engine>, EngineError>;

    /// Checks that the location is writable now, without touching the store.
    ///
    /// # Errors
    /// When it is not writable.
    fn probe(&self) -> Result<(), EngineError>;

    /// Opens the intact parts of a damaged store, read only; the store itself is not touched.
    ///
    /// # Errors
    /// When no part of it can be read.
    fn rescue(&self, _catalog: &dyn ListCatalog) -> Result<RescuedStore, EngineError> {
        Err(EngineError::Failed("this store has no way to read what is whole of it".to_owned()))
    }

    /// Removes the quarantined bytes that were cut off the store's log; called when none of their
    /// records is missing.
    ///
    /// # Errors
    /// When they cannot be removed.
    fn purge_quarantine(&self) -> Result<(), EngineError> {
        Ok(())
    }
}

/// Facts about lists that do not come from the store.
pub trait ListCatalog {
    /// Returns the key of a list by its id.
    fn name(&self, id: u32) -> Option<Bytes>;

    /// Reports whether a record was acknowledged and its list has not been removed since.
    fn is_acknowledged(&self, id: u32, seq: u64) -> bool;
}

/// The intact parts of a damaged store.
#[derive(Debug)]
pub struct RescuedStore {
    /// The store to read; every commit fails.
    pub engine: Box<dyn Engine>,
    /// The damaged files.
    pub damage: Vec<FileDamage>,
}

/// The reason for which a store is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenReason {
    /// The start of a process.
    Startup,
    /// A write or a sync has failed. The kernel may still return cached data that it could not
    /// write, so everything found in the log is rewritten.
    AfterFailure,
}

/// An error of a store.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The disk is full.
    #[error("{0}")]
    Full(String),
    /// The bytes on the disk are not what was written.
    #[error("{0}")]
    Damaged(String),
    /// Any other failure.
    #[error("{0}")]
    Failed(String),
}

impl From<io::Error> for EngineError {
    fn from(error: io::Error) -> Self {
        let out_of_space = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
        let location_errors = [
            io::ErrorKind::PermissionDenied,
            io::ErrorKind::ReadOnlyFilesystem,
            io::ErrorKind::NotADirectory,
        ];
        let reason = error.to_string();
        match error.kind() {
            kind if out_of_space.contains(&kind) => Self::Full(reason),
            kind if location_errors.contains(&kind) => Self::Failed(reason),
            // An unreadable sector, a premature end of file, or a missing file.
            _ => Self::Damaged(reason),
        }
    }
}
