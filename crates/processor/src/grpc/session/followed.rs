//! The orders that a session follows, and those that it followed to their end: each event is sent
//! once per session, even where a command in an order is repeated after its end.

use std::collections::{BTreeMap, VecDeque};

use orderstream_core::{Incarnation, OrderKey};

use crate::limits::ORDERS_PER_SESSION_MAX;

/// An order that the session follows.
#[derive(Debug)]
struct Follow {
    life: Incarnation,
    /// The number of its stream.
    number: u64,
    /// The seller has acknowledged something of it.
    is_seen: bool,
}

/// The orders of one session.
#[derive(Debug, Default)]
pub(super) struct Followed {
    now: BTreeMap<OrderKey, Follow>,
    over: Over,
    last_number: u64,
}

impl Followed {
    /// Reports whether the order is followed.
    pub(super) fn has(&self, key: &OrderKey) -> bool {
        self.now.contains_key(key)
    }

    /// Returns the incarnation in which the order is followed.
    pub(super) fn life(&self, key: &OrderKey) -> Option<&Incarnation> {
        self.now.get(key).map(|follow| &follow.life)
    }

    /// Returns the number of the stream that begins to follow this incarnation of an order; `None`
    /// where another stream follows it, or has followed it to its end.
    pub(super) fn begin(&mut self, key: &OrderKey, life: Incarnation) -> Option<u64> {
        if self.life(key) == Some(&life) || self.over.has(key, &life) {
            return None;
        }
        self.last_number = self.last_number.saturating_add(1);
        let number = self.last_number;
        self.now.insert(key.clone(), Follow { life, number, is_seen: false });
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
            self.over.add(key, follow.life);
        }
    }

    fn leave(&mut self, key: &OrderKey, number: u64) -> Option<Follow> {
        let is_it = self.now.get(key).is_some_and(|follow| follow.number == number);
        is_it.then(|| self.now.remove(key)).flatten()
    }

    /// Marks the order as seen, and returns whether it was before. `None` where it is not followed.
    pub(super) fn see(&mut self, key: &OrderKey) -> Option<bool> {
        self.now.get_mut(key).map(|follow| std::mem::replace(&mut follow.is_seen, true))
    }

    /// Removes the mark, for an invitation that was not recorded as seen after all.
    pub(super) fn unsee(&mut self, key: &OrderKey) {
        if let Some(follow) = self.now.get_mut(key) {
            follow.is_seen = false;
        }
    }
}

/// The orders that were followed to their end most recently: as many as a session may follow at
/// once.
#[derive(Debug, Default)]
pub(super) struct Over {
    lives: BTreeMap<OrderKey, Incarnation>,
    /// The order keys, the oldest first.
    names: VecDeque<OrderKey>,
}

impl Over {
    /// Reports whether an order was followed to the end of some incarnation.
    pub(super) fn knows(&self, key: &OrderKey) -> bool {
        self.lives.contains_key(key)
    }

    /// Reports whether this incarnation of an order was followed to its end.
    pub(super) fn has(&self, key: &OrderKey, life: &Incarnation) -> bool {
        self.lives.get(key) == Some(life)
    }

    /// Adds an order that was followed to the end of this incarnation.
    pub(super) fn add(&mut self, key: OrderKey, life: Incarnation) {
        if self.lives.insert(key.clone(), life).is_none() {
            self.names.push_back(key);
        }
        if self.names.len() > ORDERS_PER_SESSION_MAX
            && let Some(oldest) = self.names.pop_front()
        {
            self.lives.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: &str) -> OrderKey {
        OrderKey::new("", id).unwrap()
    }

    fn life(name: &str) -> Incarnation {
        Incarnation::new(name).unwrap()
    }

    #[test]
    fn finished_incarnations_are_not_followed_again() {
        let mut followed = Followed::default();
        let first = followed.begin(&key("a"), life("one")).unwrap();
        assert_eq!(followed.begin(&key("a"), life("one")), None, "it is followed");
        followed.ended(key("a"), first);
        assert_eq!(followed.begin(&key("a"), life("one")), None, "it was told");
        assert!(followed.begin(&key("a"), life("two")).is_some(), "another life has its own list");
    }

    #[test]
    fn broken_streams_begin_again() {
        let mut followed = Followed::default();
        let first = followed.begin(&key("a"), life("one")).unwrap();
        followed.broke(&key("a"), first);
        followed.ended(key("a"), first);
        assert!(followed.begin(&key("a"), life("one")).is_some());
    }

    #[test]
    fn oldest_of_many_ends_is_forgotten() {
        let mut over = Over::default();
        for number in 0..=ORDERS_PER_SESSION_MAX {
            over.add(key(&number.to_string()), life("one"));
            over.add(key(&number.to_string()), life("two"));
        }
        assert!(!over.knows(&key("0")));
        assert!(over.has(&key("1"), &life("two")));
        assert_eq!((over.lives.len(), over.names.len()), (1_000, 1_000));
    }
}
