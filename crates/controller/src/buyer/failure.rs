//! Requests to the API server, their failures, and the refusals that buyers get.

use std::time::Duration;

use orderstream_core::buyer::BuyerError;
use orderstream_core::{OrderKey, Reason, Refusal};

/// The time limit of one request to the API server.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// A failed request: the API server's status code and message, or a request without a response.
#[derive(Debug)]
pub(super) enum ApiFailure {
    Api(u16, String),
    Lost(String),
}

impl ApiFailure {
    /// Reports whether a write may have been done nevertheless.
    pub(super) const fn may_be_done(&self) -> bool {
        matches!(self, Self::Lost(_) | Self::Api(500.., _))
    }

    pub(super) fn into_buyer_error(self) -> BuyerError {
        match self {
            Self::Api(404, message) => {
                Refusal::field("tenant", format!("is not a namespace here: {message}")).into()
            }
            Self::Api(403, message) => Refusal::new(Reason::NotAllowed, message).into(),
            Self::Api(400 | 422, message) => Refusal::new(Reason::InvalidField, message).into(),
            Self::Api(code, message) => BuyerError::NotStored(format!("{code}: {message}")),
            Self::Lost(message) => BuyerError::NotStored(message),
        }
    }
}

pub(super) async fn with_timeout<T>(
    request: impl Future<Output = kube::Result<T>>,
) -> Result<T, ApiFailure> {
    match tokio::time::timeout(REQUEST_TIMEOUT, request).await {
        Ok(Ok(response)) => Ok(response),
        Ok(Err(kube::Error::Api(status))) => {
            Err(ApiFailure::Api(status.code, status.message.clone()))
        }
        Ok(Err(error)) => Err(ApiFailure::Lost(error.to_string())),
        Err(_) => Err(ApiFailure::Lost("the API server did not answer in time".to_owned())),
    }
}

pub(super) fn unreadable<E: std::fmt::Display>(error: E) -> BuyerError {
    BuyerError::NotStored(format!("the OrderRequest cannot be read: {error}"))
}

/// Returns the refusal of a create that got no response and whose result cannot be read.
pub(super) fn unconfirmed_create() -> BuyerError {
    let text = "the API server did not answer; the OrderRequest may be made, or be so later: ask \
        again, the same one is made once";
    Refusal::new(Reason::Unreachable, text).into()
}

pub(super) fn ended(key: &OrderKey) -> Refusal {
    let id = &key.order_req_id;
    Refusal::new(Reason::OrderEnded, format!("order {id} has ended; use a new order_req_id"))
}

pub(super) fn not_watched() -> Refusal {
    Refusal::field("tenant", "is a namespace whose orders are not taken here")
}

pub(super) fn not_found(key: &OrderKey) -> Refusal {
    let id = &key.order_req_id;
    Refusal::new(Reason::OrderNotFound, format!("order {id} is not tracked here"))
}
