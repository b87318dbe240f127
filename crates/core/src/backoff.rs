//! Back-off: the wait before the next try. The caller supplies the randomness: a draw from 0 to
//! 1 000.
//!
//! A back-off doubles from the first to the longest. *Full jitter* takes any part of it, so that
//! clients that were disconnected together do not reconnect together; *equal jitter* takes half of
//! it or more.

/// Returns the upper limit of the back-off after this many failures in a row: `first_ms` after the
/// first, doubling with each further one up to `longest_ms`.
pub const fn bound_ms(first_ms: u64, longest_ms: u64, failures: u32) -> u64 {
    let doublings = failures.saturating_sub(1);
    let bound = first_ms.saturating_mul(2_u64.saturating_pow(doublings));
    if bound < longest_ms { bound } else { longest_ms }
}

/// Returns a random part of a back-off: nothing at a draw of 0, all of it at 1 000.
pub const fn full_jitter_ms(wait_ms: u64, draw_permille: u64) -> u64 {
    let draw = if draw_permille < 1_000 { draw_permille } else { 1_000 };
    // Divided first where the product would not fit.
    match wait_ms.checked_mul(draw) {
        Some(product) => product / 1_000,
        None => (wait_ms / 1_000).saturating_mul(draw),
    }
}

/// Returns a random part of a back-off, at least half: half of it at a draw of 0, all of it at
/// 1 000.
pub const fn equal_jitter_ms(wait_ms: u64, draw_permille: u64) -> u64 {
    let half = wait_ms / 2;
    half.saturating_add(full_jitter_ms(wait_ms - half, draw_permille))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_double_up_to_the_longest() {
        let bounds: Vec<_> = (1..=8).map(|failures| bound_ms(100, 5_000, failures)).collect();
        assert_eq!(bounds, [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
        assert_eq!(bound_ms(100, 5_000, 0), 100);
        assert_eq!(bound_ms(100, 5_000, u32::MAX), 5_000);
    }

    #[test]
    fn draws_scale_the_back_off() {
        for (draw, full, equal) in [(0, 0, 500), (500, 500, 750), (1_000, 1_000, 1_000)] {
            assert_eq!(full_jitter_ms(1_000, draw), full);
            assert_eq!(equal_jitter_ms(1_000, draw), equal);
        }
        assert_eq!((equal_jitter_ms(1_001, 0), equal_jitter_ms(1_001, 1_000)), (500, 1_001));
        assert_eq!(full_jitter_ms(1_000, 9_999), 1_000);
        assert_eq!(full_jitter_ms(u64::MAX, 1_000), u64::MAX / 1_000 * 1_000);
    }
}
