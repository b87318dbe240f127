//! The shown state of the tracked orders, which outlives this process: floors under orders that are
//! read again, and orders that ended before.

use std::sync::Arc;

use orderstream_core::buyer::Tracked;
use orderstream_core::tracker::{Input, Shown};
use orderstream_core::{OrderKey, OrderSpec, RequestPhase, Timestamp, Tracker};
use tokio::sync::Notify;

use super::entry::{Entry, Holds};
use super::{ENDED_KEPT_MAX, Following, Orders, Registry};
use crate::shown::Floors;
use crate::store::Ended;

impl Orders {
    /// Returns the number of orders that have not ended.
    pub(super) fn live(&self) -> usize {
        self.map.len().saturating_sub(self.over)
    }

    /// Takes an ended order into account. Beyond their limit the oldest ended orders are removed.
    pub(super) fn has_ended(&mut self, key: &OrderKey, life: u64) {
        self.over = self.over.saturating_add(1);
        self.ended.push_back((key.clone(), life));
        while self.ended.len() > ENDED_KEPT_MAX {
            let Some((oldest, life)) = self.ended.pop_front() else { return };
            let held = self.map.get(&oldest);
            if held.is_none_or(|entry| entry.following.life != life) {
                continue;
            }
            self.over = self.over.saturating_sub(1);
            if self.map.remove(&oldest).is_some_and(|entry| entry.stored != Holds::Nothing) {
                self.forgotten.push(oldest);
            }
        }
    }
}

impl Registry {
    /// Takes the states that former processes showed, until their orders are added.
    pub(crate) fn lay_floors(&self, floors: Floors) {
        self.orders.lock().floors = floors;
    }

    /// Adds an order that ended before this process began.
    pub(crate) fn add_ended(&self, ended: Ended) {
        let Ended { key, asked, processor, shown } = ended;
        let mut orders = self.orders.lock();
        orders.floors.remove(&key);
        let processor = orders.processor(&processor);
        orders.lives = orders.lives.saturating_add(1);
        let life = orders.lives;
        let mut tracker = Tracker::new(key.clone(), shown.incarnation.clone());
        let epoch = shown.epoch;
        tracker.step(Timestamp(0), Input::Shown(Arc::new(shown)));
        let entry = Entry {
            epoch,
            processor,
            asked: Some(Box::new(asked)),
            tracker,
            following: Following { life, changed: Arc::new(Notify::new()) },
            task: None,
            active: false,
            was_active: false,
            running: false,
            over: true,
            stored: Holds::End,
            refused: None,
        };
        orders.map.insert(key.clone(), Box::new(entry));
        orders.has_ended(&key, life);
        self.count(&orders);
    }

    /// Takes the ended orders that were removed here; the caller is to remove them in the store.
    pub(crate) fn take_forgotten(&self) -> Vec<OrderKey> {
        std::mem::take(&mut self.orders.lock().forgotten)
    }

    /// Returns the states to show of these orders that do not survive this process yet.
    pub(crate) fn to_keep<'a>(
        &self,
        keys: impl Iterator<Item = &'a OrderKey>,
    ) -> Vec<(OrderKey, Arc<Shown>)> {
        let orders = self.orders.lock();
        let fresh = |key: &OrderKey| {
            let tracker = &orders.map.get(key)?.tracker;
            // Within the lock, so that nobody else holds the order when its next event is folded.
            let shown = tracker.snapshot().to_show()?;
            (tracker.shown().map(|held| &**held) != Some(&shown))
                .then(|| (key.clone(), Arc::new(shown)))
        };
        keys.filter_map(fresh).collect()
    }

    /// Notes that this state survives, and may be shown.
    pub(crate) fn kept(&self, key: &OrderKey, shown: &Arc<Shown>) {
        if let Some(entry) = self.orders.lock().map.get_mut(key) {
            entry.tracker.step(Timestamp(0), Input::Shown(Arc::clone(shown)));
        }
    }

    /// Notes that the order's end is stored, with the state to show, which may be shown now.
    pub(crate) fn end_is_stored(&self, key: &OrderKey, shown: &Arc<Shown>) {
        self.kept(key, shown);
        let mut orders = self.orders.lock();
        let ended = orders.map.get_mut(key);
        if let Some(entry) = ended.filter(|e| *e.tracker.incarnation() == shown.incarnation) {
            entry.stored = Holds::End;
        }
    }

    /// Returns the orders of which any state was shown, except those whose end is stored.
    pub(crate) fn all_shown(&self) -> Vec<OrderKey> {
        let orders = self.orders.lock();
        let shown = orders.map.iter().filter(|(_, entry)| entry.tracker.shown().is_some());
        let shown = shown.filter(|(_, entry)| entry.stored != Holds::End);
        shown.map(|(key, _)| key.clone()).collect()
    }

    /// Returns the states that were shown of these orders.
    pub(crate) fn shown(&self, keys: &[OrderKey]) -> Vec<(OrderKey, Arc<Shown>)> {
        let orders = self.orders.lock();
        let shown =
            |key: &OrderKey| Some((key.clone(), Arc::clone(orders.map.get(key)?.tracker.shown()?)));
        keys.iter().filter_map(shown).collect()
    }

    /// Returns these orders as they may be shown, without those that are not here.
    pub(crate) fn tracked(&self, keys: &[OrderKey]) -> Vec<Tracked> {
        let orders = self.orders.lock();
        let none = OrderSpec::default();
        let tracked = |key: &OrderKey| {
            let entry = orders.map.get(key)?;
            let tracked = Tracked::of(&entry.tracker.snapshot(), entry.asked().unwrap_or(&none));
            let is_of_resource = entry.stored == Holds::Nothing;
            Some(if is_of_resource { tracked.told_by_its_resource() } else { tracked })
        };
        keys.iter().filter_map(tracked).collect()
    }

    /// Returns the order's phase as users see it, to filter by.
    pub(crate) fn phase(&self, key: &OrderKey) -> Option<RequestPhase> {
        self.orders.lock().map.get(key).map(|entry| entry.tracker.snapshot().phase())
    }

    /// Reports whether the order ended before this process began, so that less than its whole
    /// specification is held here.
    pub(crate) fn is_asked_in_short(&self, key: &OrderKey) -> bool {
        let orders = self.orders.lock();
        orders.map.get(key).is_some_and(|entry| entry.over && entry.tracker.order().is_none())
    }
}
