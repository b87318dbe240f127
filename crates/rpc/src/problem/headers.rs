//! Parses headers; refusals name the wrong header.

use axum::http::HeaderMap;
use orderstream_core::{IdempotencyKey, Refusal};

/// Returns the text of a header that may occur at most once.
///
/// # Errors
/// When it occurs twice, or is not plain text; the refusal names `field`.
pub fn single_header<'a>(
    headers: &'a HeaderMap,
    name: &str,
    field: &str,
) -> Result<Option<&'a str>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Refusal::field(field, "is given twice; give it once"));
    }
    let text = value.to_str();
    text.map(Some).map_err(|_| Refusal::field(field, "is not plain text; use letters, digits"))
}

/// Returns the caller's `Idempotency-Key`, quoted or not.
///
/// # Errors
/// When it occurs twice, or is not a valid key.
pub fn idempotency_key(headers: &HeaderMap) -> Result<Option<IdempotencyKey>, Refusal> {
    let text = single_header(headers, "idempotency-key", "idempotency_key")?;
    text.map(|text| IdempotencyKey::new(text.trim_matches('"'))).transpose()
}
