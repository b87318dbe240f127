//! A host's journal: the real one, whose writer is driven by the simulated world. A host's appends
//! wait for the world, which passes them to the writer, waits for its results, and delivers these
//! later. So the writer's thread never runs concurrently with a host, and a run is deterministic.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use orderstream_journal::{
    Append, AppendCallback, AppendError, AppendReceipt, Embedded, Health, Journal, JournalRecord,
    Options, ReadError, RecordVisitor, RemoveError, SubmitError,
};
use parking_lot::Mutex;
use tempfile::TempDir;

use crate::disk::{HostDisk, SyncEffect};

/// The timeout for the writer's results, which take microseconds; a run that reaches it is stuck.
const WRITER_TIMEOUT: Duration = Duration::from_secs(60);

/// A host's journal, with the parts that outlive the host.
#[derive(Debug)]
pub(crate) struct HostJournal {
    pub(crate) disk: HostDisk,
    dir: TempDir,
    open: Option<Arc<DeferredJournal>>,
}

/// The journal during one run of a host.
pub(crate) struct DeferredJournal {
    journal: Mutex<Option<Embedded>>,
    pending: Mutex<VecDeque<Vec<Append>>>,
    results: Mutex<VecDeque<(AppendCallback, Result<AppendReceipt, AppendError>)>>,
    /// Set while a host starts and waits for its appends on this thread.
    is_starting: AtomicBool,
}

impl fmt::Debug for DeferredJournal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Driven")
    }
}

impl HostJournal {
    pub(crate) fn new(syncs: SyncEffect) -> Self {
        // In memory if the system supports it: the real disk does not matter here.
        let memory = tempfile::tempdir_in("/dev/shm");
        let dir = memory.or_else(|_| tempfile::tempdir()).expect("a directory");
        Self { disk: HostDisk::new(syncs), dir, open: None }
    }

    /// Opens the journal for a start of the host.
    pub(crate) fn open(&mut self) -> Arc<DeferredJournal> {
        let disk = Box::new(self.disk.clone());
        let opened = Embedded::open_at(self.dir.path(), Options::default(), disk);
        let deferred = Arc::new(DeferredJournal {
            journal: Mutex::new(Some(opened.expect("the journal opens"))),
            pending: Mutex::default(),
            results: Mutex::default(),
            is_starting: AtomicBool::new(false),
        });
        self.open = Some(Arc::clone(&deferred));
        deferred
    }

    /// Closes the journal of a host that has ended: pending appends are not written, and
    /// undelivered results are dropped.
    pub(crate) fn close(&mut self) {
        let Some(deferred) = self.open.take() else { return };
        deferred.pending.lock().clear();
        deferred.results.lock().clear();
        let journal = deferred.journal.lock().take();
        journal.into_iter().for_each(Embedded::close);
        self.disk.lose_power();
    }

    /// Delivers the writer's earlier results, and writes some of the pending appends.
    pub(crate) fn pump(&self, rng: &mut fastrand::Rng) {
        let Some(deferred) = &self.open else { return };
        deferred.heal(&self.disk);
        let results: Vec<_> = deferred.results.lock().drain(..).collect();
        for (done, outcome) in results {
            done(outcome);
        }
        let batch: Vec<Vec<Append>> = {
            let mut pending = deferred.pending.lock();
            let most = pending.len();
            // Usually all, sometimes only the first ones.
            let count = if rng.u8(..4) == 0 { rng.usize(..=most) } else { most };
            pending.drain(..count).collect()
        };
        deferred.write(batch);
    }
}

impl DeferredJournal {
    /// Passes appends directly to the writer from now on.
    pub(crate) fn start(&self) {
        self.is_starting.store(true, Ordering::Release);
    }

    /// Makes appends wait for the world from now on.
    pub(crate) fn finish_start(&self) {
        self.is_starting.store(false, Ordering::Release);
    }

    /// If the disk has no fault, waits until the writer has recovered.
    fn heal(&self, disk: &HostDisk) {
        let began = Instant::now();
        while disk.is_healthy() && matches!(self.health(), Some(Health::Unhealthy(_))) {
            assert!(began.elapsed() < WRITER_TIMEOUT, "the journal does not come back");
            std::thread::park_timeout(Duration::from_millis(2));
        }
    }

    fn health(&self) -> Option<Health> {
        self.journal.lock().as_ref().map(Embedded::health)
    }

    /// Writes the appends as one batch, and stores the results.
    fn write(&self, batch: Vec<Vec<Append>>) {
        let Some(journal) = self.journal.lock().clone() else { return };
        if batch.is_empty() {
            return;
        }
        let (sender, receiver) = mpsc::channel();
        let mut callbacks: Vec<AppendCallback> = Vec::new();
        let mut appends = Vec::new();
        for (index, append) in batch.into_iter().flatten().enumerate() {
            callbacks.push(append.done);
            let sender = sender.clone();
            let done: AppendCallback = Box::new(move |outcome| drop(sender.send((index, outcome))));
            appends.push(Append { done, ..append });
        }
        drop(sender);
        let failed = journal.submit_all(appends).err();
        let mut outcomes: Vec<Option<_>> = callbacks.iter().map(|_| None).collect();
        while let Ok((index, outcome)) = receiver.recv_timeout(WRITER_TIMEOUT) {
            outcomes[index] = Some(outcome);
        }
        let mut results = self.results.lock();
        for (done, outcome) in callbacks.into_iter().zip(outcomes) {
            let not_taken = || AppendError::NotQueued(failed.clone().expect("it was answered"));
            let outcome = outcome.unwrap_or_else(|| Err(not_taken()));
            results.push_back((done, outcome));
        }
    }
}

impl Journal for DeferredJournal {
    fn submit_all(&self, appends: Vec<Append>) -> Result<(), SubmitError> {
        let journal = self.journal.lock().clone().ok_or(SubmitError::Stopped)?;
        if self.is_starting.load(Ordering::Acquire) {
            return journal.submit_all(appends);
        }
        match journal.health() {
            Health::Healthy => {}
            Health::Unhealthy(reason) => return Err(SubmitError::Unhealthy(reason)),
            Health::ReadOnly(reason) => return Err(SubmitError::ReadOnly(reason)),
        }
        self.pending.lock().push_back(appends);
        Ok(())
    }

    fn read_only(&self) -> Option<String> {
        self.opened().ok()?.read_only()
    }

    fn is_settled(&self) -> bool {
        self.opened().is_ok_and(|journal| journal.is_settled())
    }

    fn read(&self, list: &[u8], after: u64, limit: usize) -> Result<Vec<JournalRecord>, ReadError> {
        self.opened()?.read(list, after, limit)
    }

    fn lists(&self) -> Result<Vec<(Vec<u8>, u64)>, ReadError> {
        self.opened()?.lists()
    }

    fn remove(&self, list: &[u8]) -> Result<(), RemoveError> {
        self.opened()?.remove(list)
    }

    fn scan(&self, visit: &mut RecordVisitor<'_>) -> Result<(), ReadError> {
        self.opened()?.scan(visit)
    }
}

impl DeferredJournal {
    fn opened(&self) -> std::io::Result<Embedded> {
        let host_ended = || std::io::Error::other("the host is gone");
        self.journal.lock().clone().ok_or_else(host_ended)
    }
}
