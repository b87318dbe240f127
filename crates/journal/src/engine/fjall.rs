//! The store of the product: fjall, a log-structured tree with a write-ahead log.

mod log;

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use ::fjall::{Database, Error, Keyspace, KeyspaceCreateOptions, LsmError, PersistMode};

use super::{Engine, EngineError, Op, Opening, Place, Visit};
use crate::limits;

/// The one keyspace: one log, one table in memory.
const KEYSPACE: &str = "journal";

/// A directory that holds a fjall store.
#[derive(Debug)]
pub struct FjallPlace {
    dir: PathBuf,
}

impl FjallPlace {
    /// Names the directory; nothing is touched before it is opened.
    pub const fn new(dir: PathBuf) -> Self {
        Self { dir }
    }
}

impl Place for FjallPlace {
    fn open(&self, opening: Opening) -> Result<Box<dyn Engine>, EngineError> {
        let logs = logs(&self.dir)?;
        check_logs(&self.dir, &logs)?;
        if opening == Opening::AfterFailure {
            seal_log(&self.dir, &logs)?;
        }
        let database = Database::builder(&self.dir)
            .cache_size(limits::CACHE_BYTES)
            .worker_threads(limits::STORE_THREADS)
            .max_cached_files(Some(limits::OPEN_FILES_MAX))
            .max_journaling_size(limits::WRITE_AHEAD_BYTES_MAX)
            .open()?;
        let options =
            || KeyspaceCreateOptions::default().max_memtable_size(limits::MEMTABLE_BYTES_MAX);
        let keyspace = database.keyspace(KEYSPACE, options)?;
        if opening == Opening::AfterFailure {
            wait_for_tables(&database, &keyspace)?;
        }
        // What a killed process wrote and did not sync is found here; readers see it from now on.
        database.persist(PersistMode::SyncAll)?;
        Ok(Box::new(Fjall { database, keyspace }))
    }

    fn probe(&self) -> Result<(), EngineError> {
        let path = self.dir.with_extension("probe");
        let written = write_probe(&path);
        let removed = fs::remove_file(&path);
        written?;
        Ok(removed?)
    }
}

/// The numbers of the store's write-ahead log files, in order.
fn logs(dir: &Path) -> io::Result<Vec<u64>> {
    let mut logs = Vec::new();
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(logs),
        entries => entries?,
    };
    for entry in entries {
        let name = entry?.file_name();
        logs.extend(name.to_str().and_then(|name| name.strip_suffix(".jnl")?.parse::<u64>().ok()));
    }
    logs.sort_unstable();
    Ok(logs)
}

fn log_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number}.jnl"))
}

/// Refuses a log that the store would cut.
fn check_logs(dir: &Path, logs: &[u64]) -> Result<(), EngineError> {
    for number in logs {
        let path = log_path(dir, *number);
        if let Some(at) = log::damage(&path)? {
            let path = path.display();
            return Err(EngineError::Failed(format!("{path} is damaged at byte {at}")));
        }
    }
    Ok(())
}

/// Starts a new log file, so that the store never writes behind bytes whose sync failed: it takes
/// the files before the last as finished, writes what they hold into tables and removes them.
fn seal_log(dir: &Path, logs: &[u64]) -> io::Result<()> {
    let Some(next) = logs.last().and_then(|last| last.checked_add(1)) else { return Ok(()) };
    File::create_new(log_path(dir, next))?.sync_all()?;
    File::open(dir)?.sync_all()
}

/// Waits until the store's own thread has written what the old log holds into tables.
fn wait_for_tables(database: &Database, keyspace: &Keyspace) -> Result<(), EngineError> {
    while keyspace.sealed_memtable_count() > 0 {
        // Says so when the thread has failed.
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
}

impl std::fmt::Debug for Fjall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fjall")
    }
}

impl Engine for Fjall {
    fn commit(&self, ops: Vec<Op>) -> Result<(), EngineError> {
        // With a durability the batch is synced before it goes into the tree in memory: a reader
        // never sees what could still be lost.
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncData));
        for op in ops {
            match op {
                Op::Put(key, value) => batch.insert(&self.keyspace, key, value),
                Op::Delete(key) => batch.remove(&self.keyspace, key),
            }
        }
        Ok(batch.commit()?)
    }

    fn range(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), EngineError> {
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
}

impl From<Error> for EngineError {
    fn from(error: Error) -> Self {
        if let Error::Io(error) | Error::Storage(LsmError::Io(error)) = error {
            return error.into();
        }
        Self::Failed(error.to_string())
    }
}
