//! The sellers' REST: the original system's contract under `/api/v1`, and an order's events as
//! server-sent events. Bodies are read as JSON whatever their content type says.

mod body;
mod events;
mod notifications;
mod view;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use orderstream_core::{
    Act, Answer, Command, FollowUpId, IdempotencyKey, OrderKey, Phase, ProposalId, Reason, Refusal,
    SellerId, Seq, Tenant,
};
use orderstream_rpc::problem::{self, InPath, InQuery, Problem};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::limits::{PAGE_ORDERS, PAGE_PROPOSALS};
use crate::orders::Orders;
use crate::peers::{Forwarder, Peers, forwarding};
use body::{AnswerBody, DeclineBody, LockBody, ProposalBody, WithdrawBody};

/// The sellers' REST over a processor's orders; what concerns orders of others is handed to them.
pub(crate) fn forwarding_router(orders: Orders, peers: Peers) -> Router {
    let forwarder = Forwarder::new(orders.clone(), peers);
    router(orders).layer(from_fn_with_state(forwarder, forwarding))
}

/// The sellers' REST over a processor's orders.
pub fn router(orders: Orders) -> Router {
    let router = Router::new()
        .route("/api/v1/proposals", post(propose))
        .route("/api/v1/proposal-submissions", post(propose))
        .route("/api/v1/proposals/{proposal_id}", get(proposal).put(amend))
        .route("/api/v1/proposals/{proposal_id}/followup", post(answer))
        .route("/api/v1/proposals/{proposal_id}/edit-lock", post(lock).delete(unlock))
        .route("/api/v1/proposals/{proposal_id}/withdraw", post(withdraw))
        .route("/api/v1/orders", get(list))
        .route("/api/v1/orders/{order_req_id}", get(order))
        .route("/api/v1/orders/{order_req_id}/proposals", get(proposals))
        .route("/api/v1/orders/{order_req_id}/decline", post(decline))
        .route("/api/v1/orders/{order_req_id}/notifications", get(notifications::of_order))
        .route("/api/v1/dead-letters", get(notifications::dead_letters))
        .route("/api/v1/dead-letters/{notification_id}/replay", post(notifications::replay))
        .route("/orders/{order_req_id}/events", get(events::follow))
        .route("/api/v1/orders/{order_req_id}/events", get(events::follow));
    problem::everywhere(router).with_state(orders)
}

/// Which order a request means, where the path does not say it.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Scope {
    tenant: String,
    order_req_id: String,
}

/// Whose order a path means.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Owner {
    tenant: String,
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<IdempotencyKey>, Refusal> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let text = value
        .to_str()
        .map_err(|_| Refusal::field("idempotency_key", "is not plain text; use letters, digits"))?;
    IdempotencyKey::new(text.trim_matches('"')).map(Some)
}

async fn act(
    orders: &Orders,
    repeat: Option<IdempotencyKey>,
    key: &OrderKey,
    act: Act,
) -> Result<Answer, Refusal> {
    let command = Command { key: repeat, ..Command::bare(act) };
    orders.act(key, command).await
}

/// What a done act answers.
#[derive(Debug, Serialize)]
struct Done<'a> {
    success: bool,
    proposal_id: Option<&'a ProposalId>,
    follow_up_id: Option<&'a FollowUpId>,
    seq: Seq,
    phase: Phase,
}

fn done(status: StatusCode, answer: &Answer) -> Response {
    let done = Done {
        success: true,
        proposal_id: answer.proposal_id.as_ref(),
        follow_up_id: answer.follow_up_id.as_ref(),
        seq: answer.seq,
        phase: answer.phase,
    };
    (status, Json(done)).into_response()
}

async fn propose(State(orders): State<Orders>, request: Request) -> Result<Response, Problem> {
    let repeat = idempotency_key(request.headers())?;
    let (key, proposed) = body::read::<ProposalBody>(request).await?.check()?;
    let answer = act(&orders, repeat, &key, Act::Propose(proposed)).await?;
    Ok(done(StatusCode::CREATED, &answer))
}

async fn amend(
    State(orders): State<Orders>,
    InPath(proposal_id): InPath<String>,
    request: Request,
) -> Result<Response, Problem> {
    let repeat = idempotency_key(request.headers())?;
    let (key, mut proposed) = body::read::<ProposalBody>(request).await?.check()?;
    proposed.proposal_id = Some(ProposalId::new(proposal_id)?);
    let answer = act(&orders, repeat, &key, Act::Amend(proposed)).await?;
    Ok(done(StatusCode::OK, &answer))
}

async fn answer(
    State(orders): State<Orders>,
    InPath(proposal_id): InPath<String>,
    request: Request,
) -> Result<Response, Problem> {
    let repeat = idempotency_key(request.headers())?;
    ProposalId::new(proposal_id)?;
    let (key, given) = body::read::<AnswerBody>(request).await?.check()?;
    let answer = act(&orders, repeat, &key, given).await?;
    Ok(done(StatusCode::CREATED, &answer))
}

async fn lock(
    State(orders): State<Orders>,
    InPath(proposal_id): InPath<String>,
    request: Request,
) -> Result<Response, Problem> {
    let repeat = idempotency_key(request.headers())?;
    let proposal_id = ProposalId::new(proposal_id)?;
    let (key, holder, lease_ms) = body::read::<LockBody>(request).await?.check()?;
    let answer = act(&orders, repeat, &key, Act::Lock { proposal_id, holder, lease_ms }).await?;
    Ok(done(StatusCode::OK, &answer))
}

async fn unlock(
    State(orders): State<Orders>,
    InPath(proposal_id): InPath<String>,
    request: Request,
) -> Result<Response, Problem> {
    let repeat = idempotency_key(request.headers())?;
    let proposal_id = ProposalId::new(proposal_id)?;
    let (key, holder, _) = body::read::<LockBody>(request).await?.check()?;
    let answer = act(&orders, repeat, &key, Act::Unlock { proposal_id, holder }).await?;
    Ok(done(StatusCode::OK, &answer))
}

async fn withdraw(
    State(orders): State<Orders>,
    InPath(proposal_id): InPath<String>,
    request: Request,
) -> Result<Response, Problem> {
    let repeat = idempotency_key(request.headers())?;
    let proposal_id = ProposalId::new(proposal_id)?;
    let (key, reason) = body::read::<WithdrawBody>(request).await?.check()?;
    let answer = act(&orders, repeat, &key, Act::Withdraw { proposal_id, reason }).await?;
    Ok(done(StatusCode::OK, &answer))
}

async fn decline(
    State(orders): State<Orders>,
    InPath(order_req_id): InPath<String>,
    request: Request,
) -> Result<Response, Problem> {
    let repeat = idempotency_key(request.headers())?;
    let body = body::read::<DeclineBody>(request).await?;
    let key = OrderKey::new(&body.tenant, &order_req_id)?;
    let (seller, reason): (SellerId, _) = body.check()?;
    let answer = act(&orders, repeat, &key, Act::Decline { seller, reason }).await?;
    Ok(done(StatusCode::OK, &answer))
}

async fn proposal(
    State(orders): State<Orders>,
    InPath(proposal_id): InPath<String>,
    InQuery(scope): InQuery<Scope>,
) -> Result<Response, Problem> {
    let id = ProposalId::new(proposal_id)?;
    let key = OrderKey::new(&scope.tenant, &scope.order_req_id)?;
    let now = orders.now();
    let found = orders.read(&key, move |order, _| view::proposal(order, &id, now)).await?;
    let missing = || Refusal::new(Reason::ProposalNotFound, "the order has no such proposal");
    Ok(Json(found.ok_or_else(missing)?).into_response())
}

async fn order(
    State(orders): State<Orders>,
    InPath(order_req_id): InPath<String>,
    InQuery(owner): InQuery<Owner>,
) -> Result<Response, Problem> {
    let key = OrderKey::new(&owner.tenant, &order_req_id)?;
    Ok(Json(orders.read(&key, view::order).await?).into_response())
}

/// Where a page begins.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Page {
    tenant: String,
    after: String,
    limit: Option<usize>,
}

/// The same refusal of what stands in another field.
fn at(field: &str, refusal: Refusal) -> Refusal {
    Refusal { field: Some(field.to_owned()), ..refusal }
}

async fn proposals(
    State(orders): State<Orders>,
    InPath(order_req_id): InPath<String>,
    InQuery(page): InQuery<Page>,
) -> Result<Response, Problem> {
    let key = OrderKey::new(&page.tenant, &order_req_id)?;
    let limit = page.limit.unwrap_or(PAGE_PROPOSALS).clamp(1, PAGE_PROPOSALS);
    let after = Some(page.after).filter(|after| !after.is_empty());
    let after = after.map(ProposalId::new).transpose().map_err(|refusal| at("after", refusal))?;
    let now = orders.now();
    let view = move |order: &orderstream_core::Order, _: &crate::orders::Facts| {
        view::proposals(order, after.as_ref(), limit, now)
    };
    Ok(Json(orders.read(&key, view).await?).into_response())
}

async fn list(
    State(orders): State<Orders>,
    InQuery(page): InQuery<Page>,
) -> Result<Response, Problem> {
    let limit = page.limit.unwrap_or(PAGE_ORDERS).clamp(1, PAGE_ORDERS);
    let after = match page.after.split_once('/') {
        Some((tenant, id)) => Some(OrderKey::new(tenant, id)),
        None if page.after.is_empty() => None,
        None => Some(OrderKey::new("", &page.after)),
    };
    let after = after.transpose().map_err(|refusal| at("after", refusal))?;
    let tenant = Some(page.tenant).filter(|tenant| !tenant.is_empty());
    let tenant = tenant.map(Tenant::new).transpose()?;
    let keys = orders.keys(tenant.as_ref().map(Tenant::as_str), after.as_ref(), limit);
    let next = keys.last().filter(|_| keys.len() == limit).map(ToString::to_string);
    let mut listed = Vec::with_capacity(keys.len());
    for key in &keys {
        // An order that went away or cannot be read is not in the list.
        if let Ok(order) = orders.read(key, view::order).await {
            listed.push(order);
        }
    }
    Ok(Json(json!({ "orders": listed, "next": next })).into_response())
}

#[cfg(test)]
mod tests;
