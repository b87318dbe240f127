//! The processors that hold orders, as far as they were looked up. Limited to two generations: the
//! older one is dropped when the younger is full.

use std::collections::HashMap;
use std::mem;

use orderstream_core::OrderKey;

/// Orders in one generation: with long names about 10 MB in both.
const GENERATION_MAX: usize = 32_768;

/// The remembered owners.
#[derive(Debug, Default)]
pub(super) struct Owners {
    young: HashMap<OrderKey, String>,
    old: HashMap<OrderKey, String>,
}

impl Owners {
    /// Returns the URL of the processor that holds an order.
    pub(super) fn get(&mut self, key: &OrderKey) -> Option<String> {
        if let Some(url) = self.young.get(key) {
            return Some(url.clone());
        }
        let (key, url) = self.old.remove_entry(key)?;
        self.remember(key, url.clone());
        Some(url)
    }

    pub(super) fn remember(&mut self, key: OrderKey, url: String) {
        if self.young.len() >= GENERATION_MAX {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(key, url);
    }

    pub(super) fn forget(&mut self, key: &OrderKey) {
        self.young.remove(key);
        self.old.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: usize) -> OrderKey {
        OrderKey::new("", &format!("o-{number}")).unwrap()
    }

    #[test]
    fn used_owners_stay_within_limit() {
        let mut owners = Owners::default();
        owners.remember(key(0), "kept".to_owned());
        owners.remember(key(1), "let go".to_owned());
        for number in 2..5 * GENERATION_MAX {
            owners.remember(key(number), "other".to_owned());
            if number % 1_000 == 0 {
                assert_eq!(owners.get(&key(0)).as_deref(), Some("kept"), "{number}");
            }
        }
        assert_eq!(owners.get(&key(1)), None);
        assert!(owners.young.len() + owners.old.len() <= 2 * GENERATION_MAX);
        owners.forget(&key(0));
        assert_eq!(owners.get(&key(0)), None);
    }
}
