//! The state that the followers of one order share: the durable end of the list, the newest events,
//! and the wakers. There is no queue per follower: each has one number and polls again.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::task::Waker;

use orderstream_core::seal::{self, Redaction};
use orderstream_core::{Epoch, Event, Reason, Refusal, Seq};
use parking_lot::Mutex;

use crate::limits::{FOLLOWERS_MAX, TAIL_EVENTS_MAX};

/// The tail of an order's events and its followers.
#[derive(Debug, Default)]
pub(super) struct Tail {
    state: Mutex<TailState>,
}

#[derive(Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "two independent facts")]
struct TailState {
    durable: Seq,
    ended_at: Option<Seq>,
    /// The redaction of proposals, by the part of the list that is on disk.
    redaction: Redaction,
    recent: VecDeque<Arc<Event>>,
    followers: BTreeMap<u64, Option<Waker>>,
    /// The tracker that opens the order follows it at once: the events of the opening are kept for
    /// it.
    expects_opener: bool,
    next_follower: u64,
    /// The last follower that joined as the order's tracker, and its epoch. It stays here when it
    /// leaves, so that the trackers that it superseded stay superseded.
    tracker: Option<(u64, Epoch)>,
    draining: bool,
    /// The refusal that ends every stream, after the order was found damaged.
    refusal: Option<Refusal>,
}

/// The outcome of polling for the event after a follower's cursor.
#[derive(Debug)]
pub(super) enum TailPoll {
    /// The event that is due.
    Event(Arc<Event>),
    /// The event is on disk, but no longer in memory.
    OnDisk,
    /// The order has ended, and the follower has its last event.
    Ended,
    /// A newer tracker took over.
    Superseded(Epoch),
    /// The server stops.
    Draining(Seq),
    /// The order's records are damaged.
    Refused(Refusal),
    /// There is no event yet; the waker is stored.
    Pending,
}

impl Tail {
    pub(super) fn new(durable: Seq, ended_at: Option<Seq>, redaction: Redaction) -> Self {
        Self {
            state: Mutex::new(TailState { durable, ended_at, redaction, ..TailState::default() }),
        }
    }

    /// Keeps the next events in memory even while nobody follows.
    pub(super) fn expect_opener(&self) {
        self.state.lock().expects_opener = true;
    }

    /// Returns the redaction of proposals.
    pub(super) fn redaction(&self) -> Redaction {
        self.state.lock().redaction
    }

    /// Sets the redaction, for a list that was read again.
    pub(super) fn set_redaction(&self, redaction: Redaction) {
        self.state.lock().redaction = redaction;
    }

    /// Adds a follower; with an epoch it becomes the tracker, and the former one ends.
    pub(super) fn add_follower(&self, tracker: Option<Epoch>) -> Result<u64, Refusal> {
        let mut state = self.state.lock();
        if tracker.is_none() && state.followers.len() >= FOLLOWERS_MAX {
            return Err(Refusal::new(
                Reason::LimitReached,
                format!("the order has {FOLLOWERS_MAX} followers, the most it may have"),
            ));
        }
        let id = state.next_follower;
        state.next_follower = id.saturating_add(1);
        state.followers.insert(id, None);
        state.expects_opener = false;
        if let Some(epoch) = tracker {
            state.tracker = Some((id, epoch));
            let wakers = state.take_wakers();
            drop(state);
            wakers.into_iter().for_each(Waker::wake);
        }
        Ok(id)
    }

    /// Removes a follower; the tail is dropped with the last one.
    pub(super) fn remove_follower(&self, id: u64) {
        let mut state = self.state.lock();
        state.followers.remove(&id);
        if state.followers.is_empty() {
            state.recent = VecDeque::new();
        }
    }

    /// Returns the number of followers, and whether a tracker is among them.
    pub(super) fn followers(&self) -> (usize, bool) {
        let state = self.state.lock();
        let follows = |(tracker, _): (u64, Epoch)| state.followers.contains_key(&tracker);
        (state.followers.len(), state.tracker.is_some_and(follows))
    }

    /// Returns the outcome for follower `id` after `cursor`; a tracker has an epoch.
    pub(super) fn poll_after(
        &self,
        id: u64,
        epoch: Option<Epoch>,
        cursor: Seq,
        waker: &Waker,
    ) -> TailPoll {
        let mut state = self.state.lock();
        if epoch.is_some()
            && let Some((tracker, newer)) = state.tracker
            && tracker != id
        {
            return TailPoll::Superseded(newer);
        }
        if let Some(refusal) = &state.refusal {
            return TailPoll::Refused(refusal.clone());
        }
        if cursor < state.durable {
            return state.event_after(cursor).map_or(TailPoll::OnDisk, TailPoll::Event);
        }
        if state.ended_at.is_some_and(|end| cursor >= end) {
            return TailPoll::Ended;
        }
        if state.draining {
            return TailPoll::Draining(cursor);
        }
        if let Some(slot) = state.followers.get_mut(&id) {
            *slot = Some(waker.clone());
        }
        TailPoll::Pending
    }

    /// Publishes events that are on disk now; returns the wakers of the followers.
    pub(super) fn publish(
        &self,
        durable: Seq,
        ended_at: Option<Seq>,
        events: Vec<Arc<Event>>,
    ) -> Vec<Waker> {
        let mut state = self.state.lock();
        state.durable = state.durable.max(durable);
        state.ended_at = state.ended_at.or(ended_at);
        if let Some(redaction) = seal::redaction_after(&events) {
            state.redaction = redaction;
        }
        if state.followers.is_empty() && !std::mem::take(&mut state.expects_opener) {
            state.recent = VecDeque::new();
            return Vec::new();
        }
        let next_seq = state.recent.back().map(|last| last.seq.next());
        if next_seq.is_some() && next_seq != events.first().map(|event| event.seq) {
            state.recent.clear();
        }
        state.recent.extend(events);
        let surplus = state.recent.len().saturating_sub(TAIL_EVENTS_MAX);
        state.recent.drain(..surplus);
        state.take_wakers()
    }

    /// Ends every stream with a refusal; returns the wakers of the followers.
    pub(super) fn refuse(&self, refusal: Refusal) -> Vec<Waker> {
        let mut state = self.state.lock();
        state.refusal = Some(refusal);
        state.take_wakers()
    }

    /// Ends every stream with the drain, once its events are sent; returns the wakers of the
    /// followers.
    pub(super) fn drain(&self) -> Vec<Waker> {
        let mut state = self.state.lock();
        state.draining = true;
        state.take_wakers()
    }
}

impl TailState {
    fn take_wakers(&mut self) -> Vec<Waker> {
        self.followers.values_mut().filter_map(Option::take).collect()
    }

    fn event_after(&self, cursor: Seq) -> Option<Arc<Event>> {
        let first = self.recent.front()?.seq;
        let index = cursor.next().0.checked_sub(first.0)?;
        let event = self.recent.get(usize::try_from(index).ok()?)?;
        Some(seal::apply(self.redaction, event))
    }
}

#[cfg(test)]
mod tests {
    use orderstream_core::{EventKind, Timestamp};

    use super::*;

    fn event(seq: u64) -> Arc<Event> {
        Arc::new(Event {
            seq: Seq(seq),
            at: Timestamp(0),
            cause: None,
            kind: EventKind::SellersSelected(vec![]),
        })
    }

    fn publish(tail: &Tail, seqs: std::ops::RangeInclusive<u64>) {
        let last = Seq(*seqs.end());
        assert!(tail.publish(last, None, seqs.map(event).collect()).is_empty());
    }

    fn poll(tail: &Tail, id: u64, cursor: u64) -> TailPoll {
        tail.poll_after(id, Some(Epoch(1)), Seq(cursor), Waker::noop())
    }

    #[test]
    fn openers_find_first_events_in_memory() {
        let tail = Tail::default();
        tail.expect_opener();
        publish(&tail, 1..=2);
        let id = tail.add_follower(Some(Epoch(1))).unwrap();
        for cursor in 0..2 {
            let found = poll(&tail, id, cursor);
            assert!(
                matches!(&found, TailPoll::Event(event) if event.seq.0 == cursor + 1),
                "{found:?}"
            );
        }
        assert!(matches!(poll(&tail, id, 2), TailPoll::Pending));
        tail.remove_follower(id);
        assert_eq!(tail.state.lock().recent.len(), 0);
    }

    /// The opening's events stay until the next events.
    #[test]
    fn unfollowed_orders_keep_no_tail() {
        let tail = Tail::default();
        tail.expect_opener();
        publish(&tail, 1..=2);
        publish(&tail, 3..=3);
        assert_eq!(tail.state.lock().recent.len(), 0);
        let id = tail.add_follower(Some(Epoch(1))).unwrap();
        assert!(matches!(poll(&tail, id, 0), TailPoll::OnDisk));
    }
}
