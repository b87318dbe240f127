//! The number of open orders in which each seller takes part. Capacity is reserved when an order's
//! sellers are chosen, before the order is stored, so that orders that open at the same instant do
//! not share it; the order counts when its opening is on disk, and no longer at its end. The counts
//! include the orders of this processor only; those at other processors come with the sellers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use orderstream_core::spec::{SellerChoice, Verdict};
use orderstream_core::{SellerId, Tenant};
use parking_lot::Mutex;

/// The counts of this processor.
#[derive(Debug, Default)]
pub(super) struct Capacity {
    counts: Mutex<OpenOrderCounts>,
}

/// Capacity at the sellers that were chosen for an order; released on drop.
#[derive(Debug)]
pub(super) struct Reservation {
    capacity: Arc<Capacity>,
    tenant: Tenant,
    sellers: BTreeSet<SellerId>,
    /// The changes of the directory that the choice includes.
    revision: u64,
}

impl Reservation {
    /// Returns the reservation of a choice that includes the changes up to this revision.
    pub(super) fn through(mut self, revision: u64) -> Self {
        self.revision = revision;
        self
    }

    /// Returns the changes of the directory that the choice includes.
    pub(super) const fn revision(&self) -> u64 {
        self.revision
    }

    fn release(&mut self, counts: &mut OpenOrderCounts) {
        for seller in std::mem::take(&mut self.sellers) {
            counts.release(&self.tenant, &seller);
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if !self.sellers.is_empty() {
            let capacity = Arc::clone(&self.capacity);
            self.release(&mut capacity.counts.lock());
        }
    }
}

/// The number of open orders of each seller.
#[derive(Debug, Default)]
pub(super) struct OpenOrderCounts(BTreeMap<(Tenant, SellerId), u32>);

impl OpenOrderCounts {
    /// Returns the count of one seller.
    pub(super) fn of(&self, tenant: &Tenant, seller: &SellerId) -> u32 {
        self.0.get(&(tenant.clone(), seller.clone())).copied().unwrap_or(0)
    }

    fn acquire(&mut self, tenant: &Tenant, seller: &SellerId) {
        let count = self.0.entry((tenant.clone(), seller.clone())).or_default();
        *count = count.saturating_add(1);
    }

    fn release(&mut self, tenant: &Tenant, seller: &SellerId) {
        let key = (tenant.clone(), seller.clone());
        if let Some(count) = self.0.get_mut(&key) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.0.remove(&key);
            }
        }
    }
}

impl Capacity {
    /// Chooses sellers of a tenant, and reserves capacity at each chosen one.
    pub(super) fn reserve(
        self: &Arc<Self>,
        tenant: &Tenant,
        choose: impl FnOnce(&OpenOrderCounts) -> Vec<SellerChoice>,
    ) -> (Vec<SellerChoice>, Reservation) {
        let mut counts = self.counts.lock();
        let choices = choose(&counts);
        let chosen = choices.iter().filter(|choice| choice.verdict == Verdict::Chosen);
        let sellers: BTreeSet<SellerId> = chosen.map(|choice| choice.seller.clone()).collect();
        for seller in &sellers {
            counts.acquire(tenant, seller);
        }
        let capacity = Arc::clone(self);
        (choices, Reservation { capacity, tenant: tenant.clone(), sellers, revision: 0 })
    }

    /// Counts an order for sellers whose invitations are on disk.
    pub(super) fn open(
        &self,
        tenant: &Tenant,
        sellers: &[SellerId],
        reservation: Option<Reservation>,
    ) {
        let mut counts = self.counts.lock();
        if let Some(mut reservation) = reservation {
            reservation.release(&mut counts);
        }
        for seller in sellers {
            counts.acquire(tenant, seller);
        }
    }

    /// Stops counting an order for these sellers.
    pub(super) fn end(&self, tenant: &Tenant, sellers: &[SellerId]) {
        let mut counts = self.counts.lock();
        for seller in sellers {
            counts.release(tenant, seller);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids() -> Vec<SellerId> {
        ["a", "b"].map(|name| SellerId::new(name).unwrap()).to_vec()
    }

    fn choices() -> Vec<SellerChoice> {
        let chosen = |seller: SellerId| SellerChoice {
            seller,
            verdict: Verdict::Chosen,
            distance_m: None,
            display_name: None,
        };
        ids().into_iter().map(chosen).collect()
    }

    fn open_counts(capacity: &Capacity) -> [u32; 2] {
        let counts = capacity.counts.lock();
        ["a", "b"].map(|name| counts.of(&Tenant::default(), &SellerId::new(name).unwrap()))
    }

    #[test]
    fn opened_orders_take_one_place_each() {
        let capacity = Arc::new(Capacity::default());
        let (_, reservation) = capacity.reserve(&Tenant::default(), |_| choices());
        assert_eq!(open_counts(&capacity), [1, 1], "while the opening is on its way");
        capacity.open(&Tenant::default(), &ids(), Some(reservation));
        assert_eq!(open_counts(&capacity), [1, 1]);
        capacity.end(&Tenant::default(), &ids());
        assert_eq!(open_counts(&capacity), [0, 0]);
    }

    #[test]
    fn failed_openings_give_their_places_back() {
        let capacity = Arc::new(Capacity::default());
        let (_, first) = capacity.reserve(&Tenant::default(), |_| choices());
        let (_, second) = capacity.reserve(&Tenant::default(), |_| choices());
        assert_eq!(open_counts(&capacity), [2, 2]);
        drop(first);
        assert_eq!(open_counts(&capacity), [1, 1]);
        drop(second);
        assert!(capacity.counts.lock().0.is_empty());
    }
}
