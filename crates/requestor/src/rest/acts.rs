//! What buyers do. What is answered is stored; an act is answered with its processor's answer where
//! that comes within two seconds, and goes on by itself where it does not.
#![allow(unused_qualifications, reason = "the macro of a path writes whole paths")]

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use orderstream_core::buyer::{BuyerAct, Initiated};
use orderstream_core::{OrderKey, Refusal};
use orderstream_rpc::problem::{self, InPath, InQuery, idempotency_key};

use super::body::{
    ActBody, AwardBody, ExtendBody, FollowUpBody, InitiateBody, InitiateSchema, ReasonBody,
};
use super::not_done::NotDone;
use super::view::{FollowUpView, SuccessView};
use super::{OrderPath, Owner, Served};

fn success(message: &'static str) -> Response {
    Json(SuccessView::new(message)).into_response()
}

/// Ask for quotations.
///
/// The same order again changes nothing while it lives, also at the same instant.
#[utoipa::path(post, path = "/api/v1/orders/initiate", tag = "orders", operation_id = "initiate",
    request_body = InitiateSchema,
    responses((status = 200, description = "It is stored and followed.", body = SuccessView)))]
pub(super) async fn initiate(
    State(buyer): State<Served>,
    request: Request,
) -> Result<Response, NotDone> {
    problem::no_query(request.uri())?;
    // Not needed, since the order's id serves as the key; one that is wrong is wrong all the same.
    idempotency_key(request.headers())?;
    let (key, spec) = InitiateBody::read(request).await?.check()?;
    let message = match buyer.initiate(key, spec).await? {
        Initiated::Started => "Order processing initiated",
        Initiated::AlreadyProcessed => "Order already being processed",
    };
    Ok(success(message))
}

/// Ask or tell the sellers something.
///
/// Without a `follow_up_id` the `Idempotency-Key` is the follow-up's id.
#[utoipa::path(post, path = "/api/v1/orders/followup", tag = "orders", operation_id = "follow-up",
    request_body = FollowUpBody,
    responses((status = 200, description = "It is stored and will be forwarded.",
        body = FollowUpView)))]
pub(super) async fn follow_up(
    State(buyer): State<Served>,
    request: Request,
) -> Result<Response, NotDone> {
    problem::no_query(request.uri())?;
    let repeat = idempotency_key(request.headers())?;
    let (key, note) = FollowUpBody::read(request).await?.check(repeat.as_ref())?;
    let follow_up_id = buyer.follow_up(key, note).await?.to_string();
    let view = FollowUpView { success: true, message: "Follow-up added", follow_up_id };
    Ok(Json(view).into_response())
}

/// One act on the order that a path names.
async fn act(
    buyer: &Served,
    key: OrderKey,
    request: Request,
    read: impl FnOnce(ActBody) -> Result<BuyerAct, Refusal>,
) -> Result<(), NotDone> {
    let repeat = idempotency_key(request.headers())?;
    let wanted = read(ActBody::read(request).await?)?;
    Ok(buyer.buyer_act(key, wanted, repeat).await?)
}

/// End an order, with or without an award.
#[utoipa::path(post, path = "/api/v1/orders/finalize/{order_req_id}", tag = "orders",
    operation_id = "finalize", params(OrderPath, Owner), request_body = Option<AwardBody>,
    responses((status = 200, description = "It is stored.", body = SuccessView)))]
pub(super) async fn finalize(
    State(buyer): State<Served>,
    InPath(id): InPath<String>,
    InQuery(owner): InQuery<Owner>,
    request: Request,
) -> Result<Response, NotDone> {
    act(&buyer, owner.key(&id)?, request, ActBody::finalise).await?;
    Ok(success("Order finalized"))
}

/// Award an order, as a whole or by lines.
///
/// With `undo_within_ms` it counts, and sellers are told, only after so long; until then it can be
/// undone.
#[utoipa::path(post, path = "/api/v1/orders/award/{order_req_id}", tag = "orders",
    operation_id = "award", params(OrderPath, Owner), request_body = AwardBody,
    responses((status = 200, description = "It is stored.", body = SuccessView)))]
pub(super) async fn award(
    State(buyer): State<Served>,
    InPath(id): InPath<String>,
    InQuery(owner): InQuery<Owner>,
    request: Request,
) -> Result<Response, NotDone> {
    act(&buyer, owner.key(&id)?, request, ActBody::award).await?;
    Ok(success("Order awarded"))
}

/// Undo an award that does not count yet.
#[utoipa::path(post, path = "/api/v1/orders/undo-award/{order_req_id}", tag = "orders",
    operation_id = "undo-award", params(OrderPath, Owner), request_body = Option<ReasonBody>,
    responses((status = 200, description = "It is stored.", body = SuccessView)))]
pub(super) async fn undo_award(
    State(buyer): State<Served>,
    InPath(id): InPath<String>,
    InQuery(owner): InQuery<Owner>,
    request: Request,
) -> Result<Response, NotDone> {
    let read = |body: ActBody| Ok(BuyerAct::UndoAward(body.reason()?));
    act(&buyer, owner.key(&id)?, request, read).await?;
    Ok(success("Award undone"))
}

/// Take no proposals for now.
#[utoipa::path(post, path = "/api/v1/orders/pause/{order_req_id}", tag = "orders",
    operation_id = "pause", params(OrderPath, Owner), request_body = Option<ReasonBody>,
    responses((status = 200, description = "It is stored.", body = SuccessView)))]
pub(super) async fn pause(
    State(buyer): State<Served>,
    InPath(id): InPath<String>,
    InQuery(owner): InQuery<Owner>,
    request: Request,
) -> Result<Response, NotDone> {
    let read = |body: ActBody| Ok(BuyerAct::Pause(body.reason()?));
    act(&buyer, owner.key(&id)?, request, read).await?;
    Ok(success("Order paused"))
}

/// Take proposals again.
#[utoipa::path(post, path = "/api/v1/orders/resume/{order_req_id}", tag = "orders",
    operation_id = "resume", params(OrderPath, Owner),
    responses((status = 200, description = "It is stored.", body = SuccessView)))]
pub(super) async fn resume(
    State(buyer): State<Served>,
    InPath(id): InPath<String>,
    InQuery(owner): InQuery<Owner>,
    request: Request,
) -> Result<Response, NotDone> {
    act(&buyer, owner.key(&id)?, request, |_| Ok(BuyerAct::Resume)).await?;
    Ok(success("Order resumed"))
}

/// Let an order live longer; all who were invited are told.
#[utoipa::path(post, path = "/api/v1/orders/extend/{order_req_id}", tag = "orders",
    operation_id = "extend", params(OrderPath, Owner), request_body = ExtendBody,
    responses((status = 200, description = "It is stored.", body = SuccessView)))]
pub(super) async fn extend(
    State(buyer): State<Served>,
    InPath(id): InPath<String>,
    InQuery(owner): InQuery<Owner>,
    request: Request,
) -> Result<Response, NotDone> {
    act(&buyer, owner.key(&id)?, request, ActBody::extend).await?;
    Ok(success("Order extended"))
}

/// End an order without an award.
#[utoipa::path(post, path = "/api/v1/orders/close/{order_req_id}", tag = "orders",
    operation_id = "close", params(OrderPath, Owner), request_body = Option<ReasonBody>,
    responses((status = 200, description = "It is stored.", body = SuccessView)))]
pub(super) async fn close(
    State(buyer): State<Served>,
    InPath(id): InPath<String>,
    InQuery(owner): InQuery<Owner>,
    request: Request,
) -> Result<Response, NotDone> {
    let read = |body: ActBody| Ok(BuyerAct::Close(body.reason()?));
    act(&buyer, owner.key(&id)?, request, read).await?;
    Ok(success("Order closed"))
}

/// End an order as if it had not been asked.
#[utoipa::path(post, path = "/api/v1/orders/cancel/{order_req_id}", tag = "orders",
    operation_id = "cancel", params(OrderPath, Owner), request_body = Option<ReasonBody>,
    responses((status = 200, description = "It is stored.", body = SuccessView)))]
pub(super) async fn cancel(
    State(buyer): State<Served>,
    InPath(id): InPath<String>,
    InQuery(owner): InQuery<Owner>,
    request: Request,
) -> Result<Response, NotDone> {
    let read = |body: ActBody| Ok(BuyerAct::Cancel(body.reason()?));
    act(&buyer, owner.key(&id)?, request, read).await?;
    Ok(success("Order cancelled"))
}
