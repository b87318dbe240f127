//! The buyer's REST: the original system's contract under `/api/v1/orders`.

mod body;
mod not_done;
mod view;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use orderstream_core::buyer::{Buyer, BuyerAct, Initiated};
use orderstream_core::{OrderKey, Refusal};
use orderstream_rpc::problem::{self, InPath, Problem};
use serde_json::json;

use crate::handle::not_found;
use body::{ActBody, FollowUpBody, InitiateBody};
use not_done::NotDone;

pub use orderstream_rpc::server::http::limits::BODY_BYTES_MAX;

/// Whom the REST asks.
type Served = Arc<dyn Buyer>;

/// The buyer's REST over whoever serves buyers.
pub fn router(buyer: Served) -> Router {
    let orders = Router::new()
        .route("/", get(list))
        .route("/initiate", post(initiate))
        .route("/followup", post(follow_up))
        .route("/finalize/{order_req_id}", post(finalize))
        .route("/pause/{order_req_id}", post(pause))
        .route("/tracking/status", get(status))
        .route("/tracking/{order_req_id}", get(tracking));
    let router = Router::new().nest("/api/v1/orders", orders.layer(from_fn(no_query)));
    problem::everywhere(router).with_state(buyer)
}

/// Refuses a query: a tenant that is given there and not heard would be another buyer's order.
async fn no_query(request: Request, next: Next) -> Response {
    match problem::no_query(request.uri()) {
        Ok(()) => next.run(request).await,
        Err(refusal) => Problem::from(refusal).into_response(),
    }
}

async fn initiate(State(buyer): State<Served>, request: Request) -> Result<Response, NotDone> {
    let (key, spec) = InitiateBody::read(request).await?.check()?;
    let message = match buyer.initiate(key, spec).await? {
        Initiated::Started => "Order processing initiated",
        Initiated::AlreadyProcessed => "Order already being processed",
    };
    Ok(success(message))
}

async fn follow_up(State(buyer): State<Served>, request: Request) -> Result<Response, NotDone> {
    let idempotency_key = request.headers().get("idempotency-key").cloned();
    let (key, note) = FollowUpBody::read(request).await?.check(idempotency_key)?;
    let id = buyer.follow_up(key, note).await?;
    let body = json!({ "success": true, "message": "Follow-up added", "follow_up_id": id });
    Ok(Json(body).into_response())
}

async fn finalize(
    State(buyer): State<Served>,
    InPath(id): InPath<String>,
    request: Request,
) -> Result<Response, NotDone> {
    let key = key_of(&id)?;
    let act = ActBody::read(request).await?.finalise()?;
    buyer.buyer_act(key, act).await?;
    Ok(success("Order finalized"))
}

async fn pause(
    State(buyer): State<Served>,
    InPath(id): InPath<String>,
    request: Request,
) -> Result<Response, NotDone> {
    let key = key_of(&id)?;
    let reason = ActBody::read(request).await?.reason()?;
    buyer.buyer_act(key, BuyerAct::Pause(reason)).await?;
    Ok(success("Order paused"))
}

async fn status(State(buyer): State<Served>) -> Response {
    Json(view::status(&buyer.totals())).into_response()
}

async fn tracking(
    State(buyer): State<Served>,
    InPath(id): InPath<String>,
) -> Result<Response, NotDone> {
    let key = key_of(&id)?;
    let tracked = buyer.tracked(&key).ok_or_else(|| not_found(&key))?;
    Ok(Json(view::order(&tracked)).into_response())
}

async fn list(State(buyer): State<Served>) -> Response {
    let orders: Vec<_> = buyer.all().iter().map(view::summary).collect();
    Json(json!({ "orders": orders })).into_response()
}

/// An order's id in a path: of the default tenant, or `tenant/id` with the slash as `%2F`.
fn key_of(id: &str) -> Result<OrderKey, Refusal> {
    match id.split_once('/') {
        Some((tenant, id)) => OrderKey::new(tenant, id),
        None => OrderKey::new("", id),
    }
}

fn success(message: &str) -> Response {
    Json(json!({ "success": true, "message": message })).into_response()
}

#[cfg(test)]
pub(crate) mod tests;
