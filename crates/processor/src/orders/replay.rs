//! Reading every order from the disk into the map, at the start.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use orderstream_core::OrderKey;
use orderstream_core::seal::Cover;
use orderstream_journal::{DurableProof, Journal, ReadError, Record};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::append::index_deadline;
use super::entry::Entry;
use super::feed::Feed;
use super::former::Former;
use super::invited::Invited;
use super::record::{self, ListKind, OnDisk};
use super::{Inner, Life, Orders, Parts, Shard};
use crate::limits::{FORMER_READS_MAX, PAGE_EVENTS, SHARDS};
use crate::metrics::Proposals;
use crate::notifications::{Half, OutboxHealth};

/// An error that prevents the start on this journal.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// It cannot be read.
    #[error("cannot read the journal: {0}")]
    Unreadable(#[from] ReadError),
    /// It takes no records.
    #[error("cannot write the journal; is its disk full?")]
    NotWritten,
}

type Lives = BTreeMap<Life, Entry>;

impl Orders {
    /// Reads every order from the journal. Blocks on the disk.
    ///
    /// # Errors
    /// The journal cannot be read at all. A damaged order is not an error: it is refused, and the
    /// others are served.
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
            formers: AtomicUsize::new(0),
            draining: AtomicBool::new(false),
            stopping: CancellationToken::new(),
            capacity: Arc::default(),
            invited: Invited::default(),
            former_reads: Arc::new(Semaphore::new(FORMER_READS_MAX)),
            removal_failed: Mutex::new(None),
            notifications: OnceLock::new(),
        };
        let orders = Self { inner: Arc::new(inner) };
        let mut names: BTreeMap<OrderKey, Vec<Entry>> = BTreeMap::new();
        for ((key, _), entry) in lives {
            names.entry(key).or_default().push(entry);
        }
        for (key, entries) in names {
            orders.adopt_all(&key, entries);
        }
        let metrics = &orders.inner.parts.metrics;
        metrics.set_orders(orders.count());
        metrics.replayed(began.elapsed().as_secs_f64(), records);
        Ok(orders)
    }

    /// Takes in all incarnations of an order id that were read from disk: the newest into the map,
    /// the others as former ones. Lists without an opening are the remains of an interrupted
    /// opening or removal.
    fn adopt_all(&self, key: &OrderKey, entries: Vec<Entry>) {
        let (empty, mut held): (Vec<_>, Vec<_>) = entries.into_iter().partition(Entry::is_empty);
        self.shard(key)
            .lock()
            .removals
            .extend(empty.into_iter().map(|entry| (key.clone(), entry.incarnation)));
        held.sort_by_key(Entry::opened_at);
        for entry in &held {
            if let Some(cause) = &entry.damaged {
                self.report(key, &entry.incarnation, cause);
            }
        }
        let Some(newest) = newest(&held) else { return };
        let newest = held.remove(newest);
        for entry in held {
            self.adopt_former(key, entry);
        }
        self.adopt(key, newest);
    }

    fn adopt_former(&self, key: &OrderKey, entry: Entry) {
        let mut shard = self.shard(key).lock();
        let incarnation = entry.incarnation.clone();
        match entry.ended_at() {
            Some(ended_at) => {
                shard.ended.insert((ended_at, key.clone(), incarnation));
            }
            None => tracing::warn!(
                order = %key, %incarnation,
                "an incarnation is kept that has no end, with a newer one beside it; it can only be read"
            ),
        }
        shard.formers.entry(key.clone()).or_default().push(Former::from(entry));
        self.inner.formers.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes an order that was read from disk into the map.
    fn adopt(&self, key: &OrderKey, mut entry: Entry) {
        let mut guard = self.shard(key).lock();
        let shard = &mut *guard;
        let ended_at = entry
            .book
            .order()
            .filter(|order| order.phase.is_terminal())
            .map(|order| order.last_seq);
        entry.feed =
            Arc::new(Feed::new(entry.on_disk.seq(), ended_at, Cover::of(entry.book.order())));
        self.inner.count.fetch_add(1, Ordering::Relaxed);
        if entry.book.order().is_some_and(|order| !order.proposals.is_empty()) {
            entry.proposals = Proposals::Some;
        }
        let wakers = self.index_open(&mut entry, None);
        index_deadline(&mut shard.deadlines, &mut entry);
        shard.orders.insert(key.clone(), entry);
        shard.index_end(key);
        drop(guard);
        wakers.into_iter().for_each(std::task::Waker::wake);
    }
}

/// Returns the index of an order id's newest incarnation: the one that was opened last. One whose
/// records are damaged from the first on may be newer than one that ended, but not than one that
/// did not: that could only be opened after all others had ended. The entries are sorted by their
/// openings, unknown ones first.
fn newest(held: &[Entry]) -> Option<usize> {
    let last = held.len().checked_sub(1)?;
    let is_open = held
        .get(last)
        .is_some_and(|entry| entry.book.order().is_some() && entry.ended_at().is_none());
    let unknown = held.iter().rposition(|entry| entry.opened_at().is_none());
    Some(unknown.filter(|_| !is_open).unwrap_or(last))
}

/// Reads all of an incarnation except its outbox. Blocks on the disk.
pub(super) fn read_life(
    journal: &dyn Journal,
    (key, incarnation): Life,
) -> Result<Entry, ReadError> {
    let mut entry = Entry::new(key.clone(), incarnation.clone());
    for kind in [ListKind::Events, ListKind::Grants] {
        let list = record::list_name(kind, &key, &incarnation);
        let mut after = 0;
        loop {
            let page = match journal.read(&list, after, PAGE_EVENTS) {
                Err(error @ ReadError::Damaged { .. }) => {
                    fold(&mut entry, kind, Err(error));
                    break;
                }
                page => page?,
            };
            let Some(last) = page.last() else { break };
            after = last.seq;
            page.into_iter().for_each(|record| fold(&mut entry, kind, Ok(record)));
        }
    }
    Ok(entry)
}

/// Folds one record into an entry; a record that cannot be folded makes the order damaged.
fn fold(entry: &mut Entry, kind: ListKind, record: Result<Record, ReadError>) {
    if let ListKind::Outbox(half) = kind {
        return fold_outbox(entry, half, record);
    }
    if entry.damaged.is_some() {
        return;
    }
    if let Err(cause) = record.map_err(|e| e.to_string()).and_then(|r| fold_record(entry, kind, &r))
    {
        entry.refuse(cause);
    }
}

/// Folds one record of an outbox; damage costs the order's notifications only.
fn fold_outbox(entry: &mut Entry, half: Half, record: Result<Record, ReadError>) {
    let before = entry.outbox.health;
    match record {
        Ok(record) => entry.outbox.fold(half, record.seq, &record.payload),
        Err(_) => entry.outbox.health = OutboxHealth::Damaged,
    }
    if entry.outbox.health != before {
        tracing::error!(order = %entry.book.key(), "an outbox is damaged; nobody is notified");
    }
}

fn fold_record(entry: &mut Entry, kind: ListKind, record: &Record) -> Result<(), String> {
    match kind {
        ListKind::Events => {
            let event = record::decode(&record.payload).map_err(|error| error.to_string())?;
            if event.seq.0 != record.seq {
                return Err(format!("record {} holds event {}", record.seq, event.seq));
            }
            entry.book.replay(&event).map_err(|error| error.to_string())?;
            entry.on_disk = OnDisk::from(DurableProof::from(record));
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
