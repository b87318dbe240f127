//! A status on its way to the API server, and what became of it.

use std::sync::Arc;

use orderstream_api::order_status::OrderRequestStatus;
use orderstream_core::Epoch;

use crate::metrics::Band;

/// A status to be written.
#[derive(Clone, Debug)]
pub(crate) struct PendingStatus {
    /// The resource's uid: a resource created again under the name has another one.
    pub uid: Arc<str>,
    /// The status that is to be shown.
    pub status: Arc<OrderRequestStatus>,
    /// The urgency of the write.
    pub band: Band,
    /// The epoch under which it was decided.
    pub epoch: Epoch,
    /// The status that was shown before.
    pub previous: Arc<OrderRequestStatus>,
}

/// The outcome of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StatusWriteOutcome {
    /// The status is applied.
    Applied,
    /// The status is not applied, and is tried again when the resource is reconciled.
    Failed,
    /// The resource is gone.
    NotFound,
    /// No write was made: too many waited then, and there is space now.
    SpaceFree,
}
