//! The output of the verbs: tables and times for people, JSON and YAML for programs.

use comfy_table::{CellAlignment, Table, presets};
use orderstream_core::{Timestamp, date};
use serde::Serialize;

use super::show::OutputFormat;
use crate::exit::CliError;
use crate::output::{self, Style, styled};

/// A column: its heading and alignment.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Column<'a> {
    /// A column of words, aligned left.
    Text(&'a str),
    /// A column of numbers, aligned right.
    Numbers(&'a str),
}

/// Prints a table; nothing when there are no rows.
pub(crate) fn table(columns: &[Column<'_>], rows: Vec<Vec<String>>) {
    if rows.is_empty() {
        return;
    }
    for line in lines(columns, rows) {
        output::line(&line);
    }
}

/// Formats the lines of a table, without trailing blanks.
pub(crate) fn lines(columns: &[Column<'_>], rows: Vec<Vec<String>>) -> Vec<String> {
    let mut table = Table::new();
    let heading = |column: &Column<'_>| match column {
        Column::Text(heading) | Column::Numbers(heading) => one_line(heading),
    };
    table.load_style(presets::NOTHING).set_header(columns.iter().map(heading));
    for row in rows {
        table.add_row(row);
    }
    for (index, column) in columns.iter().enumerate() {
        let Some(table_column) = table.column_mut(index) else { continue };
        table_column.set_padding((0, 2));
        if matches!(column, Column::Numbers(_)) {
            table_column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let mut lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    if let Some(first) = lines.first_mut() {
        *first = styled(Style::Heading, first);
    }
    lines
}

/// Replaces control characters by blanks, so that a text stays on one line and cannot control the
/// terminal.
pub(crate) fn one_line(text: &str) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().map(plain).collect::<String>().trim().to_owned()
}

/// Prints a blank line and a heading.
pub(crate) fn heading(text: &str) {
    output::line("");
    output::line(&styled(Style::Heading, text));
}

/// Prints a suggestion for the next command.
pub(crate) fn next(command: &str) {
    output::line(&styled(Style::Faint, &format!("next: {command}")));
}

/// Prints a value as YAML or JSON, for programs.
pub(crate) fn structured<T: Serialize>(value: &T, format: OutputFormat) -> Result<(), CliError> {
    let text = if format == OutputFormat::Yaml {
        serde_saphyr::to_string(value).map_err(|error| error.to_string())
    } else {
        serde_json::to_string_pretty(value).map_err(|error| error.to_string())
    };
    output::line(text.map_err(CliError::unexpected)?.trim_end());
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

/// Formats a time and its distance from now: `2026-12-01T12:00:00Z (in 28m 10s)`.
pub(crate) fn moment(text: &str, now: Timestamp) -> String {
    let Some(at) = date::parse(text) else { return one_line(text) };
    let formatted = date::rfc3339_seconds(at);
    if at > now {
        format!("{formatted} (in {})", length(at.ms_since(now)))
    } else {
        format!("{formatted} ({} ago)", length(now.ms_since(at)))
    }
}

/// Formats a time with seconds, RFC 3339.
pub(crate) fn clock(text: &str) -> String {
    match date::parse(text) {
        Some(at) => date::rfc3339_seconds(at),
        None => one_line(text),
    }
}

/// Formats metres as kilometres; a dash where it is absent.
pub(crate) fn distance(metres: Option<u32>) -> String {
    metres.map_or_else(|| "-".to_owned(), |metres| format!("{} km", (metres + 500) / 1_000))
}

/// Formats a count and its noun.
pub(crate) fn count(count: usize, one: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") }
}

/// Returns the text on one line, or a dash where it is absent or empty.
pub(crate) fn or_dash(text: Option<&str>) -> String {
    text.filter(|text| !text.is_empty()).map_or_else(|| "-".to_owned(), one_line)
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

    #[test]
    fn seller_texts_cannot_control_the_terminal() {
        assert_eq!(one_line("from\nstock\x1b[31m"), "from stock [31m");
    }

    #[test]
    fn columns_stand_under_their_headings() {
        let columns = [Column::Text("SELLER"), Column::Numbers("TOTAL")];
        let rows = vec![
            vec!["acme".to_owned(), "9.50".to_owned()],
            vec!["x".to_owned(), "1000.00".to_owned()],
        ];
        let expected = ["SELLER    TOTAL", "acme       9.50", "x       1000.00"];
        assert_eq!(lines(&columns, rows), expected);
    }
}
