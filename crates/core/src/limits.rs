//! Every bound of the domain, in one place, with the unit in the name.
//!
//! The numbers follow from two rules: one request must fit in a 64 KiB body, and an order's whole
//! state must stay small enough to hold a hundred thousand of them in memory.

/// Characters in an order request id, seller name, proposal id or follow-up id.
pub const ID_CHARS_MAX: usize = 128;
/// Characters in a tenant: a Kubernetes namespace is a DNS label (RFC 1123).
pub const TENANT_CHARS_MAX: usize = 63;
/// Characters in an idempotency key.
pub const KEY_CHARS_MAX: usize = 128;
/// Characters in a title, category, sku, unit or address line.
pub const LINE_CHARS_MAX: usize = 256;
/// Characters in a free text: note, message, description, reason.
pub const TEXT_CHARS_MAX: usize = 4096;
/// Items in one order, and lines in one proposal.
pub const ITEMS_MAX: usize = 100;
/// Bytes of text in all items of one order: half of the wire's largest message, so that what is
/// taken also fits in an event and in an answer.
pub const ITEMS_BYTES_MAX: usize = 512 * 1024;
/// URLs in one message.
pub const URLS_MAX: usize = 20;
/// Characters in a URL.
pub const URL_CHARS_MAX: usize = 2_048;
/// Ways to reach one seller or buyer.
pub const CHANNELS_MAX: usize = 16;
/// Characters in a language tag: the longest ones in use have 35 (RFC 5646, section 4.4.1).
pub const LANGUAGE_CHARS_MAX: usize = 35;
/// Names in an audience or in the wanted sellers.
pub const NAMES_MAX: usize = 100;
/// Sellers that one order may invite.
pub const SELLERS_MAX: u32 = 100;
/// Sellers that one order invites when it does not say.
pub const SELLERS_DEFAULT: u32 = 10;
/// Metres: half of the Earth's circumference, beyond which nobody can be.
pub const DISTANCE_M_MAX: u32 = 20_040_000;
/// Proposals that one order takes.
pub const PROPOSALS_MAX: usize = 10_000;
/// Follow-ups that one order takes.
pub const FOLLOW_UPS_MAX: usize = 1_000;
/// Questions that the sellers of one order may ask.
pub const QUESTIONS_MAX: usize = 1_000;
/// Versions of one proposal.
pub const VERSIONS_MAX: u32 = 10_000;
/// Losing proposals that are told so one by one, at an award; beyond it the award itself tells.
pub const LOSERS_CLOSED_MAX: usize = 1_000;
/// Longest time in which an award can be undone, milliseconds (24 h).
pub const UNDO_WITHIN_MS_MAX: u64 = 24 * 3_600_000;
/// How long a sealed order waits for a decision after its opening, milliseconds (30 d).
pub const DECIDE_IN_MS: u64 = 30 * 24 * 3_600_000;
/// Rows of one comparison; beyond them the best are shown, and the others counted.
pub const COMPARED_MAX: usize = 500;
/// Events in the life of one order.
pub const EVENTS_MAX: u64 = 100_000;
/// Numbers of a list that are kept for its end: a sealed order's opening, an award that waits to
/// count, and the end itself.
pub const EVENTS_OF_AN_END: u64 = 3;
/// Shortest life of an order, milliseconds (10 s).
pub const EXPIRES_IN_MS_MIN: u64 = 10_000;
/// Longest life of an order, milliseconds (7 d).
pub const EXPIRES_IN_MS_MAX: u64 = 7 * 24 * 3_600_000;
/// Life of an order that does not say, milliseconds (30 min, as in the original system).
pub const EXPIRES_IN_MS_DEFAULT: u64 = 30 * 60_000;
/// Longest lease of an edit lock, milliseconds (1 h).
pub const LEASE_MS_MAX: u64 = 3_600_000;
/// Lease of an edit lock that does not say, milliseconds (5 min).
pub const LEASE_MS_DEFAULT: u64 = 300_000;
/// Largest quantity of one item.
pub const QUANTITY_MAX: i64 = 1_000_000_000;
/// Largest price, in units of its currency.
pub const PRICE_MAX: i64 = 1_000_000_000_000;
/// Decimal places of a quantity or a price.
pub const SCALE_MAX: u32 = 6;
/// Refused acts of one order that its tracker shows; beyond that the oldest are forgotten. More than
/// a resource can want at once (32 follow-ups, an extension, an end, a pause), so that none of those
/// is forgotten and asked again for ever.
pub const REFUSED_MAX: usize = 64;
/// Recipients that one event of one order tells one by one: ten times the sellers that it may
/// invite, as for the proposals that are closed one by one.
pub const RECIPIENTS_MAX: usize = 1_000;
/// Programs of the operator's that hear of everything.
pub const SINKS_MAX: usize = 16;
/// Notifications of one order that wait: beyond it the oldest of whoever has the most waiting is
/// given up, so that a recipient that never answers does not hold up the others.
pub const PENDING_MAX: usize = 2_048;
/// Notifications of one order that were given up and can be sent again; beyond it the oldest are
/// forgotten.
pub const DEAD_MAX: usize = 1_000;
/// Notifications of one order that are under way at one time.
pub const UNDER_WAY_MAX: usize = 32;
/// Attempts for one notification before it is given up: with the pauses between them about four
/// hours.
pub const ATTEMPTS_MAX: u32 = 16;
/// First pause between two attempts, milliseconds; each next one is twice as long.
pub const BACK_OFF_MS_MIN: u64 = 1_000;
/// Longest pause between two attempts, also where the other side asks for more, milliseconds (1 h).
pub const BACK_OFF_MS_MAX: u64 = 3_600_000;
/// Characters of the reason for which a notification did not arrive.
pub const FAILURE_CHARS_MAX: usize = 512;
