//! Orders whose resource is gone. There is no finalizer, so a delete never hangs; instead an order
//! is cancelled when the watch delivers its resource's deletion, and a sweep finds deletions that
//! happened while no process watched.
//!
//! The sweep judges only orders of namespaces that are watched, once each of these was listed. Of any
//! other namespace the cache has no resources, which proves nothing: its orders are never orphans here,
//! whoever opened them. A namespace that is taken out of the scope keeps its open orders at their
//! processors, where nobody follows them.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use orderstream_core::port::OwnedOrder;
use orderstream_core::{Epoch, Incarnation, OrderKey, Tenant, TenantScope};
use orderstream_support::jitter_around;

use super::placement::Placement;
use super::reconciler::Reconciler;
use crate::table_capacity::ReleaseCapacity as _;
use crate::watch::DeletedRequest;

/// The time between two sweeps. An order has to be without a resource in two of them in a row.
const SWEEP: Duration = Duration::from_secs(20);
/// The tries to cancel an order when its resource is deleted; after that the sweep does it.
const TRIES: u32 = 4;

/// An order that seems to have no resource: the URL of its processor, its key and its incarnation.
type Suspect = (String, OrderKey, Incarnation);

impl Reconciler {
    /// Handles the loss of a resource: ends the stream and cancels the order.
    pub(super) fn handle_deleted(self: &Arc<Self>, deleted: DeletedRequest) {
        self.queue.forget(&deleted.object);
        self.writer.withdraw(&deleted.object);
        self.sellers.iter().for_each(|sellers| sellers.ended(&deleted.object));
        self.unreadable.lock().remove(&deleted.object);
        let state = {
            let mut states = self.reconcile_states.lock();
            let state = states.remove(&deleted.object);
            states.release_capacity();
            state.filter(|note| *note.uid == *deleted.incarnation.as_str())
        };
        let snapshot =
            self.streams.snapshot(&deleted.key).filter(|s| s.incarnation == deleted.incarnation);
        self.streams.stop(&deleted.key, &deleted.incarnation);
        let Some(epoch) = self.leadership.epoch() else { return };
        let is_over = deleted.had_ended || snapshot.as_ref().is_some_and(|s| s.is_terminal());
        let placed = state.and_then(|note| match note.placement {
            Placement::At(processor) => Some(processor),
            Placement::Unknown | Placement::Locating | Placement::Unplaced => None,
        });
        let streamed = snapshot
            .and_then(|snapshot| snapshot.stream.processor.as_deref().map(ToOwned::to_owned));
        let Some(processor) = deleted.processor.or(placed).or(streamed).filter(|_| !is_over) else {
            return;
        };
        tracing::info!(order = %deleted.key, "an order request was deleted; its order is cancelled");
        let this = Arc::clone(self);
        self.tasks.spawn(async move {
            let (key, incarnation) = (deleted.key, deleted.incarnation);
            tokio::select! {
                () = this.shutdown.cancelled() => {}
                () = this.cancel_now(&processor, (&key, &incarnation), epoch) => {}
            }
        });
    }

    async fn cancel_now(
        &self,
        processor: &str,
        (key, incarnation): (&OrderKey, &Incarnation),
        epoch: Epoch,
    ) {
        for attempt in 0..TRIES {
            let permit = self.owner_calls.acquire().await;
            match self.owners.cancel(processor, key, incarnation, epoch).await {
                Ok(()) => return,
                Err(refusal) => {
                    tracing::debug!(order = %key, %refusal, "an order is not cancelled yet");
                }
            }
            drop(permit);
            let wait = Duration::from_millis(250 << attempt);
            tokio::time::sleep(jitter_around(wait)).await;
        }
    }

    /// Sweeps until shutdown, while this process leads.
    pub(super) async fn sweep(self: Arc<Self>) {
        let mut suspects: HashSet<Suspect> = HashSet::new();
        loop {
            tokio::select! {
                () = self.shutdown.cancelled() => return,
                () = tokio::time::sleep(SWEEP.mul_f64(0.9 + 0.2 * fastrand::f64())) => {}
            }
            let Some(epoch) = self.leadership.epoch() else {
                suspects.clear();
                continue;
            };
            if !self.cache.read().is_ready() {
                continue;
            }
            let found = self.find_orphans().await;
            for suspect in found.intersection(&suspects) {
                let (processor, key, incarnation) = suspect;
                tracing::warn!(order = %key, %processor, "an order has no resource; it is cancelled");
                match self.owners.cancel(processor, key, incarnation, epoch).await {
                    Ok(()) => self.metrics.orphan_cancelled(),
                    Err(refusal) => {
                        tracing::warn!(order = %key, %refusal, "an orphan is not cancelled yet");
                    }
                }
            }
            suspects = found;
        }
    }

    async fn find_orphans(&self) -> HashSet<Suspect> {
        let mut found = HashSet::new();
        let unreadable: HashSet<_> = self.unreadable.lock().values().cloned().collect();
        for processor in self.processors.all() {
            // A processor lists one tenant or all of them.
            let tenant = self.scope.single().map(Tenant::as_str);
            let orders = match self.owners.owned_orders(&processor, tenant).await {
                Ok(orders) => orders,
                Err(refusal) => {
                    tracing::warn!(%processor, %refusal, "a processor's orders cannot be listed");
                    continue;
                }
            };
            let cache = self.cache.read();
            let left_out = cache.left_out_at(&processor);
            let has_resource = |held: &OwnedOrder| {
                cache
                    .of_order(&held.key)
                    .is_some_and(|(_, kept)| *kept.uid == *held.incarnation.as_str())
            };
            let is_here = |held: &OwnedOrder| {
                let uid = held.incarnation.as_str();
                has_resource(held) || unreadable.contains(uid) || left_out.contains(uid)
            };
            let ours = orders.into_iter().filter(|held| is_swept(held, &self.scope));
            for order in ours.filter(|held| !is_here(held)) {
                found.insert((processor.clone(), order.key, order.incarnation));
            }
        }
        found
    }
}

/// Reports whether an order is an orphan where it has no resource.
fn is_swept(held: &OwnedOrder, scope: &TenantScope) -> bool {
    scope.includes(&held.key.tenant) && is_uid(&held.incarnation) && !held.is_ended
}

/// Reports whether an incarnation is a resource's: the API server gives random UUIDs (version 4).
/// Orders of clients without Kubernetes have other ones, and are never orphans.
fn is_uid(incarnation: &Incarnation) -> bool {
    uuid::Uuid::parse_str(incarnation.as_str()).is_ok_and(|uuid| uuid.get_version_num() == 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: &str = "7d3c8f0e-3b1a-4d5e-9f6a-0b1c2d3e4f50";

    fn held(tenant: &str) -> OwnedOrder {
        OwnedOrder {
            key: OrderKey::new(tenant, "OR-1").unwrap(),
            incarnation: Incarnation::new(UID).unwrap(),
            epoch: Epoch(1),
            is_ended: false,
        }
    }

    /// Not even by a controller that opened them, before they were taken out of its scope.
    #[test]
    fn unwatched_namespaces_are_never_swept() {
        let tenants = |names: &[&str]| -> Vec<Tenant> {
            names.iter().map(|name| Tenant::new(name).unwrap()).collect()
        };
        for (scope, swept) in [
            (TenantScope::All, [true, true, true]),
            (TenantScope::AllBut(tenants(&["a"])), [false, true, true]),
            (TenantScope::AllBut(tenants(&["a", "b"])), [false, false, true]),
            (TenantScope::Only(tenants(&["a"])), [true, false, false]),
            (TenantScope::Only(tenants(&["a", "b"])), [true, true, false]),
        ] {
            let is = |tenant: &str| is_swept(&held(tenant), &scope);
            assert_eq!(["a", "b", "c"].map(is), swept, "{scope:?}");
        }
        assert!(!is_swept(&OwnedOrder { is_ended: true, ..held("a") }, &TenantScope::All));
        let incarnation = Incarnation::new("rest-1").unwrap();
        assert!(!is_swept(&OwnedOrder { incarnation, ..held("a") }, &TenantScope::All));
    }

    #[test]
    fn only_api_server_incarnations_are_swept() {
        let is = |text: &str| is_uid(&Incarnation::new(text).unwrap());
        assert!(is(UID));
        assert!(!is(&uuid::Uuid::now_v7().to_string()));
        assert!(!is("rest-1"));
    }
}
