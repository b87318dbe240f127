//! `orderstream lint`: checks manifests without a server, with line and column. Exits with code 2
//! if there are findings.

use std::io::Read as _;

use orderstream_api::lint::{self, ManifestFinding, ManifestSpan};
use orderstream_api::manifest::TEXT_BYTES_MAX;
use schemars::JsonSchema;
use serde::Serialize;

use crate::exit::CliError;
use crate::output::{self, Style, styled};
use crate::verbs::print;
use crate::verbs::show::OutputFormat;

/// `orderstream lint FILE…`
#[derive(Debug, clap::Args)]
pub struct LintArgs {
    /// Manifests; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
    /// Output format
    #[arg(long, short, default_value = "table")]
    output: OutputFormat,
}

/// The JSON output of `lint`.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct LintReport {
    /// The number of files that were read.
    files: usize,
    /// The number of resources that were checked.
    documents: usize,
    /// The findings, in the order of the files and lines.
    findings: Vec<LintFinding>,
}

/// One fault in a manifest.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct LintFinding {
    /// The file, as it was given.
    file: String,
    /// The document's position in the file, from 1; absent when the file as a whole cannot be read.
    document: Option<usize>,
    /// The line, from 1; absent where it is not known.
    line: Option<usize>,
    /// The column in characters, from 1; absent where it is not known.
    column: Option<usize>,
    /// The number of wrong characters; absent where the place is not known.
    length: Option<usize>,
    /// The path of the field; absent where no field is at fault.
    field: Option<String>,
    /// The reason with which a server would refuse the manifest.
    reason: &'static str,
    /// The fault, the limit and the fix, in words.
    message: String,
}

impl LintArgs {
    /// Checks the manifests and prints the findings.
    ///
    /// # Errors
    /// When a file cannot be read, or there is a finding.
    pub fn run(self) -> Result<(), CliError> {
        let mut report = LintReport { files: self.files.len(), documents: 0, findings: Vec::new() };
        for file in &self.files {
            let found = lint::lint(&text(file)?);
            report.documents = report.documents.saturating_add(found.documents);
            for finding in &found.findings {
                if self.output == OutputFormat::Table {
                    print_finding(file, finding);
                }
                report.findings.push(finding_of(file, finding));
            }
        }
        let count = print::count(report.findings.len(), "finding");
        let documents = print::count(report.documents, "document");
        let files = print::count(report.files, "file");
        if self.output != OutputFormat::Table {
            print::structured(&report, self.output)?;
        } else if report.findings.is_empty() {
            output::line(&format!("{documents} in {files}: nothing wrong"));
        }
        if report.findings.is_empty() {
            return Ok(());
        }
        Err(CliError::input(format!("{count} in {documents} of {files}")))
    }
}

fn text(file: &str) -> Result<String, CliError> {
    let read = if file == "-" {
        // One byte more than allowed, so that a longer text is reported as too long.
        let mut text = String::new();
        let bound = u64::try_from(TEXT_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
        std::io::stdin().lock().take(bound).read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(file)
    };
    read.map_err(|error| CliError::input(format!("{file} cannot be read: {error}")))
}

fn finding_of(file: &str, finding: &ManifestFinding) -> LintFinding {
    let place = finding.span.as_ref();
    LintFinding {
        file: file.to_owned(),
        document: finding.document,
        line: place.map(|place| place.line),
        column: place.map(|place| place.column),
        length: place.map(|place| place.length),
        field: finding.refusal.field.clone(),
        reason: finding.refusal.reason.as_str(),
        message: finding.refusal.message.clone(),
    }
}

/// Prints a finding as compilers do: its position, the line, and a mark under the fault.
fn print_finding(file: &str, finding: &ManifestFinding) {
    let field =
        finding.refusal.field.as_deref().map(|field| format!("{field} ")).unwrap_or_default();
    let message = format!("{field}{}", finding.refusal.message);
    let Some(place) = &finding.span else {
        output::line(&format!("{} {message}", styled(Style::Error, &format!("{file}:"))));
        output::line("");
        return;
    };
    let at = format!("{file}:{}:{}:", place.line, place.column);
    output::line(&format!("{} {message}", styled(Style::Error, &at)));
    marked_source(place).iter().for_each(|line| output::line(line));
    output::line("");
}

/// The most characters of a line that are shown.
const LINE_CHARS_MAX: usize = 100;

/// Returns the line, and the mark under it. A long line is cut on the left so that the mark is
/// visible.
fn marked_source(place: &ManifestSpan) -> [String; 2] {
    let begin = place.column.saturating_sub(1);
    let cut = begin.saturating_sub(LINE_CHARS_MAX / 2);
    let cut = if place.source.chars().count() > LINE_CHARS_MAX { cut } else { 0 };
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let source: String = place.source.chars().skip(cut).take(LINE_CHARS_MAX).map(plain).collect();
    let blank = " ".repeat(begin - cut);
    let length = place.length.min(LINE_CHARS_MAX.saturating_sub(begin - cut)).max(1);
    let mark = styled(Style::Error, &"^".repeat(length));
    let number = place.line.to_string();
    let margin = " ".repeat(number.len());
    [format!(" {number} | {source}"), format!(" {margin} | {blank}{mark}")]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(source: &str, column: usize, length: usize) -> ManifestSpan {
        ManifestSpan { line: 9, column, length, source: source.to_owned() }
    }

    #[test]
    fn the_mark_is_under_the_fault() {
        let lines = marked_source(&place("  quantity: -1", 13, 2));
        assert_eq!(lines, [" 9 |   quantity: -1", "   |             ^^"]);
    }

    #[test]
    fn long_lines_keep_their_mark_visible() {
        let long = format!("{}bad", "x".repeat(500));
        let [source, mark] = marked_source(&place(&long, 501, 3));
        assert!(source.ends_with("bad") && source.len() < 120, "{source}");
        assert_eq!(mark.find('^'), source.find("bad"));
    }
}
