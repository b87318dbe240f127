//! The path of a step to the disk and back: the append, and the handling of its outcome.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use orderstream_core::book::BookOutput;
use orderstream_core::spec::Verdict;
use orderstream_core::{
    Epoch, Event, EventKind, OrderIncarnation, Refusal, Reply, SellerId, Seq, Withheld,
};
use orderstream_journal::{Append, AppendError, AppendReceipt, DurableProof};
use tokio::sync::oneshot;

use super::capacity::Reservation;
use super::entry::{BookTrust, IncarnationEntry, reply};
use super::incarnations::entry_of;
use super::outbox;
use super::record::{self, ListKind, OnDisk};
use super::{Deadlines, InFlightPermit, OwnedOrders, Shard, storage_unavailable};

/// The state that the outcome of an append needs.
struct PendingAppend {
    order_incarnation: OrderIncarnation,
    events: Vec<Arc<Event>>,
    reply: Withheld<Result<Reply, Refusal>>,
    caller: CommandCaller,
}

/// The caller of a command, and what it holds until its reply.
pub(super) struct CommandCaller {
    /// Its permit among the commands that wait for the disk.
    pub(super) permit: InFlightPermit,
    /// The channel for its reply.
    pub(super) sender: oneshot::Sender<Result<Reply, Refusal>>,
    /// The seller capacity that is reserved for the order that it opens, or for the sellers that it
    /// adds to one.
    pub(super) reservation: Option<Reservation>,
    /// The epoch of the tracker for which it opens the order.
    pub(super) opener: Option<Epoch>,
}

impl OwnedOrders {
    /// Submits the events of a step to the journal, together with the grant to the tracker if the
    /// step opens the order. The caller holds the shard's lock, so that the journal receives an
    /// order's appends in the order of their steps.
    pub(super) fn append(
        &self,
        shard: &mut Shard,
        order_incarnation: &OrderIncarnation,
        output: BookOutput,
        caller: CommandCaller,
    ) {
        let is_beside = shard.is_opening(order_incarnation);
        let Some(entry) = entry_of(&mut shard.openings, &mut shard.orders, order_incarnation)
        else {
            return;
        };
        if !is_beside {
            index_deadline(&mut shard.deadlines, entry);
        }
        let records: Result<Vec<_>, _> = output.events.iter().map(record::encode).collect();
        let expected = output.events.first().map_or(0, |event| event.seq.0.saturating_sub(1));
        let opener = caller.opener;
        let pending = PendingAppend {
            order_incarnation: order_incarnation.clone(),
            events: output.events.into_iter().map(Arc::new).collect(),
            reply: output.reply,
            caller,
        };
        let list = record::list_name(ListKind::Events, order_incarnation);
        let this = self.clone();
        let done = Box::new(move |outcome| this.on_appended(pending, outcome));
        let grant = opener.and_then(|epoch| {
            entry.tail.expect_opener();
            self.opening_grant(entry, epoch)
        });
        let grants = u64::from(grant.is_some());
        let submitted = match records {
            Ok(records) => {
                let append = Append { list, expected, records, done };
                let appends = grant.into_iter().chain([append]).collect();
                self.inner.parts.journal.submit_all(appends).map_err(|error| error.to_string())
            }
            Err(error) => Err(error.to_string()),
        };
        match submitted {
            Ok(()) => {
                let in_flight = if grants == 0 { 1 } else { 2 };
                entry.in_flight = entry.in_flight.saturating_add(in_flight);
                entry.grants = entry.grants.saturating_add(grants);
            }
            Err(error) => {
                // The callback was dropped, and with it the sender: the caller is refused with
                // STORAGE_UNAVAILABLE.
                tracing::warn!(order = %order_incarnation.key, %error, "the journal takes no records");
                shard.suspect(order_incarnation);
            }
        }
    }

    /// Runs on the journal's thread, after the sync or its failure.
    fn on_appended(&self, pending: PendingAppend, outcome: Result<AppendReceipt, AppendError>) {
        let PendingAppend { order_incarnation, events, reply: withheld, caller } = pending;
        let CommandCaller { permit, sender, mut reservation, opener: _ } = caller;
        let mut guard = self.shard(&order_incarnation.key).lock();
        let shard = &mut *guard;
        let Some(entry) = entry_of(&mut shard.openings, &mut shard.orders, &order_incarnation)
        else {
            return;
        };
        entry.in_flight = entry.in_flight.saturating_sub(1);
        let released = match outcome {
            Ok(appended) => {
                let logged = tracing::enabled!(tracing::Level::DEBUG).then(|| events.clone());
                if let Some(order) = entry.book.order() {
                    let metrics = &self.inner.parts.metrics;
                    entry.proposals = metrics.events_stored(order, &events, entry.proposals);
                }
                let on_disk = OnDisk::from(DurableProof::from(&appended));
                let invited = if entry.place.is_some() { chosen(&events) } else { Vec::new() };
                let mut wakers = publish(entry, on_disk, events);
                wakers.extend(self.index_invited(entry, &invited, &mut reservation));
                wakers.extend(self.index_open(entry, reservation));
                let released = on_disk.release(withheld).ok();
                outbox::wake(self, entry);
                self.settle(shard, &order_incarnation);
                drop(guard);
                wakers.into_iter().for_each(std::task::Waker::wake);
                log_events(&order_incarnation, &logged.unwrap_or_default());
                released
            }
            Err(error) => {
                tracing::warn!(order = %order_incarnation.key, %error, "records did not reach the disk");
                shard.suspect(&order_incarnation);
                None
            }
        };
        drop(permit);
        reply(sender, released.unwrap_or_else(|| Err(storage_unavailable())));
    }
}

impl OwnedOrders {
    /// Brings the maps in step with the disk: the one place where a new incarnation replaces an
    /// ended one.
    pub(super) fn settle(&self, shard: &mut Shard, order_incarnation: &OrderIncarnation) {
        if shard.is_opening(order_incarnation) {
            shard.promote(order_incarnation, self.now());
            self.inner.formers.fetch_add(1, Ordering::Relaxed);
            if let Some(entry) = shard.orders.get_mut(&order_incarnation.key) {
                index_deadline(&mut shard.deadlines, entry);
            }
        }
        shard.index_end(&order_incarnation.key);
    }

    /// Brings the indexes of open orders in step with the disk: the sellers' capacity, their
    /// invitations, the free places, and the number of open orders. Has an effect when the order
    /// opens, when its places are taken or free, at its deadline, which frees the sellers' capacity,
    /// and when it ends. Returns the wakers of the sellers' sessions, to be woken without the lock.
    pub(super) fn index_open(
        &self,
        entry: &mut IncarnationEntry,
        reservation: Option<Reservation>,
    ) -> Vec<std::task::Waker> {
        let on_disk = entry.on_disk.seq();
        let Some(order) = entry.book.order().filter(|_| on_disk > Seq(0)) else {
            return Vec::new();
        };
        if order.phase.is_terminal() && order.last_seq <= on_disk {
            self.close(entry);
            return Vec::new();
        }
        let takes_capacity = order.phase.is_before_deadline() || order.last_seq > on_disk;
        if let Some(place) = entry.place {
            if entry.takes_capacity && !takes_capacity {
                let sellers = self.inner.invitations.sellers_of(order, place);
                self.inner.capacity.end(&order.key.tenant, &sellers);
                entry.takes_capacity = false;
            }
            // Changes of sellers while it had no place did not concern it.
            if self.index_vacancy(entry) {
                self.inner.late.consider_order(entry.book.key());
            }
            return Vec::new();
        }
        let (place, wakers) = self.inner.invitations.open(order);
        let seen = reservation.as_ref().map(Reservation::revision);
        if takes_capacity {
            let sellers: Vec<SellerId> =
                order.invitations.iter().map(|held| held.seller.clone()).collect();
            self.inner.capacity.open(&order.key.tenant, &sellers, reservation);
        }
        self.inner.parts.metrics.order_opened();
        (entry.place, entry.takes_capacity) = (Some(place), takes_capacity);
        // A change since its sellers were chosen may have been considered without it. One that comes
        // after this comparison finds it in the index.
        if self.index_vacancy(entry) && seen != Some(self.inner.late.revision()) {
            self.inner.late.consider_order(entry.book.key());
        }
        wakers
    }

    /// Adds sellers whose later invitations are on disk to the indexes of an open order. Returns the
    /// wakers of their sessions.
    pub(super) fn index_invited(
        &self,
        entry: &mut IncarnationEntry,
        invited: &[SellerId],
        reservation: &mut Option<Reservation>,
    ) -> Vec<std::task::Waker> {
        let Some(place) = entry.place.filter(|_| !invited.is_empty()) else { return Vec::new() };
        let key = entry.book.key();
        let (added, wakers) = self.inner.invitations.add(key, place, invited);
        if added.is_empty() {
            return wakers;
        }
        if entry.takes_capacity {
            self.inner.capacity.open(&key.tenant, &added, reservation.take());
        }
        // One of them may be reachable where nobody was.
        entry.needs_notifications = None;
        wakers
    }

    /// Brings the index of orders with free places in step with an order; returns true if it has
    /// become one of them.
    fn index_vacancy(&self, entry: &mut IncarnationEntry) -> bool {
        let (Some(order), Some(place)) = (entry.book.order(), entry.place) else { return false };
        let has_places = order.free_places() > 0;
        if has_places == entry.is_vacant {
            return false;
        }
        if has_places {
            self.inner.vacancies.insert(&order.key, place);
        } else {
            self.inner.vacancies.remove(&order.key, place);
        }
        entry.is_vacant = has_places;
        has_places
    }

    /// Removes an order from the indexes of open orders.
    pub(super) fn close(&self, entry: &mut IncarnationEntry) {
        let (Some(order), Some(place)) = (entry.book.order(), entry.place.take()) else { return };
        if std::mem::take(&mut entry.takes_capacity) {
            let sellers = self.inner.invitations.sellers_of(order, place);
            self.inner.capacity.end(&order.key.tenant, &sellers);
        }
        self.inner.invitations.end(order, place);
        if std::mem::take(&mut entry.is_vacant) {
            self.inner.vacancies.remove(&order.key, place);
        }
        self.inner.parts.metrics.order_closed();
    }
}

/// Returns the sellers that these events name as invited.
fn chosen(events: &[Arc<Event>]) -> Vec<SellerId> {
    let selections = events.iter().filter_map(|event| {
        if let EventKind::SellersSelected(choices) = &event.kind { Some(choices) } else { None }
    });
    let chosen = selections.flatten().filter(|choice| choice.verdict == Verdict::Chosen);
    chosen.map(|choice| choice.seller.clone()).collect()
}

/// Logs stored events, under their order's trace.
fn log_events(order: &OrderIncarnation, events: &[Arc<Event>]) {
    let OrderIncarnation { key, incarnation } = order;
    for event in events {
        let (seq, kind, trace_id) = (event.seq.0, event.kind.as_str(), incarnation.trace_id());
        tracing::debug!(order = %key, seq, event = kind, trace_id, "an event is stored");
    }
}

/// Brings the shard's index of deadlines in step with the order's book.
pub(super) fn index_deadline(deadlines: &mut Deadlines, entry: &mut IncarnationEntry) {
    let deadline = entry.book.deadline();
    if deadline == entry.deadline {
        return;
    }
    let key = entry.book.key();
    if let Some(previous) = entry.deadline {
        deadlines.remove(&(previous, key.clone()));
    }
    if let Some(deadline) = deadline {
        deadlines.insert((deadline, key.clone()));
    }
    entry.deadline = deadline;
}

/// Makes what is on disk visible to followers and to waiting callers. Returns the wakers, to be
/// woken without the lock.
pub(super) fn publish(
    entry: &mut IncarnationEntry,
    on_disk: OnDisk,
    events: Vec<Arc<Event>>,
) -> Vec<std::task::Waker> {
    entry.on_disk = entry.on_disk.or_later(on_disk);
    let ended_at = entry
        .book
        .order()
        .filter(|order| order.phase.is_terminal() && order.last_seq <= entry.on_disk.seq())
        .map(|order| order.last_seq);
    let wakers = entry.tail.publish(entry.on_disk.seq(), ended_at, events);
    entry.wake_waiters();
    wakers
}

impl Shard {
    /// Marks an incarnation whose book is ahead of the disk: it is read again before its next
    /// command. One that was opening beside an ended one is given up instead, and any records of it
    /// on disk are removed: its caller received a failure, and nobody else knows of it.
    pub(super) fn suspect(&mut self, order_incarnation: &OrderIncarnation) {
        if self.is_opening(order_incarnation) {
            if let Some(mut entry) = self.openings.remove(&order_incarnation.key) {
                entry.fail_waiters();
            }
            self.removals.insert(order_incarnation.clone());
        }
        let entry = self.orders.get_mut(&order_incarnation.key);
        if let Some(entry) =
            entry.filter(|entry| entry.incarnation == order_incarnation.incarnation)
        {
            entry.trust = BookTrust::Suspect;
            entry.fail_waiters();
            self.suspects.insert(order_incarnation.key.clone());
        }
    }
}
