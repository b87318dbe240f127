//! The facts on which one reconcile plans: the resource, its order, and what is known of both.

use std::sync::Arc;

use orderstream_api::convert;
use orderstream_api::order_request::OrderRequest;
use orderstream_api::order_status::OrderRequestStatus;
use orderstream_api::status::own;
use orderstream_core::plan::DesiredOrder;
use orderstream_core::{Epoch, Incarnation, OrderKey, Refusal, Timestamp, TrackerSnapshot};

use crate::object::ObjectKey;
use crate::status::AppliedStatus;
use crate::watch::CachedRequest;

/// The facts of one reconcile.
pub(super) struct ReconcileFacts {
    pub(super) object: ObjectKey,
    pub(super) key: OrderKey,
    pub(super) uid: Arc<str>,
    pub(super) resource: Arc<OrderRequest>,
    pub(super) known: Arc<OrderRequestStatus>,
    pub(super) applied: AppliedStatus,
    pub(super) snapshot: Option<Arc<TrackerSnapshot>>,
    pub(super) epoch: Epoch,
    pub(super) now: Timestamp,
}

impl ReconcileFacts {
    pub(super) fn generation(&self) -> i64 {
        self.resource.metadata.generation.unwrap_or(1)
    }
}

/// Returns the desired state of a resource, sharing the texts of the cached key and uid.
pub(super) fn desired(
    resource: &OrderRequest,
    cached: &CachedRequest,
) -> Result<DesiredOrder, Refusal> {
    let incarnation = Incarnation::try_from(Arc::clone(&cached.uid))?;
    let mut desired = convert::desired(resource, incarnation)?;
    if let Some(key) = &cached.key {
        desired.key = key.clone();
    }
    Ok(desired)
}

/// Returns the status of a resource to which this process has not yet written. A foreign status
/// counts as lost: the processors are asked.
pub(super) fn trusted_status(
    cached: &CachedRequest,
    resource: &OrderRequest,
) -> OrderRequestStatus {
    let status = resource.status.as_ref().filter(|_| cached.is_status_ours);
    own(status.cloned().unwrap_or_default())
}
