//! The context of one call, shared by the three layers and the handler.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use http::{Extensions, HeaderMap, HeaderValue};
use tonic::Code;
use tonic::transport::server::TcpConnectInfo;

use super::trace::TraceParent;
use crate::limits::REQUEST_ID_LEN_MAX;
use crate::method::{MethodInfo, method_of};

/// The header that carries a request's id end to end.
const REQUEST_ID: &str = "x-request-id";
/// The header of the W3C trace context.
const TRACEPARENT: &str = "traceparent";

/// The id of a request in the logs of both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestId {
    /// The caller's id: printable, and not too long.
    Received(Box<HeaderValue>),
    /// The number of the call in this process; the process's random base is its prefix.
    Generated(u64),
}

/// The random base of this process, which distinguishes its calls from those of other processes.
static BASE: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(REQUEST_ID));

impl RequestId {
    /// Returns the id in the headers, or generates one.
    fn from_headers(headers: &HeaderMap) -> Self {
        static CALLS: AtomicU64 = AtomicU64::new(0);
        match headers.get(REQUEST_ID) {
            Some(given) if is_printable(given) => Self::Received(Box::new(given.clone())),
            _ => Self::Generated(CALLS.fetch_add(1, Ordering::Relaxed)),
        }
    }

    /// Returns the id as a header.
    fn to_header(&self) -> Option<HeaderValue> {
        match self {
            Self::Received(given) => Some(HeaderValue::clone(given)),
            Self::Generated(_) => HeaderValue::from_str(&self.to_string()).ok(),
        }
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Received(given) => f.write_str(given.to_str().unwrap_or_default()),
            Self::Generated(call) => write!(f, "{:016x}-{call:x}", *BASE),
        }
    }
}

/// Reports whether a header may go into logs and responses.
fn is_printable(value: &HeaderValue) -> bool {
    let bytes = value.as_bytes();
    !bytes.is_empty() && bytes.len() <= REQUEST_ID_LEN_MAX && bytes.iter().all(u8::is_ascii_graphic)
}

/// One call: the facts known at its start, and its counts so far.
#[derive(Clone, Debug)]
pub struct CallContext(Arc<CallState>);

#[derive(Debug)]
struct CallState {
    method: &'static MethodInfo,
    request_id: RequestId,
    trace_parent: Option<TraceParent>,
    peer: Option<SocketAddr>,
    code: AtomicI32,
    received: AtomicU64,
    sent: AtomicU64,
}

/// The value of `CallState::code` until the call is over.
const OPEN: i32 = -1;

impl CallContext {
    /// Returns the context of a call from its request.
    pub(super) fn of<B>(request: &http::Request<B>) -> Self {
        let extensions = request.extensions();
        if let Some(context) = extensions.get::<Self>() {
            return context.clone();
        }
        let headers = request.headers();
        Self(Arc::new(CallState {
            method: method_of(request.uri().path()),
            request_id: RequestId::from_headers(headers),
            trace_parent: headers.get(TRACEPARENT).and_then(TraceParent::from_header),
            peer: peer_of(extensions),
            code: AtomicI32::new(OPEN),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
        }))
    }

    /// Returns the method.
    pub fn method(&self) -> &'static MethodInfo {
        self.0.method
    }

    /// Returns the request's id, the same on both sides.
    pub fn request_id(&self) -> &RequestId {
        &self.0.request_id
    }

    /// Returns the W3C trace context, if the caller sent one.
    pub fn trace_parent(&self) -> Option<TraceParent> {
        self.0.trace_parent
    }

    /// Returns the caller's address; `None` on clients and without a socket.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.0.peer
    }

    /// Returns the code with which the call ended; `None` while it is in progress.
    pub fn code(&self) -> Option<Code> {
        let code = self.0.code.load(Ordering::Acquire);
        (code != OPEN).then(|| Code::from(code))
    }

    /// Returns the number of messages received so far.
    pub fn received(&self) -> u64 {
        self.0.received.load(Ordering::Relaxed)
    }

    /// Returns the number of messages sent so far.
    pub fn sent(&self) -> u64 {
        self.0.sent.load(Ordering::Relaxed)
    }

    /// Copies the request's id and the trace context to the headers of an outgoing call.
    pub fn propagate(&self, headers: &mut HeaderMap) {
        if let Some(id) = self.0.request_id.to_header() {
            headers.insert(REQUEST_ID, id);
        }
        if let Some(trace) = self.0.trace_parent.and_then(TraceParent::to_header) {
            headers.insert(TRACEPARENT, trace);
        }
    }

    pub(super) fn finish(&self, code: Code) {
        self.0.code.store(i32::from(code), Ordering::Release);
    }

    pub(super) fn add_received(&self, count: u64) {
        self.0.received.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn add_sent(&self, count: u64) {
        self.0.sent.fetch_add(count, Ordering::Relaxed);
    }
}

/// Returns the peer's address, as the server put it into the request. A port that listens on both
/// families has an IPv4 peer's address in the form of IPv6.
fn peer_of(extensions: &Extensions) -> Option<SocketAddr> {
    let peer = extensions.get::<TcpConnectInfo>().and_then(TcpConnectInfo::remote_addr)?;
    Some(SocketAddr::new(peer.ip().to_canonical(), peer.port()))
}
