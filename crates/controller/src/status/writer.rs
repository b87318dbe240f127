//! The one writer of statuses: of each resource the newest, ends before edges before counters,
//! never two writes of one resource at once, and no faster than the API server allows.
//!
//! ```text
//!   offer ──▶ waiting, by urgency ──▶ token ──▶ server-side apply ──▶ applied
//!                 ▲                                   │ refused, unreachable
//!                 └───────── later, slower ───────────┘
//! ```

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use kube::api::{Patch, PatchParams};
use kube::core::Request;
use kube::{Client, Resource as _};
use orderstream_api::manifest::API_VERSION;
use orderstream_api::order_request::OrderRequest;
use orderstream_api::order_status::OrderRequestStatus;
use orderstream_support::jitter_around;
use parking_lot::{Mutex, RwLock};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::events::Reporter;
use super::pending::{PendingStatus, StatusWriteOutcome};
use super::queue::{EnqueueResult, StatusQueue};
use super::rate_limit::TokenBucket;
use crate::lease::Leadership;
use crate::metrics::{Band, Metrics, Requests};
use crate::object::{ObjectKey, parse_version};
use crate::watch::{AppliedWrite, Cache, FIELD_MANAGER, is_applied};

/// Writes under way at once.
const IN_FLIGHT_MAX: usize = 32;
/// The time limit of one write.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// The back-off after a failed write.
const RETRY: Duration = Duration::from_secs(1);

/// The parts of a writer.
pub(crate) struct StatusWriterParts {
    /// The API server.
    pub(crate) client: Client,
    /// The back-off that the API server asks for.
    pub(crate) requests: Requests,
    /// The lead of this process.
    pub(crate) leadership: Leadership,
    /// The cache, which keeps what is applied.
    pub(crate) cache: Arc<RwLock<Cache>>,
    /// The controller's metrics.
    pub(crate) metrics: Arc<Metrics>,
    /// The sender of Events.
    pub(crate) reporter: Reporter,
    /// Called after a write, with its outcome.
    pub(crate) on_write: StatusWriteCallback,
}

/// The writer. Shared by reference.
pub(crate) struct StatusWriter {
    parts: StatusWriterParts,
    state: Mutex<StatusWriterState>,
    changed: Notify,
}

impl std::fmt::Debug for StatusWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

/// A callback that takes a resource and the outcome of a write of its status.
pub(crate) type StatusWriteCallback = Box<dyn Fn(&ObjectKey, StatusWriteOutcome) + Send + Sync>;

struct StatusWriterState {
    queue: StatusQueue,
    /// The resources that are being written to.
    in_flight: HashSet<ObjectKey>,
    bucket: TokenBucket,
}

impl StatusWriter {
    /// Makes a writer with nothing to do.
    pub(crate) fn new(parts: StatusWriterParts) -> Self {
        let state = Mutex::new(StatusWriterState {
            queue: StatusQueue::default(),
            in_flight: HashSet::new(),
            bucket: TokenBucket::new(Instant::now()),
        });
        Self { parts, state, changed: Notify::new() }
    }

    /// Writes this status as soon as its turn comes; a newer one takes its place. Where too many
    /// wait already it is not kept, and `on_write` is called when there is space.
    pub(crate) fn enqueue(&self, object: &ObjectKey, offer: PendingStatus) {
        if self.state.lock().queue.enqueue(object, offer) == EnqueueResult::Replaced {
            self.parts.metrics.status_coalesced();
        }
        self.changed.notify_one();
    }

    /// Drops the offer of a resource that is not yet being written.
    pub(crate) fn withdraw(&self, object: &ObjectKey) {
        self.state.lock().queue.withdraw(object);
    }

    /// Drops all offers: this process may not write now.
    pub(crate) fn clear(&self) {
        self.state.lock().queue.clear();
    }

    /// Writes until shutdown, then waits for the writes under way, [`WRITE_TIMEOUT`] at most.
    pub(crate) async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        let mut writes = JoinSet::new();
        while !shutdown.is_cancelled() {
            while let Some(joined) = writes.try_join_next() {
                if let Err(error) = joined {
                    tracing::error!(%error, "a status write panicked");
                }
            }
            let due = self.state.lock().queue.admit_deferred();
            due.iter()
                .for_each(|object| (self.parts.on_write)(object, StatusWriteOutcome::SpaceFree));
            match self.next(writes.len()) {
                NextStatusWrite::Write(object, pending) => {
                    let this = Arc::clone(&self);
                    writes.spawn(async move { this.write(object, pending).await });
                }
                NextStatusWrite::Wait(time) => {
                    tokio::select! {
                        () = shutdown.cancelled() => break,
                        () = self.changed.notified() => {}
                        Some(_) = writes.join_next(), if !writes.is_empty() => {}
                        () = tokio::time::sleep(time) => {}
                    }
                }
            }
        }
        if tokio::time::timeout(WRITE_TIMEOUT, writes.join_all()).await.is_err() {
            tracing::warn!("status writes did not end in time");
        }
    }

    fn next(&self, under_way: usize) -> NextStatusWrite {
        const IDLE: Duration = Duration::from_secs(5);
        let mut state = self.state.lock();
        let state = &mut *state;
        self.parts.metrics.set_statuses_waiting(state.queue.len(), state.bucket.per_second());
        if under_way >= IN_FLIGHT_MAX {
            return NextStatusWrite::Wait(IDLE);
        }
        let Some(object) = state.queue.next(|object| state.in_flight.contains(object)) else {
            return NextStatusWrite::Wait(IDLE);
        };
        if let Err(wait) = state.bucket.take(Instant::now()) {
            state.queue.put_back(object);
            return NextStatusWrite::Wait(wait);
        }
        let Some(pending) = state.queue.take(&object) else {
            return NextStatusWrite::Wait(Duration::ZERO);
        };
        state.in_flight.insert(object.clone());
        // Still under the writer's lock: a reconcile is to find the status either waiting or in flight.
        let status = Arc::clone(&pending.status);
        self.parts.cache.write().begin_write(&object, &pending.uid, status);
        NextStatusWrite::Write(object, Box::new(pending))
    }

    async fn write(&self, object: ObjectKey, pending: Box<PendingStatus>) {
        let outcome = if self.parts.leadership.epoch() == Some(pending.epoch) {
            self.patch(&object, &pending).await
        } else {
            StatusWriteOutcome::Failed
        };
        self.parts.cache.write().end_write(&object, &pending.uid);
        self.state.lock().in_flight.remove(&object);
        if outcome == StatusWriteOutcome::Failed {
            tokio::time::sleep(jitter_around(RETRY)).await;
        }
        (self.parts.on_write)(&object, outcome);
        self.changed.notify_one();
    }

    async fn patch(&self, object: &ObjectKey, pending: &PendingStatus) -> StatusWriteOutcome {
        let patch = json!({
            "apiVersion": API_VERSION,
            "kind": "OrderRequest",
            "metadata": { "name": &*object.name, "namespace": &*object.namespace, "uid": &*pending.uid },
            "status": *pending.status,
        });
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let terms = self.parts.cache.read().terms();
        let mut response =
            match self.send(object, pending.band, (&params, &Patch::Apply(patch))).await {
                Ok(resource) => resource,
                Err(outcome) => return outcome,
            };
        if let Some(removal) = removal_patch(&pending.status, &response) {
            tracing::info!(%object, "another client added fields to a status; they are removed");
            let params = PatchParams {
                field_manager: Some(FIELD_MANAGER.to_owned()),
                ..PatchParams::default()
            };
            // Where this fails, the next reconcile finds the rest again.
            if let Ok(cleared) =
                self.send(object, pending.band, (&params, &Patch::Merge(removal))).await
            {
                response = cleared;
            }
        }
        let version = parse_version(response.metadata.resource_version.as_deref());
        let (uid, status) = (Arc::clone(&pending.uid), Arc::clone(&pending.status));
        let write = AppliedWrite { uid, status, version, terms };
        self.parts.cache.write().record_applied(object, write);
        self.parts.reporter.report_transition(
            object,
            &pending.uid,
            &pending.previous,
            &pending.status,
        );
        StatusWriteOutcome::Applied
    }

    /// Sends one request, with its time limit and its metrics.
    async fn send(
        &self,
        object: &ObjectKey,
        band: Band,
        (params, patch): (&PatchParams, &Patch<Value>),
    ) -> Result<PatchResponse, StatusWriteOutcome> {
        let url = OrderRequest::url_path(&(), Some(&object.namespace));
        let request = Request::new(url).patch_subresource("status", &object.name, params, patch);
        let response = async {
            let request = request.map_err(kube::Error::BuildRequest)?;
            self.parts.client.request::<PatchResponse>(request).await
        };
        match tokio::time::timeout(WRITE_TIMEOUT, response).await {
            Ok(Ok(response)) => {
                self.parts.metrics.status_written(band, "ok");
                Ok(response)
            }
            Ok(Err(error)) => Err(self.failed(object, band, &error)),
            Err(_) => {
                self.parts.metrics.status_written(band, "error");
                tracing::warn!(%object, "a status write was not answered in time");
                Err(StatusWriteOutcome::Failed)
            }
        }
    }

    fn failed(&self, object: &ObjectKey, band: Band, error: &kube::Error) -> StatusWriteOutcome {
        let code = if let kube::Error::Api(status) = error { status.code } else { 0 };
        let (result, outcome) = match code {
            404 => ("conflict", StatusWriteOutcome::NotFound),
            409 => ("conflict", StatusWriteOutcome::Failed),
            429 => ("throttled", StatusWriteOutcome::Failed),
            _ => ("error", StatusWriteOutcome::Failed),
        };
        if matches!(code, 429 | 503) {
            self.state.lock().bucket.slow_down(Instant::now(), self.parts.requests.backoff());
        }
        self.parts.metrics.status_written(band, result);
        tracing::warn!(%object, code, %error, "a status was not written");
        outcome
    }
}

enum NextStatusWrite {
    Write(ObjectKey, Box<PendingStatus>),
    Wait(Duration),
}

/// The part of a response that is read. A spec that cannot be read does not make the write a
/// failure.
#[derive(Debug, Deserialize)]
struct PatchResponse {
    metadata: PatchResponseMetadata,
    status: Option<OrderRequestStatus>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PatchResponseMetadata {
    resource_version: Option<String>,
}

/// Returns a patch that removes the fields of a status that were not applied: those of another
/// owner, which our apply leaves in place. `None` where there are none.
fn removal_patch(ours: &OrderRequestStatus, response: &PatchResponse) -> Option<Value> {
    if is_applied(ours, response.status.as_ref()) {
        return None;
    }
    let fields =
        extra_fields(&serde_json::to_value(response.status.as_ref()?).ok()?, &json!(ours))?;
    let version = &response.metadata.resource_version;
    Some(json!({ "metadata": { "resourceVersion": version }, "status": fields }))
}

/// Returns the fields that are only in the first of two values, each as null.
fn extra_fields(observed: &Value, ours: &Value) -> Option<Value> {
    let Value::Object(fields) = observed else { return None };
    let fields: Map<_, _> = fields
        .iter()
        .filter_map(|(name, value)| match ours.get(name) {
            // A list of conditions holds those of others too.
            None if name == "conditions" => None,
            None => Some((name.clone(), Value::Null)),
            Some(own_value) => extra_fields(value, own_value).map(|below| (name.clone(), below)),
        })
        .collect();
    (!fields.is_empty()).then_some(Value::Object(fields))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_foreign_fields_are_taken_out() {
        let ours = json!({ "phase": "Open", "proposals": { "received": 1 } });
        let observed = json!({
            "phase": "Closed",
            "proposals": { "received": 1, "best": { "price": "1 EUR" } },
            "conditions": [{ "type": "Approved" }],
            "completionTime": "2026-01-01T00:00:00Z",
        });
        let removed = json!({ "proposals": { "best": null }, "completionTime": null });
        assert_eq!(extra_fields(&observed, &ours), Some(removed));
        assert_eq!(extra_fields(&ours, &ours), None);
        assert_eq!(
            extra_fields(&ours, &observed),
            None,
            "what is missing is applied, and not taken out"
        );
    }
}
