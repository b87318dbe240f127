//! Buyers on a cluster: a REST request becomes an edit of an `OrderRequest`, as `kubectl apply`
//! would make it, and its reply comes from the watch, the same on every replica.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{ApiResource, DynamicObject, PostParams};
use kube::{Api, Client};
use orderstream_api::order_request::{OrderRequest, OrderRequestSpec};
use orderstream_api::order_status::OrderRequestStatus;
use orderstream_api::{buyer_view, controller_name, convert, edits, phase_of};
use orderstream_core::buyer::{
    Buyer, BuyerCommand, BuyerCommandReply, BuyerError, BuyerFuture, BuyerOrderView,
    CommandOutcome, CommandStatus, FollowUpDraft, InitiateOutcome, TrackerTotals, ViewFuture,
};
use orderstream_core::{
    FollowUpId, IdempotencyKey, OrderKey, OrderSpec, Reason, Refusal, RequestPhase, StreamPhase,
    TenantScope,
};
use parking_lot::RwLock;
use uuid::Uuid;

mod failure;
mod names;
mod outcome;

use self::failure::{
    ApiFailure, ended, not_found, not_watched, unconfirmed_create, unreadable, with_timeout,
};
use self::names::resource_name;
use self::outcome::{EditIntent, IntentGeneration, outcome};
use crate::object::version_of;
use crate::watch::{Cache, CachedRequest};

/// The field manager of buyers' edits.
const FIELD_MANAGER: &str = "orderstream-requestor";
/// The tries of an edit whose writes conflict with others.
const TRIES: u32 = 5;
/// The longest wait for a new order's stream, or for an edit to appear in the watch, before the
/// reply is sent all the same.
const STREAM_WAIT: Duration = Duration::from_secs(1);
/// The longest wait for a command's outcome in the status, before the reply reports it as pending:
/// the edit has to reach the processor, and its effect the status, which changes once a second at
/// most.
const OUTCOME_WAIT: Duration = Duration::from_secs(4);
/// The tries of a write whose response is lost: the second one finds the effect of the first.
const LOST_MAX: u32 = 2;

/// A [`Buyer`] over the API server and the watch's cache.
#[derive(Clone)]
pub struct ClusterBuyer {
    client: Client,
    cache: Arc<RwLock<Cache>>,
    /// The name of the controller beside this, which takes the orders that are initiated here.
    controller_name: Arc<str>,
    /// The namespaces whose orders the controller beside this takes.
    scope: TenantScope,
}

impl std::fmt::Debug for ClusterBuyer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClusterBuyer").finish_non_exhaustive()
    }
}

impl ClusterBuyer {
    /// Makes a buyer that writes with this client and reads from the cache of the controller of this
    /// name, which has the resources of a scope.
    pub fn new(
        client: Client,
        cache: Arc<RwLock<Cache>>,
        controller_name: &str,
        scope: TenantScope,
    ) -> Self {
        Self { client, cache, controller_name: controller_name.into(), scope }
    }

    fn api(&self, key: &OrderKey) -> Api<OrderRequest> {
        Api::namespaced(self.client.clone(), key.tenant.as_str())
    }

    /// Returns the API of the same resources as documents, as their authors wrote them.
    fn raw(&self, key: &OrderKey) -> Api<DynamicObject> {
        let resource = ApiResource::erase::<OrderRequest>(&());
        Api::namespaced_with(self.client.clone(), key.tenant.as_str(), &resource)
    }

    fn tracked_order(&self, key: &OrderKey) -> Option<BuyerOrderView> {
        buyer_view(key, &*self.cached(key)?.resource()?)
    }

    fn cached(&self, key: &OrderKey) -> Option<CachedRequest> {
        self.cache.read().of_order(key).map(|(_, kept)| kept.clone())
    }

    async fn create_order(
        &self,
        key: OrderKey,
        spec: OrderSpec,
    ) -> Result<InitiateOutcome, BuyerError> {
        // Nobody here would take the order.
        if !self.scope.includes(&key.tenant) {
            return Err(not_watched().into());
        }
        if let Some(resource) = self.cached(&key).and_then(|kept| kept.resource()) {
            return already_initiated(&key, &resource);
        }
        let name = resource_name(key.order_req_id.as_str());
        let spec = OrderRequestSpec {
            controller_name: controller_name::in_spec(&self.controller_name),
            ..convert::spec_of(key.order_req_id.as_str(), &spec)
        };
        let metadata = ObjectMeta {
            name: Some(name.clone()),
            namespace: Some(key.tenant.to_string()),
            ..ObjectMeta::default()
        };
        let resource = OrderRequest { metadata, spec, status: None };
        let params =
            PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        let mut lost = 0;
        loop {
            match with_timeout(self.api(&key).create(&params, &resource)).await {
                Ok(_) => break,
                // Another replica was faster, or the name is taken.
                Err(ApiFailure::Api(409, _)) if lost == 0 => {
                    return self.read_by_name(&key, &name).await?.1;
                }
                // Or it is the one whose response was lost.
                Err(ApiFailure::Api(409, _)) => {
                    let (stored, reply) =
                        self.read_by_name(&key, &name).await.map_err(|_| unconfirmed_create())?;
                    if stored.spec != resource.spec || reply.is_err() {
                        return reply;
                    }
                    break;
                }
                Err(failure) if failure.may_be_done() => {
                    lost += 1;
                    if lost == LOST_MAX {
                        return Err(unconfirmed_create());
                    }
                }
                Err(_) if lost > 0 => return Err(unconfirmed_create()),
                Err(failure) => return Err(failure.into_buyer_error()),
            }
        }
        self.wait_for_stream(&key).await;
        Ok(InitiateOutcome::Started)
    }

    /// Reads the resource of a name; returns it with the reply to an `initiate` that finds it.
    async fn read_by_name(
        &self,
        key: &OrderKey,
        name: &str,
    ) -> Result<(OrderRequest, Result<InitiateOutcome, BuyerError>), BuyerError> {
        let stored =
            with_timeout(self.api(key).get(name)).await.map_err(ApiFailure::into_buyer_error)?;
        let about = match convert::key(&stored).is_ok_and(|held| held == *key) {
            true if self.takes(&stored) => {
                let reply = already_initiated(key, &stored);
                return Ok((stored, reply));
            }
            true => "for another controller",
            false => "about another order",
        };
        let text = format!("the OrderRequest {name} is {about}; use another id");
        let reply = Err(Refusal::new(Reason::OrderExists, text).into());
        Ok((stored, reply))
    }

    /// Reports whether the controller beside this takes a resource. Any other one's order is unknown
    /// here.
    fn takes(&self, resource: &OrderRequest) -> bool {
        let named = resource.spec.controller_name.as_deref();
        controller_name::is_taken_by(named, &self.controller_name)
    }

    /// Waits until `probe` returns a value; it is called again at each change of the order's
    /// resource in the cache.
    async fn wait_until<T>(&self, key: &OrderKey, mut probe: impl FnMut() -> Option<T>) -> T {
        let changes = self.cache.write().change_notifier(key);
        loop {
            // Made before the call, so that no change is missed between the two.
            let changed = changes.notified();
            if let Some(value) = probe() {
                return value;
            }
            changed.await;
        }
    }

    async fn wait_for_stream(&self, key: &OrderKey) {
        let is_up = || self.tracked_order(key).filter(|tracked| tracked.stream_active);
        let up = self.wait_until(key, is_up);
        if tokio::time::timeout(STREAM_WAIT, up).await.is_err() {
            tracing::debug!(order = %key, "the order's stream is not up yet");
        }
    }

    /// Waits until the watch delivers a write, so that the next request reads it; [`STREAM_WAIT`]
    /// at most.
    async fn wait_for_echo(&self, key: &OrderKey, version: u64) {
        let echo = self.wait_until(key, || self.cached(key).filter(|kept| kept.version >= version));
        if tokio::time::timeout(STREAM_WAIT, echo).await.is_err() {
            tracing::debug!(order = %key, "the watch has not delivered an edit yet");
        }
    }

    /// Reads the order's resource, changes its spec and writes it; retries after a conflict.
    /// Returns the generation since which the resource has the change; `None` where that is not
    /// known: the write may have been done, or be done later.
    async fn edit(
        &self,
        key: &OrderKey,
        change: impl Fn(&OrderRequest, &mut OrderRequestSpec) -> Result<(), Refusal> + Send + Sync,
    ) -> Result<Option<IntentGeneration>, BuyerError> {
        if !self.scope.includes(&key.tenant) {
            return Err(not_found(key).into());
        }
        let api = self.raw(key);
        let cached_name =
            self.cache.read().of_order(key).map(|(object, _)| object.name.to_string());
        let name = match cached_name {
            Some(name) => name,
            // Another replica may have created it a moment ago.
            None => resource_name(key.order_req_id.as_str()),
        };
        let params =
            PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        let mut lost = 0;
        for _ in 0..TRIES {
            let stored = match with_timeout(api.get(&name)).await {
                Ok(stored) => stored,
                Err(ApiFailure::Api(404, _)) => return Err(not_found(key).into()),
                Err(_) if lost > 0 => return Ok(None),
                Err(failure) => return Err(failure.into_buyer_error()),
            };
            let Some(changed) = self.changed(key, &stored, &change)? else {
                // The resource has the change: from an earlier request, from another client, or
                // from a write whose response was lost.
                self.wait_for_echo(key, version_of(&stored.metadata)).await;
                return Ok(Some(IntentGeneration::Before(stored.metadata.generation.unwrap_or(1))));
            };
            match with_timeout(api.replace(&name, &params, &changed)).await {
                Ok(updated) => {
                    self.wait_for_echo(key, version_of(&updated.metadata)).await;
                    return Ok(Some(IntentGeneration::Edit(
                        updated.metadata.generation.unwrap_or(1),
                    )));
                }
                Err(ApiFailure::Api(409, _)) => {}
                // The next read shows whether it was done; of two writes of one version only one
                // succeeds.
                Err(failure) if failure.may_be_done() => {
                    lost += 1;
                    if lost == LOST_MAX {
                        return Ok(None);
                    }
                }
                Err(failure) => return Err(failure.into_buyer_error()),
            }
        }
        if lost > 0 {
            return Ok(None);
        }
        Err(BuyerError::NotStored("others keep editing the OrderRequest".to_owned()))
    }

    /// Waits for the outcome of an edit, [`OUTCOME_WAIT`] at most; it is pending where the status
    /// has none.
    async fn await_outcome(
        &self,
        key: &OrderKey,
        intent: &EditIntent,
        since: Option<IntentGeneration>,
    ) -> Result<BuyerCommandReply, BuyerError> {
        let no_key = || Refusal::new(Reason::Internal, "the command has no key");
        let pending = intent.key().map(BuyerCommandReply::Pending).ok_or_else(no_key);
        let Some(since) = since else { return Ok(pending?) };
        let decided = self.wait_until(key, || {
            let resource = self.cached(key).and_then(|kept| kept.resource());
            let known_outcome = resource.as_ref().and_then(|held| outcome(held, intent, since));
            let is_over = resource.is_some_and(|held| is_terminal(&held));
            match known_outcome {
                Some(CommandOutcome::Done) => Some(Ok(BuyerCommandReply::Done)),
                Some(CommandOutcome::Refused(refusal)) => Some(Err(refusal)),
                // The status will never have an outcome now.
                None if is_over => Some(pending.clone()),
                Some(CommandOutcome::Pending) | None => None,
            }
        });
        match tokio::time::timeout(OUTCOME_WAIT, decided).await {
            Ok(decided) => Ok(decided?),
            Err(_) => Ok(pending?),
        }
    }

    /// Returns the resource with an edit applied; `None` where that changes nothing.
    fn changed(
        &self,
        key: &OrderKey,
        stored: &DynamicObject,
        change: &(impl Fn(&OrderRequest, &mut OrderRequestSpec) -> Result<(), Refusal> + Sync),
    ) -> Result<Option<DynamicObject>, BuyerError> {
        let resource: OrderRequest = stored.clone().try_parse().map_err(unreadable)?;
        if !convert::key(&resource).is_ok_and(|held| held == *key) || !self.takes(&resource) {
            return Err(not_found(key).into());
        }
        let mut spec = resource.spec.clone();
        let change_result = change(&resource, &mut spec);
        if change_result.is_ok() && spec == resource.spec {
            return Ok(None);
        }
        if is_terminal(&resource) {
            return Err(ended(key).into());
        }
        change_result?;
        edits::check_in_time(&resource, &spec)?;
        let mut changed = stored.clone();
        edits::merge(&mut changed.data, &resource.spec, &spec).map_err(unreadable)?;
        Ok(Some(changed))
    }

    async fn add_follow_up(
        &self,
        key: OrderKey,
        follow_up: FollowUpDraft,
    ) -> Result<(FollowUpId, BuyerCommandReply), BuyerError> {
        let id = match follow_up.id.clone() {
            Some(id) => id,
            None => FollowUpId::new(Uuid::now_v7().to_string())?,
        };
        let follow_up_spec = edits::follow_up_spec(&id, &follow_up);
        let add = |_: &OrderRequest, spec: &mut OrderRequestSpec| {
            edits::add_follow_up(spec, &follow_up_spec)
        };
        let since = self.edit(&key, add).await?;
        let reply = self.await_outcome(&key, &EditIntent::FollowUp(id.clone()), since).await?;
        Ok((id, reply))
    }

    async fn apply_command(
        &self,
        key: OrderKey,
        command: BuyerCommand,
    ) -> Result<BuyerCommandReply, BuyerError> {
        let change = |resource: &OrderRequest, spec: &mut OrderRequestSpec| {
            edits::apply(spec, Some(resource), &command)
        };
        let since = self.edit(&key, change).await?;
        self.await_outcome(&key, &EditIntent::Command(command), since).await
    }

    /// Returns the outcome of the edit that a key names.
    fn command_outcome(
        &self,
        key: &OrderKey,
        command_key: &IdempotencyKey,
    ) -> Result<CommandStatus, Refusal> {
        let resource = self.cached(key).and_then(|kept| kept.resource());
        let resource = resource.ok_or_else(|| not_found(key))?;
        let since = IntentGeneration::Before(resource.metadata.generation.unwrap_or(1));
        let found = EditIntent::find(&resource.spec, command_key.as_str()).and_then(|intent| {
            let outcome = outcome(&resource, &intent, since)?;
            Some(CommandStatus { name: intent.name(), outcome })
        });
        found.ok_or_else(|| {
            let id = &key.order_req_id;
            let text = format!(
                "the OrderRequest of order {id} does not tell what came of {command_key}: it was not asked \
                 for, or a later edit or the order's end has replaced what told it"
            );
            Refusal::new(Reason::CommandNotFound, text)
        })
    }
}

fn is_terminal(resource: &OrderRequest) -> bool {
    resource.status.as_ref().is_some_and(OrderRequestStatus::is_terminal)
}

impl Buyer for ClusterBuyer {
    fn initiate(&self, key: OrderKey, spec: OrderSpec) -> BuyerFuture<'_, InitiateOutcome> {
        Box::pin(self.create_order(key, spec))
    }

    fn follow_up(
        &self,
        key: OrderKey,
        follow_up: FollowUpDraft,
    ) -> BuyerFuture<'_, (FollowUpId, BuyerCommandReply)> {
        Box::pin(self.add_follow_up(key, follow_up))
    }

    /// An edit describes the desired state: repeating it changes nothing, with or without a key.
    fn submit_command(
        &self,
        key: OrderKey,
        command: BuyerCommand,
        _repeat: Option<IdempotencyKey>,
    ) -> BuyerFuture<'_, BuyerCommandReply> {
        Box::pin(self.apply_command(key, command))
    }

    fn command_status(
        &self,
        key: OrderKey,
        command_key: IdempotencyKey,
    ) -> BuyerFuture<'_, Option<CommandStatus>> {
        Box::pin(async move { Ok(Some(self.command_outcome(&key, &command_key)?)) })
    }

    /// Reads the cache without waiting: what the API server stores survives this process.
    fn tracked<'a>(&'a self, keys: &'a [OrderKey]) -> ViewFuture<'a, Vec<BuyerOrderView>> {
        let found = keys.iter().filter_map(|key| self.tracked_order(key)).collect();
        Box::pin(std::future::ready(found))
    }

    fn phase(&self, key: &OrderKey) -> Option<RequestPhase> {
        let resource = self.cached(key)?.resource()?;
        Some(phase_of(resource.status.as_ref()))
    }

    fn totals(&self) -> TrackerTotals {
        let cache = self.cache.read();
        let mut totals = TrackerTotals::default();
        for (_, cached) in cache.iter() {
            let Some(key) = &cached.key else { continue };
            let active = usize::from(cached.stream == StreamPhase::Active);
            totals.active_streams = totals.active_streams.saturating_add(active);
            totals.tracked.push(key.clone());
        }
        totals.tracked.sort();
        totals.total_orders = totals.tracked.len();
        totals
    }
}

fn already_initiated(
    key: &OrderKey,
    resource: &OrderRequest,
) -> Result<InitiateOutcome, BuyerError> {
    if is_terminal(resource) {
        return Err(ended(key).into());
    }
    Ok(InitiateOutcome::AlreadyProcessed)
}

#[cfg(test)]
#[path = "buyer_tests.rs"]
mod tests;
