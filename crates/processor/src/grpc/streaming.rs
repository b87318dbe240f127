//! The streams: following an order, and a seller's live connection.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::Stream;
use orderstream_core::{Epoch, OrderKey, OrderSpec, Reason, Refusal, Seq, Timestamp};
use orderstream_rpc::convert::{draining, event_to_wire, spec_input_from_wire};
use orderstream_rpc::v1;
use orderstream_rpc::v1::order_streaming_service_server::OrderStreamingService;
use tonic::{Request, Response, Status, Streaming};

use super::session::SessionCaller;
use super::{Grpc, ReplyStream, optional, parse_incarnation, session, status};
use crate::orders::{FollowItem, FollowStream, Join};
use crate::peers::{FORWARDED, misdirected};

#[tonic::async_trait]
impl OrderStreamingService for Grpc {
    type ProcessOrderStreamStream = OrderEvents;

    async fn process_order_stream(
        &self,
        request: Request<v1::OrderStreamRequest>,
    ) -> Result<Response<OrderEvents>, Status> {
        let request = request.into_inner();
        let key = OrderKey::new(&request.tenant, &request.order_req_id).map_err(status)?;
        let after = Seq(request.after_seq);
        let tracker = (!request.observer).then_some(Epoch(request.epoch));
        let cursor_at = (request.after_at_ms != 0).then_some(Timestamp(request.after_at_ms));
        // A tracker opens the incarnation that it names; an observer finds it or is refused.
        let mut named = parse_incarnation(request.incarnation.clone()).map_err(status)?;
        if tracker.is_some() {
            let join = join(key.clone(), request).map_err(status)?;
            if after == Seq(0) {
                let opened = self.orders.open(join).await;
                named = Some(opened.map_err(|refusal| status(in_request(refusal)))?);
            } else {
                self.orders.resume(&key, named.as_ref(), after).map_err(status)?;
            }
        }
        if let Some(at) = cursor_at {
            self.orders.compare(&key, named.as_ref(), after, at).await.map_err(status)?;
        }
        let events = self.orders.follow_one(&key, named.as_ref(), after, tracker).await;
        let events = events.map_err(status)?;
        Ok(Response::new(OrderEvents { key, events }))
    }

    type SellerSessionStream = ReplyStream<v1::SellerEvent>;

    async fn seller_session(
        &self,
        request: Request<Streaming<v1::SellerMessage>>,
    ) -> Result<Response<Self::SellerSessionStream>, Status> {
        let mark = request.metadata().get(FORWARDED).map(|mark| mark.to_str().unwrap_or_default());
        let caller = match mark {
            None => SessionCaller::Seller,
            Some(mark) if self.peers.is_addressed_here(mark) => SessionCaller::Processor,
            Some(_) => return Err(status(misdirected())),
        };
        let session = session::start(self.clone(), request.into_inner(), caller).await?;
        Ok(Response::new(Box::pin(session)))
    }
}

/// Converts a tracker's request. The request's own notification type and session apply where its
/// order has none, as with old clients.
fn join(key: OrderKey, request: v1::OrderStreamRequest) -> Result<Join, Refusal> {
    let mut spec = spec_input_from_wire(request.order.unwrap_or_default());
    spec.notification_type = spec.notification_type.or_else(|| optional(request.notification_type));
    spec.session = spec.session.or_else(|| optional(request.session));
    let spec = OrderSpec::try_from(spec).map_err(|refusal| refusal.under("order"))?;
    let tracker = Some(Epoch(request.epoch));
    Ok(Join { key, incarnation: parse_incarnation(request.incarnation)?, spec, tracker })
}

/// Names a wrong field by its path in the request, where only an opening checks the field.
fn in_request(refusal: Refusal) -> Refusal {
    // The id is a field of the request itself.
    let is_of_order = refusal.field.as_deref() != Some("order_req_id");
    let is_invalid = refusal.reason == Reason::InvalidField;
    if is_invalid && is_of_order { refusal.under("order") } else { refusal }
}

/// The stream of an order's events on the wire.
#[derive(Debug)]
pub struct OrderEvents {
    key: OrderKey,
    events: FollowStream,
}

impl Stream for OrderEvents {
    type Item = Result<v1::OrderStreamResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = std::task::ready!(Pin::new(&mut self.events).poll_next(context));
        Poll::Ready(next.map(|item| match item {
            Ok(FollowItem::Event(event)) => Ok(event_to_wire(&self.key, &event)),
            Ok(FollowItem::Draining(last_seq)) => Ok(draining(&self.key, last_seq)),
            Err(refusal) => Err(status(refusal)),
        }))
    }
}
