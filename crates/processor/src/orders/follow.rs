//! Following an order: a stream is a cursor that advances. While it keeps up, it takes events from
//! memory; when it fell behind, it reads pages from disk. A slow stream costs the others nothing.

use std::collections::VecDeque;
use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::Stream;
use orderstream_core::{
    Epoch, Event, Incarnation, OrderIncarnation, OrderKey, Reason, Refusal, Seq, seal,
};
use tokio::task::JoinHandle;

use super::tail::{Tail, TailPoll};
use super::{OwnedOrders, damaged, unreadable};
use crate::limits::PAGE_EVENTS;

/// An item of an event stream.
#[derive(Clone, Debug, PartialEq)]
pub enum FollowItem {
    /// The next event.
    Event(Arc<Event>),
    /// The server stops; this is the sequence number of the last event sent.
    Draining(Seq),
}

/// An order's events after a sequence number, to its end.
#[derive(Debug)]
pub struct FollowStream {
    orders: OwnedOrders,
    order_incarnation: OrderIncarnation,
    tail: Arc<Tail>,
    id: u64,
    tracker: Option<Epoch>,
    cursor: Seq,
    page: VecDeque<Arc<Event>>,
    reading: Option<JoinHandle<Result<Vec<Arc<Event>>, Refusal>>>,
    is_over: bool,
}

impl OwnedOrders {
    /// Follows the newest incarnation of an order after a sequence number: as its one tracker if an
    /// epoch is given, otherwise as one of its observers.
    ///
    /// # Errors
    /// An unknown order, a stale epoch, a number beyond the list's end, or too many observers.
    pub async fn follow(
        &self,
        key: &OrderKey,
        after: Seq,
        tracker: Option<Epoch>,
    ) -> Result<FollowStream, Refusal> {
        self.follow_one(key, None, after, tracker).await
    }

    /// Follows the incarnation that is named, or the newest where none is. A former one is sent to
    /// its end, to any follower: an epoch has nothing to guard there.
    ///
    /// # Errors
    /// As [`OwnedOrders::follow`], and an incarnation that is not here.
    pub async fn follow_one(
        &self,
        key: &OrderKey,
        named: Option<&Incarnation>,
        after: Seq,
        tracker: Option<Epoch>,
    ) -> Result<FollowStream, Refusal> {
        let incarnation = self.durable_incarnation(key, named).await?;
        let is_former = self.shard(key).lock().former(key, Some(&incarnation)).is_some();
        if let Some(epoch) = tracker.filter(|_| !is_former) {
            self.check_not_draining()?;
            self.grant(key, &incarnation, epoch).await?;
        }
        let mut shard = self.shard(key).lock();
        if tracker.is_some() {
            // A stream that opens only to receive the drain would count as broken.
            self.check_not_draining()?;
        }
        if let Some(former) = shard.former(key, Some(&incarnation)) {
            return self.follow_former(key, former, after);
        }
        let entry = shard.newest(key, Some(&incarnation))?;
        if let Some(cause) = &entry.damaged {
            return Err(damaged(key, cause));
        }
        let last = entry.book.last_seq().max(entry.on_disk.seq());
        if after > last {
            return Err(ahead(after, last));
        }
        // Another requestor may have taken over while the grant was being written.
        if let Some(epoch) = tracker.filter(|epoch| *epoch < entry.book.floor()) {
            return Err(stale(epoch, entry.book.floor()));
        }
        let tail = Arc::clone(&entry.tail);
        let followed = OrderIncarnation::new(key, &incarnation);
        let stream = self.stream(followed, tail, after, tracker)?;
        if let Some(epoch) = tracker {
            tracing::debug!(%key, epoch = epoch.0, stream = stream.id, after = %after, last_seq = %last, "granted");
        }
        Ok(stream)
    }

    pub(super) fn stream(
        &self,
        order_incarnation: OrderIncarnation,
        tail: Arc<Tail>,
        after: Seq,
        tracker: Option<Epoch>,
    ) -> Result<FollowStream, Refusal> {
        let id = tail.add_follower(tracker)?;
        self.metrics().stream_opened(tracker);
        Ok(FollowStream {
            orders: self.clone(),
            order_incarnation,
            tail,
            id,
            tracker,
            cursor: after,
            page: VecDeque::new(),
            reading: None,
            is_over: false,
        })
    }

    /// Returns the incarnation that is named, or the newest, once its opening is on disk, so that
    /// nobody follows an opening that may fail.
    async fn durable_incarnation(
        &self,
        key: &OrderKey,
        named: Option<&Incarnation>,
    ) -> Result<Incarnation, Refusal> {
        {
            let mut shard = self.shard(key).lock();
            if let Some(former) = shard.former(key, named) {
                return Ok(former.incarnation.clone());
            }
            let entry = shard.newest(key, named)?;
            if entry.damaged.is_none() && entry.on_disk.seq() > Seq(0) {
                return Ok(entry.incarnation.clone());
            }
        }
        self.read_one(key, named, |order, _| order.incarnation.clone()).await
    }
}

pub(super) fn ahead(after: Seq, last: Seq) -> Refusal {
    let text = format!("after_seq is {after}, but the list ends at {last}");
    Refusal::new(Reason::AheadOfList, text).with("last_seq", last)
}

fn stale(epoch: Epoch, floor: Epoch) -> Refusal {
    let (given, floor) = (epoch.0, floor.0);
    Refusal::new(Reason::StaleEpoch, format!("epoch {given} is lower than {floor}"))
        .with("epoch_floor", floor)
}

impl FollowStream {
    /// Returns the incarnation of the order that it follows.
    pub const fn incarnation(&self) -> &Incarnation {
        &self.order_incarnation.incarnation
    }

    fn start_reading(&mut self) {
        let (orders, order_incarnation, after) =
            (self.orders.clone(), self.order_incarnation.clone(), self.cursor);
        let read = move || orders.events_blocking(&order_incarnation, after, PAGE_EVENTS);
        self.reading = Some(tokio::task::spawn_blocking(read));
    }

    /// Applies the current redaction to a page.
    fn redact(&self, page: &[Arc<Event>]) -> VecDeque<Arc<Event>> {
        let redaction = self.tail.redaction();
        page.iter().map(|event| seal::apply(redaction, event)).collect()
    }

    fn finish(&mut self, refusal: Refusal) -> Poll<Option<Result<FollowItem, Refusal>>> {
        self.is_over = true;
        Poll::Ready(Some(Err(refusal)))
    }

    fn deliver(&mut self, event: Arc<Event>) -> Poll<Option<Result<FollowItem, Refusal>>> {
        self.cursor = event.seq;
        self.orders.metrics().event_delivered();
        Poll::Ready(Some(Ok(FollowItem::Event(event))))
    }
}

impl Stream for FollowStream {
    type Item = Result<FollowItem, Refusal>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        loop {
            if let Some(event) = self.page.pop_front() {
                return self.deliver(event);
            }
            if let Some(reading) = &mut self.reading {
                let read = std::task::ready!(Pin::new(reading).poll(context));
                self.reading = None;
                match read {
                    Ok(Ok(page)) if !page.is_empty() => self.page = self.redact(&page),
                    Ok(Err(refusal)) => return self.finish(refusal),
                    Ok(Ok(_)) | Err(_) => return self.finish(unreadable()),
                }
                continue;
            }
            match self.tail.poll_after(self.id, self.tracker, self.cursor, context.waker()) {
                TailPoll::Event(event) => {
                    if self.tracker.is_some() {
                        self.orders.metrics().observe_delivery(event.at, self.orders.now());
                    }
                    return self.deliver(event);
                }
                TailPoll::OnDisk => self.start_reading(),
                TailPoll::Pending => return Poll::Pending,
                TailPoll::Ended => {
                    self.is_over = true;
                    return Poll::Ready(None);
                }
                TailPoll::Draining(last) => {
                    self.is_over = true;
                    return Poll::Ready(Some(Ok(FollowItem::Draining(last))));
                }
                TailPoll::Refused(refusal) => return self.finish(refusal),
                TailPoll::Superseded(newer) => {
                    let newer = newer.0;
                    let refusal = Refusal::new(
                        Reason::Superseded,
                        format!("a stream with epoch {newer} took over"),
                    );
                    return self.finish(refusal.with("epoch", newer));
                }
            }
        }
    }
}

impl Drop for FollowStream {
    fn drop(&mut self) {
        self.tail.remove_follower(self.id);
        if let Some(epoch) = self.tracker {
            let (key, cursor) = (&self.order_incarnation.key, self.cursor);
            tracing::debug!(%key, epoch = epoch.0, stream = self.id, after = %cursor, "given back");
        }
        self.orders.metrics().stream_closed(self.tracker);
    }
}
