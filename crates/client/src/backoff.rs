//! The back-off before the next attempt: exponential with full jitter, so that clients that were
//! disconnected together do not reconnect together.

use std::time::Duration;

use orderstream_support::{Backoff, jitter};
use tokio::time::Instant;

/// The upper bound of the first wait.
const BASE: Duration = Duration::from_millis(100);
/// The upper bound of all waits.
const CAP: Duration = Duration::from_secs(5);
/// The upper bound of the wait after a server announced that it drains.
const AFTER_DRAIN: Duration = Duration::from_millis(500);

/// A timer that counts attempts and waits until the next one is due. After a dropped wait, the next
/// call waits for the remaining time only.
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
    /// Records a failed attempt.
    pub(crate) fn failed(&mut self) {
        let wait = self.waits.next_wait();
        self.due = Instant::now().checked_add(wait);
    }

    /// Records that the server drains: the next attempt comes later, perhaps at another server.
    pub(crate) fn server_draining(&mut self) {
        self.due = Instant::now().checked_add(jitter(AFTER_DRAIN));
    }

    /// Records a successful attempt.
    pub(crate) fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// Waits until the next attempt is due.
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
