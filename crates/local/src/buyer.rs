//! The buyers' REST beside applied order requests. An order whose resource shows its end is no
//! longer followed; requests about it are served from the resource for as long as that exists.

use std::collections::BTreeSet;
use std::sync::Arc;

use orderstream_api::order_request::{OrderRequest, OrderRequestStatus};
use orderstream_core::buyer::{
    Buyer, BuyerCommand, BuyerCommandReply, BuyerError, BuyerFuture, BuyerOrderView, CommandStatus,
    FollowUpDraft, InitiateOutcome, TrackerTotals, ViewFuture,
};
use orderstream_core::{
    FollowUpId, IdempotencyKey, OrderKey, OrderSpec, Reason, Refusal, RequestPhase,
};

use super::LocalOrderRequests;
use orderstream_api::buyer_view;

/// A [`Buyer`] over the orders of a requestor, and over those of the resources beside it.
#[derive(Clone, Debug)]
pub struct LocalBuyer {
    requestor: Arc<dyn Buyer>,
    local: LocalOrderRequests,
}

impl LocalBuyer {
    /// Makes a buyer over both.
    pub fn new(requestor: Arc<dyn Buyer>, local: LocalOrderRequests) -> Self {
        Self { requestor, local }
    }

    /// Returns the resource of an order that the requestor does not follow.
    fn unfollowed_resource(&self, key: &OrderKey) -> Option<OrderRequest> {
        if self.requestor.phase(key).is_some() {
            return None;
        }
        self.local.0.resources.lock().get(key).cloned()
    }

    /// Refuses requests about an order that has ended and is no longer followed.
    fn check(&self, key: &OrderKey) -> Result<(), BuyerError> {
        let resource = self.unfollowed_resource(key);
        let status = resource.as_ref().and_then(|resource| resource.status.as_ref());
        if status.is_some_and(OrderRequestStatus::is_terminal) {
            let id = &key.order_req_id;
            let text = format!("order {id} has ended; use a new order_req_id");
            return Err(Refusal::new(Reason::OrderEnded, text).into());
        }
        Ok(())
    }
}

impl Buyer for LocalBuyer {
    fn initiate(&self, key: OrderKey, spec: OrderSpec) -> BuyerFuture<'_, InitiateOutcome> {
        Box::pin(async move {
            self.check(&key)?;
            if self.unfollowed_resource(&key).is_some() {
                return Ok(InitiateOutcome::AlreadyProcessed);
            }
            self.requestor.initiate(key, spec).await
        })
    }

    fn follow_up(
        &self,
        key: OrderKey,
        follow_up: FollowUpDraft,
    ) -> BuyerFuture<'_, (FollowUpId, BuyerCommandReply)> {
        Box::pin(async move {
            if let Err(ended) = self.check(&key) {
                let id = follow_up.id.as_ref().and_then(|id| IdempotencyKey::new(id.as_str()).ok());
                let earlier_command = match id {
                    Some(id) => self.requestor.command_status(key.clone(), id).await?,
                    None => None,
                };
                // The outcome of an earlier request is reported unchanged.
                if earlier_command.is_none() {
                    return Err(ended);
                }
            }
            self.requestor.follow_up(key, follow_up).await
        })
    }

    fn submit_command(
        &self,
        key: OrderKey,
        command: BuyerCommand,
        repeat: Option<IdempotencyKey>,
    ) -> BuyerFuture<'_, BuyerCommandReply> {
        Box::pin(async move {
            let ended = self.check(&key);
            // The requestor knows earlier requests, even if the order has ended since.
            let outcome = self.requestor.submit_command(key, command, repeat).await;
            let is_unknown = matches!(&outcome, Err(BuyerError::Refused(refusal))
                if refusal.reason == Reason::OrderNotFound);
            if is_unknown { ended.and(outcome) } else { outcome }
        })
    }

    fn command_status(
        &self,
        key: OrderKey,
        command_key: IdempotencyKey,
    ) -> BuyerFuture<'_, Option<CommandStatus>> {
        self.requestor.command_status(key, command_key)
    }

    fn check_records(&self, key: &OrderKey) -> Result<(), BuyerError> {
        self.requestor.check_records(key)
    }

    fn tracked<'a>(&'a self, keys: &'a [OrderKey]) -> ViewFuture<'a, Vec<BuyerOrderView>> {
        Box::pin(async move {
            let mut all = self.requestor.tracked(keys).await;
            let known: BTreeSet<OrderKey> = all.iter().map(|one| one.key.clone()).collect();
            let others = keys.iter().filter(|key| !known.contains(*key));
            all.extend(others.filter_map(|key| buyer_view(key, &self.unfollowed_resource(key)?)));
            all.sort_by(|a, b| a.key.cmp(&b.key));
            all
        })
    }

    fn phase(&self, key: &OrderKey) -> Option<RequestPhase> {
        let phase = || Some(buyer_view(key, &self.unfollowed_resource(key)?)?.phase);
        self.requestor.phase(key).or_else(phase)
    }

    fn totals(&self) -> TrackerTotals {
        let TrackerTotals { active_streams, tracked, .. } = self.requestor.totals();
        let mut tracked: BTreeSet<OrderKey> = tracked.into_iter().collect();
        tracked.extend(self.local.0.resources.lock().keys().cloned());
        let tracked: Vec<OrderKey> = tracked.into_iter().collect();
        TrackerTotals { total_orders: tracked.len(), active_streams, tracked }
    }
}
