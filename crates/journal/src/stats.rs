//! Counters of what the writer did, for metrics.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What the writer did since the journal was opened. Each counter is read on its own with
/// [`Ordering::Relaxed`]; together they are not one moment.
#[derive(Debug, Default)]
pub struct Stats {
    /// Batches written.
    pub batches: AtomicU64,
    /// Records acknowledged.
    pub records: AtomicU64,
    /// Payload bytes acknowledged.
    pub bytes: AtomicU64,
    /// Syncs that succeeded.
    pub syncs: AtomicU64,
    /// Time in write and sync of all batches, in nanoseconds.
    pub sync_nanos_total: AtomicU64,
    /// Time in write and sync of the last batch, in nanoseconds.
    pub last_sync_nanos: AtomicU64,
    /// Appends that wait in the queue.
    pub queue_len: AtomicU64,
}

impl Stats {
    pub(crate) fn batch_is_durable(&self, records: u64, bytes: u64, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.batches.fetch_add(1, Ordering::Relaxed);
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.records.fetch_add(records, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.sync_nanos_total.fetch_add(nanos, Ordering::Relaxed);
        self.last_sync_nanos.store(nanos, Ordering::Relaxed);
    }
}
