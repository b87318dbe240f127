//! The processor's limits, each with the source of its number.

use std::time::Duration;

/// Commands that wait for the disk at once. Half of the journal's own queue, so that the journal
/// never refuses a command that the book has already decided.
pub const IN_FLIGHT_MAX: usize = 8_192;
/// Orders held at once: a hundred thousand parked orders fit in about 200 MB.
pub const ORDERS_MAX: usize = 1_000_000;
/// Verdicts on sellers that an order stores: ten times its greatest number of invitations. With the
/// longest names they take a fifth of a message.
pub const CHOICES_MAX: usize = 1_000;
/// Shards of the map of orders, each with its own lock: more than the cores of a large machine.
pub const SHARDS: usize = 64;
/// Recent events of an order that are cached in memory while somebody follows it.
pub const TAIL_EVENTS_MAX: usize = 256;
/// Events that a follower reads from disk at once.
pub const PAGE_EVENTS: usize = 256;
/// Followers of one order at once: one tracker, the hundred sellers that an order may invite, and
/// people who observe.
pub const FOLLOWERS_MAX: usize = 256;
/// Sessions of one seller at once: two for each of its programs while one is replaced, and some for
/// trials.
pub const SESSIONS_PER_SELLER_MAX: usize = 16;
/// Orders that one session of a seller follows at once: with the longest names a welcome lists them
/// within one message.
pub const ORDERS_PER_SESSION_MAX: usize = 1_000;
/// Bytes of a REST body (reference: one order with a hundred items takes 20 KiB).
pub const BODY_BYTES_MAX: usize = 64 * 1024;
/// The longest wait of a command or a read for the disk, in milliseconds.
pub const REQUEST_MS_MAX: u64 = 10_000;
/// Orders in one page of a list.
pub const PAGE_ORDERS: usize = 1_000;
/// Orders in one page of a seller's inbox.
pub const PAGE_INBOX: usize = 200;
/// Orders of a tenant that one page of an inbox with ended orders looks at: 256 under the lock of
/// each shard, so that commands do not wait, and a million orders in some sixty pages.
pub const INBOX_SCANNED_MAX: usize = 16_384;
/// Own proposals that an inbox shows with an order: the main one, and more alternatives than buyers
/// compare.
pub const INBOX_PROPOSALS_MAX: usize = 20;
/// Bytes of a page of an inbox that another processor sends: several times a page with the longest
/// titles, ids and labels.
pub const INBOX_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Proposals in one page of a list.
pub const PAGE_PROPOSALS: usize = 500;
/// Versions of a proposal in one page of a list: as many as a person compares at once.
pub const PAGE_VERSIONS: usize = 100;
/// Entries in one page of an order's conversation.
pub const PAGE_CONVERSATION: usize = 500;
/// Events of a list that one request scans at most: sixteen pages from disk.
pub const SCANNED_EVENTS_MAX: usize = 4_096;
/// Comparisons made at once: each may occupy a core for a while when an order has thousands of
/// proposals with many lines.
pub const COMPARISONS_AT_ONCE: usize = 2;
/// Bytes of text in one page of proposals on the wire, except for a single larger one: with the
/// largest order beside it, the page fits in a message.
pub const PAGE_BYTES_MAX: usize = 256 * 1024;
/// Results that a summary of many submissions lists one by one; of refused ones as many again.
pub const RESULTS_MAX: usize = 1_000;
/// Submissions of one call that wait for the disk at once.
pub const SUBMISSIONS_IN_FLIGHT: usize = 256;
/// The longest interval between two checks of the clock, in milliseconds: limits how late an expiry
/// is detected after the wall clock jumped.
pub const CLOCK_CHECK_MS: u64 = 500;
/// Delivery attempts at once, over all orders: each holds a socket and a few buffers.
pub const NOTIFY_ATTEMPTS_MAX: usize = 512;
/// Attempts at one destination, such as a mail server, at once.
pub const NOTIFY_PER_DESTINATION: usize = 8;
/// Delivery passes at once, one per order: each has an attempt under way, or reads its outbox.
pub const NOTIFY_PASSES_MAX: usize = 1_024;
/// Outboxes that are read at once; more would only wait for the disk.
pub const NOTIFY_OUTBOX_READS_MAX: usize = 16;
/// Destinations that are in use or down at once.
pub const NOTIFY_DESTINATIONS_MAX: usize = 10_000;
/// Consecutive failures that open a destination's circuit breaker.
pub const NOTIFY_CIRCUIT_FAILURES: u32 = 5;
/// The first time for which the circuit breaker stays open, in milliseconds; it doubles each time.
pub const NOTIFY_CIRCUIT_MS_MIN: u64 = 5_000;
/// The longest time for which the circuit breaker stays open, in milliseconds.
pub const NOTIFY_CIRCUIT_MS_MAX: u64 = 300_000;
/// Changed sellers that wait to be considered for open orders; beyond that, all are considered.
pub const LATE_SELLERS_MAX: usize = 1_000;
/// Orders that wait for all sellers to be considered; beyond that, all orders wait.
pub const LATE_ORDERS_MAX: usize = 1_000;
/// The time for which changes of sellers are gathered: those that are applied together are ranked by
/// distance, and people do not notice it.
pub const LATE_SELLERS_SETTLE: Duration = Duration::from_millis(250);
/// The time after which late sellers are invited again where the disk did not take it: that of a
/// refusal's hint.
pub const LATE_SELLERS_RETRY: Duration = Duration::from_secs(1);
/// Orders with free places that are taken from their index at once.
pub const LATE_ORDERS_PER_PIECE: usize = 1_000;
/// Late invitations that wait for the disk at once: they share its syncs, and leave room for
/// commands.
pub const LATE_INVITATIONS_IN_FLIGHT: usize = 64;
/// Milliseconds between two snapshots of one order's outbox during its delivery pass.
pub const NOTIFY_SAVE_MS: u64 = 1_000;
/// Snapshots in one list before the next one begins the other list.
pub const NOTIFY_SNAPSHOTS_MAX: u64 = 64;
/// The interval at which the start checks whether the sellers are known: far below the time that
/// their first list takes where it is late.
pub const NOTIFY_SELLERS_POLL: Duration = Duration::from_millis(50);
/// The time for which attempts under way may continue when the server stops.
pub const NOTIFY_DRAIN: Duration = Duration::from_secs(5);
/// Notifications in one reply.
pub const PAGE_NOTIFICATIONS: usize = 500;
/// Events of one order that its outbox folds at once, and caches while their notifications are
/// sent.
pub const NOTIFY_PAGE_EVENTS: usize = 64;
/// The limit of an attempt; the channels' own deadlines are shorter.
pub const NOTIFY_ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);
/// Replays of dead letters that wait at once.
pub const NOTIFY_REPLAYS_MAX: usize = 1_000;
/// Former incarnations of one order id: a resource that is deleted and created every hour, for a
/// month.
pub const INCARNATIONS_MAX: usize = 1_000;
/// Former incarnations of all order ids: as many as orders; each is an entry of about 300 bytes.
pub const FORMERS_MAX: usize = ORDERS_MAX;
/// Former incarnations that are shown with an order, the newest first.
pub const FORMERS_LISTED_MAX: usize = 100;
/// Former incarnations that are read from disk at once: each may have a list of the greatest
/// length.
pub const FORMER_READS_MAX: usize = 4;
/// Incarnations that wait for removal from the disk at once.
pub const REMOVALS_MAX: usize = 1_000;
/// Failed removals after which the rest waits for the next round.
pub const REMOVALS_FAILED_MAX: usize = 8;
/// The default time for which an order is kept after its end: a day longer than its resource may
/// stay, so that no resource outlives its order.
pub const KEEP_ENDED: Duration = Duration::from_hours(31 * 24);
/// The time for which an order's records must be found damaged before they are reported as damaged,
/// in milliseconds: a failing disk may fail on reads too, and recover.
pub const DAMAGED_MS_MIN: u64 = 2_000;
