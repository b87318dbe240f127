//! A buyers' backend that accepts every request that can be parsed.

use std::future::ready;

use orderstream_core::buyer::{
    Buyer, BuyerCommand, BuyerCommandReply, BuyerFuture, BuyerOrderView, CommandOutcome,
    CommandStatus, FollowUpDraft, InitiateOutcome, TrackerTotals, ViewFuture,
};
use orderstream_core::{FollowUpId, IdempotencyKey, OrderKey, OrderSpec, RequestPhase};

/// Accepts everything, and stores nothing.
#[derive(Debug)]
pub(super) struct AcceptingBuyer;

impl Buyer for AcceptingBuyer {
    fn initiate(&self, _: OrderKey, _: OrderSpec) -> BuyerFuture<'_, InitiateOutcome> {
        Box::pin(ready(Ok(InitiateOutcome::Started)))
    }

    fn follow_up(
        &self,
        _: OrderKey,
        follow_up: FollowUpDraft,
    ) -> BuyerFuture<'_, (FollowUpId, BuyerCommandReply)> {
        let id = follow_up.id.unwrap_or_else(|| FollowUpId::new("f-1").expect("f-1 is an id"));
        Box::pin(ready(Ok((id, BuyerCommandReply::Done))))
    }

    fn submit_command(
        &self,
        _: OrderKey,
        _: BuyerCommand,
        key: Option<IdempotencyKey>,
    ) -> BuyerFuture<'_, BuyerCommandReply> {
        Box::pin(ready(Ok(key.map_or(BuyerCommandReply::Done, BuyerCommandReply::Pending))))
    }

    fn command_status(
        &self,
        _: OrderKey,
        _: IdempotencyKey,
    ) -> BuyerFuture<'_, Option<CommandStatus>> {
        let command = CommandStatus { name: "award".to_owned(), outcome: CommandOutcome::Pending };
        Box::pin(ready(Ok(Some(command))))
    }

    fn tracked<'a>(&'a self, _: &'a [OrderKey]) -> ViewFuture<'a, Vec<BuyerOrderView>> {
        Box::pin(ready(Vec::new()))
    }

    fn phase(&self, _: &OrderKey) -> Option<RequestPhase> {
        None
    }

    fn totals(&self) -> TrackerTotals {
        TrackerTotals::default()
    }
}
