//! The question before a command that cannot be undone. It is asked at a terminal only: a job whose
//! input or standard error is not one goes on. A script that is started from a terminal is asked
//! too, and gives `--yes`.

use std::io::{self, IsTerminal as _};

use crate::exit::CliError;
use crate::output;

/// The flag of commands that ask first.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct ConfirmArgs {
    /// Do not ask for confirmation; only a person at a terminal is asked
    #[arg(long, short)]
    yes: bool,
}

impl ConfirmArgs {
    /// Reports whether a person is asked: the question is read on standard error, and answered on
    /// standard input. A script has these of the terminal from which it was started: give `--yes`.
    pub(super) fn asks(self) -> bool {
        !self.yes && io::stdin().is_terminal() && io::stderr().is_terminal()
    }

    /// Asks for confirmation. Fails where the answer is not yes.
    pub(super) fn confirm(self, question: &str) -> Result<(), CliError> {
        if !self.asks() {
            return Ok(());
        }
        output::question(&format!("{question} Go on? [y/N] "));
        let mut answer = String::new();
        match io::stdin().read_line(&mut answer) {
            Ok(_) if is_yes(&answer) => Ok(()),
            Ok(_) | Err(_) => {
                let text = "it was not confirmed, and nothing was done; --yes does not ask";
                Err(CliError::refused(text.to_owned()))
            }
        }
    }
}

fn is_yes(answer: &str) -> bool {
    ["y", "yes"].iter().any(|yes| answer.trim().eq_ignore_ascii_case(yes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_yes_confirms() {
        for answer in ["y\n", "Y", " yes \n", "YES\r\n"] {
            assert!(is_yes(answer), "{answer}");
        }
        for answer in ["", "\n", "n\n", "yep", "y y"] {
            assert!(!is_yes(answer), "{answer}");
        }
    }
}
