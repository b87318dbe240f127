//! Reading every order from the disk into the map, at the start.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use orderstream_core::seal::Redaction;
use orderstream_core::{OrderIncarnation, OrderKey};
use orderstream_journal::{DurableProof, Journal, JournalRecord, ReadError, RemoveError};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::append::index_deadline;
use super::entry::IncarnationEntry;
use super::former::FormerEntry;
use super::invitations::InvitationIndex;
use super::late::LateSellers;
use super::record::{self, ListKind, OnDisk};
use super::tail::Tail;
use super::vacancies::VacancyIndex;
use super::{OwnedOrders, OwnedOrdersInner, Parts, Shard};
use crate::limits::{FORMER_READS_MAX, PAGE_EVENTS, SHARDS};
use crate::metrics::ProposalsLabel;
use crate::notifications::{Half, OutboxHealth};

/// An error that prevents the start on this journal.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// It cannot be read.
    #[error("cannot read the journal: {0}")]
    Unreadable(#[from] ReadError),
    /// A list of it cannot be removed.
    // Users know the text; it is that of a journal that cannot be read.
    #[error("cannot read the journal: {0}")]
    NotRemoved(#[from] RemoveError),
    /// It takes no records.
    #[error("cannot write the journal; is its disk full?")]
    NotWritten,
}

type IncarnationEntries = BTreeMap<OrderIncarnation, IncarnationEntry>;

impl OwnedOrders {
    /// Reads every order from the journal. Blocks on the disk.
    ///
    /// # Errors
    /// The journal cannot be read at all. A damaged order is not an error: it is refused, and the
    /// others are served.
    pub fn replay(parts: Parts) -> Result<Self, ReplayError> {
        let began = Instant::now();
        let mut records = 0_usize;
        let mut entries = IncarnationEntries::new();
        parts.journal.scan(&mut |list, record| {
            records = records.saturating_add(1);
            if let Some((kind, order_incarnation)) = record::parse_list_name(list) {
                let entry = entries
                    .entry(order_incarnation.clone())
                    .or_insert_with(|| IncarnationEntry::new(order_incarnation));
                fold(entry, kind, record);
            }
        })?;
        let late = Arc::new(LateSellers::default());
        parts.directory.watch(Arc::<LateSellers>::clone(&late));
        let shards = (0..SHARDS).map(|_| Mutex::new(Shard::default())).collect();
        let inner = OwnedOrdersInner {
            parts,
            shards,
            in_flight: AtomicUsize::new(0),
            count: AtomicUsize::new(0),
            formers: AtomicUsize::new(0),
            draining: AtomicBool::new(false),
            stopping: CancellationToken::new(),
            capacity: Arc::default(),
            invitations: InvitationIndex::default(),
            vacancies: VacancyIndex::default(),
            late,
            former_reads: Arc::new(Semaphore::new(FORMER_READS_MAX)),
            last_failed_removal: Mutex::new(None),
            notifications: OnceLock::new(),
        };
        let orders = Self { inner: Arc::new(inner) };
        let mut by_order: BTreeMap<OrderKey, Vec<IncarnationEntry>> = BTreeMap::new();
        for (order_incarnation, entry) in entries {
            by_order.entry(order_incarnation.key).or_default().push(entry);
        }
        for (key, entries) in by_order {
            orders.adopt_all(&key, entries);
        }
        let metrics = &orders.inner.parts.metrics;
        metrics.set_orders(orders.count());
        metrics.set_replay(began.elapsed().as_secs_f64(), records);
        Ok(orders)
    }

    /// Adopts all incarnations of an order id that were read from disk: the newest into the map,
    /// the others as former ones. Lists without an opening are the remains of an interrupted
    /// opening or removal.
    fn adopt_all(&self, key: &OrderKey, entries: Vec<IncarnationEntry>) {
        let (empty, mut existing): (Vec<_>, Vec<_>) =
            entries.into_iter().partition(IncarnationEntry::is_empty);
        self.shard(key)
            .lock()
            .removals
            .extend(empty.iter().map(IncarnationEntry::order_incarnation));
        existing.sort_by_key(IncarnationEntry::opened_at);
        for entry in &existing {
            if let Some(cause) = &entry.damaged {
                self.report(key, &entry.incarnation, cause);
            }
        }
        let Some(newest) = newest(&existing) else { return };
        let newest = existing.remove(newest);
        for entry in existing {
            self.adopt_former(key, entry);
        }
        self.adopt(key, newest);
    }

    fn adopt_former(&self, key: &OrderKey, entry: IncarnationEntry) {
        let mut shard = self.shard(key).lock();
        match entry.ended_at() {
            Some(ended_at) => {
                shard.ended.insert((ended_at, entry.order_incarnation()));
            }
            None => tracing::warn!(
                order = %key, incarnation = %entry.incarnation,
                "an incarnation is kept that has no end, with a newer one beside it; it can only be read"
            ),
        }
        shard.formers.entry(key.clone()).or_default().push(FormerEntry::from(entry));
        self.inner.formers.fetch_add(1, Ordering::Relaxed);
    }

    /// Adds an order that was read from disk to the map.
    fn adopt(&self, key: &OrderKey, mut entry: IncarnationEntry) {
        let mut guard = self.shard(key).lock();
        let shard = &mut *guard;
        let ended_at = entry
            .book
            .order()
            .filter(|order| order.phase.is_terminal())
            .map(|order| order.last_seq);
        entry.tail =
            Arc::new(Tail::new(entry.on_disk.seq(), ended_at, Redaction::of(entry.book.order())));
        self.inner.count.fetch_add(1, Ordering::Relaxed);
        if entry.book.order().is_some_and(|order| !order.proposals.is_empty()) {
            entry.proposals = ProposalsLabel::Some;
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
fn newest(entries: &[IncarnationEntry]) -> Option<usize> {
    let last = entries.len().checked_sub(1)?;
    let is_open = entries
        .get(last)
        .is_some_and(|entry| entry.book.order().is_some() && entry.ended_at().is_none());
    let unknown = entries.iter().rposition(|entry| entry.opened_at().is_none());
    Some(unknown.filter(|_| !is_open).unwrap_or(last))
}

/// Reads all of an incarnation except its outbox. Blocks on the disk.
pub(super) fn read_incarnation(
    journal: &dyn Journal,
    order_incarnation: &OrderIncarnation,
) -> Result<IncarnationEntry, ReadError> {
    let mut entry = IncarnationEntry::new(order_incarnation.clone());
    for kind in [ListKind::Events, ListKind::Grants] {
        let list = record::list_name(kind, order_incarnation);
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
fn fold(entry: &mut IncarnationEntry, kind: ListKind, record: Result<JournalRecord, ReadError>) {
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
fn fold_outbox(entry: &mut IncarnationEntry, half: Half, record: Result<JournalRecord, ReadError>) {
    let before = entry.outbox.health;
    match record {
        Ok(record) => entry.outbox.fold(half, record.seq, &record.payload),
        Err(_) => entry.outbox.health = OutboxHealth::Damaged,
    }
    if entry.outbox.health != before {
        tracing::error!(order = %entry.book.key(), "an outbox is damaged; nobody is notified");
    }
}

fn fold_record(
    entry: &mut IncarnationEntry,
    kind: ListKind,
    record: &JournalRecord,
) -> Result<(), String> {
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
