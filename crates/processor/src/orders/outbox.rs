//! An order's outbox on the disk, and the check for notifications that are due.

use std::sync::Arc;

use orderstream_core::outbox::Snapshot;
use orderstream_core::port::SellerDirectory;
use orderstream_core::{Event, Incarnation, Order, OrderKey, Refusal, Seq, Timestamp};
use orderstream_journal::{Journal, ReadError, append};

use super::entry::Entry;
use super::former::Former;
use super::record::{self, ListKind};
use super::replay::ReplayError;
use super::{Life, Orders, Shard, damaged, not_found, storage_unavailable};
use crate::limits::NOTIFY_SNAPSHOTS_MAX;
use crate::metrics::Metrics;
use crate::notifications::{Notifications, OutboxHealth, store};

/// The list that holds the time from which events are notified. No order's list has this name.
const SINCE_LIST: &[u8] = b"notify";

impl Orders {
    /// Enables notifications. Blocks on the disk.
    ///
    /// # Errors
    /// The journal cannot be read or written.
    pub(crate) fn begin_telling(
        &self,
        notifications: impl FnOnce(Timestamp) -> Notifications,
    ) -> Result<Notifications, ReplayError> {
        let since = since(&*self.inner.parts.journal, self.now())?;
        let notifications = self.inner.notifications.get_or_init(|| notifications(since)).clone();
        for shard in &self.inner.shards {
            let mut shard = shard.lock();
            for (life, former) in shard.all_formers() {
                let head = former.outbox.head;
                notifications.tally(&life, head);
                let is_new = former.ended_at.is_some_and(|ended_at| ended_at >= since)
                    && head.cursor < former.last_seq();
                if head.pending > 0 || is_new {
                    notifications.wake(&life);
                }
            }
            for (key, entry) in &mut shard.orders {
                let (head, life) = (entry.outbox.head, (key.clone(), entry.incarnation.clone()));
                notifications.tally(&life, head);
                let Some(order) = entry.book.order() else { continue };
                let is_new = order.last_event.0 >= since && head.cursor < order.last_seq;
                if (head.pending > 0 || is_new) && tells(self, &notifications, entry) {
                    notifications.wake(&life);
                }
            }
        }
        Ok(notifications)
    }

    /// Disables notifications while this process runs. Events of that time are not notified later
    /// either. Blocks on the disk.
    ///
    /// # Errors
    /// The journal cannot be written.
    pub(crate) fn never_tell(&self) -> Result<(), ReplayError> {
        match self.inner.parts.journal.remove(SINCE_LIST) {
            // A damaged list has no effect now; if it becomes readable again, too many events are
            // notified.
            Err(ReadError::Damaged { reason, .. }) => {
                tracing::error!(reason, "the start of notifications is damaged");
                Ok(())
            }
            removed => Ok(removed?),
        }
    }

    /// Reports whether the journal takes no records, so that notifications cannot be sent only
    /// once.
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
    pub(crate) fn told_until(&self, (key, incarnation): &Life) -> Result<Seq, Refusal> {
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
        life: &Life,
        after: Seq,
        limit: usize,
    ) -> Result<Vec<Arc<Event>>, Refusal> {
        let (this, life) = (self.clone(), life.clone());
        let read = move || this.events_blocking(&life, after, limit);
        tokio::task::spawn_blocking(read).await.unwrap_or_else(|_| Err(storage_unavailable()))
    }

    /// Reads the newest snapshot of the incarnation that is named, or of the newest where none is;
    /// a default one where there is no snapshot.
    pub(crate) async fn outbox(
        &self,
        key: &OrderKey,
        named: Option<&Incarnation>,
    ) -> Result<(Incarnation, Snapshot), Refusal> {
        let (life, place) = {
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
        if place.health == OutboxHealth::Damaged {
            return Err(damaged(key, "its outbox cannot be read"));
        }
        let life = (key.clone(), life);
        let place = match place.health {
            OutboxHealth::Doubtful { .. } => self.read_place(&life).await?,
            OutboxHealth::Whole | OutboxHealth::Damaged => place,
        };
        if place.record == 0 {
            return Ok((life.1, Snapshot::default()));
        }
        let kind = ListKind::Outbox(place.half);
        let records = self.records(kind, &life, place.record.saturating_sub(1), 1).await?;
        let record = records.first().ok_or_else(storage_unavailable)?;
        let snapshot = store::decode(&record.payload)
            .map_err(|error| self.is_damaged(kind, &life, &error.to_string()))?;
        Ok((life.1, snapshot))
    }

    /// Writes a snapshot. Only the one round of an order calls it.
    pub(crate) async fn save_outbox(&self, life: &Life, outbox: &Snapshot) -> Result<(), Refusal> {
        let key = &life.0;
        let mut place = {
            let mut shard = self.shard(key).lock();
            *shard.outbox_of(life).ok_or_else(|| not_found(key))?
        };
        let former = place;
        place.revision = place.revision.saturating_add(1);
        if place.record >= NOTIFY_SNAPSHOTS_MAX {
            place = store::Place { half: place.half.other(), record: 0, ..place };
            // A crash may have left snapshots in that list.
            self.remove_outbox(life, place.half).await?;
        }
        let list = record::list_name(ListKind::Outbox(place.half), key, &life.1);
        let payload = store::encode(place.revision, outbox)
            .map_err(|error| damaged(key, &error.to_string()))?;
        let appended = append(&*self.inner.parts.journal, list, place.record, vec![payload]).await;
        place.record = match appended {
            Ok(appended) => appended.last(),
            Err(error) => {
                tracing::debug!(order = %key, %error, "an outbox was not written");
                // It is not known what is on disk now.
                self.read_place(life).await?;
                return Err(storage_unavailable());
            }
        };
        place.head = store::Head::of(outbox);
        if let Some(outbox) = self.shard(key).lock().outbox_of(life) {
            *outbox = store::Place { health: outbox.health, ..place };
        }
        if place.half != former.half {
            self.remove_outbox(life, former.half).await?;
        }
        Ok(())
    }

    /// Reads the place of an outbox from disk, after a failed append, or after it was found
    /// damaged.
    async fn read_place(&self, life: &Life) -> Result<store::Place, Refusal> {
        let (journal, at) = (self.journal(), life.clone());
        let read = tokio::task::spawn_blocking(move || place_of(&*journal, &at.0, &at.1)).await;
        let read = read.map_err(|_| storage_unavailable())?;
        let place =
            read.map_err(|error| self.cannot_read(ListKind::Outbox(store::Half::A), life, &error))?;
        if place.health == OutboxHealth::Damaged {
            let cause = "a snapshot of its outbox cannot be decoded";
            return Err(self.is_damaged(ListKind::Outbox(place.half), life, cause));
        }
        let mut shard = self.shard(&life.0).lock();
        let Some(outbox) = shard.outbox_of(life) else { return Ok(place) };
        // Another one may have been written since.
        let newest = if place.revision >= outbox.revision { place } else { *outbox };
        *outbox = store::Place { health: OutboxHealth::Whole, ..newest };
        Ok(*outbox)
    }

    async fn remove_outbox(&self, life: &Life, half: store::Half) -> Result<(), Refusal> {
        let (key, incarnation) = life;
        let kind = ListKind::Outbox(half);
        let list = record::list_name(kind, key, incarnation);
        let journal = self.journal();
        let removed = tokio::task::spawn_blocking(move || journal.remove(&list)).await;
        let removed = removed.map_err(|_| storage_unavailable())?;
        removed.map_err(|error| self.cannot_read(kind, life, &error))
    }
}

impl Shard {
    /// Returns the place of an incarnation's outbox, for the newest and for former ones.
    pub(super) fn outbox_of(&mut self, (key, incarnation): &Life) -> Option<&mut store::Place> {
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

    fn all_formers(&self) -> impl Iterator<Item = (Life, &Former)> {
        self.formers.iter().flat_map(|(key, formers)| {
            formers.iter().map(|former| ((key.clone(), former.incarnation.clone()), former))
        })
    }
}

/// Wakes the notifications for new events of an order that may need some.
pub(super) fn wake(orders: &Orders, entry: &mut Entry) {
    let Some(notifications) = orders.notifications() else { return };
    if tells(orders, notifications, entry) {
        notifications.wake(&(entry.book.key().clone(), entry.incarnation.clone()));
    }
}

/// Reports whether an order may need notifications; decided once, when the sellers are chosen.
/// Before the sellers are known it cannot be decided: the order is checked then.
fn tells(orders: &Orders, notifications: &Notifications, entry: &mut Entry) -> bool {
    if entry.tells.is_none() && !orders.directory().is_known() {
        return true;
    }
    let concerns = |order: &Order| notifications.concerns(orders, order);
    let tells = entry.tells.or_else(|| entry.book.order().map(concerns)).unwrap_or(false);
    entry.tells = Some(tells);
    tells
}

/// Returns the time from which events are notified, as stored; without a stored time, stores `now`.
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
    let written = orderstream_journal::Append {
        list: bytes::Bytes::from_static(SINCE_LIST),
        expected: 0,
        records: vec![payload],
        done: Box::new(move |outcome| {
            // The receiver waits below.
            if sender.send(outcome.is_ok()).is_err() {
                tracing::debug!("nobody waits for the begin of notifications");
            }
        }),
    };
    let is_submitted = journal.submit(written).is_ok();
    match receiver.recv() {
        Ok(true) if is_submitted => Ok(now),
        _ => Err(ReplayError::NotWritten),
    }
}

fn place_of(
    journal: &dyn Journal,
    key: &OrderKey,
    life: &Incarnation,
) -> Result<store::Place, ReadError> {
    let mut place = store::Place::default();
    for half in [store::Half::A, store::Half::B] {
        let list = record::list_name(ListKind::Outbox(half), key, life);
        for record in journal.read(&list, 0, usize::MAX)? {
            place.fold(half, record.seq, &record.payload);
        }
    }
    Ok(place)
}
