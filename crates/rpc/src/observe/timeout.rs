//! The deadline that a caller sets with the header `grpc-timeout`.

use std::time::Duration;

use http::HeaderMap;

/// The name of the header.
const GRPC_TIMEOUT: &str = "grpc-timeout";
/// The largest number of digits that the protocol allows.
const DIGITS_MAX: usize = 8;

/// Returns the deadline in the header: up to 8 digits and a unit. Anything else counts as no
/// deadline.
pub(super) fn grpc_timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(GRPC_TIMEOUT)?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > DIGITS_MAX || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let value: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(value * 3600)),
        "M" => Some(Duration::from_secs(value * 60)),
        "S" => Some(Duration::from_secs(value)),
        "m" => Some(Duration::from_millis(value)),
        "u" => Some(Duration::from_micros(value)),
        "n" => Some(Duration::from_nanos(value)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<Duration>) {
        let mut headers = HeaderMap::new();
        headers.insert(GRPC_TIMEOUT, text.parse().unwrap());
        assert_eq!(grpc_timeout(&headers), expected, "{text}");
    }

    /// Malformed timeouts count as none.
    #[test]
    fn every_timeout_unit_is_read() {
        check("2H", Some(Duration::from_secs(7200)));
        check("3M", Some(Duration::from_secs(180)));
        check("4S", Some(Duration::from_secs(4)));
        check("82m", Some(Duration::from_millis(82)));
        check("5u", Some(Duration::from_micros(5)));
        check("99999999n", Some(Duration::from_nanos(99_999_999)));
        for nonsense in ["", "S", "12", "123456789S", "-1S", "1s", "+1S", "1.5S"] {
            check(nonsense, None);
        }
    }
}
