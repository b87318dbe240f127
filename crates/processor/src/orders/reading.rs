//! Reading an order's lists while it is served. A read that fails may be tried again; a list that
//! stays damaged is refused as at the start, and reported once.
//!
//! ```text
//!   read ──▶ records
//!     ├────▶ the disk fails ──▶ STORAGE_UNAVAILABLE
//!     └────▶ damaged ─────────▶ STORAGE_UNAVAILABLE, and the list is read again:
//!              events, grants   still damaged after DAMAGED_MS_MIN ──▶ RECORDS_DAMAGED (reload.rs)
//!              outbox           still damaged after DAMAGED_MS_MIN ──▶ nobody is notified
//! ```

use std::sync::Arc;

use orderstream_core::{Event, OrderIncarnation, Refusal, Seq, Timestamp};
use orderstream_journal::{JournalRecord, ReadError, RemoveError};

use super::entry::BookTrust;
use super::record::{self, ListKind};
use super::{OwnedOrders, Shard, damaged, unreadable};
use crate::limits::DAMAGED_MS_MIN;
use crate::notifications::OutboxHealth;

/// Reports whether damage that was found at `since`, and again now, counts as permanent.
pub(super) const fn is_permanent(since: Timestamp, now: Timestamp) -> bool {
    now.ms_since(since) >= DAMAGED_MS_MIN
}

impl OwnedOrders {
    /// Reads at most `limit` records of a list after a number.
    pub(super) async fn records(
        &self,
        kind: ListKind,
        order_incarnation: &OrderIncarnation,
        after: u64,
        limit: usize,
    ) -> Result<Vec<JournalRecord>, Refusal> {
        let (this, order_incarnation) = (self.clone(), order_incarnation.clone());
        let read = move || this.records_blocking(kind, &order_incarnation, after, limit);
        tokio::task::spawn_blocking(read).await.unwrap_or_else(|_| Err(unreadable()))
    }

    /// Reads at most `limit` records of a list after a number. Blocks on the disk.
    fn records_blocking(
        &self,
        kind: ListKind,
        order_incarnation: &OrderIncarnation,
        after: u64,
        limit: usize,
    ) -> Result<Vec<JournalRecord>, Refusal> {
        let list = record::list_name(kind, order_incarnation);
        let read = self.inner.parts.journal.read(&list, after, limit);
        read.map_err(|error| self.refuse_read(kind, order_incarnation, &error))
    }

    /// Reads at most `limit` events after a number. Blocks on the disk.
    pub(super) fn events_blocking(
        &self,
        order_incarnation: &OrderIncarnation,
        after: Seq,
        limit: usize,
    ) -> Result<Vec<Arc<Event>>, Refusal> {
        let records = self.records_blocking(ListKind::Events, order_incarnation, after.0, limit)?;
        let decode = |record: &JournalRecord| record::decode(&record.payload).map(Arc::new);
        let events: Result<Vec<_>, _> = records.iter().map(decode).collect();
        events.map_err(|error| {
            self.refuse_damaged(ListKind::Events, order_incarnation, &error.to_string())
        })
    }

    /// Returns the refusal for a list that could not be read.
    pub(super) fn refuse_read(
        &self,
        kind: ListKind,
        order_incarnation: &OrderIncarnation,
        error: &ReadError,
    ) -> Refusal {
        match error {
            ReadError::Damaged { .. } => {
                self.refuse_damaged(kind, order_incarnation, &error.to_string())
            }
            ReadError::Io(_) => unreadable(),
        }
    }

    /// Returns the refusal for a list that could not be removed.
    pub(super) fn refuse_removal(
        &self,
        kind: ListKind,
        order_incarnation: &OrderIncarnation,
        error: &RemoveError,
    ) -> Refusal {
        match error {
            RemoveError::Damaged { .. } => {
                self.refuse_damaged(kind, order_incarnation, &error.to_string())
            }
            RemoveError::NotDurable(_) => unreadable(),
        }
    }

    /// Returns the refusal for a list that was found damaged, and has the list read again.
    pub(super) fn refuse_damaged(
        &self,
        kind: ListKind,
        order_incarnation: &OrderIncarnation,
        cause: &str,
    ) -> Refusal {
        match kind {
            ListKind::Events | ListKind::Grants => {
                let known_cause = self
                    .shard(&order_incarnation.key)
                    .lock()
                    .mark_doubtful(order_incarnation, self.now());
                known_cause.map_or_else(unreadable, |cause| damaged(&order_incarnation.key, &cause))
            }
            ListKind::Outbox(_) => self.refuse_damaged_outbox(order_incarnation, cause),
        }
    }

    /// Marks a damaged outbox. One that stays damaged is not read any more, and its notifications
    /// are not sent.
    fn refuse_damaged_outbox(&self, order_incarnation: &OrderIncarnation, cause: &str) -> Refusal {
        let (key, now) = (&order_incarnation.key, self.now());
        let mut shard = self.shard(key).lock();
        let Some(location) = shard.outbox_of(order_incarnation) else { return unreadable() };
        match location.health {
            OutboxHealth::Whole => {
                location.health = OutboxHealth::Doubtful { since: now };
                // Its next delivery pass reads it again.
                if let Some(notifications) = self.notifications() {
                    notifications.wake(order_incarnation);
                }
            }
            OutboxHealth::Doubtful { since } if is_permanent(since, now) => {
                location.health = OutboxHealth::Damaged;
                tracing::error!(order = %key, cause, "an outbox is damaged; nobody is notified");
            }
            OutboxHealth::Doubtful { .. } | OutboxHealth::Damaged => {}
        }
        match location.health {
            OutboxHealth::Damaged => damaged(key, cause),
            OutboxHealth::Whole | OutboxHealth::Doubtful { .. } => unreadable(),
        }
    }
}

impl Shard {
    /// Marks an incarnation with damaged records to be read again, or returns the cause for which
    /// it is refused already. Appends in flight are finished, and their callers get a reply.
    fn mark_doubtful(
        &mut self,
        order_incarnation: &OrderIncarnation,
        now: Timestamp,
    ) -> Option<String> {
        let newest = self
            .orders
            .get_mut(&order_incarnation.key)
            .filter(|entry| entry.incarnation == order_incarnation.incarnation);
        if let Some(entry) = newest {
            if entry.damaged.is_none() {
                entry.trust = BookTrust::Suspect;
                self.suspects.insert(order_incarnation.key.clone());
            }
            return entry.damaged.clone();
        }
        let mut formers = self.formers.get_mut(&order_incarnation.key).into_iter().flatten();
        let former = formers.find(|former| former.incarnation == order_incarnation.incarnation)?;
        if former.damaged.is_none() && self.doubtful.insert(order_incarnation.clone()) {
            former.damaged_since = Some(now);
        }
        former.damaged.clone()
    }
}
