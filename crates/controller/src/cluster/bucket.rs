//! How many writes per second the API server is asked for: a token bucket that halves its rate
//! when it is told to slow down, and grows back while it is not.

use std::time::Duration;

use tokio::time::Instant;

/// The fastest, writes per second.
pub const PER_SECOND_MAX: f64 = 1_000.0;
/// The slowest, writes per second.
pub const PER_SECOND_MIN: f64 = 5.0;
/// What grows back each second, as a part of the fastest.
const GROWTH: f64 = 0.05;
/// Writes that may be done at once after a quiet time.
const BURST: f64 = 200.0;
/// The longest time that a server may ask for, so that a wrong answer cannot stop all writes.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// The bucket.
#[derive(Clone, Debug)]
pub struct Bucket {
    per_second: f64,
    tokens: f64,
    at: Instant,
    paused_until: Option<Instant>,
    halved_at: Option<Instant>,
}

impl Bucket {
    /// A full one.
    pub const fn new(now: Instant) -> Self {
        let per_second = PER_SECOND_MAX;
        Self { per_second, tokens: BURST, at: now, paused_until: None, halved_at: None }
    }

    /// Writes per second that are allowed now.
    pub const fn per_second(&self) -> f64 {
        self.per_second
    }

    /// Takes one token.
    ///
    /// # Errors
    /// How long to wait for one.
    pub fn take(&mut self, now: Instant) -> Result<(), Duration> {
        self.refill(now);
        if let Some(until) = self.paused_until.filter(|until| *until > now) {
            return Err(until - now);
        }
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        Err(Duration::from_secs_f64((1.0 - self.tokens) / self.per_second))
    }

    /// The server said: slower, and nothing before this time has passed. Answers to writes that
    /// were under way together count once.
    pub fn slow_down(&mut self, now: Instant, retry_after: Option<Duration>) {
        self.refill(now);
        if self.halved_at.is_none_or(|at| now - at >= Duration::from_secs(1)) {
            self.per_second = (self.per_second / 2.0).max(PER_SECOND_MIN);
            self.halved_at = Some(now);
        }
        self.tokens = self.tokens.min(1.0);
        let until = now + retry_after.unwrap_or(Duration::from_secs(1)).min(PAUSE_MAX);
        self.paused_until = self.paused_until.max(Some(until));
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

    fn taken(bucket: &mut Bucket, now: Instant) -> usize {
        std::iter::from_fn(|| bucket.take(now).ok()).count()
    }

    #[test]
    fn a_burst_then_the_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::new(start);
        assert_eq!(taken(&mut bucket, start), 200);
        assert_eq!(taken(&mut bucket, start + Duration::from_millis(100)), 100);
        let wait = bucket.take(start + Duration::from_millis(100)).unwrap_err();
        assert!(wait <= Duration::from_millis(1), "{wait:?}");
    }

    #[test]
    fn told_to_slow_down_it_halves_once_for_answers_that_come_together_and_waits_as_told() {
        let start = Instant::now();
        let mut bucket = Bucket::new(start);
        for _ in 0..32 {
            bucket.slow_down(start, Some(Duration::from_secs(3)));
        }
        assert!((bucket.per_second() - PER_SECOND_MAX / 2.0).abs() < 1e-6);
        assert_eq!(bucket.take(start), Err(Duration::from_secs(3)));
        assert!(bucket.take(start + Duration::from_secs(3)).is_ok());
    }

    #[test]
    fn it_grows_back_and_never_stops_for_good() {
        let start = Instant::now();
        let mut bucket = Bucket::new(start);
        for second in 0..20 {
            bucket.slow_down(start + Duration::from_secs(second), Some(Duration::MAX));
        }
        assert!(bucket.per_second() >= PER_SECOND_MIN);
        let later = start + Duration::from_secs(120);
        assert!(bucket.take(later).is_ok());
        assert!((bucket.per_second() - PER_SECOND_MAX).abs() < 1e-6);
    }
}
