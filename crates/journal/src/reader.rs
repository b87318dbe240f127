//! Reads and verifies records; a list with a gap is refused.

use std::io;
use std::ops::ControlFlow;

use bytes::Bytes;

use crate::api::{JournalRecord, RecordVisitor};
use crate::engine::{Engine, EngineError};
use crate::error::ReadError;
use crate::frame;
use crate::heads::{Heads, ListHead, RecordDamage};
use crate::keys::{self, ListId};

impl From<EngineError> for ReadError {
    fn from(error: EngineError) -> Self {
        Self::Io(io::Error::other(error))
    }
}

/// Reads the records of one list above `after`, at most `limit`. Returns fewer than the head
/// promises only when the list ends early; the caller decides what that means.
pub(crate) fn read(
    engine: &dyn Engine,
    list: &[u8],
    head: ListHead,
    after: u64,
    limit: usize,
) -> Result<Vec<JournalRecord>, ReadError> {
    let mut records = Vec::new();
    let mut damaged = None;
    let (from, to) = (after.saturating_add(1), head.last.saturating_add(1));
    if from >= to || limit == 0 {
        return Ok(records);
    }
    let (begin, end) = (keys::record(head.id, from), keys::record(head.id, to));
    let mut expected = from;
    let read = engine.range(&begin, &end, &mut |key, value| {
        match verify(list, expected, key, value) {
            Ok(record) => records.push(record),
            Err(found) => {
                damaged = Some(found);
                return ControlFlow::Break(());
            }
        }
        expected += 1;
        if records.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    if let Err(error) = read {
        damaged = Some(RecordDamage::at(expected, error.to_string()));
    }
    damaged.map_or(Ok(records), |damaged| Err(damaged.error(list)))
}

/// Decodes a record from a stored key and value; fails with the damage if it is not the expected
/// one.
fn verify(
    list: &[u8],
    expected: u64,
    key: &[u8],
    value: &[u8],
) -> Result<JournalRecord, RecordDamage> {
    let seq = keys::record_of(key).map_or(0, |(_, seq)| seq);
    if seq != expected {
        return Err(RecordDamage::missing(expected));
    }
    match frame::decode(list, seq, value) {
        Ok(payload) => Ok(JournalRecord::read(list, seq, payload)),
        Err(damage) => Err(RecordDamage::at(seq, damage.to_string())),
    }
}

/// A snapshot of all lists, in the order of the store.
pub(crate) struct StoreScan {
    lists: Vec<(ListId, Bytes, u64)>,
    damaged: Vec<(Bytes, RecordDamage)>,
}

impl StoreScan {
    pub(crate) fn new(heads: &Heads) -> Self {
        let undamaged = heads.lists.iter().filter(|(list, _)| !heads.damaged.contains_key(*list));
        let mut lists: Vec<_> =
            undamaged.map(|(list, head)| (head.id, list.clone(), head.last)).collect();
        lists.sort_unstable_by_key(|(id, ..)| *id);
        let damaged = heads.damaged.iter();
        let damaged = damaged.map(|(list, damaged)| (list.clone(), damaged.clone())).collect();
        Self { lists, damaged }
    }

    /// Visits all records of all lists, and one error for each damaged list.
    pub(crate) fn run(&self, engine: &dyn Engine, visit: &mut RecordVisitor<'_>) {
        for (list, damaged) in &self.damaged {
            visit(list, Err(damaged.error(list)));
        }
        let mut cursor = ScanCursor { lists: &self.lists, index: 0, seq: 0, refused: false };
        let begin = keys::record(0, 0);
        let result = engine.range(&begin, keys::RECORDS_END, &mut |key, value| {
            cursor.step(key, value, visit);
            ControlFlow::Continue(())
        });
        let Err(error) = result else { return cursor.finish(visit) };
        tracing::error!(%error, "the store cannot be read in one pass; the rest is read list by list");
        self.run_one_by_one(engine, &cursor, visit);
    }

    /// Continues after an unreadable part: only the lists that overlap with it are refused.
    fn run_one_by_one(
        &self,
        engine: &dyn Engine,
        cursor: &ScanCursor<'_>,
        visit: &mut RecordVisitor<'_>,
    ) {
        let mut after = if cursor.refused { u64::MAX } else { cursor.seq };
        for (id, list, last) in self.lists.iter().skip(cursor.index) {
            let head = ListHead { id: *id, last: *last };
            match read(engine, list, head, after, usize::MAX) {
                Ok(records) => records.into_iter().for_each(|record| visit(list, Ok(record))),
                Err(error) => visit(list, Err(error)),
            }
            after = 0;
        }
    }
}

/// The position of a scan: the list, its last visited record, and whether the rest of it is
/// refused.
struct ScanCursor<'a> {
    lists: &'a [(ListId, Bytes, u64)],
    index: usize,
    seq: u64,
    refused: bool,
}

impl ScanCursor<'_> {
    fn step(&mut self, key: &[u8], value: &[u8], visit: &mut RecordVisitor<'_>) {
        let Some((id, seq)) = keys::record_of(key) else { return };
        while self.lists.get(self.index).is_some_and(|(known, ..)| *known < id) {
            self.finish_list(visit);
        }
        let Some((known, list, last)) = self.lists.get(self.index) else { return };
        // Records of refused lists and records appended since the scan began are skipped.
        if *known != id || seq > *last || self.refused {
            return;
        }
        match verify(list, self.seq + 1, key, value) {
            Ok(record) => {
                self.seq = seq;
                visit(list, Ok(record));
            }
            Err(damaged) => {
                self.refused = true;
                visit(list, Err(damaged.error(list)));
            }
        }
    }

    /// Ends the current list. A list that ended early was removed meanwhile, or has lost its end.
    fn finish_list(&mut self, visit: &mut RecordVisitor<'_>) {
        if let Some((_, list, last)) = self.lists.get(self.index)
            && self.seq < *last
            && !self.refused
        {
            let damaged = RecordDamage::missing(self.seq + 1);
            visit(list, Err(damaged.error(list)));
        }
        self.index += 1;
        self.seq = 0;
        self.refused = false;
    }

    fn finish(&mut self, visit: &mut RecordVisitor<'_>) {
        for _ in self.index..self.lists.len() {
            self.finish_list(visit);
        }
    }
}
