//! The status that this process last wrote to a resource, and whether the watch has delivered it.
//! Pure.
//!
//! ```text
//!   sent: its own copy ── the watch shows the same ──▶ echoed: the compressed one, shared with
//!     ▲                                                the cache
//!     └────────────────── the next write ──────────────┘
//! ```

use std::sync::Arc;

use tokio::time::Instant;

use super::packed::Packed;
use crate::order_request::OrderRequest;
use crate::order_status::OrderRequestStatus;
use crate::status::own;

/// A status that was written.
#[derive(Debug)]
pub(super) struct Written {
    /// The resource's uid.
    pub(super) uid: Arc<str>,
    content: Content,
    /// The resource's version after the write.
    version: u64,
    /// The time of the write.
    at: Instant,
}

#[derive(Debug)]
enum Content {
    Sent(Arc<OrderRequestStatus>),
    /// The resource that showed it first, and its version.
    Echoed(Packed, u64),
}

/// The status that a resource shows, and who wrote it.
#[derive(Clone, Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "two independent facts")]
pub(super) struct Shown {
    /// The status that this process is writing, or wrote last; absent where it wrote none.
    pub(super) status: Option<Arc<OrderRequestStatus>>,
    /// The time at which a status was written last.
    pub(super) written_at: Option<Instant>,
    /// Set when another client changed the status that was written last.
    pub(super) is_foreign: bool,
    /// Set when the resource has the status that was written last, and did not before.
    pub(super) is_echo: bool,
}

impl Written {
    /// Records a status that was sent, and the version of the resource with it.
    pub(super) const fn new(
        uid: Arc<str>,
        status: Arc<OrderRequestStatus>,
        version: u64,
        at: Instant,
    ) -> Self {
        Self { uid, content: Content::Sent(status), version, at }
    }

    /// Compares the status with a resource of this version. A different status that the watch
    /// delivers after the write is a foreign one.
    pub(super) fn shown(&self, version: u64, seen: &OrderRequest) -> Shown {
        let shown = seen.status.as_ref();
        if let Content::Echoed(_, at) = self.content
            && at == version
        {
            let status = shown.cloned().map(Arc::new);
            return Shown { status, written_at: Some(self.at), ..Shown::default() };
        }
        let status = self.status();
        let is_ours = status.as_deref().is_some_and(|ours| is_shown(ours, shown));
        Shown {
            is_foreign: version > self.version && !is_ours,
            is_echo: version >= self.version && shown == status.as_deref(),
            status,
            written_at: Some(self.at),
        }
    }

    fn status(&self) -> Option<Arc<OrderRequestStatus>> {
        match &self.content {
            Content::Sent(status) => Some(Arc::clone(status)),
            Content::Echoed(packed, _) => packed.unpack()?.status.map(Arc::new),
        }
    }

    /// Notes that the resource of this version shows what was written, and is compressed now.
    pub(super) fn echoed(&mut self, packed: Packed, version: u64) {
        self.content = Content::Echoed(packed, version);
    }
}

/// Reports whether a resource shows this status of ours, beside conditions of others.
pub(super) fn is_shown(ours: &OrderRequestStatus, shown: Option<&OrderRequestStatus>) -> bool {
    shown == Some(ours) || shown.cloned().is_some_and(|status| own(status) == own(ours.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order_request::OrderRequestSpec;

    fn status(phase: &str) -> OrderRequestStatus {
        OrderRequestStatus { phase: Some(phase.to_owned()), ..OrderRequestStatus::default() }
    }

    fn seen(phase: &str) -> OrderRequest {
        let mut resource = OrderRequest::new("a", OrderRequestSpec::default());
        resource.status = Some(status(phase));
        resource
    }

    /// The status that was written is known before and after the watch shows it.
    #[tokio::test]
    async fn foreign_writes_differ_from_echoes() {
        let ours = Arc::new(status("Streaming"));
        let mut written = Written::new("u".into(), Arc::clone(&ours), 7, Instant::now());
        let facts = |written: &Written, version: u64, phase: &str| {
            let shown = written.shown(version, &seen(phase));
            assert_eq!(shown.status.as_ref(), Some(&ours), "{version} {phase}");
            (shown.is_foreign, shown.is_echo)
        };
        assert_eq!(facts(&written, 6, "Pending"), (false, false), "the watch is late");
        assert_eq!(facts(&written, 8, "Pending"), (true, false));
        assert_eq!(facts(&written, 7, "Streaming"), (false, true));
        written.echoed(Packed::of(&seen("Streaming")).unwrap(), 7);
        assert_eq!(facts(&written, 7, "Streaming"), (false, false), "it is known by now");
        assert_eq!(facts(&written, 8, "Streaming"), (false, true), "the spec was edited");
        assert_eq!(facts(&written, 8, "Pending"), (true, false));
    }
}
