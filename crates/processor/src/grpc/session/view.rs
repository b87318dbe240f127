//! The part of an order's events that a seller sees: the buyer's messages, and the course of its
//! own proposals.

use std::pin::Pin;

use futures_util::{Stream, StreamExt as _, stream};
use orderstream_core::seal::SEALED;
use orderstream_core::{EventKind, OrderKey, ProposalId, Refusal, SellerId};
use orderstream_rpc::convert::event_to_wire;
use orderstream_rpc::v1;

use crate::orders::{FollowItem, FollowStream, OwnedOrders};

/// An item of one order's stream, for its session.
#[derive(Debug)]
pub(super) enum SellerViewItem {
    /// An event for the seller.
    Event(Box<v1::OrderStreamResponse>),
    /// The stream of this number broke.
    Broken(OrderKey, u64, Refusal),
    /// The stream of this number has ended.
    Ended(OrderKey, u64),
}

/// One order's events as the session reads them.
pub(super) type SellerViewStream = Pin<Box<dyn Stream<Item = SellerViewItem> + Send>>;

/// Returns the events of one order that this seller may see, then the end of the stream of this
/// number.
pub(super) fn seller_view(
    orders: &OwnedOrders,
    key: OrderKey,
    seller: SellerId,
    number: u64,
    events: FollowStream,
) -> SellerViewStream {
    let orders = orders.clone();
    let end = SellerViewItem::Ended(key.clone(), number);
    let items = events.filter_map(move |item| {
        let is_own = |id: &ProposalId| orders.seller_of(&key, id).as_ref() == Some(&seller);
        std::future::ready(match item {
            Ok(FollowItem::Event(event)) => concerns(&seller, &event.kind, is_own)
                .then(|| SellerViewItem::Event(Box::new(event_to_wire(&key, &event)))),
            // The session reports the drain once for all of its orders.
            Ok(FollowItem::Draining(_)) => None,
            Err(refusal) => Some(SellerViewItem::Broken(key.clone(), number, refusal)),
        })
    });
    Box::pin(items.chain(stream::once(std::future::ready(end))))
}

/// Reports whether a seller sees an event: it sees the events of its own proposals, and not those
/// of other sellers.
fn concerns(seller: &SellerId, kind: &EventKind, is_own: impl Fn(&ProposalId) -> bool) -> bool {
    use EventKind as K;
    use orderstream_core::event::ProposalUpdate as U;
    match kind {
        // Before the opening of a sealed order the event names no seller, so the proposal's id
        // decides.
        K::NewProposal(proposal) | K::ProposalUpdate(U::Amended { proposal, .. }) => {
            if proposal.seller.as_str() == SEALED {
                proposal.proposal_id.as_ref().is_some_and(is_own)
            } else {
                proposal.seller == *seller
            }
        }
        K::ProposalUpdate(
            U::Declined { seller: by, .. }
            | U::Answered { seller: by, .. }
            | U::Asked { seller: by, .. },
        )
        | K::SellerNotified { seller: by, .. } => by == seller,
        K::FollowUpAdded(follow_up) => {
            follow_up.audience.is_empty() || follow_up.audience.contains(seller)
        }
        K::EditLock { proposal_id, .. }
        | K::ProposalUpdate(U::Withdrawn { proposal_id, .. })
        | K::ProposalClosed { proposal_id, .. } => is_own(proposal_id),
        // Sellers do not receive an award while it may be undone.
        K::SellersSelected(_) | K::AwardPending { .. } | K::AwardUndone { .. } => false,
        K::OrderOpened(_)
        | K::OrderPaused { .. }
        | K::OrderResumed
        | K::OrderExtended { .. }
        | K::ProposalsOpened { .. }
        | K::OrderFinalised { .. }
        | K::OrderClosed { .. }
        | K::OrderCancelled { .. } => true,
    }
}
