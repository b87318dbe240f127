//! The number of open orders in which each seller takes part. A place is reserved when an order's
//! sellers are chosen, before the order is stored, so that orders that open at the same instant do
//! not share it; an order takes its places when its opening is on disk, and gives them back at its
//! end. The counts are of the orders of this processor; those at others come with the sellers.

use std::collections::{BTreeMap, BTreeSet};

use orderstream_core::spec::{SellerChoice, Verdict};
use orderstream_core::{Order, SellerId, Tenant};
use parking_lot::Mutex;

/// The counts of this processor.
#[derive(Debug, Default)]
pub(super) struct Capacity {
    counts: Mutex<Counts>,
}

/// Places at the sellers that were chosen for an order that is opening; given back on drop.
#[derive(Debug)]
pub(super) struct Reservation<'a> {
    capacity: &'a Capacity,
    tenant: Tenant,
    sellers: BTreeSet<SellerId>,
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        let mut counts = self.capacity.counts.lock();
        for seller in &self.sellers {
            counts.give_back(&self.tenant, seller);
        }
    }
}

/// The number of open orders of each seller.
#[derive(Debug, Default)]
pub(super) struct Counts(BTreeMap<(Tenant, SellerId), u32>);

impl Counts {
    /// Returns the count of one seller.
    pub(super) fn of(&self, tenant: &Tenant, seller: &SellerId) -> u32 {
        self.0.get(&(tenant.clone(), seller.clone())).copied().unwrap_or(0)
    }

    fn take(&mut self, tenant: &Tenant, seller: &SellerId) {
        let count = self.0.entry((tenant.clone(), seller.clone())).or_default();
        *count = count.saturating_add(1);
    }

    fn give_back(&mut self, tenant: &Tenant, seller: &SellerId) {
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
    /// Chooses sellers of a tenant, and reserves a place with each chosen one.
    pub(super) fn reserve(
        &self,
        tenant: &Tenant,
        choose: impl FnOnce(&Counts) -> Vec<SellerChoice>,
    ) -> (Vec<SellerChoice>, Reservation<'_>) {
        let mut counts = self.counts.lock();
        let choices = choose(&counts);
        let chosen = choices.iter().filter(|choice| choice.verdict == Verdict::Chosen);
        let sellers: BTreeSet<SellerId> = chosen.map(|choice| choice.seller.clone()).collect();
        for seller in &sellers {
            counts.take(tenant, seller);
        }
        (choices, Reservation { capacity: self, tenant: tenant.clone(), sellers })
    }

    /// Takes the places of an order whose opening is on disk.
    pub(super) fn open(&self, order: &Order) {
        let mut counts = self.counts.lock();
        for held in &order.invitations {
            counts.take(&order.key.tenant, &held.seller);
        }
    }

    /// Gives back the places of an order that has ended.
    pub(super) fn end(&self, order: &Order) {
        let mut counts = self.counts.lock();
        for held in &order.invitations {
            counts.give_back(&order.key.tenant, &held.seller);
        }
    }
}
