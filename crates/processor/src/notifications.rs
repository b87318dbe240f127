//! Sending notifications: each notification that is due for an order's events is tried until it is
//! delivered or given up; work that is not under way stays on the disk.
//!
//! ```text
//!  appended ──▶ dirty ─┐                        ┌─▶ attempt ─▶ destination (bounded, circuit)
//!  (journal)           ├─▶ queue ─▶ one pass ───┤
//!  timer ─────▶ due ───┘          of one order  └─▶ snapshot in the journal
//! ```
//!
//! An order costs something only while it has notifications to send: its outbox is read from the
//! disk, stepped, and dropped when nothing is ready. One that waits for a later attempt is an entry
//! in an index of times. Each attempt runs as a task of its own, so that a slow recipient delays no
//! other recipient, no other order and no command.

mod delivery_pass;
mod destinations;
mod list;
mod queue;
pub(crate) mod store;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use orderstream_core::notification::{Audience, Notifier, has_recipients};
use orderstream_core::spec::{Contact, NotificationType};
use orderstream_core::{Order, OrderIncarnation, SellerId, Tenant, Timestamp};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::limits::{
    CLOCK_CHECK_MS, NOTIFY_ATTEMPTS_MAX, NOTIFY_DRAIN, NOTIFY_OUTBOX_READS_MAX, NOTIFY_PASSES_MAX,
    NOTIFY_SELLERS_POLL,
};
use crate::orders::OwnedOrders;

pub(crate) use store::{Half, OutboxHealth, OutboxLocation, OutboxSummary};

use destinations::Destinations;
use queue::OutboxQueue;

/// The notifications of one processor. Clones share them.
#[derive(Clone)]
pub struct Notifications(Arc<NotificationsInner>);

struct NotificationsInner {
    notifier: Arc<dyn Notifier>,
    /// Nobody is notified of events before this time: notifications were disabled.
    since: Timestamp,
    queue: OutboxQueue,
    destinations: Destinations,
    /// Limits the attempts of all orders at one time.
    attempts: Arc<Semaphore>,
    /// Limits the outboxes that are read at one time.
    outbox_reads: Arc<Semaphore>,
    /// Set when a notification was given up, and the log says so.
    is_given_up_reported: AtomicBool,
}

impl fmt::Debug for Notifications {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notifications").field("since", &self.0.since).finish_non_exhaustive()
    }
}

impl Notifications {
    pub(crate) fn new(notifier: Arc<dyn Notifier>, since: Timestamp) -> Self {
        Self(Arc::new(NotificationsInner {
            notifier,
            since,
            queue: OutboxQueue::default(),
            destinations: Destinations::default(),
            attempts: Arc::new(Semaphore::new(NOTIFY_ATTEMPTS_MAX)),
            outbox_reads: Arc::new(Semaphore::new(NOTIFY_OUTBOX_READS_MAX)),
            is_given_up_reported: AtomicBool::new(false),
        }))
    }

    /// Wakes the round of an order with new events. Takes one short lock; called on the journal's
    /// thread.
    pub(crate) fn wake(&self, order_incarnation: &OrderIncarnation) {
        self.0.queue.wake(order_incarnation);
    }

    /// Records the counts of an order's outbox.
    pub(crate) fn record_summary(
        &self,
        order_incarnation: &OrderIncarnation,
        summary: OutboxSummary,
    ) {
        self.0.queue.record_summary(order_incarnation, summary);
    }

    /// Returns the time since which events cause notifications.
    pub(crate) fn since(&self) -> Timestamp {
        self.0.since
    }

    /// Logs the first notification that is given up; the metric counts all of them.
    fn report_given_up(&self) {
        if !self.0.is_given_up_reported.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "a notification was given up, and later ones are not logged; `orderstream notify \
                 dead` lists them with their causes"
            );
        }
    }

    /// Reports whether an order can ever need a notification.
    pub(crate) fn concerns(&self, orders: &OwnedOrders, order: &Order) -> bool {
        self.with_audience(orders, &order.key.tenant, |audience| has_recipients(order, audience))
    }

    /// Calls `then` with the sellers, channels and sinks that can be reached.
    fn with_audience<T>(
        &self,
        orders: &OwnedOrders,
        tenant: &Tenant,
        then: impl FnOnce(&Audience<'_>) -> T,
    ) -> T {
        let contact = |seller: &SellerId| -> Option<Contact> {
            orders.directory().seller(tenant, seller).map(|seller| seller.contact)
        };
        let serves = |kind: NotificationType| self.0.notifier.serves(kind);
        let sinks = self.0.notifier.sinks();
        then(&Audience { contact: &contact, serves: &serves, sinks })
    }

    /// Runs delivery passes until shutdown, then waits for those under way, up to [`NOTIFY_DRAIN`].
    pub(crate) async fn run(self, orders: OwnedOrders, shutdown: CancellationToken) {
        until_sellers_are_known(&orders, &shutdown).await;
        let mut passes = JoinSet::new();
        while !shutdown.is_cancelled() {
            while passes.try_join_next().is_some() {}
            let now = orders.now();
            orders.metrics().set_notifications(self.0.queue.counts(), now);
            let next = if passes.len() < NOTIFY_PASSES_MAX { self.0.queue.next(now) } else { None };
            let Some((order_incarnation, waker)) = next else {
                self.wait_for_work(&shutdown, now, &mut passes).await;
                continue;
            };
            // Cancel-safe: a permit that is not acquired is not lost.
            let permit = tokio::select! {
                permit = Arc::clone(&self.0.outbox_reads).acquire_owned() => permit,
                () = shutdown.cancelled() => break,
            };
            let Ok(permit) = permit else { break };
            let (this, orders, shutdown) = (self.clone(), orders.clone(), shutdown.clone());
            passes.spawn(async move {
                let pass =
                    delivery_pass::DeliveryPass { notifications: this.clone(), orders, waker };
                let again_at = pass.run(&order_incarnation, permit, shutdown).await;
                this.0.queue.finish(&order_incarnation, again_at);
            });
        }
        let ended = async { while passes.join_next().await.is_some() {} };
        if tokio::time::timeout(NOTIFY_DRAIN, ended).await.is_err() {
            // Attempts that were under way are made again at the next start, under the same ids.
            passes.shutdown().await;
        }
    }

    /// Waits until there may be a delivery pass to start.
    async fn wait_for_work(
        &self,
        shutdown: &CancellationToken,
        now: Timestamp,
        passes: &mut JoinSet<()>,
    ) {
        let next = self.0.queue.next_at().map_or(CLOCK_CHECK_MS, |at| at.ms_since(now));
        let wait = Duration::from_millis(next.clamp(1, CLOCK_CHECK_MS));
        let is_full = passes.len() >= NOTIFY_PASSES_MAX;
        // Cancel-safe: each branch only wakes.
        tokio::select! {
            () = self.0.queue.changed(), if !is_full => {}
            _ = passes.join_next(), if is_full => {}
            () = tokio::time::sleep(wait), if !is_full => {}
            () = shutdown.cancelled() => {}
        }
    }
}

/// Waits until the sellers' contacts are known, or until shutdown: they would never be notified of
/// an event that is folded before.
async fn until_sellers_are_known(orders: &OwnedOrders, shutdown: &CancellationToken) {
    while !orders.directory().is_known() {
        tokio::select! {
            () = tokio::time::sleep(NOTIFY_SELLERS_POLL) => {}
            () = shutdown.cancelled() => return,
        }
    }
}

/// The handle that wakes a running delivery pass.
type PassWaker = Arc<Notify>;
