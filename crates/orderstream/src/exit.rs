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
    /// Whether a server may have got the request all the same, and done it.
    is_in_doubt: bool,
}

impl Failure {
    const fn new(code: u8, message: String) -> Self {
        Self { code, message, reason: None, retry_after_ms: None, is_in_doubt: false }
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

    /// The request went out, and no answer came back.
    pub(crate) const fn unanswered(message: String) -> Self {
        let mut failure = Self::not_reached(message);
        failure.is_in_doubt = true;
        failure
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
        // These say themselves that what was asked may have been done.
        let is_in_doubt = matches!(reason, Some(Reason::Unreachable | Reason::StorageUnavailable));
        Self { reason, is_in_doubt, ..failure }
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

    /// Whether whoever could tell is not reached, directly or by the server that was asked.
    pub(crate) fn is_for_want_of_an_answer(&self) -> bool {
        self.is_not_reached() || self.reason == Some(Reason::Unreachable)
    }

    /// Whether the request may have been done all the same.
    pub(crate) const fn is_in_doubt(&self) -> bool {
        self.is_in_doubt
    }

    /// The same, of a request that may have been done by an earlier try; an answer that stands says
    /// what is so.
    pub(crate) fn after_doubt(self) -> Self {
        let is_open = self.is_not_reached() || self.retriable().is_some();
        Self { is_in_doubt: self.is_in_doubt || is_open, ..self }
    }

    /// The same, of an act under a key: where it may have been done, what makes it one when it is
    /// asked for again.
    pub(crate) fn of_act(self, key: &str) -> Self {
        if !self.is_in_doubt {
            return self;
        }
        let (message, reason) = match self.reason {
            Some(reason) => (self.message, reason),
            None => {
                let reason = Reason::Unreachable;
                (format!("{} [{}]", self.message, reason.as_str()), reason)
            }
        };
        let message = format!(
            "whether it was taken is not known; the same command with --key {key} has one effect: \
             {message}"
        );
        Self { reason: Some(reason), is_in_doubt: true, ..Self::too_late(message) }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_act_that_may_have_been_done_tells_its_key() {
        let reason = |reason: Reason| {
            Failure::from_server(Some(reason), format!("no [{}]", reason.as_str()))
        };
        let known = [
            Failure::not_reached("no".to_owned()),
            reason(Reason::Locked),
            reason(Reason::Draining),
            reason(Reason::Locked).after_doubt(),
        ];
        for failure in known {
            let said = failure.to_string();
            assert_eq!(failure.of_act("k1").to_string(), said);
        }
        let open = [
            Failure::unanswered("no".to_owned()),
            reason(Reason::Unreachable),
            reason(Reason::StorageUnavailable),
            reason(Reason::Draining).after_doubt(),
            Failure::not_reached("no".to_owned()).after_doubt(),
        ];
        for failure in open {
            let failure = failure.of_act("k1");
            let said = failure.to_string();
            assert!(said.contains("is not known") && said.contains("--key k1"), "{said}");
            let word = failure.reason().unwrap().as_str();
            assert!(said.ends_with(&format!("no [{word}]")), "{said}");
            assert_eq!(failure.exit_code(), ExitCode::from(3));
        }
    }
}
