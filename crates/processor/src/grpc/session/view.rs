//! The part of an order's events that a seller sees: the buyer's messages, and the course of its
//! own proposals.

use std::pin::Pin;

use futures_util::{Stream, StreamExt as _, stream};
use orderstream_core::{OrderKey, ProposalId, Refusal, SellerId};
use orderstream_rpc::convert::event_to_wire;
use orderstream_rpc::v1;

use crate::audience::concerns;
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
