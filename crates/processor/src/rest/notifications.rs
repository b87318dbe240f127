//! What of an order is still to be told, what was given up, and sending it again.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use orderstream_core::{OrderKey, Tenant};
use orderstream_rpc::problem::{InPath, InQuery, Problem};
use serde_json::json;

use super::{Owner, Page};
use crate::limits::PAGE_NOTIFICATIONS;
use crate::orders::Orders;

/// The outbox of one order.
pub(super) async fn of_order(
    State(orders): State<Orders>,
    InPath(order_req_id): InPath<String>,
    InQuery(owner): InQuery<Owner>,
) -> Result<Response, Problem> {
    let key = OrderKey::new(&owner.tenant, &order_req_id)?;
    Ok(Json(orders.notifications_of(&key).await?).into_response())
}

/// What was given up on this processor, in pages.
pub(super) async fn dead_letters(
    State(orders): State<Orders>,
    InQuery(page): InQuery<Page>,
) -> Result<Response, Problem> {
    let limit = page.limit.unwrap_or(PAGE_NOTIFICATIONS).clamp(1, PAGE_NOTIFICATIONS);
    let tenant = Some(page.tenant).filter(|tenant| !tenant.is_empty());
    let tenant = tenant.map(Tenant::new).transpose()?;
    let tenant = tenant.as_ref().map(Tenant::as_str);
    let after = Some(page.after.as_str()).filter(|after| !after.is_empty());
    Ok(Json(orders.dead_letters(tenant, after, limit).await?).into_response())
}

/// Sends one again.
pub(super) async fn replay(
    State(orders): State<Orders>,
    InPath(notification_id): InPath<String>,
) -> Result<Response, Problem> {
    orders.replay_notification(&notification_id).await?;
    let done = json!({ "success": true, "notification_id": notification_id });
    Ok(Json(done).into_response())
}
