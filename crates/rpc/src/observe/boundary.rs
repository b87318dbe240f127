//! The error boundary: every failure inside it becomes a status.

use std::convert::Infallible;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tonic::Status;
use tower::{BoxError, Layer, Service};

use super::guarded::{Deadline, deadline_status, has_elapsed, panic_status, rectify, status_of};
use super::timeout::grpc_timeout;
use super::{CallContext, GuardedBody, RpcSide};
use crate::method::RpcKind;

/// The longest duration of calls, whatever deadline the caller sets; calls whose response is a
/// stream have no cap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeadlineCap {
    /// The cap of unary calls.
    pub unary: Option<Duration>,
    /// The cap of client-streaming calls.
    pub client_stream: Option<Duration>,
}

impl DeadlineCap {
    /// Returns the deadline of a call: the caller's, or the cap if that is shorter.
    fn apply(self, kind: RpcKind, headers: &HeaderMap) -> Deadline {
        let cap = match kind {
            RpcKind::Unary | RpcKind::Unknown => self.unary,
            RpcKind::ClientStream => self.client_stream,
            RpcKind::ServerStream | RpcKind::BidiStream => None,
        };
        let shortest = grpc_timeout(headers).into_iter().chain(cap).min()?;
        Some(Box::pin(tokio::time::sleep(shortest)))
    }
}

/// Enforces deadlines, catches panics, converts every error to a status and hides server faults.
#[derive(Clone, Debug)]
pub struct BoundaryLayer {
    side: RpcSide,
    cap: DeadlineCap,
}

impl BoundaryLayer {
    /// Creates the boundary of one side.
    pub fn new(side: RpcSide, cap: DeadlineCap) -> Self {
        Self { side, cap }
    }
}

impl<S> Layer<S> for BoundaryLayer {
    type Service = BoundaryService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        BoundaryService { inner, side: self.side, cap: self.cap, not_ready: None }
    }
}

/// A service that always responds.
#[derive(Clone, Debug)]
pub struct BoundaryService<S> {
    inner: S,
    side: RpcSide,
    cap: DeadlineCap,
    not_ready: Option<Status>,
}

impl<S, B, RB> Service<Request<B>> for BoundaryService<S>
where
    S: Service<Request<B>, Response = Response<RB>>,
    S::Error: Into<BoxError>,
    RB: Body<Data = Bytes>,
{
    type Response = Response<GuardedBody<RB>>;
    type Error = Infallible;
    type Future = BoundaryFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        if self.not_ready.is_none()
            && let Err(error) = std::task::ready!(self.inner.poll_ready(cx))
        {
            self.not_ready = Some(status_of(error.into()));
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let context = CallContext::of(&request);
        let deadline = self.cap.apply(context.method().kind, request.headers());
        let (inner, ended) = match self.not_ready.take() {
            Some(status) => (None, Some(status)),
            None => match catch_unwind(AssertUnwindSafe(|| self.inner.call(request))) {
                Ok(inner) => (Some(inner), None),
                Err(_) => (None, Some(panic_status(&context))),
            },
        };
        BoundaryFuture { inner, ended, context, side: self.side, deadline }
    }
}

pin_project! {
    /// Waits for the head of a response.
    #[derive(Debug)]
    pub struct BoundaryFuture<F> {
        #[pin]
        inner: Option<F>,
        ended: Option<Status>,
        context: CallContext,
        side: RpcSide,
        deadline: Deadline,
    }
}

impl<F, RB, E> Future for BoundaryFuture<F>
where
    F: Future<Output = Result<Response<RB>, E>>,
    RB: Body<Data = Bytes>,
    E: Into<BoxError>,
{
    type Output = Result<Response<GuardedBody<RB>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let (context, side) = (this.context.clone(), *this.side);
        if let Some(inner) = this.inner.as_mut().as_pin_mut() {
            let ended = match catch_unwind(AssertUnwindSafe(|| inner.poll(cx))) {
                Ok(Poll::Pending) if !has_elapsed(this.deadline, cx) => return Poll::Pending,
                Ok(Poll::Pending) => deadline_status(),
                Ok(Poll::Ready(Ok(mut response))) => {
                    if side == RpcSide::Server {
                        rectify(response.headers_mut(), &context);
                    }
                    let deadline = this.deadline.take();
                    let body = |inner| GuardedBody::new(inner, context, side, deadline);
                    return Poll::Ready(Ok(response.map(body)));
                }
                Ok(Poll::Ready(Err(error))) => status_of(error.into()),
                Err(_) => panic_status(&context),
            };
            this.inner.set(None);
            *this.ended = Some(ended);
        }
        let Some(status) = this.ended.take() else {
            debug_assert!(false, "polled after the end");
            return Poll::Pending;
        };
        Poll::Ready(Ok(head_only_response(&status, &context, side)))
    }
}

/// Returns a response with only a head: gRPC's trailers-only form.
fn head_only_response<RB>(
    status: &Status,
    context: &CallContext,
    side: RpcSide,
) -> Response<GuardedBody<RB>> {
    let head = status.clone().into_http::<()>();
    let mut response = head.map(|()| GuardedBody::empty(context.clone(), side));
    if side == RpcSide::Server && status.details().is_empty() {
        rectify(response.headers_mut(), context);
    }
    response
}
