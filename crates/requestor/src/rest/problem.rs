//! Errors as problem+json (RFC 9457), with the same reasons as everywhere.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use orderstream_core::{Reason, Refusal};
use serde_json::{Map, Value, json};

/// An answer that says what is wrong.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// The caller can put it right, or try again.
    Refused(Box<Refusal>),
    /// The order store failed; the original system's answer.
    NotStored,
}

impl Problem {
    pub(super) fn new(status: StatusCode, reason: Reason, detail: impl Into<String>) -> Self {
        Self { status, kind: Kind::Refused(Box::new(Refusal::new(reason, detail))) }
    }

    pub(super) const fn not_stored() -> Self {
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, kind: Kind::NotStored }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let status = StatusCode::from_u16(refusal.reason.http_status());
        let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self { status, kind: Kind::Refused(Box::new(refusal)) }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let refusal = match self.kind {
            Kind::Refused(refusal) => refusal,
            Kind::NotStored => {
                let message = "Failed to update order request status";
                let body = json!({ "success": false, "message": message });
                return (self.status, Json(body)).into_response();
            }
        };
        let reason = refusal.reason.as_str();
        let mut body = Map::new();
        let mut put = |name: &str, value: Value| body.insert(name.to_owned(), value);
        put("type", json!(format!("urn:orderstream:reason:{reason}")));
        put("title", json!(self.status.canonical_reason().unwrap_or("Error")));
        put("status", json!(self.status.as_u16()));
        put("detail", json!(refusal.message));
        put("reason", json!(reason));
        if let Some(field) = &refusal.field {
            put("field", json!(field));
        }
        for (name, value) in &refusal.metadata {
            put(name, json!(value));
        }
        let mut response = (self.status, Json(Value::Object(body))).into_response();
        let headers = response.headers_mut();
        let kind = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, kind);
        if let Some(ms) = refusal.retry_after_ms {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(ms.div_ceil(1_000).max(1)));
        }
        response
    }
}
