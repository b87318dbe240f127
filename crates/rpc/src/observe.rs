//! Logging, metrics and error handling for servers and clients, alike for all four RPC kinds.
//!
//! Three small tower layers over one [`CallContext`], outermost first:
//!
//! ```text
//! LogLayer       makes the context; one span and one line per call
//! MetricsLayer   counts: only the body's trailers have the code
//! BoundaryLayer  deadline, panics and errors become a status; faults are redacted
//! (server) AuthorizeLayer, then the routes     (client) the channel
//! ```
//!
//! A call is over at its trailers, at a status in its head, at the end of its body, or when it is
//! dropped (then it is `Canceled`). If the connection breaks just then, trailers that were passed
//! on may still not reach the peer; the call is counted with the handler's code nevertheless, as in
//! Go.

mod authorize;
mod body;
mod boundary;
mod code;
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
pub use context::{CallContext, RequestId};
pub use counter::MessageCounter;
pub use guarded::GuardedBody;
pub use log::{LogBody, LogFuture, LogLayer, LogService};
pub use measure::{MetricsFuture, MetricsLayer, MetricsService};
pub use metrics::RpcMetrics;
pub use trace::TraceParent;

use std::sync::Arc;

use tower::layer::util::Stack;

/// The observed end of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RpcSide {
    /// The end that responds.
    Server,
    /// The end that calls.
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

/// The layers of a client: boundary inside metrics inside log.
pub type ClientLayers = Stack<BoundaryLayer, Stack<MetricsLayer, LogLayer>>;

/// The layers of a server: authorisation inside the layers of a client.
pub type ServerLayers = Stack<AuthorizeLayer, ClientLayers>;

/// Returns all layers of a server, for `tonic::transport::Server::layer` or around `Routes`.
pub fn server_layers(
    metrics: &Arc<RpcMetrics>,
    authorize: Arc<dyn Authorize>,
    cap: DeadlineCap,
) -> ServerLayers {
    Stack::new(AuthorizeLayer::new(authorize), layers(metrics, cap))
}

/// Returns all layers of a client, to be put around a channel.
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
