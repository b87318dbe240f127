//! The back-off between two attempts, and the part of a failure's cause that is stored.

use crate::backoff::{bound_ms, equal_jitter_ms};
use crate::limits::{BACK_OFF_MS_MAX, BACK_OFF_MS_MIN, FAILURE_CHARS_MAX};

/// Returns the back-off after this many attempts, in milliseconds.
pub(super) fn back_off_ms(attempts: u32, jitter_permille: u64) -> u64 {
    let bound = bound_ms(BACK_OFF_MS_MIN, BACK_OFF_MS_MAX, attempts);
    equal_jitter_ms(bound, jitter_permille)
}

/// Cuts a cause to the length that is stored.
pub(super) fn truncate_reason(reason: &str) -> String {
    reason.chars().take(FAILURE_CHARS_MAX).collect()
}
