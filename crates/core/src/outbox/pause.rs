//! The pause between two attempts, and how much of a failure's reason is kept.

use crate::limits::{BACK_OFF_MS_MAX, BACK_OFF_MS_MIN, FAILURE_CHARS_MAX};

/// The pause after this many attempts: it doubles, and half of it is left to chance.
pub(super) fn back_off_ms(attempts: u32, jitter_permille: u64) -> u64 {
    let doubled = 1_u64.checked_shl(attempts.saturating_sub(1)).unwrap_or(u64::MAX);
    let longest = BACK_OFF_MS_MIN.saturating_mul(doubled).min(BACK_OFF_MS_MAX);
    let half = longest / 2;
    half.saturating_add(half.saturating_mul(jitter_permille.min(1_000)) / 1_000)
}

/// A reason, cut to what is kept.
pub(super) fn short(reason: &str) -> String {
    reason.chars().take(FAILURE_CHARS_MAX).collect()
}
