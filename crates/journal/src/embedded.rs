//! The journal on a local disk.

mod open;

use std::fs::{File, TryLockError};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};

use crate::api::{Append, Journal, JournalRecord, RecordVisitor};
use crate::damage::{DamageCounts, DamageReport};
use crate::durable;
use crate::engine::fjall::FjallLocation;
use crate::engine::{Engine, StoreLocation};
use crate::error::{OpenError, ReadError, RemoveError, SubmitError};
use crate::limits;
use crate::queue::{BatchLimits, Health, WriteQueue, WriteRequest};
use crate::reader::{self, StoreScan};
use crate::stats::Stats;
use crate::writer::{BatchWriter, JournalState, close};

/// The file whose lock is held while a process has the journal open. The system releases the lock
/// when the process ends, however it ends.
const LOCK_FILE: &str = "journal.lock";
/// The store's directory inside the journal's directory.
pub(crate) const STORE_DIR: &str = "store";

/// The limits of a journal; the defaults are those of [`limits`].
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// The largest number of queued appends.
    pub queue_len_max: usize,
    /// The largest number of records in one batch.
    pub batch_records_max: usize,
    /// The largest number of payload bytes in one batch.
    pub batch_bytes_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            queue_len_max: limits::QUEUE_LEN_MAX,
            batch_records_max: limits::BATCH_RECORDS_MAX,
            batch_bytes_max: limits::BATCH_BYTES_MAX,
        }
    }
}

/// A handle to a journal on a local disk; clones are cheap and share the journal. When the last one
/// is dropped, queued appends are written and the store is closed.
#[derive(Clone)]
pub struct Embedded {
    inner: Arc<JournalInner>,
}

struct JournalInner {
    shared: Arc<JournalState>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl Embedded {
    /// Opens the journal in `dir`, which is created if it does not exist. A damaged journal is
    /// opened too: [`Self::damage`] reports the damage, and [`Self::health`] whether appends are
    /// accepted.
    ///
    /// # Errors
    /// As [`OpenError`] lists.
    pub fn open(dir: &Path, options: Options) -> Result<Self, OpenError> {
        let location = FjallLocation::new(dir.join(STORE_DIR));
        Self::open_at(dir, options, Box::new(location))
    }

    /// Opens a journal whose lock is in `dir` and whose store is at `location`; for stores that are
    /// benchmarked or made to fail.
    ///
    /// # Errors
    /// As [`OpenError`] lists.
    pub fn open_at(
        dir: &Path,
        options: Options,
        location: Box<dyn StoreLocation>,
    ) -> Result<Self, OpenError> {
        let lock = lock(dir)?;
        let opened = open::open(dir, location.as_ref())?;
        let shared = Arc::new(JournalState {
            queue: WriteQueue::new(options.queue_len_max),
            stats: Stats::default(),
            engine: RwLock::new(Some(opened.engine)),
            heads: RwLock::new(opened.heads),
            files: RwLock::new(opened.files),
            lock,
        });
        let writer = match opened.marks {
            Ok(marks) => {
                let bounds = BatchLimits {
                    records_max: options.batch_records_max,
                    bytes_max: options.batch_bytes_max,
                };
                let writer = BatchWriter::new(Arc::clone(&shared), location, bounds, marks);
                let writer = thread::Builder::new()
                    .name("journal".to_owned())
                    .spawn(move || writer.run())
                    .map_err(|error| OpenError::Store {
                        dir: dir.to_owned(),
                        reason: format!("its thread cannot start: {error}"),
                    })?;
                Some(writer)
            }
            Err(reason) => {
                shared.queue.fail(Health::ReadOnly(reason), &shared.stats);
                None
            }
        };
        let inner = JournalInner { shared, writer: Mutex::new(writer) };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Returns the damage that was found when the store was last opened.
    pub fn damage(&self) -> DamageReport {
        let read_only = self.read_only();
        let files = self.inner.shared.files.read().clone();
        DamageReport { files, lists: self.inner.shared.heads.read().damage(), read_only }
    }

    /// Reports whether the journal accepts appends.
    pub fn health(&self) -> Health {
        self.inner.shared.queue.health()
    }

    /// Returns the amount of damage, for metrics.
    pub fn damage_counts(&self) -> DamageCounts {
        let heads = self.inner.shared.heads.read();
        let missing = heads.damaged.values().map(|damaged| damaged.missing);
        DamageCounts {
            files: self.inner.shared.files.read().len() as u64,
            lists: heads.damaged.len() as u64,
            missing_records: missing.fold(0, u64::saturating_add),
            is_read_only: self.read_only().is_some(),
        }
    }

    /// Returns the writer's counters; they start when the journal is opened.
    pub fn stats(&self) -> &Stats {
        &self.inner.shared.stats
    }

    /// Stops accepting appends, writes the queued ones, and closes the store. Must not be called
    /// from `done`.
    pub fn close(self) {
        self.inner.close();
    }

    fn with_engine<T>(
        &self,
        read: impl FnOnce(&dyn Engine) -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        let engine = self.inner.shared.engine.read();
        let Some(engine) = engine.as_deref() else {
            return Err(io::Error::other("the store is closed").into());
        };
        // Reading a damaged store may panic.
        catch_unwind(AssertUnwindSafe(|| read(engine))).unwrap_or_else(|_| {
            Err(io::Error::other("the store panicked; a part of it is damaged").into())
        })
    }
}

impl Journal for Embedded {
    fn is_settled(&self) -> bool {
        !matches!(self.health(), Health::Unhealthy(_))
    }

    fn read_only(&self) -> Option<String> {
        match self.health() {
            Health::ReadOnly(reason) => Some(reason),
            Health::Healthy | Health::Unhealthy(_) => None,
        }
    }

    fn submit_all(&self, appends: Vec<Append>) -> Result<(), SubmitError> {
        for append in &appends {
            check_key(&append.list)?;
            if append.records.iter().any(|record| record.len() > limits::RECORD_BYTES_MAX) {
                return Err(SubmitError::TooLarge("a record is over its limit"));
            }
        }
        let (stats, count) = (&self.inner.shared.stats, appends.len());
        let requests = appends.into_iter().enumerate();
        let requests = requests
            .map(|(index, append)| WriteRequest::Append { append, with_next: index + 1 < count });
        let submitted = self.inner.shared.queue.submit(requests, stats);
        if submitted.is_err() {
            stats.refused_appends.fetch_add(count as u64, Ordering::Relaxed);
        }
        submitted
    }

    fn read(&self, list: &[u8], after: u64, limit: usize) -> Result<Vec<JournalRecord>, ReadError> {
        self.with_engine(|engine| {
            let head = {
                let heads = self.inner.shared.heads.read();
                if let Some(damaged) = heads.damaged.get(list) {
                    return Err(damaged.error(list));
                }
                heads.readable(list)
            };
            let Some(head) = head else { return Ok(Vec::new()) };
            let records = reader::read(engine, list, head, after, limit);
            let expected = head.last.saturating_sub(after).min(limit as u64);
            if matches!(&records, Ok(records) if records.len() as u64 == expected) {
                return records;
            }
            // The list is damaged, or was removed during the read, or the store shows a removal
            // that failed.
            {
                let heads = self.inner.shared.heads.read();
                if heads.readable(list).map(|head| head.id) != Some(head.id) {
                    return Ok(Vec::new());
                }
                if heads.has_failed_removal(head) {
                    return Err(io::Error::other("its removal failed, and may be done").into());
                }
            }
            let next = after + 1 + records?.len() as u64;
            let list = Bytes::copy_from_slice(list);
            Err(ReadError::Damaged { list, seq: next, reason: "it is missing".to_owned() })
        })
    }

    fn lists(&self) -> Result<Vec<(Vec<u8>, u64)>, ReadError> {
        let heads = self.inner.shared.heads.read();
        let lists = heads.lists.iter().filter(|(_, head)| !heads.is_being_removed(**head));
        let lists = lists.map(|(list, head)| (list.to_vec(), head.last));
        let lost = heads.damaged.keys().filter(|list| !heads.lists.contains_key(*list));
        Ok(lists.chain(lost.map(|list| (list.to_vec(), 0))).collect())
    }

    fn remove(&self, list: &[u8]) -> Result<(), RemoveError> {
        let (sender, receiver) = mpsc::sync_channel(1);
        let list = Bytes::copy_from_slice(list);
        let done = Box::new(move |outcome| {
            // The caller waits for the outcome, so the channel is open.
            drop(sender.send(outcome));
        });
        let shared = &self.inner.shared;
        shared
            .queue
            .submit(std::iter::once(WriteRequest::Remove { list, done }), &shared.stats)
            .map_err(io::Error::other)?;
        receiver.recv().map_err(io::Error::other)?
    }

    fn scan(&self, visit: &mut RecordVisitor<'_>) -> Result<(), ReadError> {
        self.with_engine(|engine| {
            let pass = StoreScan::new(&self.inner.shared.heads.read());
            pass.run(engine, visit);
            Ok(())
        })
    }
}

impl std::fmt::Debug for Embedded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Embedded").field("health", &self.health()).finish_non_exhaustive()
    }
}

impl JournalInner {
    fn close(&self) {
        self.shared.queue.stop();
        let writer = self.writer.lock().take();
        let Some(writer) = writer else { return close(&self.shared) };
        // The last handle may be dropped by a `done`, which runs on the writer's own thread.
        if writer.thread().id() != thread::current().id() && writer.join().is_err() {
            tracing::error!("the journal's writer panicked");
        }
    }
}

impl Drop for JournalInner {
    fn drop(&mut self) {
        self.close();
    }
}

fn check_key(list: &[u8]) -> Result<(), SubmitError> {
    if list.is_empty() {
        return Err(SubmitError::TooLarge("the list's key is empty"));
    }
    if list.len() > limits::LIST_KEY_BYTES_MAX {
        return Err(SubmitError::TooLarge("the list's key is over its limit"));
    }
    Ok(())
}

/// Locks a journal's directory, which is created if it does not exist.
pub(crate) fn lock(dir: &Path) -> Result<File, OpenError> {
    let unwritable = |source| OpenError::Unwritable { dir: dir.to_owned(), source };
    let path = dir.join(LOCK_FILE);
    if !path.exists() {
        durable::create_folder(dir).map_err(unwritable)?;
    }
    let mut options = File::options();
    let options = options.create(true).truncate(false).write(true);
    let file = options.open(path).map_err(unwritable)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked { dir: dir.to_owned() }),
        Err(TryLockError::Error(source)) => Err(unwritable(source)),
    }
}
