//! Which orders are to be projected, and which of them next. Orders are remembered, never events, so
//! that an outage of any length costs no more memory than there are orders, and no more than a bound.
//!
//! ```text
//!            mark                next                 done
//!   (none) ───────▶ Waiting ────────────▶ Running ──────────▶ (none), or Waiting when marked
//!                      ▲                   ▲ │                         meanwhile
//!        its processor │       Probing ────┘ │ its processor is not reached
//!         is reached   │          ▲ time     ▼
//!                      └──────────┴──────── Parked
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use orderstream_core::{Incarnation, OrderKey, Seq};
use orderstream_support::Backoff;
use tokio::time::Instant;

use crate::backoff::backoff_up_to;

/// Orders that may wait at once: a few hundred bytes each. Beyond it the next sweep finds the rest.
pub(super) const WAITING_MAX: usize = 100_000;
/// Longest wait before a processor that is not reached is tried again.
const PROCESSOR_WAIT_MAX: Duration = Duration::from_secs(10);

/// Where the list of a life of an order is, and how long it is at least.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Which life of the name.
    pub(crate) incarnation: Incarnation,
    /// The processor that holds the list.
    pub(crate) processor: Arc<str>,
    /// The last event that was heard of.
    pub(crate) last_seq: Seq,
}

/// How the work on one order ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Done, as far as it can be; the processor answered when it is named.
    Done(Option<Arc<str>>),
    /// To be done again.
    Again,
    /// This processor is not reached.
    Unreached(Arc<str>),
    /// This order's list cannot be read at the moment; others of its processor may.
    Failed,
}

/// An order to work on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Task {
    /// Which.
    pub(super) key: OrderKey,
    /// Where a sweep found it; an order that is followed needs none.
    pub(super) place: Option<Place>,
    /// Whether it is to find out if its processor is reached again.
    pub(super) is_probe: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    Probing,
    Running { marked_again: bool },
    Parked,
}

#[derive(Debug)]
struct Item {
    state: State,
    place: Option<Place>,
}

/// Orders whose processor is not reached, one of which tries it while the others wait for its word; or
/// one order alone whose list cannot be read.
#[derive(Debug)]
struct Unreached {
    try_at: Instant,
    backoff: Backoff,
    keys: VecDeque<OrderKey>,
}

/// The orders that are to be projected.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    items: BTreeMap<OrderKey, Item>,
    waiting: VecDeque<OrderKey>,
    unreached: BTreeMap<Arc<str>, Unreached>,
    overflowed: bool,
}

impl Agenda {
    /// The order has events that are not projected. An order that is here already stays where it is.
    pub(super) fn mark(&mut self, key: &OrderKey, place: Option<Place>) {
        if let Some(item) = self.items.get_mut(key) {
            item.place = place.or_else(|| item.place.take());
            if let State::Running { marked_again } = &mut item.state {
                *marked_again = true;
            }
            return;
        }
        if self.items.len() >= WAITING_MAX {
            self.overflowed = true;
            return;
        }
        self.items.insert(key.clone(), Item { state: State::Waiting, place });
        self.waiting.push_back(key.clone());
    }

    /// Nobody else tells any more where the order's list is. One that is not here has no news.
    pub(super) fn keep(&mut self, key: &OrderKey, place: &Place) {
        if self.items.contains_key(key) {
            self.mark(key, Some(place.clone()));
        }
    }

    /// The order to work on next.
    pub(super) fn next(&mut self, now: Instant) -> Option<Task> {
        self.release_due(now);
        let key = self.waiting.pop_front()?;
        let item = self.items.get_mut(&key)?;
        let is_probe = item.state == State::Probing;
        item.state = State::Running { marked_again: false };
        Some(Task { key, place: item.place.clone(), is_probe })
    }

    /// Whether the last order that tried this processor did not reach it.
    pub(super) fn is_unreached(&self, processor: &str) -> bool {
        self.unreached.contains_key(processor)
    }

    /// The work on an order has ended.
    pub(super) fn done(&mut self, key: &OrderKey, end: End, now: Instant) {
        if let End::Done(Some(processor)) = &end {
            self.reached(processor);
        }
        if !matches!(end, End::Unreached(_) | End::Failed) && !self.unreached.is_empty() {
            self.unreached.remove(alone(key).as_str());
        }
        let Some(item) = self.items.get_mut(key) else { return };
        let marked_again = item.state == State::Running { marked_again: true };
        match end {
            End::Done(_) if !marked_again => {
                self.items.remove(key);
            }
            End::Done(_) | End::Again => {
                item.state = State::Waiting;
                self.waiting.push_back(key.clone());
            }
            End::Unreached(processor) => {
                item.state = State::Parked;
                self.park(key.clone(), processor, now);
            }
            End::Failed => {
                item.state = State::Parked;
                self.park(key.clone(), Arc::from(alone(key)), now);
            }
        }
    }

    fn park(&mut self, key: OrderKey, processor: Arc<str>, now: Instant) {
        let held = self.unreached.entry(processor).or_insert_with(|| {
            let mut backoff = backoff_up_to(PROCESSOR_WAIT_MAX);
            Unreached { try_at: now + backoff.next_wait(), backoff, keys: VecDeque::new() }
        });
        held.keys.push_back(key);
    }

    /// Of each processor whose time has come, lets one order try it.
    fn release_due(&mut self, now: Instant) {
        let due = self.unreached.values_mut().filter(|held| held.try_at <= now);
        for held in due {
            held.try_at = now + held.backoff.next_wait();
            if let Some(key) = held.keys.pop_front() {
                if let Some(item) = self.items.get_mut(&key) {
                    item.state = State::Probing;
                }
                self.waiting.push_front(key);
            }
        }
    }

    fn reached(&mut self, processor: &Arc<str>) {
        let Some(held) = self.unreached.remove(processor) else { return };
        for key in held.keys {
            if let Some(item) = self.items.get_mut(&key) {
                item.state = State::Waiting;
            }
            self.waiting.push_back(key);
        }
    }

    /// When a processor that is not reached is to be tried again.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.unreached.values().filter(|held| !held.keys.is_empty()).map(|h| h.try_at).min()
    }

    /// How many orders are here, those in work included.
    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether orders were turned away, and most of those that were here are done. Asked once.
    pub(super) fn take_overflow(&mut self) -> bool {
        let is_due = self.overflowed && self.items.len() < WAITING_MAX / 2;
        if is_due {
            self.overflowed = false;
        }
        is_due
    }
}

/// The name under which an order waits alone: no processor's, which are URLs.
fn alone(key: &OrderKey) -> String {
    key.to_string()
}

#[cfg(test)]
#[path = "agenda_tests.rs"]
mod tests;
