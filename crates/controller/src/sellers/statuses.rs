//! The statuses of sellers, written by the leader: when their content changed, each seller's at
//! most once in [`GAP`], one after the other. They inform people; orders never wait for them.
//!
//! ```text
//!   watch of sellers ──▶ facts ─┐
//!   reconciles ──────▶ counts ─┴▶ changed ──▶ is it applied already? ──▶ server-side apply
//! ```

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use kube::api::{DynamicObject, Patch, PatchParams};
use kube::core::Request;
use kube::runtime::watcher;
use kube::{Client, Resource as _};
use orderstream_api::convert;
use orderstream_api::manifest::API_VERSION;
use orderstream_api::seller::{Seller, SellerStatus};
use orderstream_api::seller_status::{SellerFacts, own, status};
use orderstream_core::port::Clock;
use orderstream_core::{Order, Refusal, TenantScope, Timestamp};
use parking_lot::Mutex;
use serde_json::json;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::invitation_counts::InvitationCounts;
use super::seller_watch::{self, GuardedSeller, SELLERS_MAX, SETTINGS};
use crate::lease::Leadership;
use crate::metrics::Requests;
use crate::object::{ObjectKey, version_of};
use crate::watch::{FIELD_MANAGER, OutageProgress, ResourceChange, ResourceStore, follow};

/// The shortest time between two writes of one seller's status.
const GAP: Duration = Duration::from_secs(5);
/// The time between two writes of different sellers, so that a hundred thousand are spread out.
const PACE: Duration = Duration::from_millis(20);
/// The time between two searches for due writes.
const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// The time limit of one write.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// The time for which a new leader reconciles orders before it writes their counts.
const SETTLE: Duration = Duration::from_secs(2);
/// The longest wait for orders of which nothing was received.
const SETTLE_MAX: Duration = Duration::from_mins(1);

/// The statuses of the sellers at the leader. Shared by reference.
#[derive(Debug, Default)]
pub(crate) struct SellerStatuses(Mutex<SellerStatusState>);

#[derive(Debug, Default)]
struct SellerStatusState {
    sellers: HashMap<ObjectKey, ObservedSeller>,
    invitation_counts: InvitationCounts,
    /// Sellers whose status may have changed.
    changed: HashSet<ObjectKey>,
    /// The time at which this process began to count; absent while it does not lead.
    counts_since: Option<Instant>,
}

/// A seller as the watch delivered it, and the status that was applied to it.
#[derive(Debug)]
struct ObservedSeller {
    uid: String,
    version: u64,
    facts: SellerFacts,
    applied: SellerStatus,
    not_before: Option<Instant>,
}

/// A write of one seller's status.
#[derive(Clone, Debug, PartialEq)]
struct SellerStatusWrite {
    uid: String,
    status: SellerStatus,
}

impl SellerStatuses {
    /// Takes in an order as it is now; `None` while none of its events was received.
    pub(crate) fn observe(&self, object: &ObjectKey, uid: &Arc<str>, order: Option<&Order>) {
        let mut state = self.0.lock();
        let changed = state.invitation_counts.observe(object, uid, order);
        state.changed.extend(changed);
    }

    /// Drops an order that has ended or whose resource is gone.
    pub(crate) fn ended(&self, object: &ObjectKey) {
        let mut state = self.0.lock();
        let changed = state.invitation_counts.ended(object);
        state.changed.extend(changed);
    }

    /// Begins to count anew, because this process begins to lead.
    pub(crate) fn begin(&self) {
        let mut state = self.0.lock();
        state.invitation_counts = InvitationCounts::default();
        state.changed = state.sellers.keys().cloned().collect();
        state.counts_since = Some(Instant::now());
    }

    /// Stops counting, because this process leads no more.
    pub(crate) fn end(&self) {
        let mut state = self.0.lock();
        state.invitation_counts = InvitationCounts::default();
        state.changed.clear();
        state.counts_since = None;
    }

    /// Keeps the sellers up to date with the watch until shutdown.
    pub(crate) async fn follow(
        self: Arc<Self>,
        client: Client,
        scope: TenantScope,
        stop: CancellationToken,
    ) {
        follow::<GuardedSeller>(&client, &scope, SETTINGS, self, stop).await;
    }

    /// Writes statuses until shutdown, while this process leads.
    pub(crate) async fn write(
        self: Arc<Self>,
        (client, requests): (Client, Requests),
        leadership: Leadership,
        clock: Arc<dyn Clock>,
        stop: CancellationToken,
    ) {
        let mut wait = POLL_INTERVAL;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
            wait = POLL_INTERVAL;
            if leadership.epoch().is_none() {
                continue;
            }
            let due = self.0.lock().due(Instant::now());
            for seller in due {
                if stop.is_cancelled() || leadership.epoch().is_none() {
                    break;
                }
                let write = self.0.lock().next(&seller, clock.now(), Instant::now());
                let Some(write) = write else { continue };
                let result = send(&client, &seller, &write).await;
                self.0.lock().record_write(&seller, &write, result);
                if let Some(backoff) = requests.backoff() {
                    wait = backoff;
                    break;
                }
                tokio::time::sleep(PACE).await;
            }
        }
    }
}

impl ResourceStore<GuardedSeller> for Arc<SellerStatuses> {
    fn take(&mut self, change: ResourceChange<GuardedSeller>) {
        self.0.lock().take(change);
    }

    fn report_failure(&self, error: &watcher::Error, outage: OutageProgress) {
        seller_watch::report_failure(error, outage);
    }
}

/// The result of a write: the resource's version after it, or `None` where the resource is gone.
type SellerWriteResult = Result<Option<u64>, ()>;

async fn send(client: &Client, seller: &ObjectKey, write: &SellerStatusWrite) -> SellerWriteResult {
    let patch = json!({
        "apiVersion": API_VERSION,
        "kind": "Seller",
        "metadata": { "name": &*seller.name, "namespace": &*seller.namespace, "uid": write.uid },
        "status": write.status,
    });
    let params = PatchParams::apply(FIELD_MANAGER).force();
    let request = Request::new(Seller::url_path(&(), Some(&seller.namespace))).patch_subresource(
        "status",
        &seller.name,
        &params,
        &Patch::Apply(patch),
    );
    let response = async {
        let request = request.map_err(kube::Error::BuildRequest)?;
        client.request::<DynamicObject>(request).await
    };
    match tokio::time::timeout(WRITE_TIMEOUT, response).await {
        Ok(Ok(resource)) => Ok(Some(version_of(&resource.metadata))),
        // Gone, or another incarnation of the name.
        Ok(Err(kube::Error::Api(status))) if matches!(status.code, 404 | 409) => Ok(None),
        Ok(Err(error)) => {
            tracing::warn!(%seller, %error, "a seller's status was not written");
            Err(())
        }
        Err(_) => {
            tracing::warn!(%seller, "a write of a seller's status got no response in time");
            Err(())
        }
    }
}

impl SellerStatusState {
    fn take(&mut self, change: ResourceChange<GuardedSeller>) {
        match change {
            ResourceChange::ListBegan => {}
            ResourceChange::Listed(object, seller) | ResourceChange::Applied(object, seller) => {
                self.put(object, seller);
            }
            ResourceChange::ListComplete(list) => {
                self.sellers.retain(|seller, _| !list.lacks(seller));
            }
            ResourceChange::Deleted(object, _) => {
                self.sellers.remove(&object);
            }
        }
    }

    fn put(&mut self, seller: ObjectKey, guarded: GuardedSeller) {
        let (metadata, facts, shown) = match guarded.0 {
            Ok(resource) => {
                let refusal = convert::seller(&resource).err();
                let generation = resource.metadata.generation.unwrap_or(1);
                let facts = SellerFacts { generation, suspended: resource.spec.suspended, refusal };
                (resource.metadata, facts, own(resource.status.unwrap_or_default()))
            }
            Err(wrong) => {
                let generation = wrong.metadata.generation.unwrap_or(1);
                let refusal = Some(Refusal::field("spec", wrong.error));
                let facts = SellerFacts { generation, suspended: false, refusal };
                // Its status cannot be read either; the one that was last applied counts.
                let known = self.sellers.get(&seller);
                let shown = known.map(|held| held.applied.clone()).unwrap_or_default();
                (wrong.metadata, facts, shown)
            }
        };
        let (uid, version) = (metadata.uid.clone().unwrap_or_default(), version_of(&metadata));
        let known = self.sellers.get(&seller).filter(|held| held.uid == uid);
        if known.is_some_and(|held| held.version > version) {
            // An event from before the last write.
            return;
        }
        if known.is_none() && self.sellers.len() >= SELLERS_MAX {
            return;
        }
        let not_before = known.and_then(|held| held.not_before);
        let observed = ObservedSeller { uid, version, facts, applied: shown, not_before };
        self.sellers.insert(seller.clone(), observed);
        if self.counts_since.is_some() {
            self.changed.insert(seller);
        }
    }

    /// Returns the changed sellers that may be written now; none before the counts are complete, or
    /// [`SETTLE_MAX`] is over.
    fn due(&self, now: Instant) -> Vec<ObjectKey> {
        let counts_for = self.counts_since.map(|since| now.duration_since(since));
        let is_settled = counts_for.is_some_and(|time| {
            time >= SETTLE_MAX || time >= SETTLE && self.invitation_counts.is_complete()
        });
        if !is_settled {
            return Vec::new();
        }
        let is_due = |seller: &&ObjectKey| {
            let observed = self.sellers.get(*seller);
            observed.and_then(|held| held.not_before).is_none_or(|at| at <= now)
        };
        self.changed.iter().filter(is_due).cloned().collect()
    }

    /// Returns the write that a seller needs; `None` where its status is applied already, or the
    /// seller is gone.
    fn next(
        &mut self,
        seller: &ObjectKey,
        now: Timestamp,
        at: Instant,
    ) -> Option<SellerStatusWrite> {
        self.changed.remove(seller);
        let observed = self.sellers.get_mut(seller)?;
        let status = status(
            &observed.facts,
            Some(self.invitation_counts.of(seller)),
            &observed.applied,
            now,
        );
        if status == observed.applied {
            return None;
        }
        observed.not_before = Some(at + GAP);
        Some(SellerStatusWrite { uid: observed.uid.clone(), status })
    }

    fn record_write(
        &mut self,
        seller: &ObjectKey,
        write: &SellerStatusWrite,
        result: SellerWriteResult,
    ) {
        let Some(observed) = self.sellers.get_mut(seller).filter(|held| held.uid == write.uid)
        else {
            return;
        };
        match result {
            Ok(Some(version)) if version >= observed.version => {
                observed.version = version;
                observed.applied = write.status.clone();
            }
            // There was a write after it: the watch has delivered that, and the seller is due
            // again.
            Ok(_) => {}
            Err(()) => {
                self.changed.insert(seller.clone());
            }
        }
    }
}

#[cfg(test)]
#[path = "statuses_tests.rs"]
mod tests;
