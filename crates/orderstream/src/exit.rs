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
    /// Why a server said no, if it said so in a word that has a page.
    reason: Option<Reason>,
    /// When a server thinks that a retry makes sense, milliseconds.
    retry_after_ms: Option<u64>,
}

impl Failure {
    const fn new(code: u8, message: String) -> Self {
        Self { code, message, reason: None, retry_after_ms: None }
    }

    /// A fault of the program or of what it runs on.
    pub(crate) const fn unexpected(message: String) -> Self {
        Self::new(1, message)
    }

    /// What the user gave is wrong.
    pub(crate) const fn input(message: String) -> Self {
        Self::new(2, message)
    }

    /// It did not happen in time, or the order's time ran out.
    pub(crate) const fn too_late(message: String) -> Self {
        Self::new(3, message)
    }

    /// The server said no.
    pub(crate) const fn refused(message: String) -> Self {
        Self::new(4, message)
    }

    /// Nobody answered.
    pub(crate) const fn not_reached(message: String) -> Self {
        Self::new(5, message)
    }

    /// Something is not as it should be.
    pub(crate) const fn checks(message: String) -> Self {
        Self::new(6, message)
    }

    /// A refusal by the server, by its reason.
    pub(crate) fn from_server(reason: Option<Reason>, message: String) -> Self {
        let failure = match reason {
            Some(Reason::InvalidField | Reason::InvalidRequest) => Self::input(message),
            Some(Reason::DeadlinePassed) => Self::too_late(message),
            Some(Reason::Internal) | None => Self::unexpected(message),
            Some(_) => Self::refused(message),
        };
        Self { reason, ..failure }
    }

    /// What a server, or a rule that a server keeps too, refused.
    pub(crate) fn from_refusal(refusal: &Refusal) -> Self {
        let field = refusal.field.as_deref().map(|field| format!("{field}: ")).unwrap_or_default();
        let (reason, message) = (refusal.reason, &refusal.message);
        Self::from_server(Some(reason), format!("{field}{message} [{}]", reason.as_str()))
    }

    /// The same, with the server's word on when to try again.
    pub(crate) fn retry_after(self, ms: Option<u64>) -> Self {
        Self { retry_after_ms: ms.or(self.retry_after_ms), ..self }
    }

    /// Whether the same request may succeed later, and after how many milliseconds if the server
    /// says so.
    pub(crate) fn retriable(&self) -> Option<Option<u64>> {
        self.reason.filter(|reason| reason.is_retriable()).map(|_| self.retry_after_ms)
    }

    /// Why a server said no.
    pub(crate) const fn reason(&self) -> Option<Reason> {
        self.reason
    }

    /// Whether nobody answered.
    pub(crate) const fn is_not_reached(&self) -> bool {
        self.code == 5
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
