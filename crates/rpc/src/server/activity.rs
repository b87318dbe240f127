//! The activity on one connection, which decides when it may end: hyper closes a connection as idle
//! even if a request is in transit, or half of its head has arrived.
//!
//! ```text
//!            bytes                   call                    response sent
//!   silent ────────▶ half a request ──────▶ call in progress ──────────────────────▶ silent
//!     │                                                            │
//!     └── 24 bytes that are HTTP/2's preface ──▶ HTTP/2            └── silent for a while: may end
//! ```
//!
//! HTTP/2 announces the end of a connection (GOAWAY) and still accepts the requests that the peer
//! sent before it read that.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Buf;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;

/// The preface of an HTTP/2 connection (RFC 9113, section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The state of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConnectionState {
    /// No byte was received.
    Silent,
    /// Every received request has a response, and no byte of another request has arrived.
    Idle,
    /// A request or a part of one has arrived.
    Busy,
    /// The connection is HTTP/2.
    Http2,
}

/// The state that the parts of one connection share. HTTP/1.1 runs entirely in the connection's own
/// task.
#[derive(Debug, Default)]
pub(super) struct Activity {
    bytes_read: AtomicU64,
    /// The number of read bytes that belong to requests with a response.
    bytes_answered: AtomicU64,
    calls: AtomicU64,
    is_not_http2: AtomicBool,
    reads_past_runtime: AtomicBool,
    first_call: Notify,
    changed: Notify,
}

impl Activity {
    /// Waits until the head of the first request has arrived.
    pub(super) async fn first_call(&self) {
        self.first_call.notified().await;
    }

    /// Returns the connection's state.
    pub(super) fn state(&self) -> ConnectionState {
        let bytes_read = self.bytes_read.load(Ordering::Acquire);
        let is_http2 = !self.is_not_http2.load(Ordering::Acquire);
        if bytes_read == 0 {
            ConnectionState::Silent
        } else if is_http2 && bytes_read >= PREFACE.len() as u64 {
            ConnectionState::Http2
        } else if self.calls.load(Ordering::Acquire) == 0
            && bytes_read == self.bytes_answered.load(Ordering::Acquire)
        {
            ConnectionState::Idle
        } else {
            ConnectionState::Busy
        }
    }

    /// Waits until the connection is HTTP/2, or has had no request for this long.
    pub(super) async fn may_end(&self, silence: Duration) {
        loop {
            // Cancel-safe: a change in between is stored until it is awaited.
            let changed = self.changed.notified();
            match self.state() {
                ConnectionState::Http2 => return,
                ConnectionState::Busy => changed.await,
                ConnectionState::Silent | ConnectionState::Idle => {
                    if tokio::time::timeout(silence, changed).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    /// Makes reads query the kernel directly from now on: the runtime may not know yet that bytes
    /// have arrived.
    pub(super) fn read_past_runtime(&self) {
        self.reads_past_runtime.store(true, Ordering::Release);
    }

    /// Begins a call; it ends when the returned value is dropped.
    pub(super) fn begin_call(self: &Arc<Self>) -> ActiveCall {
        self.calls.fetch_add(1, Ordering::AcqRel);
        self.first_call.notify_one();
        ActiveCall { activity: Arc::clone(self) }
    }

    fn record_read(&self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let before = self.bytes_read.fetch_add(bytes.len() as u64, Ordering::AcqRel);
        let rest = usize::try_from(before).ok().and_then(|before| PREFACE.get(before..));
        if let Some(rest) = rest
            && !rest.iter().zip(bytes).all(|(expected, byte)| expected == byte)
        {
            self.is_not_http2.store(true, Ordering::Release);
        }
        let is_first_of_request = before == self.bytes_answered.load(Ordering::Acquire);
        if is_first_of_request || rest.is_some_and(|rest| !rest.is_empty()) {
            self.changed.notify_one();
        }
    }
}

/// A call in progress, until it is dropped.
#[derive(Debug)]
pub(super) struct ActiveCall {
    activity: Arc<Activity>,
}

impl Drop for ActiveCall {
    fn drop(&mut self) {
        let activity = &self.activity;
        if activity.calls.fetch_sub(1, Ordering::AcqRel) == 1 {
            let bytes_read = activity.bytes_read.load(Ordering::Acquire);
            activity.bytes_answered.store(bytes_read, Ordering::Release);
            activity.changed.notify_one();
        }
    }
}

pin_project! {
    /// The body of a response, which keeps its call in progress until it has been sent.
    #[derive(Debug)]
    pub(super) struct CallBody<B> {
        #[pin]
        inner: B,
        call: ActiveCall,
    }
}

impl<B> CallBody<B> {
    pub(super) const fn new(inner: B, call: ActiveCall) -> Self {
        Self { inner, call }
    }
}

impl<B: Body<Data: Buf>> Body for CallBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        self.project().inner.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// A stream that can be read without the runtime, which notices new bytes only when it polls.
pub(super) trait ReadNow {
    /// Reads the bytes that the kernel has received, without waiting.
    ///
    /// # Errors
    /// `WouldBlock` when there are no bytes.
    fn read_now(&self, buffer: &mut [u8]) -> io::Result<usize>;
}

impl ReadNow for TcpStream {
    fn read_now(&self, buffer: &mut [u8]) -> io::Result<usize> {
        io::Read::read(&mut &*socket2::SockRef::from(self), buffer)
    }
}

/// A connection without a kernel socket: a read returns all bytes that have arrived.
#[derive(Debug)]
pub(super) struct MemoryStream<S>(pub(super) S);

impl<S> ReadNow for MemoryStream<S> {
    fn read_now(&self, _buffer: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for MemoryStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for MemoryStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

pin_project! {
    /// A connection whose read bytes are reported to its activity.
    #[derive(Debug)]
    pub(super) struct MeteredStream<S> {
        #[pin]
        stream: S,
        activity: Arc<Activity>,
    }
}

impl<S> MeteredStream<S> {
    pub(super) const fn new(stream: S, activity: Arc<Activity>) -> Self {
        Self { stream, activity }
    }
}

impl<S: AsyncRead + ReadNow> AsyncRead for MeteredStream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut this = self.project();
        let before = buffer.filled().len();
        let mut polled = this.stream.as_mut().poll_read(cx, buffer);
        if polled.is_pending()
            && this.activity.reads_past_runtime.load(Ordering::Acquire)
            && let Ok(length @ 1..) = this.stream.read_now(buffer.initialize_unfilled())
        {
            buffer.advance(length);
            polled = Poll::Ready(Ok(()));
        }
        this.activity.record_read(buffer.filled().get(before..).unwrap_or_default());
        polled
    }
}

impl<S: AsyncWrite> AsyncWrite for MeteredStream<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.project().stream.poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().stream.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().stream.poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.project().stream.poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
