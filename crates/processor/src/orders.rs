//! The map of orders (the original system's `processor_order_req_id_list`), rebuilt from the
//! journal at start, and the one way to change an order.
//!
//! ```text
//!   command ──▶ lock the shard ──────▶ Book::step ──▶ journal.submit ──▶ unlock
//!                                                          │ sync
//!   reply  ◀── release(proof) ◀── publish to the tail ◀────┘ (on the journal's thread)
//! ```
//!
//! Nothing is awaited under a lock, and each lock is held for one step or one publication. Commands
//! of one order reach the journal in the order of their steps. When an append fails, the book is
//! ahead of the disk: the order is suspect, and is read from disk again before its next command, as
//! is one whose records were found damaged.
//!
//! An order id has one newest incarnation, and those that ended before it. One that opens beside an
//! ended one changes nothing until it is on disk:
//!
//! ```text
//!   openings ── proof ──▶ orders (the newest) ──▶ formers (on disk) ── keep_ended ──▶ removals
//!       └─ failed ─▶ removals, as if never opened
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use orderstream_core::book::Context;
use orderstream_core::port::{Clock, SellerDirectory};
use orderstream_core::{
    Command, CommandKind, Incarnation, Order, OrderIncarnation, OrderKey, ProposalId, Reason,
    Refusal, Reply, SellerId, Timestamp, seal,
};
use orderstream_journal::Journal;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, oneshot};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::limits::{IN_FLIGHT_MAX, REQUEST_MS_MAX, SHARDS};
use crate::metrics::Metrics;
use crate::notifications::Notifications;

mod append;
mod capacity;
mod entry;
mod expiry;
mod follow;
mod former;
mod grants;
mod history;
mod inbox;
mod incarnations;
mod invitations;
mod late;
mod open;
mod outbox;
mod read_only;
mod reading;
mod record;
mod reload;
mod removal;
mod replay;
mod tail;
mod vacancies;

pub use follow::{FollowItem, FollowStream};
pub use former::FormerEntry;
pub(crate) use history::PageBounds;
pub(crate) use inbox::InboxBounds;
pub use invitations::Invitations;
pub use open::Join;
pub use replay::ReplayError;

use append::CommandCaller;
use capacity::{Capacity, Reservation};
use entry::{BookTrust, IncarnationEntry};
use invitations::InvitationIndex;
use late::LateSellers;
use vacancies::VacancyIndex;

/// The orders of one processor. Clones share them.
#[derive(Clone, Debug)]
pub struct OwnedOrders {
    inner: Arc<OwnedOrdersInner>,
}

/// The dependencies of the orders.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The journal that holds the events.
    pub journal: Arc<dyn Journal>,
    /// The directory of the sellers that may be invited.
    pub directory: Arc<dyn SellerDirectory>,
    /// The source of the current time.
    pub clock: Arc<dyn Clock>,
    /// The metrics to count in.
    pub metrics: Metrics,
    /// The time for which an order is kept after its end.
    pub keep_ended: Duration,
}

#[derive(Debug)]
struct OwnedOrdersInner {
    parts: Parts,
    shards: Box<[Mutex<Shard>]>,
    in_flight: AtomicUsize,
    count: AtomicUsize,
    /// The number of former incarnations.
    formers: AtomicUsize,
    draining: AtomicBool,
    /// Cancelled when `draining` is set, for those who wait for it.
    stopping: CancellationToken,
    /// The number of open orders of each seller.
    capacity: Arc<Capacity>,
    /// The open orders to which each seller is invited.
    invitations: InvitationIndex,
    /// The open orders that have places for further sellers.
    vacancies: VacancyIndex,
    /// The changes of sellers that are still to be considered for these.
    late: Arc<LateSellers>,
    /// Limits the former incarnations that are read at one time.
    former_reads: Arc<Semaphore>,
    /// The incarnation whose removal failed last; the next round begins after it.
    last_failed_removal: Mutex<Option<OrderIncarnation>>,
    /// The notifications, where they are set up.
    notifications: OnceLock<Notifications>,
}

type Deadlines = BTreeSet<(Timestamp, OrderKey)>;

#[derive(Debug, Default)]
struct Shard {
    /// The newest incarnation of each order id.
    orders: BTreeMap<OrderKey, IncarnationEntry>,
    /// Incarnations that open beside an ended one of the same order id, until their opening is on
    /// disk.
    openings: BTreeMap<OrderKey, IncarnationEntry>,
    /// Incarnations that a newer one replaced, oldest first.
    formers: BTreeMap<OrderKey, Vec<FormerEntry>>,
    /// Every incarnation that ended, by its end.
    ended: BTreeSet<(Timestamp, OrderIncarnation)>,
    /// Incarnations to remove from the disk; the maps above hold none of them.
    removals: BTreeSet<OrderIncarnation>,
    /// The live orders by their next deadline.
    deadlines: Deadlines,
    /// Orders that are read again before their next command.
    suspects: BTreeSet<OrderKey>,
    /// Former incarnations that were found damaged, and are read again.
    doubtful: BTreeSet<OrderIncarnation>,
}

/// A slot among the commands that wait for the disk.
#[derive(Debug)]
struct InFlightPermit(Arc<OwnedOrdersInner>);

impl Drop for InFlightPermit {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The outcome of submitting a command.
enum SubmitOutcome {
    /// The reply comes through the channel.
    Pending(oneshot::Receiver<Result<Reply, Refusal>>),
    /// The order must be read from disk first.
    Suspect,
    /// The command is about an incarnation that a newer one replaced.
    Former(Box<FormerEntry>),
}

impl OwnedOrders {
    /// Executes a command, and replies when it is on disk.
    ///
    /// # Errors
    /// The order's refusal. Nothing was stored, unless the reason is retriable: then a retry with
    /// the same key finds out.
    pub async fn execute(&self, key: &OrderKey, command: Command) -> Result<Reply, Refusal> {
        self.execute_with(key, command, None).await
    }

    /// Does the same as [`OwnedOrders::execute`], with the seller capacity that is reserved for an
    /// order to be opened: it is held until the outcome of the opening is known, even if the caller
    /// disconnects.
    async fn execute_with(
        &self,
        key: &OrderKey,
        command: Command,
        reservation: Option<Reservation>,
    ) -> Result<Reply, Refusal> {
        let result = with_timeout(self.execute_untimed(key, &command, reservation)).await;
        self.inner.parts.metrics.command_executed(&command.kind, &result);
        result
    }

    async fn execute_untimed(
        &self,
        key: &OrderKey,
        command: &Command,
        mut reservation: Option<Reservation>,
    ) -> Result<Reply, Refusal> {
        if !matches!(command.kind, CommandKind::Tick) {
            self.check_not_draining()?;
        }
        self.fence(key, command).await?;
        let mut submitted = self.submit(key, command, &mut reservation)?;
        if matches!(submitted, SubmitOutcome::Suspect) {
            self.reload(key).await?;
            // The grant may not have reached the disk.
            self.fence(key, command).await?;
            submitted = self.submit(key, command, &mut reservation)?;
        }
        // The order exists, or this command does not open it.
        drop(reservation);
        match submitted {
            SubmitOutcome::Pending(receiver) => {
                receiver.await.unwrap_or_else(|_| Err(self.unavailable()))
            }
            SubmitOutcome::Former(former) => self.execute_on_former(key, &former, command).await,
            SubmitOutcome::Suspect => Err(self.unavailable()),
        }
    }

    /// Refuses commands once the server is stopping.
    fn check_not_draining(&self) -> Result<(), Refusal> {
        match self.inner.draining.load(Ordering::Relaxed) {
            true => Err(Refusal::new(Reason::Draining, "this server is stopping; try again")),
            false => Ok(()),
        }
    }

    fn submit(
        &self,
        key: &OrderKey,
        command: &Command,
        reservation: &mut Option<Reservation>,
    ) -> Result<SubmitOutcome, Refusal> {
        let permit = self.acquire_permit()?;
        let fresh_id = if command.kind.needs_id() { Some(fresh_id()?) } else { None };
        let mut context = Context { now: self.inner.parts.clock.now(), fresh_id };
        if let Some(reason) = self.inner.parts.journal.read_only() {
            return self.submit_read_only(key, &context, command, &reason);
        }
        let (sender, receiver) = oneshot::channel();
        let mut guard = self.shard(key).lock();
        let shard = &mut *guard;
        let named = command.incarnation.as_ref();
        let entry = if let CommandKind::Open(opening) = &command.kind {
            self.entry_to_open(shard, key, opening, &mut context.now)?
        } else if let Some(former) = shard.former(key, named) {
            return Ok(SubmitOutcome::Former(Box::new(former.clone())));
        } else {
            shard.target_entry(key, named)
        };
        let Some(entry) = entry else {
            return Err(not_found(key));
        };
        if entry.needs_reload() {
            return Ok(SubmitOutcome::Suspect);
        }
        if let Some(cause) = &entry.damaged {
            return Err(damaged(key, cause));
        }
        let output = entry.book.step(&context, command);
        if output.events.is_empty() {
            entry.when_durable(output.reply, sender);
        } else {
            let opener = command.epoch.filter(|_| matches!(command.kind, CommandKind::Open(_)));
            let order_incarnation = entry.order_incarnation();
            let caller = CommandCaller { permit, sender, reservation: reservation.take(), opener };
            self.append(shard, &order_incarnation, output, caller);
        }
        Ok(SubmitOutcome::Pending(receiver))
    }

    /// Reads from the newest incarnation of an order, with redaction, and returns the view when all
    /// events behind it are on disk.
    ///
    /// # Errors
    /// An order that is not here, or that cannot be read.
    pub async fn read<T: Send + 'static>(
        &self,
        key: &OrderKey,
        view: impl FnOnce(&Order, &OrderRuntimeState) -> T + Send,
    ) -> Result<T, Refusal> {
        self.read_one(key, None, view).await
    }

    /// Reads from the incarnation that is named, or from the newest where none is.
    ///
    /// # Errors
    /// An order or an incarnation that is not here, or that cannot be read.
    pub async fn read_one<T: Send + 'static>(
        &self,
        key: &OrderKey,
        named: Option<&Incarnation>,
        view: impl FnOnce(&Order, &OrderRuntimeState) -> T + Send,
    ) -> Result<T, Refusal> {
        let (sender, receiver) = oneshot::channel();
        let former = {
            let mut shard = self.shard(key).lock();
            match shard.former(key, named).cloned() {
                Some(former) => Some((former, view)),
                None => {
                    let formers = shard.listed_formers(key);
                    let entry = shard.newest(key, named)?;
                    if let Some(cause) = &entry.damaged {
                        return Err(damaged(key, cause));
                    }
                    if entry.trust == BookTrust::Suspect {
                        return Err(storage_unavailable());
                    }
                    let order = entry.book.order().ok_or_else(|| not_found(key))?;
                    let (followers, has_tracker) = entry.tail.followers();
                    let runtime =
                        OrderRuntimeState { epoch: entry.granted, followers, has_tracker, formers };
                    let value = Ok(view(&seal::order(order), &runtime));
                    let withheld = entry.book.withhold(value);
                    entry.when_durable(withheld, sender);
                    None
                }
            }
        };
        if let Some((former, view)) = former {
            return self.view_former(key, &former, view).await;
        }
        with_timeout(async { receiver.await.unwrap_or_else(|_| Err(storage_unavailable())) }).await
    }

    /// Returns at most `limit` keys of orders after `after`, in order, of one tenant or of all.
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

    /// Returns the seller of a proposal; `None` where the order does not have it.
    pub fn seller_of(&self, key: &OrderKey, id: &ProposalId) -> Option<SellerId> {
        let shard = self.shard(key).lock();
        let order = shard.orders.get(key)?.book.order()?;
        order.proposals.get(id).map(|proposal| proposal.content.seller.clone())
    }

    /// Reports whether a seller is invited to an order.
    pub fn is_invited(&self, key: &OrderKey, seller: &SellerId) -> bool {
        let shard = self.shard(key).lock();
        let order = shard.orders.get(key).and_then(|entry| entry.book.order());
        order.is_some_and(|order| order.invitation(seller).is_some())
    }

    /// Returns the time of the owner's clock.
    pub fn now(&self) -> Timestamp {
        self.inner.parts.clock.now()
    }

    /// Returns the number of orders held.
    pub fn count(&self) -> usize {
        self.inner.count.load(Ordering::Relaxed)
    }

    /// Waits until no more commands are accepted, for callers whose streams do not report the
    /// drain.
    pub fn stopping(&self) -> WaitForCancellationFutureOwned {
        self.inner.stopping.clone().cancelled_owned()
    }

    /// Stops accepting commands, and sends every follower the drain message.
    pub fn drain(&self) {
        self.inner.draining.store(true, Ordering::Relaxed);
        self.inner.stopping.cancel();
        for shard in &self.inner.shards {
            let wakers: Vec<_> =
                shard.lock().orders.values().flat_map(|entry| entry.tail.drain()).collect();
            wakers.into_iter().for_each(std::task::Waker::wake);
        }
    }

    fn acquire_permit(&self) -> Result<InFlightPermit, Refusal> {
        let before = self.inner.in_flight.fetch_add(1, Ordering::Relaxed);
        let permit = InFlightPermit(Arc::clone(&self.inner));
        if before >= IN_FLIGHT_MAX {
            return Err(Refusal {
                retry_after_ms: Some(1_000),
                ..Refusal::new(Reason::Overloaded, "too many requests wait for the disk")
            });
        }
        Ok(permit)
    }

    fn shard(&self, key: &OrderKey) -> &Mutex<Shard> {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(key);
        let index = usize::try_from(hash % SHARDS as u64).unwrap_or(0);
        &self.inner.shards[index]
    }
}

/// The facts about an order besides its events.
#[derive(Clone, Debug)]
pub struct OrderRuntimeState {
    /// The highest epoch that was granted.
    pub epoch: orderstream_core::Epoch,
    /// The number of its followers.
    pub followers: usize,
    /// True while its tracker follows it.
    pub has_tracker: bool,
    /// The newest of the order id's former incarnations, the last one first.
    pub formers: Vec<FormerEntry>,
}

/// Limits a wait for the disk.
async fn with_timeout<T>(wait: impl Future<Output = Result<T, Refusal>>) -> Result<T, Refusal> {
    let limit = Duration::from_millis(REQUEST_MS_MAX);
    tokio::time::timeout(limit, wait).await.unwrap_or_else(|_| {
        let text = format!("took longer than {REQUEST_MS_MAX} ms; ask again with the same key");
        Err(Refusal::new(Reason::StorageUnavailable, text))
    })
}

fn fresh_id() -> Result<ProposalId, Refusal> {
    ProposalId::new(uuid::Uuid::now_v7().to_string())
}

pub(crate) fn not_found(key: &OrderKey) -> Refusal {
    Refusal::new(Reason::OrderNotFound, format!("order {key} is not known here"))
}

/// Returns the refusal for an incarnation that is not the newest one here.
fn another_incarnation(key: &OrderKey, newest: &Incarnation) -> Refusal {
    let text = format!("order {key} has another incarnation here, and not the one that is named");
    Refusal::new(Reason::OrderNotFound, text).with("incarnation", newest)
}

fn damaged(key: &OrderKey, cause: &str) -> Refusal {
    Refusal::new(Reason::RecordsDamaged, format!("the records of order {key} are damaged: {cause}"))
}

fn unreadable() -> Refusal {
    Refusal::new(Reason::StorageUnavailable, "the records cannot be read now; try again")
}

fn storage_unavailable() -> Refusal {
    Refusal::new(Reason::StorageUnavailable, "the disk takes no records now; try again")
}
