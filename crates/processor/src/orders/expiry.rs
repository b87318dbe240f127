//! Expires orders at their deadlines, removes those whose retention is over, and repairs the
//! effects of a failed disk. One round peeks at each shard; nothing scans all orders.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use orderstream_core::{Command, CommandKind, OrderKey, Timestamp};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::OwnedOrders;
use crate::limits::{CLOCK_CHECK_MS, PAGE_ORDERS};

/// Expiries that wait for the disk at one time.
const EXPIRIES_IN_FLIGHT: usize = 256;

/// Reports whether the next round is to start at once: more orders may be due, and something was
/// stored. Where nothing can be stored, the next round would find the same orders.
const fn has_more(due: usize, stored: usize) -> bool {
    due >= PAGE_ORDERS && stored > 0
}

impl OwnedOrders {
    /// Runs rounds until shutdown.
    pub async fn expire(&self, shutdown: CancellationToken) {
        // One of each at most: they wait for the disk, and no expiry waits for them.
        let (mut removing, mut rereading) = (JoinSet::new(), JoinSet::new());
        while !shutdown.is_cancelled() {
            let now = self.inner.parts.clock.now();
            let (due, next) = self.due(now);
            let earliest = due.iter().map(|(deadline, _)| *deadline).min();
            self.inner.parts.metrics.set_overdue(earliest, now);
            let due = due.into_iter().map(|(_, key)| key).collect::<Vec<_>>();
            let due_count = due.len();
            let ticked = stream::iter(due)
                .map(|key| self.tick(key))
                .buffer_unordered(EXPIRIES_IN_FLIGHT)
                .filter(|is_stored| std::future::ready(*is_stored))
                .count()
                .await;
            self.reload_suspects().await;
            while rereading.try_join_next().is_some() {}
            let doubtful = self.doubtful();
            if !doubtful.is_empty() && rereading.is_empty() {
                let this = self.clone();
                rereading.spawn(async move { this.reread_formers(doubtful).await });
            }
            while removing.try_join_next().is_some() {}
            if self.evict_ended(now) && removing.is_empty() {
                let this = self.clone();
                removing.spawn(async move { this.remove_evicted().await });
            }
            if has_more(due_count, ticked) {
                continue;
            }
            let wait_ms =
                next.map_or(CLOCK_CHECK_MS, |at| at.ms_since(now)).clamp(1, CLOCK_CHECK_MS);
            let wait = tokio::time::sleep(Duration::from_millis(wait_ms));
            // Cancel-safe: a dropped sleep loses nothing.
            tokio::select! {
                () = wait => {}
                () = shutdown.cancelled() => {}
            }
        }
        // An unfinished removal is found again at the next start.
        removing.shutdown().await;
        rereading.shutdown().await;
    }

    /// Returns the orders whose deadline has passed, and the next deadline.
    fn due(&self, now: Timestamp) -> (Vec<(Timestamp, OrderKey)>, Option<Timestamp>) {
        let mut due = Vec::new();
        let mut next = None;
        for shard in &self.inner.shards {
            let shard = shard.lock();
            let mut later = None;
            for (deadline, key) in &shard.deadlines {
                if *deadline > now {
                    later = Some(*deadline);
                    break;
                }
                if due.len() >= PAGE_ORDERS {
                    break;
                }
                due.push((*deadline, key.clone()));
            }
            next = match (next, later) {
                (Some(a), Some(b)) => Some(std::cmp::min::<Timestamp>(a, b)),
                (a, b) => a.or(b),
            };
        }
        (due, next)
    }

    /// Expires an order; returns false if that cannot be stored now.
    async fn tick(&self, key: OrderKey) -> bool {
        let ticked = self.execute(&key, Command::bare(CommandKind::Tick)).await;
        if let Err(refusal) = &ticked {
            // The order stays in the index, and is tried again.
            tracing::debug!(order = %key, %refusal, "an expiry could not be stored yet");
        }
        ticked.is_ok()
    }

    /// Reads suspect orders again.
    async fn reload_suspects(&self) {
        let suspects: Vec<OrderKey> = self
            .inner
            .shards
            .iter()
            .flat_map(|shard| shard.lock().suspects.iter().cloned().collect::<Vec<_>>())
            .collect();
        for key in suspects {
            if let Err(refusal) = self.reload(&key).await {
                tracing::debug!(order = %key, %refusal, "an order could not be read again yet");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failing_disk_delays_next_round() {
        for (due, stored, expected) in [
            (0, 0, false),
            (PAGE_ORDERS - 1, PAGE_ORDERS - 1, false),
            (PAGE_ORDERS, PAGE_ORDERS, true),
            (PAGE_ORDERS, 1, true),
            (PAGE_ORDERS, 0, false),
        ] {
            assert_eq!(has_more(due, stored), expected, "{stored} of {due}");
        }
    }
}
