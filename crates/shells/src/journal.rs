//! A host's journal: the real one, whose writer runs when the world says so. A host's appends wait
//! for the world, which passes them to the writer, waits for its results, and delivers these later:
//! so the writer's thread never runs beside a host, and a run is the same every time.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use orderstream_journal::{
    Append, AppendError, Appended, Done, Embedded, Health, Journal, Options, ReadError, Record,
    SubmitError, Visit,
};
use parking_lot::Mutex;
use tempfile::TempDir;

use crate::disk::{Disk, Syncs};

/// The limit for the writer's results, which take microseconds; a run that reaches it is stuck.
const STUCK: Duration = Duration::from_secs(60);

/// A host's journal, and its parts that outlive the host.
#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) disk: Disk,
    dir: TempDir,
    open: Option<Arc<Driven>>,
}

/// The journal of one start of a host.
pub(crate) struct Driven {
    journal: Mutex<Option<Embedded>>,
    waiting: Mutex<VecDeque<Vec<Append>>>,
    answers: Mutex<VecDeque<(Done, Result<Appended, AppendError>)>>,
    /// Set while a host starts, and waits for its appends on this thread.
    is_starting: AtomicBool,
}

impl fmt::Debug for Driven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Driven")
    }
}

impl Device {
    pub(crate) fn new(syncs: Syncs) -> Self {
        // In memory where the system has such a place: nothing here is about the real disk.
        let memory = tempfile::tempdir_in("/dev/shm");
        let dir = memory.or_else(|_| tempfile::tempdir()).expect("a directory");
        Self { disk: Disk::new(syncs), dir, open: None }
    }

    /// Opens the journal for a new start of the host.
    pub(crate) fn open(&mut self) -> Arc<Driven> {
        let place = Box::new(self.disk.clone());
        let opened = Embedded::open_place(self.dir.path(), Options::default(), place);
        let driven = Arc::new(Driven {
            journal: Mutex::new(Some(opened.expect("the journal opens"))),
            waiting: Mutex::default(),
            answers: Mutex::default(),
            is_starting: AtomicBool::new(false),
        });
        self.open = Some(Arc::clone(&driven));
        driven
    }

    /// Closes the journal of a host that is gone: appends that waited are not written, and results
    /// that were not delivered never will be.
    pub(crate) fn close(&mut self) {
        let Some(driven) = self.open.take() else { return };
        driven.waiting.lock().clear();
        driven.answers.lock().clear();
        let journal = driven.journal.lock().take();
        journal.into_iter().for_each(Embedded::close);
        self.disk.lose_power();
    }

    /// Delivers the writer's earlier results, and writes some of the appends that wait.
    pub(crate) fn pump(&self, rng: &mut fastrand::Rng) {
        let Some(driven) = &self.open else { return };
        driven.heal(&self.disk);
        let told: Vec<_> = driven.answers.lock().drain(..).collect();
        for (done, outcome) in told {
            done(outcome);
        }
        let batch: Vec<Vec<Append>> = {
            let mut waiting = driven.waiting.lock();
            let most = waiting.len();
            // Often all, sometimes only the first ones.
            let some = if rng.u8(..4) == 0 { rng.usize(..=most) } else { most };
            waiting.drain(..some).collect()
        };
        driven.write(batch);
    }
}

impl Driven {
    /// Lets appends go to the writer directly from now on.
    pub(crate) fn start(&self) {
        self.is_starting.store(true, Ordering::Release);
    }

    /// Makes appends wait for the world from now on.
    pub(crate) fn has_started(&self) {
        self.is_starting.store(false, Ordering::Release);
    }

    /// Waits until the writer finds that a disk without a fault works again.
    fn heal(&self, disk: &Disk) {
        let began = Instant::now();
        while disk.is_well() && matches!(self.health(), Some(Health::Unhealthy(_))) {
            assert!(began.elapsed() < STUCK, "the journal does not come back");
            std::thread::park_timeout(Duration::from_millis(2));
        }
    }

    fn health(&self) -> Option<Health> {
        self.journal.lock().as_ref().map(Embedded::health)
    }

    /// Writes this as one batch, and stores the results.
    fn write(&self, batch: Vec<Vec<Append>>) {
        let Some(journal) = self.journal.lock().clone() else { return };
        if batch.is_empty() {
            return;
        }
        let (sender, receiver) = mpsc::channel();
        let mut asked: Vec<Done> = Vec::new();
        let mut appends = Vec::new();
        for (place, append) in batch.into_iter().flatten().enumerate() {
            asked.push(append.done);
            let sender = sender.clone();
            let done: Done = Box::new(move |outcome| drop(sender.send((place, outcome))));
            appends.push(Append { done, ..append });
        }
        drop(sender);
        let failed = journal.submit_all(appends).err();
        let mut outcomes: Vec<Option<_>> = asked.iter().map(|_| None).collect();
        while let Ok((place, outcome)) = receiver.recv_timeout(STUCK) {
            outcomes[place] = Some(outcome);
        }
        let mut answers = self.answers.lock();
        for (done, outcome) in asked.into_iter().zip(outcomes) {
            let not_taken = || AppendError::NotTaken(failed.clone().expect("it was answered"));
            let outcome = outcome.unwrap_or_else(|| Err(not_taken()));
            answers.push_back((done, outcome));
        }
    }
}

impl Journal for Driven {
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
        self.waiting.lock().push_back(appends);
        Ok(())
    }

    fn read_only(&self) -> Option<String> {
        self.opened().ok()?.read_only()
    }

    fn read(&self, list: &[u8], after: u64, limit: usize) -> Result<Vec<Record>, ReadError> {
        self.opened()?.read(list, after, limit)
    }

    fn lists(&self) -> Result<Vec<(Vec<u8>, u64)>, ReadError> {
        self.opened()?.lists()
    }

    fn remove(&self, list: &[u8]) -> Result<(), ReadError> {
        self.opened()?.remove(list)
    }

    fn scan(&self, visit: &mut Visit<'_>) -> Result<(), ReadError> {
        self.opened()?.scan(visit)
    }
}

impl Driven {
    fn opened(&self) -> Result<Embedded, ReadError> {
        let gone = || std::io::Error::other("the host is gone").into();
        self.journal.lock().clone().ok_or_else(gone)
    }
}
