//! An order's outbox on the disk, and the check for notifications that are due.

use std::sync::Arc;

use orderstream_core::outbox::OutboxSnapshot;
use orderstream_core::port::SellerDirectory;
use orderstream_core::{
    Event, Incarnation, Order, OrderIncarnation, OrderKey, Refusal, Seq, Timestamp,
};
use orderstream_journal::{Journal, ReadError, RemoveError, append};

use super::entry::IncarnationEntry;
use super::former::FormerEntry;
use super::record::{self, ListKind};
use super::replay::ReplayError;
use super::{OwnedOrders, Shard, damaged, not_found, storage_unavailable};
use crate::limits::NOTIFY_SNAPSHOTS_MAX;
use crate::metrics::Metrics;
use crate::notifications::{Notifications, OutboxHealth, store};

/// The list that holds the time since which events cause notifications. No order's list has this
/// name.
const SINCE_LIST: &[u8] = b"notify";

impl OwnedOrders {
    /// Enables notifications. Blocks on the disk.
    ///
    /// # Errors
    /// The journal cannot be read or written.
    pub(crate) fn enable_notifications(
        &self,
        notifications: impl FnOnce(Timestamp) -> Notifications,
    ) -> Result<Notifications, ReplayError> {
        let since = since(&*self.inner.parts.journal, self.now())?;
        let notifications = self.inner.notifications.get_or_init(|| notifications(since)).clone();
        for shard in &self.inner.shards {
            let mut shard = shard.lock();
            for (order_incarnation, former) in shard.all_formers() {
                let summary = former.outbox.summary;
                notifications.record_summary(&order_incarnation, summary);
                let is_new = former.ended_at.is_some_and(|ended_at| ended_at >= since)
                    && summary.cursor < former.last_seq();
                if summary.pending > 0 || is_new {
                    notifications.wake(&order_incarnation);
                }
            }
            for entry in shard.orders.values_mut() {
                let (summary, order_incarnation) =
                    (entry.outbox.summary, entry.order_incarnation());
                notifications.record_summary(&order_incarnation, summary);
                let Some(order) = entry.book.order() else { continue };
                let is_new = order.last_event.0 >= since && summary.cursor < order.last_seq;
                if (summary.pending > 0 || is_new)
                    && needs_notifications(self, &notifications, entry)
                {
                    notifications.wake(&order_incarnation);
                }
            }
        }
        Ok(notifications)
    }

    /// Disables notifications while this process runs. Events of that time cause none later either.
    /// Blocks on the disk.
    ///
    /// # Errors
    /// The journal cannot be written.
    pub(crate) fn disable_notifications(&self) -> Result<(), ReplayError> {
        match self.inner.parts.journal.remove(SINCE_LIST) {
            // A damaged list has no effect now; if it becomes readable again, too many events are
            // notified.
            Err(RemoveError::Damaged { reason, .. }) => {
                tracing::error!(reason, "the start of notifications is damaged");
                Ok(())
            }
            removed => Ok(removed?),
        }
    }

    /// Reports whether the journal accepts no records, so that a notification could be sent more
    /// than once.
    pub(crate) fn is_read_only(&self) -> bool {
        self.inner.parts.journal.read_only().is_some()
    }

    /// Returns the notifications, if they are enabled.
    pub(crate) fn notifications(&self) -> Option<&Notifications> {
        self.inner.notifications.get()
    }

    pub(crate) fn directory(&self) -> &dyn SellerDirectory {
        &*self.inner.parts.directory
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.inner.parts.metrics
    }

    pub(crate) fn journal(&self) -> Arc<dyn Journal> {
        Arc::clone(&self.inner.parts.journal)
    }

    /// Returns the last event of an incarnation that is on disk.
    pub(crate) fn last_durable_seq(
        &self,
        order_incarnation: &OrderIncarnation,
    ) -> Result<Seq, Refusal> {
        let OrderIncarnation { key, incarnation } = order_incarnation;
        let mut shard = self.shard(key).lock();
        if let Some(former) = shard.former(key, Some(incarnation)) {
            return Ok(former.last_seq());
        }
        let entry = shard.newest(key, Some(incarnation))?;
        match &entry.damaged {
            Some(cause) => Err(damaged(key, cause)),
            None => Ok(entry.on_disk.seq()),
        }
    }

    /// Returns events of an incarnation after a sequence number, from disk.
    pub(crate) async fn events_after(
        &self,
        order_incarnation: &OrderIncarnation,
        after: Seq,
        limit: usize,
    ) -> Result<Vec<Arc<Event>>, Refusal> {
        let (this, order_incarnation) = (self.clone(), order_incarnation.clone());
        let read = move || this.events_blocking(&order_incarnation, after, limit);
        tokio::task::spawn_blocking(read).await.unwrap_or_else(|_| Err(storage_unavailable()))
    }

    /// Reads the newest snapshot of the incarnation that is named, or of the newest where none is;
    /// a default one where there is no snapshot.
    pub(crate) async fn outbox(
        &self,
        key: &OrderKey,
        named: Option<&Incarnation>,
    ) -> Result<(Incarnation, OutboxSnapshot), Refusal> {
        let (incarnation, location) = {
            let mut shard = self.shard(key).lock();
            match shard.former(key, named) {
                Some(former) => (former.incarnation.clone(), former.outbox),
                None => {
                    let entry = shard.newest(key, named)?;
                    if let Some(cause) = &entry.damaged {
                        return Err(damaged(key, cause));
                    }
                    (entry.incarnation.clone(), entry.outbox)
                }
            }
        };
        if location.health == OutboxHealth::Damaged {
            return Err(damaged(key, "its outbox cannot be read"));
        }
        let order_incarnation = OrderIncarnation { key: key.clone(), incarnation };
        let location = match location.health {
            OutboxHealth::Doubtful { .. } => self.read_location(&order_incarnation).await?,
            OutboxHealth::Whole | OutboxHealth::Damaged => location,
        };
        if location.record == 0 {
            return Ok((order_incarnation.incarnation, OutboxSnapshot::default()));
        }
        let kind = ListKind::Outbox(location.half);
        let records =
            self.records(kind, &order_incarnation, location.record.saturating_sub(1), 1).await?;
        let record = records.first().ok_or_else(storage_unavailable)?;
        let snapshot = store::decode(&record.payload)
            .map_err(|error| self.refuse_damaged(kind, &order_incarnation, &error.to_string()))?;
        Ok((order_incarnation.incarnation, snapshot))
    }

    /// Writes a snapshot. Only the order's one delivery pass calls it.
    pub(crate) async fn save_outbox(
        &self,
        order_incarnation: &OrderIncarnation,
        outbox: &OutboxSnapshot,
    ) -> Result<(), Refusal> {
        let key = &order_incarnation.key;
        let mut location = {
            let mut shard = self.shard(key).lock();
            *shard.outbox_of(order_incarnation).ok_or_else(|| not_found(key))?
        };
        let previous = location;
        location.revision = location.revision.saturating_add(1);
        if location.record >= NOTIFY_SNAPSHOTS_MAX {
            location = store::OutboxLocation { half: location.half.other(), record: 0, ..location };
            // A crash may have left snapshots in that list.
            self.remove_outbox(order_incarnation, location.half).await?;
        }
        let list = record::list_name(ListKind::Outbox(location.half), order_incarnation);
        let payload = store::encode(location.revision, outbox)
            .map_err(|error| damaged(key, &error.to_string()))?;
        let appended =
            append(&*self.inner.parts.journal, list, location.record, vec![payload]).await;
        location.record = match appended {
            Ok(appended) => appended.last(),
            Err(error) => {
                tracing::debug!(order = %key, %error, "an outbox was not written");
                // It is not known what is on disk now.
                self.read_location(order_incarnation).await?;
                return Err(storage_unavailable());
            }
        };
        location.summary = store::OutboxSummary::of(outbox);
        if let Some(outbox) = self.shard(key).lock().outbox_of(order_incarnation) {
            *outbox = store::OutboxLocation { health: outbox.health, ..location };
        }
        if location.half != previous.half {
            self.remove_outbox(order_incarnation, previous.half).await?;
        }
        Ok(())
    }

    /// Reads the location of an outbox from disk, after a failed append, or after it was found
    /// damaged.
    async fn read_location(
        &self,
        order_incarnation: &OrderIncarnation,
    ) -> Result<store::OutboxLocation, Refusal> {
        let (journal, at) = (self.journal(), order_incarnation.clone());
        let read = tokio::task::spawn_blocking(move || location_of(&*journal, &at)).await;
        let read = read.map_err(|_| storage_unavailable())?;
        let location = read.map_err(|error| {
            self.refuse_read(ListKind::Outbox(store::Half::A), order_incarnation, &error)
        })?;
        if location.health == OutboxHealth::Damaged {
            let cause = "a snapshot of its outbox cannot be decoded";
            return Err(self.refuse_damaged(
                ListKind::Outbox(location.half),
                order_incarnation,
                cause,
            ));
        }
        let mut shard = self.shard(&order_incarnation.key).lock();
        let Some(outbox) = shard.outbox_of(order_incarnation) else { return Ok(location) };
        // Another one may have been written since.
        let newest = if location.revision >= outbox.revision { location } else { *outbox };
        *outbox = store::OutboxLocation { health: OutboxHealth::Whole, ..newest };
        Ok(*outbox)
    }

    async fn remove_outbox(
        &self,
        order_incarnation: &OrderIncarnation,
        half: store::Half,
    ) -> Result<(), Refusal> {
        let kind = ListKind::Outbox(half);
        let list = record::list_name(kind, order_incarnation);
        let journal = self.journal();
        let removed = tokio::task::spawn_blocking(move || journal.remove(&list)).await;
        let removed = removed.map_err(|_| storage_unavailable())?;
        removed.map_err(|error| self.refuse_removal(kind, order_incarnation, &error))
    }
}

impl Shard {
    /// Returns the location of an incarnation's outbox, for the newest and for former ones.
    pub(super) fn outbox_of(
        &mut self,
        order_incarnation: &OrderIncarnation,
    ) -> Option<&mut store::OutboxLocation> {
        let OrderIncarnation { key, incarnation } = order_incarnation;
        let formers = self.formers.get_mut(key).into_iter().flatten();
        let former = formers.into_iter().find(|former| former.incarnation == *incarnation);
        match former {
            Some(former) => Some(&mut former.outbox),
            None => {
                let entry = self.orders.get_mut(key);
                entry.filter(|e| e.incarnation == *incarnation).map(|e| &mut e.outbox)
            }
        }
    }

    fn all_formers(&self) -> impl Iterator<Item = (OrderIncarnation, &FormerEntry)> {
        self.formers.iter().flat_map(|(key, formers)| {
            let of = |former: &FormerEntry| OrderIncarnation::new(key, &former.incarnation);
            formers.iter().map(move |former| (of(former), former))
        })
    }
}

/// Wakes the notifications for new events of an order that may need some.
pub(super) fn wake(orders: &OwnedOrders, entry: &mut IncarnationEntry) {
    let Some(notifications) = orders.notifications() else { return };
    if needs_notifications(orders, notifications, entry) {
        notifications.wake(&entry.order_incarnation());
    }
}

/// Reports whether an order may need notifications; decided each time that sellers are chosen.
/// While the sellers are not known, it may.
fn needs_notifications(
    orders: &OwnedOrders,
    notifications: &Notifications,
    entry: &mut IncarnationEntry,
) -> bool {
    if entry.needs_notifications.is_none() && !orders.directory().is_known() {
        return true;
    }
    let concerns = |order: &Order| notifications.concerns(orders, order);
    let needs =
        entry.needs_notifications.or_else(|| entry.book.order().map(concerns)).unwrap_or(false);
    entry.needs_notifications = Some(needs);
    needs
}

/// Returns the stored time since which events cause notifications; without one, stores `now`.
fn since(journal: &dyn Journal, now: Timestamp) -> Result<Timestamp, ReplayError> {
    let read = match journal.read(SINCE_LIST, 0, 1) {
        Err(ReadError::Damaged { reason, .. }) => {
            tracing::error!(reason, "the start of notifications is damaged; they start now");
            return Ok(now);
        }
        read => read?,
    };
    if let Some(record) = read.first() {
        let bytes: Result<[u8; 8], _> = record.payload.as_ref().try_into();
        return Ok(bytes.map_or(now, |bytes| Timestamp(i64::from_be_bytes(bytes))));
    }
    let (sender, receiver) = std::sync::mpsc::sync_channel(1);
    let payload = bytes::Bytes::copy_from_slice(&now.0.to_be_bytes());
    let append = orderstream_journal::Append {
        list: bytes::Bytes::from_static(SINCE_LIST),
        expected: 0,
        records: vec![payload],
        done: Box::new(move |outcome| {
            // The receiver waits below.
            if sender.send(outcome.is_ok()).is_err() {
                tracing::debug!("nobody waits for notifications to be enabled");
            }
        }),
    };
    let is_submitted = journal.submit(append).is_ok();
    match receiver.recv() {
        Ok(true) if is_submitted => Ok(now),
        _ => Err(ReplayError::NotWritten),
    }
}

fn location_of(
    journal: &dyn Journal,
    order_incarnation: &OrderIncarnation,
) -> Result<store::OutboxLocation, ReadError> {
    let mut location = store::OutboxLocation::default();
    for half in [store::Half::A, store::Half::B] {
        let list = record::list_name(ListKind::Outbox(half), order_incarnation);
        for record in journal.read(&list, 0, usize::MAX)? {
            location.fold(half, record.seq, &record.payload);
        }
    }
    Ok(location)
}
