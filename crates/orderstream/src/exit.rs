//! How the process ends: 0 done, 1 unexpected, 2 wrong input, 3 expired or timed out, 4 refused,
//! 5 server not reached, 6 checks failed.

use std::fmt;
use std::process::ExitCode;

use orderstream_core::{Reason, Refusal};

/// Why a command did not do what it was asked, and the code that says so.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    /// A fault of the program or of what it runs on.
    pub(crate) const fn unexpected(message: String) -> Self {
        Self { code: 1, message }
    }

    /// What the user gave is wrong.
    pub(crate) const fn input(message: String) -> Self {
        Self { code: 2, message }
    }

    /// It did not happen in time, or the order's time ran out.
    pub(crate) const fn too_late(message: String) -> Self {
        Self { code: 3, message }
    }

    /// The server said no.
    pub(crate) const fn refused(message: String) -> Self {
        Self { code: 4, message }
    }

    /// Nobody answered.
    pub(crate) const fn not_reached(message: String) -> Self {
        Self { code: 5, message }
    }

    /// Something is not as it should be.
    pub(crate) const fn checks(message: String) -> Self {
        Self { code: 6, message }
    }

    /// A refusal by the server, by its reason.
    pub(crate) fn from_server(reason: Option<Reason>, message: String) -> Self {
        match reason {
            Some(Reason::InvalidField | Reason::InvalidRequest) => Self::input(message),
            Some(Reason::DeadlinePassed) => Self::too_late(message),
            Some(Reason::Internal) | None => Self::unexpected(message),
            Some(_) => Self::refused(message),
        }
    }

    /// Whether a server said no.
    pub(crate) const fn is_refused(&self) -> bool {
        self.code == 4
    }

    /// The code for the shell.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }
}

/// A refusal of what the user gave, before any server was asked.
impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let field = refusal.field.map(|field| format!("{field} ")).unwrap_or_default();
        Self::input(format!("{field}{}", refusal.message))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
