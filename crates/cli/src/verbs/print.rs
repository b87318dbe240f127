//! The output of the verbs: texts and times for people, JSON and YAML for programs.

use jiff::tz::TimeZone;
use orderstream_core::display::line;
use orderstream_core::visible::is_blank;
use orderstream_core::{Timestamp, date};
use serde::Serialize;

use super::show::OutputFormat;
use crate::display::displayed;
use crate::exit::CliError;
use crate::output::{self, Style, styled};

/// Makes a stranger's text safe to print on one line, without blanks around it.
pub(crate) fn one_line(text: &str) -> String {
    displayed(line(text).trim())
}

/// Prints a text of one or more lines, in which strangers' texts stand.
pub(crate) fn lines(text: &str) {
    text.lines().for_each(|line| output::line(&displayed(line)));
}

/// Prints a blank line and a heading.
pub(crate) fn heading(text: &str) {
    output::line("");
    output::line(&styled(Style::Heading, text));
}

/// Prints a suggestion for the next command, which can be pasted into a shell.
pub(crate) fn next(command: &str) {
    output::line(&styled(Style::Faint, &format!("next: {command}")));
}

/// Prints what can be done next, where a person has to complete the command.
pub(crate) fn hint(text: &str) {
    output::line(&styled(Style::Faint, &format!("hint: {}", displayed(text))));
}

/// Prints a value as YAML or JSON, for programs.
pub(crate) fn structured<T: Serialize>(value: &T, format: OutputFormat) -> Result<(), CliError> {
    let text = if format == OutputFormat::Yaml {
        serde_saphyr::to_string(value).map_err(|error| error.to_string())
    } else {
        serde_json::to_string_pretty(value).map_err(|error| error.to_string())
    };
    output::document(text.map_err(CliError::unexpected)?.trim_end());
    Ok(())
}

/// Formats a duration in its two largest units: `1h 4m`, `12s`.
pub(crate) fn length(ms: u64) -> String {
    let seconds = ms / 1_000;
    let (days, hours) = (seconds / 86_400, seconds / 3_600 % 24);
    let (minutes, seconds) = (seconds / 60 % 60, seconds % 60);
    let parts = [(days, "d"), (hours, "h"), (minutes, "m"), (seconds, "s")];
    let first = parts.iter().position(|(count, _)| *count > 0).unwrap_or(3);
    let units = parts.iter().skip(first).take(2).filter(|(count, _)| *count > 0);
    let units: Vec<_> = units.map(|(count, unit)| format!("{count}{unit}")).collect();
    if units.is_empty() { "0s".to_owned() } else { units.join(" ") }
}

/// Formats a time for people and its distance from now: `2026-12-01T13:00:00+01:00 (in 28m 10s)`.
pub(crate) fn moment(text: &str, now: Timestamp) -> String {
    let Some(at) = date::parse_rfc3339(text) else { return one_line(text) };
    distant(&local(at), at, now)
}

/// Does the same as [`moment`] in UTC, for programs.
pub(crate) fn utc_moment(text: &str, now: Timestamp) -> String {
    let Some(at) = date::parse_rfc3339(text) else { return one_line(text) };
    distant(&date::rfc3339_seconds(at), at, now)
}

/// Adds its distance from now to a formatted time.
fn distant(formatted: &str, at: Timestamp, now: Timestamp) -> String {
    if at > now {
        format!("{formatted} (in {})", length(at.ms_since(now)))
    } else {
        format!("{formatted} ({} ago)", length(now.ms_since(at)))
    }
}

/// Formats a time for people, with seconds.
pub(crate) fn clock(text: &str) -> String {
    match date::parse_rfc3339(text) {
        Some(at) => local(at),
        None => one_line(text),
    }
}

/// Formats a time in the zone of the machine, or of `TZ`: RFC 3339 with its offset, so that it can
/// be given to any flag.
pub(crate) fn local(at: Timestamp) -> String {
    in_zone(at, &TimeZone::system())
}

fn in_zone(at: Timestamp, zone: &TimeZone) -> String {
    let Ok(instant) = jiff::Timestamp::from_millisecond(at.0) else {
        return date::rfc3339_seconds(at);
    };
    let zoned = instant.to_zoned(zone.clone());
    if zoned.offset().is_zero() {
        return date::rfc3339_seconds(at);
    }
    zoned.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
}

/// Formats metres as kilometres; a dash where it is absent.
pub(crate) fn distance(metres: Option<u32>) -> String {
    metres.map_or_else(|| "-".to_owned(), |metres| format!("{} km", (metres + 500) / 1_000))
}

/// Formats a count and its noun.
pub(crate) fn count(count: usize, one: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") }
}

/// Names a seller for people: `Möbel Müller (moebel-mueller)`, or its name alone where it has no
/// other.
pub(crate) fn seller(name: &str, display_name: Option<&str>) -> String {
    match display_name.map(one_line).filter(|display_name| !is_blank(display_name)) {
        Some(display_name) if display_name != name => format!("{display_name} ({name})"),
        Some(_) | None => one_line(name),
    }
}

/// Cuts a longer text, with a mark at its end.
pub(crate) fn cut(text: &str, chars: usize) -> String {
    if text.chars().count() <= chars {
        return text.to_owned();
    }
    text.chars().take(chars.saturating_sub(1)).chain(['…']).collect()
}

/// Returns the text on one line, or a dash where it is absent or blank.
pub(crate) fn or_dash(text: Option<&str>) -> String {
    text.filter(|text| !is_blank(text)).map_or_else(|| "-".to_owned(), one_line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_two_units() {
        for (ms, expected) in
            [(0, "0s"), (61_000, "1m 1s"), (3_600_000, "1h"), (90_061_000, "1d 1h")]
        {
            assert_eq!(length(ms), expected);
        }
    }

    /// The same instant, with the offset that the zone has on that day.
    #[test]
    fn times_are_those_of_the_readers_zone() {
        let berlin = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        for (text, expected) in [
            ("2026-12-01T12:00:00Z", "2026-12-01T13:00:00+01:00"),
            ("2026-07-01T12:00:00.25Z", "2026-07-01T14:00:00+02:00"),
        ] {
            let at = date::parse_rfc3339(text).unwrap();
            assert_eq!(in_zone(at, &berlin), expected);
            assert_eq!(date::parse_rfc3339(expected).map(|at| at.0 / 1_000), Some(at.0 / 1_000));
        }
        let at = date::parse_rfc3339("2026-12-01T12:00:00Z").unwrap();
        for zone in [TimeZone::UTC, TimeZone::unknown()] {
            assert_eq!(in_zone(at, &zone), "2026-12-01T12:00:00Z");
        }
    }

    #[test]
    fn sellers_have_both_names() {
        let both = seller("moebel-mueller", Some("Möbel\nMüller"));
        assert_eq!(both, "Möbel Müller (moebel-mueller)");
        for display_name in ["", " ", "\u{3164}", "\u{200e}", "acme"] {
            assert_eq!(seller("acme", Some(display_name)), "acme");
        }
        assert_eq!(seller("acme", None), "acme");
        assert_eq!(one_line("\u{200b} x \u{3164}"), "x");
        assert_eq!([None, Some("\u{2800}"), Some("x")].map(or_dash), ["-", "-", "x"]);
    }

    #[test]
    fn longer_texts_are_cut_and_marked() {
        for (text, expected) in [("", ""), ("stühle", "stühle"), ("stühle!", "stühl…")] {
            assert_eq!(cut(text, 6), expected);
        }
    }

    #[test]
    fn distances_are_in_either_direction() {
        let now = date::parse_rfc3339("2026-12-01T12:00:00Z").unwrap();
        assert_eq!(utc_moment("2026-12-01T12:28:10Z", now), "2026-12-01T12:28:10Z (in 28m 10s)");
        assert_eq!(utc_moment("2026-12-01T11:00:00Z", now), "2026-12-01T11:00:00Z (1h ago)");
        assert_eq!(utc_moment("to\nmorrow", now), "to morrow");
    }
}
