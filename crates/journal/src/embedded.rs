//! The journal on a local disk.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};

use crate::api::{Append, Journal, Record, Visit};
use crate::engine::fjall::FjallPlace;
use crate::engine::{Engine, Opening, Place};
use crate::error::{OpenError, ReadError, SubmitError};
use crate::heads::Heads;
use crate::limits;
use crate::queue::{Bounds, Health, Queue, Work};
use crate::reader::{self, Pass};
use crate::stats::Stats;
use crate::writer::{Shared, Writer, caught};

/// The file whose lock says that a process has the journal open. The system drops the lock when
/// the process ends, however it ends.
const LOCK_FILE: &str = "journal.lock";
/// The directory of the store inside the journal's.
const STORE_DIR: &str = "store";

/// Bounds of a journal; the defaults are those of [`limits`].
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Appends that may wait for the writer.
    pub queue_len_max: usize,
    /// Records in one batch.
    pub batch_records_max: usize,
    /// Payload bytes in one batch.
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

/// A handle to a journal on a local disk; clones are cheap and name the same journal. When the last
/// one is dropped, what waits is written and the store is closed.
#[derive(Clone)]
pub struct Embedded {
    owner: Arc<Owner>,
}

struct Owner {
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl Embedded {
    /// Opens the journal in `dir`, which is made when it does not exist.
    ///
    /// # Errors
    /// As [`OpenError`] says.
    pub fn open(dir: &Path, options: Options) -> Result<Self, OpenError> {
        let place = FjallPlace::new(dir.join(STORE_DIR));
        Self::open_place(dir, options, Box::new(place))
    }

    /// Opens a journal whose lock is in `dir` and whose store is `place`; for stores that are
    /// measured or made to fail.
    ///
    /// # Errors
    /// As [`OpenError`] says.
    pub fn open_place(
        dir: &Path,
        options: Options,
        place: Box<dyn Place>,
    ) -> Result<Self, OpenError> {
        let lock = lock(dir)?;
        let failed = |reason| OpenError::Store { dir: dir.to_owned(), reason };
        let (engine, heads) = caught(|| {
            let engine = place.open(Opening::First)?;
            let heads = Heads::load(engine.as_ref())?;
            Ok((engine, heads))
        })
        .map_err(|error| failed(error.to_string()))?;
        let shared = Arc::new(Shared {
            queue: Queue::new(options.queue_len_max),
            stats: Stats::default(),
            engine: RwLock::new(Some(engine)),
            heads: RwLock::new(heads),
            lock,
        });
        let bounds =
            Bounds { records_max: options.batch_records_max, bytes_max: options.batch_bytes_max };
        let writer = Writer::new(Arc::clone(&shared), place, bounds);
        let writer = thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || writer.run())
            .map_err(|error| failed(format!("its thread cannot start: {error}")))?;
        let owner = Owner { shared, writer: Mutex::new(Some(writer)) };
        Ok(Self { owner: Arc::new(owner) })
    }

    /// Whether the journal takes appends.
    pub fn health(&self) -> Health {
        self.owner.shared.queue.health()
    }

    /// What the writer did since the journal was opened.
    pub fn stats(&self) -> &Stats {
        &self.owner.shared.stats
    }

    /// Takes no more appends, writes and answers what waits, and closes the store. Must not be
    /// called from `done`.
    pub fn close(self) {
        self.owner.close();
    }

    fn with_engine<T>(
        &self,
        read: impl FnOnce(&dyn Engine) -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        let engine = self.owner.shared.engine.read();
        let Some(engine) = engine.as_deref() else {
            return Err(io::Error::other("the store is closed").into());
        };
        read(engine)
    }
}

impl Journal for Embedded {
    fn submit_all(&self, appends: Vec<Append>) -> Result<(), SubmitError> {
        for append in &appends {
            check_key(&append.list)?;
            if append.records.iter().any(|record| record.len() > limits::RECORD_BYTES_MAX) {
                return Err(SubmitError::TooLarge("a record is over its limit"));
            }
        }
        let (stats, count) = (&self.owner.shared.stats, appends.len());
        let work = appends.into_iter().enumerate();
        let work =
            work.map(|(place, append)| Work::Append { append, with_next: place + 1 < count });
        let submitted = self.owner.shared.queue.submit(work, stats);
        if submitted.is_err() {
            stats.refused_appends.fetch_add(count as u64, Ordering::Relaxed);
        }
        submitted
    }

    fn read(&self, list: &[u8], after: u64, limit: usize) -> Result<Vec<Record>, ReadError> {
        self.with_engine(|engine| {
            let head = {
                let heads = self.owner.shared.heads.read();
                if let Some(damaged) = heads.damaged.get(list) {
                    return Err(damaged.error(list));
                }
                heads.lists.get(list).copied()
            };
            let Some(head) = head else { return Ok(Vec::new()) };
            let records = reader::read(engine, (list, head), after, limit);
            let promised = head.last.saturating_sub(after).min(limit as u64);
            if matches!(&records, Ok(records) if records.len() as u64 == promised) {
                return records;
            }
            // It is damaged, or it was removed while it was read.
            let now = self.owner.shared.heads.read().lists.get(list).map(|head| head.id);
            if now != Some(head.id) {
                return Ok(Vec::new());
            }
            let next = after + 1 + records?.len() as u64;
            let list = Bytes::copy_from_slice(list);
            Err(ReadError::Damaged { list, seq: next, reason: "it is missing".to_owned() })
        })
    }

    fn lists(&self) -> Result<Vec<(Vec<u8>, u64)>, ReadError> {
        let heads = self.owner.shared.heads.read();
        let lists = heads.lists.iter().map(|(list, head)| (list.to_vec(), head.last));
        let lost = heads.damaged.keys().filter(|list| !heads.lists.contains_key(*list));
        Ok(lists.chain(lost.map(|list| (list.to_vec(), 0))).collect())
    }

    fn remove(&self, list: &[u8]) -> Result<(), ReadError> {
        let (sender, receiver) = mpsc::sync_channel(1);
        let list = Bytes::copy_from_slice(list);
        let done = Box::new(move |outcome| {
            // The caller waits for it, so the channel is open.
            drop(sender.send(outcome));
        });
        let shared = &self.owner.shared;
        shared
            .queue
            .submit(std::iter::once(Work::Remove { list, done }), &shared.stats)
            .map_err(io::Error::other)?;
        receiver.recv().map_err(io::Error::other)?
    }

    fn scan(&self, visit: &mut Visit<'_>) -> Result<(), ReadError> {
        self.with_engine(|engine| {
            let pass = Pass::new(&self.owner.shared.heads.read());
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

impl Owner {
    fn close(&self) {
        self.shared.queue.stop();
        let writer = self.writer.lock().take();
        let Some(writer) = writer else { return };
        // The last handle may be dropped by a `done`, which is on the writer's own thread.
        if writer.thread().id() != thread::current().id() && writer.join().is_err() {
            tracing::error!("the journal's writer panicked");
        }
    }
}

impl Drop for Owner {
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

fn lock(dir: &Path) -> Result<File, OpenError> {
    let unwritable = |source| OpenError::Unwritable { dir: dir.to_owned(), source };
    fs::create_dir_all(dir).map_err(unwritable)?;
    let mut options = File::options();
    let options = options.create(true).truncate(false).write(true);
    let file = options.open(dir.join(LOCK_FILE)).map_err(unwritable)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked { dir: dir.to_owned() }),
        Err(TryLockError::Error(source)) => Err(unwritable(source)),
    }
}
