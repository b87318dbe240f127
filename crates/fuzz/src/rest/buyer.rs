//! A buyer's side that agrees to every request that can be read.

use std::future::ready;

use orderstream_core::buyer::{
    Acted, AskedAct, Buyer, BuyerAct, Initiated, Note, Outcome, Read, Stored, Totals, Tracked,
};
use orderstream_core::{FollowUpId, IdempotencyKey, OrderKey, OrderSpec, RequestPhase};

/// Agrees to everything, and stores nothing.
#[derive(Debug)]
pub(super) struct Agreeable;

impl Buyer for Agreeable {
    fn initiate(&self, _: OrderKey, _: OrderSpec) -> Stored<'_, Initiated> {
        Box::pin(ready(Ok(Initiated::Started)))
    }

    fn follow_up(&self, _: OrderKey, note: Note) -> Stored<'_, (FollowUpId, Acted)> {
        let id = note.id.unwrap_or_else(|| FollowUpId::new("f-1").expect("f-1 is an id"));
        Box::pin(ready(Ok((id, Acted::Done))))
    }

    fn buyer_act(
        &self,
        _: OrderKey,
        _: BuyerAct,
        key: Option<IdempotencyKey>,
    ) -> Stored<'_, Acted> {
        Box::pin(ready(Ok(key.map_or(Acted::Done, Acted::Pending))))
    }

    fn asked_act(&self, _: OrderKey, _: IdempotencyKey) -> Stored<'_, Option<AskedAct>> {
        let asked = AskedAct { act: "award".to_owned(), outcome: Outcome::Pending };
        Box::pin(ready(Ok(Some(asked))))
    }

    fn tracked<'a>(&'a self, _: &'a [OrderKey]) -> Read<'a, Vec<Tracked>> {
        Box::pin(ready(Vec::new()))
    }

    fn phase(&self, _: &OrderKey) -> Option<RequestPhase> {
        None
    }

    fn totals(&self) -> Totals {
        Totals::default()
    }
}
