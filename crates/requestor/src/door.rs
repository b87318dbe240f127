//! The circuit breaker of each processor: while a processor cannot be reached, one order at a time
//! probes it, soon and often, and all the others connect once that probe succeeds. Ten thousand
//! orders that each try for themselves either come back late or keep the processor from coming
//! back.
//!
//! ```text
//!              probing: one permit ──▶ tries ──▶ got through: opened
//!   lost ──▶ waits ┤                                            │
//!              opened ◀─────────────────────────────────────────┘
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
pub(crate) const TURN_MAX: Duration = Duration::from_secs(2);

/// The most streams that may be opening at one processor at once.
const OPENINGS_MAX: usize = 256;

/// One processor's circuit breaker, and its limit of streams that are opening.
#[derive(Debug)]
pub(crate) struct Door {
    openings: Semaphore,
    probing: Arc<Semaphore>,
    opened: Notify,
    backoff: Mutex<Backoff>,
}

/// The permission to try; if it is a probe, the next order waits until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn(Option<OwnedSemaphorePermit>);

impl Turn {
    /// True if this order probes for all.
    pub(crate) const fn is_for_all(&self) -> bool {
        self.0.is_some()
    }
}

impl Door {
    fn new() -> Self {
        Self {
            openings: Semaphore::new(OPENINGS_MAX),
            probing: Arc::new(Semaphore::new(1)),
            opened: Notify::new(),
            backoff: Mutex::new(backoff_up_to(PROBE_CAP)),
        }
    }

    /// Waits until few enough streams are opening; this one counts until its permit is dropped. The
    /// processor replies to them one after another anyway.
    pub(crate) async fn place(&self) -> Option<SemaphorePermit<'_>> {
        self.openings.acquire().await.ok()
    }

    /// Waits until this order may try again.
    pub(crate) async fn wait(&self) -> Turn {
        let opened = self.opened.notified();
        let turn = Arc::clone(&self.probing).acquire_owned();
        tokio::select! {
            biased;
            () = opened => {
                tokio::time::sleep(jitter(SPREAD)).await;
                Turn(None)
            }
            turn = turn => {
                let wait = self.backoff.lock().next_wait();
                tokio::time::sleep(wait).await;
                Turn(turn.ok())
            }
        }
    }

    /// Closes the circuit breaker, since an order got through: all waiting orders may try.
    pub(crate) fn open(&self) {
        self.backoff.lock().reset();
        self.opened.notify_waiters();
    }
}

/// The circuit breakers of all processors.
#[derive(Debug, Default)]
pub(crate) struct Doors(Mutex<BTreeMap<String, Arc<Door>>>);

impl Doors {
    /// Returns the circuit breaker of a processor.
    pub(crate) fn of(&self, processor: &str) -> Arc<Door> {
        let mut doors = self.0.lock();
        if let Some(door) = doors.get(processor) {
            return Arc::clone(door);
        }
        let door = Arc::new(Door::new());
        doors.insert(processor.to_owned(), Arc::clone(&door));
        door
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::task::JoinSet;
    use tokio::time::Instant;

    use super::*;

    /// All the others connect soon after the probe got through.
    #[tokio::test(start_paused = true)]
    async fn one_order_probes_for_all() {
        const ORDERS: usize = 1_000;
        let down_for = Duration::from_secs(3);
        let (doors, began) = (Doors::default(), Instant::now());
        let (tries, at_once) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let mut orders = JoinSet::new();
        for _ in 0..ORDERS {
            let (door, tries, at_once) = (doors.of("a"), Arc::clone(&tries), Arc::clone(&at_once));
            orders.spawn(async move {
                loop {
                    let turn = door.wait().await;
                    if began.elapsed() >= down_for {
                        door.open();
                        return began.elapsed();
                    }
                    tries.fetch_add(1, Ordering::Relaxed);
                    assert_eq!(at_once.fetch_add(1, Ordering::Relaxed), 0, "two try at once");
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    at_once.fetch_sub(1, Ordering::Relaxed);
                    drop(turn);
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
        let doors = Doors::default();
        let (open, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let mut orders = JoinSet::new();
        for _ in 0..10 * OPENINGS_MAX {
            let (door, open, most) = (doors.of("a"), Arc::clone(&open), Arc::clone(&most));
            orders.spawn(async move {
                let place = door.place().await;
                most.fetch_max(open.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(1)).await;
                open.fetch_sub(1, Ordering::Relaxed);
                assert!(place.is_some());
            });
        }
        tokio::task::yield_now().await;
        assert!(doors.of("b").place().await.is_some(), "another processor is not kept waiting");
        orders.join_all().await;
        assert_eq!(most.load(Ordering::Relaxed), OPENINGS_MAX);
    }

    /// Each processor has a probe of its own.
    #[tokio::test(start_paused = true)]
    async fn dropped_probes_pass_on() {
        let doors = Doors::default();
        let first = doors.of("a").wait().await;
        assert!(first.is_for_all() && doors.of("b").wait().await.is_for_all());
        let waiting = doors.of("a");
        let mut second = JoinSet::new();
        second.spawn(async move { waiting.wait().await });
        tokio::time::sleep(10 * TURN_MAX).await;
        assert!(second.try_join_next().is_none(), "it waits for the first");
        drop(first);
        let began = Instant::now();
        let second = second.join_next().await.unwrap().unwrap();
        assert!(second.is_for_all() && began.elapsed() <= PROBE_CAP);
    }
}
