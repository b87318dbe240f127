//! The orders to be projected, and their sequence. The queue holds orders, never events, so that an
//! outage of any length costs no more memory than there are orders, and no more than a limit.
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
/// The longest back-off before an unreachable processor is tried again.
const PROCESSOR_WAIT_MAX: Duration = Duration::from_secs(10);

/// The location of an incarnation's list, and its least possible length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListLocation {
    /// The order's incarnation.
    pub(crate) incarnation: Incarnation,
    /// The processor that holds the list.
    pub(crate) processor: Arc<str>,
    /// The last event that is known to be in the list.
    pub(crate) last_seq: Seq,
}

/// The end of the work on one order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PassEnd {
    /// Done, as far as possible; the processor, where it is given, was reached.
    Done(Option<Arc<str>>),
    /// The pass is to be repeated.
    Requeue,
    /// The order's processor, given here, is unreachable.
    Unreachable(Arc<str>),
    /// This order's list cannot be read at the moment; others of its processor may be.
    Failed,
}

/// An order to project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ProjectionTask {
    /// The order's key.
    pub(super) key: OrderKey,
    /// The location where a sweep found the list; absent where the order is followed.
    pub(super) location: Option<ListLocation>,
    /// The task is a probe, which finds out whether the order's processor is reachable again.
    pub(super) is_probe: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ProjectionTaskState {
    Waiting,
    Probing,
    Running { marked_again: bool },
    Parked,
}

#[derive(Debug)]
struct ProjectionEntry {
    state: ProjectionTaskState,
    location: Option<ListLocation>,
}

/// Orders whose processor is unreachable, one of which probes it while the others wait for the
/// result; or one order alone whose list cannot be read.
#[derive(Debug)]
struct ParkedOrders {
    try_at: Instant,
    backoff: Backoff,
    keys: VecDeque<OrderKey>,
}

/// The orders that are to be projected.
#[derive(Debug, Default)]
pub(super) struct ProjectionQueue {
    entries: BTreeMap<OrderKey, ProjectionEntry>,
    waiting: VecDeque<OrderKey>,
    parked: BTreeMap<Arc<str>, ParkedOrders>,
    overflowed: bool,
}

impl ProjectionQueue {
    /// Marks an order, which has events that are not projected. One that is in the queue already
    /// keeps its position.
    pub(super) fn mark(&mut self, key: &OrderKey, location: Option<ListLocation>) {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.location = location.or_else(|| entry.location.take());
            if let ProjectionTaskState::Running { marked_again } = &mut entry.state {
                *marked_again = true;
            }
            return;
        }
        if self.entries.len() >= WAITING_MAX {
            self.overflowed = true;
            return;
        }
        self.entries
            .insert(key.clone(), ProjectionEntry { state: ProjectionTaskState::Waiting, location });
        self.waiting.push_back(key.clone());
    }

    /// Stores the location of an order's list that is known nowhere else. An order that is not in
    /// the queue has nothing new.
    pub(super) fn set_location(&mut self, key: &OrderKey, location: &ListLocation) {
        if self.entries.contains_key(key) {
            self.mark(key, Some(location.clone()));
        }
    }

    /// Returns the order to project next.
    pub(super) fn next(&mut self, now: Instant) -> Option<ProjectionTask> {
        self.release_due(now);
        let key = self.waiting.pop_front()?;
        let entry = self.entries.get_mut(&key)?;
        let is_probe = entry.state == ProjectionTaskState::Probing;
        entry.state = ProjectionTaskState::Running { marked_again: false };
        Some(ProjectionTask { key, location: entry.location.clone(), is_probe })
    }

    /// Reports whether the last order that tried this processor did not reach it.
    pub(super) fn is_unreachable(&self, processor: &str) -> bool {
        self.parked.contains_key(processor)
    }

    /// Ends the pass over an order.
    pub(super) fn done(&mut self, key: &OrderKey, end: PassEnd, now: Instant) {
        if let PassEnd::Done(Some(processor)) = &end {
            self.release(processor);
        }
        if !matches!(end, PassEnd::Unreachable(_) | PassEnd::Failed) && !self.parked.is_empty() {
            self.parked.remove(solo_key(key).as_str());
        }
        let Some(entry) = self.entries.get_mut(key) else { return };
        let marked_again = entry.state == ProjectionTaskState::Running { marked_again: true };
        match end {
            PassEnd::Done(_) if !marked_again => {
                self.entries.remove(key);
            }
            PassEnd::Done(_) | PassEnd::Requeue => {
                entry.state = ProjectionTaskState::Waiting;
                self.waiting.push_back(key.clone());
            }
            PassEnd::Unreachable(processor) => {
                entry.state = ProjectionTaskState::Parked;
                self.park(key.clone(), processor, now);
            }
            PassEnd::Failed => {
                entry.state = ProjectionTaskState::Parked;
                self.park(key.clone(), Arc::from(solo_key(key)), now);
            }
        }
    }

    fn park(&mut self, key: OrderKey, processor: Arc<str>, now: Instant) {
        let parked = self.parked.entry(processor).or_insert_with(|| {
            let mut backoff = backoff_up_to(PROCESSOR_WAIT_MAX);
            ParkedOrders { try_at: now + backoff.next_wait(), backoff, keys: VecDeque::new() }
        });
        parked.keys.push_back(key);
    }

    /// Lets one order probe each processor whose back-off is over.
    fn release_due(&mut self, now: Instant) {
        let due = self.parked.values_mut().filter(|parked| parked.try_at <= now);
        for parked in due {
            parked.try_at = now + parked.backoff.next_wait();
            if let Some(key) = parked.keys.pop_front() {
                if let Some(entry) = self.entries.get_mut(&key) {
                    entry.state = ProjectionTaskState::Probing;
                }
                self.waiting.push_front(key);
            }
        }
    }

    fn release(&mut self, processor: &Arc<str>) {
        let Some(parked) = self.parked.remove(processor) else { return };
        for key in parked.keys {
            if let Some(entry) = self.entries.get_mut(&key) {
                entry.state = ProjectionTaskState::Waiting;
            }
            self.waiting.push_back(key);
        }
    }

    /// Returns the time of the next try of an unreachable processor.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.parked
            .values()
            .filter(|parked| !parked.keys.is_empty())
            .map(|parked| parked.try_at)
            .min()
    }

    /// Returns the number of orders in the queue, those being projected included.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns true, once, if orders were turned away and less than half of the limit is in the
    /// queue by now.
    pub(super) fn take_overflow(&mut self) -> bool {
        let is_due = self.overflowed && self.entries.len() < WAITING_MAX / 2;
        if is_due {
            self.overflowed = false;
        }
        is_due
    }
}

/// Returns the key under which an order waits alone. It cannot be a processor's, which is a URL.
fn solo_key(key: &OrderKey) -> String {
    key.to_string()
}

#[cfg(test)]
#[path = "agenda_tests.rs"]
mod tests;
