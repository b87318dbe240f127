//! The orders to be projected, and their sequence. Orders are held, never events, so that an outage
//! of any length costs no more memory than there are orders, and no more than a limit.
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

/// The most orders that may wait at once: a few hundred bytes each. The next sweep finds those
/// beyond it.
pub(super) const WAITING_MAX: usize = 100_000;
/// The longest back-off before a processor that is not reached is tried again.
const PROCESSOR_WAIT_MAX: Duration = Duration::from_secs(10);

/// The location of an incarnation's list, and its least possible length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The order's incarnation.
    pub(crate) incarnation: Incarnation,
    /// The processor that holds the list.
    pub(crate) processor: Arc<str>,
    /// The last event that is known to be in the list.
    pub(crate) last_seq: Seq,
}

/// The end of the work on one order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Done, as far as it can be; the processor, where it is given, was reached.
    Done(Option<Arc<str>>),
    /// The work is to be done again.
    Again,
    /// The order's processor, given here, is not reached.
    Unreached(Arc<str>),
    /// This order's list cannot be read at the moment; others of its processor may be.
    Failed,
}

/// An order to work on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Task {
    /// The order's key.
    pub(super) key: OrderKey,
    /// The place where a sweep found the list; absent where the order is followed.
    pub(super) place: Option<Place>,
    /// The task is a probe, to find out if the order's processor is reached again.
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

/// Orders whose processor is not reached, one of which probes it while the others wait for the
/// result; or one order alone whose list cannot be read.
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
    /// Marks an order, which has events that are not projected. One that is held already stays
    /// where it is.
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

    /// Stores the location of an order's list that is known nowhere else. An order that is not held
    /// has nothing new.
    pub(super) fn keep(&mut self, key: &OrderKey, place: &Place) {
        if self.items.contains_key(key) {
            self.mark(key, Some(place.clone()));
        }
    }

    /// Returns the order to work on next.
    pub(super) fn next(&mut self, now: Instant) -> Option<Task> {
        self.release_due(now);
        let key = self.waiting.pop_front()?;
        let item = self.items.get_mut(&key)?;
        let is_probe = item.state == State::Probing;
        item.state = State::Running { marked_again: false };
        Some(Task { key, place: item.place.clone(), is_probe })
    }

    /// Reports whether the last order that tried this processor did not reach it.
    pub(super) fn is_unreached(&self, processor: &str) -> bool {
        self.unreached.contains_key(processor)
    }

    /// Ends the work on an order.
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

    /// Lets one order probe each processor whose back-off is over.
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

    /// Returns the time of the next try of a processor that is not reached.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.unreached.values().filter(|held| !held.keys.is_empty()).map(|h| h.try_at).min()
    }

    /// Returns the number of orders held, those in work included.
    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    /// Reports, once, that orders were turned away and that less than half of the limit is held by
    /// now.
    pub(super) fn take_overflow(&mut self) -> bool {
        let is_due = self.overflowed && self.items.len() < WAITING_MAX / 2;
        if is_due {
            self.overflowed = false;
        }
        is_due
    }
}

/// Returns the name under which an order waits alone. It cannot be a processor's, which is a URL.
fn alone(key: &OrderKey) -> String {
    key.to_string()
}

#[cfg(test)]
#[path = "agenda_tests.rs"]
mod tests;
