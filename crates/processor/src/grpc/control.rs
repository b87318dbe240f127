//! The buyer's other commands, and the calls that a controller needs to place orders and to find
//! orphans.

use futures_util::{Stream, StreamExt as _, stream};
use orderstream_core::command::Expected;
use orderstream_core::{Act, Answer, OrderKey, Reason, Refusal, Seq};
use orderstream_rpc::convert::{award_input_from_wire, timestamp_to_wire};
use orderstream_rpc::v1;
use orderstream_rpc::v1::order_control_service_server::OrderControlService;
use tonic::{Request, Response, Status};

use super::{Answers, Grpc, Target, bounded, optional, read, status};
use crate::limits::{PAGE_ORDERS, PAGE_PROPOSALS};
use crate::orders::Orders;

type Acted = Result<Response<v1::ActResponse>, Status>;

#[tonic::async_trait]
impl OrderControlService for Grpc {
    async fn pause(&self, request: Request<v1::PauseRequest>) -> Acted {
        let request = request.into_inner();
        let target = Target::of(request.order, request.idempotency_key, request.epoch);
        let act = bounded("reason", request.reason).map(|reason| Act::Pause { reason });
        self.answer(target, act).await
    }

    async fn resume(&self, request: Request<v1::ResumeRequest>) -> Acted {
        let request = request.into_inner();
        let target = Target::of(request.order, request.idempotency_key, request.epoch);
        self.answer(target, Ok(Act::Resume)).await
    }

    async fn extend(&self, request: Request<v1::ExtendRequest>) -> Acted {
        let request = request.into_inner();
        let target = Target::of(request.order, request.idempotency_key, request.epoch);
        self.answer(target, Ok(Act::Extend { expires_in_ms: request.expires_in_ms })).await
    }

    async fn award(&self, request: Request<v1::AwardRequest>) -> Acted {
        let request = request.into_inner();
        let target = Target::of(request.order, request.idempotency_key, request.epoch);
        let seen = Some(Seq(request.expected_seq)).filter(|seq| *seq > Seq(0));
        let target =
            target.map(|target| Target { expected: seen.map(Expected::LastSeq), ..target });
        let act = award_input_from_wire(request.proposal_id, request.lines).try_into().and_then(
            |award| {
                let reason = bounded("reason", request.reason)?;
                let undo_within_ms = Some(request.undo_within_ms).filter(|ms| *ms > 0);
                Ok(Act::Finalise { award, reason, undo_within_ms })
            },
        );
        self.answer(target, act).await
    }

    async fn undo_award(&self, request: Request<v1::UndoAwardRequest>) -> Acted {
        let request = request.into_inner();
        let target = Target::of(request.order, request.idempotency_key, request.epoch);
        let act = bounded("reason", request.reason).map(|reason| Act::UndoAward { reason });
        self.answer(target, act).await
    }

    async fn close(&self, request: Request<v1::CloseRequest>) -> Acted {
        let request = request.into_inner();
        let target = Target::of(request.order, request.idempotency_key, request.epoch);
        let act = bounded("reason", request.reason).map(|reason| Act::Close { reason });
        self.answer(target, act).await
    }

    async fn cancel(&self, request: Request<v1::CancelRequest>) -> Acted {
        let request = request.into_inner();
        let target = Target::of(request.order, request.idempotency_key, request.epoch);
        let act = bounded("reason", request.reason).map(|reason| Act::Cancel { reason });
        self.answer(target, act).await
    }

    async fn get_order(
        &self,
        request: Request<v1::GetOrderRequest>,
    ) -> Result<Response<v1::OrderState>, Status> {
        let request = request.into_inner();
        let page = usize::try_from(request.max_proposals).unwrap_or(PAGE_PROPOSALS);
        let page = if page == 0 { PAGE_PROPOSALS } else { page.min(PAGE_PROPOSALS) };
        let target = Target::of(request.order, String::new(), 0).map_err(status)?;
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

    type ListOrdersStream = Answers<v1::OrderSummary>;

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
                let wanted = phases.is_empty() || phases.contains(&summary.phase);
                wanted.then_some(Ok(summary))
            }
        });
        Ok(Response::new(Box::pin(summaries.take(limit))))
    }

    async fn locate_order(
        &self,
        request: Request<v1::LocateOrderRequest>,
    ) -> Result<Response<v1::LocateOrderResponse>, Status> {
        let target = Target::of(request.into_inner().order, String::new(), 0).map_err(status)?;
        let name = self.name.clone();
        let located = self
            .orders
            .read_one(&target.key, target.incarnation.as_ref(), move |order, facts| {
                read::located(order, facts, name)
            })
            .await;
        match located {
            Ok(located) => Ok(Response::new(located)),
            // A damaged order is held here all the same; requests about it are refused here.
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
    async fn answer(&self, target: Result<Target, Refusal>, act: Result<Act, Refusal>) -> Acted {
        let (target, act) = (target.map_err(status)?, act.map_err(status)?);
        let answer = self.act(target, act).await.map_err(status)?;
        Ok(Response::new(acted(&answer)))
    }
}

/// Streams the keys of all orders after `after`, in order; one page of them is in memory at a time.
fn every_key(
    orders: Orders,
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

fn acted(answer: &Answer) -> v1::ActResponse {
    v1::ActResponse {
        seq: answer.seq.0,
        phase: answer.phase.as_str().to_owned(),
        message: "done".to_owned(),
        expires_at: answer.expires_at.map(timestamp_to_wire),
    }
}
