//! The one thread that writes: it takes what waits, writes it as one batch, syncs once, answers.

mod batch;

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use parking_lot::RwLock;

use self::batch::Batch;
use crate::engine::{Engine, EngineError, Op, Opening, Place};
use crate::error::AppendError;
use crate::heads::Heads;
use crate::limits;
use crate::queue::{Bounds, Queue, Work};
use crate::stats::Stats;

/// What the writer's thread and the journal's handles both see.
pub(crate) struct Shared {
    pub(crate) queue: Queue,
    pub(crate) stats: Stats,
    /// Changed by the writer only. None while a failed store is being opened again.
    pub(crate) engine: RwLock<Option<Box<dyn Engine>>>,
    /// Changed by the writer only, after a sync.
    pub(crate) heads: RwLock<Heads>,
    /// The lock of the journal's directory, given back where the file is closed. The writer may
    /// outlive the last handle, so whoever of both ends last gives it back.
    #[expect(dead_code, reason = "held, not read")]
    pub(crate) lock: File,
}

/// The state of the writer's thread.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    place: Box<dyn Place>,
    bounds: Bounds,
}

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>, place: Box<dyn Place>, bounds: Bounds) -> Self {
        Self { shared, place, bounds }
    }

    /// Works until the queue is stopped and empty, then closes the store.
    pub(crate) fn run(self) {
        let mut works = Vec::new();
        while self.shared.queue.take(self.bounds, &self.shared.stats, &mut works) {
            let batch = Batch::stage(works.drain(..), &self.shared.heads.read());
            self.write(batch);
        }
        // Closing a store may panic in its threads' join; there is nothing left to lose.
        let engine = self.shared.engine.write().take();
        if catch_unwind(AssertUnwindSafe(|| drop(engine))).is_err() {
            tracing::error!("the store panicked while it was closed");
        }
    }

    fn write(&self, mut batch: Batch) {
        let started = Instant::now();
        let ops = batch.take_ops();
        if !ops.is_empty() {
            if let Err(error) = self.commit(ops) {
                return self.fail(batch, &error);
            }
            let (records, bytes) = batch.size();
            self.shared.stats.batch_is_durable(records, bytes, started.elapsed());
            batch.move_heads(&mut self.shared.heads.write());
        }
        batch.answer();
    }

    fn commit(&self, ops: Vec<Op>) -> Result<(), EngineError> {
        let engine = self.shared.engine.read();
        let Some(engine) = engine.as_ref() else {
            return Err(EngineError::Failed("the store is closed".to_owned()));
        };
        caught(|| engine.commit(ops))
    }

    /// Refuses the batch and all that waits, and opens the store anew when it takes writes again.
    fn fail(&self, batch: Batch, error: &EngineError) {
        tracing::error!(%error, "a write failed, nothing is acknowledged until the store is open again");
        let waiting = self.shared.queue.fail(&error.to_string(), &self.shared.stats);
        let refusal = match error {
            EngineError::Full(reason) => AppendError::Full(reason.clone()),
            EngineError::Failed(reason) => AppendError::Failed(reason.clone()),
        };
        let failed = batch.len().saturating_add(waiting.len());
        let failed = u64::try_from(failed).unwrap_or(u64::MAX);
        self.shared.stats.failed_appends.fetch_add(failed, Ordering::Relaxed);
        batch.refuse(&refusal);
        waiting.into_iter().for_each(|work| refuse(work, &refusal));
        self.reopen();
    }

    /// Tries until the store is open again or the journal is stopped.
    fn reopen(&self) {
        let mut pause = limits::REOPEN_PAUSE_MIN;
        while !self.shared.queue.stopped_within(pause) {
            pause = (pause * 2).min(limits::REOPEN_PAUSE_MAX);
            match self.try_reopen() {
                Ok(()) => {
                    tracing::info!("the store is open again");
                    return self.shared.queue.heal();
                }
                Err(error) => {
                    tracing::warn!(%error, "the store cannot be opened again yet");
                    self.shared.queue.fail(&error.to_string(), &self.shared.stats);
                }
            }
        }
    }

    fn try_reopen(&self) -> Result<(), EngineError> {
        // While the place takes no writes the failed store stays open for those who read.
        self.place.probe()?;
        let mut slot = self.shared.engine.write();
        let closed = slot.take();
        caught(|| {
            drop(closed);
            let engine = self.place.open(Opening::AfterFailure)?;
            let heads = Heads::load(engine.as_ref())?;
            *self.shared.heads.write() = heads;
            *slot = Some(engine);
            Ok(())
        })
    }
}

/// Calls the store; a panic in it is a failure like any other.
pub(crate) fn caught<T>(call: impl FnOnce() -> Result<T, EngineError>) -> Result<T, EngineError> {
    catch_unwind(AssertUnwindSafe(call))
        .unwrap_or_else(|_| Err(EngineError::Failed("the store panicked".to_owned())))
}

/// Calls an answer that may panic; the panic must not end the writer.
fn answer(call: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(call)).is_err() {
        tracing::error!("a caller's `done` panicked");
    }
}

/// Refuses a removal in the words of a refused append.
fn refused(refusal: &AppendError) -> crate::error::ReadError {
    std::io::Error::other(refusal.clone()).into()
}

/// What was asked of the writer, by kind; used where all of it is refused.
fn refuse(work: Work, refusal: &AppendError) {
    match work {
        Work::Append { append, .. } => answer(|| (append.done)(Err(refusal.clone()))),
        Work::Remove { done, .. } => answer(|| done(Err(refused(refusal)))),
    }
}
