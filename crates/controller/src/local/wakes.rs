//! Which orders to look at next: woken ones, each once however often it was woken, and ones whose
//! time comes.

use std::collections::{BTreeMap, BTreeSet};

use orderstream_core::{OrderKey, Timestamp};
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Most keys that are remembered; beyond that all orders are looked at.
const WOKEN_MAX: usize = 10_000;

/// What there is to look at.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// These orders.
    Some(BTreeSet<OrderKey>),
    /// Every order.
    All,
}

/// Orders that wait to be looked at.
#[derive(Debug, Default)]
pub(crate) struct Wakes {
    queue: Mutex<Queue>,
    notify: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    woken: BTreeSet<OrderKey>,
    all: bool,
    timers: BTreeMap<OrderKey, Timestamp>,
}

impl Wakes {
    /// Look at this order soon.
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

    /// Look at this order at that time, and not at the one that was set before.
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

    /// Takes what is to be looked at now.
    pub(crate) fn take(&self, now: Timestamp) -> Due {
        let mut queue = self.queue.lock();
        let mut woken = std::mem::take(&mut queue.woken);
        queue.timers.retain(|key, at| {
            let waits = *at > now;
            if !waits {
                woken.insert(key.clone());
            }
            waits
        });
        if std::mem::take(&mut queue.all) { Due::All } else { Due::Some(woken) }
    }

    /// When the next timer is due.
    pub(crate) fn next_timer(&self) -> Option<Timestamp> {
        self.queue.lock().timers.values().min().copied()
    }

    /// Waits for the next wake. A wake that came before counts.
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
    fn wakes_coalesce_and_timers_come_when_due() {
        let wakes = Wakes::default();
        wakes.wake(&key("a"));
        wakes.wake(&key("a"));
        wakes.set_timer(&key("b"), Some(Timestamp(10)));
        wakes.set_timer(&key("c"), Some(Timestamp(20)));
        assert_eq!(wakes.next_timer(), Some(Timestamp(10)));
        assert_eq!(wakes.take(Timestamp(10)), Due::Some([key("a"), key("b")].into()));
        assert_eq!(wakes.take(Timestamp(10)), Due::Some(BTreeSet::new()));
        wakes.set_timer(&key("c"), None);
        assert_eq!(wakes.next_timer(), None);
    }

    #[test]
    fn beyond_its_bound_everything_is_due() {
        let wakes = Wakes::default();
        for number in 0..=WOKEN_MAX {
            wakes.wake(&key(&format!("k{number}")));
        }
        assert_eq!(wakes.take(Timestamp(0)), Due::All);
        assert_eq!(wakes.take(Timestamp(0)), Due::Some(BTreeSet::new()));
    }
}
