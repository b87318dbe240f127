//! The status that this process last wrote to a resource, and whether the watch has delivered it.
//! Pure.
//!
//! ```text
//!   sent: its own copy ── the watch shows the same ──▶ echoed: the compressed one, shared with
//!     ▲                                                the cache
//!     └────────────────── the next write ──────────────┘
//! ```

use std::sync::Arc;

use orderstream_api::order_request::OrderRequest;
use orderstream_api::order_status::OrderRequestStatus;
use orderstream_api::status::own;
use tokio::time::Instant;

use crate::watch::CompressedRequest;

/// A status that was written.
#[derive(Debug)]
pub(super) struct LastApplied {
    /// The resource's uid.
    pub(super) uid: Arc<str>,
    copy: StatusCopy,
    /// The resource's version after the write.
    version: u64,
    /// The time of the write.
    applied_at: Instant,
}

#[derive(Debug)]
enum StatusCopy {
    Sent(Arc<OrderRequestStatus>),
    /// The resource in which it first appeared, and its version.
    Echoed(CompressedRequest, u64),
}

/// The status of a resource, and who wrote it.
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
    pub(crate) is_echo: bool,
}

impl LastApplied {
    /// Records a status that was sent, and the version of the resource with it.
    pub(super) const fn new(
        uid: Arc<str>,
        status: Arc<OrderRequestStatus>,
        version: u64,
        applied_at: Instant,
    ) -> Self {
        Self { uid, copy: StatusCopy::Sent(status), version, applied_at }
    }

    /// Compares the status with a resource of this version. A different status that the watch
    /// delivers after the write is a foreign one.
    pub(super) fn compare(&self, version: u64, observed: &OrderRequest) -> AppliedStatus {
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

    /// Records that the resource of this version has the status that was written, and is compressed
    /// now.
    pub(super) fn record_echo(&mut self, compressed: CompressedRequest, version: u64) {
        self.copy = StatusCopy::Echoed(compressed, version);
    }
}

/// Reports whether a resource has this status of ours, beside conditions of others.
pub(super) fn is_applied(ours: &OrderRequestStatus, observed: Option<&OrderRequestStatus>) -> bool {
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

    /// The status that was written is known before and after the watch delivers it.
    #[tokio::test]
    async fn foreign_writes_differ_from_echoes() {
        let ours = Arc::new(status("Streaming"));
        let mut last_applied = LastApplied::new("u".into(), Arc::clone(&ours), 7, Instant::now());
        let facts = |written: &LastApplied, version: u64, phase: &str| {
            let compared = written.compare(version, &observed(phase));
            assert_eq!(compared.status.as_ref(), Some(&ours), "{version} {phase}");
            (compared.is_foreign, compared.is_echo)
        };
        assert_eq!(facts(&last_applied, 6, "Pending"), (false, false), "the watch is late");
        assert_eq!(facts(&last_applied, 8, "Pending"), (true, false));
        assert_eq!(facts(&last_applied, 7, "Streaming"), (false, true));
        last_applied.record_echo(CompressedRequest::compress(&observed("Streaming")).unwrap(), 7);
        assert_eq!(facts(&last_applied, 7, "Streaming"), (false, false), "it is known by now");
        assert_eq!(facts(&last_applied, 8, "Streaming"), (false, true), "the spec was edited");
        assert_eq!(facts(&last_applied, 8, "Pending"), (true, false));
    }
}
