//! The replies to a buyer's request that is not done: a problem, or the original system's reply.

use axum::response::{IntoResponse, Response};
use orderstream_core::buyer::BuyerError;
use orderstream_core::{Reason, Refusal};
use orderstream_rpc::problem::Problem;
use serde_json::json;

/// A reply to a request that is not done.
#[derive(Debug)]
pub(super) enum BuyerRestError {
    /// A refusal: the caller can correct the request, or retry.
    Refused(Problem),
    /// The order store accepts no records now, or its records of the order are damaged.
    NotStored(Reason),
}

impl From<Problem> for BuyerRestError {
    fn from(problem: Problem) -> Self {
        Self::Refused(problem)
    }
}

impl From<Refusal> for BuyerRestError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal.into())
    }
}

impl From<BuyerError> for BuyerRestError {
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

/// Returns the reply that the original system's clients expect, in a problem: their two fields
/// beside its own.
fn not_stored(reason: Reason) -> Response {
    const MESSAGE: &str = "Failed to update order request status";
    const UNKNOWN: &str = "it is not known whether this is stored; send the same request again, \
        under the same key if it has one: it has one effect";
    let detail = if reason == Reason::StorageUnavailable { UNKNOWN } else { MESSAGE };
    let problem = Problem::from(Refusal::new(reason, detail));
    problem.with_members(json!({ "success": false, "message": MESSAGE })).into_response()
}

impl IntoResponse for BuyerRestError {
    fn into_response(self) -> Response {
        match self {
            Self::Refused(problem) => problem.into_response(),
            Self::NotStored(reason) => not_stored(reason),
        }
    }
}
