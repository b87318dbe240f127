//! The limit of writes per second to the API server: a token bucket that halves its rate when the
//! server asks it to slow down, and grows back otherwise.

use std::time::Duration;

use tokio::time::Instant;

/// The highest rate, writes per second.
pub(super) const PER_SECOND_MAX: f64 = 1_000.0;
/// The lowest rate, writes per second.
pub(super) const PER_SECOND_MIN: f64 = 5.0;
/// The growth of the rate in a second, as a fraction of the highest rate.
const GROWTH: f64 = 0.05;
/// Writes that may be done at once after an idle time.
const BURST: f64 = 200.0;
/// The longest back-off that is accepted from a server, so that a wrong response cannot stop all
/// writes.
const BACKOFF_MAX: Duration = Duration::from_secs(60);

/// A token bucket of writes.
#[derive(Clone, Debug)]
pub(super) struct TokenBucket {
    per_second: f64,
    tokens: f64,
    at: Instant,
    backoff_until: Option<Instant>,
    halved_at: Option<Instant>,
}

impl TokenBucket {
    /// Makes a full bucket.
    pub(super) const fn new(now: Instant) -> Self {
        let per_second = PER_SECOND_MAX;
        Self { per_second, tokens: BURST, at: now, backoff_until: None, halved_at: None }
    }

    /// Returns the rate that is allowed now, writes per second.
    pub(super) const fn per_second(&self) -> f64 {
        self.per_second
    }

    /// Takes one token.
    ///
    /// # Errors
    /// The time to wait for the next token.
    pub(super) fn take(&mut self, now: Instant) -> Result<(), Duration> {
        self.refill(now);
        if let Some(until) = self.backoff_until.filter(|until| *until > now) {
            return Err(until - now);
        }
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        Err(Duration::from_secs_f64((1.0 - self.tokens) / self.per_second))
    }

    /// Halves the rate, and stops all writes for `retry_after`: 1 s when absent, 60 s at most.
    /// Calls within a second of a halving do not halve it again: responses that come together count
    /// once.
    pub(super) fn slow_down(&mut self, now: Instant, retry_after: Option<Duration>) {
        self.refill(now);
        if self.halved_at.is_none_or(|at| now - at >= Duration::from_secs(1)) {
            self.per_second = (self.per_second / 2.0).max(PER_SECOND_MIN);
            self.halved_at = Some(now);
        }
        self.tokens = self.tokens.min(1.0);
        let until = now + retry_after.unwrap_or(Duration::from_secs(1)).min(BACKOFF_MAX);
        self.backoff_until = self.backoff_until.max(Some(until));
    }

    fn refill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = self.at.max(now);
        self.tokens = (self.tokens + passed * self.per_second).min(BURST);
        self.per_second = (self.per_second + passed * PER_SECOND_MAX * GROWTH).min(PER_SECOND_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(bucket: &mut TokenBucket, now: Instant) -> usize {
        std::iter::from_fn(|| bucket.take(now).ok()).count()
    }

    #[test]
    fn writes_burst_then_keep_the_rate() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(start);
        assert_eq!(taken(&mut bucket, start), 200);
        assert_eq!(taken(&mut bucket, start + Duration::from_millis(100)), 100);
        let wait = bucket.take(start + Duration::from_millis(100)).unwrap_err();
        assert!(wait <= Duration::from_millis(1), "{wait:?}");
    }

    /// Responses that come together count once, and writes wait for as long as the server
    /// requested.
    #[test]
    fn throttling_halves_rate_once_per_burst() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(start);
        for _ in 0..32 {
            bucket.slow_down(start, Some(Duration::from_secs(3)));
        }
        assert!((bucket.per_second() - PER_SECOND_MAX / 2.0).abs() < 1e-6);
        assert_eq!(bucket.take(start), Err(Duration::from_secs(3)));
        assert!(bucket.take(start + Duration::from_secs(3)).is_ok());
    }

    #[test]
    fn rate_recovers_and_never_reaches_zero() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(start);
        for second in 0..20 {
            bucket.slow_down(start + Duration::from_secs(second), Some(Duration::MAX));
        }
        assert!(bucket.per_second() >= PER_SECOND_MIN);
        let later = start + Duration::from_secs(120);
        assert!(bucket.take(later).is_ok());
        assert!((bucket.per_second() - PER_SECOND_MAX).abs() < 1e-6);
    }
}
