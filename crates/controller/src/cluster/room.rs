//! Tables that give their capacity back after a burst. A table keeps the capacity for the most that
//! it ever held: what ten thousand resources needed for a moment would be held for ever.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::Hash;

/// The capacity up to which none is given back, entries.
const ROOM_KEPT: usize = 64;

/// A table whose capacity can be given back.
pub(super) trait Room {
    /// Gives most of the capacity back where little of it is used. Called after each removal, it
    /// costs no more than the removals: it moves at most an eighth as many entries as were removed
    /// since the last time.
    fn give_back(&mut self);
}

/// Returns the number of entries for which capacity is kept; `None` where it is used well enough.
fn fitting(len: usize, capacity: usize) -> Option<usize> {
    (capacity > ROOM_KEPT && len.saturating_mul(8) <= capacity).then(|| len.saturating_mul(2))
}

impl<K: Eq + Hash, V> Room for HashMap<K, V> {
    fn give_back(&mut self) {
        if let Some(fitting) = fitting(self.len(), self.capacity()) {
            self.shrink_to(fitting);
        }
    }
}

impl<T: Eq + Hash> Room for HashSet<T> {
    fn give_back(&mut self) {
        if let Some(fitting) = fitting(self.len(), self.capacity()) {
            self.shrink_to(fitting);
        }
    }
}

impl<T> Room for VecDeque<T> {
    fn give_back(&mut self) {
        if let Some(fitting) = fitting(self.len(), self.capacity()) {
            self.shrink_to(fitting);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANY: usize = 10_000;

    fn drained<T: Room>(mut table: T, take: impl Fn(&mut T) -> bool, room: fn(&T) -> usize) {
        let (most, mut moves) = (room(&table), 0);
        assert!(most >= MANY);
        loop {
            let before = room(&table);
            table.give_back();
            moves += usize::from(room(&table) != before);
            if !take(&mut table) {
                break;
            }
        }
        table.give_back();
        assert!(room(&table) <= ROOM_KEPT, "{} of {most}", room(&table));
        assert!(moves <= 10, "it was moved {moves} times");
    }

    /// Their entries are moved a few times only.
    #[test]
    fn emptied_tables_give_back_capacity() {
        let set: HashSet<usize> = (0..MANY).collect();
        let next = |set: &HashSet<usize>| set.iter().next().copied();
        drained(set, |set| next(set).is_some_and(|it| set.remove(&it)), HashSet::capacity);
        let queue: VecDeque<usize> = (0..MANY).collect();
        drained(queue, |queue| queue.pop_front().is_some(), VecDeque::capacity);
        let map: HashMap<usize, ()> = (0..MANY).map(|number| (number, ())).collect();
        let next = |map: &HashMap<usize, ()>| map.keys().next().copied();
        drained(
            map,
            |map| next(map).is_some_and(|it| map.remove(&it).is_some()),
            HashMap::capacity,
        );
    }

    #[test]
    fn used_tables_keep_their_capacity() {
        let mut map: HashMap<usize, ()> = (0..MANY).map(|number| (number, ())).collect();
        map.retain(|number, ()| *number < MANY / 4);
        map.give_back();
        assert!(map.capacity() > MANY / 2, "{}", map.capacity());
    }
}
