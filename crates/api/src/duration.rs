//! Durations as manifests write them: whole days (`7d`), or hours, minutes and seconds
//! (`30m`, `1h30m`). The same grammar as in the rules of the resource's definition. Flags take all
//! that people write (`1d12h`, `2w`, `90 min`).

use jiff::{Span, SpanRelativeTo};
use orderstream_core::Refusal;
use orderstream_core::limits::{
    DECIDE_WITHIN_MS_MAX, EXPIRES_IN_MS_MAX, EXPIRES_IN_MS_MIN, UNDO_WITHIN_MS_MAX,
};

const DAY_MS: u64 = 24 * 3_600_000;
/// The longest time for which a resource is kept after its order's end, milliseconds (30 d).
pub const TTL_MS_MAX: u64 = 30 * DAY_MS;
/// The largest number of seconds that [`parse_ms`] takes.
const SECONDS_MAX: u64 = 999_999;
/// The longest text of a duration in a flag, bytes.
const FRIENDLY_BYTES_MAX: usize = 64;

/// Parses a duration into milliseconds; `None` for anything outside the grammar.
pub fn parse_ms(text: &str) -> Option<u64> {
    if text.len() > 16 {
        return None;
    }
    if let Some(days) = text.strip_suffix('d') {
        return number(days, 3)?.checked_mul(DAY_MS);
    }
    let mut total: u64 = 0;
    let mut rest = text;
    loop {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (count, tail) = rest.split_at(digits);
        let unit_ms = match tail.as_bytes().first()? {
            b'h' => 3_600_000,
            b'm' => 60_000,
            b's' => 1_000,
            _ => return None,
        };
        total = total.checked_add(number(count, 6)?.checked_mul(unit_ms)?)?;
        rest = tail.get(1..)?;
        if rest.is_empty() {
            return Some(total);
        }
    }
}

/// Parses a duration as people write it in a flag, into whole milliseconds: all that [`parse_ms`]
/// takes, and also `1d12h`, `2w`, `1h 30m`, `1.5h` or `90 minutes`. A day has 24 hours. `None` for
/// anything else, such as a bare number, a negative duration, or months, which have no one length.
pub fn parse_friendly_ms(text: &str) -> Option<u64> {
    if text.len() > FRIENDLY_BYTES_MAX {
        return None;
    }
    if let Some(ms) = parse_ms(text) {
        return Some(ms);
    }
    let span: Span = text.trim().parse().ok()?;
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
    u64::try_from(duration.as_millis()).ok()
}

fn number(digits: &str, digits_max: usize) -> Option<u64> {
    let fits = (1..=digits_max).contains(&digits.len());
    (fits && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok()).flatten()
}

/// Formats a duration so that [`parse_ms`] can parse it; parts of a second are rounded up.
pub fn format_ms(ms: u64) -> String {
    let seconds = ms.div_ceil(1_000);
    if seconds > 0 && seconds.is_multiple_of(86_400) {
        return format!("{}d", seconds / 86_400);
    }
    if seconds > 0 && seconds.is_multiple_of(3_600) {
        return format!("{}h", seconds / 3_600);
    }
    if seconds > 0 && seconds.is_multiple_of(60) {
        return format!("{}m", seconds / 60);
    }
    if seconds <= SECONDS_MAX {
        return format!("{seconds}s");
    }
    format!("{}m{}s", seconds / 60, seconds % 60)
}

/// Parses the time from an order's opening to its deadline, milliseconds.
///
/// # Errors
/// Names `spec.expiresIn`, the limits and the form.
pub fn expires_in_ms(text: &str) -> Result<u64, Refusal> {
    bounded("spec.expiresIn", text, (EXPIRES_IN_MS_MIN, EXPIRES_IN_MS_MAX), "10s to 180d")
}

/// Parses the time after the deadline in which the buyer may decide, milliseconds.
///
/// # Errors
/// Names `spec.decideWithin`, the limits and the form.
pub fn decide_within_ms(text: &str) -> Result<u64, Refusal> {
    bounded("spec.decideWithin", text, (0, DECIDE_WITHIN_MS_MAX), "0s to 180d")
}

/// Parses the time for which a resource is kept after its order's end, milliseconds.
///
/// # Errors
/// Names `spec.ttlAfterFinished`, the limits and the form.
pub fn ttl_ms(text: &str) -> Result<u64, Refusal> {
    bounded("spec.ttlAfterFinished", text, (0, TTL_MS_MAX), "0s to 30d")
}

/// Parses the time for which an award can be undone, milliseconds.
///
/// # Errors
/// Names `spec.award.undoWithin`, the limits and the form.
pub fn undo_within_ms(text: &str) -> Result<u64, Refusal> {
    bounded("spec.award.undoWithin", text, (0, UNDO_WITHIN_MS_MAX), "0s to 1d")
}

fn bounded(field: &str, text: &str, (min, max): (u64, u64), limits: &str) -> Result<u64, Refusal> {
    let escaped: String = text.chars().take(32).flat_map(char::escape_default).collect();
    let ms = parse_ms(text).ok_or_else(|| {
        Refusal::field(
            field,
            format!("'{escaped}' is not a duration; give {limits}, such as 30m, 1h30m or 2d"),
        )
    })?;
    if !(min..=max).contains(&ms) {
        return Err(Refusal::field(field, format!("is {escaped}; give {limits}")));
    }
    Ok(ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Days stand alone; hours, minutes and seconds combine.
    #[test]
    fn durations_parse_by_the_grammar() {
        let table = [
            ("10s", Some(10_000)),
            ("30m", Some(1_800_000)),
            ("1h30m", Some(5_400_000)),
            ("7d", Some(7 * DAY_MS)),
            ("0s", Some(0)),
            ("", None),
            ("30", None),
            ("m", None),
            ("-5m", None),
            ("1.5h", None),
            ("1d12h", None),
            ("5 m", None),
            ("5M", None),
            ("1000d", None),
            ("9999999s", None),
            ("999999h999999h999999h", None),
        ];
        for (text, ms) in table {
            assert_eq!(parse_ms(text), ms, "{text}");
        }
    }

    #[test]
    fn flags_take_durations_as_people_write_them() {
        let hour = 3_600_000;
        for (text, ms) in [
            ("36h", Some(36 * hour)),
            ("1d12h", Some(36 * hour)),
            ("1d 12h", Some(36 * hour)),
            ("2w", Some(14 * DAY_MS)),
            ("1.5h", Some(hour + hour / 2)),
            ("90 minutes", Some(hour + hour / 2)),
            ("1 hour, 30 min", Some(hour + hour / 2)),
            ("500ms", Some(500)),
            ("0s", Some(0)),
            ("30m1h", Some(hour + hour / 2)),
            (" 2w ", Some(14 * DAY_MS)),
            ("", None),
            ("30", None),
            ("soon", None),
            ("-5m", None),
            ("5 minutes ago", None),
            ("1 month", None),
            ("1y", None),
            ("1d12", None),
        ] {
            assert_eq!(parse_friendly_ms(text), ms, "{text}");
        }
        assert_eq!(parse_friendly_ms(&"1".repeat(100)), None);
    }

    #[test]
    fn formatted_durations_parse_back() {
        for text in ["10s", "90s", "30m", "5h", "7d", "0s", "17280m1s", "259199m59s", "999999s"] {
            let ms = parse_ms(text).expect("a duration");
            assert_eq!(parse_ms(&format_ms(ms)), Some(ms), "{text}");
        }
        assert_eq!(format_ms(1), "1s");
    }

    #[test]
    fn wrong_durations_name_field_and_limits() {
        let low = expires_in_ms("5s").expect_err("too short");
        assert_eq!(low.field.as_deref(), Some("spec.expiresIn"));
        assert_eq!(low.message, "is 5s; give 10s to 180d");
        let word = ttl_ms("soon").expect_err("no duration");
        assert_eq!(word.field.as_deref(), Some("spec.ttlAfterFinished"));
        assert!(word.message.contains("'soon' is not a duration; give 0s to 30d"), "{word}");
    }
}
