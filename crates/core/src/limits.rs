//! Every limit of the domain, in one place, with the unit in the name.
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
/// Bytes of text in all items of one order: half of the wire's largest message, so that an accepted
/// order also fits in an event and in a reply.
pub const ITEMS_BYTES_MAX: usize = 512 * 1024;
/// URLs in one message.
pub const URLS_MAX: usize = 20;
/// Characters in a URL.
pub const URL_CHARS_MAX: usize = 2_048;
/// Channels of one seller or buyer.
pub const CHANNELS_MAX: usize = 16;
/// Characters in a language tag: the longest ones in use have 35 (RFC 5646, section 4.4.1).
pub const LANGUAGE_CHARS_MAX: usize = 35;
/// Names in an audience or in the wanted sellers.
pub const NAMES_MAX: usize = 100;
/// Sellers that one order may invite.
pub const SELLERS_MAX: u32 = 100;
/// Sellers that one order invites where it gives no number.
pub const SELLERS_DEFAULT: u32 = 10;
/// Longest distance, metres: half of the Earth's circumference, beyond which nobody can be.
pub const DISTANCE_M_MAX: u32 = 20_040_000;
/// Proposals that one order takes.
pub const PROPOSALS_MAX: usize = 10_000;
/// Follow-ups that one order takes.
pub const FOLLOW_UPS_MAX: usize = 1_000;
/// Questions that the sellers of one order may ask.
pub const QUESTIONS_MAX: usize = 1_000;
/// Characters in the label of an alternative proposal.
pub const LABEL_CHARS_MAX: usize = 64;
/// Characters in a seller's name for people.
pub const DISPLAY_NAME_CHARS_MAX: usize = 128;
/// Versions of one proposal.
pub const VERSIONS_MAX: u32 = 10_000;
/// Losing proposals that an award closes one by one; beyond it none of them gets an event of its
/// own.
pub const LOSERS_CLOSED_MAX: usize = 1_000;
/// Longest time in which an award can be undone, milliseconds (24 h).
pub const UNDO_WITHIN_MS_MAX: u64 = 24 * 3_600_000;
/// Time that an order waits for a decision after its deadline where it gives none, milliseconds
/// (30 d).
pub const DECIDE_WITHIN_MS_DEFAULT: u64 = 30 * 24 * 3_600_000;
/// Longest time that an order waits for a decision after its deadline, milliseconds (180 d).
pub const DECIDE_WITHIN_MS_MAX: u64 = 180 * 24 * 3_600_000;
/// Rows in one page of a comparison, and articles in one comparison.
pub const COMPARED_MAX: usize = 500;
/// Bytes of one comparison as comma-separated values (64 MiB): as many as a client of this project
/// reads in one response. Ten thousand proposals of twenty lines take a quarter of it.
pub const COMPARISON_CSV_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Events of one order.
pub const EVENTS_MAX: u64 = 100_000;
/// Sequence numbers of a list that are reserved for its end: the deadline, a pending award, and
/// the end itself.
pub const END_EVENTS_RESERVED: u64 = 3;
/// Shortest lifetime of an order, milliseconds (10 s).
pub const EXPIRES_IN_MS_MIN: u64 = 10_000;
/// Longest lifetime of an order, milliseconds (180 d).
pub const EXPIRES_IN_MS_MAX: u64 = 180 * 24 * 3_600_000;
/// Lifetime of an order that gives none, milliseconds (30 min, as in the original system).
pub const EXPIRES_IN_MS_DEFAULT: u64 = 30 * 60_000;
/// Longest lease of an edit lock, milliseconds (1 h).
pub const LEASE_MS_MAX: u64 = 3_600_000;
/// Lease of an edit lock that gives none, milliseconds (5 min).
pub const LEASE_MS_DEFAULT: u64 = 300_000;
/// Largest quantity of one item.
pub const QUANTITY_MAX: i64 = 1_000_000_000;
/// Largest price, in units of its currency.
pub const PRICE_MAX: i64 = 1_000_000_000_000;
/// Decimal places of a quantity or a price.
pub const SCALE_MAX: u32 = 6;
/// Digits of a quantity or a price: a decimal of 96 bits holds every number of so many.
pub const DECIMAL_DIGITS_MAX: u32 = 28;
/// The longest text of a quantity or a price, bytes: a minus, a point, and one digit more than a
/// decimal always holds, which it has where it is below 1. A longer one is not parsed: the parser
/// recurses at each digit.
pub const DECIMAL_BYTES_MAX: usize = 31;
/// Refused commands of one order that its tracker shows; beyond it the oldest are dropped. More
/// than a resource can request at once (32 follow-ups, an extension, an end, a pause), so that none
/// of those is dropped and sent again for ever.
pub const REFUSALS_MAX: usize = 64;
/// Recipients that are notified one by one of one event: ten times the sellers that an order may
/// invite, as for the proposals that are closed one by one.
pub const RECIPIENTS_MAX: usize = 1_000;
/// The operator's sinks: programs that are notified of everything.
pub const SINKS_MAX: usize = 16;
/// Notifications of one order that wait: beyond it the oldest one of the recipient with the most is
/// given up, so that a recipient that never responds does not hold up the others.
pub const PENDING_MAX: usize = 2_048;
/// Dead letters of one order, which can be sent again; beyond it the oldest are dropped.
pub const DEAD_LETTERS_MAX: usize = 1_000;
/// Notifications of one order that are being sent at one time.
pub const IN_FLIGHT_MAX: usize = 32;
/// Delivery attempts for one notification before it is given up: with the back-offs between them
/// about four hours.
pub const ATTEMPTS_MAX: u32 = 16;
/// First back-off between two delivery attempts, milliseconds; each next one is twice as long.
pub const BACK_OFF_MS_MIN: u64 = 1_000;
/// Longest back-off between two delivery attempts, also where the other side asks for more,
/// milliseconds (1 h).
pub const BACK_OFF_MS_MAX: u64 = 3_600_000;
/// Characters of the cause for which a notification did not arrive.
pub const FAILURE_CHARS_MAX: usize = 512;
