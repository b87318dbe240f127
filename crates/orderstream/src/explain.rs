//! `orderstream explain`: the meaning of a reason, its cause, and its fix. The pages are those of
//! `docs/reference/errors`, embedded in the binary.

use orderstream_core::Reason;
use schemars::JsonSchema;
use serde::Serialize;

use crate::exit::Failure;
use crate::output::{self, Style, styled};
use crate::verbs::nearest::nearest;
use crate::verbs::print::{self, Column};
use crate::verbs::show::Format;

mod code;
mod pages;

pub(crate) use pages::page;

/// `orderstream explain [REASON]`
#[derive(Debug, clap::Args)]
pub(crate) struct Explain {
    /// A reason such as `ORDER_SEALED`; all of them are listed when absent
    reason: Option<String>,
    /// Output format
    #[arg(long, short, default_value = "table")]
    output: Format,
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

impl Explain {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let Some(text) = self.reason else { return list(self.output) };
        let reason = known(&text)?;
        if self.output != Format::Table {
            let page = Some(page(reason));
            return print::structured(&Explanation { page, ..explanation(reason) }, self.output);
        }
        let mut was_told = false;
        for line in page(reason).trim_end().lines() {
            if !line.starts_with('|') {
                output::line(&shown(line));
            } else if !std::mem::replace(&mut was_told, true) {
                output::line(&facts(reason));
            }
        }
        Ok(())
    }
}

/// Parses a reason in any case, with dashes, spaces or brackets.
fn known(text: &str) -> Result<Reason, Failure> {
    let spelled = text.trim().to_ascii_uppercase().replace(['-', ' '], "_");
    let spelled = spelled.trim_matches(|c| c == '[' || c == ']');
    Reason::parse(spelled).ok_or_else(|| {
        let meant = nearest(text, Reason::ALL.into_iter().map(Reason::as_str));
        let meant = meant.map_or_else(
            || "`orderstream explain` lists all".to_owned(),
            |meant| format!("did you mean {meant}?"),
        );
        Failure::input(format!("'{}' is no reason; {meant}", print::one_line(text)))
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

fn list(format: Format) -> Result<(), Failure> {
    let all: Vec<Explanation> = Reason::ALL.into_iter().map(explanation).collect();
    if format != Format::Table {
        return print::structured(&all, format);
    }
    let row = |one: &Explanation| {
        let summary = one.summary.replace('`', "");
        vec![one.reason.to_owned(), one.http.to_string(), one.grpc.to_owned(), summary]
    };
    let columns = [
        Column::Words("REASON"),
        Column::Numbers("HTTP"),
        Column::Words("GRPC"),
        Column::Words("MEANS"),
    ];
    print::table(&columns, all.iter().map(row).collect());
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
fn shown(line: &str) -> String {
    let heading = line.trim_start_matches('#');
    if heading.len() < line.len() {
        return styled(Style::Heading, heading.trim_start());
    }
    line.to_owned()
}

#[cfg(test)]
mod tests;
