//! The choice of the entry that a request means: the newest incarnation of an order id, one that
//! opens beside it, or a former one; and the checks before an opening.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use orderstream_core::command::OrderOpening;
use orderstream_core::input::check_new_order;
use orderstream_core::{Incarnation, OrderIncarnation, OrderKey, Reason, Refusal, Timestamp};

use super::entry::IncarnationEntry;
use super::{OwnedOrders, Shard, another_incarnation, not_found};
use crate::limits::{FORMERS_MAX, INCARNATIONS_MAX, ORDERS_MAX};

/// Returns the entry of an incarnation, even where its opening is not on disk yet.
pub(super) fn entry_of<'a>(
    openings: &'a mut BTreeMap<OrderKey, IncarnationEntry>,
    orders: &'a mut BTreeMap<OrderKey, IncarnationEntry>,
    order_incarnation: &OrderIncarnation,
) -> Option<&'a mut IncarnationEntry> {
    let OrderIncarnation { key, incarnation } = order_incarnation;
    match openings.get_mut(key).filter(|entry| entry.incarnation == *incarnation) {
        Some(entry) => Some(entry),
        None => orders.get_mut(key).filter(|entry| entry.incarnation == *incarnation),
    }
}

impl Shard {
    /// Reports whether this incarnation waits beside an ended one for its opening to be on disk.
    pub(super) fn is_opening(&self, order_incarnation: &OrderIncarnation) -> bool {
        let opening = self.openings.get(&order_incarnation.key);
        opening.is_some_and(|entry| entry.incarnation == order_incarnation.incarnation)
    }

    /// Returns the entry that a command is about: the newest, unless the command names an
    /// incarnation that opens.
    pub(super) fn target_entry(
        &mut self,
        key: &OrderKey,
        named: Option<&Incarnation>,
    ) -> Option<&mut IncarnationEntry> {
        let opening = self.openings.get_mut(key);
        match opening.filter(|entry| named == Some(&entry.incarnation)) {
            Some(entry) => Some(entry),
            None => self.orders.get_mut(key),
        }
    }

    /// Returns the newest incarnation of an order.
    ///
    /// # Errors
    /// An order that is not here, or another incarnation than the one that is named.
    pub(super) fn newest(
        &mut self,
        key: &OrderKey,
        named: Option<&Incarnation>,
    ) -> Result<&mut IncarnationEntry, Refusal> {
        let entry = self.orders.get_mut(key).ok_or_else(|| not_found(key))?;
        match named {
            Some(named) if *named != entry.incarnation => {
                Err(another_incarnation(key, &entry.incarnation))
            }
            Some(_) | None => Ok(entry),
        }
    }

    /// Returns the time after which a new incarnation has to open: of two on disk the one that
    /// opened later is the newer, even if the clock ran back.
    fn last_end(&self, key: &OrderKey) -> Option<Timestamp> {
        let newest = self.orders.get(key).and_then(|entry| entry.book.order());
        let formers = self.formers.get(key).into_iter().flatten();
        let ends = formers.filter_map(|former| former.ended_at.max(former.opened_at));
        ends.chain(newest.map(|order| order.last_event.0)).max()
    }
}

impl OwnedOrders {
    /// Returns the entry for an opening: the existing one; a new one where there is none; and where
    /// the newest incarnation has ended, a new one beside it, which stays as it is.
    pub(super) fn entry_to_open<'a>(
        &self,
        shard: &'a mut Shard,
        key: &OrderKey,
        opening: &OrderOpening,
        now: &mut Timestamp,
    ) -> Result<Option<&'a mut IncarnationEntry>, Refusal> {
        let order_incarnation = OrderIncarnation::new(key, &opening.incarnation);
        let newest = shard.orders.get(key);
        let newest = newest.map(|entry| {
            (entry.incarnation == order_incarnation.incarnation, entry.ended_at().is_some())
        });
        match newest {
            Some((true, _)) => return Ok(shard.orders.get_mut(key)),
            _ if shard.openings.contains_key(key) => return Ok(shard.openings.get_mut(key)),
            Some((false, false)) => return Ok(shard.orders.get_mut(key)),
            Some((false, true)) | None => {}
        }
        may_open(shard, &order_incarnation)?;
        // The book refuses it too, but an entry would be left behind for it.
        check_new_order(&key.order_req_id, &opening.spec)?;
        if let Some(last_end) = shard.last_end(key) {
            *now = (*now).max(last_end.plus_ms(1));
        }
        let map = match newest {
            None => {
                self.reserve_order()?;
                &mut shard.orders
            }
            Some(_) => {
                self.check_former_capacity()?;
                &mut shard.openings
            }
        };
        Ok(Some(map.entry(key.clone()).or_insert_with(|| IncarnationEntry::new(order_incarnation))))
    }

    /// Counts one more order id.
    fn reserve_order(&self) -> Result<(), Refusal> {
        if self.inner.count.fetch_add(1, Ordering::Relaxed) >= ORDERS_MAX {
            self.inner.count.fetch_sub(1, Ordering::Relaxed);
            let text = format!("this processor holds {ORDERS_MAX} orders, the most it takes");
            return Err(Refusal::new(Reason::Overloaded, text));
        }
        Ok(())
    }

    fn check_former_capacity(&self) -> Result<(), Refusal> {
        if self.inner.formers.load(Ordering::Relaxed) < FORMERS_MAX {
            return Ok(());
        }
        let text = format!(
            "this processor keeps {FORMERS_MAX} former incarnations, the most it does; use a new \
             order_req_id, or shorten --keep-ended"
        );
        Err(Refusal::new(Reason::Overloaded, text))
    }
}

/// Checks that an incarnation that is not here may be opened.
fn may_open(shard: &Shard, order_incarnation: &OrderIncarnation) -> Result<(), Refusal> {
    let OrderIncarnation { key, incarnation } = order_incarnation;
    if shard.former(key, Some(incarnation)).is_some() {
        let text = format!(
            "this incarnation of order {key} has ended, and another one came after it; use a new \
             order_req_id or a new incarnation"
        );
        return Err(Refusal::new(Reason::OrderEnded, text));
    }
    if shard.removals.contains(order_incarnation) {
        let text = "what is left of this incarnation is being removed; try again";
        return Err(Refusal::new(Reason::StorageUnavailable, text));
    }
    if shard.formers.get(key).is_some_and(|formers| formers.len() >= INCARNATIONS_MAX) {
        let text = format!(
            "{INCARNATIONS_MAX} ended incarnations of order {key} are kept, the most that there may \
             be; use a new order_req_id, or shorten --keep-ended"
        );
        return Err(Refusal::new(Reason::LimitReached, text));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::former::FormerEntry;
    use super::*;

    fn order_incarnation(incarnation: &str) -> OrderIncarnation {
        OrderIncarnation {
            key: OrderKey::new("", "a").unwrap(),
            incarnation: Incarnation::new(incarnation).unwrap(),
        }
    }

    fn shard(formers: usize) -> Shard {
        let entry = |n: usize| {
            FormerEntry::from(IncarnationEntry::new(order_incarnation(&format!("uid-{n}"))))
        };
        let mut shard = Shard::default();
        shard.formers.insert(order_incarnation("any").key, (0..formers).map(entry).collect());
        shard
    }

    /// The refusal names the setting that helps.
    #[test]
    fn former_incarnations_are_limited() {
        may_open(&shard(INCARNATIONS_MAX - 1), &order_incarnation("next")).unwrap();
        let refusal = may_open(&shard(INCARNATIONS_MAX), &order_incarnation("next")).unwrap_err();
        assert_eq!(refusal.reason, Reason::LimitReached);
        assert!(refusal.message.contains("--keep-ended"), "{refusal}");
    }

    #[test]
    fn former_incarnations_are_not_reopened() {
        let refusal = may_open(&shard(2), &order_incarnation("uid-1")).unwrap_err();
        assert_eq!(refusal.reason, Reason::OrderEnded);
        assert!(refusal.message.contains("new order_req_id"), "{refusal}");
    }

    /// Until then the refusal is retriable; another incarnation does not wait.
    #[test]
    fn openings_wait_for_their_removal() {
        let mut shard = shard(0);
        shard.removals.insert(order_incarnation("uid-1"));
        let refusal = may_open(&shard, &order_incarnation("uid-1")).unwrap_err();
        assert!(refusal.reason.is_retriable(), "{refusal}");
        may_open(&shard, &order_incarnation("uid-2")).unwrap();
    }
}
