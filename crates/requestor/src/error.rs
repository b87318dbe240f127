//! The errors of a requestor.

use orderstream_core::Refusal;

use crate::store::StoreError;

/// An error that stops a requestor at its start or later.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting is wrong.
    #[error("{0}")]
    Config(Refusal),
    /// The order store cannot be used.
    #[error("the order store: {0}")]
    Store(#[from] StoreError),
    /// The metrics cannot be registered.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}
