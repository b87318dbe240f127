//! Every bound of this crate, with where the number comes from.

use std::time::Duration;

/// Longest key of a list, in bytes: two names of 253 bytes, as Kubernetes allows, and a separator.
pub const LIST_KEY_BYTES_MAX: usize = 512;

/// Longest payload of one record, in bytes. Far above any message the wire lets in; it keeps one
/// record from being a batch that no memory holds.
pub const RECORD_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Appends that may wait for the writer. At one append per stream and 16 384 streams all may wait.
pub const QUEUE_LEN_MAX: usize = 16_384;

/// Records in one batch. One batch of 4 096 small records is written in a few milliseconds, about
/// the time of one sync on a slow disk.
pub const BATCH_RECORDS_MAX: usize = 4_096;

/// Payload bytes in one batch. The append that goes over the bound is the last one taken, so a
/// batch holds at most this and one append more.
pub const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;

/// First pause before a failed store is opened again.
pub const REOPEN_PAUSE_MIN: Duration = Duration::from_millis(250);

/// Longest pause before a failed store is opened again; the pause doubles up to it.
pub const REOPEN_PAUSE_MAX: Duration = Duration::from_secs(2);
/// How often a store that looks damaged after a failure is tried again before it is only read.
pub const REOPENS_OF_DAMAGED_MAX: u32 = 3;

/// Bytes of decoded blocks that the store keeps for reads.
pub const CACHE_BYTES: u64 = 16 * 1024 * 1024;

/// Bytes that the store keeps in memory before it writes them out as a sorted table.
pub const MEMTABLE_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// Bytes of write-ahead log, all of which is replayed at the start; the store's smallest setting
/// is 64 MiB.
pub const WRITE_AHEAD_BYTES_MAX: u64 = 128 * 1024 * 1024;

/// Threads that write tables out and merge them. One: with two cores the other is for the service.
pub const STORE_THREADS: usize = 1;

/// Files the store keeps open.
pub const OPEN_FILES_MAX: usize = 256;

/// Free space that must be there before a store that failed is opened again, in bytes. Opening
/// writes what the log holds into a table, and a new log is laid out.
pub const REOPEN_FREE_BYTES: usize = 1024 * 1024;

/// Pause between two looks at whether the store has written its tables.
pub const TABLES_POLL: Duration = Duration::from_millis(5);

/// How long a mark of what was acknowledged may lie in memory only. A power cut in that time, and
/// damage to what was synced before it, are not told apart from a write that was cut short.
pub const MARKS_SYNC_PAUSE: Duration = Duration::from_secs(1);

/// Bytes that the file of marks may grow by, beside twice what it had, before it is written anew.
/// At 16 bytes for each list that a batch changes it is half a million changes.
pub const MARKS_GROWTH_BYTES: u64 = 8 * 1024 * 1024;

/// Bytes of one entry where the file of marks is written anew.
pub const MARKS_ENTRY_BYTES: usize = 64 * 1024;

/// Bytes of a file that are read at once where not all of it can be read: what disks and systems lose
/// together.
pub const PAGE_BYTES: usize = 4096;

/// Removed lists that one batch forgets.
pub const GONE_BATCH_MAX: usize = 1_024;
