//! All that is known of one resource, in one call: as it was observed, and the status that this process
//! applied to it. Both are compressed while nothing happens to them, which nobody outside notices.

use std::sync::Arc;

use orderstream_api::order_request::OrderRequest;
use orderstream_api::order_status::OrderRequestStatus;
use orderstream_core::{OrderKey, Reason, Refusal};
use parking_lot::RwLock;
use tokio::time::Instant;

use super::cache::Cache;
use super::last_applied::{AppliedStatus, LastApplied};
use crate::object::ObjectKey;

/// A resource as it is known now.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "two independent facts")]
pub(crate) struct RequestSnapshot {
    /// Its uid; empty where it has none.
    pub(crate) uid: Arc<str>,
    /// The key of its order; absent where the id is invalid.
    pub(crate) key: Option<OrderKey>,
    /// Set when the watch observed its creation, under the present lead.
    pub(crate) is_live: bool,
    /// Set when its status is what this project's controllers wrote last.
    pub(crate) is_status_ours: bool,
    /// The resource, without the fields that are not needed.
    pub(crate) resource: Arc<OrderRequest>,
    /// The status that this process shows of it.
    pub(crate) applied: AppliedStatus,
}

/// A status that was written.
#[derive(Clone, Debug)]
pub(crate) struct AppliedWrite {
    /// The uid of the resource to which it was written.
    pub(crate) uid: Arc<str>,
    /// The status.
    pub(crate) status: Arc<OrderRequestStatus>,
    /// The resource's version after the write.
    pub(crate) version: u64,
    /// The number of terms before the write, as [`Cache::terms`] returned it.
    pub(crate) terms: u64,
}

/// Returns all that is known of a resource; `None` where there is none of this name. The cache is
/// locked for moments only, and not while text is decompressed or compared.
///
/// # Errors
/// When the resource was damaged in memory.
pub(crate) fn snapshot(
    cache: &RwLock<Cache>,
    object: &ObjectKey,
) -> Result<Option<RequestSnapshot>, Refusal> {
    let found = {
        let cache = cache.read();
        cache.get(object).map(|cached| {
            let record = cache.applied.get(object, &cached.uid);
            (cached.clone(), record.cloned())
        })
    };
    let Some((cached, record)) = found else { return Ok(None) };
    let resource = cached
        .resource()
        .ok_or_else(|| Refusal::new(Reason::Internal, "the resource was damaged in memory"))?;
    let applied =
        record.as_ref().map(|it| it.compare(cached.version, &resource)).unwrap_or_default();
    if applied.is_echo
        && let Some(last) = record.as_ref().and_then(|record| record.last())
    {
        cache.write().record_echo(object, cached.version, last);
    }
    Ok(Some(RequestSnapshot {
        uid: cached.uid,
        key: cached.key,
        is_live: cached.is_live,
        is_status_ours: cached.is_status_ours,
        resource,
        applied,
    }))
}

impl Cache {
    /// Returns the number of times that another process may have led, and written.
    pub(crate) const fn terms(&self) -> u64 {
        self.applied.terms()
    }

    /// Records that a status is being written to a resource.
    pub(crate) fn begin_write(
        &mut self,
        object: &ObjectKey,
        uid: &Arc<str>,
        status: Arc<OrderRequestStatus>,
    ) {
        if self.has_incarnation(object, uid) {
            self.applied.begin(object, uid, status);
        }
    }

    /// Records that a write to a resource has ended.
    pub(crate) fn end_write(&mut self, object: &ObjectKey, uid: &str) {
        self.applied.end(object, uid);
    }

    /// Records a status that was written, unless another process may have written since.
    pub(crate) fn record_applied(&mut self, object: &ObjectKey, write: AppliedWrite) {
        let AppliedWrite { uid, status, version, terms } = write;
        if self.terms() == terms && self.has_incarnation(object, &uid) {
            let last = LastApplied::new(status, version, Instant::now());
            self.applied.record(object, &uid, last);
        }
    }

    /// Forgets all that was written: another leader writes, or wrote.
    pub(crate) fn forget_applied(&mut self) {
        self.applied.forget_all();
    }

    fn has_incarnation(&self, object: &ObjectKey, uid: &str) -> bool {
        self.get(object).is_some_and(|cached| *cached.uid == *uid)
    }

    /// Compresses a resource that shows what was written last and need not be reconciled soon; the
    /// written status is the same text from then on.
    fn record_echo(&mut self, object: &ObjectKey, version: u64, compared: &LastApplied) {
        if let Some(compressed) = self.compress(object, version) {
            self.applied.record_echo(object, compared, compressed, version);
        }
    }
}

#[cfg(test)]
#[path = "request_snapshot_tests.rs"]
mod tests;
