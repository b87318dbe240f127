//! A request's body with a limit on its size and its duration.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Sleep;
use tower::BoxError;

use super::limits::DISCARD_BYTES_MAX;

/// The reason for which a body was not read to its end. A reader finds it in the chain of its
/// error's causes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// The body is larger than this number of bytes.
    #[error("the body is larger than {0} bytes")]
    TooLarge(usize),
    /// The body did not end within this time.
    #[error("the body did not end within {0:?}")]
    TooSlow(Duration),
}

/// A body within limits. Its reader receives no byte beyond them.
#[derive(Debug)]
pub(super) struct BoundedBody<B> {
    inner: B,
    bytes_max: usize,
    bytes_left: usize,
    discarded: u64,
    timeout: Duration,
    end: Arc<OnceLock<BodyError>>,
    // Created only when there is something to wait for: most bodies arrive with their heads.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<B: Body<Data = Bytes>> BoundedBody<B> {
    /// Creates a body of at most `bytes_max` bytes, which must end within `timeout` after its first
    /// poll.
    pub(super) fn new(inner: B, bytes_max: usize, timeout: Duration) -> Self {
        let (end, deadline) = (Arc::default(), None);
        Self { inner, bytes_max, bytes_left: bytes_max, discarded: 0, timeout, end, deadline }
    }

    /// Returns the cell for the reason for which the body was not read to its end, for code that
    /// has the response but not its reader's error.
    pub(super) fn end(&self) -> Arc<OnceLock<BodyError>> {
        Arc::clone(&self.end)
    }

    fn fail(&self, error: BodyError) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let error = *self.end.get_or_init(|| error);
        Poll::Ready(Some(Err(error.into())))
    }

    fn is_late(&mut self, cx: &mut Context<'_>) -> bool {
        let timeout = self.timeout;
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
        deadline.as_mut().poll(cx).is_ready()
    }

    /// Reports whether the body's declared length is too large to be worth reading.
    fn is_oversized(&self) -> bool {
        let bounds = u64::try_from(self.bytes_max).unwrap_or(u64::MAX);
        self.inner.size_hint().lower() > bounds.saturating_add(DISCARD_BYTES_MAX)
    }

    /// Reports whether these bytes are within the limit; if not, they are counted as discarded.
    fn admit(&mut self, bytes: &Bytes) -> bool {
        if self.discarded == 0
            && let Some(left) = self.bytes_left.checked_sub(bytes.len())
        {
            self.bytes_left = left;
            return true;
        }
        let more = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.discarded = self.discarded.saturating_add(more.max(1));
        false
    }
}

impl<B> Body for BoundedBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        let too_large = BodyError::TooLarge(this.bytes_max);
        if this.is_oversized() {
            return this.fail(too_large);
        }
        while this.discarded <= DISCARD_BYTES_MAX {
            match Pin::new(&mut this.inner).poll_frame(cx) {
                Poll::Pending if this.is_late(cx) => {
                    return this.fail(BodyError::TooSlow(this.timeout));
                }
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(frame))) => {
                    if frame.data_ref().is_none_or(|bytes| this.admit(bytes)) {
                        return Poll::Ready(Some(Ok(frame)));
                    }
                }
                Poll::Ready(None) if this.discarded == 0 => return Poll::Ready(None),
                Poll::Ready(None) => break,
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error.into()))),
            }
        }
        this.fail(too_large)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream() && self.discarded == 0
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
