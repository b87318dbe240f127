//! The map of orders (the original system's `processor_order_req_id_list`), rebuilt from the
//! journal at start, and the one way to change an order.
//!
//! ```text
//!   act ──▶ lock the order's shard ──▶ Book::step ──▶ journal.submit ──▶ unlock
//!                                                          │ sync
//!   answer ◀── release(proof) ◀── publish to the feed ◀────┘ (on the journal's thread)
//! ```
//!
//! Nothing is awaited under a lock, and each lock is held for one step or one publication. Acts of
//! one order reach the journal in the order of their steps. When an append fails, the book is ahead
//! of the disk: the order is suspect, and is read from disk again before its next act.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use orderstream_core::book::Context;
use orderstream_core::port::{Clock, SellerDirectory};
use orderstream_core::{
    Act, Answer, Command, Incarnation, Order, OrderKey, ProposalId, Reason, Refusal, SellerId,
    Timestamp, seal,
};
use orderstream_journal::Journal;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::limits::{IN_FLIGHT_MAX, ORDERS_MAX, REQUEST_MS_MAX, SHARDS};
use crate::metrics::Metrics;
use crate::notifications::Notifications;

mod append;
mod capacity;
mod entry;
mod expiry;
mod feed;
mod follow;
mod grants;
mod history;
mod invited;
mod open;
mod outbox;
mod read_only;
mod record;
mod replay;

pub use follow::{EventStream, Followed};
pub use invited::Invitations;
pub use open::Join;
pub use replay::ReplayError;

use capacity::Capacity;
use entry::Entry;
use invited::Invited;

/// The orders of one processor. Clones share them.
#[derive(Clone, Debug)]
pub struct Orders {
    inner: Arc<Inner>,
}

/// What the orders are built on.
#[derive(Clone, Debug)]
pub struct Parts {
    /// Where events lie.
    pub journal: Arc<dyn Journal>,
    /// Who may be invited.
    pub directory: Arc<dyn SellerDirectory>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// What is counted.
    pub metrics: Metrics,
}

#[derive(Debug)]
struct Inner {
    parts: Parts,
    shards: Box<[Mutex<Shard>]>,
    in_flight: AtomicUsize,
    count: AtomicUsize,
    draining: AtomicBool,
    /// The same for those who wait for it.
    stopping: CancellationToken,
    /// How many open orders each seller takes part in.
    capacity: Capacity,
    /// Which open orders each seller is invited to.
    invited: Invited,
    /// Former lives of orders, whose lists are to be removed.
    garbage: Mutex<Vec<(OrderKey, Incarnation)>>,
    /// Telling people, where that is set up.
    notifications: OnceLock<Notifications>,
}

type Deadlines = BTreeSet<(Timestamp, OrderKey)>;

#[derive(Debug, Default)]
struct Shard {
    orders: BTreeMap<OrderKey, Entry>,
    /// When each live order has to look at the clock.
    deadlines: Deadlines,
    /// Orders whose book is ahead of the disk after a failed append.
    suspects: BTreeSet<OrderKey>,
}

/// One place among the acts that wait for the disk.
#[derive(Debug)]
struct Slot(Arc<Inner>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What became of a submission.
enum Submitted {
    /// The answer comes through the channel.
    Waiting(oneshot::Receiver<Result<Answer, Refusal>>),
    /// The order must be read from disk first.
    Suspect,
}

impl Orders {
    /// Does one act, and answers when it is on disk.
    ///
    /// # Errors
    /// Why it was not done. Nothing was stored, unless the reason is retriable: then the same key
    /// tells.
    pub async fn act(&self, key: &OrderKey, command: Command) -> Result<Answer, Refusal> {
        let result = in_time(self.act_in_full(key, &command)).await;
        self.inner.parts.metrics.acted(&command.act, &result);
        result
    }

    async fn act_in_full(&self, key: &OrderKey, command: &Command) -> Result<Answer, Refusal> {
        if !matches!(command.act, Act::Tick) {
            self.must_take()?;
        }
        // An opening brings its grant along.
        let fencing = command.epoch.filter(|_| !matches!(command.act, Act::Open(_)));
        self.fence(key, fencing).await?;
        let receiver = match self.submit(key, command)? {
            Submitted::Waiting(receiver) => receiver,
            Submitted::Suspect => {
                self.reload(key).await?;
                match self.submit(key, command)? {
                    Submitted::Waiting(receiver) => receiver,
                    Submitted::Suspect => return Err(self.unavailable()),
                }
            }
        };
        receiver.await.unwrap_or_else(|_| Err(self.unavailable()))
    }

    /// Refuses once the server is stopping.
    fn must_take(&self) -> Result<(), Refusal> {
        match self.inner.draining.load(Ordering::Relaxed) {
            true => Err(Refusal::new(Reason::Draining, "this server is stopping; try again")),
            false => Ok(()),
        }
    }

    fn submit(&self, key: &OrderKey, command: &Command) -> Result<Submitted, Refusal> {
        let slot = self.slot()?;
        let fresh_id = if command.act.needs_id() { Some(fresh_id()?) } else { None };
        let mut context = Context { now: self.inner.parts.clock.now(), fresh_id };
        if let Some(reason) = self.inner.parts.journal.read_only() {
            return self.submit_read_only(key, (&context, command), &reason);
        }
        let (sender, receiver) = oneshot::channel();
        let mut shard = self.shard(key).lock();
        let Some(entry) = self.entry_for(&mut shard, key, command, &mut context.now)? else {
            return Err(not_found(key));
        };
        if entry.suspect {
            return Ok(Submitted::Suspect);
        }
        if let Some(cause) = &entry.damaged {
            return Err(damaged(key, cause));
        }
        let output = entry.book.step(&context, command);
        if output.events.is_empty() {
            entry.when_durable(output.answer, sender);
        } else {
            let tracker = command.epoch.filter(|_| matches!(command.act, Act::Open(_)));
            self.append(&mut shard, key, (output, tracker), (slot, sender));
        }
        Ok(Submitted::Waiting(receiver))
    }

    /// The order's entry. An opening makes one where there is none, or where a former life of the
    /// name is over. Then time goes on from its end, whatever the clock does: of two lives on disk
    /// the later opened one counts.
    fn entry_for<'a>(
        &self,
        shard: &'a mut Shard,
        key: &OrderKey,
        command: &Command,
        now: &mut Timestamp,
    ) -> Result<Option<&'a mut Entry>, Refusal> {
        let Act::Open(opening) = &command.act else { return Ok(shard.orders.get_mut(key)) };
        let former = shard.orders.get(key).map(Entry::life);
        match former {
            None => {
                if self.inner.count.fetch_add(1, Ordering::Relaxed) >= ORDERS_MAX {
                    self.inner.count.fetch_sub(1, Ordering::Relaxed);
                    return Err(Refusal::new(
                        Reason::Overloaded,
                        format!("this processor holds {ORDERS_MAX} orders, the most it takes"),
                    ));
                }
            }
            Some((incarnation, true)) if incarnation != opening.incarnation => {
                self.inner.garbage.lock().push((key.clone(), incarnation));
                let former = shard.orders.remove(key);
                if let Some(order) = former.as_ref().and_then(|former| former.book.order()) {
                    *now = (*now).max(order.last_event.0.plus_ms(1));
                }
            }
            Some(_) => {}
        }
        let make = || Entry::new(key.clone(), opening.incarnation.clone());
        Ok(Some(shard.orders.entry(key.clone()).or_insert_with(make)))
    }

    /// Reads from an order as it may be shown, and gives what was read when all behind it is on
    /// disk.
    ///
    /// # Errors
    /// An order that is not here, or that cannot be read.
    pub async fn read<T: Send + 'static>(
        &self,
        key: &OrderKey,
        view: impl FnOnce(&Order, &Facts) -> T + Send,
    ) -> Result<T, Refusal> {
        let (sender, receiver) = oneshot::channel();
        {
            let mut shard = self.shard(key).lock();
            let entry = shard.orders.get_mut(key).ok_or_else(|| not_found(key))?;
            if let Some(cause) = &entry.damaged {
                return Err(damaged(key, cause));
            }
            if entry.suspect {
                return Err(storage_unavailable());
            }
            let order = entry.book.order().ok_or_else(|| not_found(key))?;
            let (followers, has_tracker) = entry.feed.followers();
            let facts = Facts { epoch: entry.book.floor(), followers, has_tracker };
            let value = Ok(view(&seal::order(order), &facts));
            let withheld = entry.book.withhold(value);
            entry.when_durable(withheld, sender);
        }
        in_time(async { receiver.await.unwrap_or_else(|_| Err(storage_unavailable())) }).await
    }

    /// The keys of orders after `after`, in order, at most `limit`, of one tenant or of all.
    pub fn keys(
        &self,
        tenant: Option<&str>,
        after: Option<&OrderKey>,
        limit: usize,
    ) -> Vec<OrderKey> {
        let mut keys = BTreeSet::new();
        for shard in &self.inner.shards {
            let shard = shard.lock();
            let of_tenant = shard
                .orders
                .keys()
                .filter(|key| tenant.is_none_or(|tenant| key.tenant.as_str() == tenant))
                .filter(|key| after.is_none_or(|after| *key > after));
            keys.extend(of_tenant.take(limit).cloned());
        }
        keys.into_iter().take(limit).collect()
    }

    /// Whose a proposal is, where the order has it.
    pub fn seller_of(&self, key: &OrderKey, id: &ProposalId) -> Option<SellerId> {
        let shard = self.shard(key).lock();
        let order = shard.orders.get(key)?.book.order()?;
        order.proposals.get(id).map(|proposal| proposal.content.seller.clone())
    }

    /// Whether a seller is invited to an order.
    pub fn is_invited(&self, key: &OrderKey, seller: &SellerId) -> bool {
        let shard = self.shard(key).lock();
        let order = shard.orders.get(key).and_then(|entry| entry.book.order());
        order.is_some_and(|order| order.invitation(seller).is_some())
    }

    /// The owner's clock.
    pub fn now(&self) -> Timestamp {
        self.inner.parts.clock.now()
    }

    /// How many orders are held.
    pub fn count(&self) -> usize {
        self.inner.count.load(Ordering::Relaxed)
    }

    /// Waits until no more acts are taken, for who follows no order that would tell.
    pub fn stopping(&self) -> WaitForCancellationFutureOwned {
        self.inner.stopping.clone().cancelled_owned()
    }

    /// Takes no more acts, and tells every follower in band that the server stops.
    pub fn drain(&self) {
        self.inner.draining.store(true, Ordering::Relaxed);
        self.inner.stopping.cancel();
        for shard in &self.inner.shards {
            let wakers: Vec<_> =
                shard.lock().orders.values().flat_map(|entry| entry.feed.drain()).collect();
            wakers.into_iter().for_each(std::task::Waker::wake);
        }
    }

    fn slot(&self) -> Result<Slot, Refusal> {
        let before = self.inner.in_flight.fetch_add(1, Ordering::Relaxed);
        let slot = Slot(Arc::clone(&self.inner));
        if before >= IN_FLIGHT_MAX {
            return Err(Refusal {
                retry_after_ms: Some(1_000),
                ..Refusal::new(Reason::Overloaded, "too many requests wait for the disk")
            });
        }
        Ok(slot)
    }

    fn shard(&self, key: &OrderKey) -> &Mutex<Shard> {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(key);
        let index = usize::try_from(hash % SHARDS as u64).unwrap_or(0);
        &self.inner.shards[index]
    }
}

/// What is known of an order besides its events.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// The highest epoch that was granted.
    pub epoch: orderstream_core::Epoch,
    /// How many follow it.
    pub followers: usize,
    /// Whether its tracker does.
    pub has_tracker: bool,
}

/// Ends a wait for the disk that takes too long.
async fn in_time<T>(wait: impl Future<Output = Result<T, Refusal>>) -> Result<T, Refusal> {
    let limit = Duration::from_millis(REQUEST_MS_MAX);
    tokio::time::timeout(limit, wait).await.unwrap_or_else(|_| {
        let text = format!("took longer than {REQUEST_MS_MAX} ms; ask again with the same key");
        Err(Refusal::new(Reason::StorageUnavailable, text))
    })
}

fn fresh_id() -> Result<ProposalId, Refusal> {
    ProposalId::new(uuid::Uuid::now_v7().to_string())
}

fn not_found(key: &OrderKey) -> Refusal {
    Refusal::new(Reason::OrderNotFound, format!("order {key} is not known here"))
}

fn damaged(key: &OrderKey, cause: &str) -> Refusal {
    Refusal::new(Reason::RecordsDamaged, format!("the records of order {key} are damaged: {cause}"))
}

fn storage_unavailable() -> Refusal {
    Refusal::new(Reason::StorageUnavailable, "the disk takes no records now; try again")
}
