//! The displayed state of the tracked orders, which outlives this process: floors under orders that
//! are read again, and orders that ended before.

use std::sync::Arc;

use orderstream_core::buyer::BuyerOrderView;
use orderstream_core::tracker::{PublishedView, TrackerInput};
use orderstream_core::{OrderKey, OrderSpec, RequestPhase, Timestamp, Tracker};
use tokio::sync::Notify;

use super::entry::{RegistryEntry, StoredExtent};
use super::{ENDED_ORDERS_MAX, FollowerHandle, Registry, RegistryState};
use crate::display_log::DisplayFloors;
use crate::store::EndedOrder;

impl RegistryState {
    /// Returns the number of orders that have not ended.
    pub(super) fn live_count(&self) -> usize {
        self.map.len().saturating_sub(self.over)
    }

    /// Takes an ended order into account. Beyond their limit the oldest ended orders are removed.
    pub(super) fn record_end(&mut self, key: &OrderKey, generation: u64) {
        self.over = self.over.saturating_add(1);
        self.ended.push_back((key.clone(), generation));
        while self.ended.len() > ENDED_ORDERS_MAX {
            let Some((oldest, generation)) = self.ended.pop_front() else { return };
            let entry = self.map.get(&oldest);
            if entry.is_none_or(|entry| entry.follower.generation != generation) {
                continue;
            }
            self.over = self.over.saturating_sub(1);
            if self.map.remove(&oldest).is_some_and(|entry| entry.stored != StoredExtent::Nothing) {
                self.evicted.push(oldest);
            }
        }
    }
}

impl Registry {
    /// Stores the states that former processes displayed, until their orders are added.
    pub(crate) fn set_floors(&self, floors: DisplayFloors) {
        self.orders.lock().floors = floors;
    }

    /// Adds an order that ended before this process began.
    pub(crate) fn add_ended(&self, ended: EndedOrder) {
        let EndedOrder { key, partial_spec, processor, displayed } = ended;
        let mut orders = self.orders.lock();
        orders.floors.remove(&key);
        let processor = orders.intern_processor(&processor);
        orders.last_generation = orders.last_generation.saturating_add(1);
        let generation = orders.last_generation;
        let mut tracker = Tracker::new(key.clone(), displayed.incarnation.clone());
        let epoch = displayed.epoch;
        tracker.step(Timestamp(0), TrackerInput::Published(Arc::new(displayed)));
        let entry = RegistryEntry {
            epoch,
            processor,
            requested_spec: Some(Box::new(partial_spec)),
            tracker,
            follower: FollowerHandle { generation, changed: Arc::new(Notify::new()) },
            task: None,
            active: false,
            was_active: false,
            running: false,
            over: true,
            stored: StoredExtent::End,
            opening_refusal: None,
        };
        orders.map.insert(key.clone(), Box::new(entry));
        orders.record_end(&key, generation);
        self.update_gauges(&orders);
    }

    /// Takes the ended orders that were removed here; the caller is to remove them in the store.
    pub(crate) fn take_evicted(&self) -> Vec<OrderKey> {
        std::mem::take(&mut self.orders.lock().evicted)
    }

    /// Returns the states to display of these orders that do not survive this process yet.
    pub(crate) fn to_persist<'a>(
        &self,
        keys: impl Iterator<Item = &'a OrderKey>,
    ) -> Vec<(OrderKey, Arc<PublishedView>)> {
        let orders = self.orders.lock();
        let fresh = |key: &OrderKey| {
            let tracker = &orders.map.get(key)?.tracker;
            // Within the lock, so that nobody else holds the order when its next event is folded.
            let displayed = tracker.snapshot().next_published()?;
            (tracker.published().map(|persisted| &**persisted) != Some(&displayed))
                .then(|| (key.clone(), Arc::new(displayed)))
        };
        keys.filter_map(fresh).collect()
    }

    /// Records that this state survives, and may be displayed.
    pub(crate) fn mark_persisted(&self, key: &OrderKey, displayed: &Arc<PublishedView>) {
        if let Some(entry) = self.orders.lock().map.get_mut(key) {
            entry.tracker.step(Timestamp(0), TrackerInput::Published(Arc::clone(displayed)));
        }
    }

    /// Records that the order's end is stored, with the state to display, which may be displayed
    /// now.
    pub(crate) fn mark_end_stored(&self, key: &OrderKey, displayed: &Arc<PublishedView>) {
        self.mark_persisted(key, displayed);
        let mut orders = self.orders.lock();
        let ended = orders.map.get_mut(key);
        if let Some(entry) =
            ended.filter(|entry| *entry.tracker.incarnation() == displayed.incarnation)
        {
            entry.stored = StoredExtent::End;
        }
    }

    /// Returns the orders of which any state was displayed, except those whose end is stored.
    pub(crate) fn displayed_keys(&self) -> Vec<OrderKey> {
        let orders = self.orders.lock();
        let displayed = orders.map.iter().filter(|(_, entry)| entry.tracker.published().is_some());
        let displayed = displayed.filter(|(_, entry)| entry.stored != StoredExtent::End);
        displayed.map(|(key, _)| key.clone()).collect()
    }

    /// Returns the displayed states of these orders.
    pub(crate) fn displayed(&self, keys: &[OrderKey]) -> Vec<(OrderKey, Arc<PublishedView>)> {
        let orders = self.orders.lock();
        let displayed = |key: &OrderKey| {
            Some((key.clone(), Arc::clone(orders.map.get(key)?.tracker.published()?)))
        };
        keys.iter().filter_map(displayed).collect()
    }

    /// Returns these orders as they may be displayed, without those that are not here.
    pub(crate) fn tracked(&self, keys: &[OrderKey]) -> Vec<BuyerOrderView> {
        let orders = self.orders.lock();
        let none = OrderSpec::default();
        let tracked = |key: &OrderKey| {
            let entry = orders.map.get(key)?;
            let tracked =
                BuyerOrderView::of(&entry.tracker.snapshot(), entry.known_spec().unwrap_or(&none));
            let is_of_resource = entry.stored == StoredExtent::Nothing;
            Some(if is_of_resource { tracked.into_resource_view() } else { tracked })
        };
        keys.iter().filter_map(tracked).collect()
    }

    /// Returns the order's phase as users see it, to filter by.
    pub(crate) fn phase(&self, key: &OrderKey) -> Option<RequestPhase> {
        self.orders.lock().map.get(key).map(|entry| entry.tracker.snapshot().phase())
    }

    /// Reports whether the order ended before this process began, so that less than its whole
    /// specification is held here.
    pub(crate) fn has_partial_spec(&self, key: &OrderKey) -> bool {
        let orders = self.orders.lock();
        orders.map.get(key).is_some_and(|entry| entry.over && entry.tracker.order().is_none())
    }
}
