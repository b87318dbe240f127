//! From the disk into the map: all orders at start, and one order after a failed append.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use orderstream_core::seal::Cover;
use orderstream_core::{Book, Incarnation, OrderKey, Refusal};
use orderstream_journal::{Journal, ReadError, Record};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::append::{index_deadline, publish};
use super::capacity::Capacity;
use super::entry::Entry;
use super::feed::Feed;
use super::invited::Invited;
use super::record::{self, ListKind, OnDisk};
use super::{Inner, Orders, Parts, Shard, storage_unavailable};
use crate::limits::{PAGE_EVENTS, SHARDS};
use crate::metrics::Proposals;
use crate::notifications::Half;

/// The journal could not be read at all.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// It cannot be read.
    #[error("cannot read the journal: {0}")]
    Unreadable(#[from] ReadError),
    /// It takes no records.
    #[error("cannot write the journal; is its disk full?")]
    NotWritten,
}

type Lives = BTreeMap<(OrderKey, Incarnation), Entry>;

impl Orders {
    /// Reads every order from the journal. Blocks on the disk.
    ///
    /// # Errors
    /// When the journal cannot be read at all. A damaged order is not an error: it is refused, and
    /// the others are served.
    pub fn replay(parts: Parts) -> Result<Self, ReplayError> {
        let began = Instant::now();
        let mut records = 0_usize;
        let mut lives = Lives::new();
        parts.journal.scan(&mut |list, record| {
            records = records.saturating_add(1);
            if let Some((kind, key, incarnation)) = record::parse_list_name(list) {
                let life = (key.clone(), incarnation.clone());
                let entry = lives.entry(life).or_insert_with(|| Entry::new(key, incarnation));
                fold(entry, kind, record);
            }
        })?;
        let shards = (0..SHARDS).map(|_| Mutex::new(Shard::default())).collect();
        let inner = Inner {
            parts,
            shards,
            in_flight: AtomicUsize::new(0),
            count: AtomicUsize::new(0),
            draining: AtomicBool::new(false),
            stopping: CancellationToken::new(),
            capacity: Capacity::default(),
            invited: Invited::default(),
            garbage: Mutex::new(Vec::new()),
            notifications: OnceLock::new(),
        };
        let orders = Self { inner: Arc::new(inner) };
        for ((key, _), entry) in lives {
            orders.adopt(key, entry);
        }
        let metrics = &orders.inner.parts.metrics;
        metrics.set_orders(orders.count());
        metrics.replayed(began.elapsed().as_secs_f64(), records, orders.count_open());
        Ok(orders)
    }

    fn count_open(&self) -> usize {
        let is_open = |entry: &Entry| entry.book.order().is_some_and(|o| !o.phase.is_terminal());
        let open = |shard: &Mutex<Shard>| {
            shard.lock().orders.values().filter(|entry| is_open(entry)).count()
        };
        self.inner.shards.iter().map(open).sum()
    }

    /// Takes an order that was read from disk into the map. Of two lives of one name the later
    /// opened one counts; the other was to be removed when the process died.
    fn adopt(&self, key: OrderKey, mut entry: Entry) {
        let is_empty = entry.book.order().is_none() && entry.damaged.is_none();
        let mut shard = self.shard(&key).lock();
        let opened = |entry: &Entry| entry.book.order().map(|order| order.opened_at);
        let loses = shard.orders.get(&key).is_some_and(|held| opened(held) >= opened(&entry));
        if is_empty || loses {
            self.inner.garbage.lock().push((key, entry.incarnation));
            return;
        }
        let ended_at = entry
            .book
            .order()
            .filter(|order| order.phase.is_terminal())
            .map(|order| order.last_seq);
        entry.feed =
            Arc::new(Feed::new(entry.on_disk.seq(), ended_at, Cover::of(entry.book.order())));
        if let Some(former) = shard.orders.remove(&key) {
            if let Some(deadline) = former.deadline {
                shard.deadlines.remove(&(deadline, key.clone()));
            }
            if let (Some(place), Some(order)) = (former.place, former.book.order()) {
                self.inner.invited.end(order, place);
            }
            self.inner.garbage.lock().push((key.clone(), former.incarnation));
        } else {
            self.inner.count.fetch_add(1, Ordering::Relaxed);
        }
        if entry.damaged.is_some() {
            self.inner.parts.metrics.order_is_damaged();
        }
        if entry.book.order().is_some_and(|order| !order.proposals.is_empty()) {
            entry.proposals = Proposals::Some;
        }
        if let Some(order) = entry.book.order().filter(|order| !order.phase.is_terminal()) {
            self.inner.capacity.adopt(order);
        }
        let wakers = self.index_invited(&mut entry);
        index_deadline(&mut shard.deadlines, &mut entry);
        shard.orders.insert(key, entry);
        drop(shard);
        wakers.into_iter().for_each(std::task::Waker::wake);
    }

    /// Reads a suspect order from disk again.
    pub(super) async fn reload(&self, key: &OrderKey) -> Result<(), Refusal> {
        let incarnation = {
            let shard = self.shard(key).lock();
            match shard.orders.get(key) {
                Some(entry) if entry.suspect && entry.in_flight == 0 => entry.incarnation.clone(),
                Some(entry) if entry.suspect => return Err(storage_unavailable()),
                Some(_) | None => return Ok(()),
            }
        };
        let (journal, life) = (Arc::clone(&self.inner.parts.journal), (key.clone(), incarnation));
        let read = tokio::task::spawn_blocking(move || read_life(&*journal, life)).await;
        let Ok(Ok(fresh)) = read else { return Err(storage_unavailable()) };
        self.adopt_again(key, fresh);
        Ok(())
    }

    fn adopt_again(&self, key: &OrderKey, fresh: Entry) {
        let mut guard = self.shard(key).lock();
        let shard = &mut *guard;
        let Some(entry) = shard
            .orders
            .get_mut(key)
            .filter(|held| held.suspect && held.in_flight == 0)
            .filter(|held| held.incarnation == fresh.incarnation)
        else {
            return;
        };
        entry.suspect = false;
        entry.book = fresh.book;
        entry.grants = fresh.grants;
        entry.granted = fresh.granted;
        if entry.damaged.is_none() && fresh.damaged.is_some() {
            self.inner.parts.metrics.order_is_damaged();
        }
        entry.damaged = fresh.damaged;
        entry.feed.set_cover(Cover::of(entry.book.order()));
        let mut wakers = publish(entry, fresh.on_disk, Vec::new());
        wakers.extend(self.index_invited(entry));
        let is_empty = entry.book.order().is_none() && entry.damaged.is_none();
        shard.suspects.remove(key);
        index_deadline(&mut shard.deadlines, entry);
        if is_empty {
            // Its opening never reached the disk: there is no such order.
            shard.orders.remove(key);
            self.inner.count.fetch_sub(1, Ordering::Relaxed);
        }
        drop(guard);
        wakers.into_iter().for_each(std::task::Waker::wake);
    }
}

fn read_life(
    journal: &dyn Journal,
    (key, incarnation): (OrderKey, Incarnation),
) -> Result<Entry, ReadError> {
    let mut entry = Entry::new(key.clone(), incarnation.clone());
    for kind in [ListKind::Events, ListKind::Grants] {
        let list = record::list_name(kind, &key, &incarnation);
        let mut after = 0;
        loop {
            let page = journal.read(&list, after, PAGE_EVENTS)?;
            let Some(last) = page.last() else { break };
            after = last.seq;
            page.into_iter().for_each(|record| fold(&mut entry, kind, Ok(record)));
        }
    }
    Ok(entry)
}

/// Folds one record into an entry; what cannot be folded makes the order damaged.
fn fold(entry: &mut Entry, kind: ListKind, record: Result<Record, ReadError>) {
    if let ListKind::Outbox(half) = kind {
        return fold_outbox(entry, half, record);
    }
    if entry.damaged.is_some() {
        return;
    }
    if let Err(cause) = record.map_err(|e| e.to_string()).and_then(|r| fold_record(entry, kind, &r))
    {
        tracing::error!(incarnation = %entry.incarnation, %cause, "an order's records are damaged");
        entry.book = Book::new(entry_key(entry));
        entry.damaged = Some(cause);
    }
}

/// What cannot be read of an outbox costs its notifications, and not the order.
fn fold_outbox(entry: &mut Entry, half: Half, record: Result<Record, ReadError>) {
    let was_damaged = entry.outbox.is_damaged;
    match record {
        Ok(record) => entry.outbox.fold(half, record.seq, &record.payload),
        Err(_) => entry.outbox.is_damaged = true,
    }
    if entry.outbox.is_damaged && !was_damaged {
        tracing::error!(order = %entry.book.key(), "an outbox is damaged; nobody is told");
    }
}

fn entry_key(entry: &Entry) -> OrderKey {
    entry.book.key().clone()
}

fn fold_record(entry: &mut Entry, kind: ListKind, record: &Record) -> Result<(), String> {
    match kind {
        ListKind::Events => {
            let event = record::decode(&record.payload).map_err(|error| error.to_string())?;
            if event.seq.0 != record.seq {
                return Err(format!("record {} holds event {}", record.seq, event.seq));
            }
            entry.book.replay(&event).map_err(|error| error.to_string())?;
            entry.on_disk = OnDisk::from(record);
        }
        ListKind::Grants => {
            let epoch = record::decode_grant(&record.payload)
                .ok_or_else(|| format!("grant {} is not a number", record.seq))?;
            entry.book.replay_grant(epoch);
            entry.granted = entry.granted.max(epoch);
            entry.grants = record.seq;
        }
        ListKind::Outbox(_) => {}
    }
    Ok(())
}
