//! Why a buyer's request is not done: a problem, or the original system's answer.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use orderstream_core::Refusal;
use orderstream_core::buyer::BuyerError;
use orderstream_rpc::problem::Problem;
use serde_json::json;

/// An answer that says no.
#[derive(Debug)]
pub(super) enum NotDone {
    /// The caller can put it right, or try again.
    Refused(Problem),
    /// The order store failed.
    NotStored,
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
                Self::NotStored
            }
        }
    }
}

impl IntoResponse for NotDone {
    fn into_response(self) -> Response {
        match self {
            Self::Refused(problem) => problem.into_response(),
            Self::NotStored => {
                let message = "Failed to update order request status";
                let body = json!({ "success": false, "message": message });
                (StatusCode::INTERNAL_SERVER_ERROR, Json(body)).into_response()
            }
        }
    }
}
