//! Which methods there are, and of which kind each is: known from the descriptors when the code
//! is generated, never guessed.

/// Which sides of a call are streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RpcKind {
    /// One message up, one down.
    Unary,
    /// Many messages up, one down.
    ClientStream,
    /// One message up, many down.
    ServerStream,
    /// Many messages both ways.
    BidiStream,
    /// A method that nobody serves.
    Unknown,
}

impl RpcKind {
    /// The value of the metric label `grpc_type`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unary => "unary",
            Self::ClientStream => "client_stream",
            Self::ServerStream => "server_stream",
            Self::BidiStream => "bidi_stream",
            Self::Unknown => "unknown",
        }
    }

    /// Whether the call lives as long as its streams do.
    pub const fn is_streaming(self) -> bool {
        matches!(self, Self::ClientStream | Self::ServerStream | Self::BidiStream)
    }
}

/// One method of one service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MethodInfo {
    /// The HTTP path, `/package.Service/Method`.
    pub path: &'static str,
    /// The service with its package.
    pub service: &'static str,
    /// The method.
    pub method: &'static str,
    /// Which sides are streams.
    pub kind: RpcKind,
    /// The place in [`METHODS`]; of [`UNKNOWN`], one past its end.
    pub index: usize,
}

include!("gen/methods.rs");

/// What every path that nobody serves is counted as: a caller cannot make new series.
pub static UNKNOWN: MethodInfo = MethodInfo {
    path: "unknown",
    service: "unknown",
    method: "unknown",
    kind: RpcKind::Unknown,
    index: METHODS.len(),
};

/// The method with this HTTP path, or [`UNKNOWN`].
pub fn method_of(path: &str) -> &'static MethodInfo {
    METHODS
        .binary_search_by(|method| method.path.cmp(path))
        .ok()
        .and_then(|place| METHODS.get(place))
        .unwrap_or(&UNKNOWN)
}
