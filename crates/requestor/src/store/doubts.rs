//! Records that were given to the disk and are not acknowledged. Whoever asked for them was told that
//! they may not be stored; they may be on disk all the same, and would be found by the next start. So
//! they count for nobody from the moment at which they are written, until they are acknowledged or a
//! record disowns them.
//!
//! ```text
//!              ┌──▶ acknowledged: it counts
//!   under way ─┤                                 ┌──▶ the next append says that it does not count
//!              └──▶ failed: nobody knows ──▶ woken: a record says so, or the list is removed
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use orderstream_core::OrderKey;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::backoff::backoff;
use crate::shared::Shared;

/// The numbers of records that are not acknowledged, order by order. Bounded by what waits for the disk
/// when it fails: a disk that has failed is given nothing more until it is well.
#[derive(Debug, Default)]
pub(crate) struct Doubts {
    orders: Mutex<BTreeMap<OrderKey, BTreeSet<u64>>>,
    woken: Notify,
}

impl Doubts {
    /// Whether every record that was ever given to the disk is known to be there, or not to count.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.orders.lock().is_empty()
    }

    /// Those of one order.
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

    /// Something failed: what it left is to be disowned as soon as the disk takes writes.
    pub(super) fn wake(&self) {
        self.woken.notify_one();
    }

    fn orders(&self) -> Vec<OrderKey> {
        self.orders.lock().keys().cloned().collect()
    }
}

/// Disowns what failed, as soon as the disk takes writes, until the requestor stops.
pub(crate) async fn disown_all(shared: Arc<Shared>) {
    let work = async {
        loop {
            shared.store.doubts().woken.notified().await;
            let mut backoff = backoff();
            while !disown(&shared).await {
                tokio::time::sleep(backoff.next_wait()).await;
            }
        }
    };
    tokio::select! {
        // A start that finds what is left carries it out: nobody was told that it would not.
        () = shared.cancel.cancelled() => {}
        () = work => {}
    }
}

/// Tries it once; gives whether all is done.
async fn disown(shared: &Shared) -> bool {
    let mut is_done = true;
    for key in shared.store.doubts().orders() {
        // In the order's turn, so that none is under way.
        if let Err(error) = shared.store.turn(&key).await.disown().await {
            let order_req_id = key.order_req_id.as_str();
            tracing::debug!(order_req_id, %error, "what was refused may be stored still");
            is_done = false;
        }
    }
    is_done
}
