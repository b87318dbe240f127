//! Reads bodies within limits, and as JSON whatever their content type, as in the original system.
//! A field that a body's type does not have is refused with the known one that was likely meant.

use std::error::Error;

use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use orderstream_core::input::unknown_field;
use orderstream_core::{Reason, Refusal};
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::error::Category;
use serde_path_to_error::{Path, Segment};

use super::Problem;
use crate::server::http::BodyError;

/// The byte order mark in UTF-8, which some programs write before a text.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

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

/// Returns a body without the byte order mark before its text. A reader of JSON may ignore the mark
/// (RFC 8259, section 8.1). A body that is forwarded keeps it, and with it its length.
pub fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes)
}

/// Parses bytes as one JSON object; a byte order mark before it is ignored.
///
/// # Errors
/// When they are not a JSON object, or when a field cannot be parsed; the refusal names it.
pub fn parse_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    let bytes = without_mark(bytes);
    if !bytes.trim_ascii_start().starts_with(b"{") {
        let text = "the body is not a JSON object; give one, as in {\"order_req_id\": \"SB1\"}";
        return Err(Refusal::new(Reason::InvalidRequest, text));
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(refusal_of)?;
    reader.end().map_err(|error| not_json(&error))?;
    Ok(value)
}

/// Parses the value of a field that was read as any JSON.
///
/// # Errors
/// When it, or a field below it, cannot be parsed; the refusal names it.
pub fn parse_part<T: DeserializeOwned>(field: &str, part: Value) -> Result<T, Refusal> {
    serde_path_to_error::deserialize(part).map_err(|error| {
        let refusal = refusal_of(error);
        match refusal.field {
            Some(_) => refusal.under(field),
            None => Refusal::field(field, refusal.message),
        }
    })
}

fn refusal_of(error: serde_path_to_error::Error<serde_json::Error>) -> Refusal {
    let path = error.path().clone();
    let error = error.into_inner();
    match error.classify() {
        Category::Data if path.iter().next().is_some() => {
            refusal_of_field(&path, &error.to_string())
        }
        Category::Data => {
            let text = format!("the body is not the expected JSON: {error}");
            Refusal::new(Reason::InvalidRequest, text)
        }
        Category::Syntax | Category::Eof | Category::Io => not_json(&error),
    }
}

/// Returns the refusal of a field from the text of its error: serde passes on no more of an unknown
/// field, or of a value of the wrong type.
fn refusal_of_field(path: &Path, text: &str) -> Refusal {
    let field = path.to_string();
    if let Some(Segment::Map { key }) = path.iter().next_back()
        && let Some(known) = known_fields(text, key)
    {
        return unknown_field(&field, key, known);
    }
    match unquoted(text) {
        Some(got) => Refusal::field(field, format!("is {got}; give a text; put it in quotes")),
        None => Refusal::field(field, format!("cannot be read: {text}")),
    }
}

/// Returns the fields that a group has, from the error about one that it lacks; `None` for another
/// error. Names with capitals are second names, which are taken but not suggested.
fn known_fields<'a>(text: &'a str, name: &str) -> Option<impl Iterator<Item = &'a str> + Clone> {
    let rest = text.strip_prefix("unknown field `")?.strip_prefix(name)?.strip_prefix("`, ")?;
    let names = rest.split('`').skip(1).step_by(2);
    Some(names.filter(|name| !name.contains(char::is_uppercase)))
}

/// Returns what stands without quotes in place of a text, from the error about it; `None` for
/// another error.
fn unquoted(text: &str) -> Option<&'static str> {
    let (got, expected) = text.strip_prefix("invalid type: ")?.split_once(", expected ")?;
    let kinds = [("integer", "a number"), ("floating point", "a number"), ("boolean", "a boolean")];
    let kind = kinds.into_iter().find(|(kind, _)| got.starts_with(kind));
    kind.filter(|_| expected.starts_with("a string")).map(|(_, got)| got)
}

fn not_json(error: &serde_json::Error) -> Refusal {
    Refusal::new(Reason::InvalidRequest, format!("the body is not JSON: {error}"))
}
