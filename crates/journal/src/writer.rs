//! The only thread that writes: it dequeues requests, writes them as one batch, syncs once, and
//! reports the outcomes.

mod batch;

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use parking_lot::RwLock;

use self::batch::{Batch, empty_frame};
use crate::damage::FileDamage;
use crate::engine::{Engine, EngineError, OpenReason, RescuedStore, StoreLocation, WriteOp};
use crate::error::{AppendError, RemoveError};
use crate::heads::{Heads, PendingRemoval};
use crate::keys::{self, ListId};
use crate::limits;
use crate::marks::MarksFile;
use crate::queue::{BatchLimits, DequeueOutcome, Health, WriteQueue, WriteRequest};
use crate::stats::Stats;

/// The state that the writer's thread shares with the journal's handles.
pub(crate) struct JournalState {
    pub(crate) queue: WriteQueue,
    pub(crate) stats: Stats,
    /// The open store. Changed by the writer only; absent while a failed store is being reopened,
    /// and once it is closed.
    pub(crate) engine: RwLock<Option<Box<dyn Engine>>>,
    /// The ends of the lists. Changed by the writer only, after a sync.
    pub(crate) heads: RwLock<Heads>,
    /// The damaged files that were found in the store.
    pub(crate) files: RwLock<Vec<FileDamage>>,
    /// The lock of the journal's directory, released when the file is closed. The writer may
    /// outlive the last handle, so whichever ends last releases it.
    #[expect(dead_code, reason = "held, not read")]
    pub(crate) lock: File,
}

/// The state of the writer's thread.
pub(crate) struct BatchWriter {
    shared: Arc<JournalState>,
    location: Box<dyn StoreLocation>,
    bounds: BatchLimits,
    /// The marks file; absent if the store is read only, when the marks stay unchanged.
    marks: Option<MarksFile>,
    /// Removed lists whose removal is durable in the marks file: their tombstones may be deleted.
    purgeable: Vec<ListId>,
}

impl BatchWriter {
    pub(crate) fn new(
        shared: Arc<JournalState>,
        location: Box<dyn StoreLocation>,
        bounds: BatchLimits,
        marks: MarksFile,
    ) -> Self {
        Self { shared, location, bounds, marks: Some(marks), purgeable: Vec::new() }
    }

    /// Runs until the queue is stopped and empty, then closes the store.
    pub(crate) fn run(mut self) {
        let mut requests = Vec::new();
        loop {
            let (queue, stats) = (&self.shared.queue, &self.shared.stats);
            match queue.dequeue(self.bounds, self.marks_due(), stats, &mut requests) {
                DequeueOutcome::Stopped => break,
                DequeueOutcome::Idle => {}
                DequeueOutcome::Ready => {
                    let batch = Batch::stage(requests.drain(..), &self.shared.heads.read());
                    self.write(batch);
                }
            }
            if self.marks_due().is_some_and(|due| due <= Instant::now()) {
                self.sync_marks();
            }
        }
        self.sync_marks();
        close(&self.shared);
    }

    /// Returns the time at which the marks are due to be synced.
    fn marks_due(&self) -> Option<Instant> {
        self.marks.as_ref()?.due()
    }

    /// Syncs the marks, and collects the removed lists whose tombstones may then be deleted.
    fn sync_marks(&mut self) {
        let Some(marks) = &mut self.marks else { return };
        let is_synced = marks.sync_or_rewrite(&self.shared.heads.read());
        if is_synced {
            self.purgeable.append(&mut self.shared.heads.write().tombstones);
        }
    }

    fn close_marks(&mut self) {
        if let Some(Err(error)) = self.marks.take().map(MarksFile::close) {
            tracing::warn!(%error, "the journal's marks cannot be synced");
        }
    }

    fn write(&mut self, mut batch: Batch) {
        let started = Instant::now();
        let mut ops = batch.take_ops();
        if !ops.is_empty() {
            ops.extend(self.housekeeping_ops());
            if let Some(id) = batch.removed() {
                self.shared.heads.write().removal = Some((id, PendingRemoval::Writing));
            }
            if let Err(error) = self.commit(ops) {
                return self.fail(batch, &error);
            }
            let (records, bytes) = batch.size();
            self.shared.stats.record_batch(records, bytes, started.elapsed());
            let mut heads = self.shared.heads.write();
            let changes = batch.changes(&heads);
            batch.move_heads(&mut heads);
            heads.has_marks = true;
            drop(heads);
            if let Some(marks) = &mut self.marks {
                marks.mark(&changes, &self.shared.heads.read());
            }
        }
        batch.complete();
    }

    /// Returns the housekeeping changes of a batch: the key that records that marks exist, and the
    /// deletion of tombstones.
    fn housekeeping_ops(&mut self) -> Vec<WriteOp> {
        let count = self.purgeable.len().min(limits::TOMBSTONES_BATCH_MAX);
        let purged = self.purgeable.drain(..count);
        let mut ops: Vec<WriteOp> = purged.map(|id| WriteOp::Delete(keys::tombstone(id))).collect();
        if !self.shared.heads.read().has_marks {
            ops.push(WriteOp::Put(keys::MARKS_KEY.to_vec(), empty_frame()));
        }
        ops
    }

    fn commit(&self, ops: Vec<WriteOp>) -> Result<(), EngineError> {
        let engine = self.shared.engine.read();
        let Some(engine) = engine.as_ref() else {
            return Err(EngineError::Failed("the store is closed".to_owned()));
        };
        catch_panics(|| engine.commit(ops))
    }

    /// Refuses the batch and all queued requests, and reopens the store when the disk is writable.
    fn fail(&mut self, batch: Batch, error: &EngineError) {
        tracing::error!(%error, "a write failed; nothing is acknowledged until the store is open again");
        // A store with an unreadable part cannot be merged either, and would fail repeatedly.
        let unreadable = self.shared.heads.read().unreadable.clone();
        let health = match unreadable {
            Some(reason) => {
                Health::ReadOnly(format!("a part of the store cannot be read: {reason}"))
            }
            None => Health::Unhealthy(error.to_string()),
        };
        let is_read_only = matches!(health, Health::ReadOnly(_));
        let pending = self.shared.queue.fail(health, &self.shared.stats);
        let refusal = match error {
            EngineError::Full(reason) => AppendError::Full(reason.clone()),
            EngineError::Failed(reason) | EngineError::Damaged(reason) => {
                AppendError::Failed(reason.clone())
            }
        };
        if let Some((_, removal)) = &mut self.shared.heads.write().removal {
            *removal = PendingRemoval::Failed;
        }
        let failed = batch.len().saturating_add(pending.len());
        let failed = u64::try_from(failed).unwrap_or(u64::MAX);
        self.shared.stats.failed_appends.fetch_add(failed, Ordering::Relaxed);
        batch.refuse(&refusal);
        pending.into_iter().for_each(|work| refuse(work, &refusal));
        if is_read_only {
            self.close_marks();
        } else {
            self.reopen();
        }
    }

    /// Retries until the store is open again or found to be damaged, or the journal is stopped.
    fn reopen(&mut self) {
        let mut backoff = limits::REOPEN_BACKOFF_MIN;
        let mut retries = limits::DAMAGED_REOPENS_MAX;
        while !self.shared.queue.wait_for_stop(backoff) {
            backoff = (backoff * 2).min(limits::REOPEN_BACKOFF_MAX);
            let error = match self.try_reopen() {
                Ok(()) => {
                    tracing::info!("the store is open again");
                    return self.shared.queue.resume();
                }
                // The content may be undamaged if the disk recovers.
                Err(error @ EngineError::Damaged(_)) if retries > 0 => {
                    retries -= 1;
                    error
                }
                Err(EngineError::Damaged(reason)) => match self.make_read_only(&reason) {
                    Ok(()) => {
                        self.close_marks();
                        return;
                    }
                    Err(error) => error,
                },
                Err(error) => error,
            };
            tracing::warn!(%error, "the store cannot be reopened yet");
            self.shared.queue.fail(Health::Unhealthy(error.to_string()), &self.shared.stats);
        }
    }

    fn try_reopen(&mut self) -> Result<(), EngineError> {
        // While the disk is not writable, the failed store stays open for readers.
        self.location.probe()?;
        let shared = Arc::clone(&self.shared);
        let mut slot = shared.engine.write();
        let failed_engine = slot.take();
        let engine = catch_panics(|| {
            drop(failed_engine);
            let engine = self.location.open(OpenReason::AfterFailure)?;
            *shared.heads.write() = self.load_heads(engine.as_ref())?;
            Ok(engine)
        })?;
        shared.files.write().extend(engine.damage());
        // The store may hold records that were refused and are not in the marks, so the marks are
        // updated before it is read.
        self.marks.iter_mut().for_each(MarksFile::invalidate);
        self.purgeable.clear();
        self.sync_marks();
        *slot = Some(engine);
        Ok(())
    }

    /// Makes the journal read only, because its store was damaged after it was opened; its intact
    /// parts are served.
    fn make_read_only(&self, reason: &str) -> Result<(), EngineError> {
        let catalog = self.shared.heads.read().catalog();
        let mut slot = self.shared.engine.write();
        let RescuedStore { engine, damage } = catch_panics(|| self.location.rescue(&catalog))?;
        *self.shared.heads.write() = self.load_heads(engine.as_ref())?;
        *slot = Some(engine);
        drop(slot);
        *self.shared.files.write() = damage;
        tracing::error!(reason, "the store is damaged; the journal is read only");
        self.shared.queue.fail(Health::ReadOnly(reason.to_owned()), &self.shared.stats);
        Ok(())
    }

    /// Loads the ends of a store's lists, and compares them with those acknowledged so far.
    fn load_heads(&self, engine: &dyn Engine) -> Result<Heads, EngineError> {
        let current = self.shared.heads.read();
        let mut heads = Heads::load(engine, &current.catalog())?;
        heads.next_id = heads.next_id.max(current.next_id);
        heads.verify_ends(current.acknowledged());
        Ok(heads)
    }
}

/// Closes the store. Joining its threads may panic; the panic is only logged.
pub(crate) fn close(shared: &JournalState) {
    let engine = shared.engine.write().take();
    if catch_unwind(AssertUnwindSafe(|| drop(engine))).is_err() {
        tracing::error!("the store panicked while it was closed");
    }
}

/// Calls the store; a panic in it is a failure like any other.
pub(crate) fn catch_panics<T>(
    call: impl FnOnce() -> Result<T, EngineError>,
) -> Result<T, EngineError> {
    catch_unwind(AssertUnwindSafe(call))
        .unwrap_or_else(|_| Err(EngineError::Damaged("the store panicked".to_owned())))
}

/// Calls a caller's `done`, which may panic; the panic must not end the writer.
fn run_callback(call: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(call)).is_err() {
        tracing::error!("a caller's `done` panicked");
    }
}

/// Converts the refusal of an append into that of a removal.
fn removal_error(refusal: &AppendError) -> RemoveError {
    std::io::Error::other(refusal.clone()).into()
}

/// Refuses one request to the writer.
fn refuse(request: WriteRequest, refusal: &AppendError) {
    match request {
        WriteRequest::Append { append, .. } => run_callback(|| (append.done)(Err(refusal.clone()))),
        WriteRequest::Remove { done, .. } => run_callback(|| done(Err(removal_error(refusal)))),
    }
}
