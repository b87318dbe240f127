//! Tables for people. In a pipe a column is as wide as its content; on a terminal the table fits:
//! sentences wrap, and columns of less weight are left out, with a line that names them.

use comfy_table::{CellAlignment, ColumnConstraint, Table, Width, presets};
use terminal_size::terminal_size_of;

use crate::display::displayed;
use crate::output::{self, Style, styled};

/// The blanks behind a column.
const GAP: u16 = 2;
/// The smallest width to which a column of sentences shrinks, without the gap.
const PROSE_WIDTH_MIN: u16 = 16;
/// The width of a time with its offset, behind which its distance wraps.
const MOMENT_WIDTH_MIN: u16 = 25;

/// A column: its heading, its alignment, and what becomes of it on a narrow terminal.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Column<'a> {
    /// A column of words, aligned left.
    Text(&'a str),
    /// A column of numbers, aligned right.
    Numbers(&'a str),
    /// A column of sentences, aligned left; they wrap.
    Prose(&'a str),
    /// A column of words that is left out where the terminal is too narrow.
    Extra(&'a str),
    /// A column of numbers that is left out where the terminal is too narrow.
    ExtraNumbers(&'a str),
    /// A column of sentences that wrap, and that is left out where that is not enough.
    ExtraProse(&'a str),
    /// A column of times with their distance, which wraps between them.
    Moment(&'a str),
}

impl Column<'_> {
    fn heading(&self) -> String {
        match self {
            Self::Text(heading)
            | Self::Numbers(heading)
            | Self::Prose(heading)
            | Self::Extra(heading)
            | Self::ExtraNumbers(heading)
            | Self::ExtraProse(heading)
            | Self::Moment(heading) => displayed(heading),
        }
    }

    const fn is_extra(&self) -> bool {
        matches!(self, Self::Extra(_) | Self::ExtraNumbers(_) | Self::ExtraProse(_))
    }

    const fn is_of_numbers(&self) -> bool {
        matches!(self, Self::Numbers(_) | Self::ExtraNumbers(_))
    }

    /// Returns the width to which the column shrinks; `None` where it keeps its width.
    fn least(&self) -> Option<u16> {
        let (heading, least) = match self {
            Self::Prose(heading) | Self::ExtraProse(heading) => (heading, PROSE_WIDTH_MIN),
            Self::Moment(heading) => (heading, MOMENT_WIDTH_MIN),
            Self::Text(_) | Self::Numbers(_) | Self::Extra(_) | Self::ExtraNumbers(_) => {
                return None;
            }
        };
        Some(u16::try_from(heading.len()).unwrap_or(u16::MAX).max(least))
    }
}

/// Prints a table; nothing where there are no rows.
pub(crate) fn print(columns: &[Column<'_>], rows: Vec<Vec<String>>) {
    print_with_best(columns, rows, &[]);
}

/// Prints a table with every column at its full width, whatever the terminal's.
pub(crate) fn print_whole(columns: &[Column<'_>], rows: Vec<Vec<String>>) {
    if !rows.is_empty() {
        FittedTable::of(columns, rows, None).print(&[]);
    }
}

/// Prints a table in whose last column these words are marked as best values.
pub(crate) fn print_with_best(columns: &[Column<'_>], rows: Vec<Vec<String>>, best: &[&str]) {
    if rows.is_empty() {
        return;
    }
    FittedTable::of(columns, rows, terminal_width()).print(best);
}

/// Formats a table as one text without styles.
pub(crate) fn text(columns: &[Column<'_>], rows: Vec<Vec<String>>) -> String {
    FittedTable::of(columns, rows, terminal_width()).lines.join("\n")
}

/// Reports whether tables are printed for a terminal.
pub(crate) fn is_for_terminal() -> bool {
    terminal_width().is_some()
}

/// Returns the terminal's width; `None` where the output is not a terminal.
pub(crate) fn terminal_width() -> Option<u16> {
    terminal_size_of(std::io::stdout()).map(|(width, _)| width.0)
}

/// Styles words in the last column of a line.
fn marked(line: &str, best: &[&str]) -> String {
    let Some(at) = line.rfind("  ") else { return line.to_owned() };
    let (before, last) = line.split_at(at);
    let mark = |text: String, word: &&str| text.replace(word, &styled(Style::Best, word));
    format!("{before}{}", best.iter().fold(last.to_owned(), mark))
}

/// A table as it is printed.
#[derive(Debug)]
struct FittedTable {
    /// The lines, the headings first, without trailing blanks.
    lines: Vec<String>,
    /// The headings of the columns that are left out.
    left_out: Vec<String>,
}

impl FittedTable {
    /// Prints the table, with these words of its last column marked.
    fn print(&self, best: &[&str]) {
        for (index, line) in self.lines.iter().enumerate() {
            match index {
                0 => output::line(&styled(Style::Heading, line)),
                _ => output::line(&marked(line, best)),
            }
        }
        if !self.left_out.is_empty() {
            let names = self.left_out.join(", ");
            let text = format!("left out on this narrow terminal: {names}");
            output::line(&styled(Style::Faint, &text));
        }
    }

    /// Arranges a table for a terminal of this width; every column has its full width where there
    /// is none.
    fn of(columns: &[Column<'_>], rows: Vec<Vec<String>>, available: Option<u16>) -> Self {
        let is_blank = |cell: &String| cell.is_empty() || cell == "-";
        let is_blank_at = |at: usize| rows.iter().all(|row| row.get(at).is_none_or(is_blank));
        let blank: Vec<bool> = (0..columns.len()).map(is_blank_at).collect();
        let mut table = with_headings(columns, rows);
        let natural = table.column_max_content_widths();
        let widths = widths_in(columns, natural, &blank, available);
        Self::arranged(&mut table, columns, &widths)
    }

    /// Arranges a table whose columns have these widths; one without a width is left out.
    fn arranged(table: &mut Table, columns: &[Column<'_>], widths: &[Option<u16>]) -> Self {
        for (index, column) in columns.iter().enumerate() {
            let Some(table_column) = table.column_mut(index) else { continue };
            table_column.set_padding((0, GAP));
            if column.is_of_numbers() {
                table_column.set_cell_alignment(CellAlignment::Right);
            }
            let width = widths.get(index).copied().flatten();
            let constraint = match width {
                None => ColumnConstraint::Hidden,
                Some(width) => ColumnConstraint::Absolute(Width::Fixed(width.saturating_add(GAP))),
            };
            table_column.set_constraint(constraint);
        }
        let lines = table.lines().map(|line| line.trim_end().to_owned()).collect();
        let is_left_out = |(_, width): &(&Column<'_>, &Option<u16>)| width.is_none();
        let left_out = columns.iter().zip(widths).filter(is_left_out);
        Self { lines, left_out: left_out.map(|(column, _)| column.heading()).collect() }
    }
}

/// A table to which rows are added while it is on the screen. Its columns keep their widths, so
/// that all rows line up; only a longer word widens its column from there on.
#[derive(Debug)]
pub(crate) struct GrowingTable<'a> {
    columns: Vec<Column<'a>>,
    widths: Vec<Option<u16>>,
    /// The terminal's width; `None` where no line has a bound.
    available: Option<u16>,
}

impl<'a> GrowingTable<'a> {
    /// Prints the headings and the first rows. The columns have room for these, and for a row of
    /// usual words, which is not printed.
    pub(crate) fn print(
        columns: Vec<Column<'a>>,
        rows: &[Vec<String>],
        usual: Vec<String>,
        available: Option<u16>,
    ) -> Self {
        let (table, fitted) = Self::of(columns, rows, usual, available);
        fitted.print(&[]);
        table
    }

    fn of(
        columns: Vec<Column<'a>>,
        rows: &[Vec<String>],
        usual: Vec<String>,
        available: Option<u16>,
    ) -> (Self, FittedTable) {
        let mut wide = with_headings(&columns, rows);
        wide.add_row(usual);
        let natural = wide.column_max_content_widths();
        // A column that is empty now need not stay so.
        let blank = vec![false; columns.len()];
        let widths = widths_in(&columns, natural, &blank, available);
        let mut shown = with_headings(&columns, rows);
        let fitted = FittedTable::arranged(&mut shown, &columns, &widths);
        (Self { columns, widths, available }, fitted)
    }

    /// Prints one more row.
    pub(crate) fn add(&mut self, row: &[String]) {
        self.lines_of(row).iter().for_each(|line| output::line(line));
    }

    fn lines_of(&mut self, row: &[String]) -> Vec<String> {
        let mut table = without_headings([row]);
        let natural = table.column_max_content_widths();
        let widths = self.columns.iter().zip(&mut self.widths).zip(natural);
        for ((column, width), natural) in widths {
            let wraps = self.available.is_some() && column.least().is_some();
            if let Some(width) = width.as_mut().filter(|_| !wraps) {
                *width = natural.max(*width);
            }
        }
        if let Some(available) = self.available {
            shrink(&self.columns, &mut self.widths, available);
        }
        FittedTable::arranged(&mut table, &self.columns, &self.widths).lines
    }
}

/// Makes a table of these rows below their headings.
fn with_headings<R: AsRef<[String]>>(
    columns: &[Column<'_>],
    rows: impl IntoIterator<Item = R>,
) -> Table {
    let mut table = without_headings(rows);
    table.set_header(columns.iter().map(Column::heading));
    table
}

fn without_headings<R: AsRef<[String]>>(rows: impl IntoIterator<Item = R>) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    for row in rows {
        table.add_row(row.as_ref().iter().map(|cell| displayed(cell)));
    }
    table
}

/// Returns the width of each column's content on a terminal of this width; its natural one where
/// there is none.
fn widths_in(
    columns: &[Column<'_>],
    natural: Vec<u16>,
    blank: &[bool],
    available: Option<u16>,
) -> Vec<Option<u16>> {
    match available {
        Some(available) => fitted_widths(columns, &natural, blank, available),
        None => natural.into_iter().map(Some).collect(),
    }
}

/// Returns the width of each column's content so that the table fits; `None` for a column that is
/// left out. Sentences shrink first; then the extra columns go, those without content before the others,
/// the last one first.
fn fitted_widths(
    columns: &[Column<'_>],
    natural: &[u16],
    blank: &[bool],
    available: u16,
) -> Vec<Option<u16>> {
    let mut is_left_out = vec![false; columns.len()];
    loop {
        let kept = natural.iter().zip(&is_left_out);
        let mut widths: Vec<_> =
            kept.map(|(width, is_left_out)| (!is_left_out).then_some(*width)).collect();
        if shrink(columns, &mut widths, available) {
            return widths;
        }
        let extra: Vec<bool> = columns
            .iter()
            .zip(&is_left_out)
            .map(|(column, is_left_out)| column.is_extra() && !is_left_out)
            .collect();
        let without_content =
            extra.iter().zip(blank).rposition(|(is_extra, is_blank)| *is_extra && *is_blank);
        let next = without_content.or_else(|| extra.iter().rposition(|is_extra| *is_extra));
        match next {
            Some(index) => is_left_out[index] = true,
            // It cannot fit: the terminal breaks the lines.
            None => return widths,
        }
    }
}

/// Shrinks the columns of sentences, the widest first, until the table fits; returns whether it
/// does.
fn shrink(columns: &[Column<'_>], widths: &mut [Option<u16>], available: u16) -> bool {
    while total(widths) > u32::from(available) {
        let pairs = columns.iter().zip(widths.iter_mut());
        let shrinkable = pairs.filter_map(|(column, width)| {
            let least = column.least()?;
            width.as_mut().filter(|width| **width > least)
        });
        match shrinkable.max_by_key(|width| **width) {
            Some(width) => *width -= 1,
            None => return false,
        }
    }
    true
}

/// Returns the width of a line: that of all columns, and the gaps between them.
fn total(widths: &[Option<u16>]) -> u32 {
    let columns = widths.iter().flatten();
    let sum: u32 = columns.map(|width| u32::from(*width).saturating_add(u32::from(GAP))).sum();
    sum.saturating_sub(u32::from(GAP))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROPOSALS: [Column<'static>; 6] = [
        Column::Text("PROPOSAL"),
        Column::Text("SELLER"),
        Column::Numbers("TOTAL"),
        Column::ExtraNumbers("VERSION"),
        Column::Extra("DELIVERY"),
        Column::Prose("NOTE"),
    ];

    fn rows(rows: &[[&str; 6]]) -> Vec<Vec<String>> {
        rows.iter().map(|row| row.iter().map(ToString::to_string).collect()).collect()
    }

    /// Arranges two proposals for a terminal of this width.
    fn proposals(width: Option<u16>) -> FittedTable {
        let note = "from stock, with assembly and two years of warranty";
        let first = ["p-1", "chairs-rosenheim", "6600.00 EUR", "2", "2027-01-15", note];
        let second = ["p-2", "moebel-augsburg", "49.00 EUR", "1", "-", "-"];
        FittedTable::of(&PROPOSALS, rows(&[first, second]), width)
    }

    #[test]
    fn columns_stand_under_their_headings() {
        let expected = [
            "PROPOSAL  SELLER                  TOTAL  VERSION  DELIVERY    NOTE",
            "p-1       chairs-rosenheim  6600.00 EUR        2  2027-01-15  from stock, with assembly \
             and two years of warranty",
            "p-2       moebel-augsburg     49.00 EUR        1  -           -",
        ];
        for width in [None, Some(120)] {
            let table = proposals(width);
            assert_eq!(table.lines, expected);
            assert!(table.left_out.is_empty());
        }
    }

    #[test]
    fn sentences_wrap_to_fit_the_terminal() {
        let table = proposals(Some(80));
        let expected = [
            "PROPOSAL  SELLER                  TOTAL  VERSION  DELIVERY    NOTE",
            "p-1       chairs-rosenheim  6600.00 EUR        2  2027-01-15  from stock, with",
            "                                                              assembly and two",
            "                                                              years of warranty",
            "p-2       moebel-augsburg     49.00 EUR        1  -           -",
        ];
        assert_eq!(table.lines, expected);
        assert!(table.left_out.is_empty());
    }

    #[test]
    fn extra_columns_go_where_nothing_else_fits() {
        let table = proposals(Some(60));
        let expected = [
            "PROPOSAL  SELLER                  TOTAL  NOTE",
            "p-1       chairs-rosenheim  6600.00 EUR  from stock, with",
            "                                         assembly and two",
            "                                         years of warranty",
            "p-2       moebel-augsburg     49.00 EUR  -",
        ];
        assert_eq!(table.lines, expected);
        assert_eq!(table.left_out, ["VERSION", "DELIVERY"]);
        // Narrower than its words it stays as it is, and the terminal breaks its lines.
        assert_eq!(proposals(Some(20)).lines[0], "PROPOSAL  SELLER                  TOTAL  NOTE");
    }

    /// An empty column tells less than any other.
    #[test]
    fn columns_without_content_go_first() {
        let columns = [Column::Text("NAME"), Column::Extra("AWARD"), Column::Extra("EXPIRES")];
        let row = |name: &str| [name, "-", "2026-12-01"].map(ToOwned::to_owned).to_vec();
        let table = FittedTable::of(&columns, vec![row("chairs"), row("desks")], Some(20));
        assert_eq!(table.lines[1], "chairs  2026-12-01");
        assert_eq!(table.left_out, ["AWARD"]);
    }

    #[test]
    fn distances_wrap_below_their_times() {
        let columns = [Column::Moment("DEADLINE"), Column::ExtraProse("TITLE")];
        let row = ["2026-12-01T12:00:00+01:00 (in 5m 3s)", "Office chairs for the new floor"];
        let table = FittedTable::of(&columns, vec![row.map(ToOwned::to_owned).to_vec()], Some(44));
        let expected = [
            "DEADLINE                   TITLE",
            "2026-12-01T12:00:00+01:00  Office chairs for",
            "(in 5m 3s)                 the new floor",
        ];
        assert_eq!(table.lines, expected);
    }

    /// A letter of East Asia is as wide as two others.
    #[test]
    fn wide_letters_count_twice() {
        let columns = [Column::Text("NAME"), Column::Prose("TITLE"), Column::Numbers("N")];
        let row = |cells: [&str; 3]| cells.map(ToOwned::to_owned).to_vec();
        let rows = vec![row(["a", "椅子と机の四十脚", "1"]), row(["b", "Tische", "22"])];
        let expected = [
            "NAME  TITLE              N",
            "a     椅子と机の四十脚   1",
            "b     Tische            22",
        ];
        assert_eq!(FittedTable::of(&columns, rows, None).lines, expected);
    }

    #[test]
    fn strangers_cells_stay_in_their_row() {
        let columns = [Column::Text("SELLER"), Column::Text("NOTE"), Column::Text("STATE")];
        let row = vec!["acme".to_owned(), "gone\n\u{202e}nepO".to_owned(), "Closed".to_owned()];
        let expected = ["SELLER  NOTE       STATE", "acme    gone nepO  Closed"];
        assert_eq!(FittedTable::of(&columns, vec![row], None).lines, expected);
    }

    #[test]
    fn best_values_are_marked_in_the_last_column() {
        let line = "p-1  earliest  best total, earliest";
        let text = marked(line, &["best total", "earliest"]);
        let style = |text: &str| styled(Style::Best, text);
        let expected = format!("p-1  earliest  {}, {}", style("best total"), style("earliest"));
        assert_eq!(text, expected);
    }
    #[test]
    fn later_rows_line_up_with_the_first() {
        let columns = vec![Column::Text("NAME"), Column::Text("PHASE"), Column::Prose("TITLE")];
        let cells = |cells: [&str; 3]| cells.map(ToOwned::to_owned).to_vec();
        let first = cells(["chairs", "Open", "Chairs"]);
        let usual = cells(["", "Finalised", "Desks for the ground floor"]);
        let (mut table, fitted) = GrowingTable::of(columns, &[first], usual, Some(38));
        let expected = ["NAME    PHASE      TITLE", "chairs  Open       Chairs"];
        assert_eq!(fitted.lines, expected);
        assert_eq!(
            table.lines_of(&cells(["desks", "Cancelled", "Desks for the second floor"])),
            ["desks   Cancelled  Desks for the", "                   second floor"],
        );
        assert_eq!(table.lines_of(&cells(["cupboards", "Open", "-"])), ["cupboards  Open       -"]);
        let again = table.lines_of(&cells(["chairs", "Closed", "-"]));
        assert_eq!(again, ["chairs     Closed     -"], "the column stays as wide");
    }
}
