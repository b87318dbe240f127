//! The processor's bounds, each with where its number comes from.

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
