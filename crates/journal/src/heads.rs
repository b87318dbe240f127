//! The end of each list. Loaded from the store when it is opened, and updated by the writer.

mod load;

use std::collections::HashMap;

use bytes::Bytes;

use crate::damage::ListDamage;
use crate::engine::{Engine, EngineError, ListCatalog};
use crate::error::{ReadError, RemoveError};
use crate::keys::{self, ListId};
use crate::marks::Marks;

/// A list's id in the store and the number of its last record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ListHead {
    pub(crate) id: ListId,
    pub(crate) last: u64,
}

/// A damaged record or, with number 0, a damaged list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RecordDamage {
    pub(crate) seq: u64,
    /// The number of records that are known to be missing.
    pub(crate) missing: u64,
    pub(crate) reason: String,
}

impl RecordDamage {
    /// Creates the damage of one record, with this reason.
    pub(crate) const fn at(seq: u64, reason: String) -> Self {
        Self { seq, missing: 0, reason }
    }

    /// Creates the damage of a missing record.
    pub(crate) fn missing(seq: u64) -> Self {
        Self { seq, missing: 1, reason: "it is missing".to_owned() }
    }

    pub(crate) fn error(&self, list: &[u8]) -> ReadError {
        let list = Bytes::copy_from_slice(list);
        ReadError::Damaged { list, seq: self.seq, reason: self.reason.clone() }
    }

    /// Returns the error for the removal of a list that cannot be found for this damage.
    pub(crate) fn removal_error(&self) -> RemoveError {
        RemoveError::Damaged { seq: self.seq, reason: self.reason.clone() }
    }
}

/// The state of a removal that is not known to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PendingRemoval {
    /// It is being written.
    Writing,
    /// Its write failed; the outcome is known once the store is open again.
    Failed,
}

/// The lists of a store.
#[derive(Debug, Default)]
pub(crate) struct Heads {
    pub(crate) lists: HashMap<Bytes, ListHead>,
    /// Refused lists, with the damage that was found when the store was opened.
    pub(crate) damaged: HashMap<Bytes, RecordDamage>,
    pub(crate) next_id: ListId,
    /// The list whose removal is not known to be done; the store may show any part of it. One at a
    /// time is removed.
    pub(crate) removal: Option<(ListId, PendingRemoval)>,
    /// Removed lists that the store still records as removed.
    pub(crate) tombstones: Vec<ListId>,
    /// The store records that a marks file exists.
    pub(crate) has_marks: bool,
    /// The reason for which a part of the store cannot be read; absent if all of it can be read.
    pub(crate) unreadable: Option<String>,
}

/// A list as it was acknowledged: its id, its key, and the number of its last record.
pub(crate) type AcknowledgedList = (ListId, Bytes, u64);

impl Heads {
    /// Loads the ends of all lists of a store, and compares them with its marks.
    pub(crate) fn of(engine: &dyn Engine, marks: &Marks) -> Result<Self, EngineError> {
        let mut heads = if marks.uncertain.is_empty() {
            Self::load(engine, &marks.lists)?
        } else {
            let mut names = marks.lists.clone();
            names.retain(|id, _| !marks.uncertain.contains(id) || has_records(engine, *id));
            Self::load(engine, &names)?
        };
        heads.next_id = heads.next_id.max(marks.next_id);
        let acknowledged = marks.acknowledged(&heads);
        heads.verify_ends(acknowledged.into_iter());
        Ok(heads)
    }

    /// Reports whether the removal of a list is being written: readers are told that it is gone.
    pub(crate) fn is_being_removed(&self, head: ListHead) -> bool {
        self.removal == Some((head.id, PendingRemoval::Writing))
    }

    /// Reports whether the removal of a list failed, so that it may be there or not.
    pub(crate) fn has_failed_removal(&self, head: ListHead) -> bool {
        self.removal == Some((head.id, PendingRemoval::Failed))
    }

    /// Returns the end of a list that exists, and whose removal is not being written.
    pub(crate) fn readable(&self, list: &[u8]) -> Option<ListHead> {
        self.lists.get(list).copied().filter(|head| !self.is_being_removed(*head))
    }

    /// Returns each list as it was acknowledged.
    pub(crate) fn acknowledged(&self) -> impl Iterator<Item = AcknowledgedList> + '_ {
        self.lists.iter().map(|(list, head)| (head.id, list.clone(), head.last))
    }

    /// Returns the keys and last numbers of all lists, by id.
    pub(crate) fn catalog(&self) -> HashMap<ListId, (Bytes, u64)> {
        self.acknowledged().map(|(id, list, last)| (id, (list, last))).collect()
    }

    /// Refuses every list that ends before its last acknowledged record. Its end stays at that
    /// record, so that no number is used twice.
    pub(crate) fn verify_ends(&mut self, acknowledged: impl Iterator<Item = AcknowledgedList>) {
        for (id, list, last) in acknowledged {
            self.next_id = self.next_id.max(id.saturating_add(1));
            let found = match self.lists.get(&list) {
                // The list was removed and created again.
                Some(head) if head.id > id => continue,
                Some(head) if head.id == id => head.last,
                None if self.tombstones.contains(&id) => continue,
                // The existing list is an earlier one with the same key.
                Some(_) | None => 0,
            };
            if found < last {
                self.record_loss(list, ListHead { id, last }, found);
            }
        }
    }

    fn record_loss(&mut self, list: Bytes, head: ListHead, found: u64) {
        let missing = head.last.saturating_sub(found);
        let damaged = self.damaged.entry(list.clone()).or_insert_with(|| RecordDamage {
            seq: found.saturating_add(1),
            missing: 0,
            reason: String::new(),
        });
        // The number of missing records of an unreadable list is not known.
        if damaged.seq > 0 {
            damaged.missing = damaged.missing.saturating_add(missing);
            damaged.reason = format!(
                "{} of its {} records are missing that were acknowledged",
                damaged.missing, head.last
            );
        }
        self.lists.insert(list, head);
    }

    /// Returns the refused lists, sorted by key.
    pub(crate) fn damage(&self) -> Vec<ListDamage> {
        let damage = self.damaged.iter().map(|(list, damaged)| ListDamage {
            list: list.clone(),
            seq: damaged.seq,
            last: self.lists.get(list).map_or(0, |head| head.last),
            missing: damaged.missing,
            reason: damaged.reason.clone(),
        });
        let mut damage: Vec<_> = damage.collect();
        damage.sort_unstable_by(|a, b| a.list.cmp(&b.list));
        damage
    }
}

impl ListCatalog for HashMap<ListId, (Bytes, u64)> {
    fn name(&self, id: u32) -> Option<Bytes> {
        self.get(&id).map(|(list, _)| list.clone())
    }

    fn is_acknowledged(&self, id: u32, seq: u64) -> bool {
        self.get(&id).is_some_and(|(_, last)| seq <= *last)
    }
}

/// Reports whether a store has records of a list; true if the store cannot be read.
fn has_records(engine: &dyn Engine, id: ListId) -> bool {
    let (from, to) = (keys::record(id, 0), keys::record(id, u64::MAX));
    !matches!(engine.last_key(&from, &to), Ok(None))
}
