//! Faults in a MongoDB URL, and the classification of the driver's errors for a projection.

use mongodb::error::{Error as DriverError, ErrorKind, WriteFailure};
use orderstream_core::port::ProjectionError;

use crate::endpoint::MongoEndpoint;

/// The error code of a second document with the same id.
const DUPLICATE_KEY: i32 = 11_000;
/// The error codes of documents that are always refused: bad value, failed to parse, type mismatch,
/// path not viable, validation failed, too large, not storable as an index key.
const REJECTION_CODES: [i32; 7] = [2, 9, 14, 28, 121, 10_334, 17_280];

/// A fault in the URL. Its text contains no part of the URL that may be secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Error(pub(crate) String);

/// Returns the fault in a URL's options. The driver's own text is omitted: it may contain parts of
/// the URL.
pub(crate) fn options_error(endpoint: &MongoEndpoint, error: &DriverError) -> Error {
    let is_file_error =
        matches!(&*error.kind, ErrorKind::InvalidTlsConfig { .. } | ErrorKind::Io(_));
    let text = match is_file_error {
        true => "names a file that cannot be used as tlsCAFile or tlsCertificateKeyFile",
        false => "has options that do not go together",
    };
    Error(format!("'{endpoint}' {text}"))
}

/// Classifies the driver's error. An error that is not known to be final is retried.
pub(crate) fn projection_error(error: &DriverError) -> ProjectionError {
    let code = code_of(error);
    match code {
        Some(DUPLICATE_KEY) => return ProjectionError::Moved,
        Some(code) if REJECTION_CODES.contains(&code) => {
            return ProjectionError::Refused(error.kind.to_string());
        }
        Some(_) | None => {}
    }
    let is_permanent = matches!(
        &*error.kind,
        ErrorKind::InvalidArgument { .. } | ErrorKind::BsonSerialization(_) | ErrorKind::Bson(_)
    );
    match is_permanent {
        true => ProjectionError::Refused(error.kind.to_string()),
        false => ProjectionError::Unavailable(error.kind.to_string()),
    }
}

fn code_of(error: &DriverError) -> Option<i32> {
    if let ErrorKind::Write(WriteFailure::WriteError(write)) = &*error.kind {
        return Some(write.code);
    }
    if let ErrorKind::Command(command) = &*error.kind {
        return Some(command.code);
    }
    None
}
