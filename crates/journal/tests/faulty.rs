//! An in-memory store that fails, blocks or is damaged on demand.

use std::collections::{BTreeMap, VecDeque};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use orderstream_journal::engine::{
    Engine, EngineError, EntryVisitor, ListCatalog, OpenReason, RescuedStore, StoreLocation,
    WriteOp,
};
use orderstream_journal::{Embedded, FileDamage, Options};
use parking_lot::{Condvar, Mutex, MutexGuard};

/// A failure of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The disk is full; nothing is written.
    DiskFull,
    /// The write fails; nothing is written.
    WriteFails,
    /// Everything is written, and then the sync fails.
    SyncFails,
    /// The store panics.
    Panics,
}

/// The damage that an opening finds.
pub(crate) const DAMAGE: &str = "a table is damaged";

/// The disk under the store: it outlives the store, and fails on command.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disk(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    map: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The outcomes of the next commits; `None` succeeds.
    script: VecDeque<Option<Fault>>,
    space: DiskSpace,
    held: Option<HeldAt>,
    commits: Vec<usize>,
    blocked_commits: usize,
    open_reasons: Vec<OpenReason>,
    open_stores: usize,
    /// The number of next openings that find damage.
    damaged_opens: usize,
    probes: Vec<Instant>,
    unreadable: Option<Vec<u8>>,
}

/// The step before which a commit is blocked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HeldAt {
    Write,
    Sync,
}

impl Disk {
    pub(crate) fn open(&self, dir: &Path) -> Embedded {
        Embedded::open_at(dir, Options::default(), Box::new(self.clone())).expect("it opens")
    }

    /// Makes the commit after the next `fine` commits fail.
    pub(crate) fn fail_after(&self, fine: usize, fault: Fault) {
        let script = std::iter::repeat_n(None, fine).chain([Some(fault)]);
        self.0.state.lock().script = script.collect();
    }

    /// Makes the disk full, or frees space, from now on.
    pub(crate) fn set_space(&self, space: DiskSpace) {
        self.0.state.lock().space = space;
    }

    /// Blocks commits from now on.
    pub(crate) fn hold(&self) {
        self.0.state.lock().held = Some(HeldAt::Write);
    }

    /// Waits until a commit is blocked.
    pub(crate) fn wait_for_commit(&self) {
        let mut state = self.0.state.lock();
        self.0.changed.wait_while(&mut state, |state| state.blocked_commits == 0);
    }

    /// Blocks commits after they are written, before their sync, from now on.
    #[allow(dead_code, reason = "the journal's tests use it")]
    pub(crate) fn hold_syncs(&self) {
        self.0.state.lock().held = Some(HeldAt::Sync);
    }

    pub(crate) fn release(&self) {
        self.0.state.lock().held = None;
        self.0.changed.notify_all();
    }

    /// Waits until no store is open on the disk.
    #[allow(dead_code, reason = "the processor's tests use it")]
    pub(crate) fn wait_until_closed(&self) {
        let mut state = self.0.state.lock();
        self.0.changed.wait_while(&mut state, |state| state.open_stores > 0);
    }

    /// Returns the number of changes in each commit so far.
    pub(crate) fn commits(&self) -> Vec<usize> {
        self.0.state.lock().commits.clone()
    }

    pub(crate) fn open_reasons(&self) -> Vec<OpenReason> {
        self.0.state.lock().open_reasons.clone()
    }

    /// Makes the next openings find damage, so many of them.
    pub(crate) fn damage_opens(&self, count: usize) {
        self.0.state.lock().damaged_opens = count;
    }

    /// Returns the times at which the disk was asked whether it takes writes again.
    pub(crate) fn probes(&self) -> Vec<Instant> {
        self.0.state.lock().probes.clone()
    }

    /// Changes what is stored behind the journal's back.
    pub(crate) fn tamper(&self, change: impl FnOnce(&mut BTreeMap<Vec<u8>, Vec<u8>>)) {
        change(&mut self.0.state.lock().map);
    }

    /// Makes a key unreadable from now on.
    pub(crate) fn set_unreadable(&self, key: Option<Vec<u8>>) {
        self.0.state.lock().unreadable = key;
    }
}

impl Inner {
    /// Blocks a commit before this step while it is held there.
    fn block(&self, state: &mut MutexGuard<'_, State>, step: HeldAt) {
        if state.held == Some(step) {
            state.blocked_commits += 1;
            self.changed.notify_all();
            self.changed.wait_while(state, |state| state.held == Some(step));
            state.blocked_commits -= 1;
        }
    }
}

/// The free space of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum DiskSpace {
    None,
    #[default]
    Enough,
}

impl StoreLocation for Disk {
    fn open(&self, reason: OpenReason) -> Result<Box<dyn Engine>, EngineError> {
        let mut state = self.0.state.lock();
        assert_eq!(state.open_stores, 0, "the failed store is closed first");
        state.open_reasons.push(reason);
        if let Some(left) = state.damaged_opens.checked_sub(1) {
            state.damaged_opens = left;
            return Err(EngineError::Damaged(DAMAGE.to_owned()));
        }
        state.open_stores += 1;
        Ok(Box::new(Store(Arc::clone(&self.0))))
    }

    fn probe(&self) -> Result<(), EngineError> {
        let mut state = self.0.state.lock();
        state.probes.push(Instant::now());
        if state.space == DiskSpace::None { Err(disk_full_error()) } else { Ok(()) }
    }

    fn rescue(&self, _: &dyn ListCatalog) -> Result<RescuedStore, EngineError> {
        let mut state = self.0.state.lock();
        assert_eq!(state.open_stores, 0, "the damaged store is closed first");
        state.open_stores += 1;
        let file = FileDamage { file: "table".into(), offset: None, reason: DAMAGE.to_owned() };
        Ok(RescuedStore { engine: Box::new(Store(Arc::clone(&self.0))), damage: vec![file] })
    }
}

fn disk_full_error() -> EngineError {
    std::io::Error::from(std::io::ErrorKind::StorageFull).into()
}

#[derive(Debug)]
struct Store(Arc<Inner>);

impl Drop for Store {
    fn drop(&mut self) {
        self.0.state.lock().open_stores -= 1;
        self.0.changed.notify_all();
    }
}

impl Engine for Store {
    fn commit(&self, ops: Vec<WriteOp>) -> Result<(), EngineError> {
        let mut state = self.0.state.lock();
        self.0.block(&mut state, HeldAt::Write);
        let fault = if state.space == DiskSpace::None {
            Some(Fault::DiskFull)
        } else {
            state.script.pop_front().flatten()
        };
        match fault {
            Some(Fault::DiskFull) => return Err(disk_full_error()),
            Some(Fault::WriteFails) => return Err(EngineError::Failed("EIO".to_owned())),
            Some(Fault::Panics) => panic!("a bug in the store"),
            Some(Fault::SyncFails) | None => {}
        }
        state.commits.push(ops.len());
        for op in ops {
            match op {
                WriteOp::Put(key, value) => state.map.insert(key, value),
                WriteOp::Delete(key) => state.map.remove(&key),
            };
        }
        self.0.block(&mut state, HeldAt::Sync);
        if fault.is_some() { Err(EngineError::Failed("EIO".to_owned())) } else { Ok(()) }
    }

    fn range(
        &self,
        from: &[u8],
        to: &[u8],
        visit: &mut EntryVisitor<'_>,
    ) -> Result<(), EngineError> {
        let (map, unreadable) = {
            let state = self.0.state.lock();
            (state.map.clone(), state.unreadable.clone())
        };
        for (key, value) in map.range(from.to_vec()..to.to_vec()) {
            if Some(key) == unreadable.as_ref() {
                return Err(EngineError::Failed("a block cannot be read".to_owned()));
            }
            if visit(key, value) == ControlFlow::Break(()) {
                break;
            }
        }
        Ok(())
    }

    fn last_key(&self, from: &[u8], to: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        let state = self.0.state.lock();
        let last = state.map.range(from.to_vec()..to.to_vec()).next_back();
        let last = last.map(|(key, _)| key.clone());
        if last.is_some() && last == state.unreadable {
            return Err(EngineError::Failed("a block cannot be read".to_owned()));
        }
        Ok(last)
    }
}
