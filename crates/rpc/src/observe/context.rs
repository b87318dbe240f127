//! What the three layers know of one call, shared by all of them and by the handler.

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

/// The header that carries the id of a request from end to end.
const REQUEST_ID: &str = "x-request-id";
/// The header of the W3C trace context.
const TRACEPARENT: &str = "traceparent";

/// Names a call in logs on both ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestId {
    /// As the caller gave it: printable, not too long.
    Given(Box<HeaderValue>),
    /// The number of the call; the process's random base comes before it.
    Own(u64),
}

/// Tells the calls of this process from those of others.
static BASE: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(REQUEST_ID));

impl RequestId {
    /// The id in the headers, or a new one.
    fn from_headers(headers: &HeaderMap) -> Self {
        static CALLS: AtomicU64 = AtomicU64::new(0);
        match headers.get(REQUEST_ID) {
            Some(given) if is_printable(given) => Self::Given(Box::new(given.clone())),
            _ => Self::Own(CALLS.fetch_add(1, Ordering::Relaxed)),
        }
    }

    /// The id as a header.
    fn to_header(&self) -> Option<HeaderValue> {
        match self {
            Self::Given(given) => Some(HeaderValue::clone(given)),
            Self::Own(_) => HeaderValue::from_str(&self.to_string()).ok(),
        }
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given(given) => f.write_str(given.to_str().unwrap_or_default()),
            Self::Own(call) => write!(f, "{:016x}-{call:x}", *BASE),
        }
    }
}

/// Whether a header may go into logs and answers.
fn is_printable(value: &HeaderValue) -> bool {
    let bytes = value.as_bytes();
    !bytes.is_empty() && bytes.len() <= REQUEST_ID_LEN_MAX && bytes.iter().all(u8::is_ascii_graphic)
}

/// One call: what is known at its start, and what was counted until now.
#[derive(Clone, Debug)]
pub struct CallContext(Arc<Call>);

#[derive(Debug)]
struct Call {
    method: &'static MethodInfo,
    request_id: RequestId,
    trace_parent: Option<TraceParent>,
    peer: Option<SocketAddr>,
    code: AtomicI32,
    received: AtomicU64,
    sent: AtomicU64,
}

/// Stands for "not over" in `Call::code`.
const OPEN: i32 = -1;

impl CallContext {
    /// Reads the context of a call from its request.
    pub(super) fn of<B>(request: &http::Request<B>) -> Self {
        let extensions = request.extensions();
        if let Some(context) = extensions.get::<Self>() {
            return context.clone();
        }
        let headers = request.headers();
        Self(Arc::new(Call {
            method: method_of(request.uri().path()),
            request_id: RequestId::from_headers(headers),
            trace_parent: headers.get(TRACEPARENT).and_then(TraceParent::from_header),
            peer: peer_of(extensions),
            code: AtomicI32::new(OPEN),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
        }))
    }

    /// The method.
    pub fn method(&self) -> &'static MethodInfo {
        self.0.method
    }

    /// The id of the request, the same on both ends.
    pub fn request_id(&self) -> &RequestId {
        &self.0.request_id
    }

    /// The W3C trace context, when the caller gave one.
    pub fn trace_parent(&self) -> Option<TraceParent> {
        self.0.trace_parent
    }

    /// Who called; `None` on clients and without a socket.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.0.peer
    }

    /// How the call ended; `None` while it goes on.
    pub fn code(&self) -> Option<Code> {
        let code = self.0.code.load(Ordering::Acquire);
        (code != OPEN).then(|| Code::from(code))
    }

    /// Messages received until now.
    pub fn received(&self) -> u64 {
        self.0.received.load(Ordering::Relaxed)
    }

    /// Messages sent until now.
    pub fn sent(&self) -> u64 {
        self.0.sent.load(Ordering::Relaxed)
    }

    /// Puts the id of the request and the trace into the headers of a further call.
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

/// The address of the other end, as the server put it into the request.
fn peer_of(extensions: &Extensions) -> Option<SocketAddr> {
    extensions.get::<TcpConnectInfo>().and_then(TcpConnectInfo::remote_addr)
}
