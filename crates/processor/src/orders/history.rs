//! Reading an order's list from disk by sequence number: a page of it, or single events. A read is
//! limited, redacted while the order is sealed, and never goes beyond what was on disk when it
//! began.

use std::sync::Arc;

use orderstream_core::seal::{self, Cover};
use orderstream_core::{Event, Incarnation, Order, OrderKey, Reason, Refusal, Seq};

use super::{Facts, Former, Orders, in_time, unreadable};
use crate::limits::{PAGE_EVENTS, SCANNED_EVENTS_MAX};

/// The result of one reading.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Page<T> {
    /// The picked values, oldest first.
    pub found: Vec<T>,
    /// The number after which the next reading resumes; absent at the end of the list.
    pub next: Option<Seq>,
}

/// The readable part of an incarnation's list, and its redaction.
#[derive(Clone, Debug)]
struct Extent {
    incarnation: Incarnation,
    cover: Cover,
    last: Seq,
}

impl Extent {
    fn of(order: &Order, _: &Facts) -> Self {
        let incarnation = order.incarnation.clone();
        Self { incarnation, cover: Cover::of(Some(order)), last: order.last_seq }
    }
}

impl From<&Former> for Extent {
    fn from(former: &Former) -> Self {
        let incarnation = former.incarnation.clone();
        Self { incarnation, cover: former.cover, last: former.last_seq() }
    }
}

impl Orders {
    /// Picks at most `limit` values from the events after `after`, and scans at most
    /// [`SCANNED_EVENTS_MAX`] of them: that limits the cost of one request, however rare its
    /// matches are.
    ///
    /// # Errors
    /// An order that is not here, or records that cannot be read.
    pub(crate) async fn pick<T: Send + 'static>(
        &self,
        key: &OrderKey,
        named: Option<&Incarnation>,
        (after, limit): (Seq, usize),
        pick: impl Fn(&Event) -> Option<T> + Send + 'static,
    ) -> Result<Page<T>, Refusal> {
        let life = self.extent(key, named).await?;
        let (this, key) = (self.clone(), key.clone());
        let read = move || this.scan(&key, &life, (after, limit), pick);
        in_time(async { tokio::task::spawn_blocking(read).await.map_err(|_| lost())? }).await
    }

    /// Returns the readable part of an order's list. For a former incarnation it does not read the
    /// disk.
    async fn extent(&self, key: &OrderKey, named: Option<&Incarnation>) -> Result<Extent, Refusal> {
        let former = self.shard(key).lock().former(key, named).map(Extent::from);
        match former {
            Some(extent) => Ok(extent),
            None => self.read_one(key, named, Extent::of).await,
        }
    }

    fn scan<T>(
        &self,
        key: &OrderKey,
        life: &Extent,
        (after, limit): (Seq, usize),
        pick: impl Fn(&Event) -> Option<T>,
    ) -> Result<Page<T>, Refusal> {
        let (mut found, mut cursor, mut scanned) = (Vec::new(), after, 0);
        while cursor < life.last {
            if found.len() >= limit || scanned >= SCANNED_EVENTS_MAX {
                return Ok(Page { found, next: Some(cursor) });
            }
            let events = self.events(key, life, (cursor, PAGE_EVENTS))?;
            if events.is_empty() {
                // The list was removed during the read, because it had been kept for the configured
                // time.
                return Err(unreadable());
            }
            scanned += events.len();
            for event in events {
                if event.seq > life.last || found.len() >= limit {
                    break;
                }
                cursor = event.seq;
                found.extend(pick(&event));
            }
        }
        Ok(Page { found, next: None })
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
        let life = self.extent(key, named).await?;
        let (this, key) = (self.clone(), key.clone());
        let read = move || {
            let one = |seq: Seq| {
                let before = Seq(seq.0.saturating_sub(1));
                let event = this.events(&key, &life, (before, 1))?.pop();
                event.filter(|event| event.seq == seq).ok_or_else(unreadable)
            };
            numbers.into_iter().map(one).collect()
        };
        in_time(async { tokio::task::spawn_blocking(read).await.map_err(|_| lost())? }).await
    }

    /// Reads redacted events. Blocks on the disk.
    fn events(
        &self,
        key: &OrderKey,
        life: &Extent,
        (after, limit): (Seq, usize),
    ) -> Result<Vec<Arc<Event>>, Refusal> {
        let named = (key.clone(), life.incarnation.clone());
        let events = self.events_blocking(&named, after, limit)?;
        Ok(events.iter().map(|event| seal::shown(life.cover, event)).collect())
    }
}

fn lost() -> Refusal {
    Refusal::new(Reason::Internal, "the reading was cut short; the log has the cause")
}
