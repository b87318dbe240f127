//! Reading an order's lists while it is served. A read that fails may be tried again; a list that
//! stays damaged is refused as at the start, and reported once.
//!
//! ```text
//!   read ──▶ records
//!     ├────▶ the disk fails ──▶ STORAGE_UNAVAILABLE
//!     └────▶ damaged ─────────▶ STORAGE_UNAVAILABLE, and the list is read again:
//!              events, grants    still damaged after DAMAGED_MS_MIN ──▶ RECORDS_DAMAGED (reload.rs)
//!              outbox            still damaged after DAMAGED_MS_MIN ──▶ nobody is notified
//! ```

use std::sync::Arc;

use orderstream_core::{Event, Refusal, Seq, Timestamp};
use orderstream_journal::{ReadError, Record};

use super::record::{self, ListKind};
use super::{Life, Orders, Shard, damaged, unreadable};
use crate::limits::DAMAGED_MS_MIN;
use crate::notifications::OutboxHealth;

/// Reports whether damage that was found at `since`, and again now, counts as permanent.
pub(super) const fn is_sure(since: Timestamp, now: Timestamp) -> bool {
    now.ms_since(since) >= DAMAGED_MS_MIN
}

impl Orders {
    /// Reads at most `limit` records of a list after a number.
    pub(super) async fn records(
        &self,
        kind: ListKind,
        life: &Life,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Record>, Refusal> {
        let (this, life) = (self.clone(), life.clone());
        let read = move || this.records_blocking(kind, &life, after, limit);
        tokio::task::spawn_blocking(read).await.unwrap_or_else(|_| Err(unreadable()))
    }

    /// Reads at most `limit` records of a list after a number. Blocks on the disk.
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

    /// Reads at most `limit` events after a number. Blocks on the disk.
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

    /// Returns the refusal for a list that could not be read.
    pub(super) fn cannot_read(&self, kind: ListKind, life: &Life, error: &ReadError) -> Refusal {
        match error {
            ReadError::Damaged { .. } => self.is_damaged(kind, life, &error.to_string()),
            ReadError::Io(_) => unreadable(),
        }
    }

    /// Returns the refusal for a list that was found damaged, and has the list read again.
    pub(super) fn is_damaged(&self, kind: ListKind, life: &Life, cause: &str) -> Refusal {
        match kind {
            ListKind::Events | ListKind::Grants => {
                let known = self.shard(&life.0).lock().doubt(life, self.now());
                known.map_or_else(unreadable, |cause| damaged(&life.0, &cause))
            }
            ListKind::Outbox(_) => self.outbox_is_damaged(life, cause),
        }
    }

    /// Marks a damaged outbox. One that stays damaged is not read any more, and its notifications
    /// are not sent.
    fn outbox_is_damaged(&self, life: &Life, cause: &str) -> Refusal {
        let (key, now) = (&life.0, self.now());
        let mut shard = self.shard(key).lock();
        let Some(place) = shard.outbox_of(life) else { return unreadable() };
        match place.health {
            OutboxHealth::Whole => {
                place.health = OutboxHealth::Doubtful { since: now };
                // Its next round reads it again.
                if let Some(notifications) = self.notifications() {
                    notifications.wake(life);
                }
            }
            OutboxHealth::Doubtful { since } if is_sure(since, now) => {
                place.health = OutboxHealth::Damaged;
                tracing::error!(order = %key, cause, "an outbox is damaged; nobody is notified");
            }
            OutboxHealth::Doubtful { .. } | OutboxHealth::Damaged => {}
        }
        match place.health {
            OutboxHealth::Damaged => damaged(key, cause),
            OutboxHealth::Whole | OutboxHealth::Doubtful { .. } => unreadable(),
        }
    }
}

impl Shard {
    /// Marks an incarnation with damaged records to be read again, or returns the cause for which
    /// it is refused already. Appends on their way to the disk are finished, and their callers get
    /// a reply.
    fn doubt(&mut self, life: &Life, now: Timestamp) -> Option<String> {
        let newest = self.orders.get_mut(&life.0).filter(|entry| entry.incarnation == life.1);
        if let Some(entry) = newest {
            if entry.damaged.is_none() {
                entry.suspect = true;
                self.suspects.insert(life.0.clone());
            }
            return entry.damaged.clone();
        }
        let mut formers = self.formers.get_mut(&life.0).into_iter().flatten();
        let former = formers.find(|former| former.incarnation == life.1)?;
        if former.damaged.is_none() && self.doubtful.insert(life.clone()) {
            former.damaged_since = Some(now);
        }
        former.damaged.clone()
    }
}
