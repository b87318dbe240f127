//! Tables that release their capacity after a burst. A table keeps the capacity for the most
//! entries that it ever held: the memory that ten thousand resources needed for a moment would be
//! held for ever.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::Hash;

/// The capacity up to which none is released, entries.
const CAPACITY_MIN: usize = 64;

/// A table whose capacity can be released.
pub(super) trait ReleaseCapacity {
    /// Releases most of the capacity where little of it is used. Called after each removal, it
    /// costs no more than the removals: it moves at most an eighth as many entries as were removed
    /// since the last time.
    fn release_capacity(&mut self);
}

/// Returns the number of entries for which capacity is kept; `None` where it is used well enough.
fn target_capacity(len: usize, capacity: usize) -> Option<usize> {
    (capacity > CAPACITY_MIN && len.saturating_mul(8) <= capacity).then(|| len.saturating_mul(2))
}

impl<K: Eq + Hash, V> ReleaseCapacity for HashMap<K, V> {
    fn release_capacity(&mut self) {
        if let Some(fitting) = target_capacity(self.len(), self.capacity()) {
            self.shrink_to(fitting);
        }
    }
}

impl<T: Eq + Hash> ReleaseCapacity for HashSet<T> {
    fn release_capacity(&mut self) {
        if let Some(fitting) = target_capacity(self.len(), self.capacity()) {
            self.shrink_to(fitting);
        }
    }
}

impl<T> ReleaseCapacity for VecDeque<T> {
    fn release_capacity(&mut self) {
        if let Some(fitting) = target_capacity(self.len(), self.capacity()) {
            self.shrink_to(fitting);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANY: usize = 10_000;

    fn drained<T: ReleaseCapacity>(
        mut table: T,
        take: impl Fn(&mut T) -> bool,
        capacity: fn(&T) -> usize,
    ) {
        let (most, mut moves) = (capacity(&table), 0);
        assert!(most >= MANY);
        loop {
            let before = capacity(&table);
            table.release_capacity();
            moves += usize::from(capacity(&table) != before);
            if !take(&mut table) {
                break;
            }
        }
        table.release_capacity();
        assert!(capacity(&table) <= CAPACITY_MIN, "{} of {most}", capacity(&table));
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
        map.release_capacity();
        assert!(map.capacity() > MANY / 2, "{}", map.capacity());
    }
}
