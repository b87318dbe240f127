//! The statuses that wait to be written: of each resource the newest, ends before edges before
//! counters. Of each urgency only so many are held; the other resources wait by name, and are
//! looked at again when there is room. Ten thousand that are found at once hold no ten thousand
//! statuses.

use std::collections::{HashMap, HashSet, VecDeque};

use super::cache::ObjectKey;
use super::room::Room as _;
use super::writer::Offer;

/// Statuses of one urgency that wait at once: a few seconds of what an API server takes.
const HELD_MAX: usize = 512;
/// With so many left there is room for others: not one by one, so that they come in turn.
const HELD_FEW: usize = HELD_MAX / 2;

/// What became of an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offered {
    /// It waits.
    Waits,
    /// It waits in the place of another one.
    Replaced,
    /// It is not held: the resource is named again when there is room.
    Later,
}

/// What waits.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    offers: HashMap<ObjectKey, Offer>,
    bands: [VecDeque<ObjectKey>; 3],
    /// Resources whose statuses are not held, by urgency, oldest first.
    later: [VecDeque<ObjectKey>; 3],
    /// The same, to name each once.
    named: HashSet<ObjectKey>,
}

impl Waiting {
    /// How many resources wait, in either way.
    pub(super) fn len(&self) -> usize {
        self.offers.len().saturating_add(self.named.len())
    }

    /// Takes an offer; a newer one takes the place of a former one.
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

    /// Forgets what was offered.
    pub(super) fn withdraw(&mut self, object: &ObjectKey) {
        self.offers.remove(object);
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The resource whose turn it is, of those that are not `busy`.
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

    /// The turn of this resource comes again, before all others of its urgency.
    pub(super) fn put_back(&mut self, object: ObjectKey) {
        if let Some(offer) = self.offers.get(&object) {
            self.bands[offer.band as usize].push_front(object);
        }
    }

    /// Takes out what was offered for a resource.
    pub(super) fn take(&mut self, object: &ObjectKey) -> Option<Offer> {
        self.offers.remove(object)
    }

    /// Resources for whose statuses there is room now; each is to be looked at again.
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

    #[test]
    fn ends_come_before_edges_and_edges_before_counters_and_the_newest_is_kept() {
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

    #[test]
    fn of_any_number_few_are_held_and_each_is_named_again_until_it_is_written() {
        const ALL: usize = 10_000;
        let mut waiting = Waiting::default();
        for number in 0..ALL {
            waiting.offer(&object(number), offer(Band::Edge, "Streaming"));
            // Looked at twice.
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
