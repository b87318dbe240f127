//! In how many open orders each seller takes part. A place is taken when an order's sellers are
//! chosen, before the order is stored, so that orders that open at the same instant do not share it.
//! Counted for the orders of this processor; what a seller does at others comes with the sellers.

use std::collections::{BTreeMap, BTreeSet};

use orderstream_core::spec::{SellerChoice, Verdict};
use orderstream_core::{Incarnation, Order, OrderKey, SellerId, Tenant};
use parking_lot::Mutex;

type Life = (OrderKey, Incarnation);

/// Counts, and the places of orders that are being opened.
#[derive(Debug, Default)]
pub(super) struct Capacity {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    counts: Counts,
    opening: BTreeMap<Life, BTreeSet<SellerId>>,
}

/// How many open orders each seller takes part in.
#[derive(Debug, Default)]
pub(super) struct Counts(BTreeMap<(Tenant, SellerId), u32>);

impl Counts {
    /// Of one seller.
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
    /// Chooses sellers, and takes a place with each chosen one, unless somebody else is opening this
    /// life.
    pub(super) fn reserve(
        &self,
        life: Life,
        choose: impl FnOnce(&Counts) -> Vec<SellerChoice>,
    ) -> Vec<SellerChoice> {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let choices = choose(&state.counts);
        if state.opening.contains_key(&life) {
            return choices;
        }
        let chosen: BTreeSet<SellerId> = choices
            .iter()
            .filter(|choice| choice.verdict == Verdict::Chosen)
            .map(|choice| choice.seller.clone())
            .collect();
        for seller in &chosen {
            state.counts.take(&life.0.tenant, seller);
        }
        state.opening.insert(life, chosen);
        choices
    }

    /// Keeps the places of an order that was opened, till its end.
    pub(super) fn keep(&self, life: &Life) {
        self.state.lock().opening.remove(life);
    }

    /// Gives the places back of an order that could not be opened.
    pub(super) fn release(&self, life: &Life) {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let Some(chosen) = state.opening.remove(life) else { return };
        for seller in &chosen {
            state.counts.give_back(&life.0.tenant, seller);
        }
    }

    /// Takes the places of an order that was read from disk.
    pub(super) fn adopt(&self, order: &Order) {
        let mut state = self.state.lock();
        for held in &order.invitations {
            state.counts.take(&order.key.tenant, &held.seller);
        }
    }

    /// Gives the places of an order back that reached its end.
    pub(super) fn end(&self, order: &Order) {
        let mut state = self.state.lock();
        for held in &order.invitations {
            state.counts.give_back(&order.key.tenant, &held.seller);
        }
    }
}
