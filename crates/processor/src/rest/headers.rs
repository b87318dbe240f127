//! The headers that make a request safe: `Idempotency-Key` against a second execution, `If-Match`
//! against overwriting changes that the caller does not know of; and the `ETag` that responses
//! carry for the latter.

use axum::Json;
use axum::http::header::{ETAG, IF_MATCH};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use orderstream_core::command::Precondition;
use orderstream_core::{Command, CommandKind, IdempotencyKey, OrderKey, Refusal, Reply, Seq};
use orderstream_rpc::problem::{idempotency_key, single_header};
use serde::Serialize;

use crate::orders::OwnedOrders;

/// The idempotency key and the condition of a request.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct CommandConditions {
    key: Option<IdempotencyKey>,
    expected: Option<Precondition>,
}

impl CommandConditions {
    /// Reads the headers of a command on an order, whose ETag is the number of its last event.
    pub(super) fn of_order(headers: &HeaderMap) -> Result<Self, Refusal> {
        let expected = if_match(headers)?.map(|seen| Precondition::LastSeq(Seq(seen)));
        Ok(Self { key: idempotency_key(headers)?, expected })
    }

    /// Reads the headers of a command on a proposal, whose ETag is its version.
    pub(super) fn of_proposal(headers: &HeaderMap) -> Result<Self, Refusal> {
        // A version that does not fit exists for no proposal; the largest number is never current.
        let version = |seen| Precondition::Version(u32::try_from(seen).unwrap_or(u32::MAX));
        Ok(Self { key: idempotency_key(headers)?, expected: if_match(headers)?.map(version) })
    }

    /// Executes the command.
    pub(super) async fn execute(
        self,
        orders: &OwnedOrders,
        key: &OrderKey,
        body: CommandKind,
    ) -> Result<Reply, Refusal> {
        let command = Command { key: self.key, precondition: self.expected, ..Command::bare(body) };
        orders.execute(key, command).await
    }
}

/// Returns the number in `If-Match`; absent for `*`, which matches anything that exists.
fn if_match(headers: &HeaderMap) -> Result<Option<u64>, Refusal> {
    let Some(text) = single_header(headers, IF_MATCH.as_str(), "if-match")? else {
        return Ok(None);
    };
    let text = text.trim();
    if text == "*" {
        return Ok(None);
    }
    let number = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    let is_number = |text: &&str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let number = number.filter(is_number).and_then(|number| number.parse().ok());
    number.map(Some).ok_or_else(|| {
        Refusal::field(
            "if-match",
            "is no ETag from here; give \"7\" as the ETag header had it, or *",
        )
    })
}

/// Makes a response with a body and its ETag.
pub(super) fn with_etag(number: u64, body: &impl Serialize) -> Response {
    let mut response = Json(body).into_response();
    // Digits in quotes are always a valid header value; the response would be right without it too.
    if let Ok(value) = HeaderValue::from_str(&format!("\"{number}\"")) {
        response.headers_mut().insert(ETAG, value);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    /// `*` is accepted as well.
    #[test]
    fn only_own_etags_are_accepted() {
        for (text, expected) in [("\"7\"", Some(7)), (" \"0\" ", Some(0)), ("*", None)] {
            assert_eq!(if_match(&headers(&[("if-match", text)])), Ok(expected), "{text}");
        }
        for wrong in ["7", "", "\"\"", "\"x\"", "W/\"7\"", "\"1\", \"2\"", "\"-1\"", "\"+1\"", "\""]
        {
            let refusal = if_match(&headers(&[("if-match", wrong)])).unwrap_err();
            assert_eq!(refusal.field.as_deref(), Some("if-match"), "{wrong}");
        }
        let huge = headers(&[("if-match", "\"4294967296\"")]);
        let conditions = CommandConditions::of_proposal(&huge).unwrap();
        assert_eq!(
            conditions.expected,
            Some(Precondition::Version(u32::MAX)),
            "and never a smaller one"
        );
    }

    #[test]
    fn repeated_headers_are_refused() {
        for (name, field) in [("if-match", "if-match"), ("idempotency-key", "idempotency_key")] {
            let twice = headers(&[(name, "\"1\""), (name, "\"2\"")]);
            assert_eq!(
                CommandConditions::of_order(&twice).unwrap_err().field.as_deref(),
                Some(field)
            );
        }
    }
}
