//! An in-memory store, so that targets above the journal do not wait for a disk.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use orderstream_journal::engine::{
    Engine, EngineError, EntryVisitor, OpenReason, StoreLocation, WriteOp,
};
use orderstream_journal::{Embedded, Options};
use parking_lot::Mutex;

/// The keys and their values.
#[derive(Clone, Debug, Default)]
struct MemoryEngine(Arc<Mutex<BTreeMap<Vec<u8>, Vec<u8>>>>);

/// Opens an empty journal in memory. The directory holds only its lock.
pub(crate) fn journal(dir: &Path) -> Embedded {
    Embedded::open_at(dir, Options::default(), Box::new(MemoryEngine::default()))
        .expect("a journal in memory opens")
}

impl StoreLocation for MemoryEngine {
    fn open(&self, _: OpenReason) -> Result<Box<dyn Engine>, EngineError> {
        Ok(Box::new(self.clone()))
    }

    fn probe(&self) -> Result<(), EngineError> {
        Ok(())
    }
}

impl Engine for MemoryEngine {
    fn commit(&self, ops: Vec<WriteOp>) -> Result<(), EngineError> {
        let mut map = self.0.lock();
        for op in ops {
            match op {
                WriteOp::Put(key, value) => map.insert(key, value),
                WriteOp::Delete(key) => map.remove(&key),
            };
        }
        Ok(())
    }

    fn range(
        &self,
        from: &[u8],
        to: &[u8],
        visit: &mut EntryVisitor<'_>,
    ) -> Result<(), EngineError> {
        let map = self.0.lock().clone();
        for (key, value) in map.range(from.to_vec()..to.to_vec()) {
            if visit(key, value).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn last_key(&self, from: &[u8], to: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        let map = self.0.lock();
        Ok(map.range(from.to_vec()..to.to_vec()).next_back().map(|(key, _)| key.clone()))
    }
}
