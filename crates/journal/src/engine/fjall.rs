//! The product's store: fjall, a log-structured merge tree with a write-ahead log.

mod files;
mod log;
mod quarantine;
mod rescue;

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use ::fjall::{Database, Error, Keyspace, KeyspaceCreateOptions, LsmError, PersistMode};

use super::{
    Engine, EngineError, EntryVisitor, ListCatalog, OpenReason, RescuedStore, StoreLocation,
    WriteOp,
};
use crate::damage::FileDamage;
use crate::{durable, limits};

/// The only keyspace: one log, one memtable.
const KEYSPACE: &str = "journal";

/// A directory that holds a fjall store.
#[derive(Debug)]
pub struct FjallLocation {
    dir: PathBuf,
    memtable_bytes: u64,
}

impl FjallLocation {
    /// Creates the location; the directory is not touched until it is opened.
    pub const fn new(dir: PathBuf) -> Self {
        Self { dir, memtable_bytes: limits::MEMTABLE_BYTES_MAX }
    }

    /// Sets the size at which a memtable is flushed, bytes; for tests that need many tables.
    #[must_use]
    pub const fn with_memtable_bytes(mut self, bytes: u64) -> Self {
        self.memtable_bytes = bytes;
        self
    }

    fn open_store(&self, dir: &Path) -> Result<Fjall, EngineError> {
        let database = Database::builder(dir)
            .cache_size(limits::CACHE_BYTES)
            .worker_threads(limits::STORE_THREADS)
            .max_cached_files(Some(limits::OPEN_FILES_MAX))
            .max_journaling_size(limits::WRITE_AHEAD_BYTES_MAX)
            .open()?;
        let options = || KeyspaceCreateOptions::default().max_memtable_size(self.memtable_bytes);
        let keyspace = database.keyspace(KEYSPACE, options)?;
        Ok(Fjall { database, keyspace, damage: Vec::new() })
    }
}

impl StoreLocation for FjallLocation {
    fn open(&self, reason: OpenReason) -> Result<Box<dyn Engine>, EngineError> {
        if !self.dir.try_exists()? {
            // The store cannot continue with a folder that was only partly laid out when its
            // process ended.
            durable::create_atomically(&self.dir, |dir| self.open_store(dir).map(drop))?;
        }
        let damage = prepare(&self.dir)?;
        // The files may hold data that a killed process wrote and did not sync; readers are about
        // to see it.
        durable::sync_tree(&self.dir)?;
        if reason == OpenReason::AfterFailure {
            seal_log(&self.dir)?;
        }
        let store = Fjall { damage, ..self.open_store(&self.dir)? };
        if reason == OpenReason::AfterFailure {
            wait_for_tables(&store.database, &store.keyspace)?;
        }
        Ok(Box::new(store))
    }

    fn probe(&self) -> Result<(), EngineError> {
        let path = self.dir.with_extension("probe");
        let write_result = write_probe(&path);
        let removed = fs::remove_file(&path);
        write_result?;
        Ok(removed?)
    }

    fn rescue(&self, catalog: &dyn ListCatalog) -> Result<RescuedStore, EngineError> {
        rescue::rescue(&self.dir, self.dir.with_extension("read"), catalog)
    }

    fn purge_quarantine(&self) -> Result<(), EngineError> {
        Ok(quarantine::purge(&self.dir)?)
    }
}

/// Refuses damaged files and prepares the others so that the store can open them; returns the
/// damage that does not prevent writes.
fn prepare(dir: &Path) -> Result<Vec<FileDamage>, EngineError> {
    let inspection = files::inspect(dir)?;
    if let Some(first) = inspection.damage.first() {
        return Err(EngineError::Damaged(first.to_string()));
    }
    if !inspection.is_laid_out {
        remove_logs(dir)?;
        return Ok(Vec::new());
    }
    // The file is empty, but the store does not recreate it.
    File::options().create(true).truncate(false).write(true).open(dir.join("lock"))?;
    for (number, at) in inspection.torn {
        quarantine::truncate_log(dir, number, at)?;
    }
    if inspection.missing_log.is_some() {
        // If the store creates its log itself, it numbers its batches from the beginning, and at
        // the next start it skips them as batches that its tables already hold.
        File::create_new(files::log_path(dir, 0))?.sync_all()?;
        durable::sync(dir)?;
    }
    Ok(inspection.missing_log.into_iter().collect())
}

/// Removes the logs of a store whose process ended before the store was fully laid out; nothing was
/// ever written to it.
fn remove_logs(dir: &Path) -> io::Result<()> {
    for number in files::logs(dir)? {
        fs::remove_file(files::log_path(dir, number))?;
    }
    Ok(())
}

/// Starts a new log file, so that the store never writes after bytes whose sync failed: it treats
/// all files but the last as sealed, flushes their content to tables and removes them.
fn seal_log(dir: &Path) -> io::Result<()> {
    let logs = files::logs(dir)?;
    let Some(next) = logs.last().and_then(|last| last.checked_add(1)) else { return Ok(()) };
    File::create_new(files::log_path(dir, next))?.sync_all()?;
    durable::sync(dir)
}

/// Waits until the store's own thread has flushed the content of the old log to tables.
fn wait_for_tables(database: &Database, keyspace: &Keyspace) -> Result<(), EngineError> {
    while keyspace.sealed_memtable_count() > 0 {
        // This fails if the thread has failed.
        database.persist(PersistMode::Buffer)?;
        std::thread::park_timeout(limits::TABLES_POLL);
    }
    Ok(())
}

fn write_probe(path: &Path) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(&vec![0x5a; limits::REOPEN_FREE_BYTES])?;
    file.sync_all()
}

struct Fjall {
    database: Database,
    keyspace: Keyspace,
    damage: Vec<FileDamage>,
}

impl std::fmt::Debug for Fjall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fjall")
    }
}

impl Engine for Fjall {
    fn commit(&self, ops: Vec<WriteOp>) -> Result<(), EngineError> {
        // With a durability set, the batch is synced before it is inserted into the memtable: a
        // reader never sees data that could still be lost.
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncData));
        for op in ops {
            match op {
                WriteOp::Put(key, value) => batch.insert(&self.keyspace, key, value),
                WriteOp::Delete(key) => batch.remove(&self.keyspace, key),
            }
        }
        Ok(batch.commit()?)
    }

    fn range(
        &self,
        from: &[u8],
        to: &[u8],
        visit: &mut EntryVisitor<'_>,
    ) -> Result<(), EngineError> {
        for entry in self.keyspace.range(from..to) {
            let (key, value) = entry.into_inner()?;
            if visit(&key, &value).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn last_key(&self, from: &[u8], to: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        let Some(entry) = self.keyspace.range(from..to).next_back() else { return Ok(None) };
        Ok(Some(entry.key()?.to_vec()))
    }

    fn damage(&self) -> Vec<FileDamage> {
        self.damage.clone()
    }
}

impl From<Error> for EngineError {
    fn from(error: Error) -> Self {
        if let Error::Io(error) | Error::Storage(LsmError::Io(error)) = error {
            return error.into();
        }
        if matches!(error, Error::Locked | Error::Poisoned) {
            return Self::Failed(error.to_string());
        }
        Self::Damaged(error.to_string())
    }
}
