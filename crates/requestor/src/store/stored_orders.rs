//! The orders of a store, as a start finds them.

use orderstream_core::tracker::PublishedView;
use orderstream_core::{OrderKey, OrderSpec, Timestamp};

use super::{OrderStore, OrderSubmission, StoreError, StoredOrder, key_of};

/// All orders of a store.
#[derive(Debug, Default)]
pub struct StoredOrders {
    /// The orders that have not ended, or that have a command without an outcome, by key.
    pub open: Vec<(OrderKey, StoredOrder)>,
    /// The orders that have ended, the oldest end first.
    pub ended: Vec<EndedOrder>,
}

/// An order that has ended, as it is displayed for as long as the store has it.
#[derive(Debug)]
pub struct EndedOrder {
    /// The order's tenant and id.
    pub key: OrderKey,
    /// The order's session and notification type, without the rest of its specification.
    pub partial_spec: OrderSpec,
    /// The URL of the processor that the order was placed on.
    pub processor: String,
    /// The order as it was last displayed.
    pub displayed: PublishedView,
}

impl EndedOrder {
    /// Returns the time of the end; `None` where a former version wrote the end.
    fn at(&self) -> Option<Timestamp> {
        self.displayed.order.as_ref().and_then(|order| order.ended_at)
    }
}

impl StoredOrders {
    fn add(&mut self, key: OrderKey, stored: StoredOrder) {
        // Ends are written only of orders that were requested.
        if let (Some(phase), Some(submission)) = (stored.ended, &stored.submission) {
            let OrderSubmission { notification_type, incarnation, processor, spec, .. } =
                &**submission;
            let (session, notification_type) = (spec.session.clone(), *notification_type);
            let partial_spec = OrderSpec { session, notification_type, ..OrderSpec::default() };
            let only_ended = || PublishedView::only_ended(incarnation.clone(), phase);
            let displayed = stored.last.as_deref().cloned().unwrap_or_else(only_ended);
            let (key, processor) = (key.clone(), processor.clone());
            self.ended.push(EndedOrder { key, partial_spec, processor, displayed });
        }
        if stored.ended.is_none() || !stored.open_commands.is_empty() {
            self.open.push((key, stored));
        }
    }
}

impl OrderStore {
    /// Returns all orders of the store. A damaged one is left out with a line in the log; the
    /// others are served.
    ///
    /// # Errors
    /// When the store cannot be read at all.
    pub fn load_all(&self) -> Result<StoredOrders, StoreError> {
        let mut orders = StoredOrders::default();
        for name in self.lists.names()? {
            let Some(key) = key_of(&name) else { continue };
            match self.load(&key) {
                Ok(stored) => orders.add(key, stored),
                Err(error) => {
                    tracing::error!(order_req_id = %key.order_req_id, %error, "stored order is left out");
                }
            }
        }
        orders.open.sort_by(|(a, _), (b, _)| a.cmp(b));
        orders.ended.sort_by(|a, b| (a.at(), &a.key).cmp(&(b.at(), &b.key)));
        Ok(orders)
    }
}
