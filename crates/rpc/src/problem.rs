//! Refusals on plain HTTP: problem+json (RFC 9457), the same on every port. The reason and the
//! status come from the same table in `core::refusal` as the gRPC code in [`crate::status`].
//!
//! ```json
//! {"type": "https://orderstream.dev/problems/INVALID_FIELD", "title": "Unprocessable Entity",
//!  "status": 422, "reason": "INVALID_FIELD", "field": "price", "detail": "is missing; …"}
//! ```
//!
//! `field` and `metadata` are absent when they are empty; `Retry-After` is the time after which the
//! same request may succeed.

mod body;
mod document;
mod extract;
mod headers;
mod number;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt as _;
use orderstream_core::{Reason, Refusal};
use serde_json::{Map, Value};

pub use self::body::{parse_json, parse_part, read_bytes, read_json, without_mark};
pub use self::document::{complete, pretty_json};
pub use self::extract::{CheckedPath, CheckedQuery, no_query};
pub use self::headers::{idempotency_key, single_header};
pub use self::number::{page_size, position};
use crate::status::ERROR_DOMAIN;

/// The media type of a problem.
pub const CONTENT_TYPE: &str = "application/problem+json";

/// The largest number of characters of a caller's text that a response repeats.
const ECHOED_CHARS_MAX: usize = 128;

/// The largest number of bytes of a plain error's text that are used as the detail.
const PLAIN_BYTES_MAX: usize = 1024;

/// A refusal as an HTTP response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    status: StatusCode,
    refusal: Box<Refusal>,
    /// Service-specific members, in addition to those of all problems.
    members: Option<Box<Map<String, Value>>>,
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let status = StatusCode::from_u16(refusal.reason.http_status())
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self::with_status(status, refusal)
    }
}

impl Problem {
    /// Creates a problem whose status differs from its reason's: 405, 408, 413, 415, or a 404 that
    /// is not about an order.
    pub fn with_status(status: StatusCode, refusal: Refusal) -> Self {
        Self { status, refusal: Box::new(refusal), members: None }
    }

    /// Adds extension members (RFC 9457); they never replace the standard ones.
    #[must_use]
    pub fn with_members(self, members: Value) -> Self {
        let Value::Object(members) = members else { return self };
        Self { members: Some(Box::new(members)), ..self }
    }

    /// Returns the HTTP status.
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the refusal.
    pub const fn refusal(&self) -> &Refusal {
        &self.refusal
    }

    /// Returns the number of seconds after which a retry makes sense; `None` if none does.
    fn retry_after_s(&self) -> Option<u64> {
        self.refusal.retry_after_ms.map(|ms| ms.div_ceil(1_000).max(1))
    }

    /// Returns the body as JSON.
    fn to_json(&self) -> String {
        let (refusal, reason) = (&self.refusal, self.refusal.reason.as_str());
        let mut body = Map::new();
        let mut put = |name: &str, value: Value| body.insert(name.to_owned(), value);
        put("type", format!("https://{ERROR_DOMAIN}/problems/{reason}").into());
        put("title", self.status.canonical_reason().unwrap_or("Error").into());
        put("status", self.status.as_u16().into());
        put("reason", reason.into());
        put("detail", refusal.message.clone().into());
        if let Some(field) = &refusal.field {
            put("field", field.clone().into());
        }
        if !refusal.metadata.is_empty() {
            let facts = refusal.metadata.iter();
            let facts = facts.map(|(name, value)| (name.clone(), value.clone().into()));
            put("metadata", Value::Object(facts.collect()));
        }
        for (name, value) in self.members.iter().flat_map(|members| members.iter()) {
            body.entry(name.clone()).or_insert_with(|| value.clone());
        }
        Value::Object(body).to_string()
    }

    /// Returns the complete HTTP/1.1 response, for a connection that receives nothing else.
    pub(crate) fn to_http1(&self) -> String {
        let body = self.to_json();
        let retry = self.retry_after_s().map(|seconds| format!("retry-after: {seconds}\r\n"));
        format!(
            "HTTP/1.1 {}\r\ncontent-type: {CONTENT_TYPE}\r\n{}connection: close\r\n\
             content-length: {}\r\n\r\n{body}",
            self.status,
            retry.unwrap_or_default(),
            body.len(),
        )
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, self.to_json()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
        if let Some(seconds) = self.retry_after_s() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// The callers that a port is for. The 404 of an unknown path names them: a caller that finds
/// nothing there often means another port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortSide {
    /// The buyers' REST, of `dev` or a requestor.
    Buyers,
    /// The sellers' REST, of a processor.
    Sellers,
    /// Metrics and health, of every role.
    Operators,
}

impl PortSide {
    /// Describes the port, and where its paths and the other side are.
    const fn description(self) -> &'static str {
        match self {
            Self::Buyers => {
                "this is the buyers' port (--server), and /api/v1/openapi.json lists its paths; \
                 the sellers' port is that of a processor, usually 8005"
            }
            Self::Sellers => {
                "this is the sellers' port (--processor-rest), and /api/v1/openapi.json lists its \
                 paths; the buyers' port is that of `dev` or a requestor, usually 8004"
            }
            Self::Operators => {
                "this is the operators' port, which has /metrics, /healthz and /readyz; the \
                 buyers' port is usually 8004, and the sellers' 8005"
            }
        }
    }
}

/// Responds to unknown paths and wrong methods with problems. Must wrap a router that has all its
/// routes.
pub fn with_fallbacks<S: Clone + Send + Sync + 'static>(
    router: Router<S>,
    side: PortSide,
) -> Router<S> {
    router
        .fallback(move |uri: Uri| async move { no_such_path(&uri, side) })
        .method_not_allowed_fallback(wrong_method)
}

fn no_such_path(uri: &Uri, side: PortSide) -> Problem {
    let path: String = uri.path().chars().take(ECHOED_CHARS_MAX).collect();
    let text = format!("nothing is at {path}; {}", side.description());
    Problem::with_status(StatusCode::NOT_FOUND, Refusal::new(Reason::InvalidRequest, text))
}

async fn wrong_method(method: Method) -> Problem {
    let method: String = method.as_str().chars().take(ECHOED_CHARS_MAX).collect();
    let text = format!("{method} is not possible here; the Allow header names what is");
    let refusal = Refusal::new(Reason::InvalidRequest, text);
    Problem::with_status(StatusCode::METHOD_NOT_ALLOWED, refusal)
}

/// Returns a response unchanged, or converts a refusal in another form to a problem: axum's own
/// plain text, or a [`Refusal`] in the extensions, which crates use that do not depend on this one.
/// The server applies this to every response; it costs nothing if there is nothing to convert.
pub(crate) fn normalise_response(response: Response) -> Response {
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return response;
    }
    let (mut head, body) = response.into_parts();
    let refusal = match head.extensions.remove::<Refusal>() {
        Some(refusal) => refusal,
        None if is_json(head.headers.get(header::CONTENT_TYPE)) => {
            return Response::from_parts(head, body);
        }
        None => refusal_of_plain(status, body),
    };
    let mut problem = Problem::with_status(status, refusal).into_response();
    for name in [header::CONTENT_TYPE, header::CONTENT_LENGTH] {
        head.headers.remove(name);
    }
    // The head's other headers, such as Allow, are retained.
    problem.headers_mut().extend(head.headers);
    problem
}

fn is_json(content_type: Option<&HeaderValue>) -> bool {
    content_type.is_some_and(|value| {
        value.as_bytes().starts_with(b"application/json")
            || value.as_bytes().starts_with(CONTENT_TYPE.as_bytes())
    })
}

/// Converts axum's plain-text error to a refusal. The texts of server faults are not for callers.
fn refusal_of_plain(status: StatusCode, body: Body) -> Refusal {
    if status.is_server_error() {
        return Refusal::new(Reason::Internal, "a fault of the server; its log has the cause");
    }
    // axum's own texts are available at once; no other body is worth waiting for.
    let text = axum::body::to_bytes(body, PLAIN_BYTES_MAX).now_or_never();
    let text = text.and_then(Result::ok).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let text = match text.trim() {
        "" => status.canonical_reason().unwrap_or("the request is refused"),
        text => text,
    };
    Refusal::new(Reason::InvalidRequest, text)
}

#[cfg(test)]
mod tests;
