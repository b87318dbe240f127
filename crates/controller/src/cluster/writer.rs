//! The one writer of statuses: of each resource the newest, ends before edges before counters,
//! never two writes of one resource at once, and no faster than the API server allows.
//!
//! ```text
//!   offer ──▶ waiting, by urgency ──▶ token ──▶ server-side apply ──▶ written
//!                 ▲                                   │ refused, not reached
//!                 └───────── later, slower ───────────┘
//! ```

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Patch, PatchParams};
use kube::core::Request;
use kube::{Client, Resource as _};
use orderstream_core::Epoch;
use orderstream_support::around;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::bucket::Bucket;
use super::cache::{Kept, ObjectKey};
use super::leadership::Leadership;
use super::metrics::{Band, Metrics};
use super::packed::Packed;
use super::reporter::Reporter;
use super::requests::Requests;
use super::room::Room as _;
use super::waiting::{Offered, Waiting};
use super::written::{Shown, Written, is_shown};
use crate::manifest::API_VERSION;
use crate::order_request::OrderRequest;
use crate::order_status::OrderRequestStatus;

/// The field manager that owns the status.
pub const FIELD_MANAGER: &str = "orderstream-controller";
/// Writes under way at once.
const IN_FLIGHT_MAX: usize = 32;
/// The time limit of one write.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// The back-off after a failed write.
const RETRY: Duration = Duration::from_secs(1);

/// A status to be written.
#[derive(Clone, Debug)]
pub(super) struct Offer {
    /// The resource's uid: a resource created again under the name has another one.
    pub uid: Arc<str>,
    /// The status that is to be shown.
    pub status: Arc<OrderRequestStatus>,
    /// The urgency of the write.
    pub band: Band,
    /// The epoch under which it was decided.
    pub epoch: Epoch,
    /// The status that was shown before.
    pub known: Arc<OrderRequestStatus>,
}

/// The writer. Shared by reference.
pub(super) struct Writer {
    client: Client,
    requests: Requests,
    leadership: Leadership,
    metrics: Arc<Metrics>,
    reporter: Reporter,
    state: Mutex<State>,
    changed: Notify,
    /// Called after a write, with its outcome.
    done: Done,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

/// A callback that takes a resource and the outcome of a write of its status.
pub(super) type Done = Box<dyn Fn(&ObjectKey, Outcome) + Send + Sync>;

/// The outcome of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The status is applied.
    Written,
    /// The status is not applied, and is tried again when the resource is reconciled.
    Failed,
    /// The resource is gone.
    Gone,
    /// No write was made: too many waited then, and there is space now.
    Due,
}

struct State {
    waiting: Waiting,
    in_flight: HashMap<ObjectKey, Arc<OrderRequestStatus>>,
    written: HashMap<ObjectKey, Written>,
    /// The number of times that another process may have led; a status written before the last one
    /// does not count.
    terms: u64,
    bucket: Bucket,
}

impl Writer {
    /// Makes a writer with nothing to do.
    pub(super) fn new(
        (client, requests): (Client, Requests),
        leadership: Leadership,
        (metrics, reporter): (Arc<Metrics>, Reporter),
        done: Done,
    ) -> Self {
        let state = Mutex::new(State {
            waiting: Waiting::default(),
            in_flight: HashMap::new(),
            written: HashMap::new(),
            terms: 0,
            bucket: Bucket::new(Instant::now()),
        });
        Self {
            client,
            requests,
            leadership,
            metrics,
            reporter,
            state,
            changed: Notify::new(),
            done,
        }
    }

    /// Writes this status as soon as its turn comes; a newer one takes its place. Where too many
    /// wait already it is not kept, and `done` is called when there is space.
    pub(super) fn offer(&self, object: &ObjectKey, offer: Offer) {
        if self.state.lock().waiting.offer(object, offer) == Offered::Replaced {
            self.metrics.status_coalesced();
        }
        self.changed.notify_one();
    }

    /// Drops the offer of a resource that is not yet being written.
    pub(super) fn withdraw(&self, object: &ObjectKey) {
        self.state.lock().waiting.withdraw(object);
    }

    /// Returns the status that this process shows of a resource: the one being written, else the
    /// one written last.
    pub(super) fn shown(&self, object: &ObjectKey, kept: &Kept, seen: &OrderRequest) -> Shown {
        let state = self.state.lock();
        let in_flight = state.in_flight.get(object).cloned();
        let written = state.written.get(object).filter(|written| written.uid == kept.uid);
        let shown = written.map(|written| written.shown(kept.version, seen)).unwrap_or_default();
        match in_flight {
            Some(status) => Shown { status: Some(status), is_foreign: false, ..shown },
            None => shown,
        }
    }

    /// Records that this version of a resource has the status that was written last, and is
    /// compressed now.
    pub(super) fn echoed(&self, object: &ObjectKey, kept: &Kept, packed: Packed) {
        if let Some(written) = self.state.lock().written.get_mut(object)
            && written.uid == kept.uid
        {
            written.echoed(packed, kept.version);
        }
    }

    /// Forgets a resource that is gone.
    pub(super) fn forget(&self, object: &ObjectKey) {
        let mut state = self.state.lock();
        state.waiting.withdraw(object);
        state.written.remove(object);
        state.written.give_back();
    }

    /// Drops all offers: this process may not write now.
    pub(super) fn clear(&self) {
        self.state.lock().waiting.clear();
    }

    /// Drops all offers and all that was written: another leader writes, or wrote.
    pub(super) fn forget_all(&self) {
        self.clear();
        let mut state = self.state.lock();
        state.written = HashMap::new();
        state.terms = state.terms.saturating_add(1);
    }

    /// Writes until shutdown, then waits for the writes under way, [`WRITE_TIMEOUT`] at most.
    pub(super) async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        let mut writes = JoinSet::new();
        while !shutdown.is_cancelled() {
            while let Some(joined) = writes.try_join_next() {
                if let Err(error) = joined {
                    tracing::error!(%error, "a status write was lost");
                }
            }
            let due = self.state.lock().waiting.with_room();
            due.iter().for_each(|object| (self.done)(object, Outcome::Due));
            match self.next(writes.len()) {
                Next::Write(object, offer) => {
                    let this = Arc::clone(&self);
                    writes.spawn(async move { this.write(object, offer).await });
                }
                Next::Wait(time) => {
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

    fn next(&self, under_way: usize) -> Next {
        const IDLE: Duration = Duration::from_secs(5);
        let mut state = self.state.lock();
        let state = &mut *state;
        self.metrics.statuses_wait(state.waiting.len(), state.bucket.per_second());
        if under_way >= IN_FLIGHT_MAX {
            return Next::Wait(IDLE);
        }
        let Some(object) = state.waiting.next(|object| state.in_flight.contains_key(object)) else {
            return Next::Wait(IDLE);
        };
        if let Err(wait) = state.bucket.take(Instant::now()) {
            state.waiting.put_back(object);
            return Next::Wait(wait);
        }
        let Some(offer) = state.waiting.take(&object) else { return Next::Wait(Duration::ZERO) };
        state.in_flight.insert(object.clone(), Arc::clone(&offer.status));
        Next::Write(object, Box::new(offer))
    }

    async fn write(&self, object: ObjectKey, offer: Box<Offer>) {
        let outcome = if self.leadership.epoch() == Some(offer.epoch) {
            self.patch(&object, &offer).await
        } else {
            Outcome::Failed
        };
        self.state.lock().in_flight.remove(&object);
        if outcome == Outcome::Failed {
            tokio::time::sleep(around(RETRY)).await;
        }
        (self.done)(&object, outcome);
        self.changed.notify_one();
    }

    async fn patch(&self, object: &ObjectKey, offer: &Offer) -> Outcome {
        let patch = json!({
            "apiVersion": API_VERSION,
            "kind": "OrderRequest",
            "metadata": { "name": &*object.name, "namespace": &*object.namespace, "uid": &*offer.uid },
            "status": *offer.status,
        });
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let terms = self.state.lock().terms;
        let mut answer = match self.send(object, offer.band, (&params, &Patch::Apply(patch))).await
        {
            Ok(resource) => resource,
            Err(outcome) => return outcome,
        };
        if let Some(rest) = rest(&offer.status, &answer) {
            tracing::info!(%object, "somebody else wrote more into a status; it is taken out");
            let params = PatchParams {
                field_manager: Some(FIELD_MANAGER.to_owned()),
                ..PatchParams::default()
            };
            // Where this fails, the next reconcile finds the rest again.
            if let Ok(cleared) = self.send(object, offer.band, (&params, &Patch::Merge(rest))).await
            {
                answer = cleared;
            }
        }
        let version = number(answer.metadata.resource_version.as_deref());
        let status = Arc::clone(&offer.status);
        let written = Written::new(Arc::clone(&offer.uid), status, version, Instant::now());
        let mut state = self.state.lock();
        if state.terms == terms {
            state.written.insert(object.clone(), written);
        }
        drop(state);
        self.reporter.edge(object, &offer.uid, &offer.known, &offer.status);
        Outcome::Written
    }

    /// Sends one request, with its time limit and its metrics.
    async fn send(
        &self,
        object: &ObjectKey,
        band: Band,
        (params, patch): (&PatchParams, &Patch<Value>),
    ) -> Result<Answer, Outcome> {
        let url = OrderRequest::url_path(&(), Some(&object.namespace));
        let request = Request::new(url).patch_subresource("status", &object.name, params, patch);
        let answer = async {
            let request = request.map_err(kube::Error::BuildRequest)?;
            self.client.request::<Answer>(request).await
        };
        match tokio::time::timeout(WRITE_TIMEOUT, answer).await {
            Ok(Ok(answer)) => {
                self.metrics.status_written(band, "ok");
                Ok(answer)
            }
            Ok(Err(error)) => Err(self.failed(object, band, &error)),
            Err(_) => {
                self.metrics.status_written(band, "error");
                tracing::warn!(%object, "a status write was not answered in time");
                Err(Outcome::Failed)
            }
        }
    }

    fn failed(&self, object: &ObjectKey, band: Band, error: &kube::Error) -> Outcome {
        let code = if let kube::Error::Api(status) = error { status.code } else { 0 };
        let (result, outcome) = match code {
            404 => ("conflict", Outcome::Gone),
            409 => ("conflict", Outcome::Failed),
            429 => ("throttled", Outcome::Failed),
            _ => ("error", Outcome::Failed),
        };
        if matches!(code, 429 | 503) {
            self.state.lock().bucket.slow_down(Instant::now(), self.requests.pause());
        }
        self.metrics.status_written(band, result);
        tracing::warn!(%object, code, %error, "a status was not written");
        outcome
    }
}

enum Next {
    Write(ObjectKey, Box<Offer>),
    Wait(Duration),
}

/// The part of a response that is read. A spec that cannot be read does not make the write a
/// failure.
#[derive(Debug, Deserialize)]
struct Answer {
    metadata: AnswerMetadata,
    status: Option<OrderRequestStatus>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AnswerMetadata {
    resource_version: Option<String>,
}

/// Returns a patch that removes the fields of a status that were not applied: those of another
/// owner, which our apply leaves in place. `None` where there are none.
fn rest(ours: &OrderRequestStatus, shown: &Answer) -> Option<Value> {
    if is_shown(ours, shown.status.as_ref()) {
        return None;
    }
    let fields = more(&serde_json::to_value(shown.status.as_ref()?).ok()?, &json!(ours))?;
    let version = &shown.metadata.resource_version;
    Some(json!({ "metadata": { "resourceVersion": version }, "status": fields }))
}

/// Returns the fields that are only in the first of two values, each as null.
fn more(shown: &Value, ours: &Value) -> Option<Value> {
    let Value::Object(fields) = shown else { return None };
    let fields: Map<_, _> = fields
        .iter()
        .filter_map(|(name, value)| match ours.get(name) {
            // A list of conditions holds those of others too.
            None if name == "conditions" => None,
            None => Some((name.clone(), Value::Null)),
            Some(held) => more(value, held).map(|below| (name.clone(), below)),
        })
        .collect();
    (!fields.is_empty()).then_some(Value::Object(fields))
}

/// Returns the number of a resource's version, 0 where it is not one; versions of one resource are
/// numbers that grow (KEP-5504).
pub(super) fn version(resource: &OrderRequest) -> u64 {
    version_of(&resource.metadata)
}

/// Returns the same from the metadata alone.
pub(super) fn version_of(metadata: &ObjectMeta) -> u64 {
    number(metadata.resource_version.as_deref())
}

fn number(version: Option<&str>) -> u64 {
    version.and_then(|text| text.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_foreign_fields_are_taken_out() {
        let ours = json!({ "phase": "Streaming", "proposals": { "received": 1 } });
        let shown = json!({
            "phase": "Closed",
            "proposals": { "received": 1, "best": { "price": "1 EUR" } },
            "conditions": [{ "type": "Approved" }],
            "completionTime": "2026-01-01T00:00:00Z",
        });
        let taken_out = json!({ "proposals": { "best": null }, "completionTime": null });
        assert_eq!(more(&shown, &ours), Some(taken_out));
        assert_eq!(more(&ours, &ours), None);
        assert_eq!(more(&ours, &shown), None, "what is missing is applied, and not taken out");
    }
}
