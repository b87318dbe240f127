//! The possible names of files and folders on a disk.

use std::collections::BTreeMap;

use fastrand::Rng;

use crate::cut::Luck;

/// The number of a file or a folder in the model.
pub(crate) type Id = usize;
/// A name in a folder.
pub(crate) type Name = (Id, String);

/// One change of names, which is on disk as a whole or not at all.
#[derive(Clone, Debug)]
struct Step {
    sets: Vec<(Name, Option<Id>)>,
}

impl Step {
    fn is_in(&self, folder: Id) -> bool {
        self.sets.iter().any(|((inside, _), _)| *inside == folder)
    }
}

/// All names, as processes read them and as the disk has them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    now: BTreeMap<Name, Id>,
    synced: BTreeMap<Name, Id>,
    since: Vec<Step>,
}

impl Names {
    /// Returns names that are on disk.
    pub(crate) fn synced(names: BTreeMap<Name, Id>) -> Self {
        Self { now: names.clone(), synced: names, since: Vec::new() }
    }

    pub(crate) fn get(&self, name: &Name) -> Option<Id> {
        self.now.get(name).copied()
    }

    /// Sets names, or removes those without an id, in one change.
    pub(crate) fn change(&mut self, sets: Vec<(Name, Option<Id>)>) {
        apply(&mut self.now, &sets);
        self.since.push(Step { sets });
    }

    /// Syncs a folder. A change that also concerns another folder syncs the earlier changes of that
    /// folder too.
    pub(crate) fn sync(&mut self, folder: Id) {
        let mut folders = vec![folder];
        for step in self.since.iter().rev() {
            if folders.iter().any(|folder| step.is_in(*folder)) {
                folders.extend(step.sets.iter().map(|((inside, _), _)| *inside));
            }
        }
        let (synced, rest) = std::mem::take(&mut self.since)
            .into_iter()
            .partition::<Vec<_>, _>(|step| folders.iter().any(|folder| step.is_in(*folder)));
        self.since = rest;
        for step in synced {
            apply(&mut self.synced, &step.sets);
        }
    }

    /// Reports whether all of them are on disk.
    pub(crate) fn is_synced(&self) -> bool {
        self.since.is_empty()
    }

    pub(crate) fn after_cut(&self, luck: Luck, rng: &mut Rng) -> BTreeMap<Name, Id> {
        let mut names = self.synced.clone();
        // Most file systems keep the order of names, and lose the last of them.
        let keeps_order = rng.bool();
        let kept = rng.usize(..=self.since.len());
        for (at, step) in self.since.iter().enumerate() {
            let is_there = match luck {
                Luck::Nothing => false,
                Luck::Everything => true,
                Luck::Some | Luck::Torn => {
                    if keeps_order {
                        at < kept
                    } else {
                        rng.bool()
                    }
                }
            };
            if is_there {
                apply(&mut names, &step.sets);
            }
        }
        names
    }
}

fn apply(names: &mut BTreeMap<Name, Id>, sets: &[(Name, Option<Id>)]) {
    for (name, id) in sets {
        match id {
            Some(id) => names.insert(name.clone(), *id),
            None => names.remove(name),
        };
    }
}
