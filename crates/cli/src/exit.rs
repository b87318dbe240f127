//! Exit codes: 0 done, 1 unexpected, 2 wrong input, 3 expired or timed out, 4 refused, 5 server not
//! reached, 6 checks failed, 130 interrupted.

use std::fmt;
use std::process::ExitCode;

use orderstream_core::{Reason, Refusal};

use crate::verbs::flags::flag_of;

/// The exit code of a command that Ctrl-C has ended: 128 and the number of SIGINT, as in shells.
const INTERRUPTED: u8 = 130;

/// The failure of a CLI command: its message and exit code.
#[derive(Debug)]
pub struct CliError {
    code: u8,
    message: String,
    /// The reason of a server's refusal, where it has a known one.
    reason: Option<Reason>,
    /// The path of the wrong field, or the flag that gave it, with which the message begins.
    field: Option<Box<str>>,
    /// The command that helps further, where it is not the reason's page.
    hint: Option<Box<str>>,
    /// The server's `retry-after`, milliseconds.
    retry_after_ms: Option<u64>,
    /// Set when a server may have received the request and carried it out.
    is_in_doubt: bool,
}

impl CliError {
    const fn new(code: u8, message: String) -> Self {
        Self {
            code,
            message,
            reason: None,
            field: None,
            hint: None,
            retry_after_ms: None,
            is_in_doubt: false,
        }
    }

    /// Makes a failure of the program or of its environment: code 1.
    pub const fn unexpected(message: String) -> Self {
        Self::new(1, message)
    }

    /// Makes a failure of the user's input: code 2.
    pub const fn input(message: String) -> Self {
        Self::new(2, message)
    }

    /// Makes a failure by a timeout, or by an order's expiry: code 3.
    pub(crate) const fn too_late(message: String) -> Self {
        Self::new(3, message)
    }

    /// Makes a failure by a server's refusal: code 4.
    pub(crate) const fn refused(message: String) -> Self {
        Self::new(4, message)
    }

    /// Makes a failure to reach a server: code 5.
    pub(crate) const fn not_reached(message: String) -> Self {
        Self::new(5, message)
    }

    /// Makes a failure of a request that was sent and got no response: code 5; it may have been
    /// carried out.
    pub(crate) const fn unanswered(message: String) -> Self {
        let mut failure = Self::not_reached(message);
        failure.is_in_doubt = true;
        failure
    }

    /// Makes a failure of checks: code 6.
    pub(crate) const fn checks(message: String) -> Self {
        Self::new(6, message)
    }

    /// Makes the end of a command that Ctrl-C has ended: code 130.
    pub(crate) const fn interrupted(message: String) -> Self {
        Self::new(INTERRUPTED, message)
    }

    /// Converts a server's refusal; the reason gives the code.
    pub(crate) fn from_server(reason: Option<Reason>, message: String) -> Self {
        let failure = match reason {
            Some(Reason::InvalidField | Reason::InvalidRequest) => Self::input(message),
            Some(Reason::DeadlinePassed) => Self::too_late(message),
            Some(Reason::Internal) | None => Self::unexpected(message),
            Some(_) => Self::refused(message),
        };
        // With these reasons the request may have been carried out.
        let is_in_doubt = matches!(reason, Some(Reason::Unreachable | Reason::StorageUnavailable));
        Self { reason, is_in_doubt, ..failure }
    }

    /// Converts a refusal by a server, or by a rule that servers apply too.
    pub(crate) fn from_refusal(refusal: &Refusal) -> Self {
        let field = refusal.field.as_deref().map(|field| format!("{field}: ")).unwrap_or_default();
        let (reason, message) = (refusal.reason, &refusal.message);
        Self::from_server(Some(reason), format!("{field}{message} [{}]", reason.as_str()))
            .about(refusal.field.as_deref())
    }

    /// Sets the path of the wrong field, with which the message begins.
    pub(crate) fn about(self, field: Option<&str>) -> Self {
        Self { field: field.map(Into::into), ..self }
    }

    /// Names the flag or argument that was typed, in place of the field that it became.
    pub(crate) fn in_flags(self, flags: &[(&'static str, &'static str)]) -> Self {
        let named = self.field().and_then(|field| {
            let (flag, rest) = (flag_of(field, flags)?, self.message.strip_prefix(field)?);
            Some((format!("{flag}{rest}"), flag))
        });
        match named {
            Some((message, flag)) => Self { message, ..self }.about(Some(flag.as_str())),
            None => self,
        }
    }

    /// Sets the command that helps further.
    pub(crate) fn hinting(self, command: String) -> Self {
        Self { hint: Some(command.into_boxed_str()), ..self }
    }

    /// Adds the word that was probably meant, before the reason.
    pub(crate) fn meaning(self, meant: Option<&str>) -> Self {
        let Some(meant) = meant else { return self };
        let reason = self.reason.map(|reason| format!(" [{}]", reason.as_str()));
        let reason = reason.unwrap_or_default();
        let (text, reason) = match self.message.strip_suffix(reason.as_str()) {
            Some(text) => (text, reason.as_str()),
            None => (self.message.as_str(), ""),
        };
        let message = format!("{text}; did you mean {meant}?{reason}");
        Self { message, ..self }
    }

    /// Sets the server's `retry-after`, milliseconds, where it is given.
    pub(crate) fn retry_after(self, ms: Option<u64>) -> Self {
        Self { retry_after_ms: ms.or(self.retry_after_ms), ..self }
    }

    /// Returns the server's `retry-after`, milliseconds, if any, where the same request may succeed
    /// later; `None` where it cannot.
    pub(crate) fn retriable(&self) -> Option<Option<u64>> {
        self.reason.filter(|reason| reason.is_retriable()).map(|_| self.retry_after_ms)
    }

    /// Returns the reason of the server's refusal.
    pub(crate) const fn reason(&self) -> Option<Reason> {
        self.reason
    }

    /// Returns the path of the wrong field, or the flag that gave it, if one is at fault.
    pub(crate) fn field(&self) -> Option<&str> {
        self.field.as_deref()
    }

    /// Returns the command that helps further, where it is not the reason's page.
    pub(crate) fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Returns the message without its field and reason.
    pub(crate) fn detail(&self) -> &str {
        let reason = self.reason.map(|reason| format!("[{}]", reason.as_str()));
        let text = reason.and_then(|reason| self.message.strip_suffix(reason.as_str()));
        let text = text.unwrap_or(&self.message).trim_end();
        let detail = self.field().and_then(|field| text.strip_prefix(field));
        detail.map_or(text, |detail| detail.trim_start_matches(':').trim_start())
    }

    /// Reports whether the server was not reached.
    pub(crate) const fn is_not_reached(&self) -> bool {
        self.code == 5
    }

    /// Reports whether the order's processor was not reached, directly or by the server that was
    /// called.
    pub(crate) fn is_processor_unreachable(&self) -> bool {
        self.is_not_reached() || self.reason == Some(Reason::Unreachable)
    }

    /// Reports whether the request may have been carried out.
    pub(crate) const fn is_in_doubt(&self) -> bool {
        self.is_in_doubt
    }

    /// Marks the failure as in doubt where an earlier try may have been carried out; a final
    /// refusal settles it.
    pub(crate) fn after_doubt(self) -> Self {
        let is_open = self.is_not_reached() || self.retriable().is_some();
        Self { is_in_doubt: self.is_in_doubt || is_open, ..self }
    }

    /// Adds to a failure in doubt the idempotency key with which the command can be repeated
    /// safely.
    pub(crate) fn with_key(self, key: &str) -> Self {
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

    /// Reports whether Ctrl-C has ended the command.
    pub(crate) const fn is_interruption(&self) -> bool {
        self.code == INTERRUPTED
    }

    /// Reports whether a server refused the request.
    pub(crate) const fn is_refused(&self) -> bool {
        self.code == 4
    }

    /// Returns the exit code as a number.
    pub(crate) const fn code(&self) -> u8 {
        self.code
    }

    /// Returns the process's exit code.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }
}

/// Converts a refusal of the user's input, before any server was asked.
impl From<Refusal> for CliError {
    fn from(refusal: Refusal) -> Self {
        let field = refusal.field.as_deref();
        let before = field.map(|field| format!("{field} ")).unwrap_or_default();
        Self::input(format!("{before}{}", refusal.message)).about(field)
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggestions_stand_before_the_reason() {
        let text = "there is no order chiars [ORDER_NOT_FOUND]".to_owned();
        let failure = CliError::from_server(Some(Reason::OrderNotFound), text);
        assert_eq!(failure.detail(), "there is no order chiars");
        let failure = failure.meaning(None).meaning(Some("chairs"));
        let expected = "there is no order chiars; did you mean chairs? [ORDER_NOT_FOUND]";
        assert_eq!(failure.to_string(), expected);
        assert_eq!(failure.reason(), Some(Reason::OrderNotFound));
        let failure = CliError::input("no verb stauts".to_owned()).meaning(Some("status"));
        assert_eq!(failure.to_string(), "no verb stauts; did you mean status?");
    }

    /// They exit with code 3 and end with their reason.
    #[test]
    fn only_doubtful_failures_name_their_key() {
        let reason = |reason: Reason| {
            CliError::from_server(Some(reason), format!("no [{}]", reason.as_str()))
        };
        let known = [
            CliError::not_reached("no".to_owned()),
            reason(Reason::Locked),
            reason(Reason::Draining),
            reason(Reason::Locked).after_doubt(),
        ];
        for failure in known {
            let text = failure.to_string();
            assert_eq!(failure.with_key("k1").to_string(), text);
        }
        let open = [
            CliError::unanswered("no".to_owned()),
            reason(Reason::Unreachable),
            reason(Reason::StorageUnavailable),
            reason(Reason::Draining).after_doubt(),
            CliError::not_reached("no".to_owned()).after_doubt(),
        ];
        for failure in open {
            let failure = failure.with_key("k1");
            let text = failure.to_string();
            assert!(text.contains("is not known") && text.contains("--key k1"), "{text}");
            let reason_text = failure.reason().unwrap().as_str();
            assert!(text.ends_with(&format!("no [{reason_text}]")), "{text}");
            assert_eq!(failure.exit_code(), ExitCode::from(3));
        }
    }
}
