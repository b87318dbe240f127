//! Reading an order's list from disk by sequence number: a page of it, or single events. A read is
//! limited, redacted while the order is sealed, and never goes beyond what was on disk when it
//! began.

use std::sync::Arc;

use orderstream_core::seal::{self, Redaction};
use orderstream_core::{
    Event, Incarnation, Order, OrderIncarnation, OrderKey, Reason, Refusal, Seq,
};

use super::{FormerEntry, OrderRuntimeState, OwnedOrders, unreadable, with_timeout};
use crate::limits::{PAGE_EVENTS, SCANNED_EVENTS_MAX};

/// The bounds of one reading.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PageBounds {
    /// The number after which it begins.
    pub after: Seq,
    /// The most values that it picks.
    pub limit: usize,
}

/// The result of one reading.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ScanPage<T> {
    /// The picked values, oldest first.
    pub found: Vec<T>,
    /// The number after which the next reading resumes; absent at the end of the list.
    pub next: Option<Seq>,
}

/// The readable part of an incarnation's list, and its redaction.
#[derive(Clone, Debug)]
struct ReadableRange {
    incarnation: Incarnation,
    redaction: Redaction,
    last: Seq,
}

impl ReadableRange {
    fn of(order: &Order, _: &OrderRuntimeState) -> Self {
        let incarnation = order.incarnation.clone();
        Self { incarnation, redaction: Redaction::of(Some(order)), last: order.last_seq }
    }
}

impl From<&FormerEntry> for ReadableRange {
    fn from(former: &FormerEntry) -> Self {
        let incarnation = former.incarnation.clone();
        Self { incarnation, redaction: former.redaction, last: former.last_seq() }
    }
}

impl OwnedOrders {
    /// Picks values from the events within these bounds, and scans at most [`SCANNED_EVENTS_MAX`]
    /// of them: that limits the cost of one request, however rare its matches are.
    ///
    /// # Errors
    /// An order that is not here, or records that cannot be read.
    pub(crate) async fn pick<T: Send + 'static>(
        &self,
        key: &OrderKey,
        named: Option<&Incarnation>,
        bounds: PageBounds,
        pick: impl Fn(&Event) -> Option<T> + Send + 'static,
    ) -> Result<ScanPage<T>, Refusal> {
        let range = self.readable_range(key, named).await?;
        let (this, key) = (self.clone(), key.clone());
        let read = move || this.scan(&key, &range, bounds, pick);
        with_timeout(async { tokio::task::spawn_blocking(read).await.map_err(|_| read_aborted())? })
            .await
    }

    /// Returns the readable part of an order's list. For a former incarnation it does not read the
    /// disk.
    async fn readable_range(
        &self,
        key: &OrderKey,
        named: Option<&Incarnation>,
    ) -> Result<ReadableRange, Refusal> {
        let former = self.shard(key).lock().former(key, named).map(ReadableRange::from);
        match former {
            Some(range) => Ok(range),
            None => self.read_one(key, named, ReadableRange::of).await,
        }
    }

    fn scan<T>(
        &self,
        key: &OrderKey,
        range: &ReadableRange,
        bounds: PageBounds,
        pick: impl Fn(&Event) -> Option<T>,
    ) -> Result<ScanPage<T>, Refusal> {
        let (mut found, mut cursor, mut scanned) = (Vec::new(), bounds.after, 0);
        while cursor < range.last {
            if found.len() >= bounds.limit || scanned >= SCANNED_EVENTS_MAX {
                return Ok(ScanPage { found, next: Some(cursor) });
            }
            let events = self.events(key, range, cursor, PAGE_EVENTS)?;
            if events.is_empty() {
                // The list was removed during the read, because it had been kept for the configured
                // time.
                return Err(unreadable());
            }
            scanned += events.len();
            for event in events {
                if event.seq > range.last || found.len() >= bounds.limit {
                    break;
                }
                cursor = event.seq;
                found.extend(pick(&event));
            }
        }
        Ok(ScanPage { found, next: None })
    }

    /// Returns the events with these numbers, in this order.
    ///
    /// # Errors
    /// An order that is not here, a number that is not in its list, or records that cannot be read.
    pub(crate) async fn events_at(
        &self,
        key: &OrderKey,
        named: Option<&Incarnation>,
        numbers: Vec<Seq>,
    ) -> Result<Vec<Arc<Event>>, Refusal> {
        let range = self.readable_range(key, named).await?;
        let (this, key) = (self.clone(), key.clone());
        let read = move || {
            let one = |seq: Seq| {
                let before = Seq(seq.0.saturating_sub(1));
                let event = this.events(&key, &range, before, 1)?.pop();
                event.filter(|event| event.seq == seq).ok_or_else(unreadable)
            };
            numbers.into_iter().map(one).collect()
        };
        with_timeout(async { tokio::task::spawn_blocking(read).await.map_err(|_| read_aborted())? })
            .await
    }

    /// Reads redacted events. Blocks on the disk.
    fn events(
        &self,
        key: &OrderKey,
        range: &ReadableRange,
        after: Seq,
        limit: usize,
    ) -> Result<Vec<Arc<Event>>, Refusal> {
        let order_incarnation = OrderIncarnation::new(key, &range.incarnation);
        let events = self.events_blocking(&order_incarnation, after, limit)?;
        Ok(events.iter().map(|event| seal::apply(range.redaction, event)).collect())
    }
}

fn read_aborted() -> Refusal {
    Refusal::new(Reason::Internal, "the reading was cut short; the log has the cause")
}
