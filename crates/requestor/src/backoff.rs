//! How long to wait before the next try: exponential, with full jitter, so that ten thousand cut
//! streams do not all come back in the same instant.

use std::time::Duration;

/// The bound of the first wait.
pub(crate) const BASE: Duration = Duration::from_millis(100);
/// The bound that no wait exceeds.
pub(crate) const CAP: Duration = Duration::from_secs(5);

/// Counts tries and draws waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    attempt: u32,
    cap: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self::up_to(CAP)
    }
}

impl Backoff {
    /// Waits that never exceed this.
    pub(crate) const fn up_to(cap: Duration) -> Self {
        Self { attempt: 0, cap }
    }

    /// The bound of the next wait.
    fn bound(self) -> Duration {
        BASE.saturating_mul(2_u32.saturating_pow(self.attempt)).min(self.cap)
    }

    /// The next wait: anything from nothing to the bound, which doubles each time up to the cap.
    pub(crate) fn next_wait(&mut self) -> Duration {
        let bound = self.bound();
        self.attempt = self.attempt.saturating_add(1);
        bound.mul_f64(fastrand::f64())
    }

    /// How many waits were drawn since the last success.
    pub(crate) const fn attempts(self) -> u32 {
        self.attempt
    }

    /// Success: start again from the base.
    pub(crate) const fn reset(&mut self) {
        self.attempt = 0;
    }
}

/// A wait for when the other side is well but must not be met by everybody at once.
pub(crate) fn jitter(most: Duration) -> Duration {
    most.mul_f64(fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_double_up_to_the_cap_and_start_again() {
        let mut backoff = Backoff::default();
        let bounds: Vec<_> = (0..8)
            .map(|_| {
                let bound = backoff.bound();
                assert!(backoff.next_wait() <= bound);
                bound.as_millis()
            })
            .collect();
        assert_eq!(bounds, [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
        backoff.reset();
        assert_eq!(backoff.bound(), BASE);
    }

    #[test]
    fn waits_spread_over_the_whole_bound() {
        let waits: Vec<_> =
            (0..200).map(|_| Backoff { attempt: 9, cap: CAP }.next_wait()).collect();
        assert!(waits.iter().any(|wait| *wait < CAP / 4));
        assert!(waits.iter().any(|wait| *wait > CAP / 4 * 3));
    }

    #[test]
    fn a_thousand_failures_do_not_overflow() {
        let mut backoff = Backoff { attempt: u32::MAX, cap: CAP };
        assert!(backoff.next_wait() <= CAP);
    }
}
