//! Incarnations of an order id that a newer one replaced. Their lists stay on the disk and are read
//! there on request; memory holds one entry for each.

use std::sync::Arc;

use orderstream_core::book::Context;
use orderstream_core::seal::{self, Redaction};
use orderstream_core::{
    Command, Epoch, Incarnation, Order, OrderIncarnation, OrderKey, Phase, Reason, Refusal, Reply,
    Seq, Timestamp,
};

use super::entry::{BookTrust, IncarnationEntry};
use super::record::{ListKind, OnDisk};
use super::reload::shortened;
use super::tail::Tail;
use super::{
    FollowStream, OrderRuntimeState, OwnedOrders, Shard, damaged, follow, fresh_id, not_found,
    replay, storage_unavailable, unreadable, with_timeout,
};
use crate::limits::FORMERS_LISTED_MAX;
use crate::notifications::OutboxLocation;

/// An incarnation that a newer one replaced.
#[derive(Clone, Debug)]
pub struct FormerEntry {
    /// The incarnation's name.
    pub incarnation: Incarnation,
    /// Its phase; absent where its records are damaged.
    pub phase: Option<Phase>,
    /// The time of its opening; absent where that cannot be read.
    pub opened_at: Option<Timestamp>,
    /// The time of its end; absent where its records hold none.
    pub ended_at: Option<Timestamp>,
    on_disk: OnDisk,
    pub(super) redaction: Redaction,
    epoch: Epoch,
    /// The cause for which it is refused; absent while its records are whole.
    pub(super) damaged: Option<String>,
    /// The time at which they were first found damaged; absent while they are not.
    pub(super) damaged_since: Option<Timestamp>,
    /// The location of its outbox in the journal.
    pub(super) outbox: OutboxLocation,
}

impl FormerEntry {
    /// Returns the sequence number of the last event of its list.
    pub fn last_seq(&self) -> Seq {
        self.on_disk.seq()
    }

    /// Returns the fault of the records that were read again, if they have one. Where none are
    /// left, the incarnation was removed.
    pub(super) fn fault_of(&self, fresh: IncarnationEntry) -> Option<String> {
        let (found, known) = (fresh.on_disk.seq(), self.on_disk.seq());
        let is_short = found < known && found > Seq(0);
        fresh.damaged.or_else(|| is_short.then(|| shortened(found, known)))
    }

    /// Refuses the incarnation from now on, like one that is found damaged at the start.
    pub(super) fn refuse(&mut self, cause: String) {
        (self.phase, self.ended_at) = (None, None);
        self.damaged = Some(cause);
    }
}

impl From<IncarnationEntry> for FormerEntry {
    fn from(entry: IncarnationEntry) -> Self {
        let order = entry.book.order();
        Self {
            phase: order.map(|order| order.phase),
            opened_at: entry.opened_at(),
            ended_at: entry.ended_at(),
            on_disk: entry.on_disk,
            redaction: Redaction::of(order),
            epoch: entry.book.floor(),
            damaged: entry.damaged,
            damaged_since: None,
            outbox: entry.outbox,
            incarnation: entry.incarnation,
        }
    }
}

impl Shard {
    /// Returns the former incarnation that is named, if there is one.
    pub(super) fn former(
        &self,
        key: &OrderKey,
        named: Option<&Incarnation>,
    ) -> Option<&FormerEntry> {
        let named = named?;
        self.formers.get(key)?.iter().find(|former| former.incarnation == *named)
    }

    /// Replaces an ended incarnation with the one beside it whose opening is on disk, if there is
    /// one.
    pub(super) fn promote(&mut self, order_incarnation: &OrderIncarnation, now: Timestamp) {
        if !self.is_opening(order_incarnation) {
            return;
        }
        let key = &order_incarnation.key;
        let Some(entry) = self.openings.remove(key) else { return };
        let Some(mut before) = self.orders.insert(key.clone(), entry) else { return };
        let since = before.damaged_since.unwrap_or(now);
        let is_doubtful = before.needs_reload();
        before.trust = BookTrust::Known;
        let mut former = FormerEntry::from(before);
        // Its damage is decided among the former incarnations.
        if is_doubtful {
            former.damaged_since = Some(since);
            self.suspects.remove(key);
            self.doubtful.insert(OrderIncarnation::new(key, &former.incarnation));
        }
        self.formers.entry(key.clone()).or_default().push(former);
    }

    /// Returns the newest former incarnations of an order id, the newest first, as many as are
    /// shown.
    pub(super) fn listed_formers(&self, key: &OrderKey) -> Vec<FormerEntry> {
        let formers = self.formers.get(key).into_iter().flatten().rev();
        formers.take(FORMERS_LISTED_MAX).cloned().collect()
    }
}

impl OwnedOrders {
    /// Reads a former incarnation from disk and returns a view of it.
    pub(super) async fn view_former<T>(
        &self,
        key: &OrderKey,
        former: &FormerEntry,
        view: impl FnOnce(&Order, &OrderRuntimeState) -> T + Send,
    ) -> Result<T, Refusal> {
        let entry = self.load_former(key, former).await?;
        let order = entry.book.order().ok_or_else(|| not_found(key))?;
        let formers = self.shard(key).lock().listed_formers(key);
        let runtime =
            OrderRuntimeState { epoch: former.epoch, followers: 0, has_tracker: false, formers };
        Ok(view(&seal::order(order), &runtime))
    }

    /// Replies to a command on a former incarnation: one that was done under its key gets its reply
    /// again, and nothing new happens.
    pub(super) async fn execute_on_former(
        &self,
        key: &OrderKey,
        former: &FormerEntry,
        command: &Command,
    ) -> Result<Reply, Refusal> {
        let fresh_id = if command.kind.needs_id() { Some(fresh_id()?) } else { None };
        let mut entry = self.load_former(key, former).await?;
        let output = entry.book.step(&Context { now: self.now(), fresh_id }, command);
        if !output.events.is_empty() {
            let text = "a newer incarnation of the order took the place of this one, which can only \
                        be read";
            return Err(Refusal::new(Reason::OrderExists, text));
        }
        entry.on_disk.release(output.reply).unwrap_or_else(|_| Err(storage_unavailable()))
    }

    /// Follows a former incarnation to its end.
    pub(super) fn follow_former(
        &self,
        key: &OrderKey,
        former: &FormerEntry,
        after: Seq,
    ) -> Result<FollowStream, Refusal> {
        if let Some(cause) = &former.damaged {
            return Err(damaged(key, cause));
        }
        let last = former.last_seq();
        if after > last {
            return Err(follow::ahead(after, last));
        }
        let tail = Arc::new(Tail::new(last, Some(last), former.redaction));
        self.stream(OrderIncarnation::new(key, &former.incarnation), tail, after, None)
    }

    /// Reads all of a former incarnation. A limited number is read at one time.
    async fn load_former(
        &self,
        key: &OrderKey,
        former: &FormerEntry,
    ) -> Result<IncarnationEntry, Refusal> {
        if let Some(cause) = &former.damaged {
            return Err(damaged(key, cause));
        }
        let (reads, journal) = (Arc::clone(&self.inner.former_reads), self.journal());
        let order_incarnation = OrderIncarnation::new(key, &former.incarnation);
        let read = async {
            let permit = reads.acquire_owned().await.map_err(|_| storage_unavailable())?;
            let read = tokio::task::spawn_blocking(move || {
                let read = replay::read_incarnation(&*journal, &order_incarnation);
                drop(permit);
                read
            });
            match read.await {
                Ok(Ok(entry)) => Ok(entry),
                Ok(Err(_)) | Err(_) => Err(unreadable()),
            }
        };
        let entry = with_timeout(read).await?;
        if entry.damaged.is_none() && entry.on_disk == former.on_disk {
            return Ok(entry);
        }
        // Without a fault it was removed during the read, because its retention was over.
        let cause = former.fault_of(entry).ok_or_else(|| not_found(key))?;
        Err(self.refuse_damaged(
            ListKind::Events,
            &OrderIncarnation::new(key, &former.incarnation),
            &cause,
        ))
    }
}
