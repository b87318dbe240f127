//! Records that were written and are not acknowledged. The caller's reply was that they may not be
//! stored; they may be on disk nevertheless, and would be found by the next start. So from the
//! moment they are written they do not count, until they are acknowledged or a record disowns them.
//!
//! ```text
//!              ┌──▶ acknowledged: it counts
//!   under way ─┤                     ┌──▶ the next append disowns it
//!              └──▶ failed: in doubt ┤
//!                                    └──▶ woken: a record disowns it, or the list is removed
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use orderstream_core::OrderKey;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::backoff::backoff;
use crate::state::RequestorState;

/// The sequence numbers of records that are not acknowledged, order by order. Bounded by the
/// records that wait for the disk when it fails: nothing more is written to a failed disk until it
/// is healthy.
#[derive(Debug, Default)]
pub(crate) struct InDoubtRecords {
    orders: Mutex<BTreeMap<OrderKey, BTreeSet<u64>>>,
    woken: Notify,
}

impl InDoubtRecords {
    /// Reports whether every record that was written is known to be on disk, or not to count.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.orders.lock().is_empty()
    }

    /// Returns the unacknowledged records of one order.
    pub(super) fn of(&self, key: &OrderKey) -> BTreeSet<u64> {
        self.orders.lock().get(key).cloned().unwrap_or_default()
    }

    pub(super) fn set(&self, key: &OrderKey, numbers: BTreeSet<u64>) {
        let mut orders = self.orders.lock();
        if numbers.is_empty() {
            orders.remove(key);
        } else {
            orders.insert(key.clone(), numbers);
        }
    }

    /// Wakes the task that disowns failed records as soon as the disk accepts writes.
    pub(super) fn wake(&self) {
        self.woken.notify_one();
    }

    fn orders(&self) -> Vec<OrderKey> {
        self.orders.lock().keys().cloned().collect()
    }
}

/// Disowns failed records as soon as the disk accepts writes, until the requestor stops.
pub(crate) async fn disown_all(shared: Arc<RequestorState>) {
    let work = async {
        loop {
            shared.store.in_doubt().woken.notified().await;
            let mut backoff = backoff();
            while !disown(&shared).await {
                tokio::time::sleep(backoff.next_wait()).await;
            }
        }
    };
    tokio::select! {
        // The next start carries out the rest that it finds: no reply promised that it would not
        // happen.
        () = shared.cancel.cancelled() => {}
        () = work => {}
    }
}

/// Tries once to disown all failed records; returns true when all are disowned.
async fn disown(shared: &RequestorState) -> bool {
    let mut is_done = true;
    for key in shared.store.in_doubt().orders() {
        // Under the order's write guard, so that no write is under way.
        if let Err(error) = shared.store.write_guard(&key).await.disown().await {
            let order_req_id = key.order_req_id.as_str();
            tracing::debug!(order_req_id, %error, "refused records may still be stored");
            is_done = false;
        }
    }
    is_done
}
