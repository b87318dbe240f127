//! One order in the map: its book, the part of it that is on disk, and the callers that wait for
//! more.

use std::sync::Arc;

use orderstream_core::{
    Book, Epoch, Incarnation, OrderIncarnation, Refusal, Seq, Timestamp, Withheld,
};
use tokio::sync::oneshot;

use super::record::OnDisk;
use super::storage_unavailable;
use super::tail::Tail;
use crate::metrics::ProposalsLabel;
use crate::notifications::OutboxLocation;

/// The relation of an order's book to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BookTrust {
    /// The book is as on disk, or its appends are under way.
    Known,
    /// The order was read again from a store that had failed: once that is open, it may turn out to
    /// hold the records that were refused. The order can be read, and is read from disk once more
    /// before its next command.
    Unsettled,
    /// An append failed, so that the book may be ahead of the disk, or damage was found: the order is
    /// read again before its next command.
    Suspect,
}

/// One order in the map.
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools, reason = "independent facts")]
pub(super) struct IncarnationEntry {
    pub(super) book: Book,
    pub(super) incarnation: Incarnation,
    pub(super) tail: Arc<Tail>,
    /// The part of the list that is on disk.
    pub(super) on_disk: OnDisk,
    /// The number of grants that are on disk or being written.
    pub(super) grants: u64,
    /// The highest epoch whose grant is on disk.
    pub(super) granted: Epoch,
    /// Appends, of events and of grants, whose outcome is outstanding.
    pub(super) in_flight: u32,
    /// The relation of its book to the disk.
    pub(super) trust: BookTrust,
    /// The location of its outbox in the journal.
    pub(super) outbox: OutboxLocation,
    /// True if the order may need notifications; absent until that is decided.
    pub(super) needs_notifications: Option<bool>,
    /// The label under which the order's end is counted.
    pub(super) proposals: ProposalsLabel,
    /// The cause for which the order is refused; absent while its records are whole.
    pub(super) damaged: Option<String>,
    /// The time at which a repeated read first found them damaged, until that is decided; absent
    /// otherwise.
    pub(super) damaged_since: Option<Timestamp>,
    /// The time of its opening, where its records are damaged after that.
    was_opened_at: Option<Timestamp>,
    /// The deadline under which the order is in its shard's index.
    pub(super) deadline: Option<Timestamp>,
    /// Its position among the open orders; absent unless it counts as one.
    pub(super) place: Option<u64>,
    /// The order counts against its sellers' capacity.
    pub(super) takes_capacity: bool,
    /// The order is in the index of those with free places.
    pub(super) is_vacant: bool,
    waiters: Vec<Waiter>,
}

struct Waiter {
    until: Seq,
    wake: Box<dyn FnOnce(Option<OnDisk>) + Send>,
}

impl std::fmt::Debug for Waiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Waiter").field("until", &self.until).finish_non_exhaustive()
    }
}

impl IncarnationEntry {
    pub(super) fn new(order_incarnation: OrderIncarnation) -> Self {
        Self {
            book: Book::new(order_incarnation.key),
            incarnation: order_incarnation.incarnation,
            tail: Arc::new(Tail::default()),
            on_disk: OnDisk::default(),
            grants: 0,
            granted: Epoch(0),
            in_flight: 0,
            trust: BookTrust::Known,
            outbox: OutboxLocation::default(),
            needs_notifications: None,
            proposals: ProposalsLabel::None,
            damaged: None,
            damaged_since: None,
            was_opened_at: None,
            deadline: None,
            place: None,
            takes_capacity: false,
            is_vacant: false,
            waiters: Vec::new(),
        }
    }

    /// Returns the order and the incarnation of it that this entry is for.
    pub(super) fn order_incarnation(&self) -> OrderIncarnation {
        OrderIncarnation::new(self.book.key(), &self.incarnation)
    }

    /// Reports whether the order is to be read from disk before its next command.
    pub(super) const fn needs_reload(&self) -> bool {
        !matches!(self.trust, BookTrust::Known)
    }

    /// Returns the time of its end, once that is on disk.
    pub(super) fn ended_at(&self) -> Option<Timestamp> {
        let order = self.book.order().filter(|order| order.phase.is_terminal())?;
        let is_on_disk = self.on_disk.seq() >= order.last_seq && !self.needs_reload();
        is_on_disk.then(|| order.ended_at.unwrap_or(order.last_event.0))
    }

    /// Returns the time of its opening, as far as it can be read.
    pub(super) fn opened_at(&self) -> Option<Timestamp> {
        self.book.order().map(|order| order.opened_at).or(self.was_opened_at)
    }

    /// Reports whether nothing of the order exists: its opening never reached the disk.
    pub(super) fn is_empty(&self) -> bool {
        self.book.order().is_none() && self.damaged.is_none()
    }

    /// Drops the state that was folded from damaged records, except the time of the opening.
    pub(super) fn refuse(&mut self, cause: String) {
        self.was_opened_at = self.opened_at();
        self.book = Book::new(self.book.key().clone());
        self.damaged = Some(cause);
    }

    /// Sends a withheld value once it may be released.
    pub(super) fn when_durable<T: Send + 'static>(
        &mut self,
        withheld: Withheld<Result<T, Refusal>>,
        sender: oneshot::Sender<Result<T, Refusal>>,
    ) {
        let until = withheld.until();
        match self.on_disk.release(withheld) {
            Ok(value) => reply(sender, value),
            Err(withheld) => {
                let wake = Box::new(move |on_disk: Option<OnDisk>| {
                    let released = on_disk.and_then(|on_disk| on_disk.release(withheld).ok());
                    reply(sender, released.unwrap_or_else(|| Err(storage_unavailable())));
                });
                self.waiters.push(Waiter { until, wake });
            }
        }
    }

    /// Wakes the callers whose records are on disk now.
    pub(super) fn wake_waiters(&mut self) {
        let on_disk = self.on_disk;
        for waiter in self.waiters.extract_if(.., |waiter| waiter.until <= on_disk.seq()) {
            (waiter.wake)(Some(on_disk));
        }
    }

    /// Fails all waiting callers: their records did not reach the disk.
    pub(super) fn fail_waiters(&mut self) {
        for waiter in self.waiters.drain(..) {
            (waiter.wake)(None);
        }
    }
}

/// Replies to a caller; one that has disconnected repeats its request under the same key.
pub(super) fn reply<T>(sender: oneshot::Sender<T>, value: T) {
    if sender.send(value).is_err() {
        tracing::debug!("the caller disconnected before its reply");
    }
}
