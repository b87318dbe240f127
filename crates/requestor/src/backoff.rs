//! The back-off of a requestor's tries: with full jitter, so that ten thousand cut streams do not
//! all reconnect at the same instant.

use std::time::Duration;

use orderstream_support::Backoff;

/// The bound of the first back-off.
const BASE: Duration = Duration::from_millis(100);
/// The bound that no back-off of a stream or a command exceeds.
pub(crate) const CAP: Duration = Duration::from_secs(5);

/// Returns a back-off of at most five seconds.
pub(crate) fn backoff() -> Backoff {
    backoff_up_to(CAP)
}

/// Returns a back-off that never exceeds `cap`.
pub(crate) fn backoff_up_to(cap: Duration) -> Backoff {
    Backoff::new(BASE, cap)
}
