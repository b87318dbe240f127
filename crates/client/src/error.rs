//! The client's errors, with one variant for each case that a caller handles differently.

use orderstream_core::{Reason, Refusal};
use orderstream_rpc::status::refusal_from_status;
use tonic::Status;

/// The reason for which a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is not a URL; correct it.
    #[error("not a URL: {0}")]
    Url(#[source] tonic::transport::Error),
    /// The request was refused, and would be refused again; correct it.
    #[error("{0}")]
    Refused(#[from] RequestRefusal),
    /// No reply arrived in time, and the effect is unknown. Repeat the call with the same key to
    /// find out.
    #[error("no answer: {0}")]
    Unanswered(String),
    /// Too many events arrived during the wait for a reply; they must be read first. The effect is
    /// unknown; repeat the call with the same key to find out.
    #[error("{0} events are unread; read them with next() first")]
    Unread(usize),
    /// The server runs a newer version, or is broken.
    #[error("cannot read what the server says: {0}")]
    Unreadable(Refusal),
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal.into())
    }
}

/// A refusal by the server, or by a check before anything was sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {message}")]
pub struct RequestRefusal {
    /// The stable reason, such as `ORDER_ENDED`. [`Reason::parse`] parses the known ones.
    pub reason: String,
    /// A human-readable description of the fault and its fix.
    pub message: String,
    /// The order that is refused; absent in the reply to a call.
    pub order: Option<orderstream_core::OrderKey>,
}

impl RequestRefusal {
    /// Returns the reason, if this version knows it.
    pub fn known_reason(&self) -> Option<Reason> {
        Reason::parse(&self.reason)
    }

    /// Reports whether the same request may succeed later.
    pub fn is_retriable(&self) -> bool {
        self.known_reason().is_some_and(Reason::is_retriable)
    }
}

impl From<Refusal> for RequestRefusal {
    fn from(refusal: Refusal) -> Self {
        let message = refusal.to_string();
        Self { reason: refusal.reason.as_str().to_owned(), message, order: None }
    }
}

/// Converts a status to a final refusal, or else to the cause of a retriable failure.
pub(crate) fn classify_status(status: &Status) -> Result<RequestRefusal, String> {
    use tonic::Code;
    if let Some(refusal) = refusal_from_status(status) {
        let is_retriable = refusal.reason.is_retriable();
        return if is_retriable { Err(refusal.to_string()) } else { Ok(refusal.into()) };
    }
    // A server of another kind, or an older one: it would reply in the same way again.
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
    Ok(RequestRefusal { reason, message, order: None })
}
