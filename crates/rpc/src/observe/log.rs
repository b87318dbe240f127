//! The logging layer: a span around each call, and one log line at its end.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tonic::Code;
use tower::{Layer, Service};
use tracing::{Level, Span};

use super::{CallContext, RpcSide, code_name};
use crate::method::RpcKind;

/// Creates the context of each call and logs the call.
#[derive(Clone, Debug)]
pub struct LogLayer {
    side: RpcSide,
}

impl LogLayer {
    /// Creates the layer of one side.
    pub fn new(side: RpcSide) -> Self {
        Self { side }
    }
}

impl<S> Layer<S> for LogLayer {
    type Service = LogService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        LogService { inner, side: self.side }
    }
}

/// A service whose calls are logged.
#[derive(Clone, Debug)]
pub struct LogService<S> {
    inner: S,
    side: RpcSide,
}

impl<S, B, RB> Service<Request<B>> for LogService<S>
where
    S: Service<Request<B>, Response = Response<RB>>,
{
    type Response = Response<LogBody<RB>>;
    type Error = S::Error;
    type Future = LogFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let context = CallContext::of(&request);
        request.extensions_mut().insert(context.clone());
        if self.side == RpcSide::Client {
            context.propagate(request.headers_mut());
        }
        let guard = LogGuard::start(context, self.side);
        let inner = guard.span.in_scope(|| self.inner.call(request));
        LogFuture { inner, guard: Some(guard) }
    }
}

/// Logs one call exactly once, when it ends or is dropped.
#[derive(Debug)]
struct LogGuard {
    span: Span,
    context: CallContext,
    side: RpcSide,
    started: Instant,
    is_logged: bool,
}

impl LogGuard {
    fn start(context: CallContext, side: RpcSide) -> Self {
        let span = span(&context, side);
        span.in_scope(|| tracing::debug!(peer = ?context.peer(), "call started"));
        Self { span, context, side, started: Instant::now(), is_logged: false }
    }

    /// Drops the span of a client's stream until the call's end. Such a stream logs nothing itself,
    /// and ten thousand of them are open for days.
    fn release_span(&mut self) {
        if self.side == RpcSide::Client && self.context.method().kind.is_streaming() {
            self.span = Span::none();
        }
    }

    /// Logs the call once the inner layers report its end.
    fn log_if_ended(&mut self) {
        if let Some(code) = self.context.code() {
            self.log(code);
        }
    }

    fn log(&mut self, code: Code) {
        if std::mem::replace(&mut self.is_logged, true) {
            return;
        }
        if self.span.is_none() {
            self.span = span(&self.context, self.side);
        }
        let level = level(code, self.context.method().kind, self.side);
        let _entered = self.span.enter();
        macro_rules! line {
            ($level:expr) => {
                tracing::event!(
                    $level,
                    code = code_name(code),
                    received = self.context.received(),
                    sent = self.context.sent(),
                    elapsed_ms = self.started.elapsed().as_secs_f64() * 1e3,
                    trace = self.context.trace_parent().map(tracing::field::display),
                    "call ended"
                )
            };
        }
        match level {
            Level::WARN => line!(Level::WARN),
            Level::INFO => line!(Level::INFO),
            _ => line!(Level::DEBUG),
        }
    }
}

/// Returns the span of a call, with the fields that each of its log lines has.
fn span(context: &CallContext, side: RpcSide) -> Span {
    tracing::info_span!(
        "rpc",
        side = side.as_str(),
        method = context.method().path,
        request_id = %context.request_id(),
    )
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        let code = self.context.code().unwrap_or(Code::Cancelled);
        self.log(code);
    }
}

/// Returns the level of a call's log line: WARN for a server fault, DEBUG for a successful unary
/// call, and INFO otherwise.
fn level(code: Code, kind: RpcKind, side: RpcSide) -> Level {
    let is_fault = matches!(code, Code::Internal | Code::Unknown | Code::DataLoss);
    if is_fault && side == RpcSide::Server {
        Level::WARN
    } else if code == Code::Ok && !kind.is_streaming() {
        Level::DEBUG
    } else {
        Level::INFO
    }
}

pin_project! {
    /// Waits for the head of a response.
    #[derive(Debug)]
    pub struct LogFuture<F> {
        #[pin]
        inner: F,
        // Declared after the inner future, so that it is dropped later and counts what the inner
        // future does on drop.
        guard: Option<LogGuard>,
    }
}

impl<F, RB, E> Future for LogFuture<F>
where
    F: Future<Output = Result<Response<RB>, E>>,
{
    type Output = Result<Response<LogBody<RB>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let polled = match this.guard {
            Some(guard) => guard.span.in_scope(|| this.inner.poll(cx)),
            None => this.inner.poll(cx),
        };
        let mut response = ready!(polled)?;
        let mut guard = this.guard.take();
        if let Some(guard) = &mut guard {
            guard.log_if_ended();
            guard.release_span();
            if guard.side == RpcSide::Server {
                guard.context.propagate(response.headers_mut());
            }
        }
        Poll::Ready(Ok(response.map(|inner| LogBody { inner, guard })))
    }
}

pin_project! {
    /// A response body inside the span of its call.
    #[derive(Debug)]
    pub struct LogBody<B> {
        #[pin]
        inner: B,
        // Declared after the inner body, so that it is dropped later and counts what the inner body
        // does on drop.
        guard: Option<LogGuard>,
    }
}

impl<B: Body<Data = Bytes>> Body for LogBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        let Some(guard) = this.guard else { return this.inner.poll_frame(cx) };
        let polled = guard.span.in_scope(|| this.inner.poll_frame(cx));
        guard.log_if_ended();
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
