//! Finds the ends of all lists from the keys of a store.

use std::collections::HashMap;
use std::ops::ControlFlow;

use bytes::Bytes;

use super::{Heads, ListHead, RecordDamage};
use crate::engine::{Engine, EngineError};
use crate::frame;
use crate::keys::{self, ListId};

/// The keys of lists, each with its id, from the store or from the marks.
type ListKeys = Vec<(ListId, Bytes)>;

impl Heads {
    /// Reads all keys of the store, and no payloads. `names` are the lists in the marks; a list's
    /// key that the store lacks is taken from there.
    pub(crate) fn load(
        engine: &dyn Engine,
        names: &HashMap<ListId, (Bytes, u64)>,
    ) -> Result<Self, EngineError> {
        let mut heads = Self::default();
        heads.load_tombstones(engine);
        let mut by_id = heads.load_lists(engine, names)?;
        by_id.sort_unstable_by_key(|(id, _)| *id);
        let mut ends = vec![0; by_id.len()];
        if let Err(error) = heads.load_ends(engine, &by_id, &mut ends) {
            tracing::error!(%error, "the store cannot be read in one pass; it is read list by list");
            heads.unreadable = Some(error.to_string());
            heads.load_ends_one_by_one(engine, &by_id, &mut ends);
        }
        if let Some((last, _)) = by_id.last() {
            heads.next_id = heads.next_id.max(last.saturating_add(1));
        }
        heads.lists.reserve(by_id.len());
        for ((id, list), last) in by_id.into_iter().zip(ends) {
            heads.lists.insert(list, ListHead { id, last });
        }
        Ok(heads)
    }

    fn load_lists(
        &mut self,
        engine: &dyn Engine,
        names: &HashMap<ListId, (Bytes, u64)>,
    ) -> Result<ListKeys, EngineError> {
        let mut by_id = Vec::new();
        let read = engine.range(keys::LISTS_BEGIN, keys::LISTS_END, &mut |key, value| {
            let Some(list) = keys::list_of(key) else { return ControlFlow::Continue(()) };
            let id = frame::decode(list, 0, value).map_err(|damage| damage.to_string());
            let id = id.and_then(|id| {
                id.try_into().map(ListId::from_be_bytes).map_err(|_| "its id is cut".to_owned())
            });
            let list = Bytes::copy_from_slice(list);
            match id {
                Ok(id) => by_id.push((id, list)),
                Err(reason) => drop(self.damaged.insert(list, RecordDamage::at(0, reason))),
            }
            ControlFlow::Continue(())
        });
        if let Err(error) = &read {
            if names.is_empty() {
                return read.map(|()| by_id);
            }
            self.unreadable = Some(error.to_string());
        }
        if read.is_err() || !self.damaged.is_empty() {
            self.restore_keys(names, &mut by_id);
        }
        Ok(by_id)
    }

    /// Restores from `names` the keys of lists that cannot be read from the store: their records
    /// exist, and each proves its list.
    fn restore_keys(&mut self, names: &HashMap<ListId, (Bytes, u64)>, by_id: &mut ListKeys) {
        let mut newest = HashMap::<&Bytes, ListId>::new();
        for (id, (list, _)) in names.iter().filter(|(id, _)| !self.tombstones.contains(id)) {
            let id_of = newest.entry(list).or_insert(*id);
            *id_of = (*id_of).max(*id);
        }
        for (_, list) in by_id.iter() {
            newest.remove(list);
        }
        for (list, id) in newest {
            tracing::error!(list = %list.escape_ascii(), "the list's key is taken from its mark");
            self.damaged.remove(list);
            by_id.push((id, list.clone()));
        }
    }

    /// Loads the removed lists, and whether marks exist. If that cannot be read, no list counts as
    /// removed.
    fn load_tombstones(&mut self, engine: &dyn Engine) {
        let tombstones =
            engine.range(keys::TOMBSTONES_BEGIN, keys::TOMBSTONES_END, &mut |key, _| {
                self.tombstones.extend(keys::tombstone_of(key));
                ControlFlow::Continue(())
            });
        if let Some(last) = self.tombstones.iter().max() {
            self.next_id = self.next_id.max(last.saturating_add(1));
        }
        let marks_key = engine.last_key(keys::MARKS_KEY, keys::MARKS_KEY_END);
        self.has_marks = matches!(&marks_key, Ok(Some(_)));
        if let Some(error) = tombstones.err().or_else(|| marks_key.err()) {
            self.unreadable = Some(error.to_string());
        }
    }

    /// Finds the last record of every list, and every gap, in one pass over the records' keys.
    fn load_ends(
        &mut self,
        engine: &dyn Engine,
        by_id: &[(ListId, Bytes)],
        ends: &mut [u64],
    ) -> Result<(), EngineError> {
        let mut at = 0;
        let mut orphans = 0_u64;
        engine.range(&keys::record(0, 0), keys::RECORDS_END, &mut |key, _| {
            let Some((id, seq)) = keys::record_of(key) else { return ControlFlow::Continue(()) };
            self.next_id = self.next_id.max(id.saturating_add(1));
            while by_id.get(at).is_some_and(|(known, _)| *known < id) {
                at += 1;
            }
            match (by_id.get(at), ends.get_mut(at)) {
                (Some((known, list)), Some(end)) if *known == id => {
                    if seq != *end + 1 {
                        self.record_gap(list, *end + 1, seq);
                    }
                    *end = seq;
                }
                _ => orphans += 1,
            }
            ControlFlow::Continue(())
        })?;
        if orphans > 0 {
            tracing::error!(orphans, "the store holds records whose list is damaged or missing");
        }
        Ok(())
    }

    /// Records that the numbers from `from` (inclusive) to `to` (exclusive) are missing.
    fn record_gap(&mut self, list: &Bytes, from: u64, to: u64) {
        let damaged = self
            .damaged
            .entry(list.clone())
            .or_insert_with(|| RecordDamage { missing: 0, ..RecordDamage::missing(from) });
        damaged.missing = damaged.missing.saturating_add(to.saturating_sub(from));
    }

    /// Does the same list by list, for a store of which a part cannot be read: only the lists in
    /// that part are refused.
    fn load_ends_one_by_one(
        &mut self,
        engine: &dyn Engine,
        by_id: &[(ListId, Bytes)],
        ends: &mut [u64],
    ) {
        // The ids of wholly unreadable lists may be in use.
        let (first, end) = (keys::record(0, 0), keys::RECORDS_END);
        if let Ok(Some(key)) = engine.last_key(&first, end) {
            let id = keys::record_of(&key).map_or(0, |(id, _)| id);
            self.next_id = self.next_id.max(id.saturating_add(1));
        }
        self.damaged.retain(|_, damaged| damaged.seq == 0);
        for ((id, list), end) in by_id.iter().zip(ends) {
            *end = 0;
            let (from, to) = (keys::record(*id, 0), keys::record(*id, u64::MAX));
            let read = engine.range(&from, &to, &mut |key, _| {
                let seq = keys::record_of(key).map_or(0, |(_, seq)| seq);
                if seq != *end + 1 {
                    self.record_gap(list, *end + 1, seq);
                }
                *end = seq;
                ControlFlow::Continue(())
            });
            if let Err(error) = read {
                self.damaged.insert(list.clone(), RecordDamage::at(0, error.to_string()));
            }
        }
    }
}
