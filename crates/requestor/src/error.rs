//! Why the requestor cannot run.

use orderstream_core::Refusal;

use crate::store::StoreError;

/// Why the requestor cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting is wrong.
    #[error("{0}")]
    Config(Refusal),
    /// The order store cannot be used.
    #[error("the order store: {0}")]
    Store(#[from] StoreError),
    /// The figures cannot be registered.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}
