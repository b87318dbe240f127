//! Reads bodies within limits, and as JSON whatever their content type, as in the original system.

use std::error::Error;

use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use orderstream_core::{Reason, Refusal};
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use super::Problem;
use crate::server::http::BodyError;

/// Reads a request's body of at most `bytes_max` bytes.
///
/// # Errors
/// When it is encoded (415), too large (413), too slow (408) or truncated (400).
pub async fn read_bytes(request: Request, bytes_max: usize) -> Result<Bytes, Problem> {
    refuse_encoded(request.headers())?;
    match Limited::new(request.into_body(), bytes_max).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) => Err(problem_of(&*error, bytes_max)),
    }
}

/// Reads a request's body as one JSON object.
///
/// # Errors
/// As [`read_bytes`] and [`parse_json`].
pub async fn read_json<T: DeserializeOwned>(
    request: Request,
    bytes_max: usize,
) -> Result<T, Problem> {
    Ok(parse_json(&read_bytes(request, bytes_max).await?)?)
}

/// Refuses an encoded body. Bodies are never decompressed: a small body must not become a large
/// one.
fn refuse_encoded(headers: &HeaderMap) -> Result<(), Problem> {
    match headers.get(header::CONTENT_ENCODING) {
        Some(encoding) if !encoding.as_bytes().eq_ignore_ascii_case(b"identity") => {
            let text = "is not possible here; send the body as it is";
            let refusal = Refusal {
                field: Some("content-encoding".to_owned()),
                ..Refusal::new(Reason::InvalidRequest, text)
            };
            Err(Problem::with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE, refusal))
        }
        Some(_) | None => Ok(()),
    }
}

/// Returns the problem of a body that could not be read, from the first known cause in the error's
/// chain.
fn problem_of(error: &(dyn Error + 'static), bytes_max: usize) -> Problem {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<BodyError>() {
            return Problem::from(*error);
        }
        if error.is::<LengthLimitError>() {
            return too_large(bytes_max);
        }
        cause = error.source();
    }
    Refusal::new(Reason::InvalidRequest, "the body was cut; send all of it").into()
}

impl From<BodyError> for Problem {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge(bytes_max) => too_large(bytes_max),
            BodyError::TooSlow(timeout) => {
                let text = format!("the body did not arrive within {} s", timeout.as_secs_f32());
                let refusal = Refusal::new(Reason::InvalidRequest, text);
                Self::with_status(StatusCode::REQUEST_TIMEOUT, refusal)
            }
        }
    }
}

fn too_large(bytes_max: usize) -> Problem {
    let text = format!("the body is too large; at most {bytes_max} bytes are allowed");
    let refusal = Refusal::new(Reason::LimitReached, text).with("bytes_max", bytes_max);
    Problem::with_status(StatusCode::PAYLOAD_TOO_LARGE, refusal)
}

/// Parses bytes as one JSON object.
///
/// # Errors
/// When they are not a JSON object, or when a field cannot be parsed; the refusal names it.
pub fn parse_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    if !bytes.trim_ascii_start().starts_with(b"{") {
        let text = "the body is not a JSON object; give one, as in {\"order_req_id\": \"SB1\"}";
        return Err(Refusal::new(Reason::InvalidRequest, text));
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let error = error.into_inner();
        match error.classify() {
            Category::Data if path != "." => {
                Refusal::field(path, format!("cannot be read: {error}"))
            }
            Category::Data => {
                let text = format!("the body is not the expected JSON: {error}");
                Refusal::new(Reason::InvalidRequest, text)
            }
            Category::Syntax | Category::Eof | Category::Io => not_json(&error),
        }
    })?;
    reader.end().map_err(|error| not_json(&error))?;
    Ok(value)
}

fn not_json(error: &serde_json::Error) -> Refusal {
    Refusal::new(Reason::InvalidRequest, format!("the body is not JSON: {error}"))
}
