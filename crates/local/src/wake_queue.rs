//! The orders to reconcile next: woken ones, each once however often it was woken, and those whose
//! timer is due.

use std::collections::{BTreeMap, BTreeSet};

use orderstream_core::{OrderKey, Timestamp};
use parking_lot::Mutex;
use tokio::sync::Notify;

/// The largest number of woken keys in the queue; beyond it, all orders are reconciled.
const WOKEN_MAX: usize = 10_000;

/// The orders that are due.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum DueOrders {
    /// These orders.
    Some(BTreeSet<OrderKey>),
    /// Every order.
    All,
}

/// Orders that wait to be reconciled.
#[derive(Debug, Default)]
pub(crate) struct OrderWakeQueue {
    queue: Mutex<OrderWakeState>,
    notify: Notify,
}

#[derive(Debug, Default)]
struct OrderWakeState {
    woken: BTreeSet<OrderKey>,
    all: bool,
    timers: BTreeMap<OrderKey, Timestamp>,
}

impl OrderWakeQueue {
    /// Makes an order due now.
    pub(crate) fn wake(&self, key: &OrderKey) {
        {
            let mut queue = self.queue.lock();
            if queue.woken.len() >= WOKEN_MAX {
                queue.all = true;
                queue.woken.clear();
            }
            if !queue.all {
                queue.woken.insert(key.clone());
            }
        }
        self.notify.notify_one();
    }

    /// Makes an order due at a time, instead of the one that was set before; `None` removes it.
    pub(crate) fn set_timer(&self, key: &OrderKey, at: Option<Timestamp>) {
        let mut queue = self.queue.lock();
        match at {
            Some(at) => {
                queue.timers.insert(key.clone(), at);
            }
            None => {
                queue.timers.remove(key);
            }
        }
    }

    /// Takes the orders that are due.
    pub(crate) fn take(&self, now: Timestamp) -> DueOrders {
        let mut queue = self.queue.lock();
        let mut woken = std::mem::take(&mut queue.woken);
        queue.timers.retain(|key, at| {
            let waits = *at > now;
            if !waits {
                woken.insert(key.clone());
            }
            waits
        });
        if std::mem::take(&mut queue.all) { DueOrders::All } else { DueOrders::Some(woken) }
    }

    /// Returns the time at which the next timer is due.
    pub(crate) fn next_timer(&self) -> Option<Timestamp> {
        self.queue.lock().timers.values().min().copied()
    }

    /// Waits for the next wake; returns at once if one came since the last call.
    pub(crate) async fn woken(&self) {
        self.notify.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: &str) -> OrderKey {
        OrderKey::new("default", id).unwrap()
    }

    #[test]
    fn wakes_coalesce_and_timers_fire() {
        let wakes = OrderWakeQueue::default();
        wakes.wake(&key("a"));
        wakes.wake(&key("a"));
        wakes.set_timer(&key("b"), Some(Timestamp(10)));
        wakes.set_timer(&key("c"), Some(Timestamp(20)));
        assert_eq!(wakes.next_timer(), Some(Timestamp(10)));
        assert_eq!(wakes.take(Timestamp(10)), DueOrders::Some([key("a"), key("b")].into()));
        assert_eq!(wakes.take(Timestamp(10)), DueOrders::Some(BTreeSet::new()));
        wakes.set_timer(&key("c"), None);
        assert_eq!(wakes.next_timer(), None);
    }

    #[test]
    fn overflowing_wakes_make_all_due() {
        let wakes = OrderWakeQueue::default();
        for number in 0..=WOKEN_MAX {
            wakes.wake(&key(&format!("k{number}")));
        }
        assert_eq!(wakes.take(Timestamp(0)), DueOrders::All);
        assert_eq!(wakes.take(Timestamp(0)), DueOrders::Some(BTreeSet::new()));
    }
}
