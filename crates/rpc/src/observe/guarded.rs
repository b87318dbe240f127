//! The response body inside the error boundary, and the statuses that the boundary sends.

use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use orderstream_core::refusal::{Reason, Refusal};
use pin_project_lite::pin_project;
use tokio::time::Sleep;
use tonic::{Code, Status, TimeoutExpired};
use tower::BoxError;

use super::code::code_in;
use super::{CallContext, RpcSide};
use crate::status::status_from_refusal;

/// The prefixes of prost's error for bytes that cannot be decoded, and of tonic's for bytes that
/// cannot be decompressed.
const UNREADABLE: [&str; 2] = ["failed to decode Protobuf message", "Error decompressing"];
/// The text of tonic's error for a call that ended before its message arrived.
const NO_MESSAGE: &str = "Missing request message.";
/// The prefixes of tonic's errors for a message over the limit: as it is sent, as it was received,
/// or while it is decompressed.
const TOO_LARGE: [&str; 3] = [
    "Error, encoded message length too large",
    "Error, decoded message length too large",
    "Error decompressing: size limit",
];

/// A call's deadline.
pub(super) type Deadline = Option<Pin<Box<Sleep>>>;

/// Reports whether the deadline has passed; otherwise wakes the task when it does.
pub(super) fn has_elapsed(deadline: &mut Deadline, cx: &mut Context<'_>) -> bool {
    deadline.as_mut().is_some_and(|sleep| sleep.as_mut().poll(cx).is_ready())
}

/// Returns the status of a call whose deadline has passed.
pub(super) fn deadline_status() -> Status {
    Status::deadline_exceeded("the call did not end before its deadline")
}

/// Returns the status of a call whose handler panicked; the panic hook has logged the cause.
pub(super) fn panic_status(context: &CallContext) -> Status {
    tracing::error!(method = context.method().path, "handler panicked");
    fault(context)
}

/// Returns the status of a server fault, with only the request id to search the log for.
fn fault(context: &CallContext) -> Status {
    let text = format!("a fault of the server; its log has the cause at {}", context.request_id());
    status_from_refusal(&Refusal::new(Reason::Internal, text))
}

/// Returns the status of an error that is not a response.
pub(super) fn status_of(error: BoxError) -> Status {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(&*error);
    while let Some(cause) = source {
        if cause.is::<TimeoutExpired>() {
            return deadline_status();
        }
        source = cause.source();
    }
    Status::from_error(error)
}

/// Corrects the status in a head or in trailers before a caller receives it: undecodable bytes and
/// messages over the limit are the caller's fault, and server faults are only logged.
pub(super) fn rectify(headers: &mut HeaderMap, context: &CallContext) {
    let suspect = matches!(
        code_in(headers),
        Some(Code::Internal | Code::Unknown | Code::OutOfRange | Code::ResourceExhausted)
    );
    if !suspect {
        return;
    }
    let Some(status) = Status::from_header_map(headers) else { return };
    if let Some(corrected) = rectified(&status, context) {
        write_status(headers, &corrected);
    }
}

/// Returns the corrected status, if the status must be corrected.
fn rectified(status: &Status, context: &CallContext) -> Option<Status> {
    let (message, plain) = (status.message(), status.details().is_empty());
    let opens_with = |prefixes: &[&str]| prefixes.iter().any(|prefix| message.starts_with(prefix));
    if plain && opens_with(&TOO_LARGE) {
        let refusal = Refusal::new(Reason::LimitReached, format!("{message}; send less at once"));
        return Some(status_from_refusal(&refusal));
    }
    if matches!(status.code(), Code::OutOfRange | Code::ResourceExhausted) {
        return None;
    }
    if plain && opens_with(&UNREADABLE) {
        return Some(status_from_refusal(&Refusal::new(Reason::InvalidRequest, message)));
    }
    if plain && message == NO_MESSAGE {
        let text = "the call ended before its message came";
        return Some(status_from_refusal(&Refusal::new(Reason::InvalidRequest, text)));
    }
    tracing::error!(
        method = context.method().path,
        request_id = %context.request_id(),
        cause = message,
        "call failed because of a server fault"
    );
    Some(fault(context))
}

/// Replaces the status in a head or in trailers.
fn write_status(headers: &mut HeaderMap, status: &Status) {
    for name in [Status::GRPC_STATUS, Status::GRPC_MESSAGE, Status::GRPC_STATUS_DETAILS] {
        headers.remove(name);
    }
    if status.add_header(headers).is_err() {
        headers.insert(Status::GRPC_STATUS, http::HeaderValue::from_static("13"));
    }
}

/// Returns a body's last frame.
fn trailers(status: &Status) -> Frame<Bytes> {
    let mut headers = HeaderMap::new();
    write_status(&mut headers, status);
    Frame::trailers(headers)
}

pin_project! {
    /// A response body that always ends with a status: a panic, an error or a passed deadline
    /// becomes trailers, and the inner body is dropped.
    #[derive(Debug)]
    pub struct GuardedBody<B> {
        #[pin]
        inner: Option<B>,
        context: CallContext,
        side: RpcSide,
        deadline: Deadline,
    }
}

impl<B> GuardedBody<B> {
    pub(super) fn new(inner: B, context: CallContext, side: RpcSide, deadline: Deadline) -> Self {
        Self { inner: Some(inner), context, side, deadline }
    }

    /// Creates the body of a response with only a head.
    pub(super) fn empty(context: CallContext, side: RpcSide) -> Self {
        Self { inner: None, context, side, deadline: None }
    }
}

impl<B> Body for GuardedBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let mut this = self.project();
        let Some(inner) = this.inner.as_mut().as_pin_mut() else { return Poll::Ready(None) };
        // The inner body is polled first: a status that has already arrived takes precedence over
        // the deadline's.
        let ended = match catch_unwind(AssertUnwindSafe(|| inner.poll_frame(cx))) {
            Ok(Poll::Ready(None)) => return Poll::Ready(None),
            Ok(Poll::Ready(Some(Ok(mut frame)))) if frame.is_trailers() => {
                if *this.side == RpcSide::Server
                    && let Some(trailers) = frame.trailers_mut()
                {
                    rectify(trailers, this.context);
                }
                return Poll::Ready(Some(Ok(frame)));
            }
            Ok(Poll::Ready(Some(Err(error)))) => status_of(error.into()),
            Ok(_) if has_elapsed(this.deadline, cx) => deadline_status(),
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(Some(Ok(frame)))) => return Poll::Ready(Some(Ok(frame))),
            Err(_) => panic_status(this.context),
        };
        this.inner.set(None);
        let mut frame = trailers(&ended);
        if *this.side == RpcSide::Server
            && let Some(trailers) = frame.trailers_mut()
            && ended.details().is_empty()
        {
            rectify(trailers, this.context);
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}
