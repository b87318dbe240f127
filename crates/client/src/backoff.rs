//! The back-off before the next try: exponential with full jitter, so that clients that were cut
//! off together do not come back together.

use std::time::Duration;

use orderstream_support::{Backoff, jitter};
use tokio::time::Instant;

/// The bound of the first wait.
const BASE: Duration = Duration::from_millis(100);
/// The bound that no wait exceeds.
const CAP: Duration = Duration::from_secs(5);
/// The bound of the wait after a server announced that it stops.
const AFTER_DRAIN: Duration = Duration::from_millis(500);

/// A timer that counts tries and waits until the next one is due. A wait that is dropped goes on
/// where it was.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RetryTimer {
    waits: Backoff,
    due: Option<Instant>,
}

impl Default for RetryTimer {
    fn default() -> Self {
        Self { waits: Backoff::new(BASE, CAP), due: None }
    }
}

impl RetryTimer {
    /// Notes that a try failed.
    pub(crate) fn failed(&mut self) {
        let wait = self.waits.next_wait();
        self.due = Instant::now().checked_add(wait);
    }

    /// Notes that the server drains: the next try comes later, maybe at another one.
    pub(crate) fn server_draining(&mut self) {
        self.due = Instant::now().checked_add(jitter(AFTER_DRAIN));
    }

    /// Notes that a try succeeded.
    pub(crate) fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// Waits until the next try is due.
    pub(crate) async fn wait(&mut self) {
        if let Some(due) = self.due {
            tokio::time::sleep_until(due).await;
            self.due = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn waits_stay_under_doubling_bound() {
        let mut backoff = RetryTimer::default();
        for bound_ms in [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000] {
            backoff.failed();
            let wait = backoff.due.unwrap().duration_since(Instant::now());
            assert!(wait <= Duration::from_millis(bound_ms), "{wait:?} of {bound_ms} ms");
        }
        backoff.succeeded();
        assert!(backoff.due.is_none() && backoff.waits.failures() == 0);
    }
}
