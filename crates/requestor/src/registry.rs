//! The order tracker: the followed orders, and the state of each. One owner of one map; every
//! section under its lock is short and none waits for anything.

mod entry;
mod shown;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use orderstream_core::book::settled_by_the_end;
use orderstream_core::buyer::Totals;
use orderstream_core::port::Assignment;
use orderstream_core::spec::SellerChoice;
use orderstream_core::tracker::{Input, Output};
use orderstream_core::{
    Act, Command, Epoch, FollowUpId, Incarnation, OrderKey, OrderSpec, Reason, Refusal, Seq,
    Snapshot, Timestamp, Tracker,
};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use self::entry::{Entry, Holds};
use crate::act_queue::{Origin, Settled};
use crate::metrics::Metrics;
use crate::names::Names;
use crate::projector::Place;
use crate::shown::Floors;

/// The most ended orders that stay visible; beyond it the oldest are removed, here and in the
/// store.
pub(crate) const ENDED_KEPT_MAX: usize = 10_000;

/// The identity of an order's task, and its notifier.
#[derive(Clone, Debug)]
pub(crate) struct Following {
    /// The generation of the entry's task, which grows with each start; a task of a former one
    /// changes nothing.
    pub(crate) life: u64,
    /// Notified after every change of the entry.
    pub(crate) changed: Arc<Notify>,
}

/// The result of adding an order.
#[derive(Clone, Debug)]
pub(crate) enum Added {
    /// The caller is to start the order's task.
    Start(Following),
    /// A task follows the order already, or the order has ended.
    Known,
}

/// The processor that an order's commands are sent to, if any.
#[derive(Clone, Debug)]
pub(crate) enum Address {
    /// At this processor, under this epoch.
    At {
        /// The processor's URL.
        processor: String,
        /// The epoch of the tracker here.
        epoch: Epoch,
    },
    /// The order is not open at its processor yet; this is notified of the next change.
    NotYet(Arc<Notify>),
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
struct Orders {
    /// The orders, each on the heap: a tree's nodes are a third empty.
    map: BTreeMap<OrderKey, Box<Entry>>,
    ended: VecDeque<(OrderKey, u64)>,
    /// The number of entries in `map` that have ended.
    over: usize,
    /// Ended orders that are removed here, and not in the store yet.
    forgotten: Vec<OrderKey>,
    /// The states that former processes showed, of orders that were not added since.
    floors: Floors,
    active: usize,
    /// The number of orders that are being stored, and are not in the map yet.
    reserved: usize,
    lives: u64,
    /// The processors' URLs, each held once.
    processors: BTreeSet<Arc<str>>,
    names: Names,
    /// Set once no more tasks may start.
    is_closed: bool,
}

impl Orders {
    fn processor(&mut self, url: &str) -> Arc<str> {
        if let Some(known) = self.processors.get(url) {
            return Arc::clone(known);
        }
        let url: Arc<str> = url.into();
        self.processors.insert(Arc::clone(&url));
        url
    }

    fn of_life(&self, key: &OrderKey, life: Option<&Incarnation>) -> Option<&Entry> {
        let entry = self.map.get(key)?;
        life.is_none_or(|life| entry.tracker.incarnation() == life).then_some(entry)
    }
}

/// Capacity for one order, reserved while this is held.
#[derive(Debug)]
pub(crate) struct Room<'a>(&'a Registry);

impl Drop for Room<'_> {
    fn drop(&mut self) {
        let mut orders = self.0.orders.lock();
        orders.reserved = orders.reserved.saturating_sub(1);
    }
}

/// The tracker of all orders.
#[derive(Debug)]
pub(crate) struct Registry {
    orders: Mutex<Orders>,
    orders_max: usize,
    metrics: Metrics,
}

/// The last event that a tracker has, and its time.
pub(crate) type Seen = (Seq, Option<Timestamp>);

impl Registry {
    pub(crate) fn new(orders_max: usize, metrics: Metrics) -> Self {
        Self { orders: Mutex::new(Orders::default()), orders_max, metrics }
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
        self.orders.lock().map.get(key).is_some_and(|entry| entry.stored != Holds::Nothing)
    }

    /// Gets or makes the order, in one step: of any number of callers at the same instant, one gets
    /// [`Added::Start`]. A new incarnation replaces the old one.
    pub(crate) fn add_order(
        &self,
        assignment: Assignment,
        origin: Origin,
    ) -> Result<Added, Refusal> {
        let stored = origin == Origin::Store;
        let mut orders = self.orders.lock();
        if orders.is_closed {
            return Err(stopping());
        }
        let processor = orders.processor(&assignment.processor);
        orders.lives = orders.lives.saturating_add(1);
        let life = orders.lives;
        let same = orders
            .map
            .get_mut(&assignment.key)
            .filter(|entry| *entry.tracker.incarnation() == assignment.incarnation || stored);
        if let Some(entry) = same {
            if stored && entry.stored == Holds::Nothing {
                entry.stored = Holds::Order;
            }
            return Ok(entry.again(assignment.epoch, processor, life));
        }
        self.forget(&mut orders, &assignment.key);
        // A stored order is always followed, because it was acknowledged.
        if !stored {
            self.check_room(&orders)?;
        }
        let key = assignment.key.clone();
        let mut tracker = Tracker::new(key.clone(), assignment.incarnation);
        if let Some(shown) = orders.floors.remove(&key) {
            tracker.step(Timestamp(0), Input::Shown(shown));
        }
        let following = Following { life, changed: Arc::new(Notify::new()) };
        let entry = Entry {
            epoch: assignment.epoch,
            processor,
            asked: Some(Box::new(assignment.spec)),
            tracker,
            following: following.clone(),
            task: None,
            active: false,
            was_active: false,
            running: true,
            over: false,
            stored: if stored { Holds::Order } else { Holds::Nothing },
            refused: None,
        };
        orders.map.insert(key, Box::new(entry));
        self.count(&orders);
        Ok(Added::Start(following))
    }

    /// Stores the handle of the order's started task. A task that nobody wants any more is aborted
    /// at once.
    pub(crate) fn started(&self, key: &OrderKey, life: u64, task: AbortHandle) {
        let mut orders = self.orders.lock();
        let is_closed = orders.is_closed;
        match orders.map.get_mut(key).filter(|entry| entry.following.life == life && !is_closed) {
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
    pub(crate) fn share_names(&self, choices: &mut [SellerChoice]) {
        let mut orders = self.orders.lock();
        choices.iter_mut().for_each(|choice| orders.names.share(&mut choice.seller));
    }

    /// Returns the one text of a processor's URL.
    pub(crate) fn share_url(&self, processor: &str) -> Arc<str> {
        self.orders.lock().processor(processor)
    }

    /// Returns the processor that the order's task is to connect to now; `None` when the task was
    /// replaced or the order removed.
    pub(crate) fn processor(&self, key: &OrderKey, life: u64) -> Option<Arc<str>> {
        let orders = self.orders.lock();
        let entry = orders.map.get(key).filter(|entry| entry.following.life == life)?;
        Some(Arc::clone(&entry.processor))
    }

    /// Returns the assignment of the order's task now, and the last event to resume after; `None`
    /// when the task was replaced or the order removed.
    pub(crate) fn assignment(&self, key: &OrderKey, life: u64) -> Option<(Assignment, Seen)> {
        let orders = self.orders.lock();
        let entry = orders.map.get(key).filter(|entry| entry.following.life == life)?;
        let at = entry.tracker.heard_at();
        Some((entry.assignment(key), (entry.tracker.resume_after(), at)))
    }

    /// Returns the place of the order's list, and the last event known of it.
    pub(crate) fn place(&self, key: &OrderKey) -> Option<Place> {
        self.orders.lock().map.get(key).map(|entry| entry.place())
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
    pub(crate) fn get_order(&self, key: &OrderKey) -> Option<Arc<Snapshot>> {
        self.orders.lock().map.get(key).map(|entry| Arc::new(entry.tracker.snapshot()))
    }

    /// Returns the order's specification, as far as it is held here.
    pub(crate) fn spec(&self, key: &OrderKey) -> Option<OrderSpec> {
        self.orders.lock().map.get(key).map(|entry| entry.spec())
    }

    /// Counts a follow-up that is stored and will be forwarded.
    pub(crate) fn add_follow_up_note(&self, now: Timestamp, key: &OrderKey, id: FollowUpId) {
        let mut orders = self.orders.lock();
        if let Some(entry) = orders.map.get_mut(key) {
            entry.step(now, Input::NoteAdded(id));
        }
    }

    fn mark_inactive(&self, now: Timestamp, key: &OrderKey, life: u64, reason: String) {
        self.step(now, key, life, Input::Disconnected { reason });
    }

    /// Steps the order's tracker by one input. Inputs of a former task are ignored.
    pub(crate) fn step(&self, now: Timestamp, key: &OrderKey, life: u64, input: Input) -> Output {
        let mut orders = self.orders.lock();
        let Some(entry) = orders.map.get_mut(key).filter(|entry| entry.following.life == life)
        else {
            return Output::Ignored;
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
            self.count(&orders);
        }
        output
    }

    /// Notes that the order's task has ended, for any reason: nothing of it stays active.
    pub(crate) fn task_ended(&self, now: Timestamp, key: &OrderKey, life: u64) {
        if self.is_up(key, life) {
            self.mark_inactive(now, key, life, "the stream's task ended".to_owned());
        }
        let mut orders = self.orders.lock();
        let Some(entry) = orders.map.get_mut(key).filter(|entry| entry.following.life == life)
        else {
            return;
        };
        entry.running = false;
        entry.task = None;
        entry.following.changed.notify_waiters();
        if entry.has_ended() {
            entry.over = true;
            orders.has_ended(key, life);
        }
        self.count(&orders);
    }

    fn is_up(&self, key: &OrderKey, life: u64) -> bool {
        let orders = self.orders.lock();
        orders.map.get(key).is_some_and(|entry| entry.active && entry.following.life == life)
    }

    /// Ends the task that follows this incarnation of the order, and removes the order here;
    /// returns the place of its list, if the order was here.
    pub(crate) fn remove_order(&self, key: &OrderKey, life: &Incarnation) -> Option<Place> {
        let mut orders = self.orders.lock();
        let held = orders.map.get(key).filter(|entry| entry.tracker.incarnation() == life);
        let place = held.map(|entry| entry.place());
        if place.is_some() {
            self.forget(&mut orders, key);
        }
        self.count(&orders);
        place
    }

    fn forget(&self, orders: &mut Orders, key: &OrderKey) {
        if let Some(entry) = orders.map.remove(key) {
            entry.task.into_iter().for_each(|task| task.abort());
            entry.following.changed.notify_waiters();
            orders.active = orders.active.saturating_sub(usize::from(entry.active));
            orders.over = orders.over.saturating_sub(usize::from(entry.over));
        }
    }

    /// Reserves room for an order that is about to be stored.
    ///
    /// # Errors
    /// When no more orders fit.
    pub(crate) fn reserve(&self) -> Result<Room<'_>, Refusal> {
        let mut orders = self.orders.lock();
        self.check_room(&orders)?;
        orders.reserved = orders.reserved.saturating_add(1);
        Ok(Room(self))
    }

    fn check_room(&self, orders: &Orders) -> Result<(), Refusal> {
        let (taken, max) = (orders.live().saturating_add(orders.reserved), self.orders_max);
        if taken < max {
            return Ok(());
        }
        Err(Refusal::new(
            Reason::LimitReached,
            format!("{max} orders are followed, the most that are allowed; try again later"),
        ))
    }

    /// Returns the numbers of orders and of streams that are up, and the orders' keys.
    pub(crate) fn counts(&self) -> Totals {
        let orders = self.orders.lock();
        Totals {
            total_orders: orders.map.len(),
            active_streams: orders.active,
            tracked: orders.map.keys().cloned().collect(),
        }
    }

    /// Reports whether the order has ended, for good.
    pub(crate) fn has_ended(&self, key: &OrderKey) -> bool {
        self.orders.lock().map.get(key).is_some_and(|entry| entry.end().is_some())
    }

    /// Returns the notifier of the order's changes.
    pub(crate) fn changed(&self, key: &OrderKey) -> Option<Arc<Notify>> {
        self.orders.lock().map.get(key).map(|entry| Arc::clone(&entry.following.changed))
    }

    /// Refuses a command that the order could not take now; called before the command is stored. An
    /// order that is not here takes every command. While the requestor stops, a stream that is down
    /// does not prove that another one leads.
    pub(crate) fn check_act(&self, key: &OrderKey) -> Result<(), Refusal> {
        let orders = self.orders.lock();
        match orders.map.get(key) {
            Some(entry) if orders.is_closed && entry.end().is_none() => Err(stopping()),
            Some(entry) => entry.check_followed(key),
            None => Ok(()),
        }
    }

    /// Returns the incarnation of the order that is followed.
    pub(crate) fn life(&self, key: &OrderKey) -> Option<Incarnation> {
        self.orders.lock().map.get(key).map(|entry| entry.tracker.incarnation().clone())
    }

    /// Returns the order's processor.
    pub(crate) fn home(&self, key: &OrderKey) -> Option<String> {
        self.orders.lock().map.get(key).map(|entry| entry.processor.to_string())
    }

    /// Returns the destination of commands on this incarnation of the order, or on the tracked one
    /// where none is given.
    pub(crate) fn address(
        &self,
        key: &OrderKey,
        (life, origin): (Option<&Incarnation>, Origin),
    ) -> Address {
        let orders = self.orders.lock();
        match orders.of_life(key, life) {
            None => Address::Unknown,
            Some(entry) => entry.address(origin),
        }
    }

    /// Stores the refusal of the order's opening; it holds until a stream is up.
    pub(crate) fn opening_refused(&self, key: &OrderKey, life: u64, refusal: &Refusal) {
        let mut orders = self.orders.lock();
        if let Some(entry) = orders.map.get_mut(key).filter(|entry| entry.following.life == life) {
            entry.refused = Some(Box::new(refusal.clone()));
            entry.following.changed.notify_waiters();
        }
    }

    /// Returns the identity of the task that follows this incarnation of the order, or the tracked
    /// one where none is given.
    pub(crate) fn following(
        &self,
        key: &OrderKey,
        life: Option<&Incarnation>,
    ) -> Option<Following> {
        let orders = self.orders.lock();
        orders.of_life(key, life).map(|entry| entry.following.clone())
    }

    /// Returns the reply to a command on an order that has ended; `None` before its end.
    pub(crate) fn after_the_end(&self, key: &OrderKey, act: &Act) -> Option<Result<(), Refusal>> {
        self.orders.lock().map.get(key)?.after_the_end(key, act)
    }

    /// Returns a command's outcome, where the order's end decides it.
    pub(crate) fn settled_by_the_end(&self, key: &OrderKey, command: &Command) -> Option<Settled> {
        let orders = self.orders.lock();
        let entry = orders.of_life(key, command.incarnation.as_ref())?;
        settled_by_the_end(entry.tracker.order()?, &command.act)
    }

    fn count(&self, orders: &Orders) {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.metrics.streams_active.set(number(orders.active));
        self.metrics.orders_tracked.set(number(orders.map.len()));
    }
}

/// Returns the refusal of work while the requestor stops.
pub(crate) fn stopping() -> Refusal {
    Refusal::new(Reason::Draining, "the requestor is stopping; try again later")
}
