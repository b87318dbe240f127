//! The waiters for changes of orders' resources in the cache. They cost nothing while there are
//! none.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use orderstream_core::OrderKey;
use tokio::sync::Notify;

/// The number of orders below which entries without a waiter are not removed.
const ORDERS_SWEPT: usize = 64;

/// The notifiers of those who wait, by order.
#[derive(Debug)]
pub(super) struct Changes {
    waiting: HashMap<OrderKey, Weak<Notify>>,
    /// The number of orders at which entries without a waiter are removed: twice as many as had one
    /// at the last removal, so that a call costs the same however many wait.
    swept_at: usize,
}

impl Default for Changes {
    fn default() -> Self {
        Self { waiting: HashMap::new(), swept_at: ORDERS_SWEPT }
    }
}

impl Changes {
    /// Returns the notifier of changes of an order's resource from now on.
    pub(super) fn of(&mut self, key: &OrderKey) -> Arc<Notify> {
        if let Some(held) = self.waiting.get(key).and_then(Weak::upgrade) {
            return held;
        }
        if self.waiting.len() >= self.swept_at {
            self.waiting.retain(|_, waiting| waiting.strong_count() > 0);
            self.swept_at = self.waiting.len().saturating_mul(2).max(ORDERS_SWEPT);
        }
        let notify = Arc::new(Notify::new());
        self.waiting.insert(key.clone(), Arc::downgrade(&notify));
        notify
    }

    /// Notifies all who wait for this order.
    pub(super) fn notify(&mut self, key: &OrderKey) {
        if self.waiting.is_empty() {
            return;
        }
        match self.waiting.get(key).map(Weak::upgrade) {
            Some(Some(waiting)) => waiting.notify_waiters(),
            Some(None) => drop(self.waiting.remove(key)),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: usize) -> OrderKey {
        OrderKey::new("team", &format!("SB{number}")).unwrap()
    }

    #[tokio::test]
    async fn only_waiters_of_changed_order_wake() {
        let mut changes = Changes::default();
        let (one, two) = (changes.of(&key(1)), changes.of(&key(2)));
        let (of_one, of_two) = (one.notified(), two.notified());
        changes.notify(&key(1));
        of_one.await;
        tokio::pin!(of_two);
        assert!(!of_two.as_mut().enable(), "the other order did not change");
    }

    #[test]
    fn orders_without_waiters_are_forgotten() {
        let mut changes = Changes::default();
        for number in 0..10 * ORDERS_SWEPT {
            drop(changes.of(&key(number)));
        }
        assert!(changes.waiting.len() <= ORDERS_SWEPT);
        changes.notify(&key(10 * ORDERS_SWEPT - 1));
        assert!(!changes.waiting.contains_key(&key(10 * ORDERS_SWEPT - 1)));
    }
}
