//! The number of orders before their deadline in which each seller takes part: counted as orders
//! are reconciled, so that a reconcile costs only as much as its own order's invitations, and that
//! once. Pure.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use orderstream_core::Order;

use crate::object::ObjectKey;
use crate::table_capacity::ReleaseCapacity as _;

/// The sellers of the open orders, with their counts.
#[derive(Debug, Default)]
pub(super) struct InvitationCounts {
    orders: HashMap<ObjectKey, CountedOrder>,
    sellers: SellerIndex,
    /// Open orders whose invitations are not known yet.
    unknown: HashSet<ObjectKey>,
}

/// An order that was counted.
#[derive(Debug)]
struct CountedOrder {
    uid: Arc<str>,
    /// Its sellers, by their indices.
    sellers: Box<[u32]>,
}

/// The sellers that take part in any open order. An order holds their indices, of four bytes each;
/// the index of a seller that no longer takes part is given to the next.
#[derive(Debug, Default)]
struct SellerIndex {
    indices: HashMap<ObjectKey, u32>,
    counts: Vec<(ObjectKey, u32)>,
    free: Vec<u32>,
}

impl SellerIndex {
    /// Counts one more order for a seller, and returns the seller's index.
    fn add(&mut self, seller: ObjectKey) -> Option<u32> {
        if let Some(index) = self.indices.get(&seller) {
            let (_, count) = self.counts.get_mut(usize::try_from(*index).ok()?)?;
            *count = count.saturating_add(1);
            return Some(*index);
        }
        let index = match self.free.pop() {
            Some(index) => {
                *self.counts.get_mut(usize::try_from(index).ok()?)? = (seller.clone(), 1);
                index
            }
            None => {
                let index = u32::try_from(self.counts.len()).ok()?;
                self.counts.push((seller.clone(), 1));
                index
            }
        };
        self.indices.insert(seller, index);
        Some(index)
    }

    /// Counts one order fewer for the seller of an index, and returns the seller.
    fn remove(&mut self, index: u32) -> Option<ObjectKey> {
        let (seller, count) = self.counts.get_mut(usize::try_from(index).ok()?)?;
        *count = count.saturating_sub(1);
        let (seller, is_last) = (seller.clone(), *count == 0);
        if is_last {
            self.indices.remove(&seller);
            self.free.push(index);
        }
        Some(seller)
    }

    fn count(&self, seller: &ObjectKey) -> u32 {
        let index = self.indices.get(seller).and_then(|place| usize::try_from(*place).ok());
        index.and_then(|place| self.counts.get(place)).map_or(0, |(_, count)| *count)
    }
}

impl InvitationCounts {
    /// Counts an order as it is now; `None` while none of its events was received. Returns the
    /// sellers whose counts changed.
    pub(super) fn observe(
        &mut self,
        object: &ObjectKey,
        uid: &Arc<str>,
        order: Option<&Order>,
    ) -> Vec<ObjectKey> {
        let held = self.orders.get(object);
        // An order only ever invites more; while its list is read again, fewer are known.
        let has_all =
            |order: &Order| held.is_some_and(|held| held.sellers.len() >= order.invitations.len());
        match (held.map(|held| held.uid == *uid), order) {
            (Some(true), Some(order)) if order.phase.is_before_deadline() && has_all(order) => {
                Vec::new()
            }
            (Some(true), None) => Vec::new(),
            (counted, Some(order)) if order.phase.is_before_deadline() && order.last_seq.0 >= 2 => {
                let mut changed = if counted.is_some() { self.ended(object) } else { Vec::new() };
                changed.extend(self.count(object, uid, order));
                changed
            }
            (_, Some(order)) if !order.phase.is_before_deadline() => self.ended(object),
            (_, _) => {
                self.unknown.insert(object.clone());
                Vec::new()
            }
        }
    }

    fn count(&mut self, object: &ObjectKey, uid: &Arc<str>, order: &Order) -> Vec<ObjectKey> {
        self.mark_known(object);
        let mut changed = Vec::with_capacity(order.invitations.len());
        let mut indices = Vec::with_capacity(order.invitations.len());
        for invitation in &order.invitations {
            let namespace = Arc::clone(&object.namespace);
            let seller = ObjectKey { namespace, name: invitation.seller.as_str().into() };
            indices.extend(self.sellers.add(seller.clone()));
            changed.push(seller);
        }
        let counted = CountedOrder { uid: Arc::clone(uid), sellers: indices.into() };
        self.orders.insert(object.clone(), counted);
        changed
    }

    /// Drops an order that has ended or whose resource is gone. Returns the sellers whose counts
    /// changed.
    pub(super) fn ended(&mut self, object: &ObjectKey) -> Vec<ObjectKey> {
        self.mark_known(object);
        let Some(counted) = self.orders.remove(object) else { return Vec::new() };
        self.orders.release_capacity();
        counted.sellers.iter().filter_map(|place| self.sellers.remove(*place)).collect()
    }

    fn mark_known(&mut self, object: &ObjectKey) {
        self.unknown.remove(object);
        self.unknown.release_capacity();
    }

    /// Returns the number of open orders in which a seller takes part.
    pub(super) fn of(&self, seller: &ObjectKey) -> u32 {
        self.sellers.count(seller)
    }

    /// Reports whether every open order that was reconciled is counted.
    pub(super) fn is_complete(&self) -> bool {
        self.unknown.is_empty()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use orderstream_core::book::Context;
    use orderstream_core::command::OrderOpening;
    use orderstream_core::spec::{SellerChoice, Verdict};
    use orderstream_core::{
        Book, Command, CommandKind, Incarnation, OrderKey, OrderSpec, SellerId, Timestamp,
    };

    use super::*;

    pub(in crate::sellers) fn order(sellers: &[&str], then: &[CommandKind]) -> Order {
        let mut book = Book::new(OrderKey::new("shop", "A").unwrap());
        let choice = |name: &&str| SellerChoice {
            seller: SellerId::new(*name).unwrap(),
            verdict: Verdict::Chosen,
            distance_m: None,
            display_name: None,
        };
        let opening = CommandKind::Open(Box::new(OrderOpening {
            incarnation: Incarnation::new("u").unwrap(),
            spec: OrderSpec::default(),
            choices: sellers.iter().map(choice).collect(),
        }));
        let context = Context { now: Timestamp(1), fresh_id: None };
        for act in std::iter::once(&opening).chain(then) {
            drop(book.step(&context, &Command::bare(act.clone())));
        }
        book.order().cloned().unwrap()
    }

    fn object(name: &str) -> ObjectKey {
        ObjectKey { namespace: "shop".into(), name: name.into() }
    }

    fn names(changed: &[ObjectKey]) -> Vec<&str> {
        changed.iter().map(|seller| &*seller.name).collect()
    }

    /// Each of its sellers counts it once; the indices of sellers without orders are reused.
    #[test]
    fn orders_count_from_opening_to_end() {
        let mut counts = InvitationCounts::default();
        let ab = order(&["a", "b"], &[]);
        assert_eq!(names(&counts.observe(&object("1"), &"u1".into(), Some(&ab))), ["a", "b"]);
        assert_eq!(counts.observe(&object("1"), &"u1".into(), Some(&ab)), []);
        assert_eq!(counts.observe(&object("1"), &"u1".into(), None), [], "its stream broke");
        let bc = order(&["b", "c"], &[]);
        counts.observe(&object("2"), &"u2".into(), Some(&bc));
        let of = |invited: &InvitationCounts| ["a", "b", "c"].map(|name| invited.of(&object(name)));
        assert_eq!(of(&counts), [1, 2, 1]);
        let closed = order(&["a", "b"], &[CommandKind::Close { reason: None }]);
        assert_eq!(names(&counts.observe(&object("1"), &"u1".into(), Some(&closed))), ["a", "b"]);
        assert_eq!(of(&counts), [0, 1, 1]);
        assert_eq!(counts.observe(&object("1"), &"u1".into(), Some(&closed)), []);
        assert_eq!(names(&counts.ended(&object("2"))), ["b", "c"], "it was deleted");
        assert_eq!(of(&counts), [0, 0, 0]);
        assert!(counts.sellers.indices.is_empty() && counts.orders.is_empty());
        counts.observe(&object("3"), &"u".into(), Some(&order(&["d", "e", "f"], &[])));
        assert_eq!(counts.sellers.counts.len(), 3, "places are used again");
    }

    #[test]
    fn late_sellers_are_counted_too() {
        let mut counts = InvitationCounts::default();
        counts.observe(&object("1"), &"u1".into(), Some(&order(&["a"], &[])));
        let choices = ["a", "b"].map(|name| SellerChoice {
            seller: SellerId::new(name).unwrap(),
            verdict: Verdict::Chosen,
            distance_m: None,
            display_name: None,
        });
        let invite = CommandKind::Invite { choices: choices.to_vec() };
        let later = order(&["a"], &[invite]);
        assert_eq!(
            names(&counts.observe(&object("1"), &"u1".into(), Some(&later))),
            ["a", "a", "b"]
        );
        assert_eq!(counts.observe(&object("1"), &"u1".into(), Some(&later)), []);
        assert_eq!((counts.of(&object("a")), counts.of(&object("b"))), (1, 1));
        counts.ended(&object("1"));
        assert_eq!((counts.of(&object("a")), counts.of(&object("b"))), (0, 0));
    }

    #[test]
    fn new_incarnation_replaces_former_counts() {
        let mut counts = InvitationCounts::default();
        counts.observe(&object("1"), &"u1".into(), Some(&order(&["a"], &[])));
        let changed = counts.observe(&object("1"), &"u2".into(), Some(&order(&["b"], &[])));
        assert_eq!(names(&changed), ["a", "b"]);
        assert_eq!((counts.of(&object("a")), counts.of(&object("b"))), (0, 1));
    }

    /// The counts are complete once an event of each was received, or the order is gone.
    #[test]
    fn unknown_orders_make_counts_incomplete() {
        let mut counts = InvitationCounts::default();
        counts.observe(&object("1"), &"u1".into(), None);
        counts.observe(&object("2"), &"u2".into(), None);
        assert!(!counts.is_complete());
        counts.observe(&object("1"), &"u1".into(), Some(&order(&["a"], &[])));
        counts.ended(&object("2"));
        assert!(counts.is_complete());
    }
}
