//! The waits of a requestor's tries: with full jitter, so that ten thousand cut streams do not all come
//! back in the same instant.

use std::time::Duration;

use orderstream_support::Backoff;

/// The bound of the first wait.
const BASE: Duration = Duration::from_millis(100);
/// The bound that no wait of a stream or a command exceeds.
pub(crate) const CAP: Duration = Duration::from_secs(5);

/// Waits up to five seconds.
pub(crate) fn backoff() -> Backoff {
    backoff_up_to(CAP)
}

/// Waits that never exceed this.
pub(crate) fn backoff_up_to(cap: Duration) -> Backoff {
    Backoff::new(BASE, cap)
}
