//! The writer's counters, for metrics.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The upper bounds of the buckets of [`Stats::sync_buckets`], seconds.
pub const SYNC_BOUNDS: [f64; 12] =
    [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0];

/// The writer's counters since the journal was opened. Each is read separately with
/// [`Ordering::Relaxed`], so together they are not a consistent snapshot.
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
    /// Time in write and sync of all batches, nanoseconds.
    pub sync_nanos_total: AtomicU64,
    /// Time in write and sync of the last batch, nanoseconds.
    pub last_sync_nanos: AtomicU64,
    /// Queued appends.
    pub queue_len: AtomicU64,
    /// Batches by the time of their write and sync; one bucket more than [`SYNC_BOUNDS`], for all
    /// that took longer.
    pub sync_buckets: [AtomicU64; SYNC_BOUNDS.len() + 1],
    /// Appends whose write or sync failed, or that were queued when that happened.
    pub failed_appends: AtomicU64,
    /// Appends that were not accepted, because the queue was full or the store was closed.
    pub refused_appends: AtomicU64,
}

impl Stats {
    pub(crate) fn record_batch(&self, records: u64, bytes: u64, elapsed: Duration) {
        let nanos = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        self.batches.fetch_add(1, Ordering::Relaxed);
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.records.fetch_add(records, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.sync_nanos_total.fetch_add(nanos, Ordering::Relaxed);
        self.last_sync_nanos.store(nanos, Ordering::Relaxed);
        let seconds = elapsed.as_secs_f64();
        let index = SYNC_BOUNDS.iter().position(|bound| seconds <= *bound);
        if let Some(bucket) = self.sync_buckets.get(index.unwrap_or(SYNC_BOUNDS.len())) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the bucket in which a batch of this duration is counted.
    fn bucket(elapsed: Duration) -> usize {
        let stats = Stats::default();
        stats.record_batch(1, 1, elapsed);
        let counts: Vec<_> =
            stats.sync_buckets.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        assert_eq!(counts.iter().sum::<u64>(), 1, "{elapsed:?}: {counts:?}");
        counts.iter().position(|count| *count == 1).unwrap()
    }

    #[test]
    fn buckets_include_their_bounds() {
        for (index, bound) in SYNC_BOUNDS.into_iter().enumerate() {
            let bound = Duration::from_secs_f64(bound);
            assert_eq!(bucket(bound), index);
            assert_eq!(bucket(bound + Duration::from_micros(1)), index + 1);
        }
    }
}
