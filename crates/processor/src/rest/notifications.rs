//! An order's waiting notifications and its dead letters, and sending the latter again.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use orderstream_core::{OrderKey, Tenant};
use orderstream_rpc::problem::{CheckedPath, CheckedQuery, Problem, page_size};
use serde_json::json;

use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::orders::{IncarnationQuery, parse_incarnation};
use super::{OrderPath, SellerRestState};
use crate::limits::PAGE_NOTIFICATIONS;
use crate::orders::OwnedOrders;

/// Returns the operations of this file.
pub(super) fn operations() -> OpenApiRouter<SellerRestState> {
    OpenApiRouter::default()
        .routes(routes!(of_order))
        .routes(routes!(dead_letters))
        .routes(routes!(replay))
}

/// The query for a page of dead letters.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct DeadLettersQuery {
    /// The tenant of the orders; all tenants when left out.
    tenant: String,
    /// The `next` of the page before.
    after: String,
    /// The size of the page, at most 500, which is also the default.
    #[param(minimum = 1)]
    #[serde(deserialize_with = "page_size::<PAGE_NOTIFICATIONS, _>")]
    limit: Option<usize>,
}

/// The notification that a path names.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "it describes what `InPath` reads")]
struct NotificationPath {
    /// The notification's id, as lists show it.
    #[param(example = "default~SB1029436~life~3~0123456789abcdef", min_length = 1)]
    notification_id: String,
}

/// Show an order's waiting notifications and its dead letters.
#[utoipa::path(get, path = "/api/v1/orders/{order_req_id}/notifications", tag = "notifications",
    operation_id = "notifications", params(OrderPath, IncarnationQuery),
    responses((status = 200, description = "The order's outbox.", body = Object)))]
pub(super) async fn of_order(
    State(orders): State<OwnedOrders>,
    CheckedPath(order_req_id): CheckedPath<String>,
    CheckedQuery(query): CheckedQuery<IncarnationQuery>,
) -> Result<Response, Problem> {
    let key = OrderKey::new(&query.tenant, &order_req_id)?;
    let named = parse_incarnation(query.incarnation)?;
    Ok(Json(orders.notifications_of(&key, named.as_ref()).await?).into_response())
}

/// Show the dead letters of this processor, in pages.
#[utoipa::path(get, path = "/api/v1/dead-letters", tag = "notifications",
    operation_id = "dead-letters", params(DeadLettersQuery),
    responses((status = 200, description = "A page.", body = Object)))]
pub(super) async fn dead_letters(
    State(orders): State<OwnedOrders>,
    CheckedQuery(query): CheckedQuery<DeadLettersQuery>,
) -> Result<Response, Problem> {
    let limit = query.limit.unwrap_or(PAGE_NOTIFICATIONS).clamp(1, PAGE_NOTIFICATIONS);
    let tenant = Some(query.tenant).filter(|tenant| !tenant.is_empty());
    let tenant = tenant.map(Tenant::new).transpose()?;
    let tenant = tenant.as_ref().map(Tenant::as_str);
    let after = Some(query.after.as_str()).filter(|after| !after.is_empty());
    Ok(Json(orders.dead_letters(tenant, after, limit).await?).into_response())
}

/// Send a dead letter again.
#[utoipa::path(post, path = "/api/v1/dead-letters/{notification_id}/replay", tag = "notifications",
    operation_id = "replay", params(NotificationPath),
    responses((status = 200, description = "The dead letter is queued to be sent again.", body = Object)))]
pub(super) async fn replay(
    State(orders): State<OwnedOrders>,
    CheckedPath(notification_id): CheckedPath<String>,
) -> Result<Response, Problem> {
    orders.replay_notification(&notification_id).await?;
    let body = json!({ "success": true, "notification_id": notification_id });
    Ok(Json(body).into_response())
}
