//! The requestor's view of one order: received events in, snapshot out.
//!
//! ```text
//!               Connected                  Closed / Failed
//!   Pending ──────────────▶ Streaming ───────────────────▶ Reconnecting
//!      ▲                       ▲  │                             │
//!      │                       └──┼──────── Connected ──────────┘
//!   (start)                       ▼
//!                       terminal event: Ended, for ever
//! ```

mod shown;

use std::sync::Arc;

pub use self::shown::Shown;
use crate::event::{Event, EventKind};
use crate::id::{Epoch, FollowUpId, IdempotencyKey, Incarnation, OrderKey, Seq, Timestamp};
use crate::limits::{FOLLOW_UPS_MAX, REFUSED_MAX};
use crate::order::{FoldError, Order, Phase};
use crate::refusal::Refusal;
use crate::request_phase::{RequestPhase, Stream};
use crate::summary::Summary;

/// An input of a tracker.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
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
    /// This view, which users are shown, survives this process, or survived a former one.
    Shown(Arc<Shown>),
    /// The buyer's follow-up was stored and will be forwarded.
    NoteAdded(FollowUpId),
    /// The processor refused a command for good.
    ActRefused {
        /// The command's idempotency key.
        key: IdempotencyKey,
        /// The processor's refusal.
        refusal: Refusal,
    },
}

/// The result of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Nothing changed.
    Ignored,
    /// The snapshot changed.
    Changed,
    /// The order has ended: no more events will come.
    Ended,
    /// Events are missing: open the stream again after this sequence number.
    ResumeAfter(Seq),
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
pub struct Snapshot {
    /// The order's tenant and id.
    pub key: OrderKey,
    /// The order's incarnation.
    pub incarnation: Incarnation,
    /// The state of the stream.
    pub stream: StreamState,
    /// The order, without the sellers that were considered; absent before its first event. Shared,
    /// never copied.
    pub order: Option<Arc<Order>>,
    /// The view that users were shown, maybe by a former process that was ahead of the order here.
    pub shown: Option<Arc<Shown>>,
    /// The number of known follow-ups: those forwarded, and those on their way.
    pub notes: usize,
    /// The commands that the processor refused for good, by key, oldest first.
    pub refused: Arc<[(IdempotencyKey, Refusal)]>,
}

impl Snapshot {
    /// Returns the last event handled, here or by a former process that showed it.
    pub fn last_seq(&self) -> Seq {
        let shown = self.shown.as_ref().map_or(Seq(0), |shown| shown.last_seq());
        self.order.as_ref().map_or(shown, |order| order.last_seq.max(shown))
    }

    /// Reports whether the order has ended.
    pub fn is_terminal(&self) -> bool {
        self.order_phase().is_some_and(Phase::is_terminal)
    }

    /// Returns the order's phase, as far as users were shown it; `None` before its first event.
    pub fn order_phase(&self) -> Option<Phase> {
        phase(self.order.as_deref(), self.shown.as_deref())
    }

    /// Returns the order's summary; where the list is still read up to what users were shown, it is
    /// what they were shown.
    pub fn summary(&self) -> Option<Summary> {
        let shown = self.shown.as_ref().and_then(|shown| shown.order.as_ref());
        match (self.order.as_deref(), shown) {
            (Some(order), shown) if shown.is_none_or(|s| s.last_seq <= order.last_seq) => {
                Some(Summary::of(order))
            }
            (_, shown) => shown.cloned(),
        }
    }

    /// Returns the view that may be shown once it survives this process; `None` before the order's
    /// first event.
    pub fn to_show(&self) -> Option<Shown> {
        Shown::next(self)
    }

    /// Returns the phase as users see it: the order's end, `Paused`, or the stream's state.
    pub fn phase(&self) -> RequestPhase {
        self.stream.phase(self.order_phase())
    }
}

impl StreamState {
    /// Returns the phase as the buyer sees it of an order that is read over this stream.
    pub(crate) const fn phase(&self, order: Option<Phase>) -> RequestPhase {
        RequestPhase::of(order, if self.active { Stream::Up } else { Stream::Down })
    }
}

fn phase(order: Option<&Order>, shown: Option<&Shown>) -> Option<Phase> {
    if let Some(ended) = shown.and_then(|shown| shown.ended) {
        return Some(ended);
    }
    let before = shown.and_then(|shown| shown.order.as_ref());
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
    shown: Option<Arc<Shown>>,
    /// A sealed order that was opened, as far as its list was read again; absent at other times.
    /// Users are shown the earlier view until this one has caught up.
    unsealing: Option<Box<Option<Order>>>,
    pending_notes: Vec<FollowUpId>,
    refused: Arc<[(IdempotencyKey, Refusal)]>,
}

impl Tracker {
    /// Makes a tracker that has received nothing.
    pub fn new(key: OrderKey, incarnation: Incarnation) -> Self {
        let stream = StreamState::default();
        let (pending_notes, refused) = (Vec::new(), Arc::default());
        let (order, shown, unsealing) = (None, None, None);
        Self { key, incarnation, stream, order, shown, unsealing, pending_notes, refused }
    }

    /// Returns the order's incarnation.
    pub const fn incarnation(&self) -> &Incarnation {
        &self.incarnation
    }

    /// Returns the sequence number of the last event in the order's view.
    pub fn last_seq(&self) -> Seq {
        self.order.as_ref().map_or(Seq(0), |order| order.last_seq)
    }

    /// Returns the sequence number after which a new stream goes on.
    pub fn resume_after(&self) -> Seq {
        #[cfg(feature = "plant-bugs")]
        if self.order.is_some() && crate::plant::is_planted(crate::plant::Bug::ResumeOffByOne) {
            return self.last_seq().next();
        }
        self.heard()
    }

    /// Returns the time of the event at [`Tracker::resume_after`], for the owner to compare.
    pub fn heard_at(&self) -> Option<Timestamp> {
        match &self.unsealing {
            Some(again) => again.as_ref().as_ref().map(|order| order.last_event.0),
            None => self.order.as_ref().map(|order| order.last_event.0),
        }
    }

    /// Returns the last event received in this reading of the list.
    fn heard(&self) -> Seq {
        match &self.unsealing {
            Some(again) => again.as_ref().as_ref().map_or(Seq(0), |order| order.last_seq),
            None => self.last_seq(),
        }
    }

    /// Returns the order so far, without the sellers that were considered.
    pub fn order(&self) -> Option<&Order> {
        self.order.as_deref()
    }

    /// Returns the view that users were shown.
    pub const fn shown(&self) -> Option<&Arc<Shown>> {
        self.shown.as_ref()
    }

    /// Returns the phase in which the order ended; a former process may have shown it. `None` while
    /// the order goes on.
    pub fn end(&self) -> Option<Phase> {
        phase(self.order(), self.shown.as_deref()).filter(|phase| phase.is_terminal())
    }

    /// Takes one input and returns its result.
    pub fn step(&mut self, now: Timestamp, input: Input) -> Output {
        match input {
            Input::Connected { processor, epoch } => self.connected(now, processor, epoch),
            Input::Received(event) => self.received(&event),
            Input::Disconnected { reason } => self.disconnected(now, reason),
            Input::Fenced(floor) => {
                self.stream.fenced_by = Some(floor);
                Output::Changed
            }
            Input::Shown(shown) => self.keep(shown),
            Input::NoteAdded(id) => self.note_added(id),
            Input::ActRefused { key, refusal } => self.act_refused(key, refusal),
        }
    }

    fn connected(&mut self, now: Timestamp, processor: Arc<str>, epoch: Epoch) -> Output {
        let was_up = self.order.is_some() || self.stream.connected_since.is_some();
        let came_back = was_up || self.shown.is_some();
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
        Output::Changed
    }

    fn received(&mut self, event: &Event) -> Output {
        if event.seq <= self.heard() {
            return Output::Ignored;
        }
        match self.fold(event) {
            Ok(()) => {}
            Err(FoldError::Gap { .. } | FoldError::NotOpened) => {
                return Output::ResumeAfter(self.resume_after());
            }
        }
        if self.unsealing.is_some() {
            if !self.catch_up() {
                return Output::Ignored;
            }
        } else if self.must_unseal(event) {
            self.unsealing = Some(Box::default());
            return Output::ResumeAfter(Seq(0));
        }
        if let EventKind::FollowUpAdded(follow_up) = &event.kind {
            self.pending_notes.retain(|pending| *pending != follow_up.id);
        }
        match &self.order {
            Some(order) if order.phase.is_terminal() => {
                self.stream.active = false;
                Output::Ended
            }
            _ => Output::Changed,
        }
    }

    /// Reports whether earlier events were hidden, and can be read now because of this one.
    fn must_unseal(&self, event: &Event) -> bool {
        matches!(event.kind, EventKind::ProposalsOpened { .. })
            && self.order.as_ref().is_some_and(|order| order.has_hidden())
    }

    /// Replaces the order with the one that is read again, once that has caught up. Reports whether
    /// it did.
    fn catch_up(&mut self) -> bool {
        let shown = self.last_seq();
        match self.unsealing.take().map(|again| *again) {
            Some(Some(mut order)) if order.last_seq >= shown => {
                order.choices = Vec::new();
                self.order = Some(Arc::new(self.in_own_words(order)));
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
                // Only the owner shows the considered sellers: up to a thousand for each order.
                order.choices = Vec::new();
            }
            None => {
                let mut first = None;
                Order::fold(&mut first, event)?;
                self.order = first.map(|order| Arc::new(self.in_own_words(order)));
            }
        }
        Ok(())
    }

    /// Replaces the order's key and incarnation by the tracker's own equal ones, which share
    /// memory.
    fn in_own_words(&self, mut order: Order) -> Order {
        if order.key == self.key && order.incarnation == self.incarnation {
            order.key.clone_from(&self.key);
            order.incarnation.clone_from(&self.incarnation);
        }
        order
    }

    fn disconnected(&mut self, now: Timestamp, reason: String) -> Output {
        self.stream.active = false;
        self.stream.down_since = self.stream.down_since.or(Some(now));
        self.stream.attempts = self.stream.attempts.saturating_add(1);
        self.stream.reason = Some(reason.into());
        Output::Changed
    }

    /// Takes a view that was stored as the least that is shown from now on. No user sees a change:
    /// they were shown it, or are about to be.
    fn keep(&mut self, shown: Arc<Shown>) -> Output {
        let is_older = |held: &Arc<Shown>| held.last_seq() > shown.last_seq();
        if shown.incarnation != self.incarnation || self.shown.as_ref().is_some_and(is_older) {
            return Output::Ignored;
        }
        let stream = &mut self.stream;
        stream.epoch = stream.epoch.max(shown.epoch);
        stream.reconnects = stream.reconnects.max(shown.reconnects);
        let held = stream.processor.take();
        stream.processor = held.or_else(|| shown.processor.as_deref().map(Into::into));
        self.shown = Some(shown);
        Output::Ignored
    }

    fn note_added(&mut self, id: FollowUpId) -> Output {
        let known = self.order.as_ref().is_some_and(|order| order.follow_ups.contains(&id));
        if known || self.pending_notes.contains(&id) || self.pending_notes.len() >= FOLLOW_UPS_MAX {
            return Output::Ignored;
        }
        self.pending_notes.push(id);
        Output::Changed
    }

    fn act_refused(&mut self, key: IdempotencyKey, refusal: Refusal) -> Output {
        let mut kept: Vec<_> = self.refused.to_vec();
        kept.retain(|(held, _)| *held != key);
        kept.push((key, refusal));
        let surplus = kept.len().saturating_sub(REFUSED_MAX);
        self.refused = kept.into_iter().skip(surplus).collect();
        Output::Changed
    }

    /// Returns the order as users may see it.
    pub fn snapshot(&self) -> Snapshot {
        let forwarded = self.order.as_ref().map_or(0, |order| order.follow_ups.len());
        let known = forwarded.saturating_add(self.pending_notes.len());
        let shown = self.shown.as_ref().map_or(0, |shown| shown.notes);
        Snapshot {
            key: self.key.clone(),
            incarnation: self.incarnation.clone(),
            stream: self.stream.clone(),
            order: self.order.clone(),
            shown: self.shown.clone(),
            notes: known.max(usize::try_from(shown).unwrap_or(usize::MAX)),
            refused: Arc::clone(&self.refused),
        }
    }
}
