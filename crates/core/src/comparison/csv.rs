//! A comparison as comma-separated values (RFC 4180), safe to open in a spreadsheet; or in the form
//! in which the spreadsheets of a locale open it by themselves.

use super::{ComparisonLine, ComparisonRow, QuantityGap};
use crate::display;
use crate::visible::is_visible;

/// The first columns of each row; those of the articles follow.
const FIXED_COLUMNS: [&str; 14] = [
    "proposal_id",
    "seller",
    "version",
    "open",
    "awarded",
    "total",
    "currency",
    "best_total",
    "delivery_date",
    "best_delivery",
    "in_time",
    "distance_m",
    "lapsed",
    "missing",
];
/// The first columns of each article.
const ARTICLE_COLUMNS: [&str; 3] = ["quantity", "price", "best"];
/// The columns after those of the articles. Columns are only ever added at the end, so that
/// programs that count them go on.
const LATER_COLUMNS: [&str; 7] = [
    "reasons",
    "shortfalls",
    "excess",
    "other_units",
    "alternative",
    "your_reference",
    "seller_name",
];
/// The columns of each article after these.
const LATER_ARTICLE_COLUMNS: [&str; 3] = ["unit", "unit price", "substitute"];
/// The columns after all of these.
const LAST_COLUMNS: [&str; 2] = ["valid_until", "note"];

/// The characters that begin a formula in a spreadsheet; those of full width and the small ones are
/// read like the others.
const FORMULA_SIGNS: [char; 12] = [
    '=', '+', '-', '@', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}', '\u{fe66}', '\u{fe62}',
    '\u{fe63}', '\u{fe6b}',
];

/// The languages in which a comma stands before decimal places (CLDR).
const COMMA_LANGUAGES: [&str; 42] = [
    "af", "az", "be", "bg", "bs", "ca", "cs", "da", "de", "el", "es", "et", "eu", "fi", "fo", "fr",
    "gl", "hr", "hu", "hy", "id", "is", "it", "ka", "kk", "lt", "lv", "mk", "nb", "nl", "nn", "no",
    "pl", "pt", "ro", "ru", "sk", "sl", "sq", "sr", "sv", "uk",
];
/// Further ones, beyond Europe.
const MORE_COMMA_LANGUAGES: [&str; 5] = ["ky", "tr", "tk", "uz", "vi"];
/// The regions that have a point in spite of their language.
const POINT_REGIONS: [&str; 13] =
    ["CH", "CU", "DO", "GT", "HN", "LI", "MX", "NI", "PA", "PE", "PR", "SV", "US"];
/// The regions whose spreadsheets have semicolons between cells in spite of the point.
const SEMICOLON_REGIONS: [&str; 2] = ["CH", "LI"];

/// The form of comma-separated values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CsvFormat {
    /// The text begins with a byte order mark, by which spreadsheets know that it is UTF-8.
    has_mark: bool,
    separator: char,
    decimal: char,
}

impl Default for CsvFormat {
    /// The form of RFC 4180, for programs.
    fn default() -> Self {
        Self { has_mark: false, separator: ',', decimal: '.' }
    }
}

impl CsvFormat {
    /// Returns the form for spreadsheets in a locale, such as `de`, `fr-CA` or `de_CH.UTF-8`. An
    /// unknown one has the form of English.
    pub fn of_spreadsheet(locale: &str) -> Self {
        let name = locale.split(['.', '@']).next().unwrap_or_default();
        let mut parts = name.split(['-', '_']);
        let language = parts.next().unwrap_or_default().to_ascii_lowercase();
        let region = parts.find(|part| part.len() == 2).unwrap_or_default().to_ascii_uppercase();
        let (language, region) = (language.as_str(), region.as_str());
        let has_comma = COMMA_LANGUAGES.contains(&language)
            || MORE_COMMA_LANGUAGES.contains(&language)
            || (language, region) == ("en", "ZA");
        let decimal = if has_comma && !POINT_REGIONS.contains(&region) { ',' } else { '.' };
        let has_semicolons = decimal == ',' || SEMICOLON_REGIONS.contains(&region);
        Self { has_mark: true, separator: if has_semicolons { ';' } else { ',' }, decimal }
    }

    fn line(&self, cells: &[CsvCell]) -> String {
        let mut line = String::new();
        for (index, cell) in cells.iter().enumerate() {
            if index > 0 {
                line.push(self.separator);
            }
            line.push_str(&self.cell(cell));
        }
        line.push_str("\r\n");
        line
    }

    /// Returns one cell: never a formula, quoted where it contains a quote or a separator, and
    /// without characters that turn or hide the other cells. Spreadsheets skip blanks before a
    /// formula, and may skip all that prints nothing.
    fn cell(&self, cell: &CsvCell) -> String {
        let mut text = match cell {
            CsvCell::Text(text) => display::block(text),
            CsvCell::Decimal(text) if self.decimal == '.' => text.clone(),
            CsvCell::Decimal(text) => text.replace('.', &self.decimal.to_string()),
        };
        let shown = text.trim_start_matches(|letter: char| !is_visible(letter));
        if text.starts_with(['\t', '\n']) || shown.starts_with(FORMULA_SIGNS) {
            text.insert(0, '\'');
        }
        if text.contains(['"', ',', '\n', self.separator]) && !self.is_bare(cell) {
            return format!("\"{}\"", text.replace('"', "\"\""));
        }
        text
    }

    /// Reports whether a cell is a number without the separator, which spreadsheets read as a
    /// number only without quotes.
    fn is_bare(&self, cell: &CsvCell) -> bool {
        matches!(cell, CsvCell::Decimal(_)) && self.separator != self.decimal
    }
}

/// The content of a cell.
#[derive(Clone, Debug)]
enum CsvCell {
    Text(String),
    /// A decimal with a point, or nothing.
    Decimal(String),
}

impl CsvCell {
    fn optional(text: Option<&String>) -> Self {
        Self::Text(text.cloned().unwrap_or_default())
    }
}

/// Returns a header line and one line for each row; `None` where they take more than `bytes_max`.
/// An article has three columns: its quantity, its price, and whether the price is the best; and
/// further ones after the later columns of the proposal. Cells that a spreadsheet would take for a
/// formula begin with an apostrophe.
pub(super) fn csv(
    skus: &[&str],
    rows: impl Iterator<Item = ComparisonRow>,
    format: CsvFormat,
    bytes_max: usize,
) -> Option<String> {
    let mut text = if format.has_mark { "\u{feff}".to_owned() } else { String::new() };
    text.push_str(&format.line(&header(skus)));
    for row in rows {
        text.push_str(&format.line(&cells(&row)));
        if text.len() > bytes_max {
            return None;
        }
    }
    Some(text)
}

fn header(skus: &[&str]) -> Vec<CsvCell> {
    let of_articles = |columns: [&'static str; 3]| {
        skus.iter().flat_map(move |sku| columns.map(|column| format!("{sku} {column}")))
    };
    let names = FIXED_COLUMNS.iter().map(ToString::to_string);
    let names = names.chain(of_articles(ARTICLE_COLUMNS));
    let names = names.chain(LATER_COLUMNS.iter().map(ToString::to_string));
    let names = names.chain(of_articles(LATER_ARTICLE_COLUMNS));
    names.chain(LAST_COLUMNS.iter().map(ToString::to_string)).map(CsvCell::Text).collect()
}

fn cells(row: &ComparisonRow) -> Vec<CsvCell> {
    let text = CsvCell::Text;
    let optional = |value: Option<String>| CsvCell::Text(value.unwrap_or_default());
    let mut cells = vec![
        text(row.proposal_id.to_string()),
        text(row.seller.to_string()),
        text(row.version.to_string()),
        text(row.open.to_string()),
        text(row.awarded.to_string()),
        CsvCell::Decimal(row.total.clone()),
        text(row.currency.clone()),
        text(row.best_total.to_string()),
        CsvCell::optional(row.delivery_date.as_ref()),
        text(row.best_delivery.to_string()),
        optional(row.in_time.map(|in_time| in_time.to_string())),
        optional(row.distance_m.map(|distance| distance.to_string())),
        text(row.lapsed.to_string()),
        text(row.missing.join("; ")),
    ];
    for line in &row.lines {
        cells.extend(line_cells(line.as_ref()));
    }
    let reasons: Vec<&str> = row.reasons.iter().map(|reason| reason.as_str()).collect();
    cells.extend([
        text(reasons.join("; ")),
        text(gaps(&row.shortfalls)),
        text(gaps(&row.excess)),
        text(gaps(&row.other_units)),
        CsvCell::optional(row.alternative.as_ref()),
        CsvCell::optional(row.your_reference.as_ref()),
        CsvCell::optional(row.seller_name.as_ref()),
    ]);
    for line in &row.lines {
        cells.extend(later_line_cells(line.as_ref()));
    }
    cells.push(CsvCell::optional(row.valid_until.as_ref()));
    cells.push(CsvCell::optional(row.note.as_ref()));
    cells
}

fn line_cells(line: Option<&ComparisonLine>) -> [CsvCell; 3] {
    let decimal = |value: Option<&String>| CsvCell::Decimal(value.cloned().unwrap_or_default());
    let best = line.map(|line| line.best.to_string());
    [
        decimal(line.map(|line| &line.quantity)),
        decimal(line.map(|line| &line.price)),
        CsvCell::optional(best.as_ref()),
    ]
}

fn later_line_cells(line: Option<&ComparisonLine>) -> [CsvCell; 3] {
    let price = line.and_then(|line| line.unit_price.clone());
    [
        CsvCell::optional(line.and_then(|line| line.unit.as_ref())),
        CsvCell::Decimal(price.unwrap_or_default()),
        CsvCell::optional(line.and_then(|line| line.substitute.as_ref())),
    ]
}

/// Lists quantities beside the wanted ones: `BOLT: 10 of 100 pieces`.
fn gaps(gaps: &[QuantityGap]) -> String {
    let with_unit = |quantity: &str, unit: Option<&String>| match unit {
        Some(unit) => format!("{quantity} {unit}"),
        None => quantity.to_owned(),
    };
    let text = |gap: &QuantityGap| {
        let wanted = with_unit(&gap.wanted, gap.unit.as_ref());
        if gap.unit == gap.offered_unit {
            return format!("{}: {} of {wanted}", gap.line, gap.offered);
        }
        let offered = with_unit(&gap.offered, gap.offered_unit.as_ref());
        format!("{}: {offered} for {wanted}", gap.line)
    };
    gaps.iter().map(text).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
#[path = "csv_tests.rs"]
mod tests;
