//! The circuit breaker of each processor: while a processor cannot be reached, one order at a time
//! probes it, soon and often, and all the others connect once that probe succeeds. Ten thousand
//! orders that each try for themselves either come back late or keep the processor from coming
//! back.
//!
//! ```text
//!              probing: one permit ──▶ tries ──▶ got through: closed
//!   lost ──▶ waits ┤                                            │
//!              closed ◀─────────────────────────────────────────┘
//! ```

use orderstream_support::{Backoff, jitter};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use crate::backoff::backoff_up_to;

/// The longest back-off between two probes of a processor.
const PROBE_CAP: Duration = Duration::from_millis(500);
/// The time over which orders that reconnect together are spread.
const SPREAD: Duration = Duration::from_millis(250);
/// The time after which a probe that hangs lets the next order probe.
pub(crate) const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// The most streams that may be opening at one processor at once.
const OPENINGS_MAX: usize = 256;

/// One processor's circuit breaker, and its limit of streams that are opening.
#[derive(Debug)]
pub(crate) struct CircuitBreaker {
    openings: Semaphore,
    probing: Arc<Semaphore>,
    closed: Notify,
    backoff: Mutex<Backoff>,
}

/// The permission to try; if it is a probe, the next order waits until it is dropped.
#[derive(Debug)]
pub(crate) struct BreakerPermit(Option<OwnedSemaphorePermit>);

impl BreakerPermit {
    /// True if this order probes for all.
    pub(crate) const fn is_probe(&self) -> bool {
        self.0.is_some()
    }
}

impl CircuitBreaker {
    fn new() -> Self {
        Self {
            openings: Semaphore::new(OPENINGS_MAX),
            probing: Arc::new(Semaphore::new(1)),
            closed: Notify::new(),
            backoff: Mutex::new(backoff_up_to(PROBE_CAP)),
        }
    }

    /// Waits until few enough streams are opening; this one counts until its permit is dropped. The
    /// processor replies to them one after another anyway.
    pub(crate) async fn acquire_opening(&self) -> Option<SemaphorePermit<'_>> {
        self.openings.acquire().await.ok()
    }

    /// Waits until this order may try again.
    pub(crate) async fn wait(&self) -> BreakerPermit {
        let closed = self.closed.notified();
        let probe = Arc::clone(&self.probing).acquire_owned();
        tokio::select! {
            biased;
            () = closed => {
                tokio::time::sleep(jitter(SPREAD)).await;
                BreakerPermit(None)
            }
            probe = probe => {
                let wait = self.backoff.lock().next_wait();
                tokio::time::sleep(wait).await;
                BreakerPermit(probe.ok())
            }
        }
    }

    /// Closes the circuit breaker, since an order reached the processor: all waiting orders may
    /// try.
    pub(crate) fn close(&self) {
        self.backoff.lock().reset();
        self.closed.notify_waiters();
    }
}

/// The circuit breakers of all processors.
#[derive(Debug, Default)]
pub(crate) struct CircuitBreakers(Mutex<BTreeMap<String, Arc<CircuitBreaker>>>);

impl CircuitBreakers {
    /// Returns the circuit breaker of a processor.
    pub(crate) fn of(&self, processor: &str) -> Arc<CircuitBreaker> {
        let mut breakers = self.0.lock();
        if let Some(breaker) = breakers.get(processor) {
            return Arc::clone(breaker);
        }
        let breaker = Arc::new(CircuitBreaker::new());
        breakers.insert(processor.to_owned(), Arc::clone(&breaker));
        breaker
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::task::JoinSet;
    use tokio::time::Instant;

    use super::*;

    /// All the others connect soon after the probe has succeeded.
    #[tokio::test(start_paused = true)]
    async fn one_order_probes_for_all() {
        const ORDERS: usize = 1_000;
        let down_for = Duration::from_secs(3);
        let (breakers, began) = (CircuitBreakers::default(), Instant::now());
        let (tries, at_once) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let mut orders = JoinSet::new();
        for _ in 0..ORDERS {
            let (breaker, tries, at_once) =
                (breakers.of("a"), Arc::clone(&tries), Arc::clone(&at_once));
            orders.spawn(async move {
                loop {
                    let permit = breaker.wait().await;
                    if began.elapsed() >= down_for {
                        breaker.close();
                        return began.elapsed();
                    }
                    tries.fetch_add(1, Ordering::Relaxed);
                    assert_eq!(at_once.fetch_add(1, Ordering::Relaxed), 0, "two try at once");
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    at_once.fetch_sub(1, Ordering::Relaxed);
                    drop(permit);
                }
            });
        }
        let last = orders.join_all().await.into_iter().max().unwrap();
        assert!(last < down_for + PROBE_CAP + SPREAD + SPREAD, "{last:?}");
        let tries = tries.load(Ordering::Relaxed);
        assert!((5..200).contains(&tries), "{tries} tries in three seconds");
    }

    #[tokio::test(start_paused = true)]
    async fn opening_streams_are_limited_per_processor() {
        let breakers = CircuitBreakers::default();
        let (open, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let mut orders = JoinSet::new();
        for _ in 0..10 * OPENINGS_MAX {
            let (breaker, open, most) = (breakers.of("a"), Arc::clone(&open), Arc::clone(&most));
            orders.spawn(async move {
                let opening = breaker.acquire_opening().await;
                most.fetch_max(open.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(1)).await;
                open.fetch_sub(1, Ordering::Relaxed);
                assert!(opening.is_some());
            });
        }
        tokio::task::yield_now().await;
        assert!(
            breakers.of("b").acquire_opening().await.is_some(),
            "another processor is not kept waiting"
        );
        orders.join_all().await;
        assert_eq!(most.load(Ordering::Relaxed), OPENINGS_MAX);
    }

    /// Each processor has a probe of its own.
    #[tokio::test(start_paused = true)]
    async fn dropped_probes_pass_on() {
        let breakers = CircuitBreakers::default();
        let first = breakers.of("a").wait().await;
        assert!(first.is_probe() && breakers.of("b").wait().await.is_probe());
        let breaker = breakers.of("a");
        let mut second = JoinSet::new();
        second.spawn(async move { breaker.wait().await });
        tokio::time::sleep(10 * PROBE_TIMEOUT).await;
        assert!(second.try_join_next().is_none(), "it waits for the first");
        drop(first);
        let began = Instant::now();
        let second = second.join_next().await.unwrap().unwrap();
        assert!(second.is_probe() && began.elapsed() <= PROBE_CAP);
    }
}
