//! The methods of all services and their kinds, taken from the descriptors when the code is
//! generated.

/// The kind of a call: which sides are streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RpcKind {
    /// One message up, one down.
    Unary,
    /// Many messages up, one down.
    ClientStream,
    /// One message up, many down.
    ServerStream,
    /// Many messages up, many down.
    BidiStream,
    /// A method that no server serves.
    Unknown,
}

impl RpcKind {
    /// Returns the value of the metric label `grpc_type`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unary => "unary",
            Self::ClientStream => "client_stream",
            Self::ServerStream => "server_stream",
            Self::BidiStream => "bidi_stream",
            Self::Unknown => "unknown",
        }
    }

    /// Reports whether the call lasts as long as its streams do.
    pub const fn is_streaming(self) -> bool {
        matches!(self, Self::ClientStream | Self::ServerStream | Self::BidiStream)
    }
}

/// One method of one service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MethodInfo {
    /// The HTTP path, `/package.Service/Method`.
    pub path: &'static str,
    /// The service's name with its package.
    pub service: &'static str,
    /// The method's name.
    pub method: &'static str,
    /// The kind of its calls.
    pub kind: RpcKind,
    /// The index in [`METHODS`]; for [`UNKNOWN`], one past its end.
    pub index: usize,
}

include!("gen/methods.rs");

/// The method that unserved paths count as, so that a caller cannot create new series.
pub static UNKNOWN: MethodInfo = MethodInfo {
    path: "unknown",
    service: "unknown",
    method: "unknown",
    kind: RpcKind::Unknown,
    index: METHODS.len(),
};

/// Returns the method with this HTTP path, or [`UNKNOWN`].
pub fn method_of(path: &str) -> &'static MethodInfo {
    METHODS
        .binary_search_by(|method| method.path.cmp(path))
        .ok()
        .and_then(|place| METHODS.get(place))
        .unwrap_or(&UNKNOWN)
}
