//! The orders that a session follows, and those that it followed to their end: each event is sent
//! once per session, even where a command in an order is repeated after its end.

use std::collections::{BTreeMap, VecDeque};

use orderstream_core::{Incarnation, OrderKey};

use crate::limits::ORDERS_PER_SESSION_MAX;

/// An order that the session follows.
#[derive(Debug)]
struct SessionOrder {
    incarnation: Incarnation,
    /// The number of its stream.
    number: u64,
    /// The seller has acknowledged something of it.
    is_seen: bool,
}

/// The orders of one session.
#[derive(Debug, Default)]
pub(super) struct SessionOrders {
    active: BTreeMap<OrderKey, SessionOrder>,
    finished: FinishedOrders,
    last_number: u64,
}

impl SessionOrders {
    /// Reports whether the order is followed.
    pub(super) fn has(&self, key: &OrderKey) -> bool {
        self.active.contains_key(key)
    }

    /// Returns the incarnation in which the order is followed.
    pub(super) fn incarnation(&self, key: &OrderKey) -> Option<&Incarnation> {
        self.active.get(key).map(|follow| &follow.incarnation)
    }

    /// Returns the number of the stream that begins to follow this incarnation of an order; `None`
    /// where another stream follows it, or has followed it to its end.
    pub(super) fn begin(&mut self, key: &OrderKey, incarnation: Incarnation) -> Option<u64> {
        if self.incarnation(key) == Some(&incarnation) {
            // It may be invited only now: what it acknowledged before was not recorded.
            self.unmark_seen(key);
            return None;
        }
        if self.finished.has(key, &incarnation) {
            return None;
        }
        self.last_number = self.last_number.saturating_add(1);
        let number = self.last_number;
        self.active.insert(key.clone(), SessionOrder { incarnation, number, is_seen: false });
        Some(number)
    }

    /// Ends the stream of this number, which broke: the order may be followed from its first event
    /// again.
    pub(super) fn broke(&mut self, key: &OrderKey, number: u64) {
        self.leave(key, number);
    }

    /// Ends the complete stream of this number; does nothing where it broke before.
    pub(super) fn ended(&mut self, key: OrderKey, number: u64) {
        if let Some(follow) = self.leave(&key, number) {
            self.finished.add(key, follow.incarnation);
        }
    }

    fn leave(&mut self, key: &OrderKey, number: u64) -> Option<SessionOrder> {
        let is_it = self.active.get(key).is_some_and(|follow| follow.number == number);
        is_it.then(|| self.active.remove(key)).flatten()
    }

    /// Marks the order as seen, and returns whether it was before. `None` where it is not followed.
    pub(super) fn mark_seen(&mut self, key: &OrderKey) -> Option<bool> {
        self.active.get_mut(key).map(|follow| std::mem::replace(&mut follow.is_seen, true))
    }

    /// Removes the mark, for an invitation that was not recorded as seen after all.
    pub(super) fn unmark_seen(&mut self, key: &OrderKey) {
        if let Some(follow) = self.active.get_mut(key) {
            follow.is_seen = false;
        }
    }
}

/// The orders that were followed to their end most recently: as many as a session may follow at
/// once.
#[derive(Debug, Default)]
pub(super) struct FinishedOrders {
    incarnations: BTreeMap<OrderKey, Incarnation>,
    /// The order keys, the oldest first.
    oldest_first: VecDeque<OrderKey>,
}

impl FinishedOrders {
    /// Reports whether an order was followed to the end of some incarnation.
    pub(super) fn knows(&self, key: &OrderKey) -> bool {
        self.incarnations.contains_key(key)
    }

    /// Reports whether this incarnation of an order was followed to its end.
    pub(super) fn has(&self, key: &OrderKey, incarnation: &Incarnation) -> bool {
        self.incarnations.get(key) == Some(incarnation)
    }

    /// Adds an order that was followed to the end of this incarnation.
    pub(super) fn add(&mut self, key: OrderKey, incarnation: Incarnation) {
        if self.incarnations.insert(key.clone(), incarnation).is_none() {
            self.oldest_first.push_back(key);
        }
        if self.oldest_first.len() > ORDERS_PER_SESSION_MAX
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.incarnations.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: &str) -> OrderKey {
        OrderKey::new("", id).unwrap()
    }

    fn incarnation(name: &str) -> Incarnation {
        Incarnation::new(name).unwrap()
    }

    #[test]
    fn finished_incarnations_are_not_followed_again() {
        let mut orders = SessionOrders::default();
        let first = orders.begin(&key("a"), incarnation("one")).unwrap();
        assert_eq!(orders.begin(&key("a"), incarnation("one")), None, "it is followed");
        orders.ended(key("a"), first);
        assert_eq!(orders.begin(&key("a"), incarnation("one")), None, "it was told");
        assert!(
            orders.begin(&key("a"), incarnation("two")).is_some(),
            "another life has its own list"
        );
    }

    #[test]
    fn broken_streams_begin_again() {
        let mut orders = SessionOrders::default();
        let first = orders.begin(&key("a"), incarnation("one")).unwrap();
        orders.broke(&key("a"), first);
        orders.ended(key("a"), first);
        assert!(orders.begin(&key("a"), incarnation("one")).is_some());
    }

    #[test]
    fn oldest_of_many_ends_is_forgotten() {
        let mut finished = FinishedOrders::default();
        for number in 0..=ORDERS_PER_SESSION_MAX {
            finished.add(key(&number.to_string()), incarnation("one"));
            finished.add(key(&number.to_string()), incarnation("two"));
        }
        assert!(!finished.knows(&key("0")));
        assert!(finished.has(&key("1"), &incarnation("two")));
        assert_eq!((finished.incarnations.len(), finished.oldest_first.len()), (1_000, 1_000));
    }
}
