//! Who waits for a change of an order's resource in the cache. Costs nothing while nobody does.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use orderstream_core::OrderKey;
use tokio::sync::Notify;

/// Orders up to which those that nobody waits for any more are left alone.
const ORDERS_SWEPT: usize = 64;

/// Those who wait, by order.
#[derive(Debug)]
pub(super) struct Changes {
    waiting: HashMap<OrderKey, Weak<Notify>>,
    /// At how many orders those without anybody are looked for: twice as many as were waited for then,
    /// so that a call costs the same however many wait.
    swept_at: usize,
}

impl Default for Changes {
    fn default() -> Self {
        Self { waiting: HashMap::new(), swept_at: ORDERS_SWEPT }
    }
}

impl Changes {
    /// What is notified of each change of an order's resource from now on.
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
    async fn only_those_who_wait_for_the_order_are_notified() {
        let mut changes = Changes::default();
        let (one, two) = (changes.of(&key(1)), changes.of(&key(2)));
        let (of_one, of_two) = (one.notified(), two.notified());
        changes.notify(&key(1));
        of_one.await;
        tokio::pin!(of_two);
        assert!(!of_two.as_mut().enable(), "the other order did not change");
    }

    #[test]
    fn orders_that_nobody_waits_for_are_forgotten() {
        let mut changes = Changes::default();
        for number in 0..10 * ORDERS_SWEPT {
            drop(changes.of(&key(number)));
        }
        assert!(changes.waiting.len() <= ORDERS_SWEPT);
        changes.notify(&key(10 * ORDERS_SWEPT - 1));
        assert!(!changes.waiting.contains_key(&key(10 * ORDERS_SWEPT - 1)));
    }
}
