//! The choice of the notifications that are given up when too many wait.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{Channel, DeliveryProgress, OutboxEntry, Recipient};

/// Returns `count` of the notifications that wait, each the oldest of the recipient and channel
/// that have the most left. Those in flight stay.
pub(super) fn surplus(
    pending: &BTreeMap<u64, OutboxEntry>,
    in_flight: &BTreeSet<u64>,
    count: usize,
) -> Vec<u64> {
    if count == 0 {
        return Vec::new();
    }
    let mut lanes: BTreeMap<(&Recipient, &Channel), VecDeque<u64>> = BTreeMap::new();
    for (number, entry) in pending {
        let is_free = !in_flight.contains(number);
        if is_free && matches!(entry.state, DeliveryProgress::Waiting { .. }) {
            let lane = (&entry.due.recipient, &entry.due.channel);
            lanes.entry(lane).or_default().push_back(*number);
        }
    }
    let longest = || lanes.values_mut().max_by_key(|lane| lane.len())?.pop_front();
    std::iter::from_fn(longest).take(count).collect()
}
