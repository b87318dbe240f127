//! The disk of a host: an in-memory engine for its journal, which outlives the host and fails on
//! demand.

use std::collections::BTreeMap;
use std::sync::Arc;

use orderstream_journal::engine::{
    Engine, EngineError, EntryVisitor, OpenReason, StoreLocation, WriteOp,
};
use parking_lot::Mutex;

/// A fault of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostDiskFault {
    /// The disk is full: nothing is written.
    Full,
    /// Writes fail, and nothing is written.
    WriteFails,
    /// Everything is written, and then the sync fails; the data exists when the store is reopened.
    SyncFails,
    /// The sync fails, and the data is lost when the store is reopened.
    SyncFailsAndLoses,
}

/// The effect of a disk's syncs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SyncEffect {
    /// Written data survives.
    #[default]
    Durable,
    /// Nothing is synced: a host's writes are lost when it ends. The host then behaves like a
    /// service that replies before the sync; a planted bug that proves that the checker finds it.
    Ignored,
}

/// A disk. Clones share its state.
#[derive(Clone, Debug, Default)]
pub(crate) struct HostDisk(Arc<Mutex<HostDiskState>>);

#[derive(Debug, Default)]
struct HostDiskState {
    map: BTreeMap<Vec<u8>, Vec<u8>>,
    fault: Option<HostDiskFault>,
    stores: usize,
    syncs: SyncEffect,
    /// The content at the start of the host.
    initial: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl HostDisk {
    pub(crate) fn new(syncs: SyncEffect) -> Self {
        Self(Arc::new(Mutex::new(HostDiskState { syncs, ..HostDiskState::default() })))
    }

    /// Loses the unsynced data.
    pub(crate) fn lose_power(&self) {
        let mut state = self.0.lock();
        if state.syncs == SyncEffect::Ignored {
            state.map = state.initial.clone();
        }
    }

    /// Sets the disk's fault, or clears it.
    pub(crate) fn set(&self, fault: Option<HostDiskFault>) {
        self.0.lock().fault = fault;
    }

    pub(crate) fn is_healthy(&self) -> bool {
        self.0.lock().fault.is_none()
    }
}

fn engine_error(fault: HostDiskFault) -> EngineError {
    match fault {
        HostDiskFault::Full => std::io::Error::from(std::io::ErrorKind::StorageFull).into(),
        HostDiskFault::WriteFails | HostDiskFault::SyncFails | HostDiskFault::SyncFailsAndLoses => {
            EngineError::Failed("input/output error".to_owned())
        }
    }
}

impl StoreLocation for HostDisk {
    fn open(&self, opening: OpenReason) -> Result<Box<dyn Engine>, EngineError> {
        let mut state = self.0.lock();
        if opening == OpenReason::Startup && state.syncs == SyncEffect::Ignored {
            state.initial = state.map.clone();
        }
        assert_eq!(state.stores, 0, "a store is open twice");
        state.stores += 1;
        Ok(Box::new(HostDiskEngine(Arc::clone(&self.0))))
    }

    fn probe(&self) -> Result<(), EngineError> {
        self.0.lock().fault.map_or(Ok(()), |trouble| Err(engine_error(trouble)))
    }
}

#[derive(Debug)]
struct HostDiskEngine(Arc<Mutex<HostDiskState>>);

impl Drop for HostDiskEngine {
    fn drop(&mut self) {
        self.0.lock().stores -= 1;
    }
}

impl Engine for HostDiskEngine {
    fn commit(&self, ops: Vec<WriteOp>) -> Result<(), EngineError> {
        let mut state = self.0.lock();
        let fault = state.fault;
        if matches!(fault, None | Some(HostDiskFault::SyncFails)) {
            for op in ops {
                match op {
                    WriteOp::Put(key, value) => state.map.insert(key, value),
                    WriteOp::Delete(key) => state.map.remove(&key),
                };
            }
        }
        fault.map_or(Ok(()), |trouble| Err(engine_error(trouble)))
    }

    fn range(
        &self,
        from: &[u8],
        to: &[u8],
        visit: &mut EntryVisitor<'_>,
    ) -> Result<(), EngineError> {
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
