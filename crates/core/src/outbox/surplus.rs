//! Which of too many waiting notifications are given up.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{Channel, Kept, Recipient, State};

/// So many of those that wait, each the oldest of whoever has the most left. What is under way stays.
pub(super) fn surplus(
    pending: &BTreeMap<u64, Kept>,
    under_way: &BTreeSet<u64>,
    count: usize,
) -> Vec<u64> {
    if count == 0 {
        return Vec::new();
    }
    let mut lanes: BTreeMap<(&Recipient, &Channel), VecDeque<u64>> = BTreeMap::new();
    for (number, kept) in pending {
        let is_free = !under_way.contains(number);
        if is_free && matches!(kept.state, State::Waiting { .. }) {
            let lane = (&kept.due.recipient, &kept.due.channel);
            lanes.entry(lane).or_default().push_back(*number);
        }
    }
    let longest = || lanes.values_mut().max_by_key(|lane| lane.len())?.pop_front();
    std::iter::from_fn(longest).take(count).collect()
}
