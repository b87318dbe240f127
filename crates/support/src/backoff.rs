//! Back-off between attempts. [`orderstream_core::backoff`] computes the bounds; this module draws
//! the jitter.

use std::time::Duration;

use orderstream_core::backoff::{bound_ms, equal_jitter_ms, full_jitter_ms};

/// A counter of consecutive failures, which draws the wait after each.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    first_ms: u64,
    longest_ms: u64,
    failures: u32,
}

impl Backoff {
    /// Creates a back-off whose bound doubles from the first wait to the longest, both at most some
    /// years.
    pub fn new(first: Duration, longest: Duration) -> Self {
        Self { first_ms: millis(first), longest_ms: millis(longest), failures: 0 }
    }

    /// Returns the wait after one more failure: from zero to the bound.
    pub fn next_wait(&mut self) -> Duration {
        Duration::from_millis(full_jitter_ms(self.next_bound_ms(), draw()))
    }

    /// Returns the wait after one more failure: from half of the bound to the bound, for a caller
    /// that does not compete with others and gains nothing from a short wait.
    pub fn next_long_wait(&mut self) -> Duration {
        Duration::from_millis(equal_jitter_ms(self.next_bound_ms(), draw()))
    }

    /// Returns the number of failures since the last success.
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// Records a success: the next wait is the first one again.
    pub const fn reset(&mut self) {
        self.failures = 0;
    }

    fn next_bound_ms(&mut self) -> u64 {
        self.failures = self.failures.saturating_add(1);
        bound_ms(self.first_ms, self.longest_ms, self.failures)
    }
}

/// Returns a random fraction of a wait, for many callers that must not arrive at once.
pub fn jitter(max: Duration) -> Duration {
    max.mul_f64(fastrand::f64())
}

/// Returns a wait of half to one and a half times this one, for periodic work of many callers.
pub fn jitter_around(wait: Duration) -> Duration {
    wait.mul_f64(0.5 + fastrand::f64())
}

fn draw() -> u64 {
    fastrand::u64(0..=1_000)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backoff() -> Backoff {
        Backoff::new(Duration::from_millis(100), Duration::from_secs(5))
    }

    #[test]
    fn waits_stay_under_doubling_bound() {
        let mut backoff = backoff();
        for bound in [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000] {
            assert!(backoff.next_wait() <= Duration::from_millis(bound));
        }
        backoff.reset();
        assert!(backoff.next_wait() <= Duration::from_millis(100));
        assert_eq!(backoff.failures(), 1);
    }

    #[test]
    fn waits_spread_over_whole_bound() {
        let most = Duration::from_secs(5);
        let after_many = Backoff { failures: u32::MAX, ..backoff() };
        let waits: Vec<_> = (0..200).map(|_| after_many.clone().next_wait()).collect();
        assert!(waits.iter().any(|wait| *wait < most / 4));
        assert!(waits.iter().any(|wait| *wait > most / 4 * 3));
        let long = (0..200).map(|_| after_many.clone().next_long_wait());
        assert!(long.into_iter().all(|wait| (most / 2..=most).contains(&wait)));
    }
}
