//! Requests to the API server, and their failures.

use std::time::Duration;

use orderstream_core::buyer::BuyerError;
use orderstream_core::{Reason, Refusal};

/// The time limit of one request to the API server.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// A failed request: the API server's status code and message, or a request without a response.
#[derive(Debug)]
pub(super) enum Failure {
    Api(u16, String),
    Lost(String),
}

impl Failure {
    /// Reports whether a write may have been done all the same.
    pub(super) const fn may_be_done(&self) -> bool {
        matches!(self, Self::Lost(_) | Self::Api(500.., _))
    }

    pub(super) fn told(self) -> BuyerError {
        match self {
            Self::Api(404, message) => {
                Refusal::field("tenant", format!("is no namespace here: {message}")).into()
            }
            Self::Api(403, message) => Refusal::new(Reason::NotAllowed, message).into(),
            Self::Api(400 | 422, message) => Refusal::new(Reason::InvalidField, message).into(),
            Self::Api(code, message) => BuyerError::NotStored(format!("{code}: {message}")),
            Self::Lost(message) => BuyerError::NotStored(message),
        }
    }
}

pub(super) async fn within<T>(
    request: impl Future<Output = kube::Result<T>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(REQUEST_TIMEOUT, request).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(kube::Error::Api(status))) => Err(Failure::Api(status.code, status.message.clone())),
        Ok(Err(error)) => Err(Failure::Lost(error.to_string())),
        Err(_) => Err(Failure::Lost("the API server did not answer in time".to_owned())),
    }
}
