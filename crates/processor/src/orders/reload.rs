//! Reading again while serving: an order whose book may be ahead of the disk, or an incarnation
//! with records that were found damaged.
//!
//! ```text
//!   an append failed ──┐              ┌─▶ whole: the state on disk applies
//!                      ├─▶ read again ┼─▶ damaged for less than DAMAGED_MS_MIN: read once more
//!   damage was found ──┘              └─▶ damaged for as long: refused from now on, and reported
//! ```
//!
//! Until that is decided, no damage is reported: a failing disk may fail on reads too, and recover.
//! A store that has failed and is not open again may turn out to hold what it refused: an order that
//! was read from it is read once more before its next command.

use orderstream_core::seal::Redaction;
use orderstream_core::{Incarnation, OrderIncarnation, OrderKey, Refusal, Seq};

use super::append::{index_deadline, publish};
use super::entry::{BookTrust, IncarnationEntry};
use super::reading::is_permanent;
use super::replay::read_incarnation;
use super::{OwnedOrders, Shard, damaged, outbox, storage_unavailable, unreadable};
use crate::metrics::ProposalsLabel;

/// Former incarnations of one shard that are read again in one round.
const DOUBTFUL_PER_SHARD: usize = 4;

/// Returns the cause for which a list is damaged that ends before what was stored.
pub(super) fn shortened(found: Seq, known: Seq) -> String {
    format!("its list ends at event {found}, and event {known} was stored")
}

impl OwnedOrders {
    /// Reads a suspect order from disk again, and once more where the store had failed then and is
    /// open by now.
    pub(super) async fn reload(&self, key: &OrderKey) -> Result<(), Refusal> {
        // Asked before the read: records that are read later are no fewer.
        let is_settled = self.inner.parts.journal.is_settled();
        let trust = if is_settled { BookTrust::Known } else { BookTrust::Unsettled };
        let order_incarnation = {
            let shard = self.shard(key).lock();
            match shard.orders.get(key) {
                Some(entry) if !entry.needs_reload() => return Ok(()),
                Some(entry)
                    if entry.in_flight == 0
                        && (is_settled || entry.trust == BookTrust::Suspect) =>
                {
                    entry.order_incarnation()
                }
                Some(_) => return Err(storage_unavailable()),
                None => return Ok(()),
            }
        };
        let fresh = self.reread(&order_incarnation).await?;
        if self.adopt_reread(&order_incarnation, fresh, trust) {
            Ok(())
        } else {
            Err(storage_unavailable())
        }
    }

    /// Reads all of an incarnation except its outbox.
    async fn reread(
        &self,
        order_incarnation: &OrderIncarnation,
    ) -> Result<IncarnationEntry, Refusal> {
        let (journal, order_incarnation) = (self.journal(), order_incarnation.clone());
        let read =
            tokio::task::spawn_blocking(move || read_incarnation(&*journal, &order_incarnation))
                .await;
        read.ok().and_then(Result::ok).ok_or_else(unreadable)
    }

    /// Takes in an order that was read again; false where it is to be read once more.
    fn adopt_reread(
        &self,
        order_incarnation: &OrderIncarnation,
        mut fresh: IncarnationEntry,
        trust: BookTrust,
    ) -> bool {
        let (key, now) = (&order_incarnation.key, self.now());
        let mut guard = self.shard(key).lock();
        let shard = &mut *guard;
        let Some(entry) = shard
            .orders
            .get_mut(key)
            .filter(|held| held.needs_reload() && held.in_flight == 0)
            .filter(|held| held.incarnation == fresh.incarnation)
        else {
            return true;
        };
        let (known, found) = (entry.on_disk.seq(), fresh.on_disk.seq());
        if fresh.damaged.is_none() && found < known {
            fresh.refuse(shortened(found, known));
        }
        if fresh.damaged.is_some() && !is_permanent(*entry.damaged_since.get_or_insert(now), now) {
            return false;
        }
        entry.trust = if fresh.damaged.is_some() { BookTrust::Known } else { trust };
        if entry.trust == BookTrust::Known {
            shard.suspects.remove(key);
        }
        entry.damaged_since = None;
        let wakers = match fresh.damaged.take() {
            Some(cause) => self.refuse(shard, order_incarnation, cause),
            None => self.replace(shard, order_incarnation, fresh),
        };
        drop(guard);
        wakers.into_iter().for_each(std::task::Waker::wake);
        true
    }

    /// Replaces an order's book with the one from disk. Returns the wakers of its followers.
    fn replace(
        &self,
        shard: &mut Shard,
        order_incarnation: &OrderIncarnation,
        fresh: IncarnationEntry,
    ) -> Vec<std::task::Waker> {
        let Some(entry) = shard.orders.get_mut(&order_incarnation.key) else { return Vec::new() };
        entry.book = fresh.book;
        // A read-only journal accepts no grant: the last one is known in memory only.
        entry.book.replay_grant(entry.granted);
        entry.granted = entry.granted.max(fresh.granted);
        entry.grants = fresh.grants;
        if entry.book.order().is_some_and(|order| !order.proposals.is_empty()) {
            entry.proposals = ProposalsLabel::Some;
        }
        entry.tail.set_redaction(Redaction::of(entry.book.order()));
        let mut wakers = publish(entry, fresh.on_disk, Vec::new());
        let invited = entry.book.order().map(|order| {
            order.invitations.iter().map(|held| held.seller.clone()).collect::<Vec<_>>()
        });
        wakers.extend(self.index_invited(entry, &invited.unwrap_or_default(), &mut None));
        wakers.extend(self.index_open(entry, None));
        // An invitation may not have reached the disk, though the order in memory had it.
        if entry.is_vacant {
            self.inner.late.consider_order(entry.book.key());
        }
        outbox::wake(self, entry);
        index_deadline(&mut shard.deadlines, entry);
        if entry.is_empty() {
            // Its opening was refused, and there is no such order. It may have reached the disk all the
            // same, which a store that is opened again after this shows.
            shard.orders.remove(&order_incarnation.key);
            self.inner.count.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
            shard.removals.insert(order_incarnation.clone());
        }
        shard.index_end(&order_incarnation.key);
        wakers
    }

    /// Refuses an order from now on, like one that is found damaged at the start: it uses no seller
    /// capacity, it has no end, so that it is never removed, and its followers receive the refusal.
    fn refuse(
        &self,
        shard: &mut Shard,
        order_incarnation: &OrderIncarnation,
        cause: String,
    ) -> Vec<std::task::Waker> {
        let Some(entry) = shard.orders.get_mut(&order_incarnation.key) else { return Vec::new() };
        self.report(&order_incarnation.key, &order_incarnation.incarnation, &cause);
        if let Some(ended_at) = entry.ended_at() {
            shard.ended.remove(&(ended_at, order_incarnation.clone()));
        }
        self.close(entry);
        let wakers = entry.tail.refuse(damaged(&order_incarnation.key, &cause));
        entry.refuse(cause);
        entry.fail_waiters();
        index_deadline(&mut shard.deadlines, entry);
        wakers
    }

    /// Returns former incarnations that were found damaged and are to be read again.
    pub(super) fn doubtful(&self) -> Vec<OrderIncarnation> {
        let doubtful = |shard: &parking_lot::Mutex<Shard>| {
            shard.lock().doubtful.iter().take(DOUBTFUL_PER_SHARD).cloned().collect::<Vec<_>>()
        };
        self.inner.shards.iter().flat_map(doubtful).collect()
    }

    /// Reads former incarnations again, one after the other.
    pub(super) async fn reread_formers(&self, order_incarnations: Vec<OrderIncarnation>) {
        for order_incarnation in order_incarnations {
            match self.reread(&order_incarnation).await {
                Ok(fresh) => self.judge_former(&order_incarnation, fresh),
                // The others have their turn; its next reader has it read again.
                Err(_) => {
                    self.shard(&order_incarnation.key).lock().doubtful.remove(&order_incarnation);
                }
            }
        }
    }

    fn judge_former(&self, order_incarnation: &OrderIncarnation, fresh: IncarnationEntry) {
        let now = self.now();
        let mut guard = self.shard(&order_incarnation.key).lock();
        let shard = &mut *guard;
        let former = shard.formers.get_mut(&order_incarnation.key).into_iter().flatten();
        let former =
            former.into_iter().find(|former| former.incarnation == order_incarnation.incarnation);
        let cause = former.as_ref().and_then(|former| former.fault_of(fresh));
        let (Some(former), Some(cause)) = (former, cause) else {
            shard.doubtful.remove(order_incarnation);
            return;
        };
        let Some(since) = former.damaged_since.filter(|since| is_permanent(*since, now)) else {
            return;
        };
        tracing::debug!(order = %order_incarnation.key, since = since.0, "a former incarnation stays damaged");
        if let Some(ended_at) = former.ended_at {
            shard.ended.remove(&(ended_at, order_incarnation.clone()));
        }
        self.report(&order_incarnation.key, &order_incarnation.incarnation, &cause);
        former.refuse(cause);
        shard.doubtful.remove(order_incarnation);
    }

    /// Reports an order whose records are damaged.
    pub(super) fn report(&self, order: &OrderKey, incarnation: &Incarnation, cause: &str) {
        tracing::error!(%order, %incarnation, cause, "an order's records are damaged");
        self.inner.parts.metrics.order_is_damaged();
    }
}
