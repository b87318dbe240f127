//! Who waits for a change of an order's resource in the cache. Costs nothing while nobody does.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use orderstream_core::OrderKey;
use tokio::sync::Notify;

/// Orders beyond which those are looked for that nobody waits for any more.
const ORDERS_SWEPT: usize = 64;

/// Those who wait, by order.
#[derive(Debug, Default)]
pub(super) struct Changes(HashMap<OrderKey, Weak<Notify>>);

impl Changes {
    /// What is notified of each change of an order's resource from now on.
    pub(super) fn of(&mut self, key: &OrderKey) -> Arc<Notify> {
        if let Some(held) = self.0.get(key).and_then(Weak::upgrade) {
            return held;
        }
        if self.0.len() >= ORDERS_SWEPT {
            self.0.retain(|_, waiting| waiting.strong_count() > 0);
        }
        let notify = Arc::new(Notify::new());
        self.0.insert(key.clone(), Arc::downgrade(&notify));
        notify
    }

    /// Notifies all who wait for this order.
    pub(super) fn notify(&mut self, key: &OrderKey) {
        if self.0.is_empty() {
            return;
        }
        match self.0.get(key).map(Weak::upgrade) {
            Some(Some(waiting)) => waiting.notify_waiters(),
            Some(None) => drop(self.0.remove(key)),
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
        assert!(changes.0.len() <= ORDERS_SWEPT);
        changes.notify(&key(10 * ORDERS_SWEPT - 1));
        assert!(!changes.0.contains_key(&key(10 * ORDERS_SWEPT - 1)));
    }
}
