//! What can go wrong, one variant for each decision that a caller can take.

use orderstream_core::{Reason, Refusal};
use orderstream_rpc::status::refusal_from_status;
use tonic::Status;

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is no URL; correct it.
    #[error("not a URL: {0}")]
    Url(#[source] tonic::transport::Error),
    /// It is refused, and would be again; correct it.
    #[error("{0}")]
    Refused(#[from] Refused),
    /// No answer came in time; it may be done or not. The same key again tells.
    #[error("no answer: {0}")]
    Unanswered(String),
    /// So many events came while an answer was waited for that they must be read first. The act may
    /// be done or not; the same key again tells.
    #[error("{0} events are unread; read them with next() first")]
    Unread(usize),
    /// The server speaks a newer version, or is broken.
    #[error("cannot read what the server says: {0}")]
    Unreadable(Refusal),
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal.into())
    }
}

/// A refusal of the server, or of a check before anything was sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {message}")]
pub struct Refused {
    /// The stable word, such as `ORDER_ENDED`. [`Reason::parse`] gives the known ones.
    pub reason: String,
    /// What is wrong and how to mend it, for people.
    pub message: String,
    /// The order that it is about, where it answers nothing that was asked.
    pub order: Option<orderstream_core::OrderKey>,
}

impl Refused {
    /// The reason, where this version knows it.
    pub fn known(&self) -> Option<Reason> {
        Reason::parse(&self.reason)
    }

    /// Whether the same again may go well later.
    pub fn is_retriable(&self) -> bool {
        self.known().is_some_and(Reason::is_retriable)
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        let message = refusal.to_string();
        Self { reason: refusal.reason.as_str().to_owned(), message, order: None }
    }
}

/// A status as a refusal that would come again, or else why to try again.
pub(crate) fn judged(status: &Status) -> Result<Refused, String> {
    use tonic::Code;
    if let Some(refusal) = refusal_from_status(status) {
        let is_retriable = refusal.reason.is_retriable();
        return if is_retriable { Err(refusal.to_string()) } else { Ok(refusal.into()) };
    }
    // Another server than ours, or an older one: it would say the same again.
    let is_final = matches!(
        status.code(),
        Code::Unimplemented
            | Code::PermissionDenied
            | Code::Unauthenticated
            | Code::InvalidArgument
    );
    if !is_final {
        return Err(status.to_string());
    }
    let (reason, message) = (status.code().to_string(), status.message().to_owned());
    Ok(Refused { reason, message, order: None })
}
