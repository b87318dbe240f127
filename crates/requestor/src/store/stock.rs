//! The orders of a store, as a start finds them.

use orderstream_core::tracker::Shown;
use orderstream_core::{OrderKey, OrderSpec, Timestamp};

use super::{OrderStore, StoreError, Stored, Submission, key_of};

/// All orders of a store.
#[derive(Debug, Default)]
pub struct Stock {
    /// The orders that have not ended, or that have a command without an outcome, by key.
    pub open: Vec<(OrderKey, Stored)>,
    /// The orders that have ended, the oldest end first.
    pub ended: Vec<Ended>,
}

/// An order that has ended, as it is shown for as long as the store has it.
#[derive(Debug)]
pub struct Ended {
    /// The order's tenant and id.
    pub key: OrderKey,
    /// The order's session and notification type, without the rest of its specification.
    pub asked: OrderSpec,
    /// The URL of the processor that the order was placed on.
    pub processor: String,
    /// The order as it was shown last.
    pub shown: Shown,
}

impl Ended {
    /// Returns the time of the end; `None` where a former version wrote the end.
    fn at(&self) -> Option<Timestamp> {
        self.shown.order.as_ref().and_then(|order| order.ended_at)
    }
}

impl Stock {
    fn add(&mut self, key: OrderKey, stored: Stored) {
        // Ends are written only of orders that were asked for.
        if let (Some(phase), Some(submission)) = (stored.ended, &stored.submission) {
            let Submission { notification_type, incarnation, processor, spec, .. } = &**submission;
            let (session, notification_type) = (spec.session.clone(), *notification_type);
            let asked = OrderSpec { session, notification_type, ..OrderSpec::default() };
            let only_ended = || Shown::only_ended(incarnation.clone(), phase);
            let shown = stored.last.as_deref().cloned().unwrap_or_else(only_ended);
            let (key, processor) = (key.clone(), processor.clone());
            self.ended.push(Ended { key, asked, processor, shown });
        }
        if stored.ended.is_none() || !stored.open_acts.is_empty() {
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
    pub fn take_stock(&self) -> Result<Stock, StoreError> {
        let mut stock = Stock::default();
        for name in self.lists.names()? {
            let Some(key) = key_of(&name) else { continue };
            match self.load(&key) {
                Ok(stored) => stock.add(key, stored),
                Err(error) => {
                    tracing::error!(order_req_id = %key.order_req_id, %error, "stored order is left out");
                }
            }
        }
        stock.open.sort_by(|(a, _), (b, _)| a.cmp(b));
        stock.ended.sort_by(|a, b| (a.at(), &a.key).cmp(&(b.at(), &b.key)));
        Ok(stock)
    }
}
