//! The buyer's REST: the original system's contract under `/api/v1/orders`.

mod body;
mod problem;
mod view;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use orderstream_core::port::OrderStreams as _;
use orderstream_core::{OrderKey, Reason, Refusal};
use serde_json::json;

use crate::handle::{BuyerAct, BuyerError, Handle, Initiated, not_found};
use body::{ActBody, FollowUpBody, InitiateBody};
use problem::Problem;

/// Bytes in one request's body.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

/// The buyer's REST over a requestor.
pub fn router(handle: Handle) -> Router {
    let orders = Router::new()
        .route("/", get(list))
        .route("/initiate", post(initiate))
        .route("/followup", post(follow_up))
        .route("/finalize/{id}", post(finalize))
        .route("/pause/{id}", post(pause))
        .route("/tracking/status", get(status))
        .route("/tracking/{id}", get(tracking));
    Router::new()
        .nest("/api/v1/orders", orders)
        .fallback(nothing_here)
        .method_not_allowed_fallback(wrong_method)
        .layer(axum::extract::DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(handle)
}

async fn nothing_here(request: Request) -> Problem {
    let path: String = request.uri().path().chars().take(128).collect();
    Problem::new(StatusCode::NOT_FOUND, Reason::InvalidRequest, format!("nothing is at {path}"))
}

async fn wrong_method(request: Request) -> Problem {
    let method = request.method();
    let detail = format!("{method} is not possible here; the Allow header names what is");
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, Reason::InvalidRequest, detail)
}

async fn initiate(State(handle): State<Handle>, request: Request) -> Result<Response, Problem> {
    let (key, spec) = body::read::<InitiateBody>(request).await?.check()?;
    let message = match handle.initiate(key, spec).await.map_err(not_done)? {
        Initiated::Started => "Order processing initiated",
        Initiated::AlreadyProcessed => "Order already being processed",
    };
    Ok(success(message))
}

async fn follow_up(State(handle): State<Handle>, request: Request) -> Result<Response, Problem> {
    let idempotency_key = request.headers().get("idempotency-key").cloned();
    let (key, note) = body::read::<FollowUpBody>(request).await?.check(idempotency_key)?;
    let id = handle.follow_up(key, note).await.map_err(not_done)?;
    let body = json!({ "success": true, "message": "Follow-up added", "follow_up_id": id });
    Ok(Json(body).into_response())
}

async fn finalize(
    State(handle): State<Handle>,
    id: OrderId,
    request: Request,
) -> Result<Response, Problem> {
    let key = key_of(id)?;
    let (award, reason) = body::read_or_default::<ActBody>(request).await?.check()?;
    handle.buyer_act(key, BuyerAct::Finalise(award, reason)).await.map_err(not_done)?;
    Ok(success("Order finalized"))
}

async fn pause(
    State(handle): State<Handle>,
    id: OrderId,
    request: Request,
) -> Result<Response, Problem> {
    let key = key_of(id)?;
    let (_, reason) = body::read_or_default::<ActBody>(request).await?.check()?;
    handle.buyer_act(key, BuyerAct::Pause(reason)).await.map_err(not_done)?;
    Ok(success("Order paused"))
}

async fn status(State(handle): State<Handle>) -> Response {
    Json(view::status(&handle.counts())).into_response()
}

async fn tracking(State(handle): State<Handle>, id: OrderId) -> Result<Response, Problem> {
    let key = key_of(id)?;
    let snapshot = handle.snapshot(&key).ok_or_else(|| not_found(&key))?;
    let spec = handle.spec(&key).unwrap_or_default();
    Ok(Json(view::order(&snapshot, &spec)).into_response())
}

async fn list(State(handle): State<Handle>) -> Response {
    let snapshots = handle.keys().into_iter().filter_map(|key| handle.snapshot(&key));
    let orders: Vec<_> = snapshots.map(|snapshot| view::summary(&snapshot)).collect();
    Json(json!({ "orders": orders })).into_response()
}

type OrderId = Result<Path<String>, PathRejection>;

/// An order's id in a path: of the default tenant, or `tenant/id` with the slash as `%2F`.
fn key_of(id: OrderId) -> Result<OrderKey, Refusal> {
    let Path(id) =
        id.map_err(|rejection| Refusal::new(Reason::InvalidRequest, rejection.body_text()))?;
    match id.split_once('/') {
        Some((tenant, id)) => OrderKey::new(tenant, id),
        None => OrderKey::new("", &id),
    }
}

fn success(message: &str) -> Response {
    Json(json!({ "success": true, "message": message })).into_response()
}

fn not_done(error: BuyerError) -> Problem {
    match error {
        BuyerError::Refused(refusal) => refusal.into(),
        BuyerError::Store(error) => {
            tracing::error!(%error, "a buyer's request is not stored");
            Problem::not_stored()
        }
    }
}

#[cfg(test)]
mod tests;
