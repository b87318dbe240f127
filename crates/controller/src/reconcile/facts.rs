//! The facts on which one reconcile plans: the resource, its order, and what is known of both.

use std::sync::Arc;

use orderstream_api::convert;
use orderstream_api::order_request::OrderRequest;
use orderstream_api::order_status::OrderRequestStatus;
use orderstream_api::status::{corrected, own};
use orderstream_core::plan::DesiredOrder;
use orderstream_core::{Epoch, Incarnation, Refusal, Timestamp, TrackerSnapshot};

use super::placement::Placement;
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
        let generation = resource.metadata.generation.unwrap_or(1);
        let known = corrected(generation, &known).map_or(known, Arc::new);
        let (object, ReconcileMoment { epoch, now }) = (object.clone(), moment);
        Self { object, uid, resource, known, is_live, applied, snapshot, epoch, now }
    }

    /// Returns the placement of the order, of which this one is remembered: no processor has an order
    /// that was created under the present lead, and that this process has not placed.
    pub(super) fn placement(&self, remembered: Placement) -> Placement {
        let is_new = self.is_live && remembered == Placement::Unknown;
        if is_new { Placement::Unplaced } else { remembered }
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

#[cfg(test)]
mod tests {
    use orderstream_api::order_request::OrderRequestSpec;

    use super::*;

    /// Returns the facts of a resource that was created under the present lead, or before it.
    #[allow(clippy::fn_params_excessive_bools, reason = "the one fact of these tests")]
    fn facts(is_live: bool) -> ReconcileFacts {
        let resource = Arc::new(OrderRequest::new("chairs", OrderRequestSpec::default()));
        let object = ObjectKey::of(&resource.metadata);
        let request = RequestSnapshot {
            uid: "uid-1".into(),
            key: None,
            is_live,
            is_status_ours: true,
            resource,
            applied: AppliedStatus::default(),
        };
        let moment = ReconcileMoment { epoch: Epoch(1), now: Timestamp(0) };
        ReconcileFacts::new(&object, request, None, moment)
    }

    /// Only then may an order that is refused be corrected: nobody was asked.
    #[test]
    fn only_new_or_located_orders_are_unplaced() {
        let at = Placement::At("http://p-0:8002".to_owned());
        assert_eq!(facts(true).placement(Placement::Unknown), Placement::Unplaced);
        assert_eq!(facts(true).placement(at.clone()), at, "its opening is on its way");
        assert_eq!(facts(false).placement(Placement::Unknown), Placement::Unknown);
        assert_eq!(facts(false).placement(Placement::Locating), Placement::Locating);
        assert_eq!(facts(false).placement(Placement::Unplaced), Placement::Unplaced);
    }
}
