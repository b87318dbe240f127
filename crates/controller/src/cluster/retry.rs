//! How soon a watch that broke is opened again: soon enough that what it shows is true within
//! seconds after the API server is back, and spread, so that not all replicas come at once.

use std::time::Duration;

use kube::runtime::utils::Backoff;

/// The bound of the first wait.
const FIRST: Duration = Duration::from_millis(200);
/// The bound that no wait exceeds.
const LONGEST: Duration = Duration::from_secs(2);

/// The waits of one watch: between a half and the whole of a bound that doubles.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct WatchBackoff {
    attempt: u32,
}

impl WatchBackoff {
    fn bound(self) -> Duration {
        FIRST.saturating_mul(2_u32.saturating_pow(self.attempt)).min(LONGEST)
    }
}

impl Iterator for WatchBackoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let bound = self.bound();
        self.attempt = self.attempt.saturating_add(1);
        Some(bound.mul_f64(0.5 + 0.5 * fastrand::f64()))
    }
}

impl Backoff for WatchBackoff {
    fn reset(&mut self) {
        self.attempt = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_two_seconds_and_no_further_and_begin_anew_after_success() {
        let mut backoff = WatchBackoff::default();
        for bound in [200, 400, 800, 1_600, 2_000, 2_000] {
            let (bound, wait) = (Duration::from_millis(bound), backoff.next().unwrap());
            assert!((bound / 2..=bound).contains(&wait), "{wait:?} of {bound:?}");
        }
        backoff.reset();
        assert!(backoff.next().unwrap() <= FIRST);
        backoff.attempt = u32::MAX;
        assert!(backoff.next().unwrap() <= LONGEST);
    }
}
