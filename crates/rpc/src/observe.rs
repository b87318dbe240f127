//! Logging, metrics and error handling for servers and clients, the same for all four RPC kinds.
//!
//! Three small tower layers over one [`CallContext`], outermost first:
//!
//! ```text
//! LogLayer       creates the context; one span and one log line per call
//! MetricsLayer   counts the call; only the body's trailers have the code
//! BoundaryLayer  deadlines, panics and errors become a status; faults are redacted
//! (server) AuthorizeLayer, then the routes     (client) the channel
//! ```
//!
//! Around a server's layers is `ContentTypeLayer`: a request that is not gRPC is no call.
//!
//! A call ends at its trailers, at a status in its head, at the end of its body, or when it is
//! dropped (then it is `Canceled`). If the connection breaks at that moment, trailers that were
//! passed on may not reach the peer; the call is still counted with the handler's code, as in Go.

mod authorize;
mod body;
mod boundary;
mod code;
mod content_type;
mod context;
mod counter;
mod guarded;
mod log;
mod measure;
mod metrics;
mod timeout;
mod trace;

pub use authorize::{AllowAll, Authorize, AuthorizeLayer, AuthorizeService, Caller, Identity};
pub use body::{CountedBody, ObservedBody};
pub use boundary::{BoundaryFuture, BoundaryLayer, BoundaryService, DeadlineCap};
pub(crate) use code::code_without_status;
pub use code::{CODE_NAMES, code_name};
pub use content_type::{ContentTypeFuture, ContentTypeLayer, ContentTypeService};
pub use context::{CallContext, RequestId};
pub use counter::MessageCounter;
pub use guarded::GuardedBody;
pub use log::{LogBody, LogFuture, LogLayer, LogService};
pub use measure::{MetricsFuture, MetricsLayer, MetricsService};
pub use metrics::RpcMetrics;
pub use trace::TraceParent;

use std::sync::Arc;

use tower::layer::util::Stack;

/// The side on which a call is observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RpcSide {
    /// The side that responds.
    Server,
    /// The side that calls.
    Client,
}

impl RpcSide {
    /// Returns the name of the side in metric names and log lines.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client => "client",
        }
    }
}

/// The layers of a client: log around metrics around boundary.
pub type ClientLayers = Stack<BoundaryLayer, Stack<MetricsLayer, LogLayer>>;

/// The layers of a server: a client's layers around authorisation, for requests that are gRPC.
pub type ServerLayers = Stack<Stack<AuthorizeLayer, ClientLayers>, ContentTypeLayer>;

/// Returns all layers of a server, for `tonic::transport::Server::layer` or around `Routes`.
pub fn server_layers(
    metrics: &Arc<RpcMetrics>,
    authorize: Arc<dyn Authorize>,
    cap: DeadlineCap,
) -> ServerLayers {
    let of_calls = Stack::new(AuthorizeLayer::new(authorize), layers(metrics, cap));
    Stack::new(of_calls, ContentTypeLayer)
}

/// Returns all layers of a client, to wrap a channel.
pub fn client_layers(metrics: &Arc<RpcMetrics>) -> ClientLayers {
    layers(metrics, DeadlineCap::default())
}

/// Returns the layers that both sides have.
fn layers(metrics: &Arc<RpcMetrics>, cap: DeadlineCap) -> ClientLayers {
    let side = metrics.side();
    Stack::new(
        BoundaryLayer::new(side, cap),
        Stack::new(MetricsLayer::new(Arc::clone(metrics)), LogLayer::new(side)),
    )
}
