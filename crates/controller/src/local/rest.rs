//! The paths of a Kubernetes API server, as far as the buyer's verbs need them.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use axum::{Json, Router};
use orderstream_core::{Reason, Refusal};
use serde_json::{Value, json};

use super::{Applied, LocalOrderRequests};
use crate::manifest::{self, API_VERSION, Manifest};
use crate::order_request::OrderRequest;

/// Largest body, bytes.
pub const BODY_BYTES_MAX: usize = 64 << 10;

/// The routes, ready to be merged with others.
pub fn router(local: LocalOrderRequests) -> Router {
    let base = format!("/apis/{API_VERSION}");
    Router::new()
        .route(&format!("{base}/orderrequests"), get(list_all).fallback(wrong_method))
        .route(
            &format!("{base}/namespaces/{{namespace}}/orderrequests"),
            get(list).fallback(wrong_method),
        )
        .route(
            &format!("{base}/namespaces/{{namespace}}/orderrequests/{{name}}"),
            get(read).put(apply).patch(apply).delete(delete).fallback(wrong_method),
        )
        .route("/apis/{*path}", any(unknown_path))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(local)
}

/// A refusal as RFC 9457 tells it.
#[derive(Debug)]
struct Problem(Refusal, Option<StatusCode>);

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Self(refusal, None)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self(refusal, status) = self;
        let reason = refusal.reason;
        let status = status
            .or_else(|| StatusCode::from_u16(reason.http_status()).ok())
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut body = json!({
            "type": format!("https://orderstream.dev/problems/{}", reason.as_str()),
            "title": status.canonical_reason().unwrap_or("Error"),
            "status": status.as_u16(),
            "detail": refusal.message,
            "reason": reason.as_str(),
        });
        if let (Some(field), Some(body)) = (refusal.field, body.as_object_mut()) {
            body.insert("field".to_owned(), Value::String(field));
        }
        let kind = [(header::CONTENT_TYPE, "application/problem+json")];
        let mut response = (status, kind, body.to_string()).into_response();
        if let Some(ms) = refusal.retry_after_ms {
            response.headers_mut().insert(header::RETRY_AFTER, ms.div_ceil(1_000).into());
        }
        response
    }
}

async fn list_all(State(local): State<LocalOrderRequests>) -> Json<Value> {
    Json(list_of(&local.list(None)))
}

async fn list(
    State(local): State<LocalOrderRequests>,
    Path(namespace): Path<String>,
) -> Result<Json<Value>, Problem> {
    manifest::namespace(&namespace)?;
    Ok(Json(list_of(&local.list(Some(&namespace)))))
}

fn list_of(items: &[OrderRequest]) -> Value {
    json!({"apiVersion": API_VERSION, "kind": "OrderRequestList", "metadata": {}, "items": items})
}

async fn read(
    State(local): State<LocalOrderRequests>,
    Path((namespace, name)): Path<(String, String)>,
) -> Result<Json<OrderRequest>, Problem> {
    Ok(Json(local.get(&namespace, &name)?))
}

async fn apply(
    State(local): State<LocalOrderRequests>,
    Path((namespace, name)): Path<(String, String)>,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<OrderRequest>), Problem> {
    let resource = resource(&namespace, &name, body)?;
    let tasks = local.0.tasks.clone();
    let applied = tasks.spawn_blocking(move || local.apply(resource)).await;
    let (applied, resource) = applied.map_err(|_| stopped())??;
    let status = match applied {
        Applied::Created => StatusCode::CREATED,
        Applied::Configured | Applied::Unchanged => StatusCode::OK,
    };
    Ok((status, Json(resource)))
}

/// The one OrderRequest of a body, which must be the one that the path names.
fn resource(
    namespace: &str,
    name: &str,
    body: Result<Bytes, BytesRejection>,
) -> Result<OrderRequest, Refusal> {
    let body = body.map_err(|_| {
        let message = format!("the body is too long or was cut; at most {BODY_BYTES_MAX} bytes");
        Refusal::new(Reason::InvalidRequest, message)
    })?;
    let text = std::str::from_utf8(&body)
        .map_err(|_| Refusal::new(Reason::InvalidRequest, "the body is not UTF-8 text"))?;
    let mut manifests = manifest::read("request body", text)?;
    let (Some(Manifest::OrderRequest(mut resource)), true) =
        (manifests.pop(), manifests.is_empty())
    else {
        let message = "the body must hold one OrderRequest and nothing else";
        return Err(Refusal::new(Reason::InvalidRequest, message));
    };
    manifest::namespace(namespace)?;
    if resource.metadata.name.as_deref() != Some(name) {
        let message = "differs from the name in the path; make them equal";
        return Err(Refusal::field("metadata.name", message));
    }
    if resource.metadata.namespace.as_deref().is_some_and(|given| given != namespace) {
        let message = "differs from the namespace in the path; make them equal";
        return Err(Refusal::field("metadata.namespace", message));
    }
    resource.metadata.namespace = Some(namespace.to_owned());
    Ok(*resource)
}

async fn delete(
    State(local): State<LocalOrderRequests>,
    Path((namespace, name)): Path<(String, String)>,
) -> Result<Json<OrderRequest>, Problem> {
    let tasks = local.0.tasks.clone();
    let deleted = tasks.spawn_blocking(move || local.delete(&namespace, &name)).await;
    Ok(Json(deleted.map_err(|_| stopped())??))
}

fn stopped() -> Refusal {
    Refusal::new(Reason::Internal, "the request could not be finished; the log has the cause")
}

async fn unknown_path() -> Problem {
    let message = format!("unknown path; order requests are under /apis/{API_VERSION}");
    Problem::from(Refusal::new(Reason::OrderNotFound, message))
}

async fn wrong_method() -> Problem {
    let message = "this path takes GET, and one resource also PUT, PATCH and DELETE";
    let refusal = Refusal::new(Reason::InvalidRequest, message);
    Problem(refusal, Some(StatusCode::METHOD_NOT_ALLOWED))
}
