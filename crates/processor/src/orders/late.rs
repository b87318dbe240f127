//! The invitation of sellers that come while orders are open. Changes of the directory are noted in
//! a bounded set; one task takes the set, and goes through the orders with free places in pieces.
//!
//! ```text
//!   the directory ── a seller changed ──┐
//!                                       ├─▶ pending ─▶ the orders with places ─▶ Invite
//!   an opening that missed a change ────┘
//! ```
//!
//! At the start all sellers are pending: some may have come while this processor was down.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream;
use orderstream_core::port::SellerWatcher;
use orderstream_core::spec::{Seller, SellerChoice};
use orderstream_core::{Command, CommandKind, Incarnation, OrderKey, SellerId, Tenant};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::OwnedOrders;
use super::capacity::Reservation;
use crate::limits::{
    LATE_INVITATIONS_IN_FLIGHT, LATE_ORDERS_MAX, LATE_ORDERS_PER_PIECE, LATE_SELLERS_MAX,
    LATE_SELLERS_RETRY, LATE_SELLERS_SETTLE, NOTIFY_SELLERS_POLL,
};
use crate::selection::{SelectionTerms, select_late};

/// The changes of sellers that are still to be considered for open orders.
#[derive(Debug)]
pub(super) struct LateSellers {
    pending: Mutex<PendingChanges>,
    changed: Notify,
}

#[derive(Debug)]
struct PendingChanges {
    /// The number of changes so far.
    revision: u64,
    work: LateWork,
}

/// The work of one round.
#[derive(Debug, Default, PartialEq, Eq)]
struct LateWork {
    /// Every seller is to be considered for every order.
    is_for_all: bool,
    /// The sellers to consider for every order of their tenant.
    sellers: BTreeSet<(Tenant, SellerId)>,
    /// The orders for which every seller of their tenant is to be considered.
    orders: BTreeSet<OrderKey>,
}

impl LateWork {
    /// Replaces more single sellers and orders than are kept by a look at everything.
    fn bound(&mut self) {
        self.is_for_all |=
            self.sellers.len() > LATE_SELLERS_MAX || self.orders.len() > LATE_ORDERS_MAX;
        if self.is_for_all {
            self.sellers.clear();
            self.orders.clear();
        }
    }
}

impl Default for LateSellers {
    fn default() -> Self {
        let work = LateWork { is_for_all: true, ..LateWork::default() };
        let pending = Mutex::new(PendingChanges { revision: 0, work });
        Self { pending, changed: Notify::new() }
    }
}

impl LateSellers {
    /// Returns the number of changes so far. What is read of the directory after this includes them.
    pub(super) fn revision(&self) -> u64 {
        self.pending.lock().revision
    }

    /// Notes an order that may have missed changes of sellers.
    pub(super) fn consider_order(&self, key: &OrderKey) {
        self.add(|work| {
            work.orders.insert(key.clone());
        });
    }

    fn note_change(&self, add: impl FnOnce(&mut LateWork)) {
        {
            let mut pending = self.pending.lock();
            pending.revision = pending.revision.saturating_add(1);
        }
        self.add(add);
    }

    fn add(&self, add: impl FnOnce(&mut LateWork)) {
        {
            let mut pending = self.pending.lock();
            add(&mut pending.work);
            pending.work.bound();
        }
        self.changed.notify_one();
    }

    /// Takes all work; `None` where there is none.
    fn take(&self) -> Option<LateWork> {
        let work = std::mem::take(&mut self.pending.lock().work);
        (work != LateWork::default()).then_some(work)
    }
}

impl SellerWatcher for LateSellers {
    fn seller_changed(&self, tenant: &Tenant, id: &SellerId) {
        self.note_change(|work| {
            work.sellers.insert((tenant.clone(), id.clone()));
        });
    }

    fn sellers_changed(&self) {
        self.note_change(|work| work.is_for_all = true);
    }
}

/// The sellers that a round considers for the orders of a tenant.
enum Candidates {
    All,
    Named(Vec<SellerId>),
}

/// The part of an order with free places by which late sellers are chosen.
struct VacantOrder {
    incarnation: Incarnation,
    terms: SelectionTerms,
    /// The sellers that it invites, and those that declined.
    settled: BTreeSet<SellerId>,
    places: usize,
}

impl VacantOrder {
    /// Returns those of the sellers that fit, are not invited yet, and have not declined.
    fn fitting<'a>(&self, sellers: &'a [Seller]) -> Vec<&'a Seller> {
        let is_new = |seller: &&Seller| !self.settled.contains(&seller.id);
        sellers.iter().filter(is_new).filter(|seller| self.terms.fits(seller)).collect()
    }
}

impl OwnedOrders {
    /// Invites sellers that come while orders are open, until shutdown.
    pub(crate) async fn invite_late_sellers(&self, shutdown: CancellationToken) {
        // Cancel-safe: a command that was submitted is stored, and at the next start all sellers are
        // considered again.
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = self.follow_late_sellers() => {}
        }
    }

    async fn follow_late_sellers(&self) {
        while !self.directory().is_known() {
            tokio::time::sleep(NOTIFY_SELLERS_POLL).await;
        }
        loop {
            if self.is_read_only() {
                tokio::time::sleep(LATE_SELLERS_RETRY).await;
                continue;
            }
            let Some(work) = self.inner.late.take() else {
                self.inner.late.changed.notified().await;
                tokio::time::sleep(LATE_SELLERS_SETTLE).await;
                continue;
            };
            let unfinished = self.consider(work).await;
            if !unfinished.is_empty() {
                tokio::time::sleep(LATE_SELLERS_RETRY).await;
                self.inner.late.add(|work| work.orders.extend(unfinished));
            }
        }
    }

    /// Does the work of one round. Returns the orders for which that is to be done again.
    async fn consider(&self, work: LateWork) -> Vec<OrderKey> {
        let mut unfinished = Vec::new();
        if work.is_for_all {
            for tenant in self.inner.vacancies.tenants() {
                unfinished.extend(self.consider_for_all(&tenant, &Candidates::All).await);
            }
        }
        let mut changed: BTreeMap<Tenant, Vec<SellerId>> = BTreeMap::new();
        for (tenant, id) in work.sellers {
            changed.entry(tenant).or_default().push(id);
        }
        for (tenant, ids) in changed {
            unfinished.extend(self.consider_for_all(&tenant, &Candidates::Named(ids)).await);
        }
        for key in work.orders {
            let sellers = self.directory().sellers(&key.tenant);
            unfinished.extend(self.invite_fitting(key, &sellers).await);
        }
        unfinished
    }

    /// Returns the candidates as the directory has them now.
    fn read_candidates(&self, tenant: &Tenant, candidates: &Candidates) -> Arc<[Seller]> {
        match candidates {
            Candidates::All => self.directory().sellers(tenant),
            Candidates::Named(ids) => {
                ids.iter().filter_map(|id| self.directory().seller(tenant, id)).collect()
            }
        }
    }

    /// Considers sellers for each order of a tenant that has free places. They are read again for
    /// each piece: one may be suspended in a long round.
    async fn consider_for_all(&self, tenant: &Tenant, candidates: &Candidates) -> Vec<OrderKey> {
        let (mut unfinished, mut after) = (Vec::new(), 0);
        loop {
            let piece = self.inner.vacancies.piece(tenant, after, LATE_ORDERS_PER_PIECE);
            let Some(last) = piece.last() else { return unfinished };
            after = last.place;
            let sellers = self.read_candidates(tenant, candidates);
            let again: Vec<OrderKey> = stream::iter(piece)
                .map(|vacancy| self.invite_fitting(vacancy.key, &sellers))
                .buffer_unordered(LATE_INVITATIONS_IN_FLIGHT)
                .filter_map(std::future::ready)
                .collect()
                .await;
            unfinished.extend(again);
        }
    }

    /// Invites those of the sellers that fit an order, as far as it has places. Returns the order
    /// where that is to be done again.
    async fn invite_fitting(&self, key: OrderKey, sellers: &[Seller]) -> Option<OrderKey> {
        // Other tasks have their turn between two orders.
        tokio::task::yield_now().await;
        let vacant = self.vacant_order(&key)?;
        let (choices, reservation) = self.choose_late(&key.tenant, &vacant, sellers)?;
        let body = CommandKind::Invite { choices };
        let command = Command { incarnation: Some(vacant.incarnation), ..Command::bare(body) };
        match self.execute_with(&key, command, Some(reservation)).await {
            Err(refusal) if refusal.reason.is_retriable() => {
                tracing::debug!(order = %key, %refusal, "late sellers could not be invited yet");
                Some(key)
            }
            // Otherwise it was filled, decided or ended meanwhile.
            Ok(_) | Err(_) => None,
        }
    }

    fn vacant_order(&self, key: &OrderKey) -> Option<VacantOrder> {
        let shard = self.shard(key).lock();
        let order = shard.orders.get(key)?.book.order()?;
        let places = order.free_places();
        let invited = order.invitations.iter().map(|held| &held.seller);
        let left = order.declined.iter().filter(|seller| order.has_left(seller));
        (places > 0).then(|| VacantOrder {
            incarnation: order.incarnation.clone(),
            terms: SelectionTerms::of(&order.spec),
            settled: invited.chain(left).cloned().collect(),
            places,
        })
    }

    /// Chooses among the sellers, and reserves capacity at each chosen one; `None` where none fits.
    fn choose_late(
        &self,
        tenant: &Tenant,
        vacant: &VacantOrder,
        sellers: &[Seller],
    ) -> Option<(Vec<SellerChoice>, Reservation)> {
        let fitting = vacant.fitting(sellers);
        if fitting.is_empty() {
            return None;
        }
        let (choices, reservation) = self.inner.capacity.reserve(tenant, |counts| {
            let busy = |id: &SellerId| self.busy(counts, tenant, id);
            select_late(&vacant.terms, &fitting, vacant.places, &busy)
        });
        (!choices.is_empty()).then_some((choices, reservation))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(late: &LateSellers, number: usize) {
        let id = SellerId::new(format!("s{number}")).unwrap();
        late.seller_changed(&Tenant::default(), &id);
    }

    /// The first round is for everything.
    #[test]
    fn changes_of_one_seller_are_one() {
        let late = LateSellers::default();
        change(&late, 1);
        assert_eq!(late.take(), Some(LateWork { is_for_all: true, ..LateWork::default() }));
        assert_eq!(late.take(), None);
        change(&late, 1);
        change(&late, 1);
        assert_eq!((late.take().unwrap().sellers.len(), late.revision()), (1, 3));
    }

    #[test]
    fn too_many_changes_become_one_for_all() {
        let late = LateSellers::default();
        late.take();
        (0..LATE_SELLERS_MAX).for_each(|number| change(&late, number));
        let key = OrderKey::new("", "a").unwrap();
        late.consider_order(&key);
        let work = late.take().unwrap();
        assert_eq!((work.sellers.len(), work.orders.len()), (LATE_SELLERS_MAX, 1));
        (0..=LATE_SELLERS_MAX).for_each(|number| change(&late, number));
        late.consider_order(&key);
        assert_eq!(late.take(), Some(LateWork { is_for_all: true, ..LateWork::default() }));
    }
}
