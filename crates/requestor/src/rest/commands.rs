//! The buyers' commands. A command is stored before the reply. The reply is success when the
//! command is in the order's list, and 202 with the outcome's path where that is not known within
//! two seconds.
#![allow(unused_qualifications, reason = "the macro of a path writes whole paths")]

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse, Response};
use orderstream_core::buyer::{BuyerCommand, BuyerCommandReply, InitiateOutcome};
use orderstream_core::{IdempotencyKey, OrderKey, Refusal, Tenant};
use orderstream_rest_types::command::{FollowUpView, PendingView, SuccessView};
use orderstream_rpc::problem::{self, CheckedPath, CheckedQuery, idempotency_key};
use serde::de::DeserializeOwned;

use super::body::{
    AwardBody, ExtendBody, FollowUpBody, InitiateBody, InitiateSchema, NoFieldsBody, ReasonBody,
    read_command,
};
use super::error::BuyerRestError;
use super::{BuyerHandle, BuyerOrderPath, BuyerTenantQuery, view};

/// Returns the reply to a command: done, or not decided yet with the outcome's path.
fn respond(key: &OrderKey, reply: BuyerCommandReply, message: &'static str) -> Response {
    match reply {
        BuyerCommandReply::Done => success(message),
        BuyerCommandReply::Pending(command_key) => pending(key, &command_key, None),
    }
}

fn pending(key: &OrderKey, command_key: &IdempotencyKey, follow_up_id: Option<String>) -> Response {
    let location = outcome_path(key, command_key);
    let view = PendingView {
        state: "pending".to_owned(),
        message: "It is stored and goes on by itself, and is not decided yet; read the location"
            .to_owned(),
        key: command_key.to_string(),
        location: location.clone(),
        follow_up_id,
    };
    (StatusCode::ACCEPTED, [(LOCATION, location)], Json(view)).into_response()
}

/// Returns the path of a command's outcome. Ids and keys need no escape in a path.
fn outcome_path(key: &OrderKey, command_key: &IdempotencyKey) -> String {
    let order = match key.tenant == Tenant::default() {
        true => key.order_req_id.to_string(),
        false => format!("{}%2F{}", key.tenant, key.order_req_id),
    };
    format!("/api/v1/orders/{order}/acts/{command_key}")
}

fn success(message: &'static str) -> Response {
    Json(view::success(message)).into_response()
}

/// Ask for quotations.
///
/// Sending the same order again before its end changes nothing, even concurrently. The order's id
/// is its key; an `Idempotency-Key` is not used.
#[utoipa::path(post, path = "/api/v1/orders/initiate", tag = "orders", operation_id = "initiate",
    request_body = InitiateSchema,
    responses((status = 200, description = "It is stored and followed.", body = SuccessView)))]
pub(super) async fn initiate(
    State(buyer): State<BuyerHandle>,
    request: Request,
) -> Result<Response, BuyerRestError> {
    problem::no_query(request.uri())?;
    // The key is not needed, since the order's id serves as one; an invalid key is refused
    // nevertheless.
    idempotency_key(request.headers())?;
    let (key, spec) = InitiateBody::read(request).await?.check()?;
    let message = match buyer.initiate(key, spec).await? {
        InitiateOutcome::Started => "Order processing initiated",
        InitiateOutcome::AlreadyProcessed => "Order already being processed",
    };
    Ok(success(message))
}

/// Send a follow-up to the sellers.
///
/// The `follow_up_id` is the follow-up's key. Without one, the `Idempotency-Key` is used as the
/// follow-up's id.
#[utoipa::path(post, path = "/api/v1/orders/followup", tag = "orders", operation_id = "follow-up",
    request_body = FollowUpBody,
    responses(
        (status = 200, description = "The command is in the order's list.", body = FollowUpView),
        (status = 202, description = "The command is stored, and not decided yet.", body = PendingView,
            headers(("location", description = "The URL of the outcome.")))))]
pub(super) async fn follow_up(
    State(buyer): State<BuyerHandle>,
    request: Request,
) -> Result<Response, BuyerRestError> {
    problem::no_query(request.uri())?;
    let repeat = idempotency_key(request.headers())?;
    let (key, follow_up) = FollowUpBody::read(request).await?.check(repeat.as_ref())?;
    let (id, reply) = buyer.follow_up(key.clone(), follow_up).await?;
    let follow_up_id = id.to_string();
    Ok(match reply {
        BuyerCommandReply::Pending(command_key) => pending(&key, &command_key, Some(follow_up_id)),
        BuyerCommandReply::Done => {
            let message = "Follow-up added".to_owned();
            let view = FollowUpView { success: true, message, follow_up_id };
            Json(view).into_response()
        }
    })
}

/// Runs one command on the order that a path names, and replies with `message` when it is done.
async fn run_command<T: DeserializeOwned + Default>(
    buyer: &BuyerHandle,
    key: OrderKey,
    message: &'static str,
    request: Request,
    read: impl FnOnce(T) -> Result<BuyerCommand, Refusal>,
) -> Result<Response, BuyerRestError> {
    let repeat = idempotency_key(request.headers())?;
    let command = read(read_command(request).await?)?;
    Ok(respond(&key, buyer.submit_command(key.clone(), command, repeat).await?, message))
}

/// End an order, with or without an award.
#[utoipa::path(post, path = "/api/v1/orders/finalize/{order_req_id}", tag = "orders",
    operation_id = "finalize", params(BuyerOrderPath, BuyerTenantQuery), request_body = Option<AwardBody>,
    responses(
        (status = 200, description = "The command is in the order's list.", body = SuccessView),
        (status = 202, description = "The command is stored, and not decided yet.", body = PendingView,
            headers(("location", description = "The URL of the outcome.")))))]
pub(super) async fn finalize(
    State(buyer): State<BuyerHandle>,
    CheckedPath(id): CheckedPath<String>,
    CheckedQuery(owner): CheckedQuery<BuyerTenantQuery>,
    request: Request,
) -> Result<Response, BuyerRestError> {
    run_command(&buyer, owner.key(&id)?, "Order finalized", request, AwardBody::finalise).await
}

/// Award an order, as a whole or by lines.
///
/// With `undo_within_ms` the award takes effect, and sellers are notified, only after that time;
/// until then it can be undone.
#[utoipa::path(post, path = "/api/v1/orders/award/{order_req_id}", tag = "orders",
    operation_id = "award", params(BuyerOrderPath, BuyerTenantQuery), request_body = AwardBody,
    responses(
        (status = 200, description = "The command is in the order's list.", body = SuccessView),
        (status = 202, description = "The command is stored, and not decided yet.", body = PendingView,
            headers(("location", description = "The URL of the outcome.")))))]
pub(super) async fn award(
    State(buyer): State<BuyerHandle>,
    CheckedPath(id): CheckedPath<String>,
    CheckedQuery(owner): CheckedQuery<BuyerTenantQuery>,
    request: Request,
) -> Result<Response, BuyerRestError> {
    run_command(&buyer, owner.key(&id)?, "Order awarded", request, AwardBody::award).await
}

/// Undo a pending award.
#[utoipa::path(post, path = "/api/v1/orders/undo-award/{order_req_id}", tag = "orders",
    operation_id = "undo-award", params(BuyerOrderPath, BuyerTenantQuery), request_body = Option<ReasonBody>,
    responses(
        (status = 200, description = "The command is in the order's list.", body = SuccessView),
        (status = 202, description = "The command is stored, and not decided yet.", body = PendingView,
            headers(("location", description = "The URL of the outcome.")))))]
pub(super) async fn undo_award(
    State(buyer): State<BuyerHandle>,
    CheckedPath(id): CheckedPath<String>,
    CheckedQuery(owner): CheckedQuery<BuyerTenantQuery>,
    request: Request,
) -> Result<Response, BuyerRestError> {
    let read = |body: ReasonBody| Ok(BuyerCommand::UndoAward(body.reason()?));
    run_command(&buyer, owner.key(&id)?, "Award undone", request, read).await
}

/// Pause an order: it takes no proposals for now.
#[utoipa::path(post, path = "/api/v1/orders/pause/{order_req_id}", tag = "orders",
    operation_id = "pause", params(BuyerOrderPath, BuyerTenantQuery), request_body = Option<ReasonBody>,
    responses(
        (status = 200, description = "The command is in the order's list.", body = SuccessView),
        (status = 202, description = "The command is stored, and not decided yet.", body = PendingView,
            headers(("location", description = "The URL of the outcome.")))))]
pub(super) async fn pause(
    State(buyer): State<BuyerHandle>,
    CheckedPath(id): CheckedPath<String>,
    CheckedQuery(owner): CheckedQuery<BuyerTenantQuery>,
    request: Request,
) -> Result<Response, BuyerRestError> {
    let read = |body: ReasonBody| Ok(BuyerCommand::Pause(body.reason()?));
    run_command(&buyer, owner.key(&id)?, "Order paused", request, read).await
}

/// Resume an order: it takes proposals again.
#[utoipa::path(post, path = "/api/v1/orders/resume/{order_req_id}", tag = "orders",
    operation_id = "resume", params(BuyerOrderPath, BuyerTenantQuery),
    responses(
        (status = 200, description = "The command is in the order's list.", body = SuccessView),
        (status = 202, description = "The command is stored, and not decided yet.", body = PendingView,
            headers(("location", description = "The URL of the outcome.")))))]
pub(super) async fn resume(
    State(buyer): State<BuyerHandle>,
    CheckedPath(id): CheckedPath<String>,
    CheckedQuery(owner): CheckedQuery<BuyerTenantQuery>,
    request: Request,
) -> Result<Response, BuyerRestError> {
    let read = |_: NoFieldsBody| Ok(BuyerCommand::Resume);
    run_command(&buyer, owner.key(&id)?, "Order resumed", request, read).await
}

/// Extend an order; all who were invited are notified.
#[utoipa::path(post, path = "/api/v1/orders/extend/{order_req_id}", tag = "orders",
    operation_id = "extend", params(BuyerOrderPath, BuyerTenantQuery), request_body = ExtendBody,
    responses(
        (status = 200, description = "The command is in the order's list.", body = SuccessView),
        (status = 202, description = "The command is stored, and not decided yet.", body = PendingView,
            headers(("location", description = "The URL of the outcome.")))))]
pub(super) async fn extend(
    State(buyer): State<BuyerHandle>,
    CheckedPath(id): CheckedPath<String>,
    CheckedQuery(owner): CheckedQuery<BuyerTenantQuery>,
    request: Request,
) -> Result<Response, BuyerRestError> {
    run_command(&buyer, owner.key(&id)?, "Order extended", request, ExtendBody::extend).await
}

/// End an order without an award.
#[utoipa::path(post, path = "/api/v1/orders/close/{order_req_id}", tag = "orders",
    operation_id = "close", params(BuyerOrderPath, BuyerTenantQuery), request_body = Option<ReasonBody>,
    responses(
        (status = 200, description = "The command is in the order's list.", body = SuccessView),
        (status = 202, description = "The command is stored, and not decided yet.", body = PendingView,
            headers(("location", description = "The URL of the outcome.")))))]
pub(super) async fn close(
    State(buyer): State<BuyerHandle>,
    CheckedPath(id): CheckedPath<String>,
    CheckedQuery(owner): CheckedQuery<BuyerTenantQuery>,
    request: Request,
) -> Result<Response, BuyerRestError> {
    let read = |body: ReasonBody| Ok(BuyerCommand::Close(body.reason()?));
    run_command(&buyer, owner.key(&id)?, "Order closed", request, read).await
}

/// Cancel an order, as if it had not been requested.
#[utoipa::path(post, path = "/api/v1/orders/cancel/{order_req_id}", tag = "orders",
    operation_id = "cancel", params(BuyerOrderPath, BuyerTenantQuery), request_body = Option<ReasonBody>,
    responses(
        (status = 200, description = "The command is in the order's list.", body = SuccessView),
        (status = 202, description = "The command is stored, and not decided yet.", body = PendingView,
            headers(("location", description = "The URL of the outcome.")))))]
pub(super) async fn cancel(
    State(buyer): State<BuyerHandle>,
    CheckedPath(id): CheckedPath<String>,
    CheckedQuery(owner): CheckedQuery<BuyerTenantQuery>,
    request: Request,
) -> Result<Response, BuyerRestError> {
    let read = |body: ReasonBody| Ok(BuyerCommand::Cancel(body.reason()?));
    run_command(&buyer, owner.key(&id)?, "Order cancelled", request, read).await
}
