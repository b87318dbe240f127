//! Status codes: Go's spelling, and parsing from heads and trailers.

use http::{HeaderMap, StatusCode};
use tonic::{Code, Status};

/// Go's spelling of the 17 codes, by number; public dashboards match on these.
pub const CODE_NAMES: [&str; 17] = [
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
];

/// Returns the index of a code in tables.
pub(super) fn code_index(code: Code) -> usize {
    usize::try_from(i32::from(code)).unwrap_or(2).min(CODE_NAMES.len() - 1)
}

/// Returns Go's spelling of a code.
pub fn code_name(code: Code) -> &'static str {
    CODE_NAMES.get(code_index(code)).copied().unwrap_or("Unknown")
}

/// Returns the code in a head or in trailers. Parses only the number: the details may be malformed.
pub(super) fn code_in(headers: &HeaderMap) -> Option<Code> {
    headers.get(Status::GRPC_STATUS).map(|value| Code::from_bytes(value.as_bytes()))
}

/// Returns the code of a call whose body ends without one, from the HTTP status (gRPC's document
/// "HTTP to gRPC status code mapping").
pub(crate) fn code_without_status(status: StatusCode) -> Code {
    match status.as_u16() {
        400 => Code::Internal,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::Unimplemented,
        429 | 502..=504 => Code::Unavailable,
        _ => Code::Unknown,
    }
}
