//! A seller's inbox as server-sent events: every open order that the seller is invited to, and each
//! of them again after a change that the seller sees.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::pin::Pin;

use axum::extract::State;
use axum::response::sse::{Event as SseEvent, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream::SelectAll;
use futures_util::{Stream, StreamExt as _, stream};
use orderstream_core::event::Event;
use orderstream_core::{Incarnation, OrderKey, ProposalId, Reason, Refusal, SellerId, Seq};
use orderstream_rest_types::inbox::InboxEntryView;
use orderstream_rpc::problem::{CheckedPath, CheckedQuery, Problem};
use serde::Deserialize;
use serde_json::json;
use tokio_util::sync::WaitForCancellationFutureOwned;
use utoipa::IntoParams;

use super::events::{KEEP_ALIVE, UNBUFFERED};
use super::inbox::{SellerPath, tenant};
use super::view;
use crate::audience::{concerns, concerns_in_silence};
use crate::limits::ORDERS_PER_SESSION_MAX;
use crate::orders::{FollowItem, Invitations, OwnedOrders};

/// The query of a stream of an inbox.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct InboxEventsQuery {
    /// The tenant of the orders; `default` when left out.
    tenant: String,
}

/// Follow a seller's inbox.
///
/// Server-sent events: `Invitation` has an order as the inbox shows it, at first every open one,
/// then each that opens or changes, at all processors; the last one of an order has its end.
/// While an order is sealed, nothing comes of what the seller does in it. Nothing is resumed: a
/// new stream begins with every open order again. `Error` names an order that is not followed,
/// with `reason` and `detail`. One processor follows 1000 of the seller's orders at one time;
/// more come as these end. A comment comes after 15 s of silence. `Draining` means that the
/// server stops: reconnect.
#[utoipa::path(get, path = "/api/v1/sellers/{seller}/invitations/events", tag = "sellers",
    operation_id = "inbox-events", params(SellerPath, InboxEventsQuery),
    responses((status = 200, description = "The events.", content_type = "text/event-stream",
        body = String)))]
pub(super) async fn follow(
    State(orders): State<OwnedOrders>,
    CheckedPath(seller): CheckedPath<String>,
    CheckedQuery(query): CheckedQuery<InboxEventsQuery>,
) -> Result<Response, Problem> {
    let (tenant, seller) = (tenant(query.tenant)?, SellerId::new(seller)?);
    let invitations = orders.invitations(tenant, seller.clone())?;
    let follower = InboxFollower {
        stopping: Box::pin(orders.stopping()),
        orders,
        seller,
        invitations,
        followed: SelectAll::new(),
        sent: SentEntries::default(),
        is_over: false,
    };
    let events = stream::unfold(follower, |mut follower| async move {
        let event = follower.next().await?;
        Some((Ok::<_, Infallible>(event), follower))
    });
    let events = Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    Ok((UNBUFFERED, events).into_response())
}

/// An item of the stream of one followed order.
enum FollowedItem {
    /// The next item of its events.
    Next(OrderKey, Result<FollowItem, Refusal>),
    /// The stream of this incarnation has ended.
    Ended(OrderKey, Incarnation),
}

/// The events of one followed order.
type FollowedOrderItems = Pin<Box<dyn Stream<Item = FollowedItem> + Send>>;

/// The last entry of an order that was sent.
#[derive(Clone, Debug)]
struct SentEntry {
    incarnation: Incarnation,
    /// The order's last event in it.
    seq: Seq,
    /// True if the order was sealed.
    is_sealed: bool,
}

/// The last entry of each followed order.
#[derive(Debug, Default)]
struct SentEntries(BTreeMap<OrderKey, SentEntry>);

impl SentEntries {
    fn add(&mut self, key: &OrderKey, entry: &InboxEntryView) -> Result<(), Refusal> {
        let incarnation = Incarnation::new(&entry.incarnation)?;
        let (seq, is_sealed) = (Seq(entry.last_seq), entry.sealed);
        self.0.insert(key.clone(), SentEntry { incarnation, seq, is_sealed });
        Ok(())
    }

    /// Removes the entry of an incarnation that is not followed any more; that of a later one stays.
    fn remove(&mut self, key: &OrderKey, incarnation: &Incarnation) {
        if self.0.get(key).is_some_and(|sent| sent.incarnation == *incarnation) {
            self.0.remove(key);
        }
    }

    /// Reports whether an event is in the last entry.
    fn include(&self, key: &OrderKey, seq: Seq) -> bool {
        self.0.get(key).is_some_and(|sent| sent.seq >= seq)
    }

    /// Reports whether the order is sealed, or may be: nothing is known of it.
    fn may_be_sealed(&self, key: &OrderKey) -> bool {
        self.0.get(key).is_none_or(|sent| sent.is_sealed)
    }
}

/// A running stream of an inbox, with the orders of this processor.
struct InboxFollower {
    orders: OwnedOrders,
    seller: SellerId,
    invitations: Invitations,
    followed: SelectAll<FollowedOrderItems>,
    sent: SentEntries,
    stopping: Pin<Box<WaitForCancellationFutureOwned>>,
    is_over: bool,
}

impl InboxFollower {
    /// Returns the next event; `None` after the last one.
    async fn next(&mut self) -> Option<SseEvent> {
        while !self.is_over {
            let has_room = self.followed.len() < ORDERS_PER_SESSION_MAX;
            let event = tokio::select! {
                () = &mut self.stopping => {
                    self.is_over = true;
                    Some(SseEvent::default().event("Draining").data("{}"))
                }
                Some(key) = self.invitations.next(), if has_room => self.begin(&key).await,
                Some(item) = self.followed.next(), if !self.followed.is_empty() => {
                    self.advance(item).await
                }
            };
            if event.is_some() {
                return event;
            }
        }
        None
    }

    /// Follows an order from now on; returns its entry.
    async fn begin(&mut self, key: &OrderKey) -> Option<SseEvent> {
        let begun = self.try_begin(key).await;
        begun.unwrap_or_else(|refusal| refused(key, &refusal))
    }

    async fn try_begin(&mut self, key: &OrderKey) -> Result<Option<SseEvent>, Refusal> {
        let Some(entry) = entry(&self.orders, &self.seller, key).await? else { return Ok(None) };
        let (incarnation, seq) = (Incarnation::new(&entry.incarnation)?, Seq(entry.last_seq));
        let events = self.orders.follow_one(key, Some(&incarnation), seq, None).await?;
        self.sent.add(key, &entry)?;
        let (of_item, of_end) = (key.clone(), key.clone());
        let items = events.map(move |item| FollowedItem::Next(of_item.clone(), item));
        let end = stream::once(std::future::ready(FollowedItem::Ended(of_end, incarnation)));
        self.followed.push(Box::pin(items.chain(end)));
        Ok(Some(invitation(&entry)))
    }

    async fn advance(&mut self, item: FollowedItem) -> Option<SseEvent> {
        match item {
            FollowedItem::Next(key, Ok(FollowItem::Event(event))) => {
                self.changed(&key, &event).await.unwrap_or_else(|refusal| refused(&key, &refusal))
            }
            // The drain is reported once for all orders.
            FollowedItem::Next(_, Ok(FollowItem::Draining(_))) => None,
            FollowedItem::Next(key, Err(refusal)) => refused(&key, &refusal),
            FollowedItem::Ended(key, incarnation) => {
                self.sent.remove(&key, &incarnation);
                None
            }
        }
    }

    /// Returns the order's entry after an event that the seller sees and that no entry had yet.
    async fn changed(
        &mut self,
        key: &OrderKey,
        event: &Event,
    ) -> Result<Option<SseEvent>, Refusal> {
        if self.sent.include(key, event.seq) || !self.sees(key, event) {
            return Ok(None);
        }
        let Some(entry) = entry(&self.orders, &self.seller, key).await? else { return Ok(None) };
        self.sent.add(key, &entry)?;
        Ok(Some(invitation(&entry)))
    }

    fn sees(&self, key: &OrderKey, event: &Event) -> bool {
        // Whoever follows may not be the seller: before the opening, nothing shows what it does.
        if self.sent.may_be_sealed(key) {
            return concerns_in_silence(&self.seller, &event.kind);
        }
        let seller = Some(&self.seller);
        let is_own = |id: &ProposalId| self.orders.seller_of(key, id).as_ref() == seller;
        concerns(&self.seller, &event.kind, is_own)
    }
}

async fn entry(
    orders: &OwnedOrders,
    seller: &SellerId,
    key: &OrderKey,
) -> Result<Option<InboxEntryView>, Refusal> {
    orders.read_for_seller(key, |order| view::inbox_entry(order, seller)).await
}

fn invitation(entry: &InboxEntryView) -> SseEvent {
    // The fields are in the order of the page's; an entry has no map whose keys could fail.
    let data = serde_json::to_string(entry).unwrap_or_default();
    SseEvent::default().event("Invitation").data(data)
}

/// Returns the event for an order that is not followed; `None` for one that was removed meanwhile.
fn refused(key: &OrderKey, refusal: &Refusal) -> Option<SseEvent> {
    if refusal.reason == Reason::OrderNotFound {
        return None;
    }
    let body = json!({
        "tenant": key.tenant,
        "order_req_id": key.order_req_id,
        "reason": refusal.reason.as_str(),
        "detail": refusal.message,
    });
    Some(SseEvent::default().event("Error").data(body.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[allow(clippy::fn_params_excessive_bools, reason = "a case of a test")]
    fn entry(incarnation: &str, last_seq: u64, sealed: bool) -> InboxEntryView {
        let incarnation = incarnation.to_owned();
        InboxEntryView { incarnation, last_seq, sealed, ..InboxEntryView::default() }
    }

    /// The stream of the earlier incarnation may end after the new one is followed.
    #[test]
    fn ended_incarnations_leave_newer_entries() {
        let key: OrderKey = "t/a".parse().unwrap();
        let [former, newer] = ["uid-1", "uid-2"].map(|name| Incarnation::new(name).unwrap());
        let mut sent = SentEntries::default();
        assert!(sent.may_be_sealed(&key), "nothing is known of it");
        sent.add(&key, &entry("uid-1", 7, false)).unwrap();
        assert!(sent.include(&key, Seq(7)) && !sent.may_be_sealed(&key));
        sent.add(&key, &entry("uid-2", 2, true)).unwrap();
        sent.remove(&key, &former);
        assert!(sent.include(&key, Seq(2)) && !sent.include(&key, Seq(3)));
        assert!(sent.may_be_sealed(&key));
        sent.remove(&key, &newer);
        assert!(!sent.include(&key, Seq(2)));
    }
}
