//! The pause between two attempts, and how much of a failure's reason is kept.

use crate::backoff::{bound_ms, equal_jitter_ms};
use crate::limits::{BACK_OFF_MS_MAX, BACK_OFF_MS_MIN, FAILURE_CHARS_MAX};

/// The pause after this many attempts, in milliseconds.
pub(super) fn back_off_ms(attempts: u32, jitter_permille: u64) -> u64 {
    let bound = bound_ms(BACK_OFF_MS_MIN, BACK_OFF_MS_MAX, attempts);
    equal_jitter_ms(bound, jitter_permille)
}

/// A reason, cut to what is kept.
pub(super) fn short(reason: &str) -> String {
    reason.chars().take(FAILURE_CHARS_MAX).collect()
}
