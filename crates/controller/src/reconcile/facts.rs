//! The facts on which one reconcile plans: the resource, its order, and what is known of both.

use std::sync::Arc;

use orderstream_api::convert;
use orderstream_api::order_request::OrderRequest;
use orderstream_api::order_status::OrderRequestStatus;
use orderstream_api::status::own;
use orderstream_core::plan::DesiredOrder;
use orderstream_core::{Epoch, Incarnation, Refusal, Timestamp, TrackerSnapshot};

use crate::object::ObjectKey;
use crate::watch::{AppliedStatus, RequestSnapshot};

/// The facts of one reconcile.
pub(super) struct ReconcileFacts {
    pub(super) object: ObjectKey,
    pub(super) uid: Arc<str>,
    pub(super) resource: Arc<OrderRequest>,
    pub(super) known: Arc<OrderRequestStatus>,
    /// Set when the watch observed the resource's creation, under the present lead.
    pub(super) is_live: bool,
    pub(super) applied: AppliedStatus,
    pub(super) snapshot: Option<Arc<TrackerSnapshot>>,
    pub(super) epoch: Epoch,
    pub(super) now: Timestamp,
}

/// The epoch and the time of one reconcile.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReconcileMoment {
    pub(super) epoch: Epoch,
    pub(super) now: Timestamp,
}

impl ReconcileFacts {
    /// Gathers the facts about a resource whose order, if it has one, is followed as the snapshot
    /// shows.
    pub(super) fn new(
        object: &ObjectKey,
        request: RequestSnapshot,
        snapshot: Option<Arc<TrackerSnapshot>>,
        moment: ReconcileMoment,
    ) -> Self {
        let known = request.applied.status.clone();
        let known = known.unwrap_or_else(|| Arc::new(trusted_status(&request)));
        let RequestSnapshot { uid, resource, is_live, applied, .. } = request;
        let (object, ReconcileMoment { epoch, now }) = (object.clone(), moment);
        Self { object, uid, resource, known, is_live, applied, snapshot, epoch, now }
    }

    pub(super) fn generation(&self) -> i64 {
        self.resource.metadata.generation.unwrap_or(1)
    }
}

/// Returns the desired state of a resource, sharing the texts of the cached key and uid.
///
/// # Errors
/// When the resource cannot be an order.
pub(super) fn desired(request: &RequestSnapshot) -> Result<DesiredOrder, Refusal> {
    let incarnation = Incarnation::try_from(Arc::clone(&request.uid))?;
    let mut desired = convert::desired(&request.resource, incarnation)?;
    if let Some(key) = &request.key {
        desired.key = key.clone();
    }
    Ok(desired)
}

/// Returns the status of a resource to which this process has not yet written. A foreign status
/// counts as lost: the processors are asked.
fn trusted_status(request: &RequestSnapshot) -> OrderRequestStatus {
    let status = request.resource.status.as_ref().filter(|_| request.is_status_ours);
    own(status.cloned().unwrap_or_default())
}
