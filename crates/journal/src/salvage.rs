//! Verifies a journal that no process has open, and copies its intact lists into a new journal. The
//! journal itself is never changed.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use bytes::Bytes;

use crate::api::{Append, AppendReceipt, Journal as _, JournalRecord};
use crate::damage::{DamageReport, FileDamage, ListDamage};
use crate::embedded::{self, Embedded, Options};
use crate::engine::fjall::FjallLocation;
use crate::engine::{Engine, StoreLocation as _};
use crate::error::{AppendError, OpenError, ReadError};
use crate::heads::{Heads, ListHead};
use crate::marks::{self, Marks};
use crate::reader::{self, StoreScan};
use crate::writer::catch_panics;

/// The number of records in one read.
const PAGE_RECORDS: usize = 64;
/// The largest number of appends in flight.
const APPENDS_IN_FLIGHT_MAX: usize = 1_024;

/// The reason for which a journal cannot be verified or salvaged.
#[derive(Debug, thiserror::Error)]
pub enum SalvageError {
    /// There is no journal in the folder.
    #[error("{} holds no journal: give the folder with `journal.lock` and `store` in it", dir.display())]
    NotAJournal {
        /// The folder.
        dir: PathBuf,
    },
    /// The folder to write to is not empty.
    #[error("{} is not empty: give a folder that is empty or not there yet", to.display())]
    NotEmpty {
        /// The folder.
        to: PathBuf,
    },
    /// A journal cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// No part of the journal can be read.
    #[error("the journal cannot be read: {0}")]
    Unreadable(String),
    /// The new journal does not accept records.
    #[error("the new journal takes no records: {0}")]
    NotWritten(#[from] AppendError),
    /// A folder cannot be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The result of verifying a journal.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VerifyReport {
    /// The damage. A processor opens the journal read only if a file is damaged, except for damaged
    /// marks or a missing log.
    pub damage: DamageReport,
    /// The number of intact lists.
    pub lists: u64,
    /// The number of undamaged records, including those of damaged lists.
    pub records: u64,
}

/// The treatment of damaged lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SalvagePolicy {
    /// Damaged lists are skipped, and their numbers can be reused.
    Skip,
    /// The records of damaged lists up to the damage are copied, and the ends are marked: the lists
    /// stay refused, and no number is used twice.
    Keep,
}

/// The result of salvaging a journal.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SalvageReport {
    /// The result of verifying the source journal.
    pub verification: VerifyReport,
    /// The number of lists that were copied in full.
    pub lists: u64,
    /// The number of copied records.
    pub records: u64,
    /// The number of damaged lists that were copied up to the damage.
    pub truncated_lists: u64,
    /// The damaged lists that were not copied.
    pub skipped_lists: Vec<ListDamage>,
}

/// A journal that is open for verification.
struct SourceJournal {
    engine: Box<dyn Engine>,
    heads: Heads,
    files: Vec<FileDamage>,
    #[expect(dead_code, reason = "held, and given back after the store is closed")]
    lock: File,
}

impl SourceJournal {
    fn open(dir: &Path) -> Result<Self, SalvageError> {
        let store = dir.join(embedded::STORE_DIR);
        if !store.is_dir() && !Marks::path(dir).is_file() {
            return Err(SalvageError::NotAJournal { dir: dir.to_owned() });
        }
        let lock = embedded::lock(dir)?;
        let marks = Marks::read(dir)?;
        let opened = catch_panics(|| {
            let rescued = FjallLocation::new(store).rescue(&marks)?;
            let heads = Heads::of(rescued.engine.as_ref(), &marks)?;
            Ok((rescued, heads))
        });
        let (rescued, heads) =
            opened.map_err(|error| SalvageError::Unreadable(error.to_string()))?;
        let files = rescued.damage.into_iter().chain(marks.damage(dir, &heads)).collect();
        Ok(Self { engine: rescued.engine, heads, files, lock })
    }

    /// Verifies every record.
    fn verify(&self) -> VerifyReport {
        let mut damaged: BTreeMap<Bytes, ListDamage> =
            self.heads.damage().into_iter().map(|damage| (damage.list.clone(), damage)).collect();
        let mut records = 0_u64;
        let pass = StoreScan::new(&self.heads);
        pass.run(self.engine.as_ref(), &mut |list, record| match record {
            Ok(_) => records = records.saturating_add(1),
            Err(ReadError::Damaged { list, seq, reason }) => {
                let last = self.heads.lists.get(&list).map_or(0, |head| head.last);
                let damage = ListDamage { list: list.clone(), seq, last, missing: 0, reason };
                damaged.entry(list).or_insert(damage);
            }
            Err(ReadError::Io(error)) => {
                let list = Bytes::copy_from_slice(list);
                let reason = error.to_string();
                let damage = ListDamage { list: list.clone(), seq: 0, last: 0, missing: 0, reason };
                damaged.entry(list).or_insert(damage);
            }
        });
        for damage in damaged.values() {
            records = records.saturating_add(self.prefix_of(damage).1);
        }
        let all = self.heads.lists.keys().filter(|list| !damaged.contains_key(*list)).count();
        let lists = damaged.into_values().collect();
        let damage = DamageReport { files: self.files.clone(), lists, read_only: None };
        VerifyReport { damage, lists: all as u64, records }
    }

    /// Returns the number of the last readable record before the damage of a list, and how many of
    /// the list's records the scan did not count.
    fn prefix_of(&self, damage: &ListDamage) -> (u64, u64) {
        let is_refused = self.heads.damaged.contains_key(&damage.list);
        let Some(head) = self.heads.lists.get(&damage.list) else { return (0, 0) };
        let mut last = 0;
        while let Ok(page) = self.page(&damage.list, *head, last, damage.seq) {
            let Some(record) = page.last() else { break };
            last = record.seq;
        }
        (last, if is_refused { last } else { 0 })
    }

    /// Reads at most [`PAGE_RECORDS`] records after a number and before `until`, where the list is
    /// damaged; 0 reads to its end.
    fn page(
        &self,
        list: &[u8],
        head: ListHead,
        after: u64,
        until: u64,
    ) -> Result<Vec<JournalRecord>, ReadError> {
        let last = if until > 0 { head.last.min(until.saturating_sub(1)) } else { head.last };
        reader::read(self.engine.as_ref(), list, ListHead { last, ..head }, after, PAGE_RECORDS)
    }
}

/// Reads every record of a journal that no process has open, and reports the damage.
///
/// # Errors
/// When there is no journal, a process has it open, or no part of it can be read.
pub fn verify(dir: &Path) -> Result<VerifyReport, SalvageError> {
    Ok(SourceJournal::open(dir)?.verify())
}

/// Copies all intact lists into a new journal, and damaged ones as `policy` selects. The copy is
/// durable on return.
///
/// # Errors
/// As [`verify`], and when the new journal cannot be written; it must not be used then.
pub fn salvage(
    dir: &Path,
    to: &Path,
    policy: SalvagePolicy,
) -> Result<SalvageReport, SalvageError> {
    let is_empty = match fs::read_dir(to) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => true,
        Err(error) => return Err(error.into()),
    };
    if !is_empty {
        return Err(SalvageError::NotEmpty { to: to.to_owned() });
    }
    let source = SourceJournal::open(dir)?;
    let found = source.verify();
    let journal = Embedded::open(to, Options::default())?;
    let mut target = TargetJournal { journal: &journal, in_flight: VecDeque::new() };
    let mut salvaged = SalvageReport { verification: found, ..SalvageReport::default() };
    let mut ends = Vec::new();
    for (list, head) in &source.heads.lists {
        let damage = salvaged.verification.damage.lists.iter().find(|damage| damage.list == *list);
        match damage {
            None => {
                salvaged.records += target.copy(&source, list, *head, 0)?;
                salvaged.lists += 1;
            }
            Some(damage) if policy == SalvagePolicy::Keep && head.last > 0 => {
                let until = source.prefix_of(damage).0.saturating_add(1);
                salvaged.records += target.copy(&source, list, *head, until)?;
                salvaged.truncated_lists += 1;
                ends.push((list.clone(), head.last));
            }
            Some(_) => {}
        }
    }
    target.finish()?;
    journal.close();
    marks::raise_ends(to, &ends)?;
    let is_skipped = |damage: &&ListDamage| !ends.iter().any(|(list, _)| *list == damage.list);
    let skipped = salvaged.verification.damage.lists.iter().filter(is_skipped).cloned().collect();
    Ok(SalvageReport { skipped_lists: skipped, ..salvaged })
}

/// The new journal, with a bounded number of appends in flight.
struct TargetJournal<'a> {
    journal: &'a Embedded,
    in_flight: VecDeque<mpsc::Receiver<Result<AppendReceipt, AppendError>>>,
}

impl TargetJournal<'_> {
    /// Copies a list up to a number (exclusive; 0 for all of it); returns the number of records
    /// copied.
    fn copy(
        &mut self,
        source: &SourceJournal,
        list: &Bytes,
        head: ListHead,
        until: u64,
    ) -> Result<u64, SalvageError> {
        let mut after = 0;
        loop {
            let page = source.page(list, head, after, until);
            let page = page.map_err(|error| SalvageError::Unreadable(error.to_string()))?;
            let Some(last) = page.last().map(|record| record.seq) else { return Ok(after) };
            let (sender, receiver) = mpsc::channel();
            let append = Append {
                list: list.clone(),
                expected: after,
                records: page.into_iter().map(|record| record.payload).collect(),
                done: Box::new(move |outcome| {
                    // A caller that has already failed no longer waits.
                    drop(sender.send(outcome));
                }),
            };
            if self.in_flight.len() >= APPENDS_IN_FLIGHT_MAX {
                self.wait()?;
            }
            self.journal.submit(append).map_err(AppendError::from)?;
            self.in_flight.push_back(receiver);
            after = last;
        }
    }

    fn wait(&mut self) -> Result<(), AppendError> {
        let Some(first) = self.in_flight.pop_front() else { return Ok(()) };
        first.recv().unwrap_or(Err(AppendError::Stopped)).map(drop)
    }

    fn finish(mut self) -> Result<(), AppendError> {
        while !self.in_flight.is_empty() {
            self.wait()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{EngineError, EntryVisitor, OpenReason, StoreLocation, WriteOp};

    /// A store on a disk that is full.
    #[derive(Debug)]
    struct FullStore;

    impl Engine for FullStore {
        fn commit(&self, _: Vec<WriteOp>) -> Result<(), EngineError> {
            Err(EngineError::Full("no space is left".to_owned()))
        }

        fn range(&self, _: &[u8], _: &[u8], _: &mut EntryVisitor<'_>) -> Result<(), EngineError> {
            Ok(())
        }

        fn last_key(&self, _: &[u8], _: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
            Ok(None)
        }
    }

    impl StoreLocation for FullStore {
        fn open(&self, _: OpenReason) -> Result<Box<dyn Engine>, EngineError> {
            Ok(Box::new(Self))
        }

        fn probe(&self) -> Result<(), EngineError> {
            self.commit(Vec::new())
        }
    }

    /// The outcome of the last appends is waited for.
    #[test]
    fn full_disks_are_not_salvaged_to() {
        let (dir, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let journal = Embedded::open(dir.path(), Options::default()).unwrap();
        let (sender, receiver) = mpsc::channel();
        let done = Box::new(move |outcome| drop(sender.send(outcome)));
        let (list, records) = (Bytes::from_static(b"a"), vec![Bytes::from_static(b"1")]);
        journal.submit(Append { list: list.clone(), expected: 0, records, done }).unwrap();
        receiver.recv().unwrap().unwrap();
        journal.close();
        let source = SourceJournal::open(dir.path()).unwrap();
        let journal =
            Embedded::open_at(to.path(), Options::default(), Box::new(FullStore)).unwrap();
        let mut target = TargetJournal { journal: &journal, in_flight: VecDeque::new() };
        let head = source.heads.lists[&list];
        assert_eq!(target.copy(&source, &list, head, 0).unwrap(), 1);
        assert!(matches!(target.finish(), Err(AppendError::Full(_))));
    }
}
