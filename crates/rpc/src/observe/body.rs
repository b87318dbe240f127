//! The bodies of a call, counted by the metrics layer.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::StatusCode;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tonic::Code;

use super::code::{code_in, code_without_status};
use super::counter::MessageCounts;
use super::metrics::{CallGuard, RpcMetrics};
use super::{CallContext, MessageCounter, RpcSide};

pin_project! {
    /// A request body whose messages are counted.
    #[derive(Debug)]
    pub struct CountedBody<B> {
        #[pin]
        inner: B,
        counter: MessageCounter,
        metrics: Arc<RpcMetrics>,
        context: CallContext,
    }
}

impl<B> CountedBody<B> {
    pub(super) fn new(inner: B, metrics: Arc<RpcMetrics>, context: CallContext) -> Self {
        Self { inner, counter: MessageCounter::default(), metrics, context }
    }
}

impl<B: Body<Data = Bytes>> Body for CountedBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        let polled = this.inner.poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
        {
            let counts = this.counter.count(data);
            match this.metrics.side() {
                RpcSide::Server => count_received(this.metrics, this.context, counts),
                RpcSide::Client => count_sent(this.metrics, this.context, counts),
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

fn count_received(metrics: &RpcMetrics, context: &CallContext, counts: MessageCounts) {
    if counts.ended > 0 {
        metrics.of(context.method()).received.inc_by(counts.ended);
        context.add_received(counts.ended);
    }
}

fn count_sent(metrics: &RpcMetrics, context: &CallContext, counts: MessageCounts) {
    if counts.begun > 0 {
        metrics.of(context.method()).sent.inc_by(counts.begun);
        context.add_sent(counts.begun);
    }
}

pin_project! {
    /// A response body whose messages are counted and whose end ends the call.
    #[derive(Debug)]
    pub struct ObservedBody<B> {
        #[pin]
        inner: B,
        counter: MessageCounter,
        code_at_end: Code,
        // Declared after the inner body, so that it is dropped later and counts what the inner body
        // does on drop.
        guard: CallGuard,
    }
}

impl<B> ObservedBody<B> {
    pub(super) fn new(inner: B, status: StatusCode, guard: CallGuard) -> Self {
        let code_at_end = match guard.side() {
            RpcSide::Server => Code::Unknown,
            RpcSide::Client => code_without_status(status),
        };
        Self { inner, counter: MessageCounter::default(), code_at_end, guard }
    }

    /// Ends the call if the body is already at its end, so that it will not be polled.
    pub(super) fn finish_at_head(&self) {
        self.guard.finish(self.code_at_end);
    }
}

impl<B: Body<Data = Bytes>> Body for ObservedBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        let polled = this.inner.poll_frame(cx);
        match &polled {
            Poll::Pending => {}
            Poll::Ready(None) => this.guard.finish(*this.code_at_end),
            Poll::Ready(Some(Err(_))) => this.guard.finish(Code::Unknown),
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(data) = frame.data_ref() {
                    let counts = this.counter.count(data);
                    count_response(this.guard, counts);
                } else if let Some(trailers) = frame.trailers_ref() {
                    this.guard.finish(code_in(trailers).unwrap_or(*this.code_at_end));
                }
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

fn count_response(guard: &CallGuard, counts: MessageCounts) {
    let (series, context) = (guard.series(), guard.context());
    match guard.side() {
        RpcSide::Server if counts.begun > 0 => {
            series.sent.inc_by(counts.begun);
            context.add_sent(counts.begun);
        }
        RpcSide::Client if counts.ended > 0 => {
            series.received.inc_by(counts.ended);
            context.add_received(counts.ended);
        }
        RpcSide::Server | RpcSide::Client => {}
    }
}
