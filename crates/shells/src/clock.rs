//! The wall clock of each host, which can jump.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use orderstream_core::Timestamp;
use orderstream_core::port::Clock;

/// The start of every run: 2026-01-01T00:00:00Z, in milliseconds since 1970.
const START_MS: i64 = 1_767_225_600_000;

/// One host's clock.
#[derive(Clone, Debug, Default)]
pub(crate) struct HostClock(Arc<HostClockState>);

#[derive(Debug, Default)]
struct HostClockState {
    now_ms: AtomicI64,
    skew_ms: AtomicI64,
}

impl HostClock {
    /// Sets the milliseconds since the start of the run.
    pub(crate) fn set(&self, now_ms: u64) {
        self.0.now_ms.store(i64::try_from(now_ms).unwrap_or(i64::MAX), Ordering::Relaxed);
    }

    /// Shifts the clock by this much from now on.
    pub(crate) fn jump(&self, by_ms: i64) {
        self.0.skew_ms.fetch_add(by_ms, Ordering::Relaxed);
    }
}

impl Clock for HostClock {
    fn now(&self) -> Timestamp {
        let (now, skew) = (&self.0.now_ms, &self.0.skew_ms);
        Timestamp(START_MS + now.load(Ordering::Relaxed) + skew.load(Ordering::Relaxed))
    }
}
