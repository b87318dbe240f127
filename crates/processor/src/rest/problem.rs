//! A refusal as problem+json (RFC 9457).

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use orderstream_core::{Reason, Refusal};
use serde_json::json;

/// A refusal on its way out.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    refusal: Refusal,
}

impl Problem {
    pub(super) fn new(status: StatusCode, reason: Reason, detail: String) -> Self {
        Self { status, refusal: Refusal::new(reason, detail) }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let status = StatusCode::from_u16(refusal.reason.http_status())
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self { status, refusal }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self { status, refusal } = self;
        let reason = refusal.reason.as_str();
        let metadata: serde_json::Map<String, serde_json::Value> =
            refusal.metadata.into_iter().map(|(name, value)| (name, value.into())).collect();
        let body = json!({
            "type": format!("https://orderstream.dev/errors/{reason}"),
            "title": status.canonical_reason().unwrap_or("Error"),
            "status": status.as_u16(),
            "reason": reason,
            "detail": refusal.message,
            "field": refusal.field,
            "metadata": metadata,
        });
        let mut response = (status, body.to_string()).into_response();
        let headers = response.headers_mut();
        let problem = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, problem);
        if let Some(ms) = refusal.retry_after_ms {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(ms.div_ceil(1_000)));
        }
        response
    }
}
