//! The only place that writes to the terminal.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the place that is for it")]

use std::io::Write as _;

use crate::exit::Failure;

/// A line of the command's result. A reader that went away (`| head`) ends the output, not more.
pub(crate) fn line(text: &str) {
    let mut out = std::io::stdout().lock();
    if writeln!(out, "{text}").and_then(|()| out.flush()).is_err() {
        tracing::debug!("nobody reads the output any more");
    }
}

/// Why the command failed.
pub(crate) fn error(failure: &Failure) {
    eprintln!("error: {failure}");
}
