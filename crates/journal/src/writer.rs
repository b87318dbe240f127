//! The one thread that writes: it takes the work that waits, writes it as one batch, syncs once,
//! and reports the outcomes.

mod batch;

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use parking_lot::RwLock;

use self::batch::{Batch, framed_nothing};
use crate::damage::FileDamage;
use crate::engine::{Engine, EngineError, Op, Opening, Place, Rescued};
use crate::error::AppendError;
use crate::heads::Heads;
use crate::keys::{self, ListId};
use crate::limits;
use crate::marks::MarksFile;
use crate::queue::{Bounds, Health, Queue, Taken, Work};
use crate::stats::Stats;

/// The state that the writer's thread shares with the journal's handles.
pub(crate) struct Shared {
    pub(crate) queue: Queue,
    pub(crate) stats: Stats,
    /// The open store. Changed by the writer only; absent while a failed store is being opened
    /// again, and once it is closed.
    pub(crate) engine: RwLock<Option<Box<dyn Engine>>>,
    /// The ends of the lists. Changed by the writer only, after a sync.
    pub(crate) heads: RwLock<Heads>,
    /// The damaged files of the store, as they were found.
    pub(crate) files: RwLock<Vec<FileDamage>>,
    /// The lock of the journal's directory, released when the file is closed. The writer may
    /// outlive the last handle, so the last of both releases it.
    #[expect(dead_code, reason = "held, not read")]
    pub(crate) lock: File,
}

/// The state of the writer's thread.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    place: Box<dyn Place>,
    bounds: Bounds,
    /// The file of marks; absent where the store is read only, and the marks then stay as they are.
    marks: Option<MarksFile>,
    /// Removed lists whose removal the file of marks has on disk: the store may forget them.
    forgettable: Vec<ListId>,
}

impl Writer {
    pub(crate) fn new(
        shared: Arc<Shared>,
        place: Box<dyn Place>,
        bounds: Bounds,
        marks: MarksFile,
    ) -> Self {
        Self { shared, place, bounds, marks: Some(marks), forgettable: Vec::new() }
    }

    /// Works until the queue is stopped and empty, then closes the store.
    pub(crate) fn run(mut self) {
        let mut works = Vec::new();
        loop {
            let wait = (self.bounds, self.due());
            match self.shared.queue.take(wait, &self.shared.stats, &mut works) {
                Taken::Stopped => break,
                Taken::Idle => {}
                Taken::Work => {
                    let batch = Batch::stage(works.drain(..), &self.shared.heads.read());
                    self.write(batch);
                }
            }
            if self.due().is_some_and(|due| due <= Instant::now()) {
                self.sync_marks();
            }
        }
        self.sync_marks();
        close(&self.shared);
    }

    /// Returns the time at which the marks are to be synced next.
    fn due(&self) -> Option<Instant> {
        self.marks.as_ref()?.due()
    }

    /// Syncs the marks, and collects the removed lists that the store may then forget.
    fn sync_marks(&mut self) {
        let Some(marks) = &mut self.marks else { return };
        let is_synced = marks.catch_up(&self.shared.heads.read());
        if is_synced {
            self.forgettable.append(&mut self.shared.heads.write().gone);
        }
    }

    fn close_marks(&mut self) {
        if let Some(marks) = self.marks.take() {
            marks.close();
        }
    }

    fn write(&mut self, mut batch: Batch) {
        let started = Instant::now();
        let mut ops = batch.take_ops();
        if !ops.is_empty() {
            ops.extend(self.ops_of_marks());
            if let Err(error) = self.commit(ops) {
                return self.fail(batch, &error);
            }
            let (records, bytes) = batch.size();
            self.shared.stats.batch_is_durable(records, bytes, started.elapsed());
            let mut heads = self.shared.heads.write();
            let changes = batch.changes(&heads);
            batch.move_heads(&mut heads);
            heads.is_marked = true;
            drop(heads);
            if let Some(marks) = &mut self.marks {
                marks.mark(&changes, &self.shared.heads.read());
            }
        }
        batch.answer();
    }

    /// Returns the changes that are added to a batch: the key that records that there are marks,
    /// and removed lists to forget.
    fn ops_of_marks(&mut self) -> Vec<Op> {
        let forgotten = self.forgettable.len().min(limits::GONE_BATCH_MAX);
        let forgotten = self.forgettable.drain(..forgotten);
        let mut ops: Vec<Op> = forgotten.map(|id| Op::Delete(keys::gone(id))).collect();
        if !self.shared.heads.read().is_marked {
            ops.push(Op::Put(keys::MARKED.to_vec(), framed_nothing()));
        }
        ops
    }

    fn commit(&self, ops: Vec<Op>) -> Result<(), EngineError> {
        let engine = self.shared.engine.read();
        let Some(engine) = engine.as_ref() else {
            return Err(EngineError::Failed("the store is closed".to_owned()));
        };
        caught(|| engine.commit(ops))
    }

    /// Refuses the batch and all waiting work, and opens the store again when the disk takes
    /// writes.
    fn fail(&mut self, batch: Batch, error: &EngineError) {
        tracing::error!(%error, "a write failed, nothing is acknowledged until the store is open again");
        // A store of which a part cannot be read cannot be merged either, and would fail
        // repeatedly.
        let unreadable = self.shared.heads.read().unreadable.clone();
        let health = match unreadable {
            Some(reason) => {
                Health::ReadOnly(format!("a part of the store cannot be read: {reason}"))
            }
            None => Health::Unhealthy(error.to_string()),
        };
        let is_read_only = matches!(health, Health::ReadOnly(_));
        let waiting = self.shared.queue.fail(health, &self.shared.stats);
        let refusal = match error {
            EngineError::Full(reason) => AppendError::Full(reason.clone()),
            EngineError::Failed(reason) | EngineError::Damaged(reason) => {
                AppendError::Failed(reason.clone())
            }
        };
        let failed = batch.len().saturating_add(waiting.len());
        let failed = u64::try_from(failed).unwrap_or(u64::MAX);
        self.shared.stats.failed_appends.fetch_add(failed, Ordering::Relaxed);
        batch.refuse(&refusal);
        waiting.into_iter().for_each(|work| refuse(work, &refusal));
        if is_read_only {
            self.close_marks();
        } else {
            self.reopen();
        }
    }

    /// Retries until the store is open again, or found to be damaged, or the journal is stopped.
    fn reopen(&mut self) {
        let mut pause = limits::REOPEN_PAUSE_MIN;
        let mut tries = limits::REOPENS_OF_DAMAGED_MAX;
        while !self.shared.queue.stopped_within(pause) {
            pause = (pause * 2).min(limits::REOPEN_PAUSE_MAX);
            let error = match self.try_reopen() {
                Ok(()) => {
                    tracing::info!("the store is open again");
                    return self.shared.queue.heal();
                }
                // A disk that failed once more may have recovered, with undamaged content.
                Err(error @ EngineError::Damaged(_)) if tries > 0 => {
                    tries -= 1;
                    error
                }
                Err(EngineError::Damaged(reason)) => match self.read_only(&reason) {
                    Ok(()) => {
                        self.close_marks();
                        return;
                    }
                    Err(error) => error,
                },
                Err(error) => error,
            };
            tracing::warn!(%error, "the store cannot be opened again yet");
            self.shared.queue.fail(Health::Unhealthy(error.to_string()), &self.shared.stats);
        }
    }

    fn try_reopen(&mut self) -> Result<(), EngineError> {
        // While the disk takes no writes, the failed store stays open for readers.
        self.place.probe()?;
        let shared = Arc::clone(&self.shared);
        let mut slot = shared.engine.write();
        let closed = slot.take();
        let engine = caught(|| {
            drop(closed);
            let engine = self.place.open(Opening::AfterFailure)?;
            *shared.heads.write() = self.heads_of(engine.as_ref())?;
            Ok(engine)
        })?;
        shared.files.write().extend(engine.damage());
        // The store may hold records that were refused and are not in the marks: the marks are
        // updated before it is read.
        self.marks.iter_mut().for_each(MarksFile::are_behind);
        self.forgettable.clear();
        self.sync_marks();
        *slot = Some(engine);
        Ok(())
    }

    /// Makes the journal read only, because its store was damaged since it was opened: the whole
    /// parts of it are served.
    fn read_only(&self, reason: &str) -> Result<(), EngineError> {
        let known = self.shared.heads.read().names();
        let mut slot = self.shared.engine.write();
        let Rescued { engine, damage } = caught(|| self.place.rescue(&known))?;
        *self.shared.heads.write() = self.heads_of(engine.as_ref())?;
        *slot = Some(engine);
        drop(slot);
        *self.shared.files.write() = damage;
        tracing::error!(reason, "the store is damaged; the journal is read only");
        self.shared.queue.fail(Health::ReadOnly(reason.to_owned()), &self.shared.stats);
        Ok(())
    }

    /// Loads the ends of a store's lists, and compares them with those acknowledged so far.
    fn heads_of(&self, engine: &dyn Engine) -> Result<Heads, EngineError> {
        let known = self.shared.heads.read();
        let mut heads = Heads::load(engine, &known.names())?;
        heads.next_id = heads.next_id.max(known.next_id);
        heads.judge(known.acknowledged());
        Ok(heads)
    }
}

/// Closes the store. Joining its threads may panic; that is only reported.
pub(crate) fn close(shared: &Shared) {
    let engine = shared.engine.write().take();
    if catch_unwind(AssertUnwindSafe(|| drop(engine))).is_err() {
        tracing::error!("the store panicked while it was closed");
    }
}

/// Calls the store; a panic in it is a failure like any other.
pub(crate) fn caught<T>(call: impl FnOnce() -> Result<T, EngineError>) -> Result<T, EngineError> {
    catch_unwind(AssertUnwindSafe(call))
        .unwrap_or_else(|_| Err(EngineError::Damaged("the store panicked".to_owned())))
}

/// Calls a caller's `done`, which may panic; the panic must not end the writer.
fn answer(call: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(call)).is_err() {
        tracing::error!("a caller's `done` panicked");
    }
}

/// Converts the refusal of an append into that of a removal.
fn refused(refusal: &AppendError) -> crate::error::ReadError {
    std::io::Error::other(refusal.clone()).into()
}

/// Refuses one request to the writer.
fn refuse(work: Work, refusal: &AppendError) {
    match work {
        Work::Append { append, .. } => answer(|| (append.done)(Err(refusal.clone()))),
        Work::Remove { done, .. } => answer(|| done(Err(refused(refusal)))),
    }
}
