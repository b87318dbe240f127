//! Where each list ends. Loaded from the store at the start and kept by the writer.

use std::collections::HashMap;
use std::ops::ControlFlow;

use bytes::Bytes;

use crate::engine::{Engine, EngineError};
use crate::keys::{self, ListId};
use crate::{error::ReadError, frame};

/// A list's id in the store and the number of its last record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) id: ListId,
    pub(crate) last: u64,
}

/// A record or, with number 0, a whole list that is not what was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Damaged {
    pub(crate) seq: u64,
    pub(crate) reason: String,
}

impl Damaged {
    pub(crate) fn error(&self, list: &[u8]) -> ReadError {
        let list = Bytes::copy_from_slice(list);
        ReadError::Damaged { list, seq: self.seq, reason: self.reason.clone() }
    }
}

/// Every list of a store.
#[derive(Debug, Default)]
pub(crate) struct Heads {
    pub(crate) lists: HashMap<Bytes, Head>,
    /// Lists that are refused, with what was found when the store was opened.
    pub(crate) damaged: HashMap<Bytes, Damaged>,
    pub(crate) next_id: ListId,
}

impl Heads {
    /// Reads the keys of the whole store, and no payload.
    pub(crate) fn load(engine: &dyn Engine) -> Result<Self, EngineError> {
        let mut heads = Self::default();
        let mut by_id = heads.load_lists(engine)?;
        by_id.sort_unstable_by_key(|(id, _)| *id);
        let mut ends = vec![0; by_id.len()];
        if let Err(error) = heads.load_ends(engine, &by_id, &mut ends) {
            tracing::error!(%error, "the store cannot be read in one pass, trying list by list");
            heads.load_ends_one_by_one(engine, &by_id, &mut ends);
        }
        if let Some((last, _)) = by_id.last() {
            heads.next_id = heads.next_id.max(last.saturating_add(1));
        }
        heads.lists.reserve(by_id.len());
        for ((id, list), last) in by_id.into_iter().zip(ends) {
            heads.lists.insert(list, Head { id, last });
        }
        for (list, damaged) in &heads.damaged {
            let reason = damaged.reason.as_str();
            tracing::error!(list = %list.escape_ascii(), seq = damaged.seq, reason, "list refused");
        }
        Ok(heads)
    }

    fn load_lists(&mut self, engine: &dyn Engine) -> Result<Vec<(ListId, Bytes)>, EngineError> {
        let mut by_id = Vec::new();
        engine.range(keys::LISTS_BEGIN, keys::LISTS_END, &mut |key, value| {
            let Some(list) = keys::list_of(key) else { return ControlFlow::Continue(()) };
            let id = frame::decode(list, 0, value).map_err(|damage| damage.to_string());
            let id = id.and_then(|id| {
                id.try_into().map(ListId::from_be_bytes).map_err(|_| "its id is cut".to_owned())
            });
            let list = Bytes::copy_from_slice(list);
            match id {
                Ok(id) => by_id.push((id, list)),
                Err(reason) => {
                    self.damaged.insert(list, Damaged { seq: 0, reason });
                }
            }
            ControlFlow::Continue(())
        })?;
        Ok(by_id)
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
                    if seq != *end + 1 && !self.damaged.contains_key(list) {
                        let damaged = Damaged { seq: *end + 1, reason: "it is missing".to_owned() };
                        self.damaged.insert(list.clone(), damaged);
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

    /// The slow way, when a part of the store cannot be read: only its lists are refused.
    fn load_ends_one_by_one(
        &mut self,
        engine: &dyn Engine,
        by_id: &[(ListId, Bytes)],
        ends: &mut [u64],
    ) {
        // Ids of lists that cannot be read at all may be in use.
        let (first, end) = (keys::record(0, 0), keys::RECORDS_END);
        if let Ok(Some(key)) = engine.last_key(&first, end) {
            let id = keys::record_of(&key).map_or(0, |(id, _)| id);
            self.next_id = self.next_id.max(id.saturating_add(1));
        }
        for ((id, list), end) in by_id.iter().zip(ends) {
            let (from, to) = (keys::record(*id, 0), keys::record(*id, u64::MAX));
            match engine.last_key(&from, &to) {
                Ok(last) => {
                    *end = last.and_then(|key| keys::record_of(&key)).map_or(0, |(_, seq)| seq);
                }
                Err(error) => {
                    let damaged = Damaged { seq: 0, reason: error.to_string() };
                    self.damaged.insert(list.clone(), damaged);
                }
            }
        }
    }
}
