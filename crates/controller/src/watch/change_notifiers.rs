//! The waiters for changes of orders' resources in the cache. They cost nothing while there are
//! none.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use orderstream_core::OrderKey;
use tokio::sync::Notify;

/// The number of orders below which entries without a waiter are not removed.
const ORDERS_SWEPT: usize = 64;

/// The notifiers of the waiters, by order.
#[derive(Debug)]
pub(super) struct ChangeNotifiers {
    notifiers: HashMap<OrderKey, Weak<Notify>>,
    /// The number of orders at which entries without a waiter are removed: twice as many as had one
    /// at the last removal, so that a call costs the same however many wait.
    swept_at: usize,
}

impl Default for ChangeNotifiers {
    fn default() -> Self {
        Self { notifiers: HashMap::new(), swept_at: ORDERS_SWEPT }
    }
}

impl ChangeNotifiers {
    /// Returns the notifier of changes of an order's resource from now on.
    pub(super) fn subscribe(&mut self, key: &OrderKey) -> Arc<Notify> {
        if let Some(existing) = self.notifiers.get(key).and_then(Weak::upgrade) {
            return existing;
        }
        if self.notifiers.len() >= self.swept_at {
            self.notifiers.retain(|_, waiting| waiting.strong_count() > 0);
            self.swept_at = self.notifiers.len().saturating_mul(2).max(ORDERS_SWEPT);
        }
        let notify = Arc::new(Notify::new());
        self.notifiers.insert(key.clone(), Arc::downgrade(&notify));
        notify
    }

    /// Notifies all who wait for this order.
    pub(super) fn notify(&mut self, key: &OrderKey) {
        if self.notifiers.is_empty() {
            return;
        }
        match self.notifiers.get(key).map(Weak::upgrade) {
            Some(Some(notifier)) => notifier.notify_waiters(),
            Some(None) => drop(self.notifiers.remove(key)),
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
        let mut changes = ChangeNotifiers::default();
        let (one, two) = (changes.subscribe(&key(1)), changes.subscribe(&key(2)));
        let (of_one, of_two) = (one.notified(), two.notified());
        changes.notify(&key(1));
        of_one.await;
        tokio::pin!(of_two);
        assert!(!of_two.as_mut().enable(), "the other order did not change");
    }

    #[test]
    fn orders_without_waiters_are_forgotten() {
        let mut changes = ChangeNotifiers::default();
        for number in 0..10 * ORDERS_SWEPT {
            drop(changes.subscribe(&key(number)));
        }
        assert!(changes.notifiers.len() <= ORDERS_SWEPT);
        changes.notify(&key(10 * ORDERS_SWEPT - 1));
        assert!(!changes.notifiers.contains_key(&key(10 * ORDERS_SWEPT - 1)));
    }
}
