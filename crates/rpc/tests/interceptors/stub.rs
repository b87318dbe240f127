//! The handlers of the calls under test, one per kind, which behave as the case specifies.

use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use futures_util::{Stream, StreamExt as _, stream};
use orderstream_rpc::v1;
use orderstream_rpc::v1::order_control_service_server::OrderControlService;
use orderstream_rpc::v1::order_non_streaming_service_server::OrderNonStreamingService;
use orderstream_rpc::v1::order_streaming_service_server::OrderStreamingService;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tonic::{Request, Response, Status, Streaming};

/// The course of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Case {
    Ok,
    ErrorBeforeFirst,
    ErrorAfterTwo,
    ClientCancels,
    PanicBeforeFirst,
    PanicAfterTwo,
    Deadline,
    OversizeRequest,
    OversizeReply,
    UnknownMethod,
    ZstdCompressed,
    GzipCompressed,
    SplitByteByByte,
}

impl Case {
    pub(crate) const ALL: [Self; 13] = [
        Self::Ok,
        Self::ErrorBeforeFirst,
        Self::ErrorAfterTwo,
        Self::ClientCancels,
        Self::PanicBeforeFirst,
        Self::PanicAfterTwo,
        Self::Deadline,
        Self::OversizeRequest,
        Self::OversizeReply,
        Self::UnknownMethod,
        Self::ZstdCompressed,
        Self::GzipCompressed,
        Self::SplitByteByByte,
    ];

    /// Returns the number of messages after which the case's fault occurs, if it has one.
    fn fault_after(self) -> Option<usize> {
        if matches!(self, Self::ErrorAfterTwo | Self::PanicAfterTwo) {
            Some(2)
        } else if matches!(self, Self::ClientCancels | Self::Deadline | Self::OversizeReply) {
            Some(1)
        } else {
            None
        }
    }
}

/// Returns a text of twice the message limit.
pub(crate) fn oversize() -> String {
    "x".repeat(2 * orderstream_rpc::limits::MESSAGE_BYTES_MAX)
}

#[derive(Clone, Debug)]
pub(crate) struct Stub {
    pub(crate) case: Case,
    /// Notified when the handler waits for something that never happens.
    pub(crate) waits: Arc<Notify>,
    /// The requests as they arrived.
    pub(crate) received: Arc<Mutex<Vec<v1::OrderStreamRequest>>>,
}

impl Stub {
    /// Runs the case's step before anything is read.
    fn begin(&self) -> Result<(), Status> {
        assert!(self.case != Case::PanicBeforeFirst, "as planned");
        if self.case == Case::ErrorBeforeFirst {
            return Err(Status::not_found("no such order"));
        }
        Ok(())
    }

    /// Runs the case's step after the first messages.
    async fn inject_fault(&self) -> Result<(), Status> {
        assert!(self.case != Case::PanicAfterTwo, "as planned");
        if self.case == Case::ErrorAfterTwo {
            return Err(Status::not_found("no such order"));
        }
        if matches!(self.case, Case::ClientCancels | Case::Deadline) {
            self.waits.notify_one();
            std::future::pending::<()>().await;
        }
        Ok(())
    }

    fn text(&self) -> String {
        if self.case == Case::OversizeReply { oversize() } else { "short".to_owned() }
    }
}

/// Yields the items one at a time, so that each is sent in a frame of its own.
pub(crate) fn paced<S: Stream + Unpin>(mut items: S) -> impl Stream<Item = S::Item> {
    let mut pauses = false;
    stream::poll_fn(move |cx| {
        pauses = !pauses;
        if pauses {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let polled = items.poll_next_unpin(cx);
        if polled.is_pending() {
            pauses = !pauses;
        }
        polled
    })
}

type BoxStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Yields the first items, then runs the case's step.
fn with_fault<T, S>(stub: Stub, items: S) -> BoxStream<T>
where
    T: Send + 'static,
    S: Stream<Item = Result<T, Status>> + Send + Unpin + 'static,
{
    let Some(count) = stub.case.fault_after() else { return Box::pin(paced(items)) };
    let fault = stream::once(async move { stub.inject_fault().await })
        .filter_map(|result| async move { result.err().map(Err) });
    Box::pin(paced(items.take(count)).chain(Box::pin(fault)))
}

#[tonic::async_trait]
impl OrderStreamingService for Stub {
    type ProcessOrderStreamStream = BoxStream<v1::OrderStreamResponse>;
    type SellerSessionStream = BoxStream<v1::SellerEvent>;

    async fn process_order_stream(
        &self,
        request: Request<v1::OrderStreamRequest>,
    ) -> Result<Response<Self::ProcessOrderStreamStream>, Status> {
        self.received.lock().push(request.into_inner());
        self.begin()?;
        let event = v1::OrderStreamResponse {
            streaming_response_status: self.text(),
            ..Default::default()
        };
        let events = stream::iter(vec![event; 3].into_iter().map(Ok));
        Ok(Response::new(with_fault(self.clone(), events)))
    }

    async fn seller_session(
        &self,
        request: Request<Streaming<v1::SellerMessage>>,
    ) -> Result<Response<Self::SellerSessionStream>, Status> {
        self.begin()?;
        let text = self.text();
        let events = request.into_inner().map(move |message| {
            let request_id = format!("{}{text}", message?.request_id);
            let result = v1::SellerResult { request_id, ..Default::default() };
            Ok(v1::SellerEvent { kind: Some(v1::seller_event::Kind::Result(result)) })
        });
        Ok(Response::new(with_fault(self.clone(), events)))
    }
}

#[tonic::async_trait]
impl OrderNonStreamingService for Stub {
    async fn process_follow_up(
        &self,
        _: Request<v1::FollowUpRequest>,
    ) -> Result<Response<v1::FollowUpResponse>, Status> {
        Ok(Response::new(v1::FollowUpResponse::default()))
    }

    async fn submit_proposals(
        &self,
        request: Request<Streaming<v1::ProposalSubmission>>,
    ) -> Result<Response<v1::SubmitProposalsSummary>, Status> {
        self.begin()?;
        let mut proposals = request.into_inner();
        let mut accepted = 0;
        while proposals.message().await?.is_some() {
            accepted += 1;
            if self.case.fault_after() == Some(accepted) {
                self.inject_fault().await?;
                break;
            }
        }
        let results = vec![v1::ProposalResult { message: self.text(), ..Default::default() }];
        let accepted = accepted as u64;
        Ok(Response::new(v1::SubmitProposalsSummary { accepted, results, ..Default::default() }))
    }
}

#[tonic::async_trait]
impl OrderControlService for Stub {
    type ListOrdersStream = BoxStream<v1::OrderSummary>;

    async fn pause(
        &self,
        _: Request<v1::PauseRequest>,
    ) -> Result<Response<v1::ActResponse>, Status> {
        self.begin()?;
        self.inject_fault().await?;
        Ok(Response::new(v1::ActResponse { message: self.text(), ..Default::default() }))
    }

    async fn list_orders(
        &self,
        _: Request<v1::ListOrdersRequest>,
    ) -> Result<Response<Self::ListOrdersStream>, Status> {
        Ok(Response::new(Box::pin(stream::empty())))
    }

    async fn resume(
        &self,
        _: Request<v1::ResumeRequest>,
    ) -> Result<Response<v1::ActResponse>, Status> {
        Err(Status::internal("the password of the store is hunter2"))
    }

    async fn extend(
        &self,
        request: Request<v1::ExtendRequest>,
    ) -> Result<Response<v1::ActResponse>, Status> {
        let identity = request.extensions().get::<orderstream_rpc::observe::Identity>().unwrap();
        Ok(Response::new(v1::ActResponse { message: identity.0.to_string(), ..Default::default() }))
    }

    async fn award(
        &self,
        _: Request<v1::AwardRequest>,
    ) -> Result<Response<v1::ActResponse>, Status> {
        Ok(Response::new(v1::ActResponse::default()))
    }

    async fn undo_award(
        &self,
        _: Request<v1::UndoAwardRequest>,
    ) -> Result<Response<v1::ActResponse>, Status> {
        Ok(Response::new(v1::ActResponse::default()))
    }

    async fn close(
        &self,
        _: Request<v1::CloseRequest>,
    ) -> Result<Response<v1::ActResponse>, Status> {
        Ok(Response::new(v1::ActResponse::default()))
    }

    async fn cancel(
        &self,
        _: Request<v1::CancelRequest>,
    ) -> Result<Response<v1::ActResponse>, Status> {
        Ok(Response::new(v1::ActResponse::default()))
    }

    async fn get_order(
        &self,
        _: Request<v1::GetOrderRequest>,
    ) -> Result<Response<v1::OrderState>, Status> {
        Ok(Response::new(v1::OrderState::default()))
    }

    async fn locate_order(
        &self,
        _: Request<v1::LocateOrderRequest>,
    ) -> Result<Response<v1::LocateOrderResponse>, Status> {
        Ok(Response::new(v1::LocateOrderResponse::default()))
    }

    async fn meet_processor(
        &self,
        _: Request<v1::MeetProcessorRequest>,
    ) -> Result<Response<v1::MeetProcessorResponse>, Status> {
        Ok(Response::new(v1::MeetProcessorResponse::default()))
    }
}
