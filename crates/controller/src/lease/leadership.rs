//! The lead of this process: its epoch, and its end.

use std::sync::Arc;

use orderstream_core::Epoch;
use parking_lot::RwLock;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// The state of this process in the election, as far as it knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ElectionState {
    /// It leads, under this epoch.
    Leads(Epoch),
    /// Its lease ran out while the API server was unreachable. It stops writing, and keeps its
    /// streams: if another process leads, the processors refuse them.
    Unsure,
    /// It does not lead.
    Follows,
}

/// The lead, shared by the election, which sets it, and by all that need it. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Leadership(Arc<SharedLeadership>);

#[derive(Debug)]
struct SharedLeadership {
    term: RwLock<Option<LeaseTerm>>,
    changed: watch::Sender<ElectionState>,
    /// The highest epoch that a processor was observed to know.
    floor: RwLock<Epoch>,
    raised: Notify,
}

#[derive(Clone, Copy, Debug)]
struct LeaseTerm {
    epoch: Epoch,
    until: Instant,
}

impl Default for Leadership {
    fn default() -> Self {
        Self(Arc::new(SharedLeadership {
            term: RwLock::new(None),
            changed: watch::Sender::new(ElectionState::Follows),
            floor: RwLock::default(),
            raised: Notify::new(),
        }))
    }
}

impl Leadership {
    /// Returns the epoch under which this process may write now; `None` once its lease has run out,
    /// also when the process was stopped for a while in between.
    pub(crate) fn epoch(&self) -> Option<Epoch> {
        let term = (*self.0.term.read())?;
        (Instant::now() < term.until).then_some(term.epoch)
    }

    /// Returns a receiver of the standing's changes.
    pub(crate) fn changes(&self) -> watch::Receiver<ElectionState> {
        self.0.changed.subscribe()
    }

    /// Sets the lead: the lease is held under this epoch until then.
    pub(super) fn hold(&self, epoch: Epoch, until: Instant) {
        let former = self.0.term.write().replace(LeaseTerm { epoch, until });
        // After a late renewal, the reconciles that were due meanwhile were skipped.
        let was_over = former.is_none_or(|former| former.until <= Instant::now());
        self.0.changed.send_if_modified(|held| {
            std::mem::replace(held, ElectionState::Leads(epoch)) != ElectionState::Leads(epoch)
                || was_over
        });
    }

    /// Ends the lead: the lease is no longer held.
    pub(super) fn lose(&self, state: ElectionState) {
        *self.0.term.write() = None;
        self.0.changed.send_if_modified(|held| std::mem::replace(held, state) != state);
    }

    /// Raises the floor: a processor knows this epoch, and the own one has to be above it.
    pub(crate) fn raise_above(&self, floor: Epoch) {
        let mut current = self.0.floor.write();
        if floor > *current {
            *current = floor;
            drop(current);
            self.0.raised.notify_one();
        }
    }

    pub(super) fn floor(&self) -> Epoch {
        *self.0.floor.read()
    }

    pub(super) async fn raised(&self) {
        self.0.raised.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const EPOCH: Epoch = Epoch(7);

    #[tokio::test(start_paused = true)]
    async fn renewals_notify_only_when_late() {
        let leadership = Leadership::default();
        let mut changes = leadership.changes();
        let mut is_notified = || {
            let notified = changes.has_changed().unwrap();
            changes.mark_unchanged();
            notified
        };
        let second = Duration::from_secs(1);
        leadership.hold(EPOCH, Instant::now() + second);
        assert!(is_notified(), "it leads");
        leadership.hold(EPOCH, Instant::now() + second);
        assert!(!is_notified(), "it still leads");
        tokio::time::advance(second).await;
        assert_eq!(leadership.epoch(), None, "it may not act on an old lease");
        leadership.hold(EPOCH, Instant::now() + second);
        assert!(is_notified(), "what was left undone is to be looked at again");
        leadership.lose(ElectionState::Unsure);
        assert!(is_notified());
        leadership.hold(EPOCH, Instant::now() + second);
        assert!(is_notified());
    }
}
