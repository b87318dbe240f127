//! The open orders that have places for further sellers. The index changes when an order opens, when
//! its last place is taken, and when it takes no more sellers: a change of a seller costs nothing
//! for all other orders.

use std::collections::BTreeMap;
use std::ops::Bound;

use orderstream_core::{OrderKey, Tenant};
use parking_lot::Mutex;

/// An order with free places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Vacancy {
    /// The order's position among the open orders.
    pub(super) place: u64,
    /// The order.
    pub(super) key: OrderKey,
}

/// The open orders with free places, by tenant and position.
#[derive(Debug, Default)]
pub(super) struct VacancyIndex {
    tenants: Mutex<BTreeMap<Tenant, BTreeMap<u64, OrderKey>>>,
}

impl VacancyIndex {
    /// Adds an order.
    pub(super) fn insert(&self, key: &OrderKey, place: u64) {
        let mut tenants = self.tenants.lock();
        tenants.entry(key.tenant.clone()).or_default().insert(place, key.clone());
    }

    /// Removes an order.
    pub(super) fn remove(&self, key: &OrderKey, place: u64) {
        let mut tenants = self.tenants.lock();
        let Some(orders) = tenants.get_mut(&key.tenant) else { return };
        orders.remove(&place);
        if orders.is_empty() {
            tenants.remove(&key.tenant);
        }
    }

    /// Returns the tenants that have such orders.
    pub(super) fn tenants(&self) -> Vec<Tenant> {
        self.tenants.lock().keys().cloned().collect()
    }

    /// Returns at most `limit` orders of a tenant after a position.
    pub(super) fn piece(&self, tenant: &Tenant, after: u64, limit: usize) -> Vec<Vacancy> {
        let tenants = self.tenants.lock();
        let orders = tenants.get(tenant).into_iter();
        let later = orders.flat_map(|held| held.range((Bound::Excluded(after), Bound::Unbounded)));
        later.take(limit).map(|(place, key)| Vacancy { place: *place, key: key.clone() }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_go_on_after_the_last_order() {
        let index = VacancyIndex::default();
        let key = |name: &str| OrderKey::new("shop", name).unwrap();
        for (place, name) in [(3, "c"), (1, "a"), (2, "b")] {
            index.insert(&key(name), place);
        }
        let tenant = Tenant::new("shop").unwrap();
        assert_eq!(index.tenants(), std::slice::from_ref(&tenant));
        let first = index.piece(&tenant, 0, 2);
        assert_eq!(first.iter().map(|it| it.place).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(index.piece(&tenant, 2, 2), [Vacancy { place: 3, key: key("c") }]);
        assert_eq!(index.piece(&Tenant::default(), 0, 2), []);
        for (place, name) in [(1, "a"), (2, "b"), (3, "c")] {
            index.remove(&key(name), place);
        }
        assert_eq!(index.tenants(), []);
    }
}
