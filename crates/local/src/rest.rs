//! The paths of a Kubernetes API server, as far as the buyer's verbs need them. PATCH applies a
//! document, as a server-side apply does; PUT replaces the resource.
//!
//! A refused request gets a status and a [`Refusal`] in the response's extensions. This crate does
//! not depend on the one that writes problems, so the server of the routes writes them.

mod sellers;

use axum::body::Bytes;
use axum::extract::path::ErrorKind;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use axum::{Json, Router};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use orderstream_api::convert;
use orderstream_api::manifest::{self, API_VERSION, Manifest, ManifestDocument};
use orderstream_api::order_request::OrderRequest;
use orderstream_core::{Reason, Refusal};
use serde_json::{Value, json};

use super::{LocalApplyOutcome, LocalOrderRequests, LocalSellers};

/// The largest body, bytes.
pub const BODY_BYTES_MAX: usize = 64 << 10;

/// Returns the routes, to be merged with others. Without sellers their paths refuse all requests.
pub fn router(local: LocalOrderRequests, sellers: Option<LocalSellers>) -> Router {
    let base = format!("/apis/{API_VERSION}");
    Router::new()
        .route(&format!("{base}/orderrequests"), get(list_all))
        .route(&format!("{base}/namespaces/{{namespace}}/orderrequests"), get(list))
        .route(
            &format!("{base}/namespaces/{{namespace}}/orderrequests/{{name}}"),
            get(read).put(replace).patch(apply).delete(delete),
        )
        .route("/apis/{*path}", any(unknown_path))
        .with_state(local)
        .merge(sellers::router(&base, sellers))
        .layer(from_fn(no_query))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
}

/// A refusal and its HTTP status, for the server of the routes.
#[derive(Debug)]
struct LocalApiRefusal(Refusal, StatusCode);

impl From<Refusal> for LocalApiRefusal {
    fn from(refusal: Refusal) -> Self {
        let status = StatusCode::from_u16(refusal.reason.http_status())
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self(refusal, status)
    }
}

impl IntoResponse for LocalApiRefusal {
    fn into_response(self) -> Response {
        let mut response = self.1.into_response();
        response.extensions_mut().insert(self.0);
        response
    }
}

/// Refuses a query: applying a request that was meant as a dry run would be worse than refusing it.
async fn no_query(request: Request, next: Next) -> Response {
    let query = request.uri().query().unwrap_or_default();
    let Some(first) = query.split('&').find(|part| !part.is_empty()) else {
        return next.run(request).await;
    };
    let name: String = first.split('=').next().unwrap_or_default().chars().take(128).collect();
    let message = "is not known; this path takes no query parameter, leave it out";
    LocalApiRefusal::from(Refusal::field(name, message)).into_response()
}

type PathExtraction<T> = Result<Path<T>, PathRejection>;

/// Returns the parameters of a path.
fn path_params<T>(given: PathExtraction<T>) -> Result<T, Refusal> {
    let rejection = match given {
        Ok(Path(parameters)) => return Ok(parameters),
        Err(rejection) => rejection,
    };
    if let PathRejection::FailedToDeserializePathParams(failed) = &rejection
        && let ErrorKind::InvalidUtf8InPathParam { key } = failed.kind()
    {
        let message = "is not UTF-8; percent-encode its UTF-8 bytes";
        return Err(Refusal::field(format!("metadata.{key}"), message));
    }
    Err(Refusal::new(Reason::InvalidRequest, rejection.body_text()))
}

/// Reads resources, and returns them once their statuses survive this process.
async fn read_durable(
    local: &LocalOrderRequests,
    read: impl FnOnce(&LocalOrderRequests) -> Result<Vec<OrderRequest>, Refusal> + Send + 'static,
) -> Result<Vec<OrderRequest>, Refusal> {
    let reading = local.clone();
    // An order without a resource is read from the disk.
    let read = local.0.tasks.spawn_blocking(move || read(&reading)).await;
    let read = read.map_err(|_| internal_error())??;
    persist_statuses(local, &read).await?;
    Ok(read)
}

async fn persist_statuses(
    local: &LocalOrderRequests,
    resources: &[OrderRequest],
) -> Result<(), Refusal> {
    let keys: Vec<_> = resources.iter().filter_map(|one| convert::key(one).ok()).collect();
    local.0.streams.persist(&keys).await
}

/// Returns a changed resource in any case; its status only where that survives this process.
async fn change_response(
    local: &LocalOrderRequests,
    mut resource: OrderRequest,
) -> Json<OrderRequest> {
    if let Err(refusal) = persist_statuses(local, std::slice::from_ref(&resource)).await {
        tracing::warn!(%refusal, "a resource is returned without its status");
        resource.status = None;
    }
    Json(resource)
}

async fn list_all(State(local): State<LocalOrderRequests>) -> Result<Json<Value>, LocalApiRefusal> {
    Ok(Json(list_of(&read_durable(&local, |local| Ok(local.list(None))).await?)))
}

async fn list(
    State(local): State<LocalOrderRequests>,
    path: PathExtraction<String>,
) -> Result<Json<Value>, LocalApiRefusal> {
    let namespace = path_params(path)?;
    manifest::namespace(&namespace)?;
    let read = move |local: &LocalOrderRequests| Ok(local.list(Some(&namespace)));
    Ok(Json(list_of(&read_durable(&local, read).await?)))
}

fn list_of(items: &[OrderRequest]) -> Value {
    json!({"apiVersion": API_VERSION, "kind": "OrderRequestList", "metadata": {}, "items": items})
}

async fn read(
    State(local): State<LocalOrderRequests>,
    path: PathExtraction<(String, String)>,
) -> Result<Json<OrderRequest>, LocalApiRefusal> {
    let (namespace, name) = path_params(path)?;
    let read = move |local: &LocalOrderRequests| Ok(vec![local.get(&namespace, &name)?]);
    let mut read = read_durable(&local, read).await?;
    Ok(Json(read.pop().ok_or_else(internal_error)?))
}

/// A changed resource and its status code, or the refusal of the change.
type ChangeReply<T> = Result<(StatusCode, Json<T>), LocalApiRefusal>;

/// The body of a change, or the reason for which it was not received.
type ChangeBody = Result<Bytes, BytesRejection>;

async fn apply(
    State(local): State<LocalOrderRequests>,
    path: PathExtraction<(String, String)>,
    body: ChangeBody,
) -> ChangeReply<OrderRequest> {
    let (namespace, name) = path_params(path)?;
    let (resource, document) = order_request(&namespace, &name, body)?;
    change(local, move |local| local.apply(resource, &document)).await
}

async fn replace(
    State(local): State<LocalOrderRequests>,
    path: PathExtraction<(String, String)>,
    body: ChangeBody,
) -> ChangeReply<OrderRequest> {
    let (namespace, name) = path_params(path)?;
    let (resource, _) = order_request(&namespace, &name, body)?;
    change(local, move |local| local.replace(resource)).await
}

async fn change(
    local: LocalOrderRequests,
    change: impl FnOnce(&LocalOrderRequests) -> Result<(LocalApplyOutcome, OrderRequest), Refusal>
    + Send
    + 'static,
) -> ChangeReply<OrderRequest> {
    let (tasks, changing) = (local.0.tasks.clone(), local.clone());
    let changed = tasks.spawn_blocking(move || change(&changing)).await;
    let (outcome, resource) = changed.map_err(|_| internal_error())??;
    Ok((status_of(outcome), change_response(&local, resource).await))
}

const fn status_of(outcome: LocalApplyOutcome) -> StatusCode {
    match outcome {
        LocalApplyOutcome::Created => StatusCode::CREATED,
        LocalApplyOutcome::Configured | LocalApplyOutcome::Unchanged => StatusCode::OK,
    }
}

fn body_refusal(rejection: &BytesRejection) -> LocalApiRefusal {
    let status = rejection.status();
    let message = if status == StatusCode::PAYLOAD_TOO_LARGE {
        format!("the body is too large; at most {BODY_BYTES_MAX} bytes are allowed")
    } else {
        "the body was cut; send all of it".to_owned()
    };
    LocalApiRefusal(Refusal::new(Reason::InvalidRequest, message), status)
}

/// Reads the one OrderRequest of a body, with its document.
fn order_request(
    namespace: &str,
    name: &str,
    body: ChangeBody,
) -> Result<(OrderRequest, Value), LocalApiRefusal> {
    let ManifestDocument { manifest, document } = one_document(body)?;
    let Manifest::OrderRequest(mut resource) = manifest else {
        return Err(other_kind("OrderRequest").into());
    };
    resource.metadata.namespace = Some(checked_namespace(namespace, name, &resource.metadata)?);
    Ok((*resource, document))
}

/// Reads the one resource of a body.
fn one_document(body: ChangeBody) -> Result<ManifestDocument, LocalApiRefusal> {
    let body = body.map_err(|rejection| body_refusal(&rejection))?;
    let text = std::str::from_utf8(&body)
        .map_err(|_| Refusal::new(Reason::InvalidRequest, "the body is not UTF-8 text"))?;
    let mut documents = manifest::documents("request body", text)?;
    match (documents.pop(), documents.is_empty()) {
        (Some(document), true) => Ok(document),
        (Some(_) | None, _) => {
            let message = "the body must hold one resource and nothing else";
            Err(Refusal::new(Reason::InvalidRequest, message).into())
        }
    }
}

fn other_kind(kind: &str) -> Refusal {
    let message = format!("the body must hold one {kind} and nothing else");
    Refusal::new(Reason::InvalidRequest, message)
}

/// Returns the namespace of a resource, which must be the one that the path names.
fn checked_namespace(
    namespace: &str,
    name: &str,
    metadata: &ObjectMeta,
) -> Result<String, Refusal> {
    manifest::namespace(namespace)?;
    if metadata.name.as_deref() != Some(name) {
        let message = "differs from the name in the path; make them equal";
        return Err(Refusal::field("metadata.name", message));
    }
    if metadata.namespace.as_deref().is_some_and(|given| given != namespace) {
        let message = "differs from the namespace in the path; make them equal";
        return Err(Refusal::field("metadata.namespace", message));
    }
    Ok(namespace.to_owned())
}

async fn delete(
    State(local): State<LocalOrderRequests>,
    path: PathExtraction<(String, String)>,
) -> Result<Json<OrderRequest>, LocalApiRefusal> {
    let (namespace, name) = path_params(path)?;
    let (tasks, deleting) = (local.0.tasks.clone(), local.clone());
    let deleted = tasks.spawn_blocking(move || deleting.delete(&namespace, &name)).await;
    Ok(change_response(&local, deleted.map_err(|_| internal_error())??).await)
}

fn internal_error() -> Refusal {
    Refusal::new(Reason::Internal, "the request could not be finished; the log has the cause")
}

async fn unknown_path() -> LocalApiRefusal {
    let message = format!("unknown path; order requests and sellers are under /apis/{API_VERSION}");
    LocalApiRefusal::from(Refusal::new(Reason::OrderNotFound, message))
}
