//! Looks at the clock for the orders whose time is over or that were kept for long enough, and mends
//! what a failed disk left behind.
//! One look costs a peek at each shard; nothing sweeps over all orders.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use orderstream_core::{Act, Command, OrderKey, Timestamp};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Orders;
use crate::limits::{CLOCK_LOOK_MS, PAGE_ORDERS};

/// Expiries that wait for the disk at one time.
const EXPIRIES_IN_FLIGHT: usize = 256;

impl Orders {
    /// Runs until shutdown.
    pub async fn expire(&self, shutdown: CancellationToken) {
        // One at most: each removal waits for the disk, and no expiry waits for that.
        let mut removing = JoinSet::new();
        while !shutdown.is_cancelled() {
            let now = self.inner.parts.clock.now();
            let (due, next) = self.due(now);
            let earliest = due.iter().map(|(deadline, _)| *deadline).min();
            self.inner.parts.metrics.overdue(earliest, now);
            let due = due.into_iter().map(|(_, key)| key).collect::<Vec<_>>();
            let more = due.len() >= PAGE_ORDERS;
            stream::iter(due).for_each_concurrent(EXPIRIES_IN_FLIGHT, |key| self.tick(key)).await;
            self.mend().await;
            while removing.try_join_next().is_some() {}
            if self.take_out_ended(now) && removing.is_empty() {
                let this = self.clone();
                removing.spawn(async move { this.remove_taken_out().await });
            }
            if more {
                continue;
            }
            let wait_ms = next.map_or(CLOCK_LOOK_MS, |at| at.ms_since(now)).clamp(1, CLOCK_LOOK_MS);
            let wait = tokio::time::sleep(Duration::from_millis(wait_ms));
            // Cancel-safe: a dropped sleep loses nothing.
            tokio::select! {
                () = wait => {}
                () = shutdown.cancelled() => {}
            }
        }
        // What is not removed is found again at the next start.
        removing.shutdown().await;
    }

    /// The orders whose deadline has come, and when the next one comes.
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

    async fn tick(&self, key: OrderKey) {
        if let Err(refusal) = self.act(&key, Command::bare(Act::Tick)).await {
            // The order stays in the index, and is looked at again.
            tracing::debug!(order = %key, %refusal, "an expiry could not be stored yet");
        }
    }

    /// Reads suspect orders again.
    async fn mend(&self) {
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
