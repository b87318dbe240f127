//! The statuses that wait to be written: of each resource the newest, ends before edges before
//! counters. Of each urgency a limited number is queued; the other resources wait by name, and are
//! reconciled again when there is space. So ten thousand resources that are found at once do not
//! hold ten thousand statuses in memory.

use std::collections::{HashMap, HashSet, VecDeque};

use super::pending::PendingStatus;
use crate::object::ObjectKey;
use crate::table_capacity::ReleaseCapacity as _;

/// Statuses of one urgency that are queued at once: as many as an API server accepts in a few
/// seconds.
const QUEUED_MAX: usize = 512;
/// The number of queued statuses of one urgency at which others are admitted again: many at a time,
/// so that none waits too long.
const QUEUED_LOW: usize = QUEUED_MAX / 2;

/// The result of queueing a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EnqueueResult {
    /// The status waits.
    Queued,
    /// The status waits in the place of another one.
    Replaced,
    /// The status is not queued: [`StatusQueue::admit_deferred`] names the resource again when
    /// there is space.
    Deferred,
}

/// The statuses that wait to be written.
#[derive(Debug, Default)]
pub(super) struct StatusQueue {
    pending: HashMap<ObjectKey, PendingStatus>,
    bands: [VecDeque<ObjectKey>; 3],
    /// Resources whose statuses are not queued, by urgency, oldest first.
    deferred: [VecDeque<ObjectKey>; 3],
    /// The same resources, to name each once.
    deferred_keys: HashSet<ObjectKey>,
}

impl StatusQueue {
    /// Returns the number of resources that wait, in either way.
    pub(super) fn len(&self) -> usize {
        self.pending.len().saturating_add(self.deferred_keys.len())
    }

    /// Queues a status; a newer one replaces a former one.
    pub(super) fn enqueue(
        &mut self,
        object: &ObjectKey,
        mut pending: PendingStatus,
    ) -> EnqueueResult {
        let band = pending.band;
        let queue = &mut self.bands[band as usize];
        let result = match self.pending.remove(object) {
            Some(former) => {
                if former.band > band {
                    queue.push_back(object.clone());
                }
                // It keeps the more urgent band that it has; the former one was never written.
                pending.band = former.band.min(band);
                pending.previous = former.previous;
                EnqueueResult::Replaced
            }
            None if queue.len() >= QUEUED_MAX => {
                if self.deferred_keys.insert(object.clone()) {
                    self.deferred[band as usize].push_back(object.clone());
                }
                return EnqueueResult::Deferred;
            }
            None => {
                queue.push_back(object.clone());
                EnqueueResult::Queued
            }
        };
        self.pending.insert(object.clone(), pending);
        result
    }

    /// Drops the status of a resource.
    pub(super) fn withdraw(&mut self, object: &ObjectKey) {
        self.pending.remove(object);
    }

    /// Drops all statuses.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Returns the next resource of those that are not `busy`, and takes it out of the queue.
    pub(super) fn next(&mut self, busy: impl Fn(&ObjectKey) -> bool) -> Option<ObjectKey> {
        for queue in &mut self.bands {
            for _ in 0..queue.len() {
                let Some(object) = queue.pop_front() else { break };
                if !self.pending.contains_key(&object) {
                    continue;
                }
                if busy(&object) {
                    // It is next when the write under way is done.
                    queue.push_back(object);
                    continue;
                }
                return Some(object);
            }
        }
        None
    }

    /// Puts a resource back in front of all others of its urgency.
    pub(super) fn put_back(&mut self, object: ObjectKey) {
        if let Some(pending) = self.pending.get(&object) {
            self.bands[pending.band as usize].push_front(object);
        }
    }

    /// Takes out the status of a resource.
    pub(super) fn take(&mut self, object: &ObjectKey) -> Option<PendingStatus> {
        self.pending.remove(object)
    }

    /// Returns the resources for whose statuses there is space now; each is to be reconciled again.
    pub(super) fn admit_deferred(&mut self) -> Vec<ObjectKey> {
        let mut found = Vec::new();
        for (queue, deferred) in self.bands.iter().zip(&mut self.deferred) {
            if queue.len() <= QUEUED_LOW {
                let space = deferred.len().min(QUEUED_MAX.saturating_sub(queue.len()));
                found.extend(deferred.drain(..space));
                deferred.release_capacity();
            }
        }
        for object in &found {
            self.deferred_keys.remove(object);
        }
        self.deferred_keys.release_capacity();
        found
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use orderstream_api::order_status::OrderRequestStatus;
    use orderstream_core::Epoch;

    use super::*;
    use crate::metrics::Band;

    fn object(number: usize) -> ObjectKey {
        ObjectKey { namespace: "shop".into(), name: number.to_string().into() }
    }

    fn pending(band: Band, phase: &str) -> PendingStatus {
        let status = OrderRequestStatus { phase: Some(phase.to_owned()), ..Default::default() };
        let known = Arc::default();
        PendingStatus {
            uid: "u".into(),
            status: Arc::new(status),
            band,
            epoch: Epoch(1),
            previous: known,
        }
    }

    fn take_next(queue: &mut StatusQueue) -> Option<ObjectKey> {
        let object = queue.next(|_| false)?;
        queue.take(&object)?;
        Some(object)
    }

    /// Of each resource the newest status is queued, with the most urgent band that it had.
    #[test]
    fn ends_precede_edges_precede_counters() {
        let mut queue = StatusQueue::default();
        for (number, band) in [Band::Progress, Band::Edge, Band::Terminal].into_iter().enumerate() {
            assert_eq!(queue.enqueue(&object(number), pending(band, "old")), EnqueueResult::Queued);
        }
        assert_eq!(
            queue.enqueue(&object(0), pending(Band::Terminal, "new")),
            EnqueueResult::Replaced
        );
        assert_eq!(
            queue.enqueue(&object(2), pending(Band::Progress, "new")),
            EnqueueResult::Replaced
        );
        assert_eq!(queue.next(|it| *it == object(2)), Some(object(0)), "2 is being written");
        let newest = queue.take(&object(0)).unwrap();
        assert_eq!((newest.band, newest.status.phase.as_deref()), (Band::Terminal, Some("new")));
        assert_eq!(take_next(&mut queue), Some(object(2)), "it keeps its place");
        assert_eq!(take_next(&mut queue), Some(object(1)));
        assert_eq!(take_next(&mut queue), None);
    }

    /// The other resources are named again until their statuses are written.
    #[test]
    fn held_statuses_are_limited_none_lost() {
        const ALL: usize = 10_000;
        let mut queue = StatusQueue::default();
        for number in 0..ALL {
            queue.enqueue(&object(number), pending(Band::Edge, "Open"));
            // Reconciled twice.
            queue.enqueue(&object(number), pending(Band::Edge, "Open"));
        }
        assert_eq!((queue.pending.len(), queue.len()), (QUEUED_MAX, ALL));
        assert_eq!(queue.admit_deferred(), [], "there is none yet");
        assert_eq!(
            queue.enqueue(&object(ALL), pending(Band::Terminal, "Closed")),
            EnqueueResult::Queued
        );
        assert_eq!(take_next(&mut queue), Some(object(ALL)), "an end is not kept waiting");
        let mut order = Vec::new();
        while let Some(object) = take_next(&mut queue) {
            order.push(object);
            for again in queue.admit_deferred() {
                queue.enqueue(&again, pending(Band::Edge, "Open"));
            }
            assert!(queue.pending.len() <= QUEUED_MAX);
        }
        assert_eq!(order, (0..ALL).map(object).collect::<Vec<_>>());
        assert_eq!(queue.len(), 0);
    }
}
