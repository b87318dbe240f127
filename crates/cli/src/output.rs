//! The only module that writes to the terminal.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the place that is for it")]

use std::io::{IsTerminal, Write as _};

use orderstream_core::Reason;

use crate::exit::CliError;

/// Prints a line of the command's result. A closed pipe (`| head`) is not an error.
pub fn line(text: &str) {
    let mut stdout = std::io::stdout().lock();
    if writeln!(stdout, "{text}").and_then(|()| stdout.flush()).is_err() {
        tracing::debug!("nobody reads the output any more");
    }
}

/// Prints bytes unchanged: a man page, a script.
pub(crate) fn bytes(bytes: &[u8]) {
    let mut stdout = std::io::stdout().lock();
    if stdout.write_all(bytes).and_then(|()| stdout.flush()).is_err() {
        tracing::debug!("nobody reads the output any more");
    }
}

/// Prints the failure of a command, and a hint at its page.
pub fn error(failure: &CliError) {
    let head = paint(Style::Error, "error:", &std::io::stderr());
    eprintln!("{head} {failure}");
    // The message already has the fault of a field; the page of the reason adds nothing.
    if let Some(reason) = failure.reason().filter(|reason| *reason != Reason::InvalidField) {
        eprintln!(" hint: orderstream explain {}", reason.as_str());
    }
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

/// Styles a word for standard output, where that is a terminal.
pub(crate) fn styled(style: Style, text: &str) -> String {
    paint(style, text, &std::io::stdout())
}

/// Adds the style's escape codes on a terminal, unless `NO_COLOR` is set (no-color.org); a pipe
/// gets them with `CLICOLOR_FORCE` (bixense.com/clicolors).
fn paint(style: Style, text: &str, stream: &impl IsTerminal) -> String {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    if is_set("NO_COLOR") || !(stream.is_terminal() || is_set("CLICOLOR_FORCE")) {
        return text.to_owned();
    }
    let code = match style {
        Style::Heading => "1",
        Style::Best => "32",
        Style::Error => "1;31",
        Style::Faint => "2",
    };
    format!("\x1b[{code}m{text}\x1b[0m")
}
