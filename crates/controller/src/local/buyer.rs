//! The buyers' REST beside applied order requests. An order whose resource shows its end is no
//! longer followed; requests about it are answered from the resource for as long as that exists.

use std::collections::BTreeSet;
use std::sync::Arc;

use orderstream_core::buyer::{
    Acted, AskedAct, Buyer, BuyerAct, BuyerError, Initiated, Note, Read, Stored, Totals, Tracked,
};
use orderstream_core::{
    FollowUpId, IdempotencyKey, OrderKey, OrderSpec, Reason, Refusal, RequestPhase,
};

use super::LocalOrderRequests;
use crate::cluster::tracked;
use crate::order_request::{OrderRequest, OrderRequestStatus};

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
    fn let_go(&self, key: &OrderKey) -> Option<OrderRequest> {
        if self.requestor.phase(key).is_some() {
            return None;
        }
        self.local.0.held.lock().get(key).cloned()
    }

    /// Refuses requests about an order that has ended and is no longer followed.
    fn check(&self, key: &OrderKey) -> Result<(), BuyerError> {
        let resource = self.let_go(key);
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
    fn initiate(&self, key: OrderKey, spec: OrderSpec) -> Stored<'_, Initiated> {
        Box::pin(async move {
            self.check(&key)?;
            if self.let_go(&key).is_some() {
                return Ok(Initiated::AlreadyProcessed);
            }
            self.requestor.initiate(key, spec).await
        })
    }

    fn follow_up(&self, key: OrderKey, note: Note) -> Stored<'_, (FollowUpId, Acted)> {
        Box::pin(async move {
            if let Err(ended) = self.check(&key) {
                let id = note.id.as_ref().and_then(|id| IdempotencyKey::new(id.as_str()).ok());
                let asked = match id {
                    Some(id) => self.requestor.asked_act(key.clone(), id).await?,
                    None => None,
                };
                // The outcome of an earlier request is reported unchanged.
                if asked.is_none() {
                    return Err(ended);
                }
            }
            self.requestor.follow_up(key, note).await
        })
    }

    fn buyer_act(
        &self,
        key: OrderKey,
        act: BuyerAct,
        repeat: Option<IdempotencyKey>,
    ) -> Stored<'_, Acted> {
        Box::pin(async move {
            let ended = self.check(&key);
            // The requestor knows earlier requests, even if the order has ended since.
            let done = self.requestor.buyer_act(key, act, repeat).await;
            let is_unknown = matches!(&done, Err(BuyerError::Refused(refusal))
                if refusal.reason == Reason::OrderNotFound);
            if is_unknown { ended.and(done) } else { done }
        })
    }

    fn asked_act(&self, key: OrderKey, act: IdempotencyKey) -> Stored<'_, Option<AskedAct>> {
        self.requestor.asked_act(key, act)
    }

    fn check_records(&self, key: &OrderKey) -> Result<(), BuyerError> {
        self.requestor.check_records(key)
    }

    fn tracked<'a>(&'a self, keys: &'a [OrderKey]) -> Read<'a, Vec<Tracked>> {
        Box::pin(async move {
            let mut all = self.requestor.tracked(keys).await;
            let known: BTreeSet<OrderKey> = all.iter().map(|one| one.key.clone()).collect();
            let others = keys.iter().filter(|key| !known.contains(*key));
            all.extend(others.filter_map(|key| tracked(key, &self.let_go(key)?)));
            all.sort_by(|a, b| a.key.cmp(&b.key));
            all
        })
    }

    fn phase(&self, key: &OrderKey) -> Option<RequestPhase> {
        let phase = || Some(tracked(key, &self.let_go(key)?)?.phase);
        self.requestor.phase(key).or_else(phase)
    }

    fn totals(&self) -> Totals {
        let Totals { active_streams, tracked, .. } = self.requestor.totals();
        let mut tracked: BTreeSet<OrderKey> = tracked.into_iter().collect();
        tracked.extend(self.local.0.held.lock().keys().cloned());
        let tracked: Vec<OrderKey> = tracked.into_iter().collect();
        Totals { total_orders: tracked.len(), active_streams, tracked }
    }
}
