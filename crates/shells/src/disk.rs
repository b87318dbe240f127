//! The disk of a host: an in-memory engine for its journal, which outlives the host and fails on
//! command.

use std::collections::BTreeMap;
use std::sync::Arc;

use orderstream_journal::engine::{Engine, EngineError, Op, Opening, Place, Visit};
use parking_lot::Mutex;

/// A fault of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The disk is full: nothing is written.
    Full,
    /// Writes fail, and nothing is written.
    WriteFails,
    /// All is written, and then its sync fails; it is there when the store is opened again.
    SyncFails,
    /// The sync fails, and nothing is there when the store is opened again.
    SyncFailsAndLoses,
}

/// The effect of a disk's syncs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Syncs {
    /// Written data survives.
    #[default]
    Honest,
    /// None: a host's writes are lost when it ends. The host is then like a service that answers
    /// before the sync; planted to prove that the judge finds it.
    Nothing,
}

/// A disk. Clones share its state.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    map: BTreeMap<Vec<u8>, Vec<u8>>,
    trouble: Option<Trouble>,
    stores: usize,
    syncs: Syncs,
    /// The content when the host started.
    begun_with: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Disk {
    pub(crate) fn new(syncs: Syncs) -> Self {
        Self(Arc::new(Mutex::new(State { syncs, ..State::default() })))
    }

    /// Drops the unsynced data.
    pub(crate) fn lose_power(&self) {
        let mut state = self.0.lock();
        if state.syncs == Syncs::Nothing {
            state.map = state.begun_with.clone();
        }
    }

    /// Sets the disk's fault, or ends it.
    pub(crate) fn set(&self, trouble: Option<Trouble>) {
        self.0.lock().trouble = trouble;
    }

    pub(crate) fn is_well(&self) -> bool {
        self.0.lock().trouble.is_none()
    }
}

fn error(trouble: Trouble) -> EngineError {
    match trouble {
        Trouble::Full => std::io::Error::from(std::io::ErrorKind::StorageFull).into(),
        Trouble::WriteFails | Trouble::SyncFails | Trouble::SyncFailsAndLoses => {
            EngineError::Failed("input/output error".to_owned())
        }
    }
}

impl Place for Disk {
    fn open(&self, opening: Opening) -> Result<Box<dyn Engine>, EngineError> {
        let mut state = self.0.lock();
        if opening == Opening::First && state.syncs == Syncs::Nothing {
            state.begun_with = state.map.clone();
        }
        assert_eq!(state.stores, 0, "a store is open twice");
        state.stores += 1;
        Ok(Box::new(Store(Arc::clone(&self.0))))
    }

    fn probe(&self) -> Result<(), EngineError> {
        self.0.lock().trouble.map_or(Ok(()), |trouble| Err(error(trouble)))
    }
}

#[derive(Debug)]
struct Store(Arc<Mutex<State>>);

impl Drop for Store {
    fn drop(&mut self) {
        self.0.lock().stores -= 1;
    }
}

impl Engine for Store {
    fn commit(&self, ops: Vec<Op>) -> Result<(), EngineError> {
        let mut state = self.0.lock();
        let trouble = state.trouble;
        if matches!(trouble, None | Some(Trouble::SyncFails)) {
            for op in ops {
                match op {
                    Op::Put(key, value) => state.map.insert(key, value),
                    Op::Delete(key) => state.map.remove(&key),
                };
            }
        }
        trouble.map_or(Ok(()), |trouble| Err(error(trouble)))
    }

    fn range(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), EngineError> {
        let state = self.0.lock();
        for (key, value) in state.map.range(from.to_vec()..to.to_vec()) {
            if visit(key, value).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn last_key(&self, from: &[u8], to: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        let state = self.0.lock();
        let last = state.map.range(from.to_vec()..to.to_vec()).next_back();
        Ok(last.map(|(key, _)| key.clone()))
    }
}
