//! The limits of this crate, each with its rationale.

use std::time::Duration;

/// The longest key of a list, bytes: two names of 253 bytes, as Kubernetes allows, and a separator.
pub const LIST_KEY_BYTES_MAX: usize = 512;

/// The longest payload of one record, bytes. It is far above any message that the API accepts, and
/// keeps a single record from making a batch too large for memory.
pub const RECORD_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The largest number of queued appends: one for each of 16 384 streams.
pub const QUEUE_LEN_MAX: usize = 16_384;

/// The largest number of records in one batch. 4 096 small records are written in a few
/// milliseconds, about the time of one sync on a slow disk.
pub const BATCH_RECORDS_MAX: usize = 4_096;

/// The largest number of payload bytes in one batch. The append that exceeds it is the last one
/// added, so a batch holds at most one append more than this.
pub const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The first back-off before a failed store is reopened.
pub const REOPEN_BACKOFF_MIN: Duration = Duration::from_millis(250);

/// The longest back-off before a failed store is reopened; the back-off doubles up to here.
pub const REOPEN_BACKOFF_MAX: Duration = Duration::from_secs(2);
/// The number of times that a store that appears damaged after a failure is reopened before the
/// journal becomes read only.
pub const DAMAGED_REOPENS_MAX: u32 = 3;

/// The size of the store's cache of decoded blocks, bytes.
pub const CACHE_BYTES: u64 = 16 * 1024 * 1024;

/// The size of the store's memtable, bytes; a larger one is flushed to a table on disk.
pub const MEMTABLE_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// The size of the write-ahead log, bytes; all of it is replayed when the store is opened. The
/// store's minimum is 64 MiB.
pub const WRITE_AHEAD_BYTES_MAX: u64 = 128 * 1024 * 1024;

/// The number of threads that flush and merge tables. One, so that of two cores the other serves
/// requests.
pub const STORE_THREADS: usize = 1;

/// The largest number of files that the store keeps open.
pub const OPEN_FILES_MAX: usize = 256;

/// The free space that is needed to reopen a failed store, bytes. Opening flushes the content of
/// the log to a table and creates a new log.
pub const REOPEN_FREE_BYTES: usize = 1024 * 1024;

/// The interval at which the store is polled until it has flushed its tables.
pub const TABLES_POLL: Duration = Duration::from_millis(5);

/// The longest time for which the mark of an acknowledged append is not synced. After a power cut
/// in that time, damage to the bytes of that append cannot be distinguished from an incomplete
/// write.
pub const MARKS_SYNC_INTERVAL: Duration = Duration::from_secs(1);

/// The growth beyond twice its former size at which the marks file is rewritten, bytes. At 16 bytes
/// for each list that a batch changes, this is half a million changes.
pub const MARKS_GROWTH_BYTES: u64 = 8 * 1024 * 1024;

/// The size of one entry when the marks file is rewritten, bytes.
pub const MARKS_ENTRY_BYTES: usize = 64 * 1024;

/// The size of one read of a partly unreadable file, bytes: the unit in which disks and kernels
/// lose data.
pub const PAGE_BYTES: usize = 4096;

/// The largest number of tombstones that one batch deletes.
pub const TOMBSTONES_BATCH_MAX: usize = 1_024;
