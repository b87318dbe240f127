//! The open orders to which each seller is invited, and its sessions that wait for more. The index
//! changes when an order opens, when it invites more sellers, and when it ends; no other event costs
//! anything here. Each order has one position, a number that only grows, so that a session's cursor
//! is one number. For a seller that is invited later it has one of its own.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_util::Stream;
use orderstream_core::{Order, OrderKey, Reason, Refusal, SellerId, Tenant};
use parking_lot::Mutex;

use super::{OwnedOrders, OwnedOrdersInner};
use crate::limits::SESSIONS_PER_SELLER_MAX;

type TenantSeller = (Tenant, SellerId);

/// The open orders of every seller of this processor.
#[derive(Debug, Default)]
pub(super) struct InvitationIndex {
    state: Mutex<InvitationIndexState>,
}

#[derive(Debug, Default)]
struct InvitationIndexState {
    sellers: BTreeMap<TenantSeller, InvitationIndexEntry>,
    /// The sellers that were invited after the opening, by the position of their order.
    late: BTreeMap<u64, Vec<LateInvitation>>,
    last_place: u64,
    last_session: u64,
}

/// A seller that was invited after its order's opening, and the order's position for it.
#[derive(Debug)]
struct LateInvitation {
    seller: SellerId,
    place: u64,
}

#[derive(Debug, Default)]
struct InvitationIndexEntry {
    orders: BTreeMap<u64, Arc<OrderKey>>,
    sessions: BTreeMap<u64, Option<Waker>>,
}

impl InvitationIndex {
    /// Assigns a position to an order that opened; returns the wakers of the invited sellers'
    /// sessions.
    pub(super) fn open(&self, order: &Order) -> (u64, Vec<Waker>) {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let place = state.last_place.saturating_add(1);
        state.last_place = place;
        let key = Arc::new(order.key.clone());
        let mut wakers = Vec::new();
        for invitation in &order.invitations {
            let name = (order.key.tenant.clone(), invitation.seller.clone());
            let seller = state.sellers.entry(name).or_default();
            seller.orders.insert(place, Arc::clone(&key));
            wakers.extend(seller.sessions.values_mut().filter_map(Option::take));
        }
        (place, wakers)
    }

    /// Adds sellers to an open order, at positions after all others: their sessions may be past the
    /// order's own. Returns those that it did not have, and the wakers of their sessions.
    pub(super) fn add(
        &self,
        key: &OrderKey,
        place: u64,
        sellers: &[SellerId],
    ) -> (Vec<SellerId>, Vec<Waker>) {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let (mut added, mut wakers) = (Vec::new(), Vec::new());
        for seller in sellers {
            let name = (key.tenant.clone(), seller.clone());
            if state.has(&name, place) {
                continue;
            }
            let own_place = state.last_place.saturating_add(1);
            state.last_place = own_place;
            let entry = state.sellers.entry(name).or_default();
            entry.orders.insert(own_place, Arc::new(key.clone()));
            wakers.extend(entry.sessions.values_mut().filter_map(Option::take));
            let late = LateInvitation { seller: seller.clone(), place: own_place };
            state.late.entry(place).or_default().push(late);
            added.push(seller.clone());
        }
        (added, wakers)
    }

    /// Returns the invited sellers of an order that the index has.
    pub(super) fn sellers_of(&self, order: &Order, place: u64) -> Vec<SellerId> {
        let state = self.state.lock();
        let invited = order.invitations.iter().map(|held| held.seller.clone());
        invited
            .filter(|seller| state.has(&(order.key.tenant.clone(), seller.clone()), place))
            .collect()
    }

    /// Removes an order that has ended.
    pub(super) fn end(&self, order: &Order, place: u64) {
        let mut state = self.state.lock();
        for invitation in &order.invitations {
            let name = (order.key.tenant.clone(), invitation.seller.clone());
            state.change(&name, |seller| drop(seller.orders.remove(&place)));
        }
        for late in state.late.remove(&place).unwrap_or_default() {
            let name = (order.key.tenant.clone(), late.seller);
            state.change(&name, |seller| drop(seller.orders.remove(&late.place)));
        }
    }

    fn add_session(&self, name: &TenantSeller) -> Result<u64, Refusal> {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let seller = state.sellers.entry(name.clone()).or_default();
        if seller.sessions.len() >= SESSIONS_PER_SELLER_MAX {
            let text = format!(
                "{} has {SESSIONS_PER_SELLER_MAX} sessions here, the most that one seller may have",
                name.1
            );
            return Err(Refusal::new(Reason::LimitReached, text));
        }
        let id = state.last_session.saturating_add(1);
        state.last_session = id;
        seller.sessions.insert(id, None);
        Ok(id)
    }

    fn remove_session(&self, name: &TenantSeller, id: u64) {
        self.state.lock().change(name, |seller| drop(seller.sessions.remove(&id)));
    }

    /// Returns the order at the next position after this one; where there is none, the waker is
    /// stored.
    fn next(
        &self,
        name: &TenantSeller,
        session: u64,
        after: u64,
        waker: &Waker,
    ) -> Option<(u64, OrderKey)> {
        let mut state = self.state.lock();
        let seller = state.sellers.get_mut(name)?;
        let next = seller.orders.range((Bound::Excluded(after), Bound::Unbounded)).next();
        if let Some((place, key)) = next {
            return Some((*place, OrderKey::clone(key)));
        }
        if let Some(waker_slot) = seller.sessions.get_mut(&session) {
            *waker_slot = Some(waker.clone());
        }
        None
    }

    /// Returns the open orders of a seller, in the order of their positions.
    pub(super) fn open_orders(&self, tenant: &Tenant, seller: &SellerId) -> Vec<Arc<OrderKey>> {
        let state = self.state.lock();
        let held = state.sellers.get(&(tenant.clone(), seller.clone()));
        held.into_iter().flat_map(|held| held.orders.values()).map(Arc::clone).collect()
    }

    fn first(&self, name: &TenantSeller, limit: usize) -> Vec<OrderKey> {
        let state = self.state.lock();
        let seller = state.sellers.get(name);
        let orders = seller.into_iter().flat_map(|seller| seller.orders.values());
        orders.take(limit).map(|key| OrderKey::clone(key)).collect()
    }
}

impl InvitationIndexState {
    /// Reports whether the order at this position has a seller.
    fn has(&self, name: &TenantSeller, place: u64) -> bool {
        let late = self.late.get(&place).into_iter().flatten();
        self.sellers.get(name).is_some_and(|seller| seller.orders.contains_key(&place))
            || late.into_iter().any(|late| late.seller == name.1)
    }

    /// Changes the entry of a seller; one without orders and sessions is removed.
    fn change(&mut self, name: &TenantSeller, change: impl FnOnce(&mut InvitationIndexEntry)) {
        let Some(seller) = self.sellers.get_mut(name) else { return };
        change(seller);
        if seller.orders.is_empty() && seller.sessions.is_empty() {
            self.sellers.remove(name);
        }
    }
}

/// The open orders that a seller is invited to: the existing ones, then each one that opens. The
/// stream never ends, and yields each order once.
#[derive(Debug)]
pub struct Invitations {
    inner: Arc<OwnedOrdersInner>,
    name: TenantSeller,
    id: u64,
    after: u64,
}

impl Invitations {
    /// Returns the first of the open orders, at most `limit`.
    pub fn first(&self, limit: usize) -> Vec<OrderKey> {
        self.inner.invitations.first(&self.name, limit)
    }
}

impl Stream for Invitations {
    type Item = OrderKey;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<OrderKey>> {
        let index = &self.inner.invitations;
        match index.next(&self.name, self.id, self.after, context.waker()) {
            Some((place, key)) => {
                self.after = place;
                Poll::Ready(Some(key))
            }
            None => Poll::Pending,
        }
    }
}

impl Drop for Invitations {
    fn drop(&mut self) {
        self.inner.invitations.remove_session(&self.name, self.id);
    }
}

impl OwnedOrders {
    /// Adds a session of a seller.
    ///
    /// # Errors
    /// The seller has too many sessions.
    pub fn invitations(&self, tenant: Tenant, seller: SellerId) -> Result<Invitations, Refusal> {
        let name = (tenant, seller);
        let id = self.inner.invitations.add_session(&name)?;
        Ok(Invitations { inner: Arc::clone(&self.inner), name, id, after: 0 })
    }
}

#[cfg(test)]
mod tests {
    use orderstream_core::event::OrderOpened;
    use orderstream_core::spec::{SellerChoice, Verdict};
    use orderstream_core::{Event, EventKind, Incarnation, OrderSpec, Seq, Timestamp};

    use super::*;

    fn seller(name: &str) -> SellerId {
        SellerId::new(name).unwrap()
    }

    fn order(id: &str, sellers: &[&str]) -> Order {
        let opened = OrderOpened {
            key: OrderKey::new("", id).unwrap(),
            incarnation: Incarnation::new("uid-1").unwrap(),
            spec: OrderSpec::default(),
            expires_at: Timestamp(60_000),
        };
        let chosen = |name: &&str| SellerChoice {
            seller: seller(name),
            verdict: Verdict::Chosen,
            distance_m: None,
            display_name: None,
        };
        let choices = sellers.iter().map(chosen).collect();
        let kinds = [EventKind::OrderOpened(Box::new(opened)), EventKind::SellersSelected(choices)];
        let mut order = None;
        for (seq, kind) in (1..).zip(kinds) {
            let event = Event { seq: Seq(seq), at: Timestamp(0), cause: None, kind };
            Order::fold(&mut order, &event).unwrap();
        }
        order.unwrap()
    }

    /// Its session has received a newer order by then.
    #[test]
    fn late_sellers_receive_an_older_order() {
        let (index, name) = (InvitationIndex::default(), (Tenant::default(), seller("b")));
        let (older, _) = index.open(&order("older", &["a"]));
        let (newer, _) = index.open(&order("newer", &["b"]));
        let session = index.add_session(&name).unwrap();
        let next = |after| {
            let next = index.next(&name, session, after, Waker::noop());
            next.map(|(place, key)| (place, key.order_req_id.to_string()))
        };
        assert_eq!(next(0), Some((newer, "newer".to_owned())));
        assert_eq!(next(newer), None, "its waker waits");
        let both = [seller("a"), seller("b")];
        let (added, wakers) = index.add(&OrderKey::new("", "older").unwrap(), older, &both);
        assert_eq!((added, wakers.len()), (vec![seller("b")], 1));
        assert_eq!(next(newer), Some((newer + 1, "older".to_owned())));
        let (again, _) = index.add(&OrderKey::new("", "older").unwrap(), older, &both);
        assert_eq!(again, []);
        let invited = order("older", &["a", "b", "c"]);
        assert_eq!(index.sellers_of(&invited, older), both, "c is not on disk yet");
        index.end(&invited, older);
        assert_eq!(next(newer), None);
        assert!(index.state.lock().late.is_empty());
        assert_eq!(index.open_orders(&Tenant::default(), &seller("a")), []);
    }
}
