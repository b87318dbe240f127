//! The processor's bounds, each with where its number comes from.

use std::time::Duration;

/// Acts that wait for the disk at one time. Half of the journal's own queue, so that the journal
/// never refuses what the book has already decided.
pub const IN_FLIGHT_MAX: usize = 8_192;
/// Orders held at one time: a hundred thousand parked orders fit in about 200 MB.
pub const ORDERS_MAX: usize = 1_000_000;
/// Verdicts on sellers that an order keeps: ten times what it may invite. With the longest names
/// they take a fifth of a message.
pub const CHOICES_MAX: usize = 1_000;
/// Parts of the map of orders, each with its own lock: more than the cores of a large machine.
pub const SHARDS: usize = 64;
/// Recent events of an order that are kept in memory while somebody follows it.
pub const TAIL_EVENTS_MAX: usize = 256;
/// Events that a follower reads from disk at once.
pub const PAGE_EVENTS: usize = 256;
/// Followers of one order at one time: one tracker, the hundred sellers that an order may invite,
/// and people who watch.
pub const FOLLOWERS_MAX: usize = 256;
/// Sessions of one seller at one time: two for each of its programs while one is replaced, and room
/// to try things out.
pub const SESSIONS_PER_SELLER_MAX: usize = 16;
/// Orders that one session of a seller follows at one time: with the longest names a welcome lists
/// them within one message.
pub const ORDERS_PER_SESSION_MAX: usize = 1_000;
/// Bytes of a REST body (reference: one order with a hundred items takes 20 KiB).
pub const BODY_BYTES_MAX: usize = 64 * 1024;
/// Milliseconds that an act or a read may wait for the disk.
pub const REQUEST_MS_MAX: u64 = 10_000;
/// Orders in one page of a list.
pub const PAGE_ORDERS: usize = 1_000;
/// Proposals in one page of a list.
pub const PAGE_PROPOSALS: usize = 500;
/// Versions of a proposal in one page of a list: what a person compares at once.
pub const PAGE_VERSIONS: usize = 100;
/// Entries in one page of an order's conversation.
pub const PAGE_CONVERSATION: usize = 500;
/// Events of a list that one request looks through at most: sixteen pages from disk.
pub const SCANNED_EVENTS_MAX: usize = 4_096;
/// Comparisons made at one time: each may take a core for a while when an order has thousands of
/// proposals with many lines.
pub const COMPARISONS_AT_ONCE: usize = 2;
/// Bytes of text in one page of proposals on the wire, but for a single larger one: with the
/// largest order beside it, it fits in a message.
pub const PAGE_BYTES_MAX: usize = 256 * 1024;
/// Results that a summary of many submissions lists one by one; of refused ones as many again.
pub const RESULTS_MAX: usize = 1_000;
/// Submissions of one call that wait for the disk at one time.
pub const SUBMISSIONS_IN_FLIGHT: usize = 256;
/// Longest time between two looks at the clock, milliseconds: bounds how late an expiry is noticed
/// after the wall clock jumped.
pub const CLOCK_LOOK_MS: u64 = 500;
/// Attempts to tell somebody at one time, over all orders: each holds a socket and a few buffers.
pub const NOTIFY_ATTEMPTS_MAX: usize = 512;
/// Attempts at one destination, such as a mail server, at one time.
pub const NOTIFY_PER_DESTINATION: usize = 8;
/// Orders that are telling at one time: each has an attempt under way, or reads its outbox.
pub const NOTIFY_ROUNDS_MAX: usize = 1_024;
/// Orders whose outbox is read at one time; more would only wait for the disk.
pub const NOTIFY_LOOKS_MAX: usize = 16;
/// Destinations that are in use or down at one time.
pub const NOTIFY_DESTINATIONS_MAX: usize = 10_000;
/// Failures in a row after which a destination is left alone.
pub const NOTIFY_CIRCUIT_FAILURES: u32 = 5;
/// For how long it is left alone at first, milliseconds; each next time twice as long.
pub const NOTIFY_CIRCUIT_MS_MIN: u64 = 5_000;
/// The longest time for which it is left alone, milliseconds.
pub const NOTIFY_CIRCUIT_MS_MAX: u64 = 300_000;
/// Milliseconds between two snapshots of one order's outbox while it is telling.
pub const NOTIFY_SAVE_MS: u64 = 1_000;
/// Snapshots in one list before the next one begins the other list.
pub const NOTIFY_SNAPSHOTS_MAX: u64 = 64;
/// How often it is looked, after a start, whether the sellers are known by now: far below the time
/// that their first list takes where it is late.
pub const NOTIFY_SELLERS_LOOK: Duration = Duration::from_millis(50);
/// How long attempts that are under way may go on when the server stops.
pub const NOTIFY_DRAIN: Duration = Duration::from_secs(5);
/// Notifications in one answer.
pub const PAGE_NOTIFICATIONS: usize = 500;
/// Events of one order that its outbox takes in at once, and keeps while they are told of.
pub const NOTIFY_PAGE_EVENTS: usize = 64;
/// The longest attempt; the channels' own deadlines are shorter.
pub const NOTIFY_ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);
/// Requests to send a dead notification again that wait at one time.
pub const NOTIFY_REPLAYS_MAX: usize = 1_000;
/// Former incarnations of one name: a resource that is deleted and made again every hour, for a month.
pub const INCARNATIONS_MAX: usize = 1_000;
/// Former incarnations of all names: as many as orders; each is a line of about 300 bytes.
pub const FORMERS_MAX: usize = ORDERS_MAX;
/// Former incarnations that are shown with an order, the newest first.
pub const FORMERS_SHOWN_MAX: usize = 100;
/// Former incarnations that are read from disk at one time: each may have a list of the greatest
/// length.
pub const FORMER_READS_MAX: usize = 4;
/// Incarnations that wait at one time for being removed from the disk.
pub const REMOVALS_MAX: usize = 1_000;
/// Removals that fail before the rest waits for the next round.
pub const REMOVALS_FAILED_MAX: usize = 8;
/// For how long an order is kept after its end, unless it is said otherwise: a day longer than its
/// resource may stay, so that no resource outlives its order.
pub const KEEP_ENDED: Duration = Duration::from_hours(31 * 24);
/// For how long an order's records are found damaged before that is said of them, milliseconds: a disk
/// that failed may fail where it is read too, and be well again.
pub const DAMAGED_MS_MIN: u64 = 2_000;
