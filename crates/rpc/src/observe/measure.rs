//! The metrics layer.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tonic::Code;
use tower::{Layer, Service};

use super::code::code_in;
use super::metrics::CallGuard;
use super::{CallContext, CountedBody, ObservedBody, RpcMetrics};

/// Counts calls, messages and durations of one side.
#[derive(Clone, Debug)]
pub struct MetricsLayer {
    metrics: Arc<RpcMetrics>,
}

impl MetricsLayer {
    /// Creates the layer that counts into these series.
    pub fn new(metrics: Arc<RpcMetrics>) -> Self {
        Self { metrics }
    }
}

impl<S> Layer<S> for MetricsLayer {
    type Service = MetricsService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        MetricsService { inner, metrics: Arc::clone(&self.metrics) }
    }
}

/// A service whose calls are counted.
#[derive(Clone, Debug)]
pub struct MetricsService<S> {
    inner: S,
    metrics: Arc<RpcMetrics>,
}

impl<S, B, RB> Service<Request<B>> for MetricsService<S>
where
    S: Service<Request<CountedBody<B>>, Response = Response<RB>>,
    RB: Body<Data = Bytes>,
{
    type Response = Response<ObservedBody<RB>>;
    type Error = S::Error;
    type Future = MetricsFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let context = CallContext::of(&request);
        let guard = CallGuard::start(Arc::clone(&self.metrics), context.clone());
        let metrics = Arc::clone(&self.metrics);
        let request = request.map(|body| CountedBody::new(body, metrics, context));
        MetricsFuture { inner: self.inner.call(request), guard: Some(guard) }
    }
}

pin_project! {
    /// Waits for the head of a response.
    #[derive(Debug)]
    pub struct MetricsFuture<F> {
        #[pin]
        inner: F,
        guard: Option<CallGuard>,
    }
}

impl<F, RB, E> Future for MetricsFuture<F>
where
    F: Future<Output = Result<Response<RB>, E>>,
    RB: Body<Data = Bytes>,
{
    type Output = Result<Response<ObservedBody<RB>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let result = ready!(this.inner.poll(cx));
        let Some(guard) = this.guard.take() else {
            debug_assert!(false, "polled after the end");
            return Poll::Pending;
        };
        let response = match result {
            Ok(response) => response,
            Err(error) => {
                // The boundary inside converts every error that it recognises to a status.
                guard.finish(Code::Unknown);
                return Poll::Ready(Err(error));
            }
        };
        let status = response.status();
        if let Some(code) = code_in(response.headers()) {
            guard.finish(code);
        }
        let ends_here = response.body().is_end_stream();
        let (parts, body) = response.into_parts();
        let body = ObservedBody::new(body, status, guard);
        if ends_here {
            body.finish_at_head();
        }
        Poll::Ready(Ok(Response::from_parts(parts, body)))
    }
}
