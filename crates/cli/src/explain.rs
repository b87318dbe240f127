//! `orderstream explain`: the meaning of a reason, its cause, and its fix. The pages are those of
//! `docs/reference/errors`, embedded in the binary.

use orderstream_core::Reason;
use schemars::JsonSchema;
use serde::Serialize;

use crate::exit::CliError;
use crate::output::{self, Style, styled};
use crate::verbs::nearest::nearest;
use crate::verbs::print;
use crate::verbs::show::OutputFormat;
use crate::verbs::table::{self, Column};

mod code;
mod pages;

use pages::page;

/// `orderstream explain [REASON]`
#[derive(Debug, clap::Args)]
pub struct ExplainArgs {
    /// A reason such as `ORDER_SEALED`; all of them are listed when absent
    reason: Option<String>,
    /// Output format
    #[arg(long, short, default_value = "table")]
    output: OutputFormat,
}

/// The JSON output of `explain` for one reason.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Explanation {
    /// The reason's stable spelling.
    reason: &'static str,
    /// Its meaning, in one sentence.
    summary: String,
    /// The gRPC status code's name.
    grpc: &'static str,
    /// The HTTP status.
    http: u16,
    /// The same request may succeed later without any change.
    retriable: bool,
    /// The page, in Markdown; absent in the list of all.
    #[serde(skip_serializing_if = "Option::is_none")]
    page: Option<&'static str>,
}

impl ExplainArgs {
    /// Prints the page of the reason, or the list of all.
    ///
    /// # Errors
    /// When there is no such reason.
    pub fn run(self) -> Result<(), CliError> {
        let Some(text) = self.reason else { return list(self.output) };
        let reason = parse_reason(&text)?;
        if self.output != OutputFormat::Table {
            let page = Some(page(reason));
            return print::structured(&Explanation { page, ..explanation(reason) }, self.output);
        }
        let mut is_printed = false;
        for line in page(reason).trim_end().lines() {
            if !line.starts_with('|') {
                output::line(&styled_line(line));
            } else if !std::mem::replace(&mut is_printed, true) {
                output::line(&facts(reason));
            }
        }
        Ok(())
    }
}

/// Parses a reason in any case, with dashes, spaces or brackets.
fn parse_reason(text: &str) -> Result<Reason, CliError> {
    let spelled = text.trim().to_ascii_uppercase().replace(['-', ' '], "_");
    let spelled = spelled.trim_matches(|c| c == '[' || c == ']');
    Reason::parse(spelled).ok_or_else(|| {
        let suggestion = nearest(text, Reason::ALL.into_iter().map(Reason::as_str));
        let suggestion = suggestion.map_or_else(
            || "`orderstream explain` lists all".to_owned(),
            |suggestion| format!("did you mean {suggestion}?"),
        );
        CliError::input(format!("'{}' is not a reason; {suggestion}", print::one_line(text)))
    })
}

fn explanation(reason: Reason) -> Explanation {
    Explanation {
        reason: reason.as_str(),
        summary: pages::summary(reason),
        grpc: code::name(reason.grpc_code()),
        http: reason.http_status(),
        retriable: reason.is_retriable(),
        page: None,
    }
}

fn list(format: OutputFormat) -> Result<(), CliError> {
    let all: Vec<Explanation> = Reason::ALL.into_iter().map(explanation).collect();
    if format != OutputFormat::Table {
        return print::structured(&all, format);
    }
    let row = |one: &Explanation| {
        let summary = one.summary.replace('`', "");
        vec![one.reason.to_owned(), one.http.to_string(), one.grpc.to_owned(), summary]
    };
    let columns = [
        Column::Text("REASON"),
        Column::Numbers("HTTP"),
        Column::Text("GRPC"),
        Column::Prose("MEANS"),
    ];
    table::print(&columns, all.iter().map(row).collect());
    output::line("");
    print::next("orderstream explain REASON");
    Ok(())
}

/// Returns the facts of the page's table in one line.
fn facts(reason: Reason) -> String {
    let (code, http) = (code::name(reason.grpc_code()), reason.http_status());
    let again = if reason.is_retriable() { "; the same request may succeed later" } else { "" };
    format!("gRPC {code}, HTTP {http}{again}")
}

/// Formats a line of a page for a terminal: headings are styled.
fn styled_line(line: &str) -> String {
    let heading = line.trim_start_matches('#');
    if heading.len() < line.len() {
        return styled(Style::Heading, heading.trim_start());
    }
    line.to_owned()
}

#[cfg(test)]
mod tests;
