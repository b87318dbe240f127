//! The statuses that this process applies to resources, and whether the watch has delivered them.
//! Pure.
//!
//! ```text
//!   in flight ──▶ sent: its own copy ── the watch shows the same ──▶ echoed: the compressed one,
//!     ▲                                                              shared with the cache
//!     └──────────────────────── the next write ─────────────────────────┘
//! ```

use std::collections::HashMap;
use std::sync::Arc;

use orderstream_api::order_request::OrderRequest;
use orderstream_api::order_status::OrderRequestStatus;
use orderstream_api::status::own;
use tokio::time::Instant;

use super::compressed::CompressedRequest;
use crate::object::ObjectKey;
use crate::table_capacity::ReleaseCapacity as _;

/// The statuses of all resources.
#[derive(Debug, Default)]
pub(super) struct AppliedStatuses {
    records: HashMap<ObjectKey, AppliedRecord>,
    /// The number of times that another process may have led; a status written before the last one
    /// does not count.
    terms: u64,
}

/// The statuses of one resource.
#[derive(Clone, Debug)]
pub(super) struct AppliedRecord {
    /// The resource's uid: the statuses are of this incarnation of its name.
    uid: Arc<str>,
    /// The status that is being written.
    in_flight: Option<Arc<OrderRequestStatus>>,
    last: Option<LastApplied>,
}

impl AppliedStatuses {
    /// Returns the number of times that another process may have led.
    pub(super) const fn terms(&self) -> u64 {
        self.terms
    }

    /// Returns the statuses of a resource; `None` where nothing was written to this incarnation.
    pub(super) fn get(&self, object: &ObjectKey, uid: &str) -> Option<&AppliedRecord> {
        self.records.get(object).filter(|record| *record.uid == *uid)
    }

    /// Records that a status is being written.
    pub(super) fn begin(
        &mut self,
        object: &ObjectKey,
        uid: &Arc<str>,
        status: Arc<OrderRequestStatus>,
    ) {
        self.record_of(object, uid).in_flight = Some(status);
    }

    /// Records that no status is being written any more.
    pub(super) fn end(&mut self, object: &ObjectKey, uid: &str) {
        let record = self.records.get_mut(object).filter(|record| *record.uid == *uid);
        let Some(record) = record else { return };
        record.in_flight = None;
        if record.last.is_none() {
            self.forget(object);
        }
    }

    /// Records a status that was written.
    pub(super) fn record(&mut self, object: &ObjectKey, uid: &Arc<str>, last: LastApplied) {
        self.record_of(object, uid).last = Some(last);
    }

    /// Records that the resource of this version shows what was written last, and is compressed now.
    pub(super) fn record_echo(
        &mut self,
        object: &ObjectKey,
        compared: &LastApplied,
        compressed: CompressedRequest,
        version: u64,
    ) {
        let last = self.records.get_mut(object).and_then(|record| record.last.as_mut());
        // Another status may have been written since the comparison.
        if let Some(last) = last.filter(|last| last.is(compared)) {
            last.record_echo(compressed, version);
        }
    }

    /// Forgets a resource that is gone.
    pub(super) fn forget(&mut self, object: &ObjectKey) {
        self.records.remove(object);
        self.records.release_capacity();
    }

    /// Forgets all that was written: another leader writes, or wrote.
    pub(super) fn forget_all(&mut self) {
        self.records.retain(|_, record| {
            record.last = None;
            record.in_flight.is_some()
        });
        self.records.release_capacity();
        self.terms = self.terms.saturating_add(1);
    }

    /// Returns the statuses of this incarnation, new ones where there are those of a former one.
    fn record_of(&mut self, object: &ObjectKey, uid: &Arc<str>) -> &mut AppliedRecord {
        let fresh = || AppliedRecord { uid: Arc::clone(uid), in_flight: None, last: None };
        let record = self.records.entry(object.clone()).or_insert_with(fresh);
        if record.uid != *uid {
            *record = fresh();
        }
        record
    }
}

impl AppliedRecord {
    /// Returns the status that was written last.
    pub(super) const fn last(&self) -> Option<&LastApplied> {
        self.last.as_ref()
    }

    /// Returns the status that this process shows of a resource of this version: the one being
    /// written, else the one written last.
    pub(super) fn compare(&self, version: u64, observed: &OrderRequest) -> AppliedStatus {
        let last = self.last.as_ref();
        let applied = last.map(|last| last.compare(version, observed)).unwrap_or_default();
        match self.in_flight.clone() {
            Some(status) => AppliedStatus { status: Some(status), is_foreign: false, ..applied },
            None => applied,
        }
    }
}

/// A status that was written.
#[derive(Clone, Debug)]
pub(super) struct LastApplied {
    copy: StatusCopy,
    /// The resource's version after the write.
    version: u64,
    /// The time of the write.
    applied_at: Instant,
}

#[derive(Clone, Debug)]
enum StatusCopy {
    Sent(Arc<OrderRequestStatus>),
    /// The resource that showed it first, and its version.
    Echoed(CompressedRequest, u64),
}

/// The status that a resource shows, and who wrote it.
#[derive(Clone, Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "two independent facts")]
pub(crate) struct AppliedStatus {
    /// The status that this process is writing, or wrote last; absent where it wrote none.
    pub(crate) status: Option<Arc<OrderRequestStatus>>,
    /// The time at which a status was written last.
    pub(crate) applied_at: Option<Instant>,
    /// Set when another client changed the status that was written last.
    pub(crate) is_foreign: bool,
    /// Set when the resource has the status that was written last, and did not before.
    pub(super) is_echo: bool,
}

impl LastApplied {
    /// Records a status that was sent, and the version of the resource with it.
    pub(super) const fn new(
        status: Arc<OrderRequestStatus>,
        version: u64,
        applied_at: Instant,
    ) -> Self {
        Self { copy: StatusCopy::Sent(status), version, applied_at }
    }

    /// Reports whether both are of one write.
    fn is(&self, other: &Self) -> bool {
        (self.version, self.applied_at) == (other.version, other.applied_at)
    }

    /// Compares the status with a resource of this version. A different status that the watch
    /// delivers after the write is a foreign one.
    fn compare(&self, version: u64, observed: &OrderRequest) -> AppliedStatus {
        let observed_status = observed.status.as_ref();
        if let StatusCopy::Echoed(_, at) = self.copy
            && at == version
        {
            let status = observed_status.cloned().map(Arc::new);
            return AppliedStatus {
                status,
                applied_at: Some(self.applied_at),
                ..AppliedStatus::default()
            };
        }
        let status = self.status();
        let is_ours = status.as_deref().is_some_and(|ours| is_applied(ours, observed_status));
        AppliedStatus {
            is_foreign: version > self.version && !is_ours,
            is_echo: version >= self.version && observed_status == status.as_deref(),
            status,
            applied_at: Some(self.applied_at),
        }
    }

    fn status(&self) -> Option<Arc<OrderRequestStatus>> {
        match &self.copy {
            StatusCopy::Sent(status) => Some(Arc::clone(status)),
            StatusCopy::Echoed(compressed, _) => compressed.decompress()?.status.map(Arc::new),
        }
    }

    /// Notes that the resource of this version shows what was written, and is compressed now.
    fn record_echo(&mut self, compressed: CompressedRequest, version: u64) {
        self.copy = StatusCopy::Echoed(compressed, version);
    }
}

/// Reports whether a resource shows this status of ours, beside conditions of others.
pub(crate) fn is_applied(ours: &OrderRequestStatus, observed: Option<&OrderRequestStatus>) -> bool {
    observed == Some(ours)
        || observed.cloned().is_some_and(|status| own(status) == own(ours.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use orderstream_api::order_request::OrderRequestSpec;

    fn status(phase: &str) -> OrderRequestStatus {
        OrderRequestStatus { phase: Some(phase.to_owned()), ..OrderRequestStatus::default() }
    }

    fn observed(phase: &str) -> OrderRequest {
        let mut resource = OrderRequest::new("a", OrderRequestSpec::default());
        resource.status = Some(status(phase));
        resource
    }

    /// The status that was written is known before and after the watch shows it.
    #[tokio::test]
    async fn foreign_writes_differ_from_echoes() {
        let ours = Arc::new(status("Open"));
        let mut last_applied = LastApplied::new(Arc::clone(&ours), 7, Instant::now());
        let facts = |written: &LastApplied, version: u64, phase: &str| {
            let compared = written.compare(version, &observed(phase));
            assert_eq!(compared.status.as_ref(), Some(&ours), "{version} {phase}");
            (compared.is_foreign, compared.is_echo)
        };
        assert_eq!(facts(&last_applied, 6, "Pending"), (false, false), "the watch is late");
        assert_eq!(facts(&last_applied, 8, "Pending"), (true, false));
        assert_eq!(facts(&last_applied, 7, "Open"), (false, true));
        last_applied.record_echo(CompressedRequest::compress(&observed("Open")).unwrap(), 7);
        assert_eq!(facts(&last_applied, 7, "Open"), (false, false), "it is known by now");
        assert_eq!(facts(&last_applied, 8, "Open"), (false, true), "the spec was edited");
        assert_eq!(facts(&last_applied, 8, "Pending"), (true, false));
    }
}
