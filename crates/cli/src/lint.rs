//! `orderstream lint`: checks manifests without a server, with line and column. Exits with code 2
//! if there are findings.

use std::path::PathBuf;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use orderstream_api::lint::{self, ManifestFinding, ManifestNote, ManifestSpan};
use orderstream_api::manifest::{self, ManifestDocument, files_of, name_of, text_of};
use orderstream_core::Refusal;
use schemars::JsonSchema;
use serde::Serialize;

use crate::clock;
use crate::exit::CliError;
use crate::output::{self, Style, styled};
use crate::verbs::apply::ManifestArgs;
use crate::verbs::print;
use crate::verbs::show::OutputFormat;

/// `orderstream lint FILE…`
#[derive(Debug, clap::Args)]
pub struct LintArgs {
    #[command(flatten)]
    manifests: ManifestArgs,
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
    /// The remarks, which are no faults; absent where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    notes: Vec<LintNote>,
}

/// One remark that is no fault: on a resource of another program or without a name, on a delivery in
/// the past, or on a word that is read as another value, as kubectl reads it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct LintNote {
    /// The file, as it was given.
    file: String,
    /// The document's position in the file, from 1.
    document: usize,
    /// The line, from 1; absent where it is not known.
    line: Option<usize>,
    /// The column in characters, from 1; absent where it is not known.
    column: Option<usize>,
    /// The remark, in words.
    message: String,
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
        let files = files_of(&self.manifests.paths())?;
        let mut report = LintReport {
            files: files.len(),
            documents: 0,
            findings: Vec::new(),
            notes: Vec::new(),
        };
        for path in files {
            let found = lint::lint(&text_of(&path)?, clock::now());
            let file = path.display().to_string();
            report.documents = report.documents.saturating_add(found.documents);
            for finding in &found.findings {
                if self.output == OutputFormat::Table {
                    print_finding(&file, finding);
                }
                report.findings.push(finding_of(&file, finding));
            }
            for note in &found.notes {
                if self.output == OutputFormat::Table {
                    output::line(&styled(Style::Faint, &note_line(&file, note)));
                }
                report.notes.push(note_of(&file, note));
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

fn note_of(file: &str, note: &ManifestNote) -> LintNote {
    let place = note.span.as_ref();
    LintNote {
        file: file.to_owned(),
        document: note.document,
        line: place.map(|place| place.line),
        column: place.map(|place| place.column),
        message: note.message.clone(),
    }
}

/// Reads the resources of manifests, and prints the remarks of `lint` on them to standard error.
///
/// # Errors
/// A file that cannot be read, and the first wrong document.
pub fn read_with_notes(paths: &[PathBuf]) -> Result<Vec<ManifestDocument>, Refusal> {
    let (mut documents, mut notes) = (Vec::new(), Vec::new());
    for path in files_of(paths)? {
        let text = text_of(&path)?;
        documents.extend(manifest::documents(&name_of(&path), &text)?);
        let file = path.display().to_string();
        let found = lint::notes(&text, clock::now());
        notes.extend(found.iter().map(|note| note_line(&file, note)));
    }
    notes.iter().for_each(|note| output::note(&styled(Style::Faint, note)));
    Ok(documents)
}

/// Returns a note in one line, after its position.
fn note_line(file: &str, note: &ManifestNote) -> String {
    let place = note.span.as_ref().map(|place| format!("{}:{}:", place.line, place.column));
    let at = format!("{file}:{}", place.unwrap_or_default());
    format!("{at} note: {}", note.message)
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

/// The most columns of a line that are shown, its number included.
const LINE_WIDTH_MAX: usize = 100;

/// Returns the line, and the mark under it, however wide its letters are. A long line is cut so that
/// the mark is visible.
fn marked_source(place: &ManifestSpan) -> Vec<String> {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let source: String = place.source.chars().map(plain).collect();
    let byte_at =
        |count: usize| source.char_indices().nth(count).map_or(source.len(), |(at, _)| at);
    let begin = place.column.saturating_sub(1);
    let span = byte_at(begin)..byte_at(begin.saturating_add(place.length));
    let snippet = Snippet::source(source.as_str())
        .line_start(place.line)
        .annotation(AnnotationKind::Primary.span(span));
    let group = Group::with_level(Level::ERROR).element(snippet);
    let rendered = Renderer::styled().term_width(LINE_WIDTH_MAX).render(&[group]);
    // The first line leads from a title, which stands above already.
    rendered.lines().skip(1).map(|line| format!(" {line}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(source: &str, column: usize, length: usize) -> ManifestSpan {
        ManifestSpan { line: 9, column, length, source: source.to_owned() }
    }

    /// Returns a line as it is printed where colours are off.
    fn plain(line: &str) -> String {
        anstream::adapter::strip_str(line).to_string()
    }

    fn marked(place: &ManifestSpan) -> Vec<String> {
        marked_source(place).iter().map(|line| plain(line)).collect()
    }

    #[test]
    fn the_mark_is_under_the_fault() {
        let lines = marked(&place("  quantity: -1", 13, 2));
        assert_eq!(lines, [" 9 |   quantity: -1", "   |             ^^"]);
    }

    /// Letters of East Asia take two columns.
    #[test]
    fn wide_letters_move_the_mark() {
        let lines = marked(&place("{title: 椅子, quantity: -1}", 23, 2));
        let mark = format!("   | {}^^", " ".repeat(24));
        assert_eq!(lines, [" 9 | {title: 椅子, quantity: -1}", mark.as_str()]);
    }

    /// A fault that is an end of a line, or lies beyond it, is still marked.
    #[test]
    fn marks_stay_within_their_line() {
        for (source, column) in [("a:", 3), ("a:", 9), ("", 1), ("\u{1b}[31mx", 2)] {
            let lines = marked(&place(source, column, 1));
            assert!(lines.len() == 2 && lines[1].contains('^'), "{source:?}: {lines:?}");
            assert!(!lines[0].contains('\u{1b}'), "{lines:?}");
        }
    }

    #[test]
    fn long_lines_keep_their_mark_visible() {
        let long = format!("{}bad", "x".repeat(500));
        let lines = marked(&place(&long, 501, 3));
        let (source, mark) = (&lines[0], &lines[1]);
        assert!(source.ends_with("bad") && source.len() < 120, "{source}");
        assert_eq!(mark.find('^'), source.find("bad"));
    }
}
