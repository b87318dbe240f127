//! The possible names of files and folders on a disk.

use std::collections::BTreeMap;

use fastrand::Rng;

use crate::cut::Writeback;

/// The id of a file or a folder in the model.
pub(crate) type Id = usize;
/// A name in a folder.
pub(crate) type EntryName = (Id, String);

/// An atomic change of names: it is on disk as a whole or not at all.
#[derive(Clone, Debug)]
struct NameChange {
    sets: Vec<(EntryName, Option<Id>)>,
}

impl NameChange {
    fn touches(&self, folder: Id) -> bool {
        self.sets.iter().any(|((inside, _), _)| *inside == folder)
    }
}

/// All names: as processes read them, and as they are on disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct NameTable {
    now: BTreeMap<EntryName, Id>,
    synced: BTreeMap<EntryName, Id>,
    unsynced: Vec<NameChange>,
}

impl NameTable {
    /// Returns a table of synced names.
    pub(crate) fn synced(names: BTreeMap<EntryName, Id>) -> Self {
        Self { now: names.clone(), synced: names, unsynced: Vec::new() }
    }

    pub(crate) fn get(&self, name: &EntryName) -> Option<Id> {
        self.now.get(name).copied()
    }

    /// Sets names, or removes those without an id, in one change.
    pub(crate) fn change(&mut self, sets: Vec<(EntryName, Option<Id>)>) {
        apply(&mut self.now, &sets);
        self.unsynced.push(NameChange { sets });
    }

    /// Syncs a folder. If one of its changes also concerns another folder, the earlier changes of
    /// that folder are synced too.
    pub(crate) fn sync(&mut self, folder: Id) {
        let mut folders = vec![folder];
        for change in self.unsynced.iter().rev() {
            if folders.iter().any(|folder| change.touches(*folder)) {
                folders.extend(change.sets.iter().map(|((inside, _), _)| *inside));
            }
        }
        let (synced, rest) = std::mem::take(&mut self.unsynced)
            .into_iter()
            .partition::<Vec<_>, _>(|change| folders.iter().any(|folder| change.touches(*folder)));
        self.unsynced = rest;
        for change in synced {
            apply(&mut self.synced, &change.sets);
        }
    }

    /// Reports whether all names are on disk.
    pub(crate) fn is_synced(&self) -> bool {
        self.unsynced.is_empty()
    }

    pub(crate) fn after_cut(&self, writeback: Writeback, rng: &mut Rng) -> BTreeMap<EntryName, Id> {
        let mut names = self.synced.clone();
        // Most file systems keep the order of changes, and lose only the last ones.
        let keeps_order = rng.bool();
        let written_back = rng.usize(..=self.unsynced.len());
        for (at, change) in self.unsynced.iter().enumerate() {
            let is_there = match writeback {
                Writeback::Nothing => false,
                Writeback::Everything => true,
                Writeback::Partial | Writeback::Torn => {
                    if keeps_order {
                        at < written_back
                    } else {
                        rng.bool()
                    }
                }
            };
            if is_there {
                apply(&mut names, &change.sets);
            }
        }
        names
    }
}

fn apply(names: &mut BTreeMap<EntryName, Id>, sets: &[(EntryName, Option<Id>)]) {
    for (name, id) in sets {
        match id {
            Some(id) => names.insert(name.clone(), *id),
            None => names.remove(name),
        };
    }
}
