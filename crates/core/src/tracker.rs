//! The requestor's view of one order: received events in, snapshot out.
//!
//! ```text
//!               Connected                 Disconnected
//!   Pending ──────────────▶ Active ───────────────────▶ Reconnecting
//!      ▲                    ▲  │                             │
//!      │                    └──┼───────── Connected ─────────┘
//!   (start)                    ▼
//!                    terminal event: Ended, which is final
//! ```

mod published_view;

use std::sync::Arc;

pub use self::published_view::PublishedView;
use crate::event::{Event, EventKind};
use crate::id::{Epoch, FollowUpId, IdempotencyKey, Incarnation, OrderKey, Seq, Timestamp};
use crate::limits::{FOLLOW_UPS_MAX, REFUSALS_MAX};
use crate::order::{FoldError, Order, Phase};
use crate::refusal::Refusal;
use crate::request_phase::RequestPhase;
use crate::stream_phase::StreamPhase;
use crate::summary::OrderSummary;

/// An input of a tracker.
#[derive(Clone, Debug, PartialEq)]
pub enum TrackerInput {
    /// A stream to the processor is up.
    Connected {
        /// The processor's URL.
        processor: Arc<str>,
        /// The epoch under which the stream was opened.
        epoch: Epoch,
    },
    /// An event was received.
    Received(Arc<Event>),
    /// The stream ended or broke; the reason is for people.
    Disconnected {
        /// The cause, for people.
        reason: String,
    },
    /// The processor knows a higher epoch than the stream's.
    Fenced(Epoch),
    /// This view is stored and survives this process, or survived a former one: users may be shown
    /// it.
    Published(Arc<PublishedView>),
    /// The buyer's follow-up was stored and will be forwarded.
    FollowUpAdded(FollowUpId),
    /// The processor refused a command for good.
    CommandRefused {
        /// The command's idempotency key.
        key: IdempotencyKey,
        /// The processor's refusal.
        refusal: Refusal,
    },
}

/// The result of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrackerOutput {
    /// Nothing changed.
    Ignored,
    /// The snapshot changed.
    Changed,
    /// The order has ended: no more events will come.
    Ended,
    /// Events are missing: open the stream again after this sequence number.
    ResumeAfter(Seq),
    /// A sealed order was opened: open the stream again from the list's start, now without
    /// redaction. Nothing is broken, and the stream counts as up meanwhile.
    ReadAgain,
}

/// The state of the stream, apart from the order's.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StreamState {
    /// The stream is up.
    pub active: bool,
    /// The URL of the processor of the last stream; absent before the first.
    pub processor: Option<Arc<str>>,
    /// The epoch of the last stream.
    pub epoch: Epoch,
    /// The higher epoch that its processor knows; absent unless that is why the stream is down.
    pub fenced_by: Option<Epoch>,
    /// The time at which the last stream came up; absent before the first.
    pub connected_since: Option<Timestamp>,
    /// The time since which no stream is up; absent while one is, and before the first try failed.
    pub down_since: Option<Timestamp>,
    /// The number of times that a stream came up after an earlier one.
    pub reconnects: u32,
    /// The number of times that it broke or could not be opened since it was last up.
    pub attempts: u32,
    /// The cause for which it is down, for people.
    pub reason: Option<Box<str>>,
}

/// A tracker's view of its order.
#[derive(Clone, Debug, PartialEq)]
pub struct TrackerSnapshot {
    /// The order's tenant and id.
    pub key: OrderKey,
    /// The order's incarnation.
    pub incarnation: Incarnation,
    /// The state of the stream.
    pub stream: StreamState,
    /// The order, without the sellers that were considered; absent before its first event. Shared,
    /// never copied.
    pub order: Option<Arc<Order>>,
    /// The view published to users, perhaps by a former process that was ahead of the order here.
    pub published: Option<Arc<PublishedView>>,
    /// The number of known follow-ups: those forwarded, and those still to be forwarded.
    pub follow_up_count: usize,
    /// The commands that the processor refused for good, by key, oldest first.
    pub refused: Arc<[(IdempotencyKey, Refusal)]>,
}

impl TrackerSnapshot {
    /// Returns the last event handled, here or by a former process that published it.
    pub fn last_seq(&self) -> Seq {
        let published = self.published.as_ref().map_or(Seq(0), |shown| shown.last_seq());
        self.order.as_ref().map_or(published, |order| order.last_seq.max(published))
    }

    /// Reports whether the order has ended.
    pub fn is_terminal(&self) -> bool {
        self.order_phase().is_some_and(Phase::is_terminal)
    }

    /// Returns the order's phase, as far as it is published; `None` before its first event.
    pub fn order_phase(&self) -> Option<Phase> {
        phase(self.order.as_deref(), self.published.as_deref())
    }

    /// Returns the order's summary; while the list is still read up to the published view, that
    /// view's.
    pub fn summary(&self) -> Option<OrderSummary> {
        match self.newest_order() {
            Some(order) => Some(OrderSummary::of(order)),
            None => self.published_summary().cloned(),
        }
    }

    /// Returns what [`TrackerSnapshot::summary`] returns, with the proposal that is the best at
    /// this time.
    pub fn summary_at(&self, now: Timestamp) -> Option<OrderSummary> {
        match self.newest_order() {
            Some(order) => Some(OrderSummary::at(order, now)),
            None => self.published_summary().cloned(),
        }
    }

    /// Returns the order, unless the published view is ahead of it.
    fn newest_order(&self) -> Option<&Order> {
        let published = self.published_summary();
        let is_newest = |order: &&Order| published.is_none_or(|s| s.last_seq <= order.last_seq);
        self.order.as_deref().filter(is_newest)
    }

    fn published_summary(&self) -> Option<&OrderSummary> {
        self.published.as_ref().and_then(|shown| shown.order.as_ref())
    }

    /// Returns the view that may be published once it survives this process; `None` before the
    /// order's first event.
    pub fn next_published(&self) -> Option<PublishedView> {
        PublishedView::next(self)
    }

    /// Returns the phase of the order request.
    pub fn phase(&self) -> RequestPhase {
        RequestPhase::of(self.order_phase())
    }

    /// Returns the phase of the order's stream.
    pub fn stream_phase(&self) -> StreamPhase {
        self.stream.phase(self.order_phase())
    }
}

impl StreamState {
    /// Returns the stream's phase, of an order in this phase; `None` before its first event.
    pub(crate) const fn phase(&self, order: Option<Phase>) -> StreamPhase {
        match order {
            Some(order) if order.is_terminal() => StreamPhase::Ended,
            Some(_) | None if self.active => StreamPhase::Active,
            None if self.connected_since.is_none() => StreamPhase::Pending,
            Some(_) | None => StreamPhase::Reconnecting,
        }
    }
}

fn phase(order: Option<&Order>, published: Option<&PublishedView>) -> Option<Phase> {
    if let Some(ended) = published.and_then(|shown| shown.ended) {
        return Some(ended);
    }
    let before = published.and_then(|shown| shown.order.as_ref());
    match (order, before) {
        (Some(order), Some(before)) if before.last_seq > order.last_seq => Some(before.phase),
        (Some(order), _) => Some(order.phase),
        (None, before) => before.map(|before| before.phase),
    }
}

/// The follower of one order. It drops repeated events and refuses gaps.
#[derive(Clone, Debug, PartialEq)]
pub struct Tracker {
    key: OrderKey,
    incarnation: Incarnation,
    stream: StreamState,
    order: Option<Arc<Order>>,
    published: Option<Arc<PublishedView>>,
    /// A sealed order that was opened, as far as its list was read again; absent at other times.
    /// Users see the earlier view until this one has caught up.
    unsealing: Option<Box<Option<Order>>>,
    pending_follow_ups: Vec<FollowUpId>,
    refused: Arc<[(IdempotencyKey, Refusal)]>,
}

impl Tracker {
    /// Makes a tracker that has received nothing.
    pub fn new(key: OrderKey, incarnation: Incarnation) -> Self {
        let stream = StreamState::default();
        let (pending_follow_ups, refused) = (Vec::new(), Arc::default());
        let (order, published, unsealing) = (None, None, None);
        Self { key, incarnation, stream, order, published, unsealing, pending_follow_ups, refused }
    }

    /// Returns the order's incarnation.
    pub const fn incarnation(&self) -> &Incarnation {
        &self.incarnation
    }

    /// Returns the sequence number of the last event in the order's view.
    pub fn last_seq(&self) -> Seq {
        self.order.as_ref().map_or(Seq(0), |order| order.last_seq)
    }

    /// Returns the sequence number after which a new stream resumes.
    pub fn resume_after(&self) -> Seq {
        #[cfg(feature = "plant-bugs")]
        if self.order.is_some() && crate::plant::is_planted(crate::plant::Bug::ResumeOffByOne) {
            return self.last_seq().next();
        }
        self.received_seq()
    }

    /// Returns the time of the event at [`Tracker::resume_after`], for the owner to compare.
    pub fn resume_event_at(&self) -> Option<Timestamp> {
        match &self.unsealing {
            Some(again) => again.as_ref().as_ref().map(|order| order.last_event.0),
            None => self.order.as_ref().map(|order| order.last_event.0),
        }
    }

    /// Returns the last event received in this reading of the list.
    fn received_seq(&self) -> Seq {
        match &self.unsealing {
            Some(again) => again.as_ref().as_ref().map_or(Seq(0), |order| order.last_seq),
            None => self.last_seq(),
        }
    }

    /// Returns the order so far, without the sellers that were considered.
    pub fn order(&self) -> Option<&Order> {
        self.order.as_deref()
    }

    /// Returns the published view.
    pub const fn published(&self) -> Option<&Arc<PublishedView>> {
        self.published.as_ref()
    }

    /// Returns the phase in which the order ended; a former process may have published it. `None`
    /// while the order goes on.
    pub fn end(&self) -> Option<Phase> {
        phase(self.order(), self.published.as_deref()).filter(|phase| phase.is_terminal())
    }

    /// Takes one input and returns its result.
    pub fn step(&mut self, now: Timestamp, input: TrackerInput) -> TrackerOutput {
        match input {
            TrackerInput::Connected { processor, epoch } => self.connected(now, processor, epoch),
            TrackerInput::Received(event) => self.received(&event),
            TrackerInput::Disconnected { reason } => self.disconnected(now, reason),
            TrackerInput::Fenced(floor) => {
                self.stream.fenced_by = Some(floor);
                TrackerOutput::Changed
            }
            TrackerInput::Published(published) => self.adopt_published(published),
            TrackerInput::FollowUpAdded(id) => self.follow_up_added(id),
            TrackerInput::CommandRefused { key, refusal } => self.command_refused(key, refusal),
        }
    }

    fn connected(&mut self, now: Timestamp, processor: Arc<str>, epoch: Epoch) -> TrackerOutput {
        let was_up = self.order.is_some() || self.stream.connected_since.is_some();
        // The stream of an order that is read again replaces one that did not break.
        let is_unbroken = self.stream.active && self.unsealing.is_some();
        let came_back = (was_up || self.published.is_some()) && !is_unbroken;
        let reconnects = self.stream.reconnects.saturating_add(u32::from(came_back));
        self.stream = StreamState {
            active: true,
            processor: Some(processor),
            epoch,
            connected_since: Some(now),
            down_since: None,
            fenced_by: None,
            reconnects,
            attempts: 0,
            reason: None,
        };
        TrackerOutput::Changed
    }

    fn received(&mut self, event: &Event) -> TrackerOutput {
        if event.seq <= self.received_seq() {
            return TrackerOutput::Ignored;
        }
        match self.fold(event) {
            Ok(()) => {}
            Err(FoldError::Gap { .. } | FoldError::NotOpened) => {
                return TrackerOutput::ResumeAfter(self.resume_after());
            }
        }
        if self.unsealing.is_some() {
            if !self.catch_up() {
                return TrackerOutput::Ignored;
            }
        } else if self.must_unseal(event) {
            self.unsealing = Some(Box::default());
            return TrackerOutput::ReadAgain;
        }
        if let EventKind::FollowUpAdded(follow_up) = &event.kind {
            self.pending_follow_ups.retain(|pending| *pending != follow_up.id);
        }
        match &self.order {
            Some(order) if order.phase.is_terminal() => {
                self.stream.active = false;
                TrackerOutput::Ended
            }
            _ => TrackerOutput::Changed,
        }
    }

    /// Reports whether earlier events were hidden, and can be read now because of this one.
    fn must_unseal(&self, event: &Event) -> bool {
        matches!(event.kind, EventKind::ProposalsOpened { .. })
            && self.order.as_ref().is_some_and(|order| order.has_redacted())
    }

    /// Replaces the order with the one that is read again, once that has caught up. Returns `true`
    /// if it did.
    fn catch_up(&mut self) -> bool {
        let published_seq = self.last_seq();
        match self.unsealing.take().map(|again| *again) {
            Some(Some(mut order)) if order.last_seq >= published_seq => {
                order.choices = Vec::new();
                self.order = Some(Arc::new(self.with_shared_ids(order)));
                true
            }
            again => {
                self.unsealing = again.map(Box::new);
                false
            }
        }
    }

    /// Folds into the order in place; the order is copied only while a snapshot shares it.
    fn fold(&mut self, event: &Event) -> Result<(), FoldError> {
        if let Some(again) = &mut self.unsealing {
            return Order::fold(again, event);
        }
        match self.order.as_mut().map(Arc::make_mut) {
            Some(order) => {
                order.fold_next(event)?;
                // Only the owner serves the considered sellers: up to a thousand for each order.
                order.choices = Vec::new();
            }
            None => {
                let mut first = None;
                Order::fold(&mut first, event)?;
                self.order = first.map(|order| Arc::new(self.with_shared_ids(order)));
            }
        }
        Ok(())
    }

    /// Replaces the order's key and incarnation with the tracker's own equal ones, which share
    /// memory.
    fn with_shared_ids(&self, mut order: Order) -> Order {
        if order.key == self.key && order.incarnation == self.incarnation {
            order.key.clone_from(&self.key);
            order.incarnation.clone_from(&self.incarnation);
        }
        order
    }

    fn disconnected(&mut self, now: Timestamp, reason: String) -> TrackerOutput {
        self.stream.active = false;
        self.stream.down_since = self.stream.down_since.or(Some(now));
        self.stream.attempts = self.stream.attempts.saturating_add(1);
        self.stream.reason = Some(reason.into());
        TrackerOutput::Changed
    }

    /// Adopts a stored view as the least that users see from now on. They notice no change: the
    /// view was published to them, or is about to be.
    fn adopt_published(&mut self, published: Arc<PublishedView>) -> TrackerOutput {
        let is_older = |held: &Arc<PublishedView>| held.last_seq() > published.last_seq();
        if published.incarnation != self.incarnation
            || self.published.as_ref().is_some_and(is_older)
        {
            return TrackerOutput::Ignored;
        }
        let stream = &mut self.stream;
        stream.epoch = stream.epoch.max(published.epoch);
        stream.reconnects = stream.reconnects.max(published.reconnects);
        let current = stream.processor.take();
        stream.processor = current.or_else(|| published.processor.as_deref().map(Into::into));
        self.published = Some(published);
        TrackerOutput::Ignored
    }

    fn follow_up_added(&mut self, id: FollowUpId) -> TrackerOutput {
        let known = self.order.as_ref().is_some_and(|order| order.follow_ups.contains(&id));
        if known
            || self.pending_follow_ups.contains(&id)
            || self.pending_follow_ups.len() >= FOLLOW_UPS_MAX
        {
            return TrackerOutput::Ignored;
        }
        self.pending_follow_ups.push(id);
        TrackerOutput::Changed
    }

    fn command_refused(&mut self, key: IdempotencyKey, refusal: Refusal) -> TrackerOutput {
        let mut refusals: Vec<_> = self.refused.to_vec();
        refusals.retain(|(held, _)| *held != key);
        refusals.push((key, refusal));
        let surplus = refusals.len().saturating_sub(REFUSALS_MAX);
        self.refused = refusals.into_iter().skip(surplus).collect();
        TrackerOutput::Changed
    }

    /// Returns the order as users may see it.
    pub fn snapshot(&self) -> TrackerSnapshot {
        let forwarded = self.order.as_ref().map_or(0, |order| order.follow_ups.len());
        let known = forwarded.saturating_add(self.pending_follow_ups.len());
        let published = self.published.as_ref().map_or(0, |shown| shown.follow_up_count);
        TrackerSnapshot {
            key: self.key.clone(),
            incarnation: self.incarnation.clone(),
            stream: self.stream.clone(),
            order: self.order.clone(),
            published: self.published.clone(),
            follow_up_count: known.max(usize::try_from(published).unwrap_or(usize::MAX)),
            refused: Arc::clone(&self.refused),
        }
    }
}

#[cfg(test)]
mod tests;
