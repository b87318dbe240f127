//! The wall clock: the only place that reads it.

use std::time::{SystemTime, UNIX_EPOCH};

use orderstream_core::Timestamp;
use orderstream_core::port::Clock;

/// The system's wall clock.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        #[allow(clippy::disallowed_methods, reason = "this is the clock that others are given")]
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}
