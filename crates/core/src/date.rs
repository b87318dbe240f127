//! Dates that people and programs write into texts: RFC 3339, compared by the instant they mean.

use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::id::Timestamp;

/// A time as RFC 3339, in UTC, to the millisecond where it has some. Times out of its range are the nearest
/// in it.
pub fn rfc3339(at: Timestamp) -> String {
    instant(at).to_string()
}

/// A time as RFC 3339, in UTC, in whole seconds, as Kubernetes writes them.
pub fn rfc3339_seconds(at: Timestamp) -> String {
    instant(at).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The time of an RFC 3339 text.
pub fn parse_rfc3339(text: &str) -> Option<Timestamp> {
    text.parse::<jiff::Timestamp>().ok().map(|at| Timestamp(at.as_millisecond()))
}

fn instant(at: Timestamp) -> jiff::Timestamp {
    let nearest = if at.0 < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
    jiff::Timestamp::from_millisecond(at.0).unwrap_or(nearest)
}

/// The instant that a date-time means, or the first one of a date, in UTC; `None` for another shape.
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
    fn times_are_written_in_utc_and_read_back() {
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
    }

    #[test]
    fn dates_and_times_of_any_offset_are_compared_by_the_instant_they_mean() {
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
