//! The buyer's other commands, and the calls that a controller needs to place orders and to find
//! orphans.

use futures_util::{Stream, StreamExt as _, stream};
use orderstream_core::command::Precondition;
use orderstream_core::{CommandKind, OrderKey, Reason, Refusal, Reply, Seq};
use orderstream_rpc::convert::{award_input_from_wire, timestamp_to_wire};
use orderstream_rpc::v1;
use orderstream_rpc::v1::order_control_service_server::OrderControlService;
use tonic::{Request, Response, Status};

use super::{Grpc, OrderTarget, ReplyStream, bounded, optional, read, status};
use crate::limits::{PAGE_ORDERS, PAGE_PROPOSALS};
use crate::orders::OwnedOrders;

type ControlResponse = Result<Response<v1::ActResponse>, Status>;

#[tonic::async_trait]
impl OrderControlService for Grpc {
    async fn pause(&self, request: Request<v1::PauseRequest>) -> ControlResponse {
        let request = request.into_inner();
        let target = OrderTarget::of(request.order, request.idempotency_key, request.epoch);
        let body = bounded("reason", request.reason).map(|reason| CommandKind::Pause { reason });
        self.respond(target, body).await
    }

    async fn resume(&self, request: Request<v1::ResumeRequest>) -> ControlResponse {
        let request = request.into_inner();
        let target = OrderTarget::of(request.order, request.idempotency_key, request.epoch);
        self.respond(target, Ok(CommandKind::Resume)).await
    }

    async fn extend(&self, request: Request<v1::ExtendRequest>) -> ControlResponse {
        let request = request.into_inner();
        let target = OrderTarget::of(request.order, request.idempotency_key, request.epoch);
        self.respond(target, Ok(CommandKind::Extend { expires_in_ms: request.expires_in_ms })).await
    }

    async fn award(&self, request: Request<v1::AwardRequest>) -> ControlResponse {
        let request = request.into_inner();
        let target = OrderTarget::of(request.order, request.idempotency_key, request.epoch);
        let expected_seq = Some(Seq(request.expected_seq)).filter(|seq| *seq > Seq(0));
        let target = target.map(|target| OrderTarget {
            expected: expected_seq.map(Precondition::LastSeq),
            ..target
        });
        let body = award_input_from_wire(request.proposal_id, request.lines).try_into().and_then(
            |award| {
                let reason = bounded("reason", request.reason)?;
                let undo_within_ms = Some(request.undo_within_ms).filter(|ms| *ms > 0);
                Ok(CommandKind::Finalise { award, reason, undo_within_ms })
            },
        );
        self.respond(target, body).await
    }

    async fn undo_award(&self, request: Request<v1::UndoAwardRequest>) -> ControlResponse {
        let request = request.into_inner();
        let target = OrderTarget::of(request.order, request.idempotency_key, request.epoch);
        let body =
            bounded("reason", request.reason).map(|reason| CommandKind::UndoAward { reason });
        self.respond(target, body).await
    }

    async fn close(&self, request: Request<v1::CloseRequest>) -> ControlResponse {
        let request = request.into_inner();
        let target = OrderTarget::of(request.order, request.idempotency_key, request.epoch);
        let body = bounded("reason", request.reason).map(|reason| CommandKind::Close { reason });
        self.respond(target, body).await
    }

    async fn cancel(&self, request: Request<v1::CancelRequest>) -> ControlResponse {
        let request = request.into_inner();
        let target = OrderTarget::of(request.order, request.idempotency_key, request.epoch);
        let body = bounded("reason", request.reason).map(|reason| CommandKind::Cancel { reason });
        self.respond(target, body).await
    }

    async fn get_order(
        &self,
        request: Request<v1::GetOrderRequest>,
    ) -> Result<Response<v1::OrderState>, Status> {
        let request = request.into_inner();
        let page = usize::try_from(request.max_proposals).unwrap_or(PAGE_PROPOSALS);
        let page = if page == 0 { PAGE_PROPOSALS } else { page.min(PAGE_PROPOSALS) };
        let target = OrderTarget::of(request.order, String::new(), 0).map_err(status)?;
        let after = request.after_proposal_id;
        let state = self
            .orders
            .read_one(&target.key, target.incarnation.as_ref(), move |order, facts| {
                read::state(order, facts, &after, page)
            })
            .await
            .map_err(status)?;
        Ok(Response::new(state))
    }

    type ListOrdersStream = ReplyStream<v1::OrderSummary>;

    async fn list_orders(
        &self,
        request: Request<v1::ListOrdersRequest>,
    ) -> Result<Response<Self::ListOrdersStream>, Status> {
        let request = request.into_inner();
        let limit = usize::try_from(request.max_orders).unwrap_or(usize::MAX);
        let limit = if limit == 0 { usize::MAX } else { limit };
        let after = request
            .after
            .map(|after| OrderKey::new(&after.tenant, &after.order_req_id))
            .transpose()
            .map_err(status)?;
        let keys = every_key(self.orders.clone(), optional(request.tenant), after);
        let (orders, phases) = (self.orders.clone(), request.phases);
        let summaries = keys.filter_map(move |key| {
            let (orders, phases) = (orders.clone(), phases.clone());
            async move {
                // An order that was removed meanwhile or cannot be read is left out.
                let summary = orders.read(&key, read::summary).await.ok()?;
                let is_listed = phases.is_empty() || phases.contains(&summary.phase);
                is_listed.then_some(Ok(summary))
            }
        });
        Ok(Response::new(Box::pin(summaries.take(limit))))
    }

    async fn locate_order(
        &self,
        request: Request<v1::LocateOrderRequest>,
    ) -> Result<Response<v1::LocateOrderResponse>, Status> {
        let target =
            OrderTarget::of(request.into_inner().order, String::new(), 0).map_err(status)?;
        let name = self.name.clone();
        let located = self
            .orders
            .read_one(&target.key, target.incarnation.as_ref(), move |order, facts| {
                read::located(order, facts, name)
            })
            .await;
        match located {
            Ok(located) => Ok(Response::new(located)),
            // A damaged order still has its owner here, which refuses the requests about it.
            Err(refusal) if refusal.reason == Reason::RecordsDamaged => {
                let (found, processor) = (true, self.name.clone());
                let damaged = v1::LocateOrderResponse::default();
                Ok(Response::new(v1::LocateOrderResponse { found, processor, ..damaged }))
            }
            Err(refusal) if refusal.reason == Reason::OrderNotFound => {
                let processor = self.name.clone();
                let nowhere = v1::LocateOrderResponse::default();
                Ok(Response::new(v1::LocateOrderResponse { processor, ..nowhere }))
            }
            Err(refusal) => Err(status(refusal)),
        }
    }

    async fn meet_processor(
        &self,
        request: Request<v1::MeetProcessorRequest>,
    ) -> Result<Response<v1::MeetProcessorResponse>, Status> {
        self.peers.meet(request.into_inner()).map(Response::new).map_err(status)
    }
}

impl Grpc {
    async fn respond(
        &self,
        target: Result<OrderTarget, Refusal>,
        body: Result<CommandKind, Refusal>,
    ) -> ControlResponse {
        let (target, body) = (target.map_err(status)?, body.map_err(status)?);
        let reply = self.execute(target, body).await.map_err(status)?;
        Ok(Response::new(command_response(&reply)))
    }
}

/// Streams the keys of all orders after `after`, in order; one page of them is in memory at a time.
fn every_key(
    orders: OwnedOrders,
    tenant: Option<String>,
    after: Option<OrderKey>,
) -> impl Stream<Item = OrderKey> {
    let pages = stream::unfold(after, move |after| {
        let page = orders.keys(tenant.as_deref(), after.as_ref(), PAGE_ORDERS);
        let last = page.last().cloned();
        std::future::ready(last.map(|last| (stream::iter(page), Some(last))))
    });
    pages.flatten()
}

fn command_response(reply: &Reply) -> v1::ActResponse {
    v1::ActResponse {
        seq: reply.seq.0,
        phase: reply.phase.as_str().to_owned(),
        message: "done".to_owned(),
        expires_at: reply.expires_at.map(timestamp_to_wire),
    }
}
