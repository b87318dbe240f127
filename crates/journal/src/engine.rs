//! What the journal needs of a store, so that a store can be measured, replaced or made to fail.

pub mod fjall;

use std::fmt::Debug;
use std::io;
use std::ops::ControlFlow;

use bytes::Bytes;

use crate::damage::FileDamage;

/// A change of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Sets the value of a key.
    Put(Vec<u8>, Vec<u8>),
    /// Takes a key out.
    Delete(Vec<u8>),
}

/// What [`Engine::range`] calls with a key and its value.
pub type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

/// An open store: keys in byte order, each with a value.
pub trait Engine: Send + Sync + Debug {
    /// Writes all changes or none, syncs once and only then lets readers see them.
    ///
    /// # Errors
    /// After any error the changes may be on disk or not, and the store is not written again.
    fn commit(&self, ops: Vec<Op>) -> Result<(), EngineError>;

    /// Visits keys from `from` up to and without `to`, in order, as they were at one moment.
    ///
    /// # Errors
    /// When a key or value cannot be read.
    fn range(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), EngineError>;

    /// Gives the last key from `from` up to and without `to`.
    ///
    /// # Errors
    /// When the key cannot be read.
    fn last_key(&self, from: &[u8], to: &[u8]) -> Result<Option<Vec<u8>>, EngineError>;

    /// Files that were not what was written when the store was opened, and do not keep it from being
    /// written.
    fn damage(&self) -> Vec<FileDamage> {
        Vec::new()
    }
}

/// A place that holds a store and can be opened more than once, but never twice at a time.
pub trait Place: Send + Sync + Debug {
    /// Opens the store, or makes it. All that readers can see afterwards is on disk.
    ///
    /// # Errors
    /// When the store cannot be opened, or is open elsewhere.
    fn open(&self, opening: Opening) -> Result<Box<dyn Engine>, EngineError>;

    /// Says whether the place would take writes now, without touching the store.
    ///
    /// # Errors
    /// When it would not.
    fn probe(&self) -> Result<(), EngineError>;

    /// Opens what is whole of a damaged store, to be read only; the store itself is not touched.
    ///
    /// # Errors
    /// When nothing of it can be read.
    fn rescue(&self, _known: &dyn Known) -> Result<Rescued, EngineError> {
        Err(EngineError::Failed("this store has no way to read what is whole of it".to_owned()))
    }

    /// Forgets bytes that were cut off the end of the store and kept: nothing of them is missing.
    ///
    /// # Errors
    /// When they cannot be removed.
    fn forget_cuts(&self) -> Result<(), EngineError> {
        Ok(())
    }
}

/// What is known of lists from elsewhere than the store.
pub trait Known {
    /// The key of a list by its id.
    fn name(&self, id: u32) -> Option<Bytes>;

    /// Whether a record of a list was acknowledged, and the list not removed since.
    fn is_acknowledged(&self, id: u32, seq: u64) -> bool;
}

/// What is whole of a damaged store.
#[derive(Debug)]
pub struct Rescued {
    /// To be read; every commit fails.
    pub engine: Box<dyn Engine>,
    /// The files that are not what was written.
    pub damage: Vec<FileDamage>,
}

/// Why a store is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// At the start of a process.
    First,
    /// After a write or a sync failed: the system may have dropped what it could not write and
    /// still show it, so all that is found in the log is written anew.
    AfterFailure,
}

/// What a store answers when it cannot do something.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// There is no room.
    #[error("{0}")]
    Full(String),
    /// What is on the disk is not what was written.
    #[error("{0}")]
    Damaged(String),
    /// Anything else.
    #[error("{0}")]
    Failed(String),
}

impl From<io::Error> for EngineError {
    fn from(error: io::Error) -> Self {
        let no_room = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
        let of_the_place = [
            io::ErrorKind::PermissionDenied,
            io::ErrorKind::ReadOnlyFilesystem,
            io::ErrorKind::NotADirectory,
        ];
        let reason = error.to_string();
        match error.kind() {
            kind if no_room.contains(&kind) => Self::Full(reason),
            kind if of_the_place.contains(&kind) => Self::Failed(reason),
            // A sector that cannot be read, an end that comes too early, a file that is gone.
            _ => Self::Damaged(reason),
        }
    }
}
