//! Dates that people and programs write into texts: RFC 3339, compared by the instant they mean.

use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::id::Timestamp;

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
