//! The current time, for the verbs.

use orderstream_core::Timestamp;
use orderstream_core::port::Clock as _;
use orderstream_support::SystemClock;

/// Returns the current time.
pub(crate) fn now() -> Timestamp {
    SystemClock.now()
}
