//! The limits of this crate, each with the origin of its number.

use std::time::Duration;

/// The longest key of a list, bytes: two names of 253 bytes, as Kubernetes allows, and a separator.
pub const LIST_KEY_BYTES_MAX: usize = 512;

/// The longest payload of one record, bytes. It is far above any message that the wire lets in, and
/// keeps one record from being a batch that no memory holds.
pub const RECORD_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The largest number of appends that wait for the writer: one for each of 16 384 streams.
pub const QUEUE_LEN_MAX: usize = 16_384;

/// The largest number of records in one batch. 4 096 small records are written in a few
/// milliseconds, about the time of one sync on a slow disk.
pub const BATCH_RECORDS_MAX: usize = 4_096;

/// The largest number of payload bytes in one batch. The append that exceeds it is the last one
/// taken, so a batch holds at most this and one append more.
pub const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The first back-off before a failed store is opened again.
pub const REOPEN_BACKOFF_MIN: Duration = Duration::from_millis(250);

/// The longest back-off before a failed store is opened again; it doubles up to here.
pub const REOPEN_BACKOFF_MAX: Duration = Duration::from_secs(2);
/// The number of retries for a store that appears damaged after a failure, before the journal
/// becomes read only.
pub const DAMAGED_REOPENS_MAX: u32 = 3;

/// The size of the store's cache of decoded blocks, bytes.
pub const CACHE_BYTES: u64 = 16 * 1024 * 1024;

/// The size of the store's table in memory, bytes; a larger one is written out as a sorted table.
pub const MEMTABLE_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// The size of the write-ahead log, bytes, all of which is replayed at the start; the store's
/// smallest setting is 64 MiB.
pub const WRITE_AHEAD_BYTES_MAX: u64 = 128 * 1024 * 1024;

/// The number of threads that write tables out and merge them. One: with two cores the other is for
/// the service.
pub const STORE_THREADS: usize = 1;

/// The largest number of files that the store keeps open.
pub const OPEN_FILES_MAX: usize = 256;

/// The free space that is needed to open a failed store again, bytes. Opening writes the content of
/// the log into a table, and lays out a new log.
pub const REOPEN_FREE_BYTES: usize = 1024 * 1024;

/// The interval at which the store is polled until it has written its tables.
pub const TABLES_POLL: Duration = Duration::from_millis(5);

/// The longest time for which the mark of an acknowledged append is not synced. After a power cut
/// in that time, damage to the bytes of that append cannot be distinguished from a write that was
/// cut short.
pub const MARKS_SYNC_INTERVAL: Duration = Duration::from_secs(1);

/// The growth, beyond twice its former size, at which the file of marks is written anew, bytes. At
/// 16 bytes for each list that a batch changes, it is half a million changes.
pub const MARKS_GROWTH_BYTES: u64 = 8 * 1024 * 1024;

/// The size of one entry where the file of marks is written anew, bytes.
pub const MARKS_ENTRY_BYTES: usize = 64 * 1024;

/// The size of one read of a file that cannot be read as a whole, bytes: disks and systems lose
/// this much together.
pub const PAGE_BYTES: usize = 4096;

/// The largest number of removed lists that one batch forgets.
pub const TOMBSTONES_BATCH_MAX: usize = 1_024;
