//! The alternative that was benchmarked and not chosen: redb, a copy-on-write B-tree in one file.

use std::path::PathBuf;

use ::redb::{Database, ReadableDatabase as _, TableDefinition};
use orderstream_journal::engine::{
    Engine, EngineError, EntryVisitor, OpenReason, StoreLocation, WriteOp,
};

const TABLE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("journal");

/// A file that holds a redb store.
#[derive(Debug)]
pub(crate) struct RedbLocation {
    path: PathBuf,
}

impl RedbLocation {
    pub(crate) const fn new(path: PathBuf) -> Self {
        Self { path }
    }
}

impl StoreLocation for RedbLocation {
    fn open(&self, _: OpenReason) -> Result<Box<dyn Engine>, EngineError> {
        let database = Database::create(&self.path).map_err(failed)?;
        let transaction = database.begin_write().map_err(failed)?;
        drop(transaction.open_table(TABLE).map_err(failed)?);
        transaction.commit().map_err(failed)?;
        Ok(Box::new(Redb { database }))
    }

    fn probe(&self) -> Result<(), EngineError> {
        Ok(())
    }
}

struct Redb {
    database: Database,
}

impl std::fmt::Debug for Redb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Redb")
    }
}

impl Engine for Redb {
    fn commit(&self, ops: Vec<WriteOp>) -> Result<(), EngineError> {
        let transaction = self.database.begin_write().map_err(failed)?;
        {
            let mut table = transaction.open_table(TABLE).map_err(failed)?;
            for op in ops {
                match op {
                    WriteOp::Put(key, value) => {
                        table.insert(key.as_slice(), value.as_slice()).map_err(failed)?;
                    }
                    WriteOp::Delete(key) => {
                        table.remove(key.as_slice()).map_err(failed)?;
                    }
                }
            }
        }
        transaction.commit().map_err(failed)
    }

    fn range(
        &self,
        from: &[u8],
        to: &[u8],
        visit: &mut EntryVisitor<'_>,
    ) -> Result<(), EngineError> {
        let transaction = self.database.begin_read().map_err(failed)?;
        let table = transaction.open_table(TABLE).map_err(failed)?;
        for entry in table.range(from..to).map_err(failed)? {
            let (key, value) = entry.map_err(failed)?;
            if visit(key.value(), value.value()).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn last_key(&self, from: &[u8], to: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        let transaction = self.database.begin_read().map_err(failed)?;
        let table = transaction.open_table(TABLE).map_err(failed)?;
        let last = table.range(from..to).map_err(failed)?.next_back();
        let last = last.transpose().map_err(failed)?;
        Ok(last.map(|(key, _)| key.value().to_vec()))
    }
}

fn failed(error: impl std::error::Error) -> EngineError {
    EngineError::Failed(error.to_string())
}
