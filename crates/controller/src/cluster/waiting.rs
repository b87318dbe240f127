//! The statuses that wait to be written: of each resource the newest, ends before edges before
//! counters. Of each urgency a limited number is held; the other resources wait by name, and are
//! reconciled again when there is space. So ten thousand resources that are found at once do not
//! hold ten thousand statuses.

use std::collections::{HashMap, HashSet, VecDeque};

use super::cache::ObjectKey;
use super::room::Room as _;
use super::writer::Offer;

/// Statuses of one urgency that are held at once: as many as an API server takes in a few seconds.
const HELD_MAX: usize = 512;
/// The number of held statuses of one urgency at which others are admitted again: many at a time,
/// so that all get their turn.
const HELD_FEW: usize = HELD_MAX / 2;

/// The result of an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offered {
    /// The offer waits.
    Waits,
    /// The offer waits in the place of another one.
    Replaced,
    /// The offer is not held: [`Waiting::with_room`] names the resource again when there is space.
    Later,
}

/// The statuses that wait to be written.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    offers: HashMap<ObjectKey, Offer>,
    bands: [VecDeque<ObjectKey>; 3],
    /// Resources whose statuses are not held, by urgency, oldest first.
    later: [VecDeque<ObjectKey>; 3],
    /// The same resources, to name each once.
    named: HashSet<ObjectKey>,
}

impl Waiting {
    /// Returns the number of resources that wait, in either way.
    pub(super) fn len(&self) -> usize {
        self.offers.len().saturating_add(self.named.len())
    }

    /// Takes an offer; a newer one replaces a former one.
    pub(super) fn offer(&mut self, object: &ObjectKey, mut offer: Offer) -> Offered {
        let band = offer.band;
        let queue = &mut self.bands[band as usize];
        let offered = match self.offers.remove(object) {
            Some(former) => {
                if former.band > band {
                    queue.push_back(object.clone());
                }
                // It keeps the more urgent place that it has; the former one was never shown.
                offer.band = former.band.min(band);
                offer.known = former.known;
                Offered::Replaced
            }
            None if queue.len() >= HELD_MAX => {
                if self.named.insert(object.clone()) {
                    self.later[band as usize].push_back(object.clone());
                }
                return Offered::Later;
            }
            None => {
                queue.push_back(object.clone());
                Offered::Waits
            }
        };
        self.offers.insert(object.clone(), offer);
        offered
    }

    /// Drops the offer of a resource.
    pub(super) fn withdraw(&mut self, object: &ObjectKey) {
        self.offers.remove(object);
    }

    /// Drops all offers.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Returns the resource whose turn it is, of those that are not `busy`, and takes it out of the
    /// queue.
    pub(super) fn next(&mut self, busy: impl Fn(&ObjectKey) -> bool) -> Option<ObjectKey> {
        for queue in &mut self.bands {
            for _ in 0..queue.len() {
                let Some(object) = queue.pop_front() else { break };
                if !self.offers.contains_key(&object) {
                    continue;
                }
                if busy(&object) {
                    // Its turn comes when the write under way is done.
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
        if let Some(offer) = self.offers.get(&object) {
            self.bands[offer.band as usize].push_front(object);
        }
    }

    /// Takes out the offer of a resource.
    pub(super) fn take(&mut self, object: &ObjectKey) -> Option<Offer> {
        self.offers.remove(object)
    }

    /// Returns the resources for whose statuses there is space now; each is to be reconciled again.
    pub(super) fn with_room(&mut self) -> Vec<ObjectKey> {
        let mut found = Vec::new();
        for (queue, later) in self.bands.iter().zip(&mut self.later) {
            if queue.len() <= HELD_FEW {
                let room = later.len().min(HELD_MAX.saturating_sub(queue.len()));
                found.extend(later.drain(..room));
                later.give_back();
            }
        }
        for object in &found {
            self.named.remove(object);
        }
        self.named.give_back();
        found
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use orderstream_core::Epoch;

    use super::super::metrics::Band;
    use super::*;
    use crate::order_status::OrderRequestStatus;

    fn object(number: usize) -> ObjectKey {
        ObjectKey { namespace: "shop".into(), name: number.to_string().into() }
    }

    fn offer(band: Band, phase: &str) -> Offer {
        let status = OrderRequestStatus { phase: Some(phase.to_owned()), ..Default::default() };
        let known = Arc::default();
        Offer { uid: "u".into(), status: Arc::new(status), band, epoch: Epoch(1), known }
    }

    fn written(waiting: &mut Waiting) -> Option<ObjectKey> {
        let object = waiting.next(|_| false)?;
        waiting.take(&object)?;
        Some(object)
    }

    /// Of each resource the newest status is kept, in the most urgent place that it had.
    #[test]
    fn ends_precede_edges_precede_counters() {
        let mut waiting = Waiting::default();
        for (number, band) in [Band::Progress, Band::Edge, Band::Terminal].into_iter().enumerate() {
            assert_eq!(waiting.offer(&object(number), offer(band, "old")), Offered::Waits);
        }
        assert_eq!(waiting.offer(&object(0), offer(Band::Terminal, "new")), Offered::Replaced);
        assert_eq!(waiting.offer(&object(2), offer(Band::Progress, "new")), Offered::Replaced);
        assert_eq!(waiting.next(|it| *it == object(2)), Some(object(0)), "2 is being written");
        let newest = waiting.take(&object(0)).unwrap();
        assert_eq!((newest.band, newest.status.phase.as_deref()), (Band::Terminal, Some("new")));
        assert_eq!(written(&mut waiting), Some(object(2)), "it keeps its place");
        assert_eq!(written(&mut waiting), Some(object(1)));
        assert_eq!(written(&mut waiting), None);
    }

    /// The other resources are named again until their statuses are written.
    #[test]
    fn held_statuses_are_limited_none_lost() {
        const ALL: usize = 10_000;
        let mut waiting = Waiting::default();
        for number in 0..ALL {
            waiting.offer(&object(number), offer(Band::Edge, "Streaming"));
            // Reconciled twice.
            waiting.offer(&object(number), offer(Band::Edge, "Streaming"));
        }
        assert_eq!((waiting.offers.len(), waiting.len()), (HELD_MAX, ALL));
        assert_eq!(waiting.with_room(), [], "there is none yet");
        assert_eq!(waiting.offer(&object(ALL), offer(Band::Terminal, "Closed")), Offered::Waits);
        assert_eq!(written(&mut waiting), Some(object(ALL)), "an end is not kept waiting");
        let mut order = Vec::new();
        while let Some(object) = written(&mut waiting) {
            order.push(object);
            for again in waiting.with_room() {
                waiting.offer(&again, offer(Band::Edge, "Streaming"));
            }
            assert!(waiting.offers.len() <= HELD_MAX);
        }
        assert_eq!(order, (0..ALL).map(object).collect::<Vec<_>>());
        assert_eq!(waiting.len(), 0);
    }
}
