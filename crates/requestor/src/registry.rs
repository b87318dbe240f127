//! The order tracker: the followed orders, and the state of each. One owner of one map; every
//! section under its lock is short, and none waits.

mod displayed;
mod entry;
mod reads;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use orderstream_core::port::Assignment;
use orderstream_core::spec::SellerChoice;
use orderstream_core::tracker::{TrackerInput, TrackerOutput};
use orderstream_core::{
    Epoch, FollowUpId, Incarnation, OrderKey, OrderSpec, Reason, Refusal, Seq, Timestamp, Tracker,
    TrackerSnapshot,
};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use self::entry::{RegistryEntry, StoredExtent};
use crate::command_queue::Origin;
use crate::display_log::DisplayFloors;
use crate::metrics::Metrics;
use crate::projector::ListLocation;
use crate::seller_interner::SellerInterner;

/// The most ended orders that stay visible; beyond it the oldest are removed, here and in the
/// store.
pub(crate) const ENDED_ORDERS_MAX: usize = 10_000;

/// The identity of an order's task, and its notifier.
#[derive(Clone, Debug)]
pub(crate) struct FollowerHandle {
    /// The generation of the entry's task, which grows with each start; a task of a former one
    /// changes nothing.
    pub(crate) generation: u64,
    /// Notified after every change of the entry.
    pub(crate) changed: Arc<Notify>,
}

/// The result of adding an order.
#[derive(Clone, Debug)]
pub(crate) enum AddOrderResult {
    /// The caller is to start the order's task.
    Start(FollowerHandle),
    /// A task follows the order already, or the order has ended.
    Known,
}

/// The processor that an order's commands are sent to, if any.
#[derive(Clone, Debug)]
pub(crate) enum CommandRoute {
    /// At this processor, under this epoch.
    Ready {
        /// The processor's URL.
        processor: String,
        /// The epoch of the tracker here.
        epoch: Epoch,
    },
    /// The order is not open at its processor yet; this is notified of the next change.
    Opening(Arc<Notify>),
    /// Its processor does not open it, for a reason that does not go away by itself.
    Refused {
        /// The processor's refusal to open the order.
        refusal: Refusal,
        /// The processor's URL.
        processor: String,
        /// The epoch of the tracker here.
        epoch: Epoch,
    },
    /// The order, or this incarnation of it, is not followed here.
    Unknown,
}

#[derive(Debug, Default)]
struct RegistryState {
    /// The orders, each on the heap: a tree's nodes are a third empty.
    map: BTreeMap<OrderKey, Box<RegistryEntry>>,
    ended: VecDeque<(OrderKey, u64)>,
    /// The number of entries in `map` that have ended.
    over: usize,
    /// Ended orders that are removed here, and not in the store yet.
    evicted: Vec<OrderKey>,
    /// The states that former processes displayed, of orders that were not added since.
    floors: DisplayFloors,
    active: usize,
    /// The number of orders that are being stored, and are not in the map yet.
    reserved: usize,
    last_generation: u64,
    /// The processors' URLs, each stored once.
    processors: BTreeSet<Arc<str>>,
    names: SellerInterner,
    /// Set once no more tasks may start.
    is_closed: bool,
}

impl RegistryState {
    fn intern_processor(&mut self, url: &str) -> Arc<str> {
        if let Some(known) = self.processors.get(url) {
            return Arc::clone(known);
        }
        let url: Arc<str> = url.into();
        self.processors.insert(Arc::clone(&url));
        url
    }

    fn of_incarnation(
        &self,
        key: &OrderKey,
        incarnation: Option<&Incarnation>,
    ) -> Option<&RegistryEntry> {
        let entry = self.map.get(key)?;
        incarnation.is_none_or(|expected| entry.tracker.incarnation() == expected).then_some(entry)
    }
}

/// Capacity for one order, reserved while this is held.
#[derive(Debug)]
pub(crate) struct OrderReservation<'a>(&'a Registry);

impl Drop for OrderReservation<'_> {
    fn drop(&mut self) {
        let mut orders = self.0.orders.lock();
        orders.reserved = orders.reserved.saturating_sub(1);
    }
}

/// The tracker of all orders.
#[derive(Debug)]
pub(crate) struct Registry {
    orders: Mutex<RegistryState>,
    orders_max: usize,
    metrics: Metrics,
}

/// The last event that a tracker has, and its time.
pub(crate) type ResumePoint = (Seq, Option<Timestamp>);

impl Registry {
    pub(crate) fn new(orders_max: usize, metrics: Metrics) -> Self {
        Self { orders: Mutex::new(RegistryState::default()), orders_max, metrics }
    }

    /// Reports whether the order is tracked.
    pub(crate) fn has_order(&self, key: &OrderKey) -> bool {
        self.orders.lock().map.contains_key(key)
    }

    /// Reports whether the order's stream is up.
    pub(crate) fn is_stream_active(&self, key: &OrderKey) -> bool {
        self.orders.lock().map.get(key).is_some_and(|entry| entry.active)
    }

    /// Reports whether the order store holds this order.
    pub(crate) fn is_stored(&self, key: &OrderKey) -> bool {
        self.orders.lock().map.get(key).is_some_and(|entry| entry.stored != StoredExtent::Nothing)
    }

    /// Gets or creates the order, in one step: of any number of callers at the same instant, one
    /// gets [`AddOrderResult::Start`]. A new incarnation replaces the old one.
    pub(crate) fn add_order(
        &self,
        assignment: Assignment,
        origin: Origin,
    ) -> Result<AddOrderResult, Refusal> {
        let stored = origin == Origin::Store;
        let mut orders = self.orders.lock();
        if orders.is_closed {
            return Err(stopping());
        }
        let processor = orders.intern_processor(&assignment.processor);
        orders.last_generation = orders.last_generation.saturating_add(1);
        let generation = orders.last_generation;
        let same = orders
            .map
            .get_mut(&assignment.key)
            .filter(|entry| *entry.tracker.incarnation() == assignment.incarnation || stored);
        if let Some(entry) = same {
            if stored && entry.stored == StoredExtent::Nothing {
                entry.stored = StoredExtent::Order;
            }
            return Ok(entry.reassign(assignment.epoch, processor, generation));
        }
        self.remove_entry(&mut orders, &assignment.key);
        // A stored order is always followed, because it was acknowledged.
        if !stored {
            self.check_capacity(&orders)?;
        }
        let key = assignment.key.clone();
        let mut tracker = Tracker::new(key.clone(), assignment.incarnation);
        if let Some(floor) = orders.floors.remove(&key) {
            tracker.step(Timestamp(0), TrackerInput::Published(floor));
        }
        let follower = FollowerHandle { generation, changed: Arc::new(Notify::new()) };
        let entry = RegistryEntry {
            epoch: assignment.epoch,
            processor,
            requested_spec: Some(Box::new(assignment.spec)),
            tracker,
            follower: follower.clone(),
            task: None,
            active: false,
            was_active: false,
            running: true,
            over: false,
            stored: if stored { StoredExtent::Order } else { StoredExtent::Nothing },
            opening_refusal: None,
        };
        orders.map.insert(key, Box::new(entry));
        self.update_gauges(&orders);
        Ok(AddOrderResult::Start(follower))
    }

    /// Stores the handle of the order's started task. A task that nobody wants any more is aborted
    /// at once.
    pub(crate) fn set_task(&self, key: &OrderKey, generation: u64, task: AbortHandle) {
        let mut orders = self.orders.lock();
        let is_closed = orders.is_closed;
        match orders
            .map
            .get_mut(key)
            .filter(|entry| entry.follower.generation == generation && !is_closed)
        {
            Some(entry) if entry.running => entry.task = Some(task),
            // The task has ended by itself.
            Some(_) => {}
            None => task.abort(),
        }
    }

    /// Aborts all tasks, and lets no more start; returns the number of tasks.
    pub(crate) fn close(&self) -> usize {
        let mut orders = self.orders.lock();
        orders.is_closed = true;
        let tasks = orders.map.values().filter_map(|entry| entry.task.as_ref());
        tasks.inspect(|task| task.abort()).count()
    }

    /// Makes the sellers' names of an order share their texts with equal names of other orders.
    pub(crate) fn intern_sellers(&self, choices: &mut [SellerChoice]) {
        let mut orders = self.orders.lock();
        choices.iter_mut().for_each(|choice| orders.names.intern(&mut choice.seller));
    }

    /// Returns the shared text of a processor's URL.
    pub(crate) fn intern_url(&self, processor: &str) -> Arc<str> {
        self.orders.lock().intern_processor(processor)
    }

    /// Returns the processor that the order's task is to connect to now; `None` when the task was
    /// replaced or the order removed.
    pub(crate) fn processor(&self, key: &OrderKey, generation: u64) -> Option<Arc<str>> {
        let orders = self.orders.lock();
        let entry = orders.map.get(key).filter(|entry| entry.follower.generation == generation)?;
        Some(Arc::clone(&entry.processor))
    }

    /// Returns the assignment of the order's task now, and the last event to resume after; `None`
    /// when the task was replaced or the order removed.
    pub(crate) fn assignment(
        &self,
        key: &OrderKey,
        generation: u64,
    ) -> Option<(Assignment, ResumePoint)> {
        let orders = self.orders.lock();
        let entry = orders.map.get(key).filter(|entry| entry.follower.generation == generation)?;
        let at = entry.tracker.resume_event_at();
        Some((entry.assignment(key), (entry.tracker.resume_after(), at)))
    }

    /// Returns the location of the order's list, and the last event known of it.
    pub(crate) fn list_location(&self, key: &OrderKey) -> Option<ListLocation> {
        self.orders.lock().map.get(key).map(|entry| entry.list_location())
    }

    /// Returns the processors that own orders of this tracker.
    pub(crate) fn processors(&self) -> BTreeSet<String> {
        let orders = self.orders.lock();
        let mut processors = BTreeSet::new();
        for entry in orders.map.values() {
            if !processors.contains(&*entry.processor) {
                processors.insert(entry.processor.to_string());
            }
        }
        processors
    }

    /// Returns the order as its tracker has it now.
    pub(crate) fn get_order(&self, key: &OrderKey) -> Option<Arc<TrackerSnapshot>> {
        self.orders.lock().map.get(key).map(|entry| Arc::new(entry.tracker.snapshot()))
    }

    /// Returns the order's specification, as far as it is held here.
    pub(crate) fn spec(&self, key: &OrderKey) -> Option<OrderSpec> {
        self.orders.lock().map.get(key).map(|entry| entry.spec())
    }

    /// Counts a follow-up that is stored and will be forwarded.
    pub(crate) fn add_follow_up(&self, now: Timestamp, key: &OrderKey, id: FollowUpId) {
        let mut orders = self.orders.lock();
        if let Some(entry) = orders.map.get_mut(key) {
            entry.step(now, TrackerInput::FollowUpAdded(id));
        }
    }

    fn mark_inactive(&self, now: Timestamp, key: &OrderKey, generation: u64, reason: String) {
        self.step(now, key, generation, TrackerInput::Disconnected { reason });
    }

    /// Steps the order's tracker by one input. Inputs of a former task are ignored.
    pub(crate) fn step(
        &self,
        now: Timestamp,
        key: &OrderKey,
        generation: u64,
        input: TrackerInput,
    ) -> TrackerOutput {
        let mut orders = self.orders.lock();
        let Some(entry) =
            orders.map.get_mut(key).filter(|entry| entry.follower.generation == generation)
        else {
            return TrackerOutput::Ignored;
        };
        let (was_up, had_been_up) = (entry.active, entry.was_active);
        let output = entry.step(now, input);
        let is_up = entry.active;
        if is_up && !was_up && had_been_up {
            self.metrics.stream_reconnects.inc();
        }
        if was_up != is_up {
            orders.active = match is_up {
                true => orders.active.saturating_add(1),
                false => orders.active.saturating_sub(1),
            };
            self.update_gauges(&orders);
        }
        output
    }

    /// Records that the order's task has ended, for any reason: nothing of it stays active.
    pub(crate) fn task_ended(&self, now: Timestamp, key: &OrderKey, generation: u64) {
        if self.is_up(key, generation) {
            self.mark_inactive(now, key, generation, "the stream's task ended".to_owned());
        }
        let mut orders = self.orders.lock();
        let Some(entry) =
            orders.map.get_mut(key).filter(|entry| entry.follower.generation == generation)
        else {
            return;
        };
        entry.running = false;
        entry.task = None;
        entry.follower.changed.notify_waiters();
        if entry.has_ended() {
            entry.over = true;
            orders.record_end(key, generation);
        }
        self.update_gauges(&orders);
    }

    fn is_up(&self, key: &OrderKey, generation: u64) -> bool {
        let orders = self.orders.lock();
        orders
            .map
            .get(key)
            .is_some_and(|entry| entry.active && entry.follower.generation == generation)
    }

    /// Ends the task that follows this incarnation of the order, and removes the order here;
    /// returns the location of its list, if the order was here.
    pub(crate) fn remove_order(
        &self,
        key: &OrderKey,
        incarnation: &Incarnation,
    ) -> Option<ListLocation> {
        let mut orders = self.orders.lock();
        let entry = orders.map.get(key).filter(|entry| entry.tracker.incarnation() == incarnation);
        let location = entry.map(|entry| entry.list_location());
        if location.is_some() {
            self.remove_entry(&mut orders, key);
        }
        self.update_gauges(&orders);
        location
    }

    fn remove_entry(&self, orders: &mut RegistryState, key: &OrderKey) {
        if let Some(entry) = orders.map.remove(key) {
            entry.task.into_iter().for_each(|task| task.abort());
            entry.follower.changed.notify_waiters();
            orders.active = orders.active.saturating_sub(usize::from(entry.active));
            orders.over = orders.over.saturating_sub(usize::from(entry.over));
        }
    }

    /// Reserves capacity for an order that is about to be stored.
    ///
    /// # Errors
    /// When no more orders are allowed.
    pub(crate) fn reserve(&self) -> Result<OrderReservation<'_>, Refusal> {
        let mut orders = self.orders.lock();
        self.check_capacity(&orders)?;
        orders.reserved = orders.reserved.saturating_add(1);
        Ok(OrderReservation(self))
    }

    fn check_capacity(&self, orders: &RegistryState) -> Result<(), Refusal> {
        let (used, max) = (orders.live_count().saturating_add(orders.reserved), self.orders_max);
        if used < max {
            return Ok(());
        }
        Err(Refusal::new(
            Reason::LimitReached,
            format!("{max} orders are followed, the most that are allowed; try again later"),
        ))
    }

    /// Stores the refusal of the order's opening; it holds until a stream is up.
    pub(crate) fn set_opening_refusal(&self, key: &OrderKey, generation: u64, refusal: &Refusal) {
        let mut orders = self.orders.lock();
        if let Some(entry) =
            orders.map.get_mut(key).filter(|entry| entry.follower.generation == generation)
        {
            entry.opening_refusal = Some(Box::new(refusal.clone()));
            entry.follower.changed.notify_waiters();
        }
    }

    fn update_gauges(&self, orders: &RegistryState) {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.metrics.streams_active.set(number(orders.active));
        self.metrics.orders_tracked.set(number(orders.map.len()));
    }
}

/// Returns the refusal of work while the requestor stops.
pub(crate) fn stopping() -> Refusal {
    Refusal::new(Reason::Draining, "the requestor is stopping; try again later")
}
