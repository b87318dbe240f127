//! Dates as people and programs write them: RFC 3339, compared by their instants.

use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::id::Timestamp;

/// Formats a time as RFC 3339, in UTC, with milliseconds where it has any. A time out of range
/// becomes the nearest one in it.
pub fn rfc3339(at: Timestamp) -> String {
    instant(at).to_string()
}

/// Formats a time as RFC 3339, in UTC, in whole seconds, as Kubernetes does.
pub fn rfc3339_seconds(at: Timestamp) -> String {
    instant(at).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Parses an RFC 3339 time; `None` for any other format.
pub fn parse_rfc3339(text: &str) -> Option<Timestamp> {
    text.parse::<jiff::Timestamp>().ok().map(|at| Timestamp(at.as_millisecond()))
}

fn instant(at: Timestamp) -> jiff::Timestamp {
    let nearest = if at.0 < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
    jiff::Timestamp::from_millisecond(at.0).unwrap_or(nearest)
}

/// Parses a date-time to its instant, or a date to its first instant in UTC; `None` for any other
/// format.
pub fn parse(text: &str) -> Option<Timestamp> {
    let instant = text.parse::<jiff::Timestamp>().ok().or_else(|| {
        if text.len() != "2026-12-01".len() {
            return None;
        }
        let date = text.parse::<Date>().ok()?;
        date.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
    })?;
    Some(Timestamp(instant.as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_round_trip_in_utc() {
        for (ms, millis, seconds) in [
            (1_800_000_000_000, "2027-01-15T08:00:00Z", "2027-01-15T08:00:00Z"),
            (1_800_000_000_250, "2027-01-15T08:00:00.25Z", "2027-01-15T08:00:00Z"),
            (-1, "1969-12-31T23:59:59.999Z", "1969-12-31T23:59:59Z"),
        ] {
            assert_eq!(rfc3339(Timestamp(ms)), millis);
            assert_eq!(rfc3339_seconds(Timestamp(ms)), seconds);
            assert_eq!(parse_rfc3339(millis), Some(Timestamp(ms)));
        }
        assert!(rfc3339(Timestamp(i64::MAX)).starts_with("9999-"));
        assert!(rfc3339(Timestamp(i64::MIN)).starts_with("-009999-"));
    }

    /// Any offset is accepted; other formats are refused.
    #[test]
    fn dates_compare_by_instant() {
        let day = parse("2026-12-01").unwrap();
        assert_eq!(parse("2026-12-01T00:00:00Z"), Some(day));
        assert_eq!(parse("2026-12-01T02:00:00+02:00"), Some(day));
        for wrong in
            ["", "tomorrow", "2026-13-01", "01.12.2026", "2026-12-01T25:00:00Z", "20261201"]
        {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
