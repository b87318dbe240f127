//! One batch: its changes to the store, the new ends of its lists, and the callers that wait for
//! it.

use std::collections::HashMap;

use bytes::Bytes;

use super::{removal_error, run_callback};
use crate::api::{Append, AppendCallback, AppendReceipt};
use crate::engine::WriteOp;
use crate::error::{AppendError, RemoveError};
use crate::heads::{Heads, ListHead};
use crate::marks::MarkUpdate;
use crate::queue::{RemovalCallback, WriteRequest};
use crate::{frame, keys};

/// Requests that are checked and encoded, but not written.
pub(super) struct Batch {
    ops: Vec<WriteOp>,
    /// The ends of the lists that the batch changes; `None` for a list that it removes.
    heads: HashMap<Bytes, Option<ListHead>>,
    removed: Option<keys::ListId>,
    next_id: keys::ListId,
    completions: Vec<WriteCompletion>,
    records: u64,
    bytes: u64,
}

/// Returns the frame of an empty payload, for keys that need no value.
pub(super) fn empty_frame() -> Vec<u8> {
    let mut framed = Vec::new();
    frame::encode(b"", 0, b"", &mut framed);
    framed
}

/// A waiting caller, with the outcome that it receives if the batch becomes durable.
enum WriteCompletion {
    Append(AppendCallback, Result<(Bytes, u64), AppendError>),
    Remove(RemovalCallback, Result<(), RemoveError>),
}

impl Batch {
    /// Checks and encodes each request as if all before it were written.
    pub(super) fn stage(requests: impl Iterator<Item = WriteRequest>, heads: &Heads) -> Self {
        let mut batch = Self {
            ops: Vec::new(),
            heads: HashMap::new(),
            removed: None,
            next_id: heads.next_id,
            completions: Vec::new(),
            records: 0,
            bytes: 0,
        };
        for request in requests {
            let completion = match request {
                WriteRequest::Append { append, .. } => batch.append(append, heads),
                WriteRequest::Remove { list, done } => {
                    WriteCompletion::Remove(done, batch.remove(list, heads))
                }
            };
            batch.completions.push(completion);
        }
        batch
    }

    pub(super) fn take_ops(&mut self) -> Vec<WriteOp> {
        std::mem::take(&mut self.ops)
    }

    /// Returns the list that the batch removes; a removal has a batch of its own.
    pub(super) const fn removed(&self) -> Option<keys::ListId> {
        self.removed
    }

    /// Returns the number of callers that wait for the batch.
    pub(super) const fn len(&self) -> usize {
        self.completions.len()
    }

    /// Returns the batch's number of records and of payload bytes.
    pub(super) const fn size(&self) -> (u64, u64) {
        (self.records, self.bytes)
    }

    /// Returns the batch's changes for the marks file; called before [`Self::move_heads`].
    pub(super) fn changes(&self, heads: &Heads) -> Vec<u8> {
        let mut changes = Vec::new();
        for (list, head) in &self.heads {
            // A list that exists has its id still: no batch removes it and creates it again.
            let update = match (head, heads.lists.get(list)) {
                (Some(head), Some(_)) => MarkUpdate::End(*head),
                (Some(head), None) => MarkUpdate::New(*head, list),
                (None, Some(known)) => MarkUpdate::Removed(known.id),
                (None, None) => continue,
            };
            update.encode(&mut changes);
        }
        changes
    }

    /// Updates the ends of the lists; called after the sync.
    pub(super) fn move_heads(&mut self, heads: &mut Heads) {
        heads.next_id = self.next_id;
        heads.removal = None;
        for (list, head) in self.heads.drain() {
            if let Some(head) = head {
                heads.lists.insert(list, head);
            } else {
                heads.damaged.remove(&list);
                heads.tombstones.extend(heads.lists.remove(&list).map(|head| head.id));
            }
        }
    }

    /// Reports the outcomes to all callers; called after the sync.
    pub(super) fn complete(self) {
        for completion in self.completions {
            match completion {
                WriteCompletion::Append(done, outcome) => {
                    let outcome = outcome.map(|(list, last)| AppendReceipt::new(list, last));
                    run_callback(|| done(outcome));
                }
                WriteCompletion::Remove(done, outcome) => run_callback(|| done(outcome)),
            }
        }
    }

    /// Reports to all callers that the batch failed.
    pub(super) fn refuse(self, refusal: &AppendError) {
        for completion in self.completions {
            match completion {
                WriteCompletion::Append(done, _) => run_callback(|| done(Err(refusal.clone()))),
                WriteCompletion::Remove(done, _) => {
                    run_callback(|| done(Err(removal_error(refusal))))
                }
            }
        }
    }

    fn head(&self, list: &Bytes, heads: &Heads) -> Option<ListHead> {
        self.heads.get(list).copied().unwrap_or_else(|| heads.lists.get(list).copied())
    }

    fn append(&mut self, append: Append, heads: &Heads) -> WriteCompletion {
        let Append { list, expected, records, done } = append;
        if let Some(damaged) = heads.damaged.get(&list) {
            return WriteCompletion::Append(
                done,
                Err(AppendError::Damaged(damaged.reason.clone())),
            );
        }
        let head = self.head(&list, heads);
        let actual = head.map_or(0, |head| head.last);
        if expected != actual {
            return WriteCompletion::Append(done, Err(AppendError::Conflict { expected, actual }));
        }
        if records.is_empty() {
            return WriteCompletion::Append(done, Ok((list, actual)));
        }
        let id = head.map_or_else(|| self.create(&list), |head| head.id);
        let mut last = actual;
        for payload in &records {
            last += 1;
            let mut framed = Vec::new();
            frame::encode(&list, last, payload, &mut framed);
            self.ops.push(WriteOp::Put(keys::record(id, last).to_vec(), framed));
            self.bytes += payload.len() as u64;
        }
        self.records += records.len() as u64;
        self.heads.insert(list.clone(), Some(ListHead { id, last }));
        WriteCompletion::Append(done, Ok((list, last)))
    }

    fn create(&mut self, list: &[u8]) -> keys::ListId {
        let id = self.next_id;
        // Four billion lists in one store are beyond every other limit.
        self.next_id += 1;
        let mut framed = Vec::new();
        frame::encode(list, 0, &id.to_be_bytes(), &mut framed);
        self.ops.push(WriteOp::Put(keys::list(list), framed));
        id
    }

    /// Removes the list's key and its records. The numbers of the records are known, so nothing is
    /// read, and a missing or damaged record does not matter.
    fn remove(&mut self, list: Bytes, heads: &Heads) -> Result<(), RemoveError> {
        let Some(head) = self.head(&list, heads) else {
            return heads.damaged.get(&list).map_or(Ok(()), |damaged| Err(damaged.removal_error()));
        };
        self.removed = Some(head.id);
        self.ops.push(WriteOp::Delete(keys::list(&list)));
        self.ops.push(WriteOp::Put(keys::tombstone(head.id), empty_frame()));
        let records =
            (1..=head.last).map(|seq| WriteOp::Delete(keys::record(head.id, seq).to_vec()));
        self.ops.extend(records);
        self.heads.insert(list, None);
        Ok(())
    }
}
