//! Why a buyer's request is not done: a problem, or the original system's answer.

use axum::response::{IntoResponse, Response};
use orderstream_core::buyer::BuyerError;
use orderstream_core::{Reason, Refusal};
use orderstream_rpc::problem::Problem;
use serde_json::json;

/// An answer that says no.
#[derive(Debug)]
pub(super) enum NotDone {
    /// The caller can put it right, or try again.
    Refused(Problem),
    /// The order store takes nothing now, or what it holds of the order is damaged.
    NotStored(Reason),
}

impl From<Problem> for NotDone {
    fn from(problem: Problem) -> Self {
        Self::Refused(problem)
    }
}

impl From<Refusal> for NotDone {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal.into())
    }
}

impl From<BuyerError> for NotDone {
    fn from(error: BuyerError) -> Self {
        match error {
            BuyerError::Refused(refusal) => refusal.into(),
            BuyerError::NotStored(error) => {
                tracing::error!(%error, "a buyer's request is not stored");
                Self::NotStored(Reason::StorageUnavailable)
            }
            BuyerError::Damaged(error) => {
                tracing::error!(%error, "a buyer's request is about an order whose records are damaged");
                Self::NotStored(Reason::RecordsDamaged)
            }
        }
    }
}

/// The answer of the original system's clients, in a problem: their two fields beside its own.
fn not_stored(reason: Reason) -> Response {
    const MESSAGE: &str = "Failed to update order request status";
    const UNKNOWN: &str = "it is not known whether this is stored; send the same request again, \
        under the same key if it has one: it has one effect";
    let detail = if reason == Reason::StorageUnavailable { UNKNOWN } else { MESSAGE };
    let problem = Problem::from(Refusal::new(reason, detail));
    problem.with_members(json!({ "success": false, "message": MESSAGE })).into_response()
}

impl IntoResponse for NotDone {
    fn into_response(self) -> Response {
        match self {
            Self::Refused(problem) => problem.into_response(),
            Self::NotStored(reason) => not_stored(reason),
        }
    }
}
