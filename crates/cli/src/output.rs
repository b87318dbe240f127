//! The only module that writes to the terminal.

use std::ffi::OsString;
use std::io::{self, ErrorKind, Write as _};
use std::sync::OnceLock;

use clap::builder::styling::{AnsiColor, Style as AnsiStyle};
use orderstream_core::Reason;
use schemars::JsonSchema;
use serde::Serialize;

use crate::display::displayed;
use crate::exit::CliError;

/// The first failure to write to standard output; nothing is written after it.
static WRITE_FAILURE: OnceLock<io::Error> = OnceLock::new();

/// Prints a line of the command's result for people.
pub fn line(text: &str) {
    write(|| {
        let mut stdout = anstream::stdout().lock();
        writeln!(stdout, "{text}").and_then(|()| stdout.flush())
    });
}

/// Prints the title of what follows.
pub fn title(text: &str) {
    line(&styled(Style::Heading, text));
}

/// Prints a document for programs, unchanged and with a line break at its end.
pub(crate) fn document(text: &str) {
    bytes(format!("{text}\n").as_bytes());
}

/// Prints bytes unchanged: a man page, a script.
pub(crate) fn bytes(bytes: &[u8]) {
    write(|| {
        let mut stdout = io::stdout().lock();
        stdout.write_all(bytes).and_then(|()| stdout.flush())
    });
}

/// Writes to standard output, unless an earlier write has failed.
fn write(attempt: impl FnOnce() -> io::Result<()>) {
    if is_closed() {
        return;
    }
    if let Err(error) = attempt() {
        // It is set already if another thread's write failed first.
        drop(WRITE_FAILURE.set(error));
    }
}

/// Reports whether standard output takes nothing more; a command that prints without end ends then.
pub(crate) fn is_closed() -> bool {
    WRITE_FAILURE.get().is_some()
}

/// Checks that the command's result was written. A closed pipe (`| head`) is not an error.
///
/// # Errors
/// When standard output could not be written, as on a full disk.
pub fn check_written() -> Result<(), CliError> {
    match WRITE_FAILURE.get() {
        Some(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(CliError::unexpected(format!("the output cannot be written: {error}")))
        }
        Some(_) | None => Ok(()),
    }
}

/// Prints a line about the command's progress to standard error.
pub(crate) fn note(text: &str) {
    // Nobody is left to whom a failure of standard error could be reported.
    drop(writeln!(anstream::stderr(), "{text}"));
}

/// Prints a question to standard error; the answer is given on its line.
pub(crate) fn question(text: &str) {
    let mut stderr = anstream::stderr();
    // Whoever cannot read it will not confirm.
    drop(write!(stderr, "{}", displayed(text)).and_then(|()| stderr.flush()));
}

/// The format in which failures are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorFormat {
    /// Lines for people.
    Text,
    /// One JSON object on one line, for programs that ask for JSON with `-o json`.
    Json,
}

impl ErrorFormat {
    /// Returns the format for a command line, which need not be a right one.
    pub fn of_args(args: impl IntoIterator<Item = OsString>) -> Self {
        let args = args.into_iter().map(|arg| arg.to_string_lossy().into_owned());
        let args: Vec<String> = args.take_while(|arg| arg != "--").collect();
        let is_output = |flag: &str| match flag.strip_prefix("--") {
            Some(long) => long == "output",
            None => flag.starts_with('-') && flag.ends_with('o'),
        };
        let mut pairs = args.iter().zip(args.iter().skip(1));
        let is_json = pairs.any(|(flag, value)| is_output(flag) && value == "json")
            || args.iter().any(|arg| match arg.strip_suffix("json") {
                Some(flag) => is_output(flag.strip_suffix('=').unwrap_or(flag)),
                None => false,
            });
        if is_json { Self::Json } else { Self::Text }
    }
}

/// The JSON output of a failed command, on standard error.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Error")]
pub(crate) struct ErrorReport {
    /// The exit code of the process.
    pub(crate) exit_code: u8,
    /// The reason of the refusal; absent where nothing was refused.
    pub(crate) reason: Option<&'static str>,
    /// The path of the wrong field, or the flag that gave it; absent where no single one is wrong.
    pub(crate) field: Option<String>,
    /// The fault, the limit and the fix, in words.
    pub(crate) detail: String,
    /// The command that helps further; absent where there is none.
    pub(crate) hint: Option<String>,
}

impl ErrorReport {
    fn of(failure: &CliError) -> Self {
        Self {
            exit_code: failure.code(),
            reason: failure.reason().map(Reason::as_str),
            field: failure.field().map(ToOwned::to_owned),
            detail: failure.detail().to_owned(),
            hint: hint(failure),
        }
    }
}

/// Prints the failure of a command, and the command that helps further.
pub fn error(failure: &CliError, format: ErrorFormat) {
    let text = match format {
        ErrorFormat::Text => text_of(failure),
        ErrorFormat::Json => serde_json::to_string(&ErrorReport::of(failure)).unwrap_or_default(),
    };
    note(&text);
}

/// Formats a failure for people.
fn text_of(failure: &CliError) -> String {
    let head = if failure.is_interruption() {
        String::new()
    } else {
        format!("{} ", styled(Style::Error, "error:"))
    };
    let message = failure.to_string();
    let lines: Vec<String> = message.lines().map(displayed).collect();
    let hint = hint(failure).map(|hint| format!("\n hint: {hint}")).unwrap_or_default();
    format!("{head}{}{hint}", lines.join("\n"))
}

/// Returns the command that helps further after a failure.
fn hint(failure: &CliError) -> Option<String> {
    if let Some(hint) = failure.hint() {
        return Some(hint.to_owned());
    }
    // The message already has the fault of a field; the page of the reason adds nothing.
    let reason = failure.reason().filter(|reason| *reason != Reason::InvalidField)?;
    Some(format!("orderstream explain {}", reason.as_str()))
}

/// The style of a word on a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// A heading.
    Heading,
    /// A best value.
    Best,
    /// A failure.
    Error,
    /// A hint of less weight.
    Faint,
}

impl Style {
    fn to_ansi(self) -> AnsiStyle {
        match self {
            Self::Heading => AnsiStyle::new().bold(),
            Self::Best => AnsiColor::Green.on_default(),
            Self::Error => AnsiColor::Red.on_default().bold(),
            Self::Faint => AnsiStyle::new().dimmed(),
        }
    }
}

/// Styles a word. [`line`] leaves the style out where the output is not a terminal or `NO_COLOR` is
/// set (no-color.org), unless `CLICOLOR_FORCE` is (bixense.com/clicolors).
pub(crate) fn styled(style: Style, text: &str) -> String {
    let style = style.to_ansi();
    format!("{style}{text}{style:#}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_asked_for_in_every_spelling() {
        let format = |line: &str| ErrorFormat::of_args(line.split(' ').map(OsString::from));
        for line in [
            "orderstream status x -o json",
            "orderstream status x -ojson",
            "orderstream status x -o=json",
            "orderstream list -Ao json --what",
            "orderstream status --output json x",
            "orderstream status --output=json x",
        ] {
            assert_eq!(format(line), ErrorFormat::Json, "{line}");
        }
        for line in [
            "orderstream status json",
            "orderstream status x -o yaml",
            "orderstream status x --outputs json",
            "orderstream ask x -- -o json",
            "orderstream lint order.json",
        ] {
            assert_eq!(format(line), ErrorFormat::Text, "{line}");
        }
    }

    #[test]
    fn failures_are_printed_with_their_parts() {
        let text = "price: is -1; give 0 or more [INVALID_FIELD]".to_owned();
        let failure = CliError::from_server(Some(Reason::InvalidField), text).about(Some("price"));
        let report = serde_json::to_value(ErrorReport::of(&failure)).unwrap();
        let expected = serde_json::json!({
            "exit_code": 2, "reason": "INVALID_FIELD", "field": "price",
            "detail": "is -1; give 0 or more", "hint": null,
        });
        assert_eq!(report, expected);
        let failure = CliError::from_server(Some(Reason::Locked), "p-1 is [LOCKED]".to_owned());
        let report = serde_json::to_value(ErrorReport::of(&failure)).unwrap();
        assert_eq!(report["detail"], "p-1 is");
        assert_eq!(report["hint"], "orderstream explain LOCKED");
        assert!(text_of(&failure).ends_with("p-1 is [LOCKED]\n hint: orderstream explain LOCKED"));
    }

    #[test]
    fn interruptions_are_no_errors() {
        let failure = CliError::interrupted("interrupted after event 7".to_owned())
            .hinting("orderstream watch x --after 7".to_owned());
        let expected = "interrupted after event 7\n hint: orderstream watch x --after 7";
        assert_eq!(text_of(&failure), expected);
    }
}
