//! Removing lists from the disk: those of incarnations that ended longer ago than they are kept,
//! and the remains of openings that failed or never became durable. Nothing else is ever removed.
//!
//! ```text
//!   ended ──▶ kept for `keep_ended` ──▶ out of the map, into `removals` ──▶ lists removed ──▶ out
//!                                                     └──── failed: stays, and is tried again
//! ```
//!
//! The removals are derived from the disk alone, so that a restart finds them again: a list of
//! events whose end is old enough, or lists without one. The list of events is removed first, so
//! that a crash leaves lists without one.

use orderstream_core::{OrderIncarnation, OrderKey, Timestamp};

use super::entry::IncarnationEntry;
use super::record::{ListKind, list_name};
use super::{OwnedOrders, Shard};
use crate::limits::{REMOVALS_FAILED_MAX, REMOVALS_MAX};
use crate::notifications::OutboxSummary;
use std::sync::atomic::Ordering;

impl Shard {
    /// Indexes an incarnation's end, once that is on disk.
    pub(super) fn index_end(&mut self, key: &OrderKey) {
        let Some(entry) = self.orders.get(key) else { return };
        if let Some(ended_at) = entry.ended_at() {
            self.ended.insert((ended_at, entry.order_incarnation()));
        }
    }

    /// Takes the next incarnation that ended no later than `until` from the index.
    fn next_ended(&mut self, until: Timestamp) -> Option<(Timestamp, OrderIncarnation)> {
        let (ended_at, _) = self.ended.first()?;
        if *ended_at > until { None } else { self.ended.pop_first() }
    }

    /// Takes an ended incarnation out of memory, unless it is in use.
    fn evict(&mut self, order_incarnation: &OrderIncarnation) -> EvictionOutcome {
        let OrderIncarnation { key, incarnation } = order_incarnation;
        if let Some(formers) = self.formers.get_mut(key) {
            let before = formers.len();
            formers.retain(|former| former.incarnation != *incarnation);
            let is_former = formers.len() < before;
            if formers.is_empty() {
                self.formers.remove(key);
            }
            if is_former {
                return EvictionOutcome::Former;
            }
        }
        let is_busy = |entry: &IncarnationEntry| entry.needs_reload() || entry.in_flight > 0;
        match self.orders.get(key).filter(|entry| entry.incarnation == *incarnation) {
            None => EvictionOutcome::Absent,
            Some(entry) if is_busy(entry) || self.openings.contains_key(key) => {
                EvictionOutcome::InUse
            }
            Some(_) => {
                self.orders.remove(key);
                EvictionOutcome::Newest
            }
        }
    }
}

/// The outcome of taking an incarnation out of memory.
enum EvictionOutcome {
    /// It was the newest of its order id.
    Newest,
    /// It was a former one.
    Former,
    /// It is in use, and stays for now.
    InUse,
    /// It is not there.
    Absent,
}

impl OwnedOrders {
    /// Takes incarnations whose retention is over out of memory, a limited number at a time;
    /// reports whether there is anything to remove from the disk.
    pub(super) fn evict_ended(&self, now: Timestamp) -> bool {
        if self.is_read_only() {
            return false;
        }
        let keep_ms = i64::try_from(self.inner.parts.keep_ended.as_millis()).unwrap_or(i64::MAX);
        let until = Timestamp(now.0.saturating_sub(keep_ms));
        let mut waiting = 0;
        for shard in &self.inner.shards {
            let mut shard = shard.lock();
            let mut in_use = Vec::new();
            waiting += shard.removals.len();
            while waiting < REMOVALS_MAX
                && let Some((ended_at, order_incarnation)) = shard.next_ended(until)
            {
                match shard.evict(&order_incarnation) {
                    EvictionOutcome::InUse => {
                        in_use.push((ended_at, order_incarnation));
                        continue;
                    }
                    EvictionOutcome::Newest => {
                        self.inner.count.fetch_sub(1, Ordering::Relaxed);
                    }
                    EvictionOutcome::Former => {
                        self.inner.formers.fetch_sub(1, Ordering::Relaxed);
                    }
                    EvictionOutcome::Absent => {}
                }
                if let Some(notifications) = self.notifications() {
                    notifications.record_summary(&order_incarnation, OutboxSummary::default());
                }
                let OrderIncarnation { key, incarnation } = &order_incarnation;
                tracing::info!(order = %key, %incarnation, "was kept for long enough; is removed");
                shard.removals.insert(order_incarnation);
                waiting += 1;
            }
            shard.ended.extend(in_use);
        }
        self.inner.parts.metrics.set_orders(self.count());
        waiting > 0
    }

    /// Removes the due incarnations from the disk. Failed removals stay due.
    pub(super) async fn remove_evicted(&self) {
        let mut failed = 0;
        for order_incarnation in self.pending_removals() {
            if self.is_in_use(&order_incarnation) {
                tracing::error!(order = %order_incarnation.key, "an order that is held was to be removed; it stays");
                self.finish_removal(&order_incarnation);
                continue;
            }
            let (journal, lists) = (self.journal(), lists_of(&order_incarnation));
            let removed = tokio::task::spawn_blocking(move || {
                lists.iter().try_for_each(|list| journal.remove(list))
            });
            if matches!(removed.await, Ok(Ok(()))) {
                self.finish_removal(&order_incarnation);
                continue;
            }
            tracing::debug!(order = %order_incarnation.key, "its lists could not be removed yet");
            failed += 1;
            if failed >= REMOVALS_FAILED_MAX {
                *self.inner.last_failed_removal.lock() = Some(order_incarnation);
                return;
            }
        }
        *self.inner.last_failed_removal.lock() = None;
    }

    /// Returns the due removals in order, starting behind the one that failed last, so that all get
    /// their turn.
    fn pending_removals(&self) -> Vec<OrderIncarnation> {
        let all = |shard: &parking_lot::Mutex<Shard>| {
            shard.lock().removals.iter().cloned().collect::<Vec<_>>()
        };
        let mut order_incarnations: Vec<OrderIncarnation> =
            self.inner.shards.iter().flat_map(all).collect();
        order_incarnations.sort_unstable();
        if let Some(failed) = &*self.inner.last_failed_removal.lock() {
            let tried =
                order_incarnations.partition_point(|order_incarnation| order_incarnation <= failed);
            order_incarnations.rotate_left(tried);
        }
        order_incarnations
    }

    /// Reports whether an incarnation is in use; then nothing of it may be removed.
    fn is_in_use(&self, order_incarnation: &OrderIncarnation) -> bool {
        let OrderIncarnation { key, incarnation } = order_incarnation;
        let shard = self.shard(key).lock();
        let is_it = |entry: &IncarnationEntry| entry.incarnation == *incarnation;
        shard.orders.get(key).is_some_and(is_it)
            || shard.openings.get(key).is_some_and(is_it)
            || shard.former(key, Some(incarnation)).is_some()
    }

    fn finish_removal(&self, order_incarnation: &OrderIncarnation) {
        self.shard(&order_incarnation.key).lock().removals.remove(order_incarnation);
    }
}

/// Returns the names of all lists of an incarnation, its events first.
fn lists_of(order_incarnation: &OrderIncarnation) -> [bytes::Bytes; 4] {
    ListKind::ALL.map(|kind| list_name(kind, order_incarnation))
}
