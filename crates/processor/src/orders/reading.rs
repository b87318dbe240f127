//! Reading an order's lists while it is served. What cannot be read now may be tried again; what is
//! damaged is refused as at the start, and reported once it is sure.
//!
//! ```text
//!   read ──▶ records
//!     ├────▶ the disk fails     STORAGE_UNAVAILABLE
//!     └────▶ damaged            RECORDS_DAMAGED; the list is read again:
//!              events, grants   still damaged after DAMAGED_MS_MIN ──▶ the order is refused
//!              outbox           still damaged after DAMAGED_MS_MIN ──▶ nobody is notified
//! ```

use std::sync::Arc;

use orderstream_core::{Event, OrderKey, Refusal, Seq};
use orderstream_journal::{ReadError, Record};

use super::record::{self, ListKind};
use super::{Life, Orders, Shard, damaged, storage_unavailable};
use crate::limits::DAMAGED_MS_MIN;
use crate::notifications::OutboxHealth;

/// The refusal of whoever asked for records that cannot be read.
pub(super) fn unreadable(key: &OrderKey, error: &ReadError) -> Refusal {
    match error {
        ReadError::Damaged { .. } => damaged(key, &error.to_string()),
        ReadError::Io(_) => storage_unavailable(),
    }
}

impl Orders {
    /// At most `limit` records of a list after a number.
    pub(super) async fn records(
        &self,
        kind: ListKind,
        life: &Life,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Record>, Refusal> {
        let (this, life) = (self.clone(), life.clone());
        let read = move || this.records_blocking(kind, &life, after, limit);
        tokio::task::spawn_blocking(read).await.unwrap_or_else(|_| Err(storage_unavailable()))
    }

    /// The same. Blocks on the disk.
    fn records_blocking(
        &self,
        kind: ListKind,
        life: &Life,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Record>, Refusal> {
        let list = record::list_name(kind, &life.0, &life.1);
        let read = self.inner.parts.journal.read(&list, after, limit);
        read.map_err(|error| self.cannot_read(kind, life, &error))
    }

    /// At most `limit` events after a number. Blocks on the disk.
    pub(super) fn events_blocking(
        &self,
        life: &Life,
        after: Seq,
        limit: usize,
    ) -> Result<Vec<Arc<Event>>, Refusal> {
        let records = self.records_blocking(ListKind::Events, life, after.0, limit)?;
        let decode = |record: &Record| record::decode(&record.payload).map(Arc::new);
        let events: Result<Vec<_>, _> = records.iter().map(decode).collect();
        events.map_err(|error| self.is_damaged(ListKind::Events, life, &error.to_string()))
    }

    /// The refusal for a list that could not be read.
    pub(super) fn cannot_read(&self, kind: ListKind, life: &Life, error: &ReadError) -> Refusal {
        match error {
            ReadError::Damaged { .. } => self.is_damaged(kind, life, &error.to_string()),
            ReadError::Io(_) => storage_unavailable(),
        }
    }

    /// The refusal for a list that was found damaged; sees to it that it is read again.
    pub(super) fn is_damaged(&self, kind: ListKind, life: &Life, cause: &str) -> Refusal {
        match kind {
            ListKind::Events | ListKind::Grants => {
                if !self.shard(&life.0).lock().doubt(life) {
                    let (order, incarnation) = life;
                    tracing::error!(%order, %incarnation, cause, "records of an ended incarnation are damaged");
                }
                damaged(&life.0, cause)
            }
            ListKind::Outbox(_) => self.outbox_is_damaged(life, cause),
        }
    }

    /// An outbox was read after it had been found damaged.
    pub(super) fn outbox_is_whole(&self, life: &Life) {
        let mut shard = self.shard(&life.0).lock();
        let place = shard.outbox_of(life).filter(|place| place.health != OutboxHealth::Whole);
        if let Some(place) = place {
            place.health = OutboxHealth::Whole;
        }
    }

    /// An outbox that stays damaged is not read any more: whoever is in it is not notified.
    fn outbox_is_damaged(&self, life: &Life, cause: &str) -> Refusal {
        let (key, now) = (&life.0, self.now());
        let mut shard = self.shard(key).lock();
        let Some(place) = shard.outbox_of(life) else { return storage_unavailable() };
        match place.health {
            OutboxHealth::Whole => place.health = OutboxHealth::Doubtful { since: now },
            OutboxHealth::Doubtful { since } if now.ms_since(since) >= DAMAGED_MS_MIN => {
                place.health = OutboxHealth::Damaged;
                tracing::error!(order = %key, cause, "an outbox is damaged; nobody is notified");
            }
            OutboxHealth::Doubtful { .. } | OutboxHealth::Damaged => {}
        }
        match place.health {
            OutboxHealth::Damaged => damaged(key, cause),
            OutboxHealth::Whole | OutboxHealth::Doubtful { .. } => storage_unavailable(),
        }
    }
}

impl Shard {
    /// Has an order's records read again before its next act: some were found damaged. What is on its
    /// way to the disk gets there, and those who wait for it are answered. `false` where the incarnation
    /// is not the newest: that one takes no acts.
    fn doubt(&mut self, life: &Life) -> bool {
        let newest = self.orders.get_mut(&life.0).filter(|entry| entry.incarnation == life.1);
        let Some(entry) = newest else { return false };
        if entry.damaged.is_none() {
            entry.suspect = true;
            self.suspects.insert(life.0.clone());
        }
        true
    }
}
